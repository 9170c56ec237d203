"""How fast records go by: a line on the terminal while they do, and a picture of it in the end (``--plot``).

What is kept does not grow with the records, nor with the time: a run is cut into a few hundred slices, which become
twice as long, two in one, where there are too many.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pykafka_cli.env import Env
from pykafka_cli.errors import Refusal
from pykafka_cli.output.progress import TerminalLine

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FORMATS = (".png", ".svg")
FIRST_SLICE = 0.02
MOST_SLICES = 400
"""Seconds of the first slices, and how many there are before two become one."""
SHOWN = 80
"""Points of a curve at most: more of them are noise."""
LIVE = 0.2
"""Seconds between two updates of the line."""


class _Slice:
    """What went by in a slice of time."""

    __slots__ = ("bytes", "latencies", "records")

    def __init__(self) -> None:
        self.records = 0
        self.bytes = 0
        self.latencies: Counter[float] = Counter()
        """Latency in ms -> records."""

    def take(self, other: _Slice) -> None:
        self.records += other.records
        self.bytes += other.bytes
        self.latencies += other.latencies

    def percentile(self, share: float) -> float:
        """NaN where nothing went by."""
        rank = int(share * (self.latencies.total() - 1))
        for latency in sorted(self.latencies):
            rank -= self.latencies[latency]
            if rank < 0:
                return latency
        return math.nan


class Throughput:
    """Records that go by, on the clock of the command."""

    def __init__(self, env: Env, plot: str | None, title: str) -> None:
        """``plot``: where to draw it, or None. Raises Refusal where that can't be done, before anything is measured."""
        self._env = env
        self._plot = plot
        self._title = title
        self._line = TerminalLine(env) if env.stderr_is_terminal else None
        self._slices: list[_Slice] = []
        self._width = FIRST_SLICE
        self._start = self._next = env.monotonic()
        self._told = (0, 0, self._start)
        self._records = self._bytes = 0
        if plot is not None:
            _check(plot)

    def begin(self) -> None:
        """Now is when time begins to count."""
        self._start = self._next = self._env.monotonic()
        self._told = (0, 0, self._start)

    def add(self, records: int, size: int, latency_ms: float) -> None:
        """So many records, of ``size`` bytes together, each with that latency."""
        if self._plot is None and self._line is None:
            return
        self._records += records
        self._bytes += size
        now = self._env.monotonic()
        if self._plot is not None:
            here = self._slice(now - self._start)
            here.records += records
            here.bytes += size
            here.latencies[round(latency_ms, 3) if latency_ms < 100 else round(latency_ms)] += records
        if self._line is not None and now >= self._next:
            self._show(self._line, now, latency_ms)

    def _slice(self, at: float) -> _Slice:
        number = int(max(0.0, at) / self._width)
        while number >= MOST_SLICES:
            self._slices = _joined(self._slices, 2)
            self._width *= 2
            number = int(max(0.0, at) / self._width)
        while len(self._slices) <= number:
            self._slices.append(_Slice())
        return self._slices[number]

    def _show(self, line: TerminalLine, now: float, latency_ms: float) -> None:
        records, size, since = self._told
        self._next, self._told = now + LIVE, (self._records, self._bytes, now)
        seconds = max(now - since, 1e-3)
        rate, mebibytes = (self._records - records) / seconds, (self._bytes - size) / seconds / (1 << 20)
        line.write(f"{self._records:,} records, {rate:,.0f}/s, {mebibytes:.2f} MB/s, {latency_ms:.1f} ms")

    def clear(self) -> None:
        """Take the line away, for something else is printed."""
        if self._line is not None:
            self._line.clear()

    def end(self) -> None:
        """Take the line away, and draw."""
        self.clear()
        if self._plot is None:
            return
        try:
            _draw(self._plot, self._title, self._slices, self._width)
        except OSError as error:
            raise Refusal(f"{self._plot} can't be written: {error.strerror or error}") from error


