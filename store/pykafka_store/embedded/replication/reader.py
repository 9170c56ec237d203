"""A reader of a partition: one replica's log, and another's when the leader changes.

It reads from the leader that the catalogue names, and looks there again only when the catalogue moved. Where the leader
can't be read, whoever may write has another one elected, as there is no controller that would.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from pykafka_store.embedded.log.reader import LogReader
from pykafka_store.embedded.log.segments import READ_SIZE
from pykafka_store.embedded.replication.leadership import REPLICA_FAILURES
from pykafka_store.errors import LeaderNotAvailableError, StoreError
from pykafka_store.format.batch import Batch
from pykafka_store.format.state import PublishedState
from pykafka_store.model import CopiedRun, Records

T = TypeVar("T")

SETTLE_POLL = 1.0
"""Seconds between attempts to have a leader where there is none."""


class PartitionReader:
    """See :class:`pykafka_store.embedded.log.reader.LogReader`, whose methods these are.

    All raise LeaderNotAvailableError while nobody leads.
    """

    def __init__(
        self,
        label: str,
        leader_directory: Callable[[], str],
        open_reader: Callable[[str], LogReader],
        settle: Callable[[], object],
        compare: Callable[[], object],
    ) -> None:
        """``settle`` has a leader elected if there is need and a way; it raises where there is none. ``compare`` does
        so if there are several replicas to choose from.
        """
        self.label = label
        self._leader_directory = leader_directory
        self._open_reader = open_reader
        self._settle = settle
        self._compare = compare
        self._reader: LogReader | None = None
        self._directory = ""
        self._next_settle = 0.0

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _led(self) -> LogReader:
        directory = self._leader_directory()
        if self._reader is None or directory != self._directory:
            self.close()
            self._reader, self._directory = self._open_reader(directory), directory
            self._reader.state()
            if self._reader.recovered:
                # After a power cut another replica may have more, and should lead before anybody reads to the end.
                with suppress(StoreError, FileNotFoundError):
                    self._compare()
                if self._leader_directory() != directory:
                    return self._led()
        return self._reader

    def _ask(self, what: Callable[[LogReader], T]) -> T:
        try:
            return what(self._led())
        except LeaderNotAvailableError:
            # A broker may have come back without anybody saying so.
            if time.monotonic() < self._next_settle:
                raise
            self._next_settle = time.monotonic() + SETTLE_POLL
            with suppress(*REPLICA_FAILURES):
                self._settle()
            return what(self._led())
        except REPLICA_FAILURES:
            before = self._directory
            with suppress(*REPLICA_FAILURES):  # what went wrong first says more
                self._settle()
                if self._leader_directory() != before:
                    return what(self._led())
            raise

    def state(self) -> PublishedState:
        return self._ask(LogReader.state)

    def read(self, offset: int, size: int = READ_SIZE) -> list[Batch]:
        return self._ask(lambda reader: reader.read(offset, size))

    def decode(self, batch: Batch) -> Records:
        assert self._reader is not None
        return self._reader.decode(batch)

    def copied(self, producer_id: int, since: int) -> list[CopiedRun]:
        return self._ask(lambda reader: reader.copied(producer_id, since))

    def is_aborted(self, batch: Batch) -> bool:
        return self._ask(lambda reader: reader.is_aborted(batch))

    def last_stable_offset(self) -> int:
        return self._ask(LogReader.last_stable_offset)

    def offset_for_timestamp(self, timestamp: int) -> tuple[int, int] | None:
        return self._ask(lambda reader: reader.offset_for_timestamp(timestamp))

    def offset_of_max_timestamp(self) -> tuple[int, int] | None:
        return self._ask(LogReader.offset_of_max_timestamp)
