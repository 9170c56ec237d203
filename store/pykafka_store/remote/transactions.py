"""A producer whose records count all at once, or not at all: Kafka's transactions (KIP-98), by librdkafka."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import TracebackType

from confluent_kafka import KafkaException

from pykafka_store.errors import StoreError
from pykafka_store.model import Delivery, Header, SendFailure
from pykafka_store.remote.admin import RemoteAdmin
from pykafka_store.remote.link import Endpoint
from pykafka_store.remote.producer import LAST_CHANCE, RemoteProducer
from pykafka_store.threads import threads_take_turns

TIMEOUT_MS = 60_000
"""Milliseconds that a transaction may take (Kafka's default); its records must be delivered within them. Consumers
that read committed records wait so long for a transaction whose producer died, unless a producer with the same
``transactional.id`` comes earlier.
"""


@threads_take_turns
class RemoteTransactionalProducer(RemoteProducer):
    """See :class:`pykafka_store.api.TransactionalProducer`."""

    def __init__(
        self,
        endpoint: Endpoint,
        transactional_id: str,
        config: Mapping[str, str],
        admin: Callable[[], RemoteAdmin],
        on_delivery: Callable[[Delivery], None] | None,
        on_failure: Callable[[SendFailure], None] | None,
    ) -> None:
        own = {"transactional.id": transactional_id, "transaction.timeout.ms": f"{TIMEOUT_MS}"}
        config = {"delivery.timeout.ms": f"{TIMEOUT_MS}", **config}
        super().__init__(endpoint, config, admin, on_delivery, on_failure, None, own)
        self._begun = False
        self._gave_up = False
        self._link.contact(self._max_block)
        self._try(self._client.init_transactions)

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
        """See :meth:`pykafka_store.api.Producer.send`. Begins a transaction, if none is begun."""
        if not self._begun:
            self._try(lambda _seconds: self._client.begin_transaction())
            self._begun = True
        super().send(topic, values, keys=keys, headers=headers, timestamps=timestamps, partitions=partitions)

    def commit(self) -> None:
        """See :meth:`pykafka_store.api.TransactionalProducer.commit`."""
        if not self._begun:
            return
        self.flush()
        self._try(self._client.commit_transaction)
        self._begun = False

    def _try(self, act: Callable[[float], object]) -> None:
        """Call ``act``, with the seconds that it may take, as often as librdkafka says that it may be tried again.

        Raises StoreError.
        """

        def again(seconds: float) -> None:
            while True:
                try:
                    act(seconds)
                    return
                except KafkaException as error:
                    if not error.args[0].retriable() or error.args[0].name() == "_TIMED_OUT":
                        raise

        self._link.patiently(again)

    def close(self) -> None:
        self.commit()
        super().close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None and self._begun:
            # Where this producer is fenced or gets no answer, its successor or the timeout aborts the transaction.
            with suppress(KafkaException):
                self._client.abort_transaction(LAST_CHANCE)
            self._begun = False
            self._gave_up = True
            with suppress(StoreError):
                self._tell()
        super().__exit__(kind, error, trace)

    def _end(self) -> None:
        if self._gave_up:
            # librdkafka's client would abort once more as it is closed, wait for an answer, and warn if it gets none.
            self._is_open = False
        else:
            super()._end()
