"""Output that nobody reads any more, or that a full disk has no room for: what a command does, it does to the end.

Java's tools write to a System.out that swallows such errors. Here stdout is a real pipe whose reader is gone, or
/dev/full, and without a buffer: so the first line that is printed is the one that fails.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

PROGRAMS = sysconfig.get_path("scripts")
FULL = "/dev/full"
NO_ROOM = "No space left on device (stdout)\n"

WORLD = """
for topic in t a1 a2 a3 app-x-changelog app-y-repartition; do kafka-topics --create --topic $topic --partitions 2; done
for topic in t a1 a2; do seq 1 20 | kafka-console-producer --topic $topic --partition 0; done
for group in g1 g2 g3; do kafka-console-consumer --topic t --group $group --exit-at-end --from-beginning; done
kafka-acls --add --allow-principal User:ann --operation all --topic t
kafka-acls --add --allow-principal User:ann --operation all --group g1
printf '{"partitions":[{"topic":"a1","partition":0,"offset":3},{"topic":"a2","partition":0,"offset":4}]}' > delete.json
printf '{"version":1,"partitions":[{"topic":"a1","partition":0,"replicas":[1]},
  {"topic":"a2","partition":0,"replicas":[1]}]}' > move.json
printf '{"topic":"a1","value":"x","partition":0}' > a1.jsonl
printf '{"topic":"a2","value":"y","partition":0}' > a2.jsonl
touch empty
printf 'log.dirs=new\\nnode.id=3\\nlisteners=PLAINTEXT://127.0.0.1:0\\n' > server.properties
sqlite-utils insert rows.db items - --pk id <<< '[{"id": 1}, {"id": 2}]'
kafka-client-metrics --alter --name m --interval 5000
"""
"""What the commands work on; each on a copy of its own."""


class Work(NamedTuple):
    """A command, and what shows that it has done all of its work."""

    command: str
    check: str
    done: str
    """What the check prints then."""
    before: str = "true"
    """What is done before the command, where it can't be copied from the world."""
    prints: bool = True
    """Whether there is a line that could fail."""


def ends(topics: str) -> str:
    """What asks for the end of each partition of the topics, as one line."""
    return f"kafka-get-offsets --topic '{topics}' | xargs"


BROKER = "mkdir disk && pykafka brokers add --log-dir disk"

