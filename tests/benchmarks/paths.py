"""The rows of every path of records: in and out, with keys and headers, compressed, as JSON, from several writers.

Each number is the median of rounds in which all that is compared took turns; behind it stand the least and the most.
What is to be reached depends on whether the hot modules are compiled (``pykafka --version``).
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from pykafka_store.open import open_cluster
from tests.benchmarks.run import LINE, Row, Run, run, tool
from tests.support import apache

MANY = 1_000_000
LARGE_LINE = 113
"""Bytes that a line of the row "large" takes in the log, at most."""
EACH_WRITES, PIPED = 400_000, 100_000
SIZE = "1,000,000 records of 82 bytes"

KEYS = ("--reader-property", "parse.key=true")
HEADERS = (*KEYS, "--reader-property", "parse.headers=true")
JSON = ("--input", "json")
ZSTD = ("--compression-codec", "zstd")
GROUP = ("--group", "bench")


def printing(*names: str) -> tuple[str, ...]:
    return tuple(word for name in names for word in ("--formatter-property", f"print.{name}=true"))


class Form(NamedTuple):
    """How the lines of an input look: of a number, 82 bytes with what stands around the value."""

    line: Callable[[int], bytes]
    words: tuple[str, ...]


def _key(number: int) -> bytes:
    return b"key-%06d" % (number * 7919 % 100_003)


def _value(number: int, size: int = 71) -> bytes:
    return (LINE % (number, number % 10_000))[:size]


FORMS = {
    "plain": Form(lambda n: LINE % (n, n % 10_000), ()),
    "keys": Form(lambda n: b"%b\t%b\n" % (_key(n), _value(n)), KEYS),
    "keys and headers": Form(lambda n: b"source:web,n:%d\t%b\t%b\n" % (n % 1000, _key(n), _value(n, 54)), HEADERS),
    "JSON lines": Form(lambda n: b'{"key":"%b","value":"%b"}\n' % (_key(n), _value(n)), JSON),
}


class Spread(NamedTuple):
    """What the rounds of one job took."""

    seconds: float
    least: float
    most: float
    cpu: float
    peak_mib: float

    def __str__(self) -> str:
        return f"{self.seconds:.2f} s ({self.least:.2f}-{self.most:.2f})"


def medians(rounds: int, *jobs: Callable[[], Run]) -> list[Spread]:
    """The median run of each job, all of them taking turns."""
    runs: list[list[Run]] = [[] for _ in jobs]
    for _ in range(rounds):
        for job, results in zip(jobs, runs, strict=True):
            results.append(job())
    return [
        Spread(
            statistics.median(each.seconds for each in some),
            min(each.seconds for each in some),
            max(each.seconds for each in some),
            statistics.median(each.cpu for each in some),
            max(each.peak_mib for each in some),
        )
        for some in runs
    ]


def is_compiled() -> bool:
    from pykafka_store.format import records

    return not str(records.__file__).endswith(".py")


def lines_of(work: Path, form: str, count: int | None = None) -> Path:
    count = count or MANY
    path = work / f"{form}-{count}".replace(" ", "-")
    if not path.exists():
        with path.open("wb") as file:
            for start in range(0, count, 10_000):
                file.write(b"".join(map(FORMS[form].line, range(start, min(start + 10_000, count)))))
    return path


def fresh(directory: Path, partitions: int, topics: Sequence[str] = ("bench",)) -> None:
    """A data directory with topics, and nothing else."""
    shutil.rmtree(directory, ignore_errors=True)
    with open_cluster(str(directory)) as cluster:
        for topic in topics:
            cluster.admin().create_topic(topic, partitions=partitions)


def producer(directory: Path, *more: str) -> list[str]:
    return [tool("kafka-console-producer"), "--data-dir", str(directory), "--topic", "bench", *more]


def consumer(directory: Path, *more: str) -> list[str]:
    argv = [tool("kafka-console-consumer"), "--data-dir", str(directory), "--topic", "bench", "--from-beginning"]
    return [*argv, "--exit-at-end", *more]


def _ratio_row(what: str, reach: float, ours: Spread, other: Spread, name: str) -> Row:
    ratio = ours.seconds / other.seconds
    measured = f"{ratio:.2f} × ({ours} against {other}; CPU {ours.cpu:.2f} s against {other.cpu:.2f} s)"
    return Row(f"{SIZE}, {what}", f"{reach} × kcat's {name}", measured, ratio <= reach)


# ------------------------------------------------------------------------------------------------------------------ in

INTO = {
    "plain": ("plain", 1, ()),
    "keys": ("keys", 1, ()),
    "keys, eight partitions": ("keys", 8, ()),
    "keys and headers": ("keys and headers", 1, ()),
    "keys and headers, eight partitions": ("keys and headers", 8, ()),
    "keys, zstd": ("keys", 1, ZSTD),
    "keys, zstd, eight partitions": ("keys", 8, ZSTD),
    "JSON lines": ("JSON lines", 1, ()),
}


def into(work: Path, rounds: int, names: Sequence[str] = tuple(INTO)) -> list[Row]:
    """Lines of a file -> a topic, against kcat into librdkafka's mock broker."""
    kcat = shutil.which("kcat")
    if kcat is None:
        return [Row(f"{SIZE}, in", "", "not compared: kcat is not installed", None)]
    directory = work / "in"
    mock = [kcat, "-P", "-X", "test.mock.num.brokers=1", "-b", "mock", "-t", "bench", "-l"]

    def ours(name: str) -> Run:
        form, partitions, more = INTO[name]
        fresh(directory, partitions)
        return run(producer(directory, *FORMS[form].words, *more), stdin=lines_of(work, form))

    spreads = medians(
        rounds,
        *(lambda name=name: ours(name) for name in names),  # type: ignore[misc]
        lambda: run([*mock, str(lines_of(work, "plain"))]),
        lambda: run([*mock, str(lines_of(work, "keys")), "-K", "\t"]),
    )
    *measured, kcat_plain, kcat_keys = spreads
    compiled = is_compiled()
    rows = []
    for name, spread in zip(names, measured, strict=True):
        if name == "plain":
            rows.append(_ratio_row("in: plain", 0.5 if compiled else 0.7, spread, kcat_plain, "own"))
        elif name == "JSON lines":
            rate, reach = MANY / spread.seconds, 500_000 if compiled else 200_000
            said = f"{rate:,.0f} records/s ({spread})"
            rows.append(Row(f"{SIZE}, in: JSON lines", f"{reach:,} records/s", said, rate >= reach))
        else:
            rows.append(_ratio_row(f"in: {name}", 0.9 if compiled else 2, spread, kcat_keys, "with keys"))
    rows.append(_memory("in", measured))
    return rows


