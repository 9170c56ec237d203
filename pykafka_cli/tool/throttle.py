"""A bound on how many records a second a tool sends. Source: org.apache.kafka.tools.ThroughputThrottler."""

from __future__ import annotations

import time
from collections.abc import Callable

_LONGEST_BURST = 0.01
"""Seconds' worth of records that may go at once."""


class Throttle:
    """Says how many records may go now, and waits where none may. A rate below zero is none."""

    def __init__(
        self,
        rate: float,
        most_at_once: int,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._rate = rate
        self._burst = most_at_once if rate < 0 else max(1, min(most_at_once, int(rate * _LONGEST_BURST)))
        self._monotonic = monotonic
        self._sleep = sleep
        self._start = monotonic()
        self._gone = 0

    def take(self, left: int) -> int:
        """How many of the records that are left may go now, after waiting for their turn."""
        count = min(left, self._burst)
        if self._rate == 0:
            while self._gone:  # as in Kafka, the first goes and no other
                self._sleep(1.0)
            count = min(left, 1)
        elif self._rate > 0:
            due = self._start + self._gone / self._rate
            while (early := due - self._monotonic()) > 0:
                self._sleep(early)
        self._gone += count
        return count
