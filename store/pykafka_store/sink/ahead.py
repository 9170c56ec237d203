"""The next batch is parsed in a thread, while the database has this one.

Only what records say is worked out ahead, which depends on nothing else: no table is looked at, and no offset is
decided. Which records the next batch has, what it moves and under which claim is settled when it is written, as ever;
what was parsed counts if those are the very same objects, and is dropped else (a rebalance, a lost claim, a bad record
that ends the batch earlier). So what a kill, a fence or an error leaves is what it was without it.

One batch ahead at most, so that memory stays bounded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from threading import Thread

from pykafka_store.model import Records
from pykafka_store.sink.digits import may_be_lost
from pykafka_store.sink.options import SinkOptions
from pykafka_store.sink.parsing import Parsed, parse

Runs = Sequence[Records]


class Ahead:
    def __init__(self, options: SinkOptions) -> None:
        self._options = options
        self._thread: Thread | None = None
        self._found: list[tuple[Runs, Parsed]] = []

        self._exactly: set[str] = set()
        """Tables for which numbers keep all of their digits."""

    def begin(self, tables: Mapping[str, Runs]) -> None:
        """Parse what will be each table's part of the next batch."""
        self.drop()
        # Somebody's own function may be for one thread only.
        if tables and self._options.convert is None:
            self._thread = Thread(target=self._parse, args=(dict(tables),), name="pykafka-sink-ahead")
            self._thread.start()

    def drop(self) -> None:
        if self._thread is not None:
            self._thread.join()
        self._thread, self._found = None, []

    def parsed(self, table: str, runs: Runs) -> Parsed:
        """What these records say: what was parsed of them, else it is done now."""
        if self._thread is not None:
            self._thread.join()
        for index, (some, parsed) in enumerate(self._found):
            if _same(some, runs):
                del self._found[index]  # it is the caller's, who changes it
                return parsed
        return parse(runs, self._options, is_exact=table in self._exactly)

    def exactly(self, table: str, runs: Runs, parsed: Parsed) -> Parsed:
        """The same with all digits of their numbers, which is what this table gets from now on."""
        self._exactly.add(table)
        if not any(may_be_lost(column) for run in runs for column in (run.keys, run.values)):
            return parsed
        return parse(runs, self._options, is_exact=True)

    def _parse(self, parts: Mapping[str, Runs]) -> None:
        with suppress(Exception):  # the batch meets it again when its turn comes, and raises it then
            for table, runs in parts.items():
                self._found.append((runs, parse(runs, self._options, is_exact=table in self._exactly)))


def _same(some: Runs, others: Runs) -> bool:
    """Whether these are the very same objects."""
    return len(some) == len(others) and all(one is other for one, other in zip(some, others, strict=True))
