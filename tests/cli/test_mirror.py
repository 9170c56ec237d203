"""pykafka mirror between two directories: every kind of record, gaps, kills at any moment, groups, following."""

from __future__ import annotations

import io
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

import pytest

from pykafka_cli import main
from pykafka_cli.commands.mirror import progress_line
from pykafka_cli.env import Env
from pykafka_store.api import Cluster
from pykafka_store.embedded.admin.topics import TopicAdmin
from pykafka_store.errors import UnknownTopicOrPartitionError
from pykafka_store.mirror.ledger import TOPIC as LEDGER
from pykafka_store.mirror.ledger import Ledger
from pykafka_store.mirror.mirroring import Mirror
from pykafka_store.mirror.telling import Progress
from pykafka_store.mirror.topics import TargetTopics
from pykafka_store.model import ConfigResource, Header, OffsetAt, TopicPartition
from pykafka_store.open import open_cluster, open_data_directory
from tests.support.between import once
from tests.support.console import stored
from tests.support.in_process import Done

PATIENCE = 60.0
SMALL_SEGMENTS = {"internal.segment.bytes": "1000", "min.cleanable.dirty.ratio": "0", "retention.ms": "-1"}


class Record(NamedTuple):
    key: bytes | None
    value: bytes | None
    headers: tuple[Header, ...]
    timestamp: int


def records(directory: Path, topic: str, partition: int = 0) -> list[Record]:
    return [record for record, _ in placed(directory, topic, partition)]


def placed(directory: Path, topic: str, partition: int = 0) -> list[tuple[Record, int]]:
    """The records of a partition, each with its offset."""
    return [
        (Record(key, value, tuple(headers), stamp), offset)
        for run in stored(directory, topic, [partition])
        for key, value, headers, stamp, offset in zip(
            run.keys, run.values, run.headers, run.timestamps, run.offsets, strict=True
        )
    ]


def mirror(*arguments: object, terminal: bool = False) -> Done:
    """pykafka mirror in this process."""
    stdout, stderr = io.BytesIO(), io.StringIO()
    stderr.isatty = lambda: terminal  # type: ignore[method-assign]
    env = Env(stdin=io.BytesIO(), stdout=stdout, stderr=stderr, environ={})
    code = main.run(lambda: main.load_command("mirror"), "pykafka mirror", [str(each) for each in arguments], env)
    return Done(stdout.getvalue().decode(), stderr.getvalue(), code)


def start(*arguments: object, stderr: IO[bytes] | int = subprocess.PIPE) -> subprocess.Popen[str]:
    """pykafka mirror as a process of its own."""
    command = [sys.executable, "-m", "pykafka_cli", "mirror", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True)


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def a(tmp_path: Path) -> Path:
    return tmp_path / "a"


@pytest.fixture
def b(tmp_path: Path) -> Path:
    """A data directory already, so that nobody tells of having made it."""
    with open_cluster(tmp_path / "b", create=True):
        return tmp_path / "b"


@pytest.fixture
def source(a: Path) -> Iterator[Cluster]:
    with open_cluster(a) as cluster:
        yield cluster


def fill(cluster: Cluster, topic: str, start: int, stop: int, partition: int = 0) -> None:
    """Records ``start`` to ``stop``, each with a key, a value, a header and a time of its own."""
    with cluster.producer() as producer:
        numbers = range(start, stop)
        producer.send(
            topic,
            [b"v%d" % number for number in numbers],
            keys=[b"k%d" % number for number in numbers],
            headers=[[("n", b"%d" % number)] for number in numbers],
            timestamps=[1_700_000_000_000 + number for number in numbers],
            partitions=partition,
        )


def test_every_kind_of_record(source: Cluster, a: Path, b: Path) -> None:
    source.admin().create_topic("t", partitions=3, configs={"retention.ms": "-1", "compression.type": "zstd"})
    with source.producer() as producer:
        producer.send("t", [b"plain", b"records"], partitions=0, timestamps=1_700_000_000_000)
        producer.send(
            "t",
            [None, b"", b"v"],
            keys=[b"k", None, b""],
            headers=[[("h", b"1"), ("h", None), ("", b"")], [], [("ü", b"\xff")]],
            timestamps=[5, 1_700_000_000_000, 0],
            partitions=1,
        )
        for number in range(300):
            producer.send("t", [b"%d" % number], partitions=0, timestamps=number)
    done = mirror("--from", a, "--to", b, "--topic", "t")
    assert done == Done("t: 305 records of 3 partitions copied, 810 bytes\n", "", 0)
    for partition in range(3):
        assert placed(b, "t", partition) == placed(a, "t", partition)
    with open_cluster(b) as target:
        (theirs,), (ours,) = source.admin().describe_topics(["t"]), target.admin().describe_topics(["t"])
        assert ours.configs == theirs.configs
        assert ours.topic_id != theirs.topic_id
    assert mirror("--from", a, "--to", b, "--topic", "t").stdout == "t: 0 records of 3 partitions copied, 0 bytes\n"


