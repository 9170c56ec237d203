"""kafka-console-consumer --group: what is shared, what is committed, and how members go."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import sqlite3
import subprocess
import sys
import sysconfig
import termios
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from pykafka_store.model import TopicPartition
from pykafka_store.open import open_cluster
from tests.support.console import PATIENCE

SCRIPTS = Path(sysconfig.get_path("scripts"))
COUNT = 20_000


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Topic t: 20,000 numbered records of 100 bytes, dealt to four partitions."""
    path = tmp_path / "data"
    with open_cluster(path) as cluster:
        cluster.admin().create_topic("t", partitions=4)
        with cluster.producer() as producer:
            producer.send("t", [b"%099d" % n for n in range(COUNT)], partitions=[n % 4 for n in range(COUNT)])
    return path


Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def member(directory: Path) -> Iterator[Start]:
    """Starts a consumer of topic t in group g, with its output in a pipe."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str) -> subprocess.Popen[bytes]:
        command = [
            str(SCRIPTS / "kafka-console-consumer"),
            "--data-dir",
            str(directory),
            "--topic",
            "t",
            "--group",
            "g",
        ]
        process = subprocess.Popen(
            [*command, "--from-beginning", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def committed(directory: Path) -> dict[TopicPartition, int]:
    with open_cluster(directory, create=False) as cluster:
        return {partition: found.offset for partition, found in cluster.admin().group_offsets("g").items()}


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def members(directory: Path) -> list[int]:
    """How many partitions each member owns."""
    with open_cluster(directory, create=False) as cluster:
        return sorted(len(each.assignment) for each in cluster.admin().describe_group("g").members)


def sleeps(pid: int) -> int:
    """How often a process has let go of its processor by itself."""
    return int(re.findall(r"^voluntary_ctxt_switches:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.M)[0])


def read_some(process: subprocess.Popen[bytes], size: int) -> bytes:
    assert process.stdout is not None
    found = b""
    while len(found) < size:
        piece = os.read(process.stdout.fileno(), size - len(found))
        assert piece
        found += piece
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_committed_that_did_not_leave_the_process(directory: Path, member: Start, number: int) -> None:
    """A member stopped while its output is stuck in a full pipe has committed no more than the pipe took."""
    process = member("--command-property", "auto.commit.interval.ms=1")
    taken = read_some(process, 300_000)
    process.send_signal(number)
    rest, _ = process.communicate(timeout=PATIENCE)
    lines = (taken + rest).split(b"\n")[:-1]
    ends: dict[int, int] = {}
    for line in lines:
        ends[int(line) % 4] = int(line) // 4 + 1
    for partition, offset in committed(directory).items():
        assert offset <= ends.get(partition.partition, 0), partition

    follower = member("--exit-at-end")
    again, _ = follower.communicate(timeout=PATIENCE)
    assert {*lines, *again.split(b"\n")[:-1]} == {b"%099d" % n for n in range(COUNT)}


def test_a_worker_ends_at_the_end_of_a_topic_that_was_made_anew(directory: Path, member: Start) -> None:
    worker = member("--exit-at-end")
    read_some(worker, 1)  # the rest does not fit into the pipe
    with open_cluster(directory) as cluster:
        cluster.admin().delete_topic("t")
        cluster.admin().create_topic("t", partitions=4)
        with cluster.producer() as producer:
            producer.send("t", [b"anew"], partitions=3)
    out, _ = worker.communicate(timeout=PATIENCE)
    assert worker.returncode == 0
    assert out.endswith(b"\nanew\n")


def test_two_members_share_and_nothing_is_read_twice(directory: Path, member: Start) -> None:
    first, second = member(), member()
    outputs = [b"", b""]

    def drain() -> int:
        """Take what the members printed: one whose output is stuck can't give partitions up."""
        for index, process in enumerate((first, second)):
            assert process.stdout is not None
            os.set_blocking(process.stdout.fileno(), False)
            with suppress(BlockingIOError):
                outputs[index] += os.read(process.stdout.fileno(), 1 << 20)
        return sum(output.count(b"\n") for output in outputs)

    until(lambda: drain() >= 0 and members(directory) == [2, 2])
    with open_cluster(directory) as cluster, cluster.producer() as producer:
        producer.send("t", [b"more-%d" % n for n in range(8)], partitions=[n % 4 for n in range(8)])
    until(lambda: drain() >= COUNT + 8)
    for process in (first, second):
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 130
    lines = b"".join(outputs).split(b"\n")[:-1]
    assert sorted(lines) == sorted([*(b"%099d" % n for n in range(COUNT)), *(b"more-%d" % n for n in range(8))])
    assert all(b"more-" in output for output in outputs)


def test_a_member_that_leaves_commits_and_gives_up_its_partitions_at_once(directory: Path, member: Start) -> None:
    process = member()
    read_some(process, 100 * COUNT)
    assert members(directory) == [4]
    with open_cluster(directory) as cluster, cluster.producer() as producer:
        producer.send("t", [b"last"], partitions=0)
    read_some(process, len(b"last\n"))  # it has been around once more: all before is counted
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 143
    assert members(directory) == []
    assert sum(committed(directory).values()) in {COUNT, COUNT + 1}