def _memory(way: str, spreads: Sequence[Spread]) -> Row:
    peak = max(spread.peak_mib for spread in spreads)
    return Row("resident memory, on each of these paths", "64 MiB", f"{peak:.0f} MiB at most ({way})", peak <= 64)


def decides(work: Path, rounds: int) -> list[Row]:
    """The paths that README's table has."""
    *ways_in, memory_in = into(work, rounds, ("plain", "keys and headers, eight partitions", "JSON lines"))
    *ways_out, memory_out = out_of(work, rounds, ("plain", "key, timestamp and partition", "in a group"))
    return [*ways_in, *ways_out, max(memory_in, memory_out, key=lambda row: float(row.measured.partition(" ")[0]))]


# ----------------------------------------------------------------------------------------------------------------- out

_KTP = printing("key", "timestamp", "partition")
OUT_OF = {
    "plain": ("plain", 1, (), "%s\\n", (0.4, 0.6)),
    "key, timestamp and partition": ("keys", 1, _KTP, "%T\\t%p\\t%k\\t%s\\n", (0.5, 1.5)),
    "key, timestamp and partition, eight partitions": ("keys", 8, _KTP, "%T\\t%p\\t%k\\t%s\\n", (0.5, 1.5)),
    "key and headers": (
        "keys and headers", 1, printing("key", "headers"), "%h\\t%k\\t%s\\n", (0.5, 1.5),
    ),
    "in a group": ("keys", 8, (*GROUP, *_KTP), "%T\\t%p\\t%k\\t%s\\n", (0.5, 1.5)),
    "JSON lines": ("keys", 1, ("--output", "json"), "", (0.7, 2.0)),
}  # fmt: skip