def test_a_prefix_and_a_pattern(source: Cluster, a: Path, b: Path) -> None:
    for topic in ("orders.a", "orders.b", "payments"):
        source.admin().create_topic(topic)
    fill(source, "orders.a", 0, 3)
    done = mirror("--from", f"file:{a}", "--to", b, "--include", r"orders\..*", "--prefix", "eu.")
    assert done.stdout == (
        "orders.a -> eu.orders.a: 3 records of 1 partition copied, 18 bytes\n"
        "orders.b -> eu.orders.b: 0 records of 1 partition copied, 0 bytes\n"
    )
    assert records(b, "eu.orders.a") == records(a, "orders.a")
    # Back again, with all that is there: a mirror's own topic stays where it is, and so does what came from there.
    with open_cluster(b) as other:
        other.admin().create_topic("own")
    done = mirror("--from", b, "--to", a, "--include", ".*", "--prefix", "us.")
    assert (done.stdout, done.code) == (
        "eu.orders.b -> us.eu.orders.b: 0 records of 1 partition copied, 0 bytes\n"
        "own -> us.own: 0 records of 1 partition copied, 0 bytes\n",
        0,
    )
    assert done.stderr == "WARNING: mirror: topic eu.orders.a is left out: it is a copy of orders.a of the target\n"
    assert [each.name for each in source.admin().list_topics()] == [
        "orders.a", "orders.b", "payments", LEDGER, "us.eu.orders.b", "us.own",
    ]  # fmt: skip


ROUND = (
    "pykafka mirror: Topic t is a mirror's copy of topic t of this target: both ways, each record would go round "
    "for ever. Copy it with another --prefix, or delete the topic at the target to copy it anew\n"
)


def test_a_copy_is_not_copied_back(source: Cluster, a: Path, b: Path) -> None:
    """Two mirrors made 12,000 records of five in seven seconds."""
    source.admin().create_topic("t")
    fill(source, "t", 0, 5)
    assert mirror("--from", a, "--to", b, "--topic", "t").code == 0
    assert mirror("--from", b, "--to", a, "--topic", "t") == Done("", ROUND, 1)
    assert len(records(a, "t")) == 5
    assert mirror("--from", b, "--to", a, "--topic", "t", "--prefix", "back.").code == 0
    assert records(a, "back.t") == records(a, "t")
    # Where the topic was lost it is got back.
    source.admin().delete_topic("t")
    assert mirror("--from", b, "--to", a, "--topic", "t").code == 0
    assert records(a, "t") == records(b, "t")


def test_a_mirror_the_other_way_is_refused_while_one_follows(source: Cluster, a: Path, b: Path) -> None:
    """Also where nothing was copied yet, as where both were started at once over new topics."""
    source.admin().create_topic("t")
    with open_cluster(b) as other:
        other.admin().create_topic("t")
    there = start("--from", a, "--to", b, "--topic", "t", "--follow")
    try:
        until(lambda: any(name.name.startswith("mirror-") for name in (b / "locks").iterdir()))
        until(lambda: mirror("--from", b, "--to", a, "--topic", "t").stderr == ROUND)
    finally:
        there.send_signal(signal.SIGTERM)
        there.communicate(timeout=PATIENCE)
    assert mirror("--from", b, "--to", a, "--topic", "t").code == 0


def compacted(source: Cluster, directory: Path, topic: str, *, rounds: int = 20) -> None:
    """A topic whose first segments are compacted, so that there are gaps."""
    configs = {"cleanup.policy": "compact", "internal.segment.bytes": "2000", "min.cleanable.dirty.ratio": "0"}
    source.admin().create_topic(topic, configs=configs)
    with source.producer() as producer:
        for number in range(rounds):
            keys = [b"%d" % key for key in (number, number % 3, number % 7)]
            producer.send(topic, [b"%d" % number * 50] * 3, keys=keys, timestamps=1_700_000_000_000)
    with open_data_directory(directory) as opened:
        opened.maintain()
    offsets = [offset for _, offset in placed(directory, topic)]
    assert len(offsets) < offsets[-1] - offsets[0]


def committed(cluster: Cluster, group: str) -> dict[TopicPartition, int]:
    return {partition: each.offset for partition, each in cluster.admin().group_offsets(group).items()}


def test_gaps_and_what_groups_have_committed(source: Cluster, a: Path, b: Path) -> None:
    """Each offset of the source, committed by a group of its own, is that of the same record at the target."""
    compacted(source, a, "t")
    theirs = placed(a, "t")
    end = theirs[-1][1] + 1
    for offset in range(end + 1):
        source.admin().alter_group_offsets(f"g{offset}", {TopicPartition("t", 0): offset})
    with open_cluster(b) as target:
        target.admin().create_topic("t")
        fill(target, "t", 0, 5)
        done = mirror("--from", a, "--to", b, "--topic", "t", "--include-groups", "g.*", "--group", "g0")
        assert done.code == 0
        assert done.stdout.count("\n") == 1 + end + 1
        assert "group g7: 1 offset committed\n" in done.stdout
        ours = placed(b, "t")[5:]
        assert [record for record, _ in ours] == [record for record, _ in theirs]
        where = {offset: at for (_, offset), (_, at) in zip(theirs, ours, strict=True)}
        for offset in range(end + 1):
            wanted = next((at for known, at in where.items() if known >= offset), ours[-1][1] + 1)
            assert committed(target, f"g{offset}") == {TopicPartition("t", 0): wanted}


