"""ListOffsets and OffsetForLeaderEpoch: questions about a partition's offsets."""

from __future__ import annotations

from typing import Any

from pykafka_store.embedded.serving.partitions import ServedPartition
from pykafka_store.errors import StoreError, UnsupportedVersionError
from pykafka_store.model import OffsetAt
from pykafka_store.wire.broker import Broker, code_of
from pykafka_store.wire.fetch import check_leader_epoch
from pykafka_store.wire.protocol import Reply, Request

_VERSIONS_OF = {
    OffsetAt.MAX_TIMESTAMP: 7,
    OffsetAt.EARLIEST_LOCAL: 8,
    OffsetAt.LATEST_TIERED: 9,
    OffsetAt.EARLIEST_PENDING_UPLOAD: 11,
}
"""The version of ListOffsets from which on a special timestamp may be asked for (KIP-734, 405, 1005, 1023)."""

_NOWHERE = (-1, -1, -1)


class OffsetsApi:
    """Answers what the module says."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def list_offsets(self, request: Request) -> Reply:
        """The offset at a point in time, and the time of the record there, a partition each."""
        committed_only = getattr(request.body, "isolation_level", 0) == 1
        topics = [
            Reply(
                name=topic.name,
                partitions=[
                    self._at(topic, each, request.version, committed_only=committed_only) for each in topic.partitions
                ],
            )
            for topic in request.body.topics
        ]
        return Reply(topics=topics)

    def _at(self, topic: Any, asked: Any, version: int, *, committed_only: bool) -> Reply:
        try:
            partition = self._broker.partition(self._broker.topic(topic.name, None), asked.partition_index)
            check_leader_epoch(partition, getattr(asked, "current_leader_epoch", -1))
            offset, stamp, epoch = self._find(partition, asked.timestamp, version, committed_only=committed_only)
        except StoreError as error:
            return Reply(
                partition_index=asked.partition_index,
                error_code=code_of(error),
                timestamp=-1,
                offset=-1,
                leader_epoch=-1,
            )
        return Reply(partition_index=asked.partition_index, timestamp=stamp, offset=offset, leader_epoch=epoch)

    def _find(
        self, partition: ServedPartition, when: int, version: int, *, committed_only: bool
    ) -> tuple[int, int, int]:
        """(offset, timestamp, leader epoch), -1 where there is none. Source: ReplicaManager.fetchOffset."""
        if when < 0 and version < _VERSIONS_OF.get(when, 1 if when in set(OffsetAt) else 1 << 15):  # type: ignore[call-overload]
            raise UnsupportedVersionError(f"ListOffsets {version} has no timestamp {when}")
        state = partition.reader.state()
        end = partition.reader.last_stable_offset() if committed_only else state.high_watermark
        match when:
            case OffsetAt.LATEST:
                return end, -1, state.leader_epoch
            case OffsetAt.EARLIEST | OffsetAt.EARLIEST_LOCAL:
                return state.log_start_offset, -1, partition.epoch_at(state.log_start_offset)
            case OffsetAt.LATEST_TIERED | OffsetAt.EARLIEST_PENDING_UPLOAD:
                return _NOWHERE  # nothing is tiered here
            case OffsetAt.MAX_TIMESTAMP:
                found = partition.reader.offset_of_max_timestamp()
            case _:
                found = partition.reader.offset_for_timestamp(when)
        if found is None or found[0] >= end:
            return _NOWHERE
        return found[0], found[1], partition.epoch_at(found[0])

    def offset_for_leader_epoch(self, request: Request) -> Reply:
        """Where a leader epoch ends: how a client finds that what it has read was cut off (KIP-320)."""
        topics = [
            Reply(topic=topic.topic, partitions=[self._end(topic, each) for each in topic.partitions])
            for topic in request.body.topics
        ]
        return Reply(topics=topics)

    def _end(self, topic: Any, asked: Any) -> Reply:
        try:
            partition = self._broker.partition(self._broker.topic(topic.topic, None), asked.partition)
            check_leader_epoch(partition, asked.current_leader_epoch)
            epoch, offset = partition.end_of_epoch(asked.leader_epoch)
        except StoreError as error:
            return Reply(partition=asked.partition, error_code=code_of(error), leader_epoch=-1, end_offset=-1)
        return Reply(partition=asked.partition, leader_epoch=epoch, end_offset=offset)
