"""The names in a data directory and in a log directory, which of them are ours, and meta.properties.

store/FORMAT.md draws the tree. Names of files in a replica's directory are those of :mod:`pykafka_store.format`: its
segments in ``names``, its checkpoints in ``checkpoint``, its published state in ``state``.

There are two kinds of meta.properties. The one of a data directory makes it one: it is written last, and has the
cluster.id. The one of a broker's log directory says whose it is, so that the empty mount point of a disk is not taken
for the disk (the log directory that the first broker has below the data directory needs none).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Literal

from pykafka_store.embedded.disk import Disk
from pykafka_store.errors import CorruptRecordError, UnsupportedVersionError
from pykafka_store.format.checkpoint import META_PROPERTIES_FILE, format_meta_properties, parse_meta_properties
from pykafka_store.format.names import aside_directory
from pykafka_store.numbers import whole_number

CATALOG_FILE = "metadata.db"
RESERVE_FILE = f"{CATALOG_FILE}-reserve"
GROUPS_FILE = "groups.db"
LOCKS = "locks"
SERVER_LOCK = "server"
"""The lock that a server has on its directory, for as long as it lives."""
GROUPS = "groups"
"""Below it each group has a directory, and in that each member has a lease."""
BROKERS = "brokers"
"""Below it each broker has a log directory of its number, unless it was given others."""
REPAIRED = "repaired"
"""Below it each repair has a directory with copies of what it removed or overwrote."""
OWNER_FILE = "data-directory"
"""In a log directory that lies elsewhere: the path of the data directory that uses it."""
META_TEMPORARY = f"{META_PROPERTIES_FILE}.tmp"
"""What Disk.replace_file writes first."""

_DATABASE_SUFFIXES = ("", "-wal", "-shm", "-journal")
OWN_NAMES = frozenset(
    {META_PROPERTIES_FILE, META_TEMPORARY, RESERVE_FILE, LOCKS, GROUPS, BROKERS, REPAIRED}
    | {f"{name}{suffix}" for name in (CATALOG_FILE, GROUPS_FILE) for suffix in _DATABASE_SUFFIXES}
)
"""The names that may stand in a data directory. Any other file is somebody else's, and no directory that has one is
made a data directory.
"""

LAYOUT_VERSION = 1
"""Of a whole data directory. A newer one is refused, an older one would be migrated."""

Aside = Literal["delete", "stray"]
"""Why a replica's directory was set aside: ``delete``, as it is not needed any more, ``stray``, as no topic has it."""


def log_dir_of(broker: int) -> str:
    """The log directory that a broker has unless it was given others, relative to the data directory."""
    return os.path.join(BROKERS, str(broker))


def is_elsewhere(path: str, stored: str) -> bool:
    """Whether a log directory lies outside the data directory, by its path or by a link. ``stored``: its path as it
    stands in the catalogue, relative if it is one below the data directory.
    """
    return os.path.isabs(stored) or os.path.islink(path) or os.path.islink(os.path.dirname(path))


def names_of_others(disk: Disk, root: str) -> list[str]:
    """What is in a data directory and is not ours, sorted. Raises FileNotFoundError, StorageError."""
    return sorted(set(disk.list(root)) - OWN_NAMES)


def set_aside(disk: Disk, directory: str, kind: Aside) -> str:
    """Rename a replica's directory, so that no reader or writer takes it for one; returns its new path. A caller that
    needs it to outlive a power cut syncs the log directory. Raises FileNotFoundError, StorageError.
    """
    import uuid

    parent, name = os.path.split(directory)
    aside = os.path.join(parent, aside_directory(name, uuid.uuid4().hex, kind))
    disk.rename(directory, aside)
    return aside


# ----------------------------------------------------------------------------------------------------- meta.properties


def read_meta(disk: Disk, directory: str) -> dict[str, str]:
    """The meta.properties of a data directory or a log directory, unchecked. Raises FileNotFoundError, StorageError."""
    return parse_meta_properties(
        disk.read_file(os.path.join(directory, META_PROPERTIES_FILE)).decode("utf-8", "replace")
    )


def check_layout(meta: Mapping[str, str], where: str) -> None:
    """Raises UnsupportedVersionError for a data directory of a newer layout, CorruptRecordError for one without a
    version. ``where`` is the path of its meta.properties.
    """
    text = meta.get("layout.version", "")
    if not (text.isascii() and text.isdigit()):
        raise CorruptRecordError(f"{where} has no layout.version: not a pykafka data directory, or a damaged one")
    version = whole_number(text, 32)
    if version is None or version > LAYOUT_VERSION:
        raise UnsupportedVersionError(
            f"{where} has layout version {text[:20]}, and this pykafka reads up to {LAYOUT_VERSION}: "
            "upgrade pykafka-toolkit"
        )


def write_meta(disk: Disk, root: str, cluster_id: str) -> None:
    """Make a directory a data directory. What is to be in it is on the disk before this is called."""
    meta = {"cluster.id": cluster_id, "version": "1", "layout.version": str(LAYOUT_VERSION)}
    text = format_meta_properties(meta, "a pykafka data directory")
    disk.replace_file(os.path.join(root, META_PROPERTIES_FILE), text.encode())


def format_log_dir(disk: Disk, path: str, cluster_id: str, broker: int, directory_id: str) -> None:
    """Make a directory a broker's log directory: its meta.properties says whose it is."""
    disk.make_directory(path)
    meta = {"cluster.id": cluster_id, "directory.id": directory_id, "node.id": str(broker), "version": "1"}
    text = format_meta_properties(meta, "a log directory of a pykafka broker")
    disk.replace_file(os.path.join(path, META_PROPERTIES_FILE), text.encode())
    disk.sync_directory(os.path.dirname(path))