def test_groups_are_left_alone_where_they_live_and_never_moved_back(source: Cluster, a: Path, b: Path) -> None:
    source.admin().create_topic("t")
    fill(source, "t", 0, 10)
    partition = TopicPartition("t", 0)
    for group in ("live", "ahead", "behind"):
        source.admin().alter_group_offsets(group, {partition: 5})
    assert mirror("--from", a, "--to", b, "--topic", "t").code == 0
    with open_cluster(b) as target, target.consumer({"group.id": "live", "auto.offset.reset": "earliest"}) as consumer:
        target.admin().alter_group_offsets("ahead", {partition: 9})
        target.admin().alter_group_offsets("behind", {partition: 1})
        consumer.subscribe(["t"])
        until(lambda: consumer.poll(0.1, max_records=1))
        done = mirror("--from", a, "--to", b, "--topic", "t", "--include-groups", ".*", "--group", "nobody")
        assert done.code == 1
        assert done.stderr == (
            "mirror: group nobody does not exist at the source\n"
            "mirror: group live has members at the target: its offsets there are left as they are\n"
        )
        assert "group behind: 1 offset committed\n" in done.stdout
        assert committed(target, "ahead") == {partition: 9}
        assert committed(target, "behind") == {partition: 5}


def test_what_the_source_deleted_before_it_was_copied(source: Cluster, a: Path, b: Path) -> None:
    """A first copy begins where the source does; later ones tell what they missed, once, and go on."""
    source.admin().create_topic("t", configs={"retention.ms": "-1"})
    fill(source, "t", 0, 10)
    source.admin().delete_records({TopicPartition("t", 0): 4})
    assert mirror("--from", a, "--to", b, "--topic", "t") == Done(
        "t: 6 records of 1 partition copied, 36 bytes\n", "", 0
    )
    fill(source, "t", 10, 20)
    source.admin().delete_records({TopicPartition("t", 0): 15})
    done = mirror("--from", a, "--to", b, "--topic", "t")
    assert done.code == 1
    assert done.stderr == (
        "mirror: t-0: offsets 10 to 14 were deleted at the source before they were copied: going on at 15\n"
    )
    assert done.stdout == "t: 5 records of 1 partition copied, 45 bytes\n"
    assert mirror("--from", a, "--to", b, "--topic", "t").code == 0
    assert [each.value for each in records(b, "t")] == [b"v%d" % number for number in [*range(4, 10), *range(15, 20)]]


def test_partitions_are_added(source: Cluster, a: Path, b: Path) -> None:
    source.admin().create_topic("t")
    fill(source, "t", 0, 3)
    assert mirror("--from", a, "--to", b, "--topic", "t").code == 0
    source.admin().create_partitions("t", 3)
    fill(source, "t", 3, 6, partition=2)
    done = mirror("--from", a, "--to", b, "--topic", "t")
    assert done.stderr == "WARNING: mirror: topic t gets 3 partitions instead of 1, as at the source\n"
    assert placed(b, "t", 2) == placed(a, "t", 2)


def test_topics_that_were_made_anew(source: Cluster, a: Path, b: Path) -> None:
    source.admin().create_topic("t")
    fill(source, "t", 0, 3)
    assert mirror("--from", a, "--to", b, "--topic", "t").code == 0
    source.admin().delete_topic("t")
    source.admin().create_topic("t")
    fill(source, "t", 3, 5)
    done = mirror("--from", a, "--to", b, "--topic", "t")
    assert "topic t was made anew at the source" in done.stderr
    assert [each.value for each in records(b, "t")] == [b"v0", b"v1", b"v2", b"v3", b"v4"]
    with open_cluster(b) as target:
        target.admin().delete_topic("t")
    assert mirror("--from", a, "--to", b, "--topic", "t").code == 0
    assert placed(b, "t") == placed(a, "t")


def test_log_append_time(source: Cluster, a: Path, b: Path) -> None:
    """Times stay, unless the target's topic says otherwise."""
    source.admin().create_topic("t", configs={"message.timestamp.type": "LogAppendTime"})
    fill(source, "t", 0, 3)
    done = mirror("--from", a, "--to", b, "--topic", "t")
    assert done.stderr.count("is made without message.timestamp.type=LogAppendTime") == 1
    assert placed(b, "t") == placed(a, "t")
    with open_cluster(b) as target:
        target.admin().incremental_alter_configs(
            ConfigResource("topic", "t"), {"message.timestamp.type": "LogAppendTime"}
        )
    fill(source, "t", 3, 6)
    done = mirror("--from", a, "--to", b, "--topic", "t")
    assert "records get the time of their copying" in done.stderr
    assert [each.value for each in records(b, "t")] == [b"v%d" % number for number in range(6)]
    # A stamped batch says where it comes from, too.
    with open_cluster(b) as target:
        target.admin().delete_topic(LEDGER)
    assert "0 records" in mirror("--from", a, "--to", b, "--topic", "t").stdout