def test_max_messages_commits_exactly_what_was_printed(directory: Path, member: Start) -> None:
    seen: list[bytes] = []
    for _ in range(3):
        output, _ = member("--max-messages", "777").communicate(timeout=PATIENCE)
        seen += output.split(b"\n")[:-1]
    assert len(seen) == len(set(seen)) == 3 * 777
    assert sum(committed(directory).values()) == 3 * 777


def test_what_was_printed_is_committed_as_soon_as_there_is_nothing_more_to_read(directory: Path, member: Start) -> None:
    """Long before auto.commit.interval.ms is over: who describes the group sees no lag."""
    process = member("--command-property", "auto.commit.interval.ms=3600000")
    read_some(process, 100 * COUNT)
    until(lambda: sum(committed(directory).values()) == COUNT)
    with open_cluster(directory) as cluster, cluster.producer() as producer:
        producer.send("t", [b"more"], partitions=0)
    read_some(process, len(b"more\n"))
    until(lambda: sum(committed(directory).values()) == COUNT + 1)
    assert process.poll() is None


def test_without_auto_commit_nothing_is_committed_when_there_is_nothing_more_to_read(
    directory: Path, member: Start
) -> None:
    process = member("--command-property", "enable.auto.commit=false", "--timeout-ms", "500")
    read_some(process, 100 * COUNT)
    process.communicate(timeout=PATIENCE)
    assert committed(directory) == {}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_static_member_whose_place_another_took_as_always(
    directory: Path, member: Start, number: int, code: int
) -> None:
    """What it can't commit is a warning, as it is to Kafka's consumer that is closed."""
    static = "--command-property", "group.instance.id=one"
    process = member(*static)
    read_some(process, 100 * COUNT)
    process.send_signal(signal.SIGSTOP)
    with open_cluster(directory) as cluster, cluster.producer() as producer:
        producer.send("t", [b"last"], partitions=0)
    read_some(member(*static), len(b"last\n"))  # it has the place
    process.send_signal(number)
    process.send_signal(signal.SIGCONT)
    _, complaint = process.communicate(timeout=PATIENCE)
    assert process.returncode == code
    assert b"WARN Offset commit failed: Another member joined group 'g' with group.instance.id one" in complaint


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_while_groups_db_is_busy_ends_a_member_as_always(
    directory: Path, member: Start, number: int, code: int
) -> None:
    """It commits what it printed as soon as it can."""
    process = member()
    read_some(process, 100 * COUNT)
    until(lambda: sum(committed(directory).values()) == COUNT)
    with sqlite3.connect(directory / "groups.db", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        with open_cluster(directory) as cluster, cluster.producer() as producer:
            producer.send("t", [b"more"], partitions=0)
        read_some(process, len(b"more\n"))
        # It is about to commit, and then waits for us: it sleeps some twenty times in its last poll, and ever longer in
        # SQLite. A signal right behind its write would strike before it knows what it has written.
        before = sleeps(process.pid)
        until(lambda: sleeps(process.pid) >= before + 45)
        process.send_signal(number)
        other.execute("ROLLBACK")
    _, errors = process.communicate(timeout=PATIENCE)
    assert (process.returncode, errors) == (code, b"Processed a total of %d messages\n" % (COUNT + 1))
    assert sum(committed(directory).values()) == COUNT + 1


def test_workers_that_all_exit_at_the_end_leave_nothing_unread(directory: Path, member: Start) -> None:
    """Who is done goes at once, and the rest of its share goes to those that are left."""
    with open_cluster(directory) as cluster:
        cluster.admin().create_partitions("t", 16)
        with cluster.producer() as producer:
            producer.send("t", [b"%d" % n for n in range(1200)], partitions=[4 + n % 12 for n in range(1200)])
    workers = [member("--exit-at-end") for _ in range(6)]
    with ThreadPoolExecutor(len(workers)) as pool:  # one that can't write gives nothing up, so all are read at once
        outputs = list(pool.map(lambda worker: worker.communicate(timeout=PATIENCE), workers))
    assert [worker.returncode for worker in workers] == [0] * 6, [errors for _, errors in outputs]
    lines = b"".join(output for output, _ in outputs).split(b"\n")[:-1]
    assert len(lines) == len({*lines}) == COUNT + 1200
    assert sum(committed(directory).values()) == COUNT + 1200


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_pipe_that_is_set_not_to_wait_gets_every_record(directory: Path, unbuffered: str) -> None:
    """As a program of Node has it, whose children inherit it: when it is full, it is waited for all the same."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    command = [str(SCRIPTS / "kafka-console-consumer"), "--data-dir", str(directory), "--topic", "t", "--group", "g"]
    process = subprocess.Popen(
        [*command, "--from-beginning", "--exit-at-end"],
        stdout=writing,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
    )
    os.close(writing)
    with process, open(reading, "rb") as pipe:
        waiting = bytearray(4)

        def is_full() -> bool:
            fcntl.ioctl(reading, termios.FIONREAD, waiting)
            return int.from_bytes(waiting, sys.byteorder) > 1 << 15 or process.poll() is not None

        until(is_full)
        numbers = sorted(int(line) for line in pipe)
        assert process.stderr is not None
        assert process.stderr.read() == b"Processed a total of %d messages\n" % COUNT
    assert process.returncode == 0
    assert numbers == [*range(COUNT)]
    assert sum(committed(directory).values()) == COUNT
