"""Notices and errors that the mirror meets again and again, and that a user is told once."""

from __future__ import annotations

from collections.abc import Callable


class Once:
    """Passes each text on the first time, and never again."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._said: set[str] = set()

    def __call__(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self._tell(text)