WORKS = [
    Work("kafka-topics --create --topic new --partitions 2", ends("new"), "new:0:0 new:1:0"),
    Work("kafka-topics --alter --topic a[13] --partitions 3", ends("a3"), "a3:0:0 a3:1:0 a3:2:0", prints=False),
    Work("kafka-topics --delete --topic a.*", "kafka-topics --list | xargs", "__consumer_offsets t", prints=False),
    Work(
        "kafka-configs --alter --topic t --add-config retention.ms=7",
        "kafka-configs --describe --topic t | grep -o retention.ms=7 | head -1",
        "retention.ms=7",
    ),
    Work(
        "kafka-configs --alter --entity-type users --entity-name ann --add-config SCRAM-SHA-256=[password=p]",
        "kafka-configs --describe --entity-type users --entity-name ann | grep -c SCRAM-SHA-256",
        "1",
    ),
    Work("kafka-consumer-groups --delete --group g1 --group g2", "kafka-consumer-groups --list", "g3"),
    Work(
        "kafka-consumer-groups --reset-offsets --to-earliest --execute --all-topics --group g1 --group g2",
        "kafka-consumer-groups --describe --group g1 --group g2 2>/dev/null | awk '$6 == 20' | wc -l",
        "2",
    ),
    Work(
        "kafka-consumer-groups --delete-offsets --topic t --group g1",
        "kafka-consumer-groups --describe --group g1 2>/dev/null | wc -l",
        "0",
    ),
    Work(
        "kafka-delete-records --offset-json-file delete.json",
        "kafka-get-offsets --topic a[12] --partitions 0 --time earliest | xargs",
        "a1:0:3 a2:0:4",
    ),
    Work(
        "kafka-acls --add --allow-principal User:bob --operation read --topic t --topic a1",
        "kafka-acls --list | grep -c User:bob",
        "2",
    ),
    Work(
        "kafka-acls --remove --force --topic t --group g1", "kafka-acls --list | grep -c principal", "0", prints=False
    ),
    Work(
        "kafka-delegation-tokens --create --max-life-time-period -1 --owner-principal User:ann --command-config empty",
        "kafka-delegation-tokens --describe --owner-principal User:ann --command-config empty | sed -n 2p",
        "Total number of tokens : 1",
    ),
    Work(
        "kafka-reassign-partitions --reassignment-json-file move.json --execute",
        "kafka-topics --describe --topic a[12] | grep -c 'Replicas: 1.*Isr: 1'",
        "2",
        before=BROKER,
    ),
    Work(
        "kafka-leader-election --election-type preferred --all-topic-partitions",
        "kafka-topics --describe --topic b | grep -o 'Leader: [01]'",
        "Leader: 1",
        before=f"{BROKER} && kafka-topics --create --topic b --replica-assignment 1:0 && pykafka brokers stop 1 && "
        "pykafka brokers start 1 && pykafka maintain",
    ),
    Work(
        "kafka-features disable --feature streams.version --feature share.version",
        "kafka-features describe | grep -c 'FinalizedVersionLevel: 0'",
        "2",
    ),
    Work("kafka-client-metrics --alter --name n --interval 700", "kafka-client-metrics --list | xargs", "m n"),
    Work("kafka-client-metrics --delete --name m", "kafka-client-metrics --list | grep -c m", "0"),
    Work(
        "kafka-streams-application-reset --application-id app --input-topics t,a1 --force",
        "kafka-topics --list | grep -c app-; kafka-consumer-groups --describe --group app 2>/dev/null | grep -c ^app",
        "0\n4",
    ),
    Work(
        "kafka-producer-perf-test --topic a3 --num-records 3000 --record-size 9 --throughput 2000 "
        "--reporting-interval 1",
        f"{ends('a3')} | awk -F '[: ]' '{{print $3 + $6}}'",
        "3000",
    ),
    Work(
        "kafka-consumer-perf-test --topic t --messages 20 --group g4 --reporting-interval 1 --show-detailed-stats",
        "kafka-consumer-groups --describe --group g4 2>/dev/null | awk '$1 == \"g4\" {sum += $4} END {print sum}'",
        "20",
    ),
    Work(
        "kafka-verifiable-producer --topic a3 --max-messages 300",
        f"{ends('a3')} | awk -F '[: ]' '{{print $3 + $6}}'",
        "300",
    ),
    Work("kafka-e2e-latency file:data a3 100 1 9", f"{ends('a3')} | awk -F '[: ]' '{{print $3 + $6}}'", "100"),
    Work("pykafka load a1.jsonl a2.jsonl", ends("a[12]"), "a1:0:21 a1:1:0 a2:0:21 a2:1:0"),
    Work(
        "pykafka mirror --from data --to copy --include a[12]",
        f"export PYKAFKA_DATA_DIR=copy; {ends('a[12]')}",
        "a1:0:20 a1:1:0 a2:0:20 a2:1:0",
    ),
    Work("pykafka source rows.db items --topic s --changes --exit-at-end", ends("s"), "s:0:2", prints=False),
    Work("pykafka brokers add --log-dir disk", "pykafka brokers list | grep -c disk", "1"),
    Work("pykafka brokers stop 1", "pykafka brokers list | grep -c stopped", "1", before=BROKER),
    Work(
        "pykafka maintain",
        "kafka-get-offsets --topic a1 --time earliest --partitions 0",
        "a1:0:20",
        before="kafka-configs --alter --topic a1 --add-config retention.ms=1",
    ),
    Work(
        "pykafka doctor --repair",
        "pykafka doctor >/dev/null && echo well",
        "well",
        before="rm data/brokers/0/t-0/*.index",
    ),
    Work("pykafka link programs", "cd programs && echo kafka-topics*", "kafka-topics kafka-topics.sh"),
    Work("kafka-storage format -t abc -c server.properties", "grep cluster.id new/meta.properties", "cluster.id=abc"),
    Work(
        "kafka-cluster unregister --id 1",
        "pykafka brokers list | grep -c disk",
        "0",
        before=f"{BROKER} && pykafka brokers stop 1",
    ),
]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    done = bash(folder, f"set -e; {WORLD}")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def folder(world: Path, tmp_path: Path) -> Path:
    shutil.copytree(world, tmp_path / "own", symlinks=True)
    return tmp_path / "own"


