"""A data directory opened, or made. One that has a meta.properties is one, so that is written last."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing
from typing import NamedTuple

from pykafka_store.embedded import reserve
from pykafka_store.embedded.catalog import Catalog, LogDirRow
from pykafka_store.embedded.clock import Clock
from pykafka_store.embedded.database import UnfinishedDatabaseError
from pykafka_store.embedded.disk import Disk, network_file_system
from pykafka_store.embedded.engine import Engine
from pykafka_store.embedded.layout import (
    BROKERS,
    CATALOG_FILE,
    GROUPS,
    GROUPS_FILE,
    LOCKS,
    check_layout,
    format_log_dir,
    log_dir_of,
    names_of_others,
    read_meta,
    write_meta,
)
from pykafka_store.embedded.locks import Locks
from pykafka_store.errors import StorageError
from pykafka_store.format.checkpoint import META_PROPERTIES_FILE
from pykafka_store.model import random_topic_id

FIRST_BROKER = 0


class NewDirectory(NamedTuple):
    """What a new data directory begins with."""

    cluster_id: str
    broker: int = FIRST_BROKER
    log_dirs: tuple[str, ...] = ()
    """Besides the one below the data directory."""


def open_engine(
    directory: str,
    *,
    create: bool,
    read_only: bool = False,
    disk: Disk | None = None,
    clock: Clock | None = None,
    new: NewDirectory | None = None,
    on_made: Callable[[str], None] | None = None,
) -> Engine:
    """Open a data directory, made if it is none and ``create`` is true. With ``new`` it must not be one yet.
    ``on_made`` is called with its path if it was made here.

    Raises UnsupportedVersionError for one of a newer layout, CorruptRecordError for one whose meta.properties is
    damaged, StorageError for what is none, can't be made one, can't be used, or has lost its meta.properties: it may
    still have topics or groups, and they keep their cluster.id (``pykafka doctor --repair`` finds it).
    """
    root = os.path.abspath(os.path.expanduser(directory))
    disk, clock = disk or Disk(), clock or Clock()
    locks = Locks(os.path.join(root, LOCKS), disk, clock)
    try:
        made = _open_directory(disk, locks, root, create=create and not read_only, new=new)
        read_only = read_only or not disk.may_write(root)
        if not read_only:
            _refuse_network_file_system(root)
            reserve.keep(root)
        catalog = Catalog(root, read_only=read_only)
    except BaseException:
        locks.close()
        raise
    if made and on_made is not None:
        on_made(root)
    return Engine(root, disk, clock, locks, catalog, read_only=read_only)


def _open_directory(disk: Disk, locks: Locks, root: str, *, create: bool, new: NewDirectory | None) -> bool:
    """Check that ``root`` is a data directory, and make it one if it is none and ``create`` is true: whether it was
    made here.
    """
    path = os.path.join(root, META_PROPERTIES_FILE)
    try:
        meta = read_meta(disk, root)
    except FileNotFoundError:
        if create:
            return _make_directory(disk, locks, root, new or NewDirectory(random_topic_id()))
        if not _is_in_use(disk, root):
            raise not_a_data_directory(disk, root) from None
        try:
            meta = read_meta(disk, root)  # another process may have made it, and topics in it, since we looked
        except FileNotFoundError:
            raise _lost_meta(root) from None
    if new is not None:
        raise StorageError(f"{root} is a data directory already")
    check_layout(meta, path)
    return False


def _refuse_network_file_system(root: str) -> None:
    """Raises StorageError for a data directory whose locks can't be trusted, unless the user insists."""
    if os.environ.get("PYKAFKA_ALLOW_NETWORK_FS") == "1":
        return
    kind = network_file_system(root)
    if kind:
        raise StorageError(
            f"{root} lies on a network file system ({kind}), where locks can't be trusted: use a local "
            "disk, or set PYKAFKA_ALLOW_NETWORK_FS=1 if only one host uses it"
        )


def not_a_data_directory(disk: Disk, root: str) -> StorageError:
    """The error for a directory that nothing of ours is in."""
    state = "is not a pykafka data directory" if disk.exists(root) else "does not exist"
    return StorageError(f"{root} {state}: create a topic in it first (kafka-topics --create --topic NAME)")


def _make_directory(disk: Disk, locks: Locks, root: str, new: NewDirectory) -> bool:
    """Make a data directory, or finish one whose making was killed. Of several processes one makes it: whether this."""
    # Of a link whose directory is gone, that is made again.
    disk.make_directory(os.path.realpath(root) if os.path.islink(root) else root)
    _refuse_network_file_system(root)
    others = names_of_others(disk, root)
    if others:
        raise StorageError(
            f"{root} is not a pykafka data directory and not empty ({others[0]} is in it): choose another"
        )
    disk.make_directory(os.path.join(root, LOCKS))
    with locks.cluster():
        if disk.exists(os.path.join(root, META_PROPERTIES_FILE)):
            return False  # another process was first
        if _has_groups(disk, root):
            raise _lost_meta(root)
        with closing(Catalog(root, create=True)) as catalog:
            if catalog.is_in_use():
                raise _lost_meta(root)
            for name in (GROUPS, log_dir_of(new.broker)):
                disk.make_directory(os.path.join(root, name))
            with catalog.transaction():
                more = [LogDirRow(log_dir, random_topic_id()) for log_dir in new.log_dirs]
                for row in more:
                    format_log_dir(disk, row.path, new.cluster_id, new.broker, row.directory_id or "")
                catalog.add_broker(new.broker, [LogDirRow(log_dir_of(new.broker)), *more])
        # What meta.properties speaks for is on the disk before it is.
        disk.sync_directory(os.path.join(root, BROKERS))
        write_meta(disk, root, new.cluster_id)
    return True


def _is_in_use(disk: Disk, root: str) -> bool:
    """Whether a directory without a meta.properties has what only a data directory can have. One whose making was
    killed, or goes on, has none of it.
    """
    if _has_groups(disk, root):
        return True
    if not disk.exists(os.path.join(root, CATALOG_FILE)):
        return False
    try:
        with closing(Catalog(root, read_only=True)) as catalog:
            return catalog.is_in_use()
    except UnfinishedDatabaseError:
        return False


def _has_groups(disk: Disk, root: str) -> bool:
    return disk.size_of(os.path.join(root, GROUPS_FILE)) > 0


def _lost_meta(root: str) -> StorageError:
    return StorageError(
        f"{root} has lost its {META_PROPERTIES_FILE}, which has the cluster.id: mend it with pykafka doctor --repair"
    )