@pytest.mark.parametrize("policy", ["delete", "compact"])
def test_the_log_alone_knows_how_far_it_came(source: Cluster, a: Path, b: Path, policy: str) -> None:
    """Without the ledger; also when compaction has taken all records of the last copied batch."""
    source.admin().create_topic("t", configs=SMALL_SEGMENTS)
    fill(source, "t", 0, 30)
    assert mirror("--from", a, "--to", b, "--topic", "t").code == 0
    with open_cluster(b) as target:
        target.admin().delete_topic(LEDGER)
        target.admin().incremental_alter_configs(ConfigResource("topic", "t"), {"cleanup.policy": policy})
        fill(target, "t", 0, 30)
        fill(target, "t", 0, 30)
    with open_data_directory(b) as directory:
        directory.maintain()
    before = records(b, "t")
    assert len(before) == (90 if policy == "delete" else 60)  # of the first sixty the newest, and the active segment
    fill(source, "t", 30, 32)
    assert mirror("--from", a, "--to", b, "--topic", "t").stdout == "t: 2 records of 1 partition copied, 18 bytes\n"
    assert records(b, "t") == [*before, *records(a, "t")[30:]]


def test_an_older_copy_of_the_log(source: Cluster, a: Path, b: Path, tmp_path: Path) -> None:
    """The ledger knows of more than there is: the log alone counts."""
    source.admin().create_topic("t")
    fill(source, "t", 0, 10)
    assert mirror("--from", a, "--to", b, "--topic", "t").code == 0
    log = b / "brokers" / "0" / "t-0"
    shutil.copytree(log, tmp_path / "older")
    fill(source, "t", 10, 20)
    assert mirror("--from", a, "--to", b, "--topic", "t").code == 0
    shutil.rmtree(log)
    shutil.copytree(tmp_path / "older", log)
    fill(source, "t", 20, 30)
    assert mirror("--from", a, "--to", b, "--topic", "t").stdout.startswith("t: 20 records")
    assert placed(b, "t") == placed(a, "t")


def test_a_source_that_lost_records(source: Cluster, a: Path, b: Path) -> None:
    """It ends before what was copied of it: an error, and nothing is done, until the topic is made anew."""
    source.admin().create_topic("t")
    fill(source, "t", 0, 10)
    log = a / "brokers" / "0" / "t-0"
    older = a / "older"
    shutil.copytree(log, older)
    fill(source, "t", 10, 20)
    assert mirror("--from", a, "--to", b, "--topic", "t").code == 0
    shutil.rmtree(log)
    older.rename(log)
    done = mirror("--from", a, "--to", b, "--topic", "t")
    assert done.code == 1
    assert done.stderr == (
        "mirror: t-0 ends at offset 10 at the source, and was copied up to 20: it lost records, and is left alone; "
        "delete the topic at the target to copy it anew\n"
    )
    with open_cluster(b) as target:
        target.admin().delete_topic("t")
    assert mirror("--from", a, "--to", b, "--topic", "t").code == 0
    assert placed(b, "t") == placed(a, "t")


def test_what_is_no_ledger(source: Cluster, a: Path, b: Path) -> None:
    source.admin().create_topic("t")
    with open_cluster(b) as target, target.producer() as producer:
        producer.send(LEDGER, [b"v"], keys=[b"k"])
    done = mirror("--from", a, "--to", b, "--topic", "t")
    assert (done.stdout, done.code) == ("", 1)
    assert done.stderr == (
        "CorruptRecordException: Topic pykafka-mirror-offsets holds what no mirror wrote (the record at offset 0): "
        "delete the topic or the record\n"
    )


def test_retention_at_the_target_does_not_bring_records_again(source: Cluster, a: Path, b: Path) -> None:
    source.admin().create_topic("t", configs=SMALL_SEGMENTS)
    fill(source, "t", 0, 100)
    assert mirror("--from", a, "--to", b, "--topic", "t").code == 0
    with open_cluster(b) as target:
        target.admin().delete_records({TopicPartition("t", 0): -1})
    fill(source, "t", 100, 103)
    assert mirror("--from", a, "--to", b, "--topic", "t").stdout == "t: 3 records of 1 partition copied, 36 bytes\n"
    assert placed(b, "t") == placed(a, "t")[100:]


def _in_force(directory: Path, topic: str) -> dict[str, str]:
    with open_cluster(directory) as cluster:
        described = cluster.admin().describe_configs(ConfigResource("topic", topic))
    return {each.name: each.value for each in described if each.name.startswith(("retention", "cleanup"))}


