"""Measure the promises of the README's table, as ratios within one run.

Every row is the whole process, from a shell's point of view. What is compared runs in turns on the same machine,
and the best of the rounds counts: a shared machine only ever adds time. `--write` puts the table into README.md,
`--rows produce,list` measures some rows, `--rounds N` changes how often. Without `--rows` those that decide are
measured, in some ten minutes; `--rows all` takes an hour, and the rows of LONG as much again. Some rows need kcat, a
package of Debian's, and those of a cluster Java and Maven besides (tests/cluster/README.md).
"""

from __future__ import annotations

import argparse
import importlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from pykafka_store.open import open_cluster, open_data_directory
from tests.support import apache
from tests.support.signals import take_signals_back

ROOT = Path(__file__).resolve().parents[2]
RESULTS = Path(__file__).with_name("RESULTS.md")
_HEAD = """# What was measured

`python tests/benchmarks/run.py --rows all --write` measures all of it again and writes this page, with a picture where
matplotlib is installed (`pip install -e '.[plot]'`); README has the rows that decide.
"""
BEGIN, END = "<!-- benchmarks: begin -->", "<!-- benchmarks: end -->"
LINE = b"%08d the quick brown fox jumps over the lazy dog, again and again and again, till %04d\n"
BIN = Path(sys.executable).parent


class Row(NamedTuple):
    """One line of the table."""

    what: str
    reach: str
    measured: str
    good: bool | None


class Run(NamedTuple):
    seconds: float
    cpu: float
    peak_mib: float


def tool(name: str) -> str:
    """The program beside this interpreter: what an installed package's scripts are."""
    found = BIN / name
    return str(found) if found.exists() else shutil.which(name) or name


def run(argv: list[str], *, stdin: Path | IO[bytes] | None = None, pipe: bool = False, code: int = 0) -> Run:
    """Run a command to its end, where it exits with ``code``; ``pipe`` reads its output as `| wc -c` would."""
    source = stdin.open("rb") if isinstance(stdin, Path) else stdin
    # An installed program has its bytecode beside it; a shell that forbids writing it would measure the compiler.
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    try:
        start = time.perf_counter()
        process = subprocess.Popen(
            argv,
            stdin=source or subprocess.DEVNULL,
            stdout=subprocess.PIPE if pipe else subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environ,
        )
        if pipe:
            assert process.stdout is not None
            while os.read(process.stdout.fileno(), 1 << 20):
                pass
            process.stdout.close()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
    finally:
        if source:
            source.close()
    if process.returncode != code:
        raise SystemExit(f"{' '.join(argv)} exited with {process.returncode}")
    return Run(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def in_turns(rounds: int, *jobs: Callable[[], Run]) -> list[Run]:
    """The best run of each job, all of them taking turns."""
    runs: list[list[Run]] = [[] for _ in jobs]
    for _ in range(rounds):
        for job, results in zip(jobs, runs, strict=True):
            results.append(job())
    return [Run(min(r.seconds for r in some), min(r.cpu for r in some), max(r.peak_mib for r in some)) for some in runs]


@contextmanager
def workspace() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="pykafka-bench-"))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def make_lines(path: Path, count: int) -> Path:
    """``count`` lines of 82 bytes and their newline, each different."""
    with path.open("wb") as file:
        for start in range(0, count, 10_000):
            file.write(b"".join(LINE % (n, n % 10_000) for n in range(start, min(start + 10_000, count))))
    return path


def produce(directory: Path, lines: Path, topic: str = "bench", *more: str) -> Run:
    return run([tool("kafka-console-producer"), "--data-dir", str(directory), "--topic", topic, *more], stdin=lines)


def consume(directory: Path, topic: str = "bench", *more: str) -> Run:
    argv = [tool("kafka-console-consumer"), "--data-dir", str(directory), "--topic", topic, "--from-beginning"]
    return run([*argv, "--exit-at-end", *more], pipe=True)


# ----------------------------------------------------------------------------------------------------------- the rows


