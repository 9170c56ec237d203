"""Time as a seam: what asks for the time takes a Clock, so that a test can hold it still."""

from __future__ import annotations

import time


class Clock:
    """The real time."""

    def now_ms(self) -> int:
        """Milliseconds since the epoch: what goes into records."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Seconds on a clock that is never set: what deadlines are measured by."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)