def _joined(slices: Sequence[_Slice], count: int) -> list[_Slice]:
    """``count`` slices in one."""
    found = []
    for start in range(0, len(slices), count):
        whole = _Slice()
        for each in slices[start : start + count]:
            whole.take(each)
        found.append(whole)
    return found


def _check(path: str) -> None:
    if os.path.splitext(path)[1].lower() not in FORMATS:
        raise Refusal(f"--plot {path}: the file's name must end with {' or '.join(FORMATS)}")
    directory = os.path.dirname(path) or "."
    if not os.path.isdir(directory):
        raise Refusal(f"--plot {path}: {directory} is no directory")
    try:
        import matplotlib  # noqa: F401 - whether it is there
    except ImportError:
        raise Refusal("--plot needs matplotlib: pip install 'pykafka-toolkit[plot]'") from None


def _draw(path: str, title: str, slices: Sequence[_Slice], width: float) -> None:
    """Two curves under one another, over the same time. Written aside and renamed: a picture is there as a whole."""
    from matplotlib.figure import Figure

    count = max(1, math.ceil(len(slices) / SHOWN))
    points = _joined(slices, count)
    seconds = width * count
    times = [(number + 0.5) * seconds for number in range(len(points))]
    if len(points) > 2:  # the last slice is cut short by the end
        points, times = points[:-1], times[:-1]
    figure = Figure(figsize=(9, 6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    figure.suptitle(title, fontsize=12)
    _throughput(above, times, points, seconds)
    _latency(below, times, points)
    aside = f"{path}.{os.getpid()}"
    try:
        figure.savefig(aside, format=os.path.splitext(path)[1][1:].lower(), dpi=120)
        os.replace(aside, path)
    finally:
        if os.path.lexists(aside):
            os.remove(aside)


def _throughput(axes: Axes, times: list[float], points: Sequence[_Slice], seconds: float) -> None:
    rates = [point.records / seconds for point in points]
    axes.fill_between(times, rates, alpha=0.15, color="tab:blue", linewidth=0)
    axes.plot(times, rates, color="tab:blue", linewidth=1.5, marker="o" if len(times) < 3 else "")
    records, size = (sum(getattr(point, name) for point in points) for name in ("records", "bytes"))
    average = records / (seconds * max(1, len(points)))
    axes.axhline(average, color="tab:gray", linewidth=1, linestyle="--")
    axes.set_ylabel("records/s")
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(lambda value, _position: f"{value:,.0f}")
    axes.set_title(f"average {average:,.0f} records/s", loc="right", fontsize=9, color="tab:gray")
    axes.grid(alpha=0.3)
    if records and size:
        to_mebibytes = size / records / (1 << 20)
        other = axes.secondary_yaxis(
            "right", functions=(lambda rate: rate * to_mebibytes, lambda amount: amount / to_mebibytes)
        )
        other.set_ylabel("MB/s")


def _latency(axes: Axes, times: list[float], points: Sequence[_Slice]) -> None:
    for share, label, color in ((1.0, "max", "tab:red"), (0.99, "99th", "tab:orange"), (0.5, "50th", "tab:green")):
        heights = [point.percentile(share) for point in points]
        known = [(at, height) for at, height in zip(times, heights, strict=True) if not math.isnan(height)]
        axes.plot(
            [at for at, _ in known], [height for _, height in known], label=label, color=color, linewidth=1.5,
            marker="o" if len(known) < 3 else "",
        )  # fmt: skip
    highest = max((max(point.latencies) for point in points if point.latencies), default=0.0)
    middle = sorted(filter(lambda each: not math.isnan(each), (point.percentile(0.5) for point in points)))
    if middle and highest > 50 * max(middle[len(middle) // 2], 0.02):
        axes.set_yscale("symlog", linthresh=max(middle[len(middle) // 2], 0.1))
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(lambda value, _position: f"{value:g}")
    axes.set_ylabel("latency, ms")
    axes.set_xlabel("seconds since the start")
    axes.grid(alpha=0.3)
    axes.legend(loc="upper right", fontsize=9, ncols=3)
