"""Topics by a pattern of their whole names, in bounded time.

A pattern comes from a user, and Python's ``re`` tries every way to match it: ``([a-z]+-?)+\\.dlq`` takes years over a
name of 33 letters. So a pattern is matched before a lock or a transaction is asked for, never inside of one, and only
by the process whose pattern it is.
"""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import FrameType

from pykafka_store.errors import InvalidRegularExpressionError

LIMIT = 5.0
"""Seconds of CPU time that the names of a directory may take in all: ten thousand of them take 0.01 s."""

LIMIT_OF_A_SERVER = 0.25
"""The same where all clients wait for it, and the pattern is one of theirs."""

_REMEMBERED = 100

_refused: dict[tuple[str, int], frozenset[str]] = {}
"""Pattern and flags -> the names that it was not done with: a client that asks again is told so at once."""


def matching(pattern: re.Pattern[str], names: Iterable[str], limit: float | None = None) -> list[str]:
    """The names that match as a whole. Raises InvalidRegularExpressionError after ``limit`` seconds, or ``LIMIT``.

    The limit is a timer of the process, whose signal ``re`` looks for as it goes. Only the main thread gets signals, so
    there is no limit in another one, nor where the program uses that timer for something else.
    """
    names, key = [*names], (pattern.pattern, pattern.flags)
    seconds = LIMIT if limit is None else limit
    refused = _refused.get(key)  # by one look: another thread may forget it
    if refused is not None and refused.issubset(names):
        raise _endless(pattern, seconds)
    try:
        with _limited(pattern, seconds):
            return [name for name in names if pattern.fullmatch(name)]
    except InvalidRegularExpressionError:
        while len(_refused) >= _REMEMBERED:
            _refused.pop(next(iter(_refused)), None)
        _refused[key] = frozenset(names)
        raise


def _endless(pattern: re.Pattern[str], seconds: float) -> InvalidRegularExpressionError:
    return InvalidRegularExpressionError(
        f"The pattern '{pattern.pattern}' was not done with the names of the topics after {seconds:g} s: write it "
        "without a repetition inside of a repetition"
    )


@contextmanager
def _limited(pattern: re.Pattern[str], seconds: float) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread() or (
        signal.getsignal(signal.SIGVTALRM) != signal.SIG_DFL
    ):
        yield
        return

    def strike(_signal: int, _frame: FrameType | None) -> None:
        raise _endless(pattern, seconds)

    signal.signal(signal.SIGVTALRM, strike)
    try:
        signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    finally:
        signal.signal(signal.SIGVTALRM, signal.SIG_DFL)


def text_of(pattern: re.Pattern[str]) -> str:
    """A pattern as text: the same for patterns that match the same."""
    flags = {"a": re.ASCII, "i": re.IGNORECASE, "m": re.MULTILINE, "s": re.DOTALL, "x": re.VERBOSE}
    letters = "".join(letter for letter, flag in flags.items() if pattern.flags & flag)
    return f"(?{letters}){pattern.pattern}" if letters else pattern.pattern
