"""librdkafka's messages -> runs of records by column."""

from __future__ import annotations

from typing import Any

from pykafka_store.model import Records, TimestampType, TopicPartition

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
