"""A topic as the place of dead letters, in the form of Kafka Connect's.

The record goes on with its key, value, headers and timestamp, and headers say whence it came and why. A topic is in no
transaction of the database, so the letters of a batch are acknowledged before it is committed: after a kill between the
two they come once more. Letters in a table come once.

Source: org.apache.kafka.connect.runtime.errors.DeadLetterQueueReporter.
"""

from __future__ import annotations

from collections.abc import Mapping

from pykafka_store.api import Producer
from pykafka_store.model import Records, TopicPartition
from pykafka_store.sink.target import Claim, DeadLetter

PREFIX = "__connect.errors."


class LetterTopic:
    def __init__(self, producer: Producer, topic: str) -> None:
        self.producer = producer
        self._topic = topic
        self._sent: set[tuple[TopicPartition, int, str | None]] = set()
        """What was sent for batches that are not committed yet, and may be written again."""

    def add(self, letter: DeadLetter, run: Records, at: int) -> None:
        """Send a letter about record ``at`` of a run, unless it was sent before."""
        place = TopicPartition(letter.topic, letter.partition), letter.offset, letter.column
        if place in self._sent:
            return
        self._sent.add(place)
        told: dict[str, str | None] = {
            "topic": letter.topic,
            "partition": str(letter.partition),
            "offset": str(letter.offset),
            "exception.message": letter.reason,
            "column": letter.column,
        }
        headers = [(PREFIX + name, text.encode()) for name, text in told.items() if text is not None]
        self.producer.send(
            self._topic,
            [run.values[at]],
            keys=[run.keys[at]],
            headers=[[*run.headers[at], *headers]],
            timestamps=[run.timestamps[at]],
        )

    def forget_before(self, claims: Mapping[TopicPartition, Claim]) -> None:
        """Batches were committed: what came before these offsets is not written again by this sink."""
        self._sent = {place for place in self._sent if place[0] in claims and place[1] >= claims[place[0]].next}
