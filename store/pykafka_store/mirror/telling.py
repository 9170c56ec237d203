"""What a user is told of a mirror: how far it is, what became of it, and what it meets again and again only once."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


class Once:
    """Passes each text on the first time, and never again."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._said: set[str] = set()

    def __call__(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self._tell(text)


class Progress(NamedTuple):
    records: int
    size: int
    """Bytes of keys, values and headers."""
    done: int
    """Source offsets that were passed."""
    total: int
    """Source offsets to pass, as far as is known."""


class TopicReport(NamedTuple):
    source: str
    target: str
    partitions: int
    records: int
    """Those that are there: without ``gone``."""
    size: int
    gone: int
    """Records that were copied, and that the target has taken away again."""