def out_of(work: Path, rounds: int, names: Sequence[str] = tuple(OUT_OF)) -> list[Row]:
    """A topic -> a pipe, against kcat's consumer of the same on a real broker."""
    kcat = shutil.which("kcat")
    why = apache.available() or (None if kcat else "kcat is not installed")
    if kcat is None or why is not None:
        return [Row(f"{SIZE}, out", "", f"not compared: {why}", None)]
    rows, all_ours = [], []
    with apache.Broker() as broker:
        for form, partitions in dict.fromkeys((OUT_OF[name][0], OUT_OF[name][1]) for name in names):
            topic = f"{form}-{partitions}".replace(" ", "-")
            address = ("--bootstrap-server", broker.bootstrap)
            run([tool("kafka-topics"), *address, "--create", "--topic", topic, "--partitions", str(partitions)])
            lines = lines_of(work, form)
            run([tool("kafka-console-producer"), *address, "--topic", topic, *FORMS[form].words], stdin=lines)
            fresh(work / topic, partitions)
            run(producer(work / topic, *FORMS[form].words), stdin=lines)
        for name in names:
            form, partitions, words, layout, reach = OUT_OF[name]
            topic = f"{form}-{partitions}".replace(" ", "-")
            theirs = [kcat, "-C", "-b", broker.bootstrap, "-t", topic, "-o", "beginning", "-e", "-q"]
            theirs += ["-f", layout] if layout else ["-J"]
            ours, other = medians(
                rounds,
                lambda words=words, topic=topic: _read(work / topic, words),
                lambda t=theirs: run(t, pipe=True),  # type: ignore[misc]
            )
            all_ours.append(ours)
            rows.append(
                _ratio_row(f"out: {name}", reach[0 if is_compiled() else 1], ours, other, "consume from a real broker")
            )
    rows.append(_memory("out", all_ours))
    return rows


def _read(directory: Path, words: Sequence[str]) -> Run:
    if GROUP[0] in words:
        with open_cluster(str(directory)) as cluster:
            if "bench" in [group.group_id for group in cluster.admin().list_groups()]:
                cluster.admin().delete_group("bench")
    return run(consumer(directory, *words), pipe=True)


# ------------------------------------------------------------------------------------------------------------- writers


def writers(work: Path, rounds: int) -> list[Row]:
    """One to eight writers at once on one partition and on eight: the rate of all, and the slowest's part."""
    directory, count = work / "writers", EACH_WRITES
    lines = lines_of(work, "keys", count)

    def together(number: int, partitions: int) -> tuple[float, float]:
        """The rate of all while all were at work, and the least share of a writer, against an even one."""
        fresh(directory, partitions)
        environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        ended = [0.0] * number
        began = time.perf_counter()

        def wait(place: int, process: subprocess.Popen[bytes]) -> None:
            process.wait()
            ended[place] = time.perf_counter() - began

        threads = []
        for place in range(number):
            with lines.open("rb") as source:
                process = subprocess.Popen(
                    producer(directory, *KEYS), stdin=source, stderr=subprocess.DEVNULL, env=environ
                )
            threads.append(threading.Thread(target=wait, args=(place, process)))
            threads[-1].start()
        for thread in threads:
            thread.join()
        return number * count / max(ended), min(ended) / max(ended)

    rates: dict[tuple[int, int], list[tuple[float, float]]] = {}
    for _ in range(rounds):
        for partitions in (1, 8):
            for number in (1, 2, 4, 8):
                rates.setdefault((number, partitions), []).append(together(number, partitions))
    rows = []
    for (number, partitions), found in rates.items():
        if number == 1:
            continue
        rate = statistics.median(rate for rate, _ in found)
        alone = statistics.median(rate for rate, _ in rates[1, partitions])
        share = min(share for _, share in found)
        where = "one partition" if partitions == 1 else "eight partitions"
        measured = f"{rate / alone:.2f} × ({rate:,.0f} records/s), the slowest {share:.2f} of the fastest's rate"
        good = rate >= 0.9 * alone and share >= 0.5 if (number, partitions) == (4, 1) else None
        rows.append(Row(f"{number} writers on {where} together", "0.9 × one writer's rate, 0.5", measured, good))
    return rows


# -------------------------------------------------------------------------------------------------------- a slow pipe

_SLOW = """
import sys, time
data = open(sys.argv[1], "rb").read().splitlines(True)
size = int(sys.argv[2])
for start in range(0, len(data), size):
    sys.stdout.buffer.write(b"".join(data[start:start + size]))
    sys.stdout.buffer.flush()
    time.sleep(float(sys.argv[3]))
"""


