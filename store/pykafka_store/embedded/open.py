"""A data directory opened. One that is missing is made by making.py, which a start that finds one does without."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from pykafka_store.embedded import reserve
from pykafka_store.embedded.catalog import Catalog
from pykafka_store.embedded.clock import Clock
from pykafka_store.embedded.disk import Disk, refuse_network_file_system
from pykafka_store.embedded.engine import Engine
from pykafka_store.embedded.layout import CATALOG_FILE, LOCKS, check_layout, read_meta
from pykafka_store.embedded.locks import Locks
from pykafka_store.errors import StorageError
from pykafka_store.format.checkpoint import META_PROPERTIES_FILE

if TYPE_CHECKING:
    from pykafka_store.embedded.making import NewDirectory


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
            refuse_network_file_system(root)
            _refuse_hard_links(os.path.join(root, CATALOG_FILE))
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
        from pykafka_store.embedded.making import is_in_use, lost_meta, make_data_directory

        if create:
            made = make_data_directory(disk, locks, root, new)
            if new is not None and not made:  # another process was first
                raise _is_one_already(root) from None
            return made
        if not is_in_use(disk, root):
            raise not_a_data_directory(disk, root) from None
        try:
            meta = read_meta(disk, root)  # another process may have made it, and topics in it, since we looked
        except FileNotFoundError:
            raise lost_meta(root) from None
    if new is not None:
        raise _is_one_already(root)
    check_layout(meta, path)
    return False


def _is_one_already(root: str) -> StorageError:
    return StorageError(f"{root} is a data directory already")


def _refuse_hard_links(path: str) -> None:
    """Raises StorageError for a database that is another directory's as well, as in a copy by ``cp -l``: what is
    committed stands in a WAL by each name, and of two of them one is lost. Source: SQLite, How To Corrupt, 2.5.
    """
    with suppress(FileNotFoundError):
        names = os.stat(path).st_nlink
        if names > 1:
            raise StorageError(
                f"{path} has {names} names (hard links, as of cp -l), and what is written by one of them is lost by "
                "the others: make the copy one of its own (cp -a it elsewhere, and remove it)"
            )


def not_a_data_directory(disk: Disk, root: str) -> StorageError:
    """The error for a directory that nothing of ours is in."""
    state = "is not a pykafka data directory" if disk.exists(root) else "does not exist"
    return StorageError(f"{root} {state}: create a topic in it first (kafka-topics --create --topic NAME)")
