"""What is left of deleted topics: their directories go, also where the deleting was cut short.

A topic is gone when the catalogue says so, and in the same transaction it notes what is to be taken away. Then each
partition's state is marked as deleted, and its directory renamed, under its lock, if anybody ever had that; the note
goes; and the files are removed, which takes long and needs no lock. A kill before the note is gone leaves it to
``pykafka maintain``, by which a directory of a deleted topic is told from one of a topic that an older catalogue does
not know. A kill after that leaves directories that are called ``….<hex>-delete``.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext

from pykafka_store.embedded.engine import Engine
from pykafka_store.embedded.layout import set_aside
from pykafka_store.embedded.partitions import owner_of
from pykafka_store.errors import StoreError
from pykafka_store.format.names import partition_directory


def take_away(engine: Engine, topic_id: str, directories: Mapping[int, Sequence[str]]) -> tuple[list[str], bool]:
    """Mark what lies there as deleted, by partition number, and rename it. Needs the cluster's lock, and the catalogue
    to say by now that the topic is gone: a lock that has no file is nobody's then, and is not taken.

    Returns the new paths, to be removed, and whether that is all: where a disk fails its replica stays. Raises
    TimeoutError where a writer is frozen.
    """
    from pykafka_store.embedded.log.replica_state import mark_deleted

    disk = engine.disk
    aside = []
    complete = True
    locked = engine.locks.made_for(topic_id, directories)
    for partition, some in directories.items():
        with engine.locks.partition(topic_id, partition) if partition in locked else nullcontext():
            for directory in some:
                try:
                    mark_deleted(disk, directory)
                    aside.append(set_aside(disk, directory, "delete"))
                except FileNotFoundError:
                    pass  # not every log directory has one
                except StoreError:
                    complete = False
        if partition in locked:
            engine.locks.forget_partition(topic_id, partition)
    return aside, complete


def remove(engine: Engine, aside: Iterable[str]) -> None:
    """Remove directories that were taken away. What a kill leaves of them is upkeep's."""
    for directory in aside:
        engine.disk.remove_tree(directory)


def finish_deletions(engine: Engine) -> int:
    """Take away and remove what is left of topics whose deleting was cut short; returns the number of directories.
    Raises StoreError.
    """
    if not engine.catalog.deletions():
        return 0
    aside: list[str] = []
    with engine.locks.cluster():
        for topic_id, (name, partitions) in engine.catalog.deletions().items():
            found, everywhere = _directories(engine, topic_id, name, partitions)
            some, complete = take_away(engine, topic_id, found)
            aside += some
            if everywhere and complete:
                with engine.catalog.transaction():
                    engine.catalog.forget_deletion(topic_id)
    remove(engine, aside)
    return len(aside)


def _directories(engine: Engine, topic_id: str, name: str, partitions: int) -> tuple[dict[int, list[str]], bool]:
    """Where replicas of a topic that is gone lie, by partition, and whether all log directories could be looked at."""
    found: dict[int, list[str]] = {}
    complete = True
    for paths in engine.brokers.all_paths().values():
        for path in paths:
            try:
                there = set(engine.disk.list(path))
            except (FileNotFoundError, StoreError):
                complete = False  # until its disk is back
                continue
            for partition in range(partitions):
                directory = os.path.join(path, partition_directory(name, partition))
                if os.path.basename(directory) in there and owner_of(engine.disk, directory) == topic_id:
                    found.setdefault(partition, []).append(directory)
    return found, complete