def slow(work: Path, rounds: int) -> list[Row]:
    """A pipe that brings a hundred lines every 2 ms: CPU of the writer, and of who reads such small batches."""
    count = PIPED
    lines = lines_of(work, "keys", count)
    small, large = work / "small", work / "large"

    def piped(directory: Path, at_once: int, pause: float) -> Run:
        fresh(directory, 1)
        with subprocess.Popen(
            [sys.executable, "-c", _SLOW, str(lines), str(at_once), str(pause)], stdout=subprocess.PIPE
        ) as source:
            assert source.stdout is not None
            return run(producer(directory, *KEYS), stdin=source.stdout)

    jobs = (
        lambda: piped(small, 100, 0.002),
        lambda: piped(large, count, 0.0),
        lambda: run(consumer(small, *_KTP), pipe=True),
        lambda: run(consumer(large, *_KTP), pipe=True),
    )
    in_small, in_large, out_small, out_large = medians(rounds, *jobs)
    rows = []
    for way, one, other in (("in", in_small, in_large), ("out", out_small, out_large)):
        ratio = one.cpu / other.cpu
        measured = f"{ratio:.2f} × ({one.cpu:.2f} s against {other.cpu:.2f} s)"
        rows.append(Row(f"100,000 records {way}, in batches of 100", "2 × the CPU of large ones", measured, ratio <= 2))
    return rows


# ---------------------------------------------------------------------------------------------- values, codecs, topics


