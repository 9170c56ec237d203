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
from pykafka_store.sink.options import SinkOptions
from pykafka_store.sink.parsing import Parsed, parse

Runs = Sequence[Records]


class Ahead:
    def __init__(self, options: SinkOptions) -> None:
        self._options = options
        self._thread: Thread | None = None
        self._found: list[tuple[Runs, Parsed]] = []

    def begin(self, tables: Mapping[str, Runs]) -> None:
        """Parse what will be each table's part of the next batch."""
        self.drop()
        # Somebody's own function may be for one thread only.
        if tables and self._options.convert is None:
            self._thread = Thread(target=self._parse, args=(list(tables.values()),), name="pykafka-sink-ahead")
            self._thread.start()

    def drop(self) -> None:
        if self._thread is not None:
            self._thread.join()
        self._thread, self._found = None, []

    def parsed(self, runs: Runs) -> Parsed:
        """What these records say: what was parsed of them, else it is done now."""
        if self._thread is not None:
            self._thread.join()
        for index, (some, parsed) in enumerate(self._found):
            if _same(some, runs):
                del self._found[index]  # it is the caller's, who changes it
                return parsed
        return parse(runs, self._options)

    def _parse(self, parts: Sequence[Runs]) -> None:
        with suppress(Exception):  # the batch meets it again when its turn comes, and raises it then
            for runs in parts:
                self._found.append((runs, parse(runs, self._options)))


def _same(some: Runs, others: Runs) -> bool:
    """Whether these are the very same objects."""
    return len(some) == len(others) and all(one is other for one, other in zip(some, others, strict=True))
