"""What is found out again and again, and told once."""

from __future__ import annotations

from collections.abc import Callable


class Once:
    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._told: set[str] = set()

    def __call__(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            self._tell(text)