def test_what_brokers_say_of_retention_goes_along(source: Cluster, a: Path, b: Path) -> None:
    """Else the target's own retention takes old records away as soon as they are copied."""
    brokers = ConfigResource("broker", "")
    source.admin().incremental_alter_configs(brokers, {"log.retention.ms": "-1", "log.cleanup.policy": "delete"})
    source.admin().create_topic("t", configs={"internal.segment.bytes": "1000"})
    fill(source, "t", 0, 5)
    with source.producer() as producer:
        producer.send("t", [b"now"])
    with open_cluster(b, create=True) as target:
        # And what is built in at the source may be set at the brokers of the target.
        target.admin().incremental_alter_configs(brokers, {"log.retention.bytes": "100"})
    assert mirror("--from", a, "--to", b, "--topic", "t") == Done(
        "t: 6 records of 1 partition copied, 33 bytes\n", "", 0
    )
    assert _in_force(b, "t") == {"cleanup.policy": "delete", "retention.bytes": "-1", "retention.ms": "-1"}
    with open_data_directory(str(b)) as target:
        target.maintain()
    assert placed(b, "t") == placed(a, "t")
    assert mirror("--from", a, "--to", b, "--topic", "t").stderr == ""


def test_what_the_target_takes_away_is_told_and_not_counted_as_copied(source: Cluster, a: Path, b: Path) -> None:
    source.admin().create_topic("t")
    for start in range(0, 100, 20):
        fill(source, "t", start, start + 20)
    with open_cluster(b, create=True) as target:
        shorter = {"internal.segment.bytes": "1000", "retention.bytes": "1000", "cleanup.policy": "delete,compact"}
        target.admin().create_topic("t", configs=shorter)
    done = mirror("--from", a, "--to", b, "--topic", "t")
    left = len(placed(b, "t"))
    assert 0 < left < 100
    assert done.stdout.startswith(f"t: {left} records of 1 partition copied, ")
    lines = done.stderr.splitlines()
    assert [line.split(" (")[0] for line in lines[:2]] == [
        "WARNING: mirror: topic t has cleanup.policy=delete,compact, and t at the source has delete: the target may "
        "take away what the source keeps",
        "WARNING: mirror: topic t has retention.bytes=1000, and t at the source has -1: the target may take away what "
        "the source keeps",
    ]
    assert lines[2:] == [f"WARNING: mirror: topic t: {100 - left} records more came, and the target removed them"]


def test_killed_at_any_moment(source: Cluster, a: Path, b: Path) -> None:
    """Mirrors are killed, again and again, in the middle of their work: all is there once and in order."""
    source.admin().create_topic("t", partitions=2, configs={"internal.segment.bytes": "100000", "retention.ms": "-1"})
    pieces = 0

    def fill_more() -> None:
        nonlocal pieces
        for number in range(pieces, pieces + 20):
            fill(source, "t", number * 1500, (number + 1) * 1500, number % 2)
        pieces += 20

    fill_more()
    chosen = random.Random()
    kills = 0
    while True:
        before = _held(b, "t")
        with start("--from", a, "--to", b, "--include", "t") as process:
            until(lambda before=before, process=process: _held(b, "t") > before or process.poll() is not None)
            time.sleep(chosen.uniform(0, 0.02))
            process.kill()
            _, told = process.communicate()
        if process.returncode == 0 and kills >= 2:
            break
        if process.returncode == 0:  # it was through before it was looked at
            fill_more()
            continue
        assert (process.returncode, told) == (-signal.SIGKILL, "")
        kills += 1
        assert _held(b, "t") <= _held(a, "t")
    for partition in (0, 1):
        assert placed(b, "t", partition) == placed(a, "t", partition)


def _held(directory: Path, topic: str) -> int:
    """Records of a topic, 0 where there is none or not even a directory yet."""
    if not directory.joinpath("meta.properties").exists():
        return 0
    with open_cluster(directory, create=False) as cluster:
        try:
            (described,) = cluster.admin().describe_topics([topic])
        except UnknownTopicOrPartitionError:
            return 0
        partitions = [TopicPartition(topic, each.partition) for each in described.partitions]
        found = cluster.admin().list_offsets(dict.fromkeys(partitions, OffsetAt.LATEST))
        return sum(offset for offset in found.values() if isinstance(offset, int))


