"""Offsets of a Kafka cluster's partitions: where a time is in the log, and where the log begins."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import SimpleNamespace

from confluent_kafka import TopicPartition as TheirPartition
from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined]  # it is there, in no __all__

from pykafka_store.errors import InvalidRequestError, StoreError
from pykafka_store.model import OffsetAt, TopicPartition
from pykafka_store.remote.admin.requests import Requests
from pykafka_store.remote.admin.topics import TopicAdmin
from pykafka_store.remote.errors import broker_error
from pykafka_store.remote.partitions import from_librdkafka, to_librdkafka

SETTLING = 5.0
"""Seconds in which a partition is asked again that can't answer just now."""

_TIERED = {OffsetAt.EARLIEST_LOCAL: 8, OffsetAt.LATEST_TIERED: 9, OffsetAt.EARLIEST_PENDING_UPLOAD: 11}
"""What only tiered storage knows, and the first version of ListOffsets that asks for it."""


class OffsetAdmin:
    def __init__(self, requests: Requests, topics: TopicAdmin) -> None:
        self._requests = requests
        self._topics = topics

    def list_offsets(self, at: Mapping[TopicPartition, int | OffsetAt]) -> dict[TopicPartition, int | Exception]:
        answers: dict[TopicPartition, int | Exception] = dict(self._topics.missing(at))
        asked: dict[TheirPartition, OffsetSpec] = {}
        for partition, when in at.items():
            if partition in answers:
                continue
            if when not in _TIERED and when < OffsetAt.MAX_TIMESTAMP:
                why = f"{when} is neither a timestamp nor one of ListOffsets' special ones"
                answers[partition] = InvalidRequestError(why)
            elif when not in _TIERED:
                asked[TheirPartition(*partition)] = _numbered(when)
            else:
                try:
                    answers[partition] = self._asked_of_leader(partition, when)
                except StoreError as error:
                    answers[partition] = error
        deadline = time.monotonic() + SETTLING
        while asked:
            again = {}
            for theirs, future in self._requests.client.list_offsets(asked, **self._requests.timeouts).items():
                partition = from_librdkafka(theirs)
                try:
                    answers[partition] = self._requests.answer(future).offset
                except StoreError as error:
                    answers[partition] = error
                    if error.retriable:
                        again[theirs] = asked[theirs]
            # A topic was just made, or a leader lost: brokers agree on who leads in a moment, and librdkafka does not
            # wait for that.
            asked = again if time.monotonic() < deadline else {}
            if asked:
                time.sleep(0.05)
        return {partition: answers[partition] for partition in at}

    def _asked_of_leader(self, partition: TopicPartition, when: int) -> int:
        """For the special times that librdkafka does not know: all of tiered storage."""
        network = self._requests.network
        asked = SimpleNamespace(partition_index=partition.partition, current_leader_epoch=-1, timestamp=int(when))
        body = SimpleNamespace(
            replica_id=-1,
            isolation_level=0,
            topics=[SimpleNamespace(name=partition.topic, partitions=[asked])],
            timeout=network.timeout_ms,
        )
        leader = network.leaders(partition.topic)[partition.partition]
        answer = network.ask("list_offsets", body, to=leader, least=_TIERED[OffsetAt(when)])
        (found,) = answer.topics[0].partitions
        if found.error_code:
            raise broker_error(found.error_code, None)
        return int(found.offset)

    def delete_records(self, before: Mapping[TopicPartition, int]) -> dict[TopicPartition, int | Exception]:
        self._requests.require_writable()
        answers: dict[TopicPartition, int | Exception] = dict(self._topics.missing(before))
        asked = to_librdkafka({each: offset for each, offset in before.items() if each not in answers})
        futures = self._requests.client.delete_records(asked, **self._requests.timeouts) if asked else {}
        for theirs, future in futures.items():
            partition = from_librdkafka(theirs)
            try:
                answers[partition] = self._requests.answer(future).low_watermark
            except StoreError as error:
                answers[partition] = error
        return {partition: answers[partition] for partition in before}


def _numbered(when: int) -> OffsetSpec:
    """librdkafka's numbers for the special timestamps are Kafka's."""
    return OffsetSpec(when)  # type: ignore[abstract]  # its constructor picks one of its heirs
