"""A reader of a partition: one replica's log, and another's when the leader changes.

It reads from the leader that the catalogue names, and looks there again only when the catalogue moved. Where the leader
can't be read, whoever may write has another one elected, as there is no controller that would.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from pykafka_store.embedded.disk import boot_id, descriptors
from pykafka_store.embedded.engine import Engine
from pykafka_store.embedded.log.open_file import READ_SIZE
from pykafka_store.embedded.log.reader import DirectoryGoneError, LogReader
from pykafka_store.embedded.log.segment import Segment
from pykafka_store.embedded.partitions import HostedPartition, hosted
from pykafka_store.embedded.replication.leadership import REPLICA_FAILURES
from pykafka_store.errors import LeaderNotAvailableError, StoreError
from pykafka_store.format import state as states
from pykafka_store.format.batch import Batch, BatchHeader
from pykafka_store.format.state import PublishedState
from pykafka_store.model import Records, TopicPartition

if TYPE_CHECKING:
    from pykafka_store.embedded.log.slices import Slice
    from pykafka_store.format.transaction_index import AbortedTransaction
    from pykafka_store.model import CopiedRun

T = TypeVar("T")

SETTLE_POLL = 1.0
"""Seconds between attempts to have a leader where there is none."""


class OpenReaders:
    """Which of many readers have files open: those that were used last, so that a consumer of thousands of partitions
    has descriptors left for others. Used by one thread at a time.
    """

    def __init__(self) -> None:
        self._limit = max(4, descriptors() // 8)  # with two descriptors each a quarter of what there is
        self._readers: OrderedDict[PartitionReader, None] = OrderedDict()

    def use(self, reader: PartitionReader) -> None:
        """The reader is about to open files, or has them open already."""
        if reader in self._readers:
            self._readers.move_to_end(reader)
            return
        if len(self._readers) >= self._limit:
            self._readers.popitem(last=False)[0].park()
        self._readers[reader] = None

    def forget(self, reader: PartitionReader) -> None:
        """The reader is closed."""
        self._readers.pop(reader, None)


class PartitionReader:
    """See :class:`pykafka_store.embedded.log.reader.LogReader`, whose methods these are.

    All raise LeaderNotAvailableError while the partition has no leader.
    """

    def __init__(self, partition: HostedPartition, among: OpenReaders | None = None) -> None:
        """``among``: the readers that it shares the process's descriptors with."""
        self._among = among
        self.label = partition.label
        self._partition = partition
        self._clock = partition.engine.clock
        self._may_elect = not partition.engine.read_only
        self._reader: LogReader | None = None
        self._directory = ""
        self._next_settle = 0.0

    @property
    def topic_id(self) -> str:
        """Of the topic that is read, whichever has its name by now."""
        return self._partition.topic_id

    def close(self) -> None:
        if self._among is not None:
            self._among.forget(self)
        self._close_reader()

    def _close_reader(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def park(self) -> None:
        """Let go of the files. The next read opens them again, and goes on where it was."""
        if self._reader is not None:
            self._reader.close()

    def _leading(self) -> LogReader:
        if self._among is not None:
            self._among.use(self)
        directory = self._readable()
        if self._reader is None or directory != self._directory:
            self._close_reader()
            self._reader, self._directory = self._opened(directory), directory
            self._reader.state()
            if self._reader.recovered:
                # After a power cut another replica may have more, and should lead before anybody reads to the end.
                with suppress(StoreError, FileNotFoundError):
                    self._compare()
                if self._readable() != directory:
                    return self._leading()
        return self._reader

    def _readable(self) -> str:
        """The directory of the replica to read from."""
        return self._partition.leader_directory() if self._may_elect else self._partition.readable_directory()

    def _opened(self, directory: str) -> LogReader:
        partition = self._partition
        return LogReader(partition.engine.disk, directory, *partition.name, partition.topic_id, boot_id())

    def _settle(self) -> None:
        """Have a leader elected, if there is need and a way. Raises where there is none."""
        if self._may_elect:
            from pykafka_store.embedded.replication.replicas import Replicas

            Replicas(self._partition).settle()

    def _compare(self) -> None:
        """The same, if there are several replicas to choose from."""
        if len(self._partition.row.replicas) > 1:
            self._settle()

    def _ask(self, what: Callable[[LogReader], T]) -> T:
        while True:
            try:
                return self._asked(what)
            except DirectoryGoneError as error:
                self._partition.current()  # raises where the topic was deleted
                disk = self._partition.engine.disk
                if not disk.exists(os.path.dirname(self._directory)):
                    raise LeaderNotAvailableError(f"{error}: is its disk mounted?") from None
                if not disk.exists(self._directory):  # the disk is there: somebody took away what was on it
                    raise

    def _asked(self, what: Callable[[LogReader], T]) -> T:
        try:
            return what(self._leading())
        except LeaderNotAvailableError:
            # A broker may have come back without anybody saying so.
            if self._clock.monotonic() < self._next_settle:
                raise
            self._next_settle = self._clock.monotonic() + SETTLE_POLL
            with suppress(*REPLICA_FAILURES):
                self._settle()
            return what(self._leading())
        except REPLICA_FAILURES:
            before = self._directory
            with suppress(*REPLICA_FAILURES):  # what went wrong first says more
                self._settle()
                if self._readable() != before:
                    return what(self._leading())
            raise

    def state_path(self) -> str:
        """Of the replica that was read last; "" before the first read."""
        return os.path.join(self._directory, states.FILE_NAME) if self._directory else ""

    def state(self) -> PublishedState:
        return self._ask(LogReader.state)

    def read(self, offset: int, size: int = READ_SIZE) -> list[Batch]:
        return self._ask(lambda reader: reader.read(offset, size))

    def slice(self, offset: int, size: int, end: int | None = None) -> Slice | None:
        """See :func:`pykafka_store.embedded.log.slices.slice_of`."""
        from pykafka_store.embedded.log.slices import slice_of

        return self._ask(lambda reader: slice_of(reader, offset, size, end))

    def segments(self) -> list[Segment]:
        """Those of which the log consists, in order."""
        return self._ask(lambda reader: reader.segments(reader.state()))

    def headers(self, offset: int) -> Iterator[BatchHeader]:
        """The headers of all batches from the one that holds ``offset`` on, to the high watermark."""
        while batches := self.read(offset):
            for batch in batches:
                yield batch.header
            offset = batches[-1].header.last_offset + 1

    def decode(self, batch: Batch) -> Records:
        assert self._reader is not None
        return self._reader.decode(batch)

    def copied(self, producer_id: int, since: int) -> list[CopiedRun]:
        return self._ask(lambda reader: reader.copied(producer_id, since))

    def is_aborted(self, batch: Batch) -> bool:
        return self._ask(lambda reader: reader.is_aborted(batch))

    def aborted_transactions(self, offset: int) -> list[AbortedTransaction]:
        return self._ask(lambda reader: reader.aborted_transactions(offset))

    def last_stable_offset(self) -> int:
        return self._ask(LogReader.last_stable_offset)

    def offset_for_timestamp(self, timestamp: int) -> tuple[int, int] | None:
        from pykafka_store.embedded.log.by_time import offset_for_timestamp

        return self._ask(lambda reader: offset_for_timestamp(reader, timestamp))

    def offset_of_max_timestamp(self) -> tuple[int, int] | None:
        from pykafka_store.embedded.log.by_time import offset_of_max_timestamp

        return self._ask(offset_of_max_timestamp)


def open_reader(engine: Engine, name: TopicPartition, among: OpenReaders | None = None) -> PartitionReader:
    """A reader of the partition's leader, to be closed by whoever asks. Raises UnknownTopicOrPartitionError."""
    return PartitionReader(hosted(engine, name, gone=" while it was read"), among)