def test_following(source: Cluster, a: Path, b: Path) -> None:
    """New records, partitions and topics come by themselves; Ctrl-C ends it tidily."""
    source.admin().create_topic("t1")
    fill(source, "t1", 0, 3)
    partition = TopicPartition("t1", 0)
    source.admin().alter_group_offsets("g", {partition: 2})
    with start("--from", a, "--to", b, "--include", "t.*", "--follow", "--group", "g") as process:
        until(lambda: _held(b, "t1") == 3)
        fill(source, "t1", 3, 6)
        until(lambda: _held(b, "t1") == 6)
        source.admin().create_partitions("t1", 2)
        source.admin().create_topic("t2")
        fill(source, "t1", 6, 9, partition=1)
        fill(source, "t2", 0, 1)
        until(lambda: (_held(b, "t1"), _held(b, "t2")) == (9, 1))
        done = mirror("--from", a, "--to", b, "--topic", "t1")
        assert (done.code, done.stderr) == (
            1, "pykafka mirror: Topic t1 is being mirrored to this target by another process\n",
        )  # fmt: skip
        source.admin().delete_topic("t2")
        source.admin().alter_group_offsets("g", {partition: 4})
        assert process.stderr is not None
        lines = [process.stderr.readline(), process.stderr.readline()]
        assert "topic t1 gets 2 partitions instead of 1" in lines[0]
        assert lines[1] == "mirror: topic t2 was deleted at the source: what was copied of it stays\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, err) == (130, "")
    assert out == (
        "t2: 1 record of 1 partition copied, 6 bytes\n"
        "t1: 9 records of 2 partitions copied, 54 bytes\n"
        "group g: 1 offset committed\n"
    )
    assert [placed(b, "t1", number) for number in (0, 1)] == [placed(a, "t1", number) for number in (0, 1)]
    with open_cluster(b) as target:
        assert committed(target, "g") == {partition: 4}


def test_a_topic_made_anew_between_two_looks_is_followed(source: Cluster, a: Path, b: Path) -> None:
    """The mirror stands still while a topic goes and comes again: it never sees it gone."""
    for topic in ("t1", "t2"):
        source.admin().create_topic(topic)
        fill(source, topic, 0, 3)
    with start("--from", a, "--to", b, "--include", "t.*", "--follow") as process:
        until(lambda: (_held(b, "t1"), _held(b, "t2")) == (3, 3))
        process.send_signal(signal.SIGSTOP)
        source.admin().delete_topic("t2")
        source.admin().create_topic("t2")
        fill(source, "t2", 3, 5)
        fill(source, "t1", 3, 4)
        process.send_signal(signal.SIGCONT)
        until(lambda: (_held(b, "t1"), _held(b, "t2")) == (4, 5))
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert err.startswith("mirror: topic t2 was deleted at the source: what was copied of it stays\n")
    assert records(b, "t1") == records(a, "t1")
    assert records(b, "t2")[3:] == records(a, "t2")


@pytest.mark.parametrize(
    ("owner", "step"),
    [(Mirror, "_selected"), (Mirror, "_add"), (TargetTopics, "ensure"), (Ledger, "entry"), (Mirror, "_assign")],
)
def test_a_topic_that_goes_while_it_is_looked_at_is_left_out(
    source: Cluster, a: Path, b: Path, monkeypatch: pytest.MonkeyPatch, owner: type, step: str
) -> None:
    """Whichever step the deletion comes before, what else there is gets copied."""
    for topic in ("t1", "t2"):
        source.admin().create_topic(topic)
        fill(source, topic, 0, 3)
    assert mirror("--from", a, "--to", b, "--include", "t.*").code == 0
    fill(source, "t1", 3, 5)
    doing = getattr(owner, step)

    def too_late(self: object, *arguments: object) -> object:
        if step == "_selected":  # between the list and the description
            found = doing(self, *arguments)
        if step != "_assign" or self._copies:  # type: ignore[attr-defined]
            monkeypatch.undo()
            source.admin().delete_topic("t2")
        return found if step == "_selected" else doing(self, *arguments)

    monkeypatch.setattr(owner, step, too_late)
    done = mirror("--from", a, "--to", b, "--include", "t.*")
    assert done.code == 0, done.stderr
    assert "t1: 2 records of 1 partition copied, 12 bytes\n" in done.stdout
    assert (records(b, "t1"), _held(b, "t2")) == (records(a, "t1"), 3)


