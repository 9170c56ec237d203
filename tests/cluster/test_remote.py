"""What only a real cluster has: transactions, the brokers' own group protocol, a queue that fills up."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from confluent_kafka import KafkaError, KafkaException

from pykafka_store.api import Cluster
from pykafka_store.errors import GroupIdNotFoundError, StoreError, UnknownTopicOrPartitionError
from pykafka_store.model import OffsetAt, TopicPartition
from pykafka_store.open import open_cluster
from pykafka_store.remote.cluster import RemoteCluster
from tests.cluster.test_seam import fill, fresh, made, read, until, values_of
from tests.cluster.test_tools import run
from tests.support import apache

pytestmark = pytest.mark.apache


@pytest.fixture
def cluster(broker: apache.Broker) -> Iterator[Cluster]:
    with open_cluster(broker.bootstrap) as opened:
        yield opened


@pytest.fixture
def transacted(cluster: Cluster, broker: apache.Broker) -> str:
    """A topic with one record committed, one aborted, and the marks of both: offsets 0 to 3."""
    from confluent_kafka import Producer

    topic = made(cluster.admin())
    producer = Producer({"bootstrap.servers": broker.bootstrap, "transactional.id": fresh(), "log_level": 0})
    producer.init_transactions()
    for value, commit in ((b"committed", True), (b"aborted", False)):
        producer.begin_transaction()
        producer.produce(topic, value, partition=0)
        producer.flush()
        if commit:
            producer.commit_transaction()
        else:
            producer.abort_transaction()
    return topic


@pytest.mark.parametrize(
    ("level", "expected"), [("read_committed", [b"committed"]), ("read_uncommitted", [b"committed", b"aborted"])]
)
def test_the_end_is_reached_behind_the_marks_of_transactions(
    cluster: Cluster, transacted: str, level: str, expected: list[bytes]
) -> None:
    partition = TopicPartition(transacted, 0)
    with cluster.consumer({"isolation.level": level}) as consumer:
        consumer.assign({partition: OffsetAt.EARLIEST})
        end = consumer.end_offsets([partition])[partition]
        assert end == 4
        found = []
        deadline = time.monotonic() + 30
        while consumer.position(partition) < end:
            assert time.monotonic() < deadline
            found += values_of(consumer.poll(0.1))
    assert found == expected


def test_the_console_consumer_ends_behind_the_marks_of_transactions(broker: apache.Broker, transacted: str) -> None:
    done = run(
        "kafka-console-consumer", "--bootstrap-server", broker.bootstrap, "--topic", transacted, "--from-beginning",
        "--isolation-level", "read_committed", "--exit-at-end",
    )  # fmt: skip
    assert (done.stdout, done.stderr, done.returncode) == ("committed\n", "Processed a total of 1 messages\n", 0)


def test_an_open_transaction_is_beyond_the_end_of_what_is_committed(cluster: Cluster, broker: apache.Broker) -> None:
    from confluent_kafka import Producer

    topic = made(cluster.admin())
    partition = TopicPartition(topic, 0)
    producer = Producer({"bootstrap.servers": broker.bootstrap, "transactional.id": fresh(), "log_level": 0})
    producer.init_transactions()
    producer.begin_transaction()
    producer.produce(topic, b"open", partition=0)
    producer.flush()
    for level, end in (("read_committed", 0), ("read_uncommitted", 1)):
        with cluster.consumer({"isolation.level": level}) as consumer:
            assert consumer.end_offsets([partition]) == {partition: end}
    producer.abort_transaction()


@pytest.mark.parametrize(
    ("config", "kind", "assignor"),
    [
        ({"group.protocol": "consumer"}, "Consumer", "uniform"),
        ({"partition.assignment.strategy": "CooperativeStickyAssignor"}, "Classic", "cooperative-sticky"),
        ({"partition.assignment.strategy": "RoundRobinAssignor"}, "Classic", "roundrobin"),
    ],
)
def test_members_share_by_every_protocol(cluster: Cluster, config: dict[str, str], kind: str, assignor: str) -> None:
    admin = cluster.admin()
    topic, group = made(admin, partitions=4), fresh("g")
    config = {"group.id": group, "auto.offset.reset": "earliest", **config}
    fill(cluster, topic, [b"before"], 3)
    with cluster.consumer(config) as one:
        one.subscribe([topic])
        assert values_of(read(one, 1)) == [b"before"]
        with cluster.consumer(config) as two:
            two.subscribe([topic])
            until(lambda: len(one.assignment()) == len(two.assignment()) == 2, one, two)
            described = admin.describe_group(group)
            assert (described.type, described.assignor, len(described.members)) == (kind, assignor, 2)
            for partition in range(4):
                fill(cluster, topic, [b"%d" % partition], partition)
            assert sorted(map(str, values_of(read(one, 2)) + values_of(read(two, 2)))) == [
                "b'0'", "b'1'", "b'2'", "b'3'",
            ]  # fmt: skip
            mine = one.assignment()[0]
            one.seek(mine, 0)  # a partition of a group is sought like any other
            assert one.position(mine) == 0
            assert values_of(read(one, 1))
        until(lambda: len(one.assignment()) == 4, one)
    assert sum(each.offset for each in admin.group_offsets(group).values()) == 5


def test_the_queue_is_bounded(cluster: Cluster) -> None:
    """32 times the room of the queue goes through it."""
    topic = made(cluster.admin())
    with cluster.producer({"buffer.memory": "1048576"}) as producer:
        for _ in range(32):
            producer.send(topic, [b"x" * 1024] * 1024)
        producer.flush()
        assert (producer.acknowledged, producer.failed) == (32 * 1024, 0)


def test_what_librdkafka_lacks_a_request_for_is_asked_all_the_same(cluster: Cluster) -> None:
    admin = cluster.admin()
    topic, group = made(admin), fresh()
    there, beyond = TopicPartition(topic, 0), TopicPartition(topic, 77)
    admin.alter_group_offsets(group, {there: 0})
    answers = admin.delete_group_offsets(group, [there, beyond])
    assert answers[there] is None
    assert isinstance(answers[beyond], UnknownTopicOrPartitionError)
    assert admin.group_offsets(group) == {}
    with pytest.raises(GroupIdNotFoundError, match="The group id does not exist"):
        admin.delete_group_offsets(f"none-{group}", [there])


def test_librdkafka_says_nothing_by_itself(broker: apache.Broker) -> None:
    addresses = f"127.0.0.1:{apache.free_port()},{broker.bootstrap}"
    done = run("kafka-topics", "--bootstrap-server", addresses, "--list", environ={"PYKAFKA_DEBUG": ""})
    assert (done.stderr, done.returncode) == ("", 0)


class DyingClient:
    """librdkafka's producer as far as it is asked here: it takes ``room`` records, and its ``poll`` raises."""

    def __init__(self, room: int, refusal: Exception) -> None:
        self._room = room
        self._refusal = refusal

    def produce(self, *_record: object) -> None:
        if not self._room:
            raise self._refusal
        self._room -= 1

    def poll(self, _seconds: float) -> int:
        raise KafkaException(KafkaError(KafkaError._FENCED, "Fatal error: fenced", True))

    def flush(self, _seconds: float) -> int:
        return 0

    def purge(self) -> None: ...

    def __len__(self) -> int:
        return 0


@pytest.mark.parametrize("keyed", [False, True])
@pytest.mark.parametrize("refusal", [BufferError(), KafkaException(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE))])
def test_what_makes_an_end_of_a_producer_is_our_error_wherever_it_comes(
    monkeypatch: pytest.MonkeyPatch, refusal: Exception, *, keyed: bool
) -> None:
    """confluent-kafka raises it out of whatever serves its callbacks; and what was not taken is not counted."""
    for room in (2, 3):
        with RemoteCluster("127.0.0.1:1") as cluster:
            producer = cluster.producer()
            monkeypatch.setattr(producer, "_known_partitions", lambda _topic: 1)
            monkeypatch.setattr(producer, "_smaller_limit", lambda _topic: None)
            monkeypatch.setattr(producer, "_client", DyingClient(room, refusal))
            with pytest.raises(StoreError):
                producer.send("t", [b"a", b"b", b"c"], keys=[b"k"] * 3 if keyed else None)
            producer.flush()
            assert producer.acknowledged == room
