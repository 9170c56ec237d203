"""pykafka mirror between a real broker and a directory, both ways: kills, transactions, what groups have committed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from pykafka_store.api import Cluster
from pykafka_store.model import ConfigResource, OffsetAt, TopicPartition
from pykafka_store.open import open_cluster
from tests.cli.test_mirror import Record, fill, placed, records, until
from tests.cluster.test_seam import fresh, made
from tests.cluster.test_tools import program, run
from tests.support import apache

pytestmark = pytest.mark.apache

PATIENCE = 60.0
NOW = 1_700_000_000_000
KEPT = {"retention.ms": "-1"}


@pytest.fixture
def cluster(broker: apache.Broker) -> Iterator[Cluster]:
    with open_cluster(broker.bootstrap) as opened:
        yield opened


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A data directory already, so that nobody tells of having made it."""
    with open_cluster(tmp_path / "data", create=True):
        return tmp_path / "data"


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks of mirrors to the cluster are not to lie about in anybody's home."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def there(cluster: Cluster, topic: str, partition: int = 0, level: str = "read_committed") -> list[tuple[Record, int]]:
    """The records of a partition of the broker's, each with its offset."""
    where = TopicPartition(topic, partition)
    found: list[tuple[Record, int]] = []
    with cluster.consumer({"isolation.level": level}) as consumer:
        consumer.assign({where: OffsetAt.EARLIEST})
        end = consumer.end_offsets([where])[where]
        deadline = time.monotonic() + PATIENCE
        while consumer.position(where) < end:
            assert time.monotonic() < deadline
            for run in consumer.poll(0.2):
                columns = run.keys, run.values, run.headers, run.timestamps, run.offsets
                for key, value, headers, stamp, offset in zip(*columns, strict=True):
                    found.append((Record(key, value, tuple(headers), stamp), offset))
    return found


def fill_with_every_kind(cluster: Cluster, topic: str) -> None:
    with cluster.producer() as producer:
        producer.send(
            topic,
            [None, b"", b"v"],
            keys=[b"k", None, b""],
            headers=[[("h", b"1"), ("h", None), ("", b"")], [], [("ü", b"\xff")]],
            timestamps=[5, NOW, 1],
            partitions=1,
        )
        producer.send(topic, [b"%d" % number for number in range(1000)], timestamps=NOW, partitions=0)


def mirror(*arguments: object) -> subprocess.CompletedProcess[str]:
    return run("pykafka", "mirror", *map(str, arguments))


def start(*arguments: object) -> subprocess.Popen[str]:
    words = [program("pykafka"), "mirror", *map(str, arguments)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ))


def own_configs(cluster: Cluster, topic: str) -> dict[str, str]:
    (described,) = cluster.admin().describe_topics([topic])
    return {each.name: each.value for each in described.configs if each.source == "DYNAMIC_TOPIC_CONFIG"}


def test_there_and_back(broker: apache.Broker, cluster: Cluster, directory: Path, tmp_path: Path) -> None:
    """From the broker to a directory, and from there to another topic of the broker."""
    source = fresh()
    back = f"back.{source}"
    own = {**KEPT, "compression.type": "zstd"}
    cluster.admin().create_topic(source, partitions=3, configs=own)
    fill_with_every_kind(cluster, source)
    cluster.admin().alter_group_offsets(source, {TopicPartition(source, 0): 123})
    done = mirror("--from", broker.bootstrap, "--to", directory, "--topic", source, "--group", source)
    told = f"{source}: 1003 records of 3 partitions copied, 2.9 kB\ngroup {source}: 1 offset committed\n"
    assert (done.stdout, done.stderr, done.returncode) == (told, "", 0)
    for partition in range(3):
        assert placed(directory, source, partition) == there(cluster, source, partition)
    with open_cluster(directory) as opened:
        assert own_configs(opened, source) == own_configs(cluster, source) == own
        assert opened.admin().group_offsets(source)[TopicPartition(source, 0)].offset == 123
    arguments = (
        "--from",
        directory,
        "--to",
        broker.bootstrap,
        "--topic",
        source,
        "--prefix",
        "back.",
        "--group",
        source,
    )
    done = mirror(*arguments)
    assert (done.stdout, done.stderr, done.returncode) == (
        told.replace(f"{source}: 1003", f"{source} -> {back}: 1003"), "", 0,
    )  # fmt: skip
    for partition in range(3):
        assert there(cluster, back, partition) == there(cluster, source, partition)
    assert own_configs(cluster, back) == own
    assert cluster.admin().group_offsets(source)[TopicPartition(back, 0)].offset == 123
    assert mirror(*arguments).stdout.startswith(f"{source} -> {back}: 0 records")