def row_list(work: Path, rounds: int) -> list[Row]:
    """What a command costs before it does anything: listing one topic, ten lines in, ten lines out."""
    ten = make_lines(work / "ten", 10)
    ours, writes = work / "list", work / "writes"
    produce(ours, ten)
    *runs, bare = in_turns(
        5 * rounds,
        lambda: run([tool("kafka-topics"), "--data-dir", str(ours), "--list"]),
        lambda: produce(writes, ten),
        lambda: consume(ours),
        lambda: run([sys.executable, "-c", "pass"]),
    )
    rows = []
    for what, reach, each in zip(
        ("`kafka-topics --list`", "`kafka-console-producer`, ten lines", "`kafka-console-consumer`, ten lines"),
        (4.0, 4.5, 4.5),
        runs,
        strict=True,
    ):
        ratio = each.seconds / bare.seconds
        measured = f"{ratio:.1f} × ({each.seconds * 1000:.0f} ms against {bare.seconds * 1000:.0f} ms)"
        rows.append(Row(f"{what}, whole process", f"{reach:g} × `python -c pass`", measured, ratio <= reach))
    return rows


def row_throughput(work: Path, rounds: int) -> list[Row]:
    lines = make_lines(work / "million", 1_000_000)
    directory = work / "throughput"

    def ours() -> Run:
        shutil.rmtree(directory, ignore_errors=True)
        return produce(directory, lines)

    jobs: list[Callable[[], Run]] = [ours, lambda: consume(directory)]
    kcat = shutil.which("kcat")
    if kcat:
        mock = [kcat, "-P", "-X", "test.mock.num.brokers=1", "-b", "mock", "-t", "bench", "-l", str(lines)]
        jobs.append(lambda: run(mock))
    produced, consumed, *rest = in_turns(rounds, *jobs)
    size = "1,000,000 lines of 82 bytes"
    if rest:
        base = rest[0].seconds
        against = f"({{:.2f}} s against {base:.2f} s)"
        rows = [
            Row(
                f"{size}: file → one partition, whole process",
                "0.8 × kcat into librdkafka's mock broker",
                f"{produced.seconds / base:.2f} × {against.format(produced.seconds)}",
                produced.seconds <= 0.8 * base,
            ),
            Row(
                f"{size}: partition → pipe, whole process",
                "2.5 × kcat's produce",
                f"{consumed.seconds / base:.2f} × {against.format(consumed.seconds)}",
                consumed.seconds <= 2.5 * base,
            ),
        ]
    else:
        why = "not compared: kcat is not installed"
        rows = [
            Row(f"{size}: file → one partition", "0.8 × kcat", f"{produced.seconds:.2f} s, {why}", None),
            Row(f"{size}: partition → pipe", "2.5 × kcat", f"{consumed.seconds:.2f} s, {why}", None),
        ]
    peak = max(produced.peak_mib, consumed.peak_mib)
    memory = f"{produced.peak_mib:.0f} MiB in, {consumed.peak_mib:.0f} MiB out"
    return [*rows, Row("resident memory, 1,000,000 records", "64 MiB", memory, peak <= 64)]


def row_replicas(work: Path, rounds: int) -> list[Row]:
    """A million records to three replicas on one disk, against one."""
    lines = make_lines(work / "lines", 1_000_000)
    with open_cluster(work / "data"):
        pass  # made
    with open_data_directory(work / "data") as directory:
        directory.add_broker()
        directory.add_broker()

    def into(factor: int) -> Run:
        with open_cluster(work / "data") as cluster:
            cluster.admin().create_topic("bench", replication_factor=factor)
        try:
            return produce(work / "data", lines)
        finally:
            with open_cluster(work / "data") as cluster:
                cluster.admin().delete_topic("bench")

    one, three = in_turns(rounds, partial(into, 1), partial(into, 3))
    ratio = three.seconds / one.seconds
    measured = f"{ratio:.2f} × ({three.seconds:.2f} s against {one.seconds:.2f} s)"
    return [Row("1,000,000 lines into three replicas, against one", "2.2 ×", measured, ratio <= 2.2)]


def row_flat(work: Path, rounds: int) -> list[Row]:
    """Cost a record from 10^5 to 10^7 records, the process's start taken off. On to 10^8 goes the row "large"."""
    directory = work / "flat"
    empty = make_lines(work / "empty", 0)
    tiny = make_lines(work / "tiny", 100_000)
    huge = make_lines(work / "huge", 10_000_000)

    def into(lines: Path) -> Run:
        shutil.rmtree(directory, ignore_errors=True)
        return produce(directory, lines)

    def out(count: int) -> Callable[[], Run]:
        kept = work / f"flat-{count}"
        if not kept.exists():
            produce(kept, tiny if count == 100_000 else huge)
        return lambda: consume(kept)

    start_in, small_in, large_in = in_turns(rounds, lambda: into(empty), lambda: into(tiny), lambda: into(huge))
    shutil.rmtree(directory, ignore_errors=True)
    run([tool("kafka-topics"), "--data-dir", str(work / "nothing"), "--create", "--topic", "bench"])
    start_out, small_out, large_out = in_turns(rounds, lambda: consume(work / "nothing"), out(100_000), out(10_000_000))
    rows = []
    for name, start, small, large in (
        ("in", start_in, small_in, large_in),
        ("out", start_out, small_out, large_out),
    ):
        ratio = ((large.cpu - start.cpu) / 1e7) / ((small.cpu - start.cpu) / 1e5)
        rows.append(
            Row(
                f"CPU a record {name}, 10⁷ records against 10⁵",
                "within 20 %",
                f"{ratio:.2f} × (peak {large.peak_mib:.0f} MiB)",
                ratio <= 1.2 and large.peak_mib <= 64,
            )
        )
    return rows