@pytest.mark.parametrize("step", ["create_topic", "create_partitions"])
def test_a_topic_that_another_mirror_has_just_made_or_grown_is_taken_as_it_is(
    source: Cluster, a: Path, b: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Of three mirrors that begin at once two ended with "Topic 'a' already exists."."""
    source.admin().create_topic("t")
    fill(source, "t", 0, 3)
    words = ("--from", a, "--to", b, "--topic", "t")
    if step == "create_partitions":
        assert mirror(*words).code == 0
        source.admin().create_partitions("t", 3)
        fill(source, "t", 3, 6, partition=2)
    another: list[int] = []

    def runs() -> None:
        process = start(*words)
        process.communicate(timeout=PATIENCE)
        another.append(process.returncode)

    once(monkeypatch, TopicAdmin, step, runs, when=lambda _admin, topic, *_count, **_how: topic == "t")
    done = mirror(*words)
    assert (another, done.code) == ([0], 0), done.stderr
    for partition in (0,) if step == "create_topic" else (0, 2):
        assert placed(b, "t", partition) == placed(a, "t", partition)


def test_a_source_that_may_only_be_read_is_enough(source: Cluster, a: Path, b: Path) -> None:
    source.admin().create_topic("t")
    fill(source, "t", 0, 3)
    source.close()
    modes = {path: path.stat().st_mode for path in [a, *a.rglob("*")]}
    for path in modes:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        assert mirror("--from", a, "--to", b, "--topic", "t").code == 0
    finally:
        for path, mode in modes.items():
            path.chmod(mode)
    assert placed(b, "t") == placed(a, "t")


def test_errors(source: Cluster, a: Path, b: Path, tmp_path: Path) -> None:
    source.admin().create_topic("t")
    for arguments, code, message in (
        (("--from", a, "--to", b), 2, "Error: say what to copy: --topic TOPIC, or --include REGEX ('.*' for all)"),
        (("--to", b, "--topic", "t"), 2, "Error: Missing option '--from'."),
        (("--from", a, "--to", a / ".." / "a", "--topic", "t"), 1, "mirror: --from and --to are the same: "),
        (("--from", tmp_path / "no", "--to", b, "--topic", "t"), 1, "KafkaStorageException: "),
        (("--from", a, "--to", b, "--topic", "x"), 1, "UnknownTopicOrPartitionException: Topic x does not"),
        (("--from", a, "--to", b, "--include", "("), 1, "mirror: ( is an invalid regex."),
        (("--from", a, "--to", b, "--topic", "t", "--to-config", tmp_path / "no"), 1, "mirror: "),
    ):  # fmt: skip
        done = mirror(*arguments)
        assert done.code == code
        assert done.stderr.rstrip("\n").rpartition("\n")[2].startswith(message)


def test_progress_is_for_terminals(source: Cluster, a: Path, b: Path) -> None:
    source.admin().create_topic("t")
    fill(source, "t", 0, 3)
    assert mirror("--from", a, "--to", b, "--topic", "t").stderr == ""
    fill(source, "t", 3, 6)
    done = mirror("--from", a, "--to", b, "--topic", "t", terminal=True)
    assert done.stderr.startswith("\rmirror: 3 records, 18 bytes, ")
    assert done.stderr.endswith("\r")


@pytest.mark.parametrize(
    ("progress", "seconds", "follow", "line"),
    [
        (Progress(0, 0, 0, 0), 0.0, False, "mirror: 0 records, 0 bytes, 0 records/s, 100 %"),
        (
            Progress(1_200_000, 98_400_000, 1_500_000, 6_000_000),
            4.0,
            False,
            "mirror: 1,200,000 records, 98.4 MB, 300,000 records/s, 25 %, 0:12 left",
        ),
        (Progress(1, 10, 1, 7200), 1.0, False, "mirror: 1 records, 10 bytes, 1 records/s, 0 %, 1:59:59 left"),
        (Progress(10, 2000, 10, 10), 5.0, True, "mirror: 10 records, 2.0 kB, 2 records/s"),
    ],
)
def test_the_line_of_progress(progress: Progress, seconds: float, follow: bool, line: str) -> None:
    assert progress_line(progress, seconds, follow=follow) == line


@pytest.mark.parametrize(
    ("config", "what", "advice"),
    [
        ({"max.message.bytes": "1000"}, "RecordTooLargeException", "raise max.message.bytes of topic t at the target"),
        (
            {"message.timestamp.before.max.ms": "3600000"},
            "InvalidTimestampException",
            "raise message.timestamp.before.max.ms or message.timestamp.after.max.ms of topic t at the target",
        ),
    ],
)
def test_a_record_that_the_target_refuses_is_named(
    a: Path, b: Path, config: dict[str, str], what: str, advice: str
) -> None:
    with open_cluster(a) as cluster:
        cluster.admin().create_topic("t", configs={"retention.ms": "-1"})
        with cluster.producer() as producer:
            now = int(time.time() * 1000)
            producer.send("t", [b"a"], timestamps=now)
            producer.send("t", [b"b", b"x" * 2000, b"c"], timestamps=[now, 5, now])
    with open_cluster(b) as cluster:
        cluster.admin().create_topic("t", configs=config | {"retention.ms": "-1"})
    for _ in range(2):
        done = mirror("--from", a, "--to", b, "--topic", "t")
        assert (done.stdout, done.code) == ("", 1)
        assert done.stderr.startswith(f"{what}: t-0: the record at source offset 2 can't be copied: ")
        assert done.stderr.endswith(f"; {advice}\n")
        assert done.stderr.count("\n") == 1
        assert records(b, "t") == records(a, "t")[: len(records(b, "t"))]
    with open_cluster(b) as cluster:
        cluster.admin().incremental_alter_configs(ConfigResource("topic", "t"), {}, list(config))
    assert mirror("--from", a, "--to", b, "--topic", "t").code == 0
    assert records(b, "t") == records(a, "t")


def test_the_mirrors_own_topic_is_no_target(source: Cluster, a: Path, b: Path) -> None:
    """Copies in it would be taken for what mirrors wrote."""
    source.admin().create_topic("offsets")
    source.admin().create_topic(LEDGER)
    fill(source, LEDGER, 0, 3)
    fill(source, "offsets", 0, 3)
    for arguments in (("--topic", LEDGER), ("--topic", "offsets", "--prefix", "pykafka-mirror-")):
        done = mirror("--from", a, "--to", b, *arguments)
        assert (done.stdout, done.code) == ("", 1)
        assert done.stderr == (
            f"InvalidRequestException: {LEDGER} at the target is where mirrors keep their offsets: use another prefix\n"
        )
    assert mirror("--from", a, "--to", b, "--topic", LEDGER, "--prefix", "x.").code == 0
    assert len(records(b, f"x.{LEDGER}")) == 3


def test_a_pattern_that_matches_nothing_is_told(source: Cluster, a: Path, b: Path) -> None:
    source.admin().create_topic("t")
    done = mirror("--from", a, "--to", b, "--include", "u.*")
    assert done == ("", "WARNING: mirror: no topic at the source matches u.*\n", 0)


def test_a_name_that_no_topic_can_have(source: Cluster, a: Path, b: Path) -> None:
    source.admin().create_topic("t")
    done = mirror("--from", a, "--to", b, "--topic", "t", "--prefix", "no way ")
    assert (done.stdout, done.code) == ("", 1)
    assert "'no way t' contains one or more characters other than ASCII alphanumerics" in done.stderr


def test_brokers_fail_and_return_at_both_ends(tmp_path: Path, a: Path, b: Path) -> None:
    """A mirror goes on with the replicas that are left, says which it left behind, and is killed in between."""
    for path in (a, b):
        with open_data_directory(path, create=True) as directory:
            for number in (1, 2):
                directory.add_broker(log_dirs=[str(tmp_path / f"{path.name}{number}")])
    with open_cluster(a) as cluster:
        configs = {"min.insync.replicas": "2", "retention.ms": "-1"}
        cluster.admin().create_topic("t", assignments=[[1, 0, 2], [2, 1, 0]], configs=configs)

    def add(start: int, stop: int) -> None:
        with open_cluster(a) as cluster:
            for partition in range(2):
                fill(cluster, "t", start, stop, partition)

    def copied() -> bool:
        return all(records(b, "t", partition) == records(a, "t", partition) for partition in range(2))

    arguments = ("--from", a, "--to", b, "--topic", "t")
    add(0, 50)
    told = tmp_path / "told"
    with told.open("wb") as stderr, start(*arguments, "--follow", stderr=stderr) as process:
        until(lambda: _held(b, "t") == 100 and copied())
        for place in ("b1", "a2"):
            (tmp_path / place).rename(tmp_path / f"{place}.away")
        add(50, 100)
        # Who says which was left behind is who met it first: the mirror, or a reader of this test.
        until(lambda: _held(b, "t") == 200 and copied())
        process.kill()
    topics = ("WARNING: mirror: t-", f"WARNING: mirror: {LEDGER}-")
    assert all(line.startswith(topics) for line in told.read_text().splitlines())
    add(100, 150)
    for place in ("b1", "a2"):
        (tmp_path / f"{place}.away").rename(tmp_path / place)
    assert mirror(*arguments).code == 0
    assert copied()
    for path in (a, b):
        with open_data_directory(path) as directory:
            directory.maintain()
            (described,) = directory.admin().describe_topics(["t"])
            assert [set(each.isr) for each in described.partitions] == [{0, 1, 2}] * 2
    for place in ("b1", "b2"):  # what is left of the copy is one replica
        (tmp_path / place).rename(tmp_path / f"{place}.away")
    assert copied()


def test_who_follows_waits_for_a_source_whose_only_disk_is_away(tmp_path: Path, a: Path, b: Path) -> None:
    """As a consumer does, and says so once; without --follow it is an error."""
    with open_cluster(a) as cluster:
        cluster.admin().create_topic("t", partitions=2)
        fill(cluster, "t", 0, 5)
    disk, away, told = a / "brokers" / "0", tmp_path / "away", tmp_path / "told"
    disk.rename(away)
    arguments = ("--from", a, "--to", b, "--topic", "t")
    assert mirror(*arguments).code == 1
    with told.open("wb") as stderr, start(*arguments, "--follow", stderr=stderr) as process:
        until(lambda: b"waiting for it" in told.read_bytes())
        away.rename(disk)
        until(lambda: b.exists() and _held(b, "t") == 5)
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 130
    assert told.read_bytes().count(b"waiting for it") == 1
    assert records(b, "t") == records(a, "t")


def test_an_address_with_a_scheme_is_no_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = mirror("--from", tmp_path / "a", "--to", "PLAINTEXT://kafka", "--topic", "t")
    assert (done.code, done.stderr) == (1, "Please provide valid host:port like host1:9091,host2:9092\n\n")
    done = mirror("--from", "PLAINTEXT://h:99999", "--to", tmp_path / "b", "--topic", "t")
    assert (done.code, done.stderr) == (1, "Invalid port in bootstrap.servers: PLAINTEXT://h:99999\n")
    assert not list(tmp_path.iterdir())
