"""A data directory made. One that has a meta.properties is one, so that is written last."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import closing

from pykafka_store.embedded.catalog import Catalog
from pykafka_store.embedded.catalog_rows import LogDirRow
from pykafka_store.embedded.database import UnfinishedDatabaseError
from pykafka_store.embedded.disk import Disk, refuse_network_file_system
from pykafka_store.embedded.layout import (
    BROKERS,
    CATALOG_FILE,
    GROUPS,
    GROUPS_FILE,
    LOCKS,
    format_log_dir,
    log_dir_of,
    names_of_others,
    write_meta,
)
from pykafka_store.embedded.locks import Locks
from pykafka_store.embedded.owner import claim, require_unused
from pykafka_store.errors import StorageError
from pykafka_store.format.checkpoint import META_PROPERTIES_FILE
from pykafka_store.model import random_topic_id

FIRST_BROKER = 0


class NewDirectory:
    """What a new data directory begins with. ``log_dirs``: besides the one below the data directory."""

    def __init__(self, cluster_id: str, broker: int = FIRST_BROKER, log_dirs: Sequence[str] = ()) -> None:
        self.cluster_id = cluster_id
        self.broker = broker
        self.log_dirs = log_dirs


def make_data_directory(disk: Disk, locks: Locks, root: str, new: NewDirectory | None) -> bool:
    """Make a data directory, or finish one whose making was killed. Of several processes one makes it: whether this."""
    new = new or NewDirectory(random_topic_id())
    # Of a link whose directory is gone, that is made again.
    disk.make_directory(os.path.realpath(root) if os.path.islink(root) else root)
    refuse_network_file_system(root)
    others = names_of_others(disk, root)
    if others:
        raise StorageError(
            f"{root} is not a pykafka data directory and not empty ({others[0]} is in it): choose another"
        )
    for log_dir in new.log_dirs:
        require_unused(disk, log_dir, root)
    disk.make_directory(os.path.join(root, LOCKS))
    with locks.cluster():
        if disk.exists(os.path.join(root, META_PROPERTIES_FILE)):
            return False  # another process was first
        if _has_groups(disk, root):
            raise lost_meta(root)
        with closing(Catalog(root, create=True)) as catalog:
            if catalog.is_in_use():
                raise lost_meta(root)
            for name in (GROUPS, log_dir_of(new.broker)):
                disk.make_directory(os.path.join(root, name))
            with catalog.transaction():
                more = [LogDirRow(log_dir, random_topic_id()) for log_dir in new.log_dirs]
                for row in more:
                    format_log_dir(disk, row.path, new.cluster_id, new.broker, row.directory_id or "")
                    claim(disk, row.path, root)
                catalog.add_broker(new.broker, [LogDirRow(log_dir_of(new.broker)), *more])
        # What meta.properties speaks for is on the disk before it is.
        disk.sync_directory(os.path.join(root, BROKERS))
        write_meta(disk, root, new.cluster_id)
    return True


def is_in_use(disk: Disk, root: str) -> bool:
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


def lost_meta(root: str) -> StorageError:
    return StorageError(
        f"{root} has lost its {META_PROPERTIES_FILE}, which has the cluster.id: mend it with pykafka doctor --repair"
    )