def bash(folder: Path, script: str, stdout: int = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    environ = {
        **os.environ,
        "PATH": f"{PROGRAMS}:{os.environ['PATH']}",
        "PYKAFKA_DATA_DIR": str(folder / "data"),
        "PYTHONUNBUFFERED": "1",
    }
    return subprocess.run(
        ["bash", "-c", script], env=environ, cwd=folder, stdin=subprocess.DEVNULL, stdout=stdout,
        stderr=subprocess.PIPE, text=True, timeout=120,
    )  # fmt: skip


@contextmanager
def pipe_without_reader() -> Iterator[int]:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        yield writer
    finally:
        os.close(writer)


@contextmanager
def full_disk() -> Iterator[int]:
    descriptor = os.open(FULL, os.O_WRONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def name_of(work: Work) -> str:
    return " ".join(work.command.split()[:3])


def prepare(folder: Path, work: Work) -> None:
    before = bash(folder, work.before)
    assert before.returncode == 0, before.stderr


def is_done(folder: Path, work: Work) -> bool:
    return bash(folder, work.check).stdout == f"{work.done}\n"


@pytest.mark.parametrize("work", WORKS, ids=name_of)
def test_work_is_done_to_the_end_though_the_reader_is_gone(folder: Path, work: Work) -> None:
    prepare(folder, work)
    assert not is_done(folder, work)  # else the check shows nothing
    with pipe_without_reader() as stdout:
        done = bash(folder, work.command, stdout)
    assert done.returncode == 0, done.stderr
    assert "roken pipe" not in done.stderr
    assert is_done(folder, work)


@pytest.mark.skipif(not os.path.exists(FULL), reason="no /dev/full on this system")
@pytest.mark.parametrize("work", [work for work in WORKS if work.prints][::3], ids=name_of)
def test_work_is_done_to_the_end_and_then_a_full_disk_is_told(folder: Path, work: Work) -> None:
    prepare(folder, work)
    with full_disk() as stdout:
        done = bash(folder, work.command, stdout)
    assert done.returncode == 1
    assert done.stderr.endswith(NO_ROOM), done.stderr
    assert done.stderr.count(NO_ROOM) == 1
    assert is_done(folder, work)


def test_the_exit_code_is_that_of_the_work(folder: Path) -> None:
    """Whether a group lags is said by the code, and nobody need read the table."""
    lagging = "kafka-consumer-groups --describe --group g1 --fail-if-lag 0"
    bash(folder, "echo more | kafka-console-producer --topic t")
    with pipe_without_reader() as stdout:
        assert bash(folder, lagging, stdout).returncode == 1
        assert bash(folder, "pykafka topics --nonsense 2>&1", stdout).returncode == 1
        assert bash(folder, "pykafka maintain --nonsense 2>&1", stdout).returncode == 2
        assert bash(folder, "kafka-topics --describe --topic nothing 2>&1", stdout).returncode == 1


def test_what_a_verifiable_consumer_could_tell_nobody_is_not_committed(folder: Path) -> None:
    with pipe_without_reader() as stdout:
        done = bash(folder, "kafka-verifiable-consumer --topic t --group-id g5 --max-messages 20", stdout)
    assert (done.returncode, done.stderr) == (0, "")
    lag = "kafka-consumer-groups --describe --group g5 2>/dev/null | awk '$4 == 20'"
    assert bash(folder, lag).stdout == ""


def test_a_server_goes_on_without_a_reader(folder: Path) -> None:
    pytest.importorskip("kio")
    for command in ("kafka-server-start server.properties", "pykafka serve --listen 127.0.0.1:0"):
        script = f"{command} & server=$!; until kafka-server-stop || ! kill -0 $server; do :; done; wait $server"
        with pipe_without_reader() as stdout:
            done = bash(folder, f"PYKAFKA_DATA_DIR=$PWD/new; {script}", stdout)
        assert done.returncode == 143, done.stderr
