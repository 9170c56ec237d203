"""A server's configuration file (``server.properties``), as far as a data directory has what it names.

Its ``log.dirs`` are the data directory, which is the first, and further log directories of its broker; ``node.id`` is
the broker's number; and settings of brokers that a directory honours are the broker's own. Its listeners are in
server_listeners.py. What else it says is a server's own business and is passed over, as a script that brings a broker's
file along wants to go on. Source: KafkaConfig, AbstractKafkaConfig.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple

from pykafka_cli.env import Env
from pykafka_cli.errors import CommandFailure
from pykafka_store.errors import StoreError
from pykafka_store.numbers import whole_number
from pykafka_store.open import server_of_directory, set_aside_unused

DEFAULT_LOG_DIR = "/tmp/kafka-logs"  # noqa: S108 - Kafka's


class Server(NamedTuple):
    """What a configuration file says of a server."""

    directories: list[str]
    broker: int
    is_controller_without_voters: bool = False
    is_broker_only: bool = False
    has_static_voters: bool = False
    """``controller.quorum.voters`` lists them."""


def server_of(env: Env, properties: Mapping[str, str], *, makes: bool = False) -> Server:
    """The directories and the number of the broker. Raises CommandFailure.

    Within ``pykafka sandbox`` they are its own, and gone with it (sandbox_places.py); with ``makes`` they are about to
    be made.
    """
    listed = properties.get("log.dirs", properties.get("log.dir", DEFAULT_LOG_DIR))
    directories = [os.path.abspath(path.strip()) for path in listed.split(",") if path.strip()]
    if not directories:
        raise CommandFailure("No directories specified.")
    number = _number(properties)
    sandbox = env.environ.get("PYKAFKA_SANDBOX")
    if sandbox:
        from pykafka_cli.tool.sandbox_places import inside, place_of, take_place

        first, *others = directories
        first = take_place(sandbox, first, env.err) if makes else place_of(sandbox, first)
        # The first may be moved, and names the others: those are where they can stay.
        directories = [first, *(inside(sandbox, path) for path in others)]
    roles = {role.strip() for role in properties.get("process.roles", "").split(",")}
    has_voters = bool(properties.get("controller.quorum.voters"))
    return Server(
        directories, number, "controller" in roles and not has_voters, roles == {"broker"}, has_static_voters=has_voters
    )


def _number(properties: Mapping[str, str]) -> int:
    """The broker's. Raises CommandFailure."""
    broker = properties.get("node.id", properties.get("broker.id", "0"))
    number = whole_number(broker, 32)
    if number is None or number < 0:
        raise CommandFailure(f"Invalid value {broker} for configuration node.id: it must be a number from 0 on")
    old = properties.get("broker.id")
    if old is not None and whole_number(old, 32) != number:
        raise CommandFailure("You must set `node.id` to the same value as `broker.id`.")
    return number


def find_from_now_on(env: Env, directory: str) -> None:
    """Have the commands of this environment find a data directory that a server's file names.

    A script formats the directory of its file, and then calls tools that know only an address. Where that is served by
    a directory (PYKAFKA_EMBED, PYKAFKA_DATA_DIR) that is not there yet, or has nothing in it, a symbolic link to the
    file's is put there; where it is another one that is used, that is told.
    """
    ours = _directory_of_commands(env)
    if ours is None or os.path.realpath(ours) == os.path.realpath(directory):
        return
    os.makedirs(os.path.dirname(ours), exist_ok=True)
    while True:
        try:
            os.symlink(os.path.realpath(directory), ours)
        except FileExistsError:  # also where a command has made it in this very moment
            if not _make_way(env, ours):
                env.err(
                    f"WARNING: the commands of this environment use {ours}, and not {directory}: see PYKAFKA_DATA_DIR"
                )
                return
        else:
            return


def _make_way(env: Env, ours: str) -> bool:
    """Whether the name is free now: of an empty directory, or of one in which nothing was ever done."""
    try:
        os.rmdir(ours)  # an empty one may have been made for us
    except OSError:
        return set_aside(env, ours) is not None
    return True


def set_aside(env: Env, ours: str | None = None) -> str | None:
    """Put the directory of this environment's commands out of the way where nothing was ever done in it: a script has
    asked whether there is a broker, and nothing else. Returns its cluster id, or None where it stays.
    """
    ours = ours or _directory_of_commands(env)
    found = None
    if ours is not None:
        with suppress(StoreError):  # it may not be changed, or is damaged: who uses it is told
            found = set_aside_unused(ours)
    if found is None:
        return None
    if not env.environ.get("PYKAFKA_SANDBOX"):  # which clears it away in the end
        env.err(f"WARNING: nothing was in {ours}, which a command had made: it is {found.path} from now on")
    return found.cluster_id


def stands_in(env: Env, directory: str) -> str | None:
    """The data directory that this environment's commands have used before a server's own, which is not there, is made.

    A script may ask whether a broker is up before it starts one, or wait for it in the background: the answer made
    a directory, and what the script does next must not be in another. So the file's name becomes a link to it.
    """
    ours = _directory_of_commands(env)
    if ours is None or not os.path.exists(os.path.join(ours, "meta.properties")):
        return None
    if os.path.islink(ours) or server_of_directory(ours) is not None:
        return None  # it is another server's
    if os.path.lexists(directory):
        if env.environ.get("PYKAFKA_SANDBOX"):
            from pykafka_cli.tool.sandbox_places import remove_mark

            remove_mark(directory)
        try:
            os.rmdir(directory)
        except OSError:  # it holds something, or is a link to nowhere: making it says what is wrong
            return None
    os.makedirs(os.path.dirname(directory), exist_ok=True)
    try:
        os.symlink(os.path.realpath(ours), directory)
    except FileExistsError:  # another command has made it in this very moment
        return None
    return ours


def _directory_of_commands(env: Env) -> str | None:
    """Where the commands that know only an address find their logs; None where none of them is to."""
    if not (env.environ.get("PYKAFKA_EMBED") or env.environ.get("PYKAFKA_DATA_DIR")):
        return None
    return os.path.abspath(os.path.expanduser(env.data_directory(None)))
