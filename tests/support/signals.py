"""SIGINT and SIGHUP for what is started here, however this process was started; and whether a process has ended."""

from __future__ import annotations

import os
import signal
from types import FrameType

from tests.support.ready import has_come


def take_signals_back() -> None:
    """End SIGINT's and SIGHUP's being ignored, if this process inherited that.

    What a shell without job control starts with ``&`` has SIGINT ignored, and what ``nohup`` starts SIGHUP; so would
    every tool that a test starts there and ends by one. A handler, unlike an ignored signal, ends with exec.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, _as_before)


def _as_before(_number: int, _frame: FrameType | None) -> None:
    """The tests themselves go on when their terminal is closed."""


def has_ended(process: int, patience: float = 30.0) -> bool:
    """Whether a process that need not be a child of ours ends within seconds, or has ended. Needs ``os.pidfd_open``."""
    try:
        descriptor = os.pidfd_open(process)
    except ProcessLookupError:
        return True
    try:
        return has_come(descriptor, patience)
    finally:
        os.close(descriptor)
