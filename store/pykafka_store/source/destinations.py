"""Where a source's records go: a directory, whose log knows how far it came, or a cluster, which can only be told."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from pykafka_store.api import Cluster, KafkaCluster, Producer, TransactionalProducer
from pykafka_store.directory import Copier, DataDirectory
from pykafka_store.errors import StoreError
from pykafka_store.model import Records, SendFailure, TopicPartition

_INT_MAX = str(2**31 - 1)


class Destination(Protocol):
    cluster: Cluster
    note_every: float
    """Seconds between two notes; 0 where each batch has its own."""

    @property
    def producer(self) -> Producer: ...

    def open(self, name: str, on_notice: Callable[[str], None]) -> AbstractContextManager[None]:
        """Be the one source of this name, which stands for it for good. Raises StoreError where another process is."""

    def reached(self, partitions: Sequence[TopicPartition], name: str, floors: Sequence[int]) -> list[int]:
        """For each partition the position of the source's last record in it, of those behind an offset; -1 for none."""

    def send(self, records: Records, name: str) -> None:
        """Append records to their partition; their ``offsets`` are the source's positions."""

    def settle(self) -> None:
        """Return when what was sent is where it is to stay."""

    def conclude(self) -> None:
        """Return when the note is, too."""


class ToDirectory:
    """See :class:`Destination`."""

    note_every = 1.0

    def __init__(self, directory: DataDirectory) -> None:
        self.cluster: Cluster = directory
        self._directory = directory
        self.producer: Copier

    @contextmanager
    def open(self, name: str, on_notice: Callable[[str], None]) -> Iterator[None]:
        """See :meth:`Destination.open`."""
        if not self._directory.keep_lock(f"source-{_file_name(name)}"):
            raise StoreError("another process is this source already: name this one with --name, or end that one")
        settings = {"max.request.size": _INT_MAX, "allow.auto.create.topics": "false"}
        with self._directory.copier(settings, on_notice=on_notice) as producer:
            self.producer = producer
            yield

    def reached(self, partitions: Sequence[TopicPartition], name: str, floors: Sequence[int]) -> list[int]:
        """See :meth:`Destination.reached`."""
        found = []
        for partition, floor in zip(partitions, floors, strict=True):
            runs = self._directory.copied(partition, name, floor)
            found.append(runs[-1].last_source_offset if runs else -1)
        return found

    def send(self, records: Records, name: str) -> None:
        """See :meth:`Destination.send`."""
        self.producer.copy(records, TopicPartition(records.topic, records.partition), name)

    def settle(self) -> None:
        """See :meth:`Destination.settle`."""
        self.producer.sync()

    def conclude(self) -> None:
        """See :meth:`Destination.conclude`. Of rows whose keys are divided anew no more may be there than the note."""
        self.settle()


class ToCluster:
    """See :class:`Destination`. ``exactly_once``: in transactions, the note in that of its records."""

    note_every = 0.0

    def __init__(self, cluster: KafkaCluster, lock_directory: str, *, exactly_once: bool) -> None:
        """``lock_directory``: where this machine's sources to clusters keep their locks."""
        self.cluster: Cluster = cluster
        self._kafka = cluster
        self._lock_directory = lock_directory
        self._exactly_once = exactly_once
        self._transactions: TransactionalProducer | None = None
        self._failure: Exception | None = None
        self.producer: Producer

    @contextmanager
    def open(self, name: str, on_notice: Callable[[str], None]) -> Iterator[None]:  # noqa: ARG002 - a cluster has none
        """See :meth:`Destination.open`."""
        from filelock import FileLock, Timeout

        os.makedirs(self._lock_directory, exist_ok=True)
        lock = FileLock(os.path.join(self._lock_directory, f"source-{_file_name(name)}.lock"), blocking=False)
        try:
            lock.acquire()
        except Timeout:
            raise StoreError(
                "another process is this source already: name this one with --name, or end that one"
            ) from None
        settings = {"enable.idempotence": "true", "acks": "all", "max.request.size": "1000000000"}
        settings |= {"allow.auto.create.topics": "false"}
        try:
            if self._exactly_once:
                named = f"pykafka-{name}"
                with self._kafka.transactional_producer(named, settings, on_failure=self._failed) as transactions:
                    self.producer = self._transactions = transactions
                    yield
            else:
                with self._kafka.producer(settings, on_failure=self._failed) as self.producer:
                    yield
        finally:
            lock.release()

    def _failed(self, failure: SendFailure) -> None:
        self._failure = self._failure or failure.error

    def reached(
        self,
        partitions: Sequence[TopicPartition],
        name: str,  # noqa: ARG002 - the directory's
        floors: Sequence[int],  # noqa: ARG002
    ) -> list[int]:
        """See :meth:`Destination.reached`. Nobody can tell: the note alone counts."""
        return [-1] * len(partitions)

    def send(self, records: Records, name: str) -> None:  # noqa: ARG002 - the directory's
        """See :meth:`Destination.send`."""
        self.producer.send(
            records.topic,
            records.values,
            keys=records.keys,
            timestamps=records.timestamps,
            partitions=records.partition,
        )

    def settle(self) -> None:
        """See :meth:`Destination.settle`."""
        self.producer.flush()
        if self._failure is not None:
            raise self._failure

    def conclude(self) -> None:
        """See :meth:`Destination.conclude`."""
        self.settle()
        if self._transactions is not None:
            self._transactions.commit()


def _file_name(name: str) -> str:
    from hashlib import blake2b

    return blake2b(name.encode(), digest_size=16).hexdigest()
