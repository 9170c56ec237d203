"""How long records took and how many there were, as Kafka's performance tools count and print it.

Source: org.apache.kafka.tools.ProducerPerformance.Stats of Kafka 4.3.
"""

from __future__ import annotations

import math
from collections import Counter

MEBIBYTE = 1024.0 * 1024.0


class Latencies:
    """Counts of records by their latency in whole ms: what is kept does not grow with the records."""

    def __init__(self) -> None:
        self.records = 0
        self.bytes = 0
        self.longest = 0
        self._total = 0
        self._counts: Counter[int] = Counter()

    def add(self, records: int, size: int, latency: int) -> None:
        """So many records, of ``size`` bytes together, took ``latency`` ms each."""
        self.records += records
        self.bytes += size
        self.longest = max(self.longest, latency)
        self._total += latency * records
        self._counts[latency] += records

    @property
    def average(self) -> float:
        """In ms; NaN of none, as Java divides."""
        return self._total / self.records if self.records else math.nan

    def percentiles(self, *shares: float) -> list[int]:
        """The latency, in ms, that so great a share of the records did not exceed. Source: Stats#percentiles."""
        found = []
        for share in shares:
            rank = int(share * self.records)  # of the sorted latencies, counted from 0
            for latency in sorted(self._counts):
                rank -= self._counts[latency]
                if rank < 0:
                    break
            else:
                latency = self.longest
            found.append(latency)
        return found

    def window_line(self, seconds: float) -> str:
        """What is printed of an interval."""
        return (
            f"{self.records} records sent, {_per(self.records, seconds):.1f} records/sec "
            f"({_per(self.bytes, seconds) / MEBIBYTE:.2f} MB/sec), {_number(self.average, 1)} ms avg latency, "
            f"{float(self.longest):.1f} ms max latency."
        )

    def total_line(self, seconds: float, *, what: str = "") -> str:
        """What is printed in the end. ``what``: `` steady state``, or nothing."""
        median, high, higher, highest = self.percentiles(0.5, 0.95, 0.99, 0.999)
        return (
            f"{self.records}{what} records sent, {_per(self.records, seconds):f} records/sec "
            f"({_per(self.bytes, seconds) / MEBIBYTE:.2f} MB/sec), {_number(self.average, 2)} ms avg latency, "
            f"{float(self.longest):.2f} ms max latency, {median} ms 50th, {high} ms 95th, {higher} ms 99th, "
            f"{highest} ms 99.9th."
        )


def _number(number: float, digits: int) -> str:
    return "NaN" if math.isnan(number) else f"{number:.{digits}f}"


def _per(count: float, seconds: float) -> float:
    """A rate, which of no time at all is taken over a microsecond."""
    return count / max(seconds, 1e-6)