def row_many(work: Path, rounds: int) -> list[Row]:
    """The same records among 1,000 segments, and beside 1,000 topics.

    Small segments hold small batches, so the log of one segment that they are measured against has such batches too.
    """
    lines = make_lines(work / "some", 1_000_000)
    plain, single, segments, topics = (work / name for name in ("plain", "single", "segments", "topics"))
    with open_cluster(str(segments)) as cluster:
        cluster.admin().create_topic("bench", configs={"internal.segment.bytes": str(90_000)})
    with open_cluster(str(topics)) as cluster:
        for number in range(1000):
            cluster.admin().create_topic(f"other-{number}")
    for directory in (plain, topics):
        produce(directory, lines)
    for directory in (single, segments):
        produce(directory, lines, "bench", "--batch-size", "16384")
    count = len(list((segments / "brokers" / "0" / "bench-0").glob("*.log")))
    base, one_segment, many_segments, many_topics = in_turns(
        rounds, *(partial(consume, directory) for directory in (plain, single, segments, topics))
    )
    again, topics_in = in_turns(rounds, lambda: produce(plain, lines), lambda: produce(topics, lines))
    one = make_lines(work / "one", 1)
    alone, tail = in_turns(rounds, lambda: produce(plain, one), lambda: produce(segments, one))

    def row(what: str, ratio: float) -> Row:
        return Row(what, "within 20 %", f"{ratio:.2f} ×", ratio <= 1.2)

    return [
        row(f"reading out of {count:,} segments against one", many_segments.cpu / one_segment.cpu),
        row(f"one append behind {count:,} segments against one", tail.cpu / alone.cpu),
        row("reading beside 1,000 topics against none", many_topics.cpu / base.cpu),
        row("writing beside 1,000 topics against none", topics_in.cpu / again.cpu),
    ]


def row_partitions(work: Path, rounds: int) -> list[Row]:
    """A topic of 10,000 partitions, against Python's own start and against one of a tenth of the size."""
    many, few = 10_000, 1_000
    steps = (
        ("made", 190, ("kafka-topics", "--create", "--topic", "t", "--partitions")),
        ("described", 38, ("kafka-topics", "--describe", "--topic", "t")),
        ("asked for its offsets", 60, ("kafka-get-offsets", "--topic", "t")),
        ("deleted", 150, ("kafka-topics", "--delete", "--topic", "t")),
    )
    rounds = min(rounds, 3)
    found: dict[tuple[str, int], float] = {}
    (bare,) = in_turns(5 * rounds, lambda: run([sys.executable, "-c", "pass"]))
    for _ in range(rounds):
        for count in (few, many):
            for what, _reach, (name, *words) in steps:
                more = [str(count)] if words[-1] == "--partitions" else []
                took = run([tool(name), "--data-dir", str(work / str(count)), *words, *more]).seconds
                found[what, count] = min(took, found.get((what, count), took))
    rows = []
    for what, reach, _ in steps:
        ratio, growth = found[what, many] / bare.seconds, found[what, many] / found[what, few]
        measured = f"{ratio:.0f} × ({found[what, many]:.2f} s), {growth:.1f} × that of 1,000"
        reached = f"{reach} × `python -c pass`, 11 × 1,000 partitions"
        rows.append(Row(f"a topic of 10,000 partitions {what}", reached, measured, ratio <= reach and growth <= 11))
    return rows


