"""A line on the terminal that says what is being looked at, for as long as it is."""

from __future__ import annotations

from pykafka_cli.env import Env
from pykafka_cli.words import size

_INTERVAL = 0.1
"""Seconds between two updates."""


class ProgressLine:
    """Of one command, on stderr, which must be a terminal."""

    def __init__(self, env: Env, command: str) -> None:
        self._env = env
        self._command = command
        self._width = env.width
        self._shown = False
        self._next = 0.0

    def show(self, what: object, read: int) -> None:
        """``read``: bytes."""
        now = self._env.monotonic()
        if now < self._next:
            return
        self._next, self._shown = now + _INTERVAL, True
        self._write(f"{self._command}: {what}, {size(read)} read")

    def clear(self) -> None:
        if self._shown:
            self._shown = False
            self._write("", end="\r")

    def _write(self, text: str, end: str = "") -> None:
        width = self._width - 1
        self._env.stderr.write(f"\r{text[:width]:<{width}}{end}")
        self._env.stderr.flush()
