"""A line on the terminal that says how far a command is, for as long as it is at work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pykafka_cli.env import Env
from pykafka_cli.output.words import size

_INTERVAL = 0.1
"""Seconds between two updates."""


class TerminalLine:
    """A line on stderr, which must be a terminal, written over itself and gone in the end."""

    def __init__(self, env: Env) -> None:
        self._env = env
        self._shown = False

    def write(self, text: str) -> None:
        width = self._env.width - 1
        self._shown = True
        self._env.write_err(f"\r{text[:width]:<{width}}")

    def clear(self) -> None:
        if self._shown:
            self._shown = False
            self._env.write_err(f"\r{'':<{self._env.width - 1}}\r")


@contextmanager
def shown_while(env: Env, text: str) -> Iterator[None]:
    """A line for as long as the context lasts, where stderr is a terminal."""
    if not env.stderr_is_terminal:
        yield
        return
    line = TerminalLine(env)
    line.write(text)
    try:
        yield
    finally:
        line.clear()


class ProgressLine:
    """The line of a command that reads: the thing it looks at, and how much it has read."""

    def __init__(self, env: Env, command: str) -> None:
        self._env = env
        self._command = command
        self._line = TerminalLine(env)
        self._next = 0.0

    def show(self, what: object, read: int) -> None:
        """``read``: bytes."""
        now = self._env.monotonic()
        if now < self._next:
            return
        self._next = now + _INTERVAL
        self._line.write(f"{self._command}: {what}, {size(read)} read")

    def clear(self) -> None:
        self._line.clear()
