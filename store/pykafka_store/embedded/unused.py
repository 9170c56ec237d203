"""A data directory that holds nothing yet, put out of the way of the one that is to have its place."""

from __future__ import annotations

import os
import sqlite3
import time
import uuid
from contextlib import closing
from typing import NamedTuple

from pykafka_store.embedded.catalog import Catalog
from pykafka_store.embedded.clock import Clock
from pykafka_store.embedded.database import uri
from pykafka_store.embedded.disk import Disk
from pykafka_store.embedded.layout import (
    CATALOG_FILE,
    GROUPS_FILE,
    LOCKS,
    SERVER_LOCK,
    names_of_others,
    read_meta,
)
from pykafka_store.embedded.locks import Locks
from pykafka_store.errors import StorageError
from pykafka_store.format.checkpoint import META_PROPERTIES_FILE

_PATIENCE = 5.0
"""Seconds for others to close the catalogue, as a command does that looks whether there is a broker."""


class SetAside(NamedTuple):
    """Where it is, and whose it was."""

    path: str
    cluster_id: str


def set_aside_unused(root: str) -> SetAside | None:
    """Rename a data directory in which nothing was ever done. None where it is none, has a server, something of a
    user's in it, or is in use for seconds.

    A kill leaves it where it was, or renamed. Raises StorageError.
    """
    disk = Disk()
    try:
        return _set_aside(disk, root)
    except FileNotFoundError:
        return None  # it is none, or somebody else was first
    except StorageError:
        if disk.exists(os.path.join(root, META_PROPERTIES_FILE)):
            raise
        return None  # it went amid this


def _set_aside(disk: Disk, root: str) -> SetAside | None:
    """See ``set_aside_unused``. Raises FileNotFoundError, too."""
    cluster_id = read_meta(disk, root).get("cluster.id", "")
    if os.path.islink(root) or names_of_others(disk, root) or disk.exists(os.path.join(root, GROUPS_FILE)):
        return None
    locks = Locks(os.path.join(root, LOCKS), disk, Clock())
    try:
        if locks.kept_by(SERVER_LOCK) is not None:
            return None
    finally:
        locks.close()
    with closing(Catalog(root)) as catalog:
        if catalog.is_in_use():
            return None
    aside = f"{root}.unused-{uuid.uuid4().hex[:8]}"
    try:
        return SetAside(aside, cluster_id) if _renamed(disk, root, aside, cluster_id) else None
    except sqlite3.Error:  # somebody else was first, and it is gone, or is being made anew
        return None


def _renamed(disk: Disk, root: str, aside: str, cluster_id: str) -> bool:
    """Rename it while nobody else has its catalogue open: SQLite would remove the WAL of whatever has the name then.
    False where it is used, or another one by now than that of the cluster id. Raises sqlite3.Error, FileNotFoundError.
    """
    place = uri(os.path.join(root, CATALOG_FILE), "rw")
    connection = sqlite3.connect(place, uri=True, isolation_level=None, timeout=_PATIENCE)
    with closing(connection):
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        if not _is_alone(connection):
            return False
        connection.execute("BEGIN EXCLUSIVE")
        is_used = connection.execute("SELECT EXISTS (SELECT * FROM topics) OR EXISTS (SELECT * FROM configs)")
        is_another = read_meta(disk, root).get("cluster.id", "") != cluster_id
        if is_used.fetchone()[0] or is_another or os.path.exists(os.path.join(root, GROUPS_FILE)):
            connection.execute("ROLLBACK")
            connection.execute("PRAGMA journal_mode = WAL")
            return False
        disk.rename(root, aside)
        connection.execute("ROLLBACK")
    return True


def _is_alone(connection: sqlite3.Connection) -> bool:
    """Have the catalogue without a WAL, which SQLite refuses while anybody else has it open."""
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            connection.execute("PRAGMA journal_mode = DELETE")
        except sqlite3.OperationalError:
            if time.monotonic() > end:
                return False
            time.sleep(0.01)
        else:
            return True