def test_killed_on_the_way_into_a_directory(broker: apache.Broker, cluster: Cluster, directory: Path) -> None:
    """Nothing is missing and nothing is there twice."""
    topic = fresh()
    cluster.admin().create_topic(topic, partitions=2, configs=KEPT)
    pieces = 0

    def fill_more() -> None:
        nonlocal pieces
        for number in range(pieces, pieces + 10):
            fill(cluster, topic, number * 3000, (number + 1) * 3000, number % 2)
        pieces += 10

    fill_more()
    chosen = random.Random()
    kills = 0

    def size() -> int:
        logs = directory.glob(f"brokers/0/{topic}-*/*.log")
        return sum(path.stat().st_size for path in logs)

    while True:
        before = size()
        with start("--from", broker.bootstrap, "--to", directory, "--topic", topic) as process:
            until(lambda before=before, process=process: size() > before or process.poll() is not None)
            time.sleep(chosen.uniform(0, 0.05))
            process.kill()
            _, told = process.communicate()
        if process.returncode == 0 and kills:
            break
        if process.returncode == 0:  # it was through before it was looked at
            fill_more()
            continue
        assert (process.returncode, told) == (-signal.SIGKILL, "")
        kills += 1
    for partition in (0, 1):
        assert placed(directory, topic, partition) == there(cluster, topic, partition)


def kill_two(arguments: Sequence[object], end: Callable[[], int], fill_more: Callable[[], None]) -> None:
    """Two mirrors, each on its way. There is more to copy where one was through before that was seen."""
    kills = 0
    while kills < 2:
        before = end()
        with start(*arguments) as process:
            until(lambda before=before, process=process: end() > before or process.poll() is not None)
            process.kill()
            _, told = process.communicate()
        if process.returncode == 0:
            fill_more()
            continue
        assert (process.returncode, told) == (-signal.SIGKILL, "")
        kills += 1


def test_killed_on_the_way_into_the_cluster(broker: apache.Broker, cluster: Cluster, directory: Path) -> None:
    """Nothing is missing and nothing out of order; records may be there twice. Groups are put where they were."""
    topic = fresh()
    where = TopicPartition(topic, 0)
    filled = 0
    with open_cluster(directory) as opened:
        opened.admin().create_topic(topic, configs=KEPT)

    def fill_more() -> None:
        nonlocal filled
        with open_cluster(directory) as opened:
            for _ in range(20):
                fill(opened, topic, filled, filled + 3000)
                filled += 3000
            opened.admin().alter_group_offsets(topic, {where: filled - 1000})

    def end() -> int:
        found = cluster.admin().list_offsets({where: OffsetAt.LATEST})[where]
        return found if isinstance(found, int) else 0

    fill_more()
    arguments = ("--from", directory, "--to", broker.bootstrap, "--topic", topic, "--group", topic)
    kill_two(arguments, end, fill_more)
    done = mirror(*arguments)
    assert (done.stderr, done.returncode) == ("", 0)
    theirs = records(directory, topic)
    ours = there(cluster, topic)
    assert len(ours) >= len(theirs)
    furthest = -1
    for record, _ in ours:
        assert record.value is not None
        number = int(record.value[1:])
        assert number <= furthest + 1
        assert record == theirs[number]
        furthest = max(furthest, number)
    assert furthest == len(theirs) - 1
    assert cluster.admin().group_offsets(topic)[where].offset == len(ours) - 1000


