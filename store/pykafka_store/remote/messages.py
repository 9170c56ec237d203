"""Records by column: where a run for librdkafka has to be cut, and its messages as runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pykafka_store.format.batch import HEADER_SIZE, record_size_upper_bound
from pykafka_store.model import Header, Records, TimestampType, TopicPartition

NO_TIMESTAMP = -1
_LOG_APPEND = 2
"""librdkafka's number for timestamps that the broker set; 1 for the producer's, 0 for none."""


def records_of(partition: TopicPartition, messages: list[Any]) -> list[Records]:
    """The messages of one partition as runs, each with one leader epoch and one type of timestamp."""
    stamps = [message.timestamp() for message in messages]
    epochs = [message.leader_epoch() for message in messages]
    cuts = [
        index
        for index in range(1, len(messages))
        if epochs[index] != epochs[index - 1] or stamps[index][0] != stamps[index - 1][0]
    ]
    run = Records(
        partition.topic,
        partition.partition,
        offsets=[message.offset() for message in messages],
        timestamps=[stamp if kind else NO_TIMESTAMP for kind, stamp in stamps],
        keys=[message.key() for message in messages],
        values=[message.value() for message in messages],
        headers=[message.headers() or () for message in messages],
    )
    runs = []
    for start, stop in zip([0, *cuts], [*cuts, len(messages)], strict=True):
        part = run if not cuts else run.slice(start, stop)
        part.leader_epoch = -1 if epochs[start] is None else epochs[start]
        if stamps[start][0] == _LOG_APPEND:
            part.timestamp_type = TimestampType.LOG_APPEND_TIME
        runs.append(part)
    return runs


def cuts(
    values: Sequence[bytes | None],
    keys: Sequence[bytes | None] | None,
    headers: Sequence[Sequence[Header]] | None,
    limit: int,
) -> Iterator[tuple[int, int]]:
    """(start, stop) of runs that fit into a batch of ``limit`` bytes each, or of one record that is larger."""
    start, size = 0, HEADER_SIZE
    for index, value in enumerate(values):
        fields = headers[index] if headers is not None else ()
        length = record_size_upper_bound(None if keys is None else keys[index], value, fields) - HEADER_SIZE
        if index > start and size + length > limit:
            yield start, index
            start, size = index, HEADER_SIZE
        size += length
    yield start, len(values)
