"""Whose a log directory is that lies outside the data directory.

A copy of a data directory (``cp -a``, a snapshot, a backup that is brought back beside the original) names the same log
directories on other disks, and has locks and a catalogue of its own. Two of them would write into the same logs, and
what one deletes the other has lost. So such a log directory says which data directory uses it, by its path, as every
identity in a file is copied along. Where that is gone, whoever comes next takes the log directory over: it was moved.
"""

from __future__ import annotations

import os
from contextlib import suppress

from pykafka_store.embedded.disk import Disk
from pykafka_store.embedded.layout import META_TEMPORARY, OWNER_FILE, read_meta
from pykafka_store.embedded.turns import Turn
from pykafka_store.errors import StorageError
from pykafka_store.format.checkpoint import META_PROPERTIES_FILE

_PATIENCE = 10.0
"""Seconds to wait for others that take the log directory over: each is done in a millisecond."""


def other_owner(disk: Disk, log_dir: str, root: str) -> str | None:
    """The data directory that a log directory belongs to, as it is told, where that is not ``root`` and still there.
    Raises StorageError.
    """
    owner = _noted(disk, log_dir)
    if owner is None or owner == os.path.realpath(root):
        return None
    # Of two mounts of one directory either name may stand there, and in a container the noted one may be another's.
    with suppress(OSError, StorageError):
        is_same = os.path.samefile(owner, root)
        ours, its = (read_meta(disk, each).get("cluster.id") for each in (root, owner))
        return None if is_same or its != ours else _shown(owner)
    return None


def claim(disk: Disk, log_dir: str, root: str) -> None:
    """Note that a log directory is this data directory's. Raises StorageError where it is another's. What its disk
    refuses is told when something is written there, and the note is made by whoever comes when it can be.
    """
    other = None
    with suppress(FileNotFoundError, StorageError):
        other = _noted_or_other(disk, log_dir, root)
    _require_none(other, log_dir, root)


def _noted_or_other(disk: Disk, log_dir: str, root: str) -> str | None:
    """The other one that it belongs to, if it does. Raises FileNotFoundError, StorageError."""
    if _noted(disk, log_dir) == os.path.realpath(root):
        return None
    turn = Turn(disk, disk.open(log_dir), log_dir)
    turn.start()
    if not turn.wait(_PATIENCE):
        turn.give_up()
        return None
    try:
        other = other_owner(disk, log_dir, root)
        if other is None:
            disk.replace_file(os.path.join(log_dir, OWNER_FILE), os.fsencode(os.path.realpath(root)))
        return other
    finally:
        disk.close(turn.descriptor)


def require_own(disk: Disk, log_dir: str, root: str) -> None:
    """Raises StorageError for a log directory of another data directory."""
    _require_none(other_owner(disk, log_dir, root), log_dir, root)


def _require_none(other: str | None, log_dir: str, root: str) -> None:
    if other is not None:
        raise StorageError(
            f"{log_dir} belongs to the data directory {other}, of which {root} is a copy, and both would write there: "
            f"pykafka mirror makes a copy that stands alone; to go on with this one, remove or rename {other}"
        )


def require_unused(disk: Disk, log_dir: str, root: str) -> None:
    """Raises StorageError for a log directory that can't be one of a data directory that is made in ``root``: something
    is in it, or another data directory has it. What a making that was cut short left in it is fine.
    """
    if not disk.exists(log_dir):
        return
    others = sorted(set(disk.list(log_dir)) - {"lost+found", META_PROPERTIES_FILE, META_TEMPORARY, OWNER_FILE})
    if others:
        raise StorageError(f"{log_dir} is not empty ({others[0]} is in it): choose another")
    owner = _noted(disk, log_dir)
    if owner is not None and owner != os.path.realpath(root) and disk.exists(os.path.join(owner, META_PROPERTIES_FILE)):
        raise StorageError(f"{log_dir} belongs to the data directory {_shown(owner)}: choose another")


def _shown(path: str) -> str:
    """As it is told: whoever may write in the log directory could have a terminal sent what it obeys."""
    return path if path.isprintable() else repr(path)


def _noted(disk: Disk, log_dir: str) -> str | None:
    try:
        return os.fsdecode(disk.read_file(os.path.join(log_dir, OWNER_FILE)))
    except FileNotFoundError:
        return None
