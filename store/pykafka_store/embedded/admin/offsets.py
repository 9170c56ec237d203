"""Offsets of partitions: asked for, and raised at the front, which deletes records."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from operator import attrgetter
from typing import TYPE_CHECKING

from pykafka_store.embedded.admin.elections import settle_partition
from pykafka_store.embedded.engine import Engine
from pykafka_store.embedded.partitions import HostedPartition, all_hosted, hosted
from pykafka_store.errors import (
    InvalidRequestError,
    InvalidTopicError,
    LeaderNotAvailableError,
    PolicyViolationError,
    StoreError,
    not_hosted,
)
from pykafka_store.model import INTERNAL_TOPICS, OFFSETS_TOPIC, OffsetAt, TopicPartition

if TYPE_CHECKING:
    from pykafka_store.embedded.replication.reader import PartitionReader
    from pykafka_store.format.state import PublishedState

_OF_STATE: Mapping[int, Callable[[PublishedState], int]] = {
    OffsetAt.LATEST: attrgetter("high_watermark"),
    OffsetAt.EARLIEST: attrgetter("log_start_offset"),
    OffsetAt.EARLIEST_LOCAL: attrgetter("log_start_offset"),
}
"""The places in a log that its published state names."""


class OffsetAdmin:
    """See :class:`pykafka_store.api.Admin`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def list_offsets(self, at: Mapping[TopicPartition, int | OffsetAt]) -> dict[TopicPartition, int | Exception]:
        from pykafka_store.embedded.replication.published import published_by_leaders

        states = published_by_leaders(self._engine, (each for each, when in at.items() if when in _OF_STATE))
        others = [each for each in at if each not in states]
        hosts = dict(zip(others, all_hosted(self._engine, others, gone=" while it was read"), strict=True))
        answers: dict[TopicPartition, int | Exception] = {}
        for partition, when in at.items():
            state = states.get(partition)
            if state is not None:
                answers[partition] = _OF_STATE[when](state)
                continue
            try:
                answers[partition] = self._offset_at(self._reader(partition, hosts[partition]), when)
            except StoreError as error:
                answers[partition] = error
        return answers

    def _reader(self, name: TopicPartition, partition: HostedPartition | None) -> PartitionReader:
        from pykafka_store.embedded.replication.reader import PartitionReader

        if partition is not None:
            return PartitionReader(partition)
        if name.topic != OFFSETS_TOPIC:
            raise not_hosted()
        from pykafka_store.embedded.replication.offsets_view import reader_of

        return reader_of(self._engine, name)

    def _offset_at(self, reader: PartitionReader, when: int | OffsetAt) -> int:
        try:
            match when:
                case OffsetAt.LATEST | OffsetAt.EARLIEST | OffsetAt.EARLIEST_LOCAL:
                    return _OF_STATE[when](reader.state())
                case OffsetAt.LATEST_TIERED | OffsetAt.EARLIEST_PENDING_UPLOAD:
                    return -1  # nothing is tiered here
                case OffsetAt.MAX_TIMESTAMP:
                    at = reader.offset_of_max_timestamp()
                case _ if when < 0:
                    raise InvalidRequestError(f"{when} is neither a timestamp nor one of ListOffsets' special ones")
                case _:
                    at = reader.offset_for_timestamp(int(when))
        finally:
            reader.close()
        return -1 if at is None else at[0]

    def delete_records(self, before: Mapping[TopicPartition, int]) -> dict[TopicPartition, int | Exception]:
        self._engine.require_writable()
        self._engine.make_room()
        answers: dict[TopicPartition, int | Exception] = {}
        for partition, offset in before.items():
            try:
                answers[partition] = self._delete_records(partition, offset)
            except StoreError as error:
                answers[partition] = error
        return answers

    def _delete_records(self, partition: TopicPartition, offset: int) -> int:
        """Source: Partition#deleteRecordsOnLeader, ReplicaManager#deleteRecordsOnLocalLog."""
        from pykafka_store.embedded.log.retention import CHECK_INTERVAL_MS
        from pykafka_store.embedded.replication.upkeep import upkeep_of

        here = hosted(self._engine, partition) if partition.topic != OFFSETS_TOPIC else None
        if here is None or partition.topic in INTERNAL_TOPICS:
            raise InvalidTopicError("The request attempted to perform an operation on an invalid topic.")
        row = self._engine.catalog.require_topic(partition.topic)
        policy = self._engine.topic_config(row.configs, row.first_leader).cleanup_policy
        if policy == {"compact"}:
            raise PolicyViolationError("Request parameters do not satisfy the configured policy.")
        settle_partition(here)  # so that all that are in sync can be written to
        replicas = upkeep_of(here)
        if not replicas:  # the last broker that had one in sync was stopped just now
            raise LeaderNotAvailableError(f"{here.label} has no leader, and no replica is in sync")
        lowest = replicas[0].raise_log_start(offset)
        for replica in replicas:
            # The records are gone, as no reader gets them. Their files go now, or with the next pass.
            with suppress(StoreError, FileNotFoundError):
                replica.run(patience_ms=CHECK_INTERVAL_MS)
        here.close_locks()
        return lowest
