"""Time as a seam: what decides or waits by the time takes a Clock, so that a test can hold it still.

Two go past it. Retries of a millisecond, where another process is in the middle of something (a state being published,
a database being made), end by that process's work. And how long a static member has been away is told by its lease's
file, so that is compared with the time of day that the file system has.
"""

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

    def wait(self, seconds: float, descriptor: int) -> None:
        """Sleep until there is something to read from the descriptor, at most for so long."""
        import select

        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        poll.poll(seconds * 1000)