def row_at_once(work: Path, _rounds: int) -> list[Row]:
    """Two hundred processes at once against one after the other, on a directory that does not exist yet."""
    ten = make_lines(work / "ten", 10)

    def start(directory: Path, argv: list[str]) -> subprocess.Popen[bytes]:
        with ten.open("rb") as lines:
            command = [tool(argv[0]), "--data-dir", str(directory), *argv[1:]]
            return subprocess.Popen(command, stdin=lines, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    rows = []
    for what, jobs in (
        ("`kafka-topics --create`", [["kafka-topics", "--create", "--topic", f"t{n}"] for n in range(200)]),
        ("producers of ten lines on one partition", [["kafka-console-producer", "--topic", "t"]] * 200),
    ):
        began = time.perf_counter()
        failed = sum(bool(start(work / "one", job).wait()) for job in jobs)
        between = time.perf_counter()
        running = [start(work / "all", job) for job in jobs]
        failed += sum(bool(each.wait()) for each in running)
        together, alone = time.perf_counter() - between, between - began
        for directory in (work / "one", work / "all"):
            shutil.rmtree(directory)
        measured = f"{together / alone:.2f} × ({together:.1f} s), {failed} failed"
        good = not failed and together <= 1.3 * alone
        rows.append(Row(f"200 {what} at once against one after the other", "1.3 ×, none fails", measured, good))
    return rows


def row_latency(work: Path, _rounds: int) -> list[Row]:
    """From the return of an append to its bytes on a follower's stdout."""
    directory = work / "latency"
    with open_cluster(str(directory)) as cluster:
        cluster.admin().create_topic("bench")
        argv = [tool("kafka-console-consumer"), "--data-dir", str(directory), "--topic", "bench", "--from-beginning"]
        follower = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert follower.stdout is not None
        arrived: list[float] = []
        output = follower.stdout

        def watch() -> None:
            for _ in output:
                arrived.append(time.perf_counter())

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        sent: list[float] = []
        with cluster.producer({"linger.ms": "0"}) as producer:  # what is sent is appended when that returns
            producer.send("bench", [b"first"])
            while not arrived:
                time.sleep(0.01)
            for number in range(400):
                time.sleep(0.005 + 0.0001 * (number * 37 % 400))  # 5 to 45 ms: busy and idle followers both
                producer.send("bench", [b"%d" % number])
                sent.append(time.perf_counter())
        while len(arrived) < 401:
            time.sleep(0.01)
        idle_for = 20.0
        before = cpu_of(follower.pid)
        time.sleep(idle_for)
        idle = (cpu_of(follower.pid) - before) / idle_for
        follower.send_signal(signal.SIGINT)
        follower.wait()
        watcher.join()
    delays = sorted(max(0.0, seen - at) * 1000 for seen, at in zip(arrived[1:], sent, strict=True))
    p99 = delays[int(len(delays) * 0.99)]
    return [
        Row(
            "append → a follower's stdout, p99",
            "5 ms",
            f"{p99:.1f} ms (median {delays[len(delays) // 2]:.1f})",
            p99 <= 5,
        ),
        Row("an idle follower", "0.2 % of a core", f"{idle:.2%}", idle <= 0.002),
    ]


def cpu_of(pid: int) -> float:
    """The processor time of a process and its threads, in seconds, to the nanosecond.

    Not from /proc/PID/stat: many kernels fill it by ticks of 10 ms, and a timer that goes off just before each tick
    makes a process that hardly works look busy.
    """
    return time.clock_gettime((~pid << 3) | 2)  # clock_getcpuclockid(3), by the number that Linux gives to its clock


COMPACTION = """
import random, sys, time
from pykafka_store.embedded.cluster import EmbeddedCluster
from pykafka_store.embedded.partitions import hosted
from pykafka_store.embedded.replication.upkeep import upkeep_of
from pykafka_store.model import ConfigResource, TopicPartition
chooser = random.Random(1)
with EmbeddedCluster(sys.argv[1]) as cluster:
    admin = cluster.admin()
    configs = {"cleanup.policy": "compact", "segment.bytes": str(16 << 20), "min.cleanable.dirty.ratio": "1.0"}
    admin.create_topic("t", configs=configs)
    with cluster.producer() as producer:
        for start in range(0, 1_000_000, 10_000):
            keys = [b"key-%08d" % chooser.randrange(200_000) for _ in range(10_000)]
            producer.send("t", [b"%064d" % number for number in range(start, start + 10_000)], keys=keys)
    admin.incremental_alter_configs(ConfigResource("topic", "t"), {"min.cleanable.dirty.ratio": "0.5"})
    (upkeep,) = upkeep_of(hosted(cluster.engine, TopicPartition("t", 0)))
    started = time.perf_counter()
    read = upkeep.run().compacted.read
    print(read / (time.perf_counter() - started))
"""


def row_compaction(work: Path, rounds: int) -> list[Row]:
    """A million records of 200 000 keys, in segments of 16 MiB: map them, and write what stays anew."""
    best = 0.0
    for number in range(rounds):
        command = [sys.executable, "-c", COMPACTION, str(work / str(number))]
        best = max(best, float(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
        shutil.rmtree(work / str(number))
    return [Row("compaction, records a second", "300,000", f"{best:,.0f}", best >= 300_000)]


def row_doctor(work: Path, rounds: int) -> list[Row]:
    """Every file of a data directory checked, the pages warm: in large batches, and in those of a busy client."""
    lines = make_lines(work / "lines", 5_000_000)
    rows = []
    for name, more in (("", ()), (" in batches of 16 kB", ("--batch-size", "16384"))):
        directory = work / f"data{len(more)}"
        produce(directory, lines, "bench", *more)
        size = sum(path.stat().st_size for path in directory.rglob("*.log")) / 1e6
        (done,) = in_turns(rounds, partial(run, [tool("pykafka"), "doctor", "--data-dir", str(directory)]))
        speed = size / done.seconds
        measured = f"{speed:,.0f} MB/s ({done.seconds:.2f} s, peak {done.peak_mib:.0f} MiB)"
        rows.append(
            Row(f"`pykafka doctor` over {size:.0f} MB{name}, whole process", "500 MB/s", measured, speed >= 500)
        )
    return rows


def row_cluster(work: Path, rounds: int) -> list[Row]:
    """A real broker on loopback: our tools against kcat, with Apache's own and the data directory beside them."""
    kcat = shutil.which("kcat")
    why = apache.available() or (None if kcat else "kcat is not installed")
    if kcat is None or why is not None:
        reason = f"not measured: {why}"
        return [Row("a real broker", "needs Java, Maven and kcat", reason, None)]
    lines = make_lines(work / "million", 1_000_000)
    directory = work / "data"
    topics = (f"in-{number}" for number in range(1_000_000))
    with apache.Broker() as broker:
        address = ("--bootstrap-server", broker.bootstrap)

        def fresh() -> str:
            """A topic of its own for each run, so that no log grows from round to round."""
            topic = next(topics)
            run([tool("kafka-topics"), *address, "--create", "--topic", topic])
            return topic

        def into(command: Callable[[str], list[str]]) -> Run:
            topic = fresh()
            try:
                return run(command(topic), stdin=lines)
            finally:
                run([tool("kafka-topics"), *address, "--delete", "--topic", topic])

        def on_directory() -> Run:
            shutil.rmtree(directory, ignore_errors=True)
            return produce(directory, lines)

        ours_in, kcat_in, java_in, directory_in = in_turns(
            rounds,
            partial(into, lambda topic: [tool("kafka-console-producer"), *address, "--topic", topic]),
            partial(into, lambda topic: [kcat, "-P", "-b", broker.bootstrap, "-t", topic, "-l", str(lines)]),
            partial(into, lambda topic: apache.command("kafka-console-producer", *address, "--topic", topic)),
            on_directory,
        )
        topic = fresh()
        run([tool("kafka-console-producer"), *address, "--topic", topic], stdin=lines)
        reading = [*address, "--topic", topic, "--from-beginning", "--max-messages", "1000000"]
        from_kcat = [kcat, "-C", "-b", broker.bootstrap, "-t", topic, "-o", "beginning", "-e", "-q"]
        ours_out, kcat_out, java_out, directory_out = in_turns(
            rounds,
            lambda: run([tool("kafka-console-consumer"), *reading], pipe=True),
            lambda: run(from_kcat, pipe=True),
            lambda: run(apache.command("kafka-console-consumer", *reading), pipe=True),
            lambda: consume(directory),
        )
        ours_list, bare, java_list = in_turns(
            rounds,
            lambda: run([tool("kafka-topics"), *address, "--list"]),
            lambda: run([sys.executable, "-c", "pass"]),
            lambda: run(apache.command("kafka-topics", *address, "--list")),
        )

    def row(what: str, ours: Run, other: Run, java: Run, embedded: Run) -> Row:
        ratio = ours.seconds / other.seconds
        return Row(
            f"{what} a real broker, 1,000,000 lines of 82 bytes, whole process",
            "1.5 × kcat",
            f"{ratio:.2f} × ({ours.seconds:.2f} s against {other.seconds:.2f} s; "
            f"Apache's own {java.seconds:.2f} s, ours on a directory {embedded.seconds:.2f} s)",
            ratio <= 1.5,
        )

    start = ours_list.seconds / bare.seconds
    listed = f"{ours_list.seconds * 1000:.0f} ms against {bare.seconds * 1000:.0f} ms"
    return [
        row("file →", ours_in, kcat_in, java_in, directory_in),
        row("pipe ←", ours_out, kcat_out, java_out, directory_out),
        Row(
            "`kafka-topics --list` on a real broker, whole process",
            "15 × `python -c pass`",
            f"{start:.1f} × ({listed}; Apache's own {java_list.seconds:.2f} s)",
            start <= 15,
        ),
    ]


def row_of_sinks(name: str) -> Callable[[Path, int], list[Row]]:
    def measure(work: Path, rounds: int) -> list[Row]:
        from tests.benchmarks import sinks  # it imports this module

        return [Row(*row) for row in getattr(sinks, name)(work, rounds)]

    return measure


def row_source(work: Path, rounds: int) -> list[Row]:
    from tests.benchmarks import sources  # it imports this module

    return [Row(*row) for row in sources.rows(work, rounds)]


def row_serve(work: Path, rounds: int) -> list[Row]:
    from tests.benchmarks import serving  # it imports this module

    return [Row(*row) for row in serving.rows(work, rounds)]


def row_of(module: str, name: str) -> Callable[[Path, int], list[Row]]:
    """A function of a module beside this one."""

    def measure(work: Path, rounds: int) -> list[Row]:
        found = importlib.import_module(f"tests.benchmarks.{module}")  # it imports this module
        return [Row(*row) for row in getattr(found, name)(work, rounds)]

    return measure


DECIDE = ("list", "decides", "latency", "smoke")
"""The rows of README's table: what most people do, and what it is compared with."""

LONG = ("large",)
"""Rows that take tens of minutes and of gigabytes."""

ROWS: dict[str, Callable[[Path, int], list[Row]]] = {
    "list": row_list,
    "produce": row_throughput,
    "replicas": row_replicas,
    "latency": row_latency,
    "many": row_many,
    "partitions": row_partitions,
    "at-once": row_at_once,
    **{name: row_of("crowds", name) for name in ("rebalance", "described", "joining")},
    "flat": row_flat,
    "compaction": row_compaction,
    "doctor": row_doctor,
    "cluster": row_cluster,
    "sink": row_of_sinks("inserting"),
    "sink-otherwise": row_of_sinks("otherwise"),
    "sink-postgres": row_of_sinks("into_postgres"),
    "sink-waiting": row_of_sinks("waiting"),
    "source": row_source,
    "serve": row_serve,
    **{
        name: row_of("paths", name)
        for name in ("decides", "into", "out_of", "writers", "slow", "shapes", "topics", "smoke", "large")
    },
}


def table(rows: list[Row]) -> str:
    marks = {True: "", False: " **missed**", None: ""}
    lines = ["| what | reach | measured |", "| --- | --- | --- |"]
    lines += [f"| {row.what} | {row.reach} | {row.measured}{marks[row.good]} |" for row in rows]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = "which, by commas, or all: all but " + ", ".join(LONG) + ". They are: " + ", ".join(ROWS)
    parser.add_argument("--rows", default=",".join(DECIDE), help=names)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--write", action="store_true", help=f"put the table into README.md; another than README's into {RESULTS.name}"
    )
    options = parser.parse_args()
    take_signals_back()  # a follower is ended by it
    rows: list[Row] = []
    chosen = [name for name in ROWS if name not in (*LONG, *DECIDE[1:2])] if options.rows == "all" else None
    for name in chosen or options.rows.split(","):
        with workspace() as work:
            for row in ROWS[name](work, options.rounds):
                rows.append(row)
                print(f"{row.what}: {row.measured} (reach: {row.reach})", file=sys.stderr)
    print(table(rows))
    if options.write and options.rows != ",".join(DECIDE):
        from tests.benchmarks.plots import draw

        picture = RESULTS.with_suffix(".png")
        shown = f"![Measured, as a share of what is to be reached]({picture.name})\n" if draw(rows, picture) else ""
        RESULTS.write_text(f"{_HEAD}\n{table(rows)}\n{shown}")
    elif options.write:
        readme = ROOT / "README.md"
        before, _, rest = readme.read_text().partition(BEGIN)
        _, _, after = rest.partition(END)
        readme.write_text(f"{before}{BEGIN}\n{table(rows)}\n{END}{after}")
    return 1 if any(row.good is False for row in rows) else 0


if __name__ == "__main__":
    raise SystemExit(main())