def shapes(work: Path, rounds: int) -> list[Row]:
    """Bytes a second of values of 10 B to 10 kB, of each codec, and of sixteen topics; `cat` is the floor."""
    rows: list[Row] = []
    for size, count in ((10, 1_000_000), (100, 500_000), (1000, 100_000), (10_000, 10_000)):
        lines = work / f"values-{size}"
        unit = b"".join(b"%09d%b\n" % (n, b"x" * (size - 9)) for n in range(1000))
        lines.write_bytes(unit * (count // 1000))
        directory = work / "shapes"

        def write(lines: Path = lines, directory: Path = directory) -> Run:
            fresh(directory, 1)
            return run(producer(directory), stdin=lines)

        ours, read, floor = medians(
            rounds,
            write,
            lambda d=directory: run(consumer(d), pipe=True),
            lambda s=lines: run(["cat", str(s)], pipe=True),  # type: ignore[misc]
        )
        megabytes = size * count / 1e6
        said = ", ".join(
            f"{way} {megabytes / spread.seconds:,.0f} MB/s"
            for way, spread in (("in", ours), ("out", read), ("`cat`", floor))
        )
        rows.append(Row(f"{count:,} values of {size:,} bytes", "", said, None))
    lines = lines_of(work, "keys")
    for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
        directory = work / f"codec-{codec}"

        def write_codec(codec: str = codec, directory: Path = directory) -> Run:
            fresh(directory, 1)
            return run(producer(directory, *KEYS, "--compression-codec", codec), stdin=lines)

        ours, read = medians(rounds, write_codec, lambda d=directory: run(consumer(d, *_KTP), pipe=True))  # type: ignore[misc]
        rows.append(Row(f"{SIZE}, keys, {codec}", "", f"in {ours}, out {read}", None))
    return rows


def topics(work: Path, rounds: int) -> list[Row]:
    """JSON lines that each name their topic, by turns one of sixteen, against the same into one; and out of all."""
    names = [f"bench-{number}" for number in range(16)]
    one, many = work / "of-one", work / "of-sixteen"
    for path, of in ((one, names[:1]), (many, names)):
        with path.open("wb") as file:
            for number in range(MANY):
                word = of[number % len(of)].encode()
                file.write(b'{"topic":"%b","key":"%b","value":"%b"}\n' % (word, _key(number), _value(number)))

    def write(lines: Path, directory: Path) -> Run:
        fresh(directory, 1, names)
        return run([tool("kafka-console-producer"), "--data-dir", str(directory), *JSON], stdin=lines)

    def read(directory: Path) -> Run:
        argv = [tool("kafka-console-consumer"), "--data-dir", str(directory), "--include", "bench-.*"]
        return run([*argv, "--from-beginning", "--exit-at-end", *_KTP], pipe=True)

    alone, spread = work / "alone", work / "spread"
    in_one, in_many, out_one, out_many = medians(
        rounds,
        lambda: write(one, alone),
        lambda: write(many, spread),
        lambda: read(alone),
        lambda: read(spread),
    )
    rows = []
    for way, less, more in (("in", in_one, in_many), ("out", out_one, out_many)):
        ratio = more.seconds / less.seconds
        measured = f"{ratio:.2f} × ({more} against {less}, peak {more.peak_mib:.0f} MiB)"
        rows.append(Row(f"{SIZE}, JSON lines {way}, sixteen topics", "", measured, None))
    return rows


# --------------------------------------------------------------------------------------------------------------- smoke


def smoke(work: Path, rounds: int) -> list[Row]:
    """Create, ten in, ten out, describe, delete: ours, and Apache's by a JVM that starts as fast as the tests know."""
    why = apache.available()
    if why is not None:
        return [Row("the smoke script", "", f"not compared: {why}", None)]
    ten = lines_of(work, "plain", 10)

    def script(command: Callable[..., list[str]], address: tuple[str, ...]) -> Run:
        began = time.perf_counter()
        topic = ("--topic", "smoke")
        cpu = 0.0
        for name, words, stdin in (
            ("kafka-topics", ("--create", *topic), None),
            ("kafka-console-producer", topic, ten),
            ("kafka-console-consumer", (*topic, "--from-beginning", "--max-messages", "10"), None),
            ("kafka-topics", ("--describe", *topic), None),
            ("kafka-topics", ("--delete", *topic), None),
        ):
            cpu += run(command(name, *address, *words), stdin=stdin).cpu
        return Run(time.perf_counter() - began, cpu, 0.0)

    def own(name: str, *words: str) -> list[str]:
        return [tool(name), *words]

    with apache.Broker() as broker:
        ours, theirs = medians(
            rounds,
            lambda: script(own, ("--data-dir", str(work / "smoke"))),
            lambda: script(apache.command, ("--bootstrap-server", broker.bootstrap)),
        )
    ratio = theirs.seconds / ours.seconds
    measured = f"{ratio:.1f} × faster ({ours} against {theirs})"
    return [Row("create, ten in, ten out, describe, delete", "10 × Apache's tools", measured, ratio >= 10)]


# --------------------------------------------------------------------------------------------------- long: a 10 GB log


def large(work: Path, rounds: int) -> list[Row]:
    """Look-ups by time and offset in a log of 10 GB, over the process's start; and CPU a record from 10^5 to 10^8.

    Where the disk has less than twice that, the log is half of what it has.
    """
    room = shutil.disk_usage(work).free // 2 // LARGE_LINE - 11_100_000
    last = min(88_900_000, max(1_000_000, room))  # with those before it 10^8 records, and 10 GB
    directory = work / "huge"
    fresh(directory, 1)
    costs: dict[int, float] = {}
    for count in (100_000, 1_000_000, 10_000_000, last):
        lines = [sys.executable, "-c", _LINES, str(count)]
        with subprocess.Popen(lines, stdout=subprocess.PIPE) as source:
            assert source.stdout is not None
            costs[count] = run(producer(directory), stdin=source.stdout).cpu / count
    with open_cluster(str(directory)) as cluster, cluster.consumer() as reading:
        from pykafka_store.model import TopicPartition

        partition = TopicPartition("bench", 0)
        end = reading.end_offsets([partition])[partition]
    at = ("--partition", "0", "--offset", str(end // 2), "--max-messages", "1")
    offsets = [tool("kafka-get-offsets"), "--data-dir", str(directory), "--topic", "bench"]
    words = [tool("kafka-console-consumer"), "--data-dir", str(directory), "--topic", "bench"]
    small = work / "one"
    fresh(small, 1)
    run(producer(small), stdin=lines_of(work, "plain", 10))
    tiny = [tool("kafka-console-consumer"), "--data-dir", str(small), "--topic", "bench"]
    by_offset, by_time, start = medians(
        5 * rounds,
        lambda: run([*words, *at], pipe=True),
        lambda: run([*offsets, "--time", str(int(time.time() * 1000) - 5000)]),
        lambda: run([*tiny, "--partition", "0", "--offset", "5", "--max-messages", "1"], pipe=True),
    )
    rows = []
    size = sum(file.stat().st_size for file in directory.rglob("*.log")) / 1e9
    for what, spread in (("offset", by_offset), ("time", by_time)):
        over = (spread.seconds - start.seconds) * 1000
        measured = f"{over:+.0f} ms ({spread} against {start})"
        rows.append(
            Row(
                f"a look-up by {what} in a log of {size:.0f} GB, over one of ten records", "10 ms", measured, over <= 10
            )
        )
    few, many = costs[1_000_000], costs[last]
    growth = f"CPU a record in, {last:,} against 1,000,000"
    rows.append(Row(growth, "within 20 %", f"{many / few:.2f} ×", many <= 1.2 * few))
    return rows


_LINES = """
import sys
count, out = int(sys.argv[1]), sys.stdout.buffer
line = b"%08d the quick brown fox jumps over the lazy dog, again and again and again, and then some more\\n"
for start in range(0, count, 10_000):
    out.write(b"".join(line % n for n in range(start, min(start + 10_000, count))))
"""