def test_killed_on_the_way_into_the_cluster_in_transactions(
    broker: apache.Broker, cluster: Cluster, directory: Path, tmp_path: Path
) -> None:
    """Who reads what is committed sees each record once; also if one is still alive when the next one begins."""
    topic = fresh()
    where = TopicPartition(topic, 0)
    with open_cluster(directory) as opened:
        opened.admin().create_topic(topic, configs=KEPT)
        filled = 0

        def fill_more() -> None:
            nonlocal filled
            for _ in range(20):
                fill(opened, topic, filled, filled + 3000)
                filled += 3000

        def end() -> int:
            found = cluster.admin().list_offsets({where: OffsetAt.LATEST})[where]
            return found if isinstance(found, int) else 0

        arguments = ("--from", directory, "--to", broker.bootstrap, "--topic", topic, "--exactly-once")
        fill_more()
        kill_two(arguments, end, fill_more)
        with start(*arguments, "--follow") as process:
            until(lambda: there(cluster, topic)[-1:] == [(records(directory, topic)[-1], end() - 2)])
            # On another machine: it has other locks.
            other = {"XDG_STATE_HOME": str(tmp_path / "other")}
            done = run("pykafka", "mirror", *map(str, arguments), environ=other)
            assert (done.stdout, done.returncode) == (f"{topic}: 0 records of 1 partition copied, 0 bytes\n", 0)
            fill(opened, topic, filled, filled + 3)
            _, told = process.communicate(timeout=PATIENCE)
            assert (process.returncode, told.count("\n")) == (1, 1), told
            assert "Fenced" in told
        opened.admin().alter_group_offsets(topic, {where: filled + 1})
    assert mirror(*arguments, "--group", topic).returncode == 0
    ours = there(cluster, topic)
    assert [record for record, _ in ours] == records(directory, topic)
    assert len(there(cluster, topic, level="read_uncommitted")) > len(ours)
    assert cluster.admin().group_offsets(topic)[where].offset == ours[filled + 1][1]


def test_transactions(broker: apache.Broker, cluster: Cluster, directory: Path) -> None:
    """What was aborted is not copied, nor the marks; groups are where they were."""
    from confluent_kafka import Producer

    topic = made(cluster.admin())
    producer = Producer({"bootstrap.servers": broker.bootstrap, "transactional.id": fresh(), "log_level": 0})
    producer.init_transactions()
    for number in range(6):
        producer.begin_transaction()
        for each in range(3):
            producer.produce(topic, b"%d-%d" % (number, each), partition=0)
        producer.flush()
        if number % 2:
            producer.abort_transaction()
        else:
            producer.commit_transaction()
    theirs = there(cluster, topic)
    assert [record.value for record, _ in theirs] == [
        b"%d-%d" % (number, each) for number in (0, 2, 4) for each in range(3)
    ]
    groups = {f"{topic}-{offset}": offset for offset in range(25)}
    for group, offset in groups.items():
        cluster.admin().alter_group_offsets(group, {TopicPartition(topic, 0): offset})
    arguments = ("--from", broker.bootstrap, "--to", directory, "--topic", topic, "--include-groups", f"{topic}-.*")
    assert mirror(*arguments).returncode == 0
    ours = placed(directory, topic)
    assert [record for record, _ in ours] == [record for record, _ in theirs]
    with open_cluster(directory) as opened:
        for group, offset in groups.items():
            found = opened.admin().group_offsets(group)[TopicPartition(topic, 0)].offset
            assert found == sum(at < offset for _, at in theirs)
    assert mirror(*arguments).stdout.startswith(f"{topic}: 0 records")


