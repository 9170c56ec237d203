"""What the leaders of many partitions have published, read as it stands.

Offsets are asked for of thousands of partitions at once, and nearly all of them need one read of one small file, and
nothing of what :class:`pykafka_store.embedded.replication.reader.PartitionReader` does where something is wrong. So
each leader's state is read once, and what does not say all there is to know is left to such a reader: a replica that
is gone or was deleted, a state that is just being written, or one of another boot.

A leader's state says what was so at the moment of the read if that replica leads then. So the catalogue is asked before
and after all of them: where anything in it was changed meanwhile, nothing that was read counts.
"""

from __future__ import annotations

from collections.abc import Iterable

from pykafka_store.embedded.catalog_rows import TopicRow
from pykafka_store.embedded.disk import Disk, boot_id
from pykafka_store.embedded.engine import Engine
from pykafka_store.errors import StoreError
from pykafka_store.format import state as states
from pykafka_store.format.names import partition_directory
from pykafka_store.format.state import PublishedState, parse_state
from pykafka_store.model import TopicPartition, topic_id_bytes


def published_by_leaders(engine: Engine, names: Iterable[TopicPartition]) -> dict[TopicPartition, PublishedState]:
    """The states of those partitions whose leaders have published one that counts; see above for the others."""
    version = engine.catalog.version()
    log_dirs = engine.brokers.all_paths()
    topics: dict[str, tuple[TopicRow, bytes] | None] = {}
    understood: dict[bytes, PublishedState | None] = {}
    found: dict[TopicPartition, PublishedState] = {}
    for name in names:
        if name.topic not in topics:
            row = engine.catalog.topic(name.topic)
            topics[name.topic] = None if row is None else (row, topic_id_bytes(row.id))
        topic = topics[name.topic]
        if topic is None or not 0 <= name.partition < len(topic[0].partitions):
            continue
        partition = topic[0].partitions[name.partition]
        host = None if partition.leader is None else partition.host(partition.leader)
        if host is None or host.broker not in log_dirs:
            continue
        raw = _read(engine.disk, f"{log_dirs[host.broker][host.log_dir]}/{partition_directory(*name)}")
        if raw not in understood:  # those of a topic's empty partitions are all the same
            understood[raw] = _understood(raw)
        state = understood[raw]
        if state is not None and state.topic_id == topic[1]:
            found[name] = state
    return found if engine.catalog.version() == version else {}


def _read(disk: Disk, directory: str) -> bytes:
    """Nothing where it can't be read: whoever asks for that partition alone meets that, and tells it."""
    path = f"{directory}/{states.FILE_NAME}"
    try:
        descriptor = disk.open(path)
    except (FileNotFoundError, StoreError):
        return b""
    try:
        return disk.read_at(descriptor, states.SIZE, 0, path)
    except StoreError:
        return b""
    finally:
        disk.close(descriptor)


def _understood(raw: bytes) -> PublishedState | None:
    try:
        state = parse_state(raw)
    except StoreError:  # it does not check, or is of a version that is not known
        return None
    return state if state.boot_id == boot_id() and not state.deleted else None
