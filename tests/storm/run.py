"""A storm over a data directory: ``python tests/storm/run.py --minutes N --seed S``.

Workers produce, read, share groups, make and delete topics; a nemesis kills and freezes them, has their system calls
fail, sets the clock, takes disks away and runs the command line's tools beside them (moves, upkeep, mirrors, retention,
settings), which it kills as well. Then it is calm, everything is put back by the tools that a user has for it, and a
checker compares what each process was told with what is there. Exit 0 if nothing is wrong; else 1, and the directory
is kept.

workers.py has who works, nemesis.py what is done to them, faults.c the failing calls (without a C compiler there are
only kills, freezes and disks that go away), checker.py the model.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from pykafka_store.model import OffsetAt, TopicPartition
from pykafka_store.open import open_data_directory
from tests.crash.forks import Forks
from tests.storm import faults
from tests.storm.checker import Checker, Event, Log, Partition
from tests.storm.nemesis import Nemesis
from tests.storm.workers import KEYED, SHORT, STEADY, TOPICS, Place

MOST_TOLD = 20
"""Problems that are printed; there may be more of the same kind."""

DELETED = "holds records, and no topic of the catalogue is the one"
"""Of a topic that was deleted while a disk was away: it is a stray one when the disk is back, as in Kafka."""

FOREVER = {
    "retention.ms": "-1",
    "internal.segment.bytes": "20000",
    "index.interval.bytes": "500",
    "message.timestamp.after.max.ms": "9223372036854775807",  # clocks that jump must not keep a mirror from copying
}
CONFIGS = {
    STEADY[0]: FOREVER,
    STEADY[1]: FOREVER | {"min.insync.replicas": "2"},
    SHORT: FOREVER | {"retention.ms": "7200000", "retention.bytes": "60000", "file.delete.delay.ms": "1000"},
    KEYED: FOREVER | {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.01"},
}


def set_up(place: Place) -> list[Path]:
    """A data directory with three brokers and the topics. Returns the log directories that may go away."""
    for name in ("world", "history", "tools"):
        Path(place.directory, name).mkdir(parents=True)
    Path(place.clock).write_bytes(bytes(8))
    disks = [Path(place.world, f"disk{number}") for number in (1, 2)]
    with open_data_directory(place.data, create=True) as cluster:
        for disk in disks:
            cluster.add_broker(log_dirs=[str(disk)])
        for topic, configs in CONFIGS.items():
            factor = {STEADY[0]: 1, STEADY[1]: 3}.get(topic, 2)
            cluster.admin().create_topic(topic, partitions=2, replication_factor=factor, configs=configs)
    return disks


def settle(nemesis: Nemesis, place: Place) -> Iterator[str]:
    """Put everything back by the tools that are for it. Yields what is not as it should be then."""
    for broker in ("1", "2"):
        nemesis.run_tool("brokers", "start", broker)
    code, out, err = 1, "", ""
    for _ in range(4):
        code, out, err = nemesis.run_tool("maintain")
        with open_data_directory(place.data) as cluster:
            described = cluster.admin().describe_topics()
        behind = [
            f"{topic.name} {each}"
            for topic in described
            for each in topic.partitions
            if set(each.isr) != set(each.replicas) or each.adding_replicas or each.removing_replicas
        ]
        if code == 0 and not behind:
            break
    if code != 0:
        yield f"maintain: {code} {out}{err}"
    yield from (f"not in sync after maintain: {each}" for each in behind)
    code, out, err = nemesis.run_tool(
        *("mirror", "--from", place.data, "--to", place.mirrored, "--include", "steady-.*")
    )
    if code != 0:
        yield f"mirror: {code} {out}{err}"
    code, out, err = nemesis.run_tool("doctor")
    wrong = [line for line in out.splitlines() if line.startswith(("warning:", "error:")) and DELETED not in line]
    yield from (f"doctor: {line}" for line in wrong)
    if code not in (0, 1) or err:
        yield f"doctor: {code} {err}"


def logs(directory: str, topics: Sequence[str]) -> dict[Partition, Log]:
    """All that these topics hold."""
    found = {}
    with open_data_directory(directory) as cluster, cluster.consumer() as consumer:
        for topic in cluster.admin().describe_topics(topics):
            for described in topic.partitions:
                here = TopicPartition(topic.name, described.partition)
                start, end = consumer.beginning_offsets([here])[here], consumer.end_offsets([here])[here]
                values: dict[int, bytes | None] = {}
                consumer.assign({here: OffsetAt.EARLIEST})
                while consumer.position(here) < end and (runs := consumer.poll(20.0)):
                    for run in runs:
                        values |= zip(run.offsets, run.values, strict=True)
                found[topic.name, described.partition] = Log(start, end, values)
    return found


def events(place: Place) -> Iterator[Event]:
    """All that was said, worker by worker in the order of their starts; a kill may have cut the last line short."""
    for path in sorted(Path(place.directory, "history").iterdir()):
        for line in path.read_bytes().split(b"\n")[:-1]:
            what, *words = json.loads(line)
            yield Event(path.stem, what, words)


def judge(place: Place, nemesis: Nemesis) -> Checker:
    said = list(events(place))
    checker = Checker(logs(place.data, TOPICS), said, steady=STEADY, keyed=[KEYED], replicated=TOPICS[1:])
    checker.check()
    with open_data_directory(place.data) as cluster:
        checker.check_topics({each.name for each in cluster.admin().list_topics()})
    checker.check_mirror(logs(place.mirrored, STEADY))
    for event in said:
        if event.what != "tool":
            continue
        number, words = int(event.who.split("-")[0]), event.words[0]
        out, err = (Path(path) for path in place.output(number))
        code = nemesis.codes[number]
        checker.check_error_output(err.read_text("utf-8", "replace") if err.exists() else "", code, f"{number} {words}")
        if words[0] == "console-producer" and code == 0:
            sent = Path(place.directory, "tools", f"{number:06d}.in").read_bytes().splitlines()
            checker.check_produced(sent, f"tool {number}")
        elif words[0] == "console-consumer" and out.exists():
            checker.check_printed(out.read_bytes().split(b"\n")[:-1], f"tool {number}")
    return checker


def storm(directory: str, minutes: float, seed: int) -> bool:
    """Have one storm in a directory that is not there yet. False if something was wrong."""
    place = Place(directory)
    disks = set_up(place)
    library = faults.build(Path(directory))
    print(
        f"seed {seed}, {minutes} minutes{'' if library else ', no C compiler: no faults, no clock jumps'}", flush=True
    )
    complaints = Path(directory, "complaints")
    program = str(Path(__file__).with_name("workers.py"))
    environ = {"LD_PRELOAD": str(library)} if library else {}
    begun = time.monotonic()
    with Forks(complaints, program, environ) as forks:
        nemesis = Nemesis(place, forks, random.Random(seed), disks, faults=library is not None)
        nemesis.blow(begun + minutes * 60)
        nemesis.calm()
        problems = list(settle(nemesis, place))
        problems += [line for line in forks.complaints().split("\n\n") if line]
    checker = judge(place, nemesis)
    problems += checker.problems
    refused = Counter(event.words[0] for event in events(place) if event.what == "refused")
    print("done:", ", ".join(f"{what} {count}" for what, count in sorted(nemesis.done.items())))
    print("refused:", ", ".join(f"{what} {count}" for what, count in sorted(refused.items())) or "nothing")
    print("checked:", ", ".join(f"{what} {count}" for what, count in checker.counts.items()))
    for problem in problems[:MOST_TOLD]:
        print("PROBLEM", problem)
    print(f"{len(problems)} problems, {time.monotonic() - begun:.0f} s")
    return not problems


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=None, help="printed at the beginning; a random one by default")
    parser.add_argument("--directory", help="where the storm is to be; not there yet; kept")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1, 1 << 32)
    directory = options.directory or tempfile.mkdtemp(prefix="storm-")
    if not storm(directory, options.minutes, seed):
        print(f"{directory} is kept")
        sys.exit(1)
    if not options.directory:
        shutil.rmtree(directory)


if __name__ == "__main__":
    main()
