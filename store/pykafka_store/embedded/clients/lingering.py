"""The producer whose records wait for others: for ``linger.ms``, or until there is ``batch.size`` of them, ``flush`` or
``close``. An append costs as much as hundreds of records, so a record at a time would cost hundreds of times as much.

A column that is a batch by itself does not wait; what waited is appended before it. Records are checked when they are
sent, and their time is of then. What becomes of them is told in the caller's thread, from within ``send``, ``flush``
and ``close``: where the thread of linger.py appended them, the next of these tells. All is attempted before the first
failure is raised.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING

from pykafka_store.embedded.clients.linger import Linger
from pykafka_store.embedded.clients.outgoing import OutgoingRecords, Waiting, made_sendable, record_lengths, total
from pykafka_store.embedded.clients.producer import EmbeddedProducer
from pykafka_store.embedded.clients.topics import Topic
from pykafka_store.embedded.engine import Engine
from pykafka_store.embedded.forks import keep_out_of_forks
from pykafka_store.errors import StoreError
from pykafka_store.settings.client_configs import ClientConfig
from pykafka_store.threads import threads_take_turns

if TYPE_CHECKING:
    from pykafka_store.model import Delivery, Header, SendFailure

BUFFER_MEMORY = 32 << 20
"""Kafka's default of ``buffer.memory``: bytes of records that wait at most."""


@threads_take_turns
class LingeringProducer(EmbeddedProducer):
    """See :class:`pykafka_store.api.Producer`."""

    def __init__(
        self,
        engine: Engine,
        config: Mapping[str, str] | None,
        linger: float,
        on_delivery: Callable[[Delivery], None] | None = None,
        on_failure: Callable[[SendFailure], None] | None = None,
        on_notice: Callable[[str], None] | None = None,
    ) -> None:
        """``linger`` in seconds."""
        super().__init__(engine, config, on_delivery, on_failure, on_notice)
        self._linger = linger
        self._buffer_memory = ClientConfig("producer", config).number("buffer.memory", BUFFER_MEMORY, low=0)
        self._waiting: dict[str, tuple[Topic, Waiting]] = {}
        """By topic, which is as it was when the first of them was sent."""
        self._size = 0
        """Bytes of all that wait, about."""
        self._untold: deque[Delivery | SendFailure] = deque()
        """What became of records, and nobody was told of yet."""
        self._unforeseen: Exception | None = None
        """What was raised in the thread, where nobody would see it."""
        self._thread = self._new_thread()
        engine.clients.add(self)
        keep_out_of_forks(self)

    def _new_thread(self) -> Linger:
        return Linger(self.turns, self._clock, self._linger, self._due, self._append_in_time, self.close)

    # --------------------------------------------------------------------------------------------------------- send

    def send(
        self,
        topic: str,
        values: Sequence[bytes | None],
        *,
        keys: Sequence[bytes | None] | None = None,
        headers: Sequence[Sequence[Header]] | None = None,
        timestamps: Sequence[int] | int | None = None,
        partitions: Sequence[int | None] | int | None = None,
    ) -> None:
        """See :meth:`pykafka_store.api.Producer.send`."""
        self._require_open()
        columns, blocks = made_sendable(values, keys, headers, timestamps, partitions)
        values, keys, headers = columns.values, columns.keys, columns.headers
        timestamps, partitions = columns.timestamps, columns.partitions
        if not values:
            return
        lengths = record_lengths(values, keys, blocks)
        if total(lengths) >= self._batch_size:
            self._append_topic(topic)
            self._send(topic, columns, blocks, lengths=lengths)
        else:
            stamps = self._clock.now_ms() if timestamps is None else timestamps
            self._gather(topic, OutgoingRecords(values, keys, headers, stamps, lengths, None, blocks), partitions)
        self._tell_all()

    def _gather(self, name: str, records: OutgoingRecords, partitions: Sequence[int | None] | int | None) -> None:
        """Have records wait, or append them with those that do where there are enough now."""
        waits = self._waiting.get(name)
        topic = self._topic(name) if waits is None else waits[0]
        records, chosen = self._without_refused(topic, records, partitions)
        if not records.values:
            return
        if self._partitioner is not None and not isinstance(chosen, int):
            # It is the caller's own, and may raise: so in the caller's thread.
            records = records.listed()
            chosen = [
                self._choose(topic, records, index) if chosen is None or chosen[index] is None else chosen[index]
                for index in range(len(records.values))
            ]
        if waits is None:
            waits = self._waiting[name] = topic, Waiting(self._clock.monotonic())
        waiting = waits[1]
        self._size -= waiting.size
        waiting.add(records, chosen)
        self._size += waiting.size
        if waiting.size >= self._batch_size * (topic.partitions if waiting.is_spread else 1):
            self._append_topic(name)
        elif self._size > self._buffer_memory:
            self._append_waiting()
        else:
            self._thread.begin()

    # ------------------------------------------------------------------------------------------------------- append

    def _due(self) -> float | None:
        """When what has waited longest is to be appended."""
        if not self._waiting:
            return None
        return min(waiting.since for _, waiting in self._waiting.values()) + self._linger

    def _append_in_time(self) -> None:
        """What the thread does; see the module's docstring for who is told."""
        try:
            self._append_waiting()
        except Exception as error:  # raised by the caller's next call
            self._unforeseen = error

    def _append_waiting(self) -> None:
        for name in list(self._waiting):
            self._append_topic(name)

    def _append_topic(self, name: str) -> None:
        """Append what waits for one topic."""
        waits = self._waiting.pop(name, None)
        if waits is None:
            return
        self._size -= waits[1].size
        records, partitions = waits[1].records()
        if not records.values:
            return  # Ctrl-C struck before the first was taken in
        try:
            topic = self._topic(name)
        except StoreError as error:
            self._fail(name, None, records, error)
            return
        self._deliver(topic, records, partitions)

    def flush(self) -> None:
        """See :meth:`pykafka_store.api.Producer.flush`."""
        self._append_waiting()
        self._tell_all()

    # ---------------------------------------------------------------------------------------------------- what became

    def _tell(self, outcome: Delivery | SendFailure) -> None:
        """Note it: this may be the thread, where nobody is told, or the caller has more to be attempted."""
        self._untold.append(outcome)

    def _tell_all(self) -> None:
        """Raises the first failure where nobody wants to hear of them; those after it are left to the next call."""
        while self._untold:
            super()._tell(self._untold.popleft())
        if self._unforeseen is not None:
            error, self._unforeseen = self._unforeseen, None
            raise error

    # -------------------------------------------------------------------------------------------------------- closing

    def close(self) -> None:
        try:
            self._append_waiting()
        finally:
            self._thread.end()
            super().close()
        self._tell_all()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
            return
        with suppress(StoreError):  # the error that is raised is the caller's
            self.close()

    def forsake(self) -> None:
        """See :class:`pykafka_store.embedded.forks.Forsaking`. What waits, the parent appends."""
        self.turns = threading.RLock()
        self._waiting.clear()
        self._untold.clear()
        self._thread = self._new_thread()