def test_one_mirror_at_a_time(broker: apache.Broker, cluster: Cluster, directory: Path) -> None:
    topic = fresh()
    with open_cluster(directory) as opened:
        opened.admin().create_topic(topic, configs=KEPT)
        fill(opened, topic, 0, 3)
        arguments = ("--from", directory, "--to", broker.bootstrap, "--topic", topic)
        with start(*arguments, "--follow") as process:
            until(lambda: {each.name for each in cluster.admin().list_topics()} >= {topic} and there(cluster, topic))
            done = mirror(*arguments)
            assert (done.stdout, done.returncode) == ("", 1)
            assert done.stderr.endswith(f"Topic {topic} is being mirrored to this target by another process\n")
            fill(opened, topic, 3, 5)
            until(lambda: len(there(cluster, topic)) == 5)
            process.send_signal(signal.SIGTERM)
            out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out, err) == (143, f"{topic}: 5 records of 1 partition copied, 30 bytes\n", "")
    assert mirror(*arguments).stdout == f"{topic}: 0 records of 1 partition copied, 0 bytes\n"


def test_a_cluster_is_not_mirrored_to_itself(broker: apache.Broker) -> None:
    other = f"localhost:{broker.bootstrap.rpartition(':')[2]}"
    done = mirror("--from", broker.bootstrap, "--to", other, "--include", ".*")
    assert (done.stdout, done.returncode) == ("", 1)
    assert done.stderr == f"mirror: --from and --to are the same: {other} is cluster {_id(broker)}, too\n"


def _id(broker: apache.Broker) -> str:
    with open_cluster(broker.bootstrap) as cluster:
        return cluster.admin().cluster_id()


def test_a_record_that_the_cluster_refuses(broker: apache.Broker, cluster: Cluster, directory: Path) -> None:
    """It is named, what came before it is not copied again, and when it fits, all is there once."""
    topic = made(cluster.admin(), max_message_bytes="1000", retention_ms="-1")
    values = [b"%d" % number * 20 for number in range(300)]
    with open_cluster(directory) as opened:
        opened.admin().create_topic(topic, configs=KEPT)
        with opened.producer() as producer:
            producer.send(topic, [*values, os.urandom(3000), b"last"])
    arguments = ("--from", directory, "--to", broker.bootstrap, "--topic", topic)
    for _ in range(2):
        done = mirror(*arguments)
        assert (done.stdout, done.returncode) == ("", 1)
        assert done.stderr == (
            f"RecordTooLargeException: {topic}-0: from source offset 300 on nothing was taken: The request included a "
            "message larger than the max message size the server will accept; raise max.message.bytes of topic "
            f"{topic} at the target\n"
        )
        assert [record.value for record, _ in there(cluster, topic)] == values
    cluster.admin().incremental_alter_configs(ConfigResource("topic", topic), {"max.message.bytes": "5000"})
    assert mirror(*arguments).returncode == 0
    assert [record for record, _ in there(cluster, topic)] == records(directory, topic)


@pytest.mark.parametrize("stamp", [0, -1])
def test_a_time_that_librdkafka_cannot_send(
    broker: apache.Broker, cluster: Cluster, directory: Path, stamp: int
) -> None:
    topic = fresh()
    with open_cluster(directory) as opened:
        opened.admin().create_topic(topic, configs=KEPT)
        with opened.producer() as producer:
            producer.send(topic, [b"a"], timestamps=NOW)
            producer.send(topic, [b"b", b"c"], timestamps=[NOW, stamp])
    for _ in range(2):
        done = mirror("--from", directory, "--to", broker.bootstrap, "--topic", topic)
        assert (done.stdout, done.returncode) == ("", 1)
        assert done.stderr == (
            f"InvalidTimestampException: {topic}-0: the record at source offset 2 can't be copied: librdkafka can't "
            f"send the timestamp {stamp}\n"
        )
        assert len(there(cluster, topic)) <= 1
