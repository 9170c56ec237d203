"""A producer whose records count all at once, or not at all: Kafka's transactions (KIP-98), by librdkafka."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING

from confluent_kafka import KafkaException

from pykafka_store.errors import StoreError
from pykafka_store.model import Delivery, Header, SendFailure
from pykafka_store.remote.producer import LAST_CHANCE, RemoteProducer

if TYPE_CHECKING:
    from pykafka_store.remote.cluster import RemoteCluster


TIMEOUT_MS = 60_000
"""Of a transaction (Kafka's default). Consumers of what is committed wait so long for one whose producer died, unless
another one with its id comes. Records must be delivered within it.
"""


class RemoteTransactionalProducer(RemoteProducer):
    """See :class:`pykafka_store.api.TransactionalProducer`."""

    def __init__(
        self,
        cluster: RemoteCluster,
        transactional_id: str,
        config: Mapping[str, str],
        on_delivery: Callable[[Delivery], None] | None,
        on_failure: Callable[[SendFailure], None] | None,
    ) -> None:
        own = {"transactional.id": transactional_id, "transaction.timeout.ms": f"{TIMEOUT_MS}"}
        config = {"delivery.timeout.ms": f"{TIMEOUT_MS}", **config}
        super().__init__(cluster, config, on_delivery, on_failure, None, own)
        self._begun = False
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
        """Do within so many seconds what librdkafka may want to be tried again, as often as it does.

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
            with suppress(KafkaException):  # fenced, or no answer: the next one with this id, or its timeout, aborts it
                self._client.abort_transaction(LAST_CHANCE)
            self._begun = False
            with suppress(StoreError):
                self._tell()
        super().__exit__(kind, error, trace)
