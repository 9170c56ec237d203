"""Whether there is something to read."""

from __future__ import annotations

import select
from typing import Protocol


class _File(Protocol):
    def fileno(self) -> int: ...


def has_come(file: int | _File, within: float = 0.0) -> bool:
    """``within`` so many seconds; also the end of what is read, or of the process that a descriptor stands for."""
    waiting = select.poll()  # select() takes no descriptor above 1023, and a long run of tests has those
    waiting.register(file, select.POLLIN)
    return bool(waiting.poll(1000 * within))
