"""Log directories that a server's file names, within ``pykafka sandbox``, and the servers that run there.

A script looks for its logs where its file says: whether meta.properties is there, to remove them all, to format them
anew. So where nothing is yet, the logs are there for as long as the sandbox lives, which clears them away in the end.
Where something is, it stays as it is, and the logs are in the sandbox instead.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

_META = "meta.properties"
PLACES = "places"
"""The file in a sandbox that has a line of JSON for each directory that its servers have."""
DISKS = "disks"
"""The directory in a sandbox for those that are not where their file says."""
SERVERS = "servers"
"""The directory in a sandbox that has a file for each server, named as its process, which locks it while it lives."""
_MARK = "locks"
"""Who makes this directory, of which there is one in each data directory, was first: the place is that sandbox's."""


class Place(NamedTuple):
    named: str
    """The path in a server's file."""
    path: str
    """Where it is."""
    made: list[str]
    """Directories that were made for it, the deepest first."""

    @property
    def is_outside(self) -> bool:
        """Whether it is no part of the sandbox's directory."""
        return self.named == self.path


def place_of(sandbox: str, named: str) -> str:
    """Where the logs are, or would be, that a file says are at ``named``."""
    if _is_within(sandbox, named):
        return named
    for place in places(sandbox):
        if place.named == named:
            return place.path
    return named if _is_free(named) else inside(sandbox, named)


def inside(sandbox: str, named: str) -> str:
    """The place in the sandbox for a directory that is elsewhere otherwise."""
    return named if _is_within(sandbox, named) else os.path.join(sandbox, DISKS, named.lstrip("/"))


def take_place(sandbox: str, named: str, tell: Callable[[str], None]) -> str:
    """As ``place_of``, and from now on the place is this sandbox's. ``tell`` gets a line where it is another one than
    the file says.
    """
    if _is_within(sandbox, named) or any(place.named == named for place in places(sandbox)):
        return place_of(sandbox, named)
    place = Place(named, inside(sandbox, named), [])
    if _is_free(named):
        missing = _missing(named)
        try:
            os.makedirs(named, exist_ok=True)
            os.mkdir(os.path.join(named, _MARK))
        except OSError:  # it may not be written, or another sandbox was first
            _remove_empty(missing)
        else:
            place = Place(named, named, missing)
    if not place.is_outside:
        tell(f"WARNING: {named} is not this sandbox's to use: its server's logs are in {place.path}")
    with open(os.path.join(sandbox, PLACES), "a") as file:
        file.write(f"{json.dumps(place)}\n")
    return place.path


def remove_mark(path: str) -> None:
    """Have a place that was taken, and that nothing was made in yet, empty again: a link is to have its name."""
    _remove_empty([os.path.join(path, _MARK)])


def places(sandbox: str) -> list[Place]:
    """Those that were taken."""
    try:
        with open(os.path.join(sandbox, PLACES)) as file:
            return [Place(*json.loads(line)) for line in file]
    except FileNotFoundError:
        return []


def note_server(sandbox: str) -> None:
    """Have the sandbox know of this process, whatever becomes of the directory that it serves."""
    import fcntl

    os.makedirs(os.path.join(sandbox, SERVERS), exist_ok=True)
    descriptor = os.open(os.path.join(sandbox, SERVERS, str(os.getpid())), os.O_CREAT | os.O_WRONLY, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)  # until this process ends; who looks for servers has it for a moment


def running_servers(sandbox: str) -> list[int]:
    """The processes that were noted and have not ended."""
    try:
        noted = os.listdir(os.path.join(sandbox, SERVERS))
    except FileNotFoundError:
        return []
    return [int(process) for process in noted if _is_locked(os.path.join(sandbox, SERVERS, process))]


def _is_locked(path: str) -> bool:
    import fcntl

    with open(path) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def give_back(sandbox: str, data: str, *, keep: bool) -> None:
    """Leave each place outside of the sandbox as it was. With ``keep`` what was there is in the sandbox from now on,
    where ``data``, a link to one of them, finds it.
    """
    for place in places(sandbox):
        if not place.is_outside:
            continue
        if os.path.islink(place.path):
            if _is_within(os.path.realpath(sandbox), os.path.realpath(place.path)):
                os.remove(place.path)
        elif keep and os.path.exists(os.path.join(place.path, _META)):
            linked = os.path.realpath(data) == os.path.realpath(place.path)
            kept = inside(sandbox, place.named)
            os.makedirs(kept)
            for name in os.listdir(place.path):
                shutil.move(os.path.join(place.path, name), kept)
            if linked:
                os.remove(data)
                os.symlink(kept, data)
        elif _is_of_a_sandbox(place.path):
            for name in os.listdir(place.path):
                _remove(os.path.join(place.path, name))
        _remove_empty(place.made)


def _is_within(sandbox: str, path: str) -> bool:
    return path.startswith(os.path.join(sandbox, ""))


def _is_of_a_sandbox(path: str) -> bool:
    """Whether what is there is a data directory, or the beginnings of one. The command may have removed it, and have
    put something else in its place.
    """
    return os.path.exists(os.path.join(path, _META)) or os.path.isdir(os.path.join(path, _MARK))


def _is_free(path: str) -> bool:
    if not os.path.lexists(path):
        return True
    try:
        return not os.listdir(path)
    except OSError:
        return False


def _missing(path: str) -> list[str]:
    """The path and its parents, as far as they do not exist, the deepest first."""
    missing = []
    while not os.path.lexists(path):
        missing.append(path)
        path = os.path.dirname(path)
    return missing


def _remove(path: str) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        os.remove(path)


def _remove_empty(directories: list[str]) -> None:
    for path in directories:
        with suppress(OSError):  # it is gone, or has something of somebody else's
            os.rmdir(path)
