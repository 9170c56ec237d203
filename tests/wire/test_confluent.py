"""confluent-kafka, which is librdkafka, against ``pykafka serve``."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # they are there, in no __all__
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialDeletion,
    UserScramCredentialUpsertion,
)

from pykafka_store import scram
from pykafka_store.access import ScramMechanism as Mechanism
from pykafka_store.access import ScramUpsertion
from pykafka_store.model import CommittedOffset, GroupDescription, OffsetAt
from pykafka_store.model import TopicPartition as Partition
from pykafka_store.open import open_cluster
from pykafka_store.remote.lookup import Lookup
from tests.support.console import produce, values
from tests.support.in_process import run
from tests.support.served import PATIENCE, Served

BEGINNING, END, STORED = -2, -1, -1000


def _admin(served: Served) -> AdminClient:
    return AdminClient({"bootstrap.servers": served.address})


def _create(served: Served, topic: str, partitions: int = 1, **config: str) -> None:
    wanted = NewTopic(topic, num_partitions=partitions, config={k.replace("_", "."): v for k, v in config.items()})
    admin = _admin(served)
    for done in admin.create_topics([wanted]).values():
        done.result(PATIENCE)


def _send(served: Served, topic: str, lines: list[bytes], **config: object) -> list[Message]:
    """Send lines to partition 0 and wait for all of them; what came back, in order."""
    told: list[Message] = []
    settings = {"bootstrap.servers": served.address, "linger.ms": 5}
    producer = Producer(settings | {name.replace("_", "."): value for name, value in config.items()})
    for line in lines:
        producer.produce(topic, line, partition=0, on_delivery=lambda error, message: told.append(message))
    assert producer.flush(PATIENCE) == 0
    return told


def _read(served: Served, topic: str, count: int, offset: int = BEGINNING, **config: object) -> list[Message]:
    """The next ``count`` records of partition 0."""
    settings = {"bootstrap.servers": served.address, "group.id": "reader", "enable.auto.commit": False}
    consumer = Consumer(settings | {name.replace("_", "."): value for name, value in config.items()})
    try:
        consumer.assign([TopicPartition(topic, 0, offset)])
        found: list[Message] = []
        deadline = time.monotonic() + PATIENCE
        while len(found) < count:
            assert time.monotonic() < deadline, f"{len(found)} of {count} records came"
            found += consumer.consume(count - len(found), 0.5)
        return found
    finally:
        consumer.close()


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_each_codec_comes_back_and_is_in_the_directory(served: Served, codec: str) -> None:
    lines = [b"line %d %s" % (number, b"x" * 50) for number in range(300)]
    told = _send(served, "codecs", lines, compression_type=codec)
    assert [message.offset() for message in told] == list(range(300))
    assert [message.value() for message in _read(served, "codecs", 300)] == lines
    assert values(served.directory, "codecs") == lines


def test_an_idempotent_producer_is_acknowledged(served: Served) -> None:
    lines = [b"%d" % number for number in range(500)]
    told = _send(served, "idem", lines, enable_idempotence=True)
    assert all(message.error() is None for message in told)
    assert values(served.directory, "idem") == lines


def test_what_a_shell_command_appends_arrives_while_a_fetch_waits(served: Served) -> None:
    _create(served, "shell")
    consumer = Consumer({"bootstrap.servers": served.address, "group.id": "g", "fetch.wait.max.ms": 30000})
    try:
        consumer.assign([TopicPartition("shell", 0, BEGINNING)])
        assert consumer.poll(0.3) is None
        assert produce(served.directory, "from a shell\n", "--topic", "shell").code == 0
        message = consumer.poll(20.0)  # less than a fetch waits by itself
        assert message is not None and message.value() == b"from a shell"
    finally:
        consumer.close()


def test_the_size_that_a_topic_takes_is_what_its_settings_say(served: Served) -> None:
    _create(served, "small", max_message_bytes="1000")
    (message,) = _send(served, "small", [b"x" * 2000])
    error = message.error()
    assert error is not None and error.name() == "MSG_SIZE_TOO_LARGE"
    assert values(served.directory, "small") == []


def test_a_compacted_topic_takes_no_record_without_a_key(served: Served) -> None:
    _create(served, "compacted", cleanup_policy="compact")
    (message,) = _send(served, "compacted", [b"no key"])
    error = message.error()
    assert error is not None and error.name() == "INVALID_RECORD"
    assert values(served.directory, "compacted") == []


def test_the_topics_codec_is_what_counts(served: Served) -> None:
    _create(served, "zipped", compression_type="zstd")
    lines = [b"y" * 100 for _ in range(100)]
    _send(served, "zipped", lines, compression_type="gzip")
    assert [message.value() for message in _read(served, "zipped", 100)] == lines
    assert len((served.directory / "brokers/0/zipped-0/00000000000000000000.log").read_bytes()) < 500


def test_log_append_time_is_told_to_the_producer(served: Served) -> None:
    _create(served, "appended", message_timestamp_type="LogAppendTime")
    before = int(time.time() * 1000)
    _send(served, "appended", [b"now"])
    (message,) = _read(served, "appended", 1)
    kind, stamp = message.timestamp()
    assert kind == 2 and before <= stamp <= time.time() * 1000


def test_offsets_for_times_and_watermarks(served: Served) -> None:
    producer = Producer({"bootstrap.servers": served.address})
    for number in range(10):
        producer.produce("times", b"%d" % number, partition=0, timestamp=1_600_000_000_000 + number * 1000)
    assert producer.flush(PATIENCE) == 0
    consumer = Consumer({"bootstrap.servers": served.address, "group.id": "times"})
    try:
        assert consumer.get_watermark_offsets(TopicPartition("times", 0), PATIENCE) == (0, 10)
        (found,) = consumer.offsets_for_times([TopicPartition("times", 0, 1_600_000_004_500)], PATIENCE)
        assert found.offset == 5
        (found,) = consumer.offsets_for_times([TopicPartition("times", 0, 1_700_000_000_000)], PATIENCE)
        assert found.offset == END
    finally:
        consumer.close()


def test_commits_have_their_text_and_are_those_of_the_directory(served: Served) -> None:
    _send(served, "committed", [b"1", b"2", b"3"])
    consumer = Consumer({"bootstrap.servers": served.address, "group.id": "alone", "enable.auto.commit": False})
    try:
        consumer.assign([TopicPartition("committed", 0, 0)])
        wanted = TopicPartition("committed", 0, 2, "what I think of it")
        consumer.commit(offsets=[wanted], asynchronous=False)
        (found,) = consumer.committed([TopicPartition("committed", 0)], PATIENCE)
        assert (found.offset, found.metadata) == (2, "what I think of it")
    finally:
        consumer.close()


def test_topics_are_made_and_deleted_and_errors_have_kafkas_names(served: Served) -> None:
    _create(served, "made", partitions=3)
    with pytest.raises(KafkaException, match="TOPIC_ALREADY_EXISTS"):
        _create(served, "made")
    assert set(_admin(served).list_topics("made", PATIENCE).topics["made"].partitions) == {0, 1, 2}
    admin = _admin(served)
    for done in admin.delete_topics(["made"]).values():
        done.result(PATIENCE)
    assert "made" not in _admin(served).list_topics(timeout=PATIENCE).topics


def test_a_deleted_topic_is_gone_for_a_producer_and_another_one_may_take_its_name(served: Served) -> None:
    _send(served, "again", [b"old"])
    admin = _admin(served)
    for done in admin.delete_topics(["again"]).values():
        done.result(PATIENCE)
    _create(served, "again")
    _send(served, "again", [b"new"])
    assert [message.value() for message in _read(served, "again", 1)] == [b"new"]


@pytest.mark.parametrize("group", ["g", ""])
def test_a_topic_that_goes_while_our_consumer_takes_it_in_is_left_out(
    served: Served, monkeypatch: pytest.MonkeyPatch, group: str
) -> None:
    """It follows a pattern on a cluster, and what a broker says of the topic comes too late."""
    asking = Lookup._asked_offsets
    settings = {"auto.offset.reset": "earliest", "metadata.max.age.ms": "100"} | ({"group.id": group} if group else {})
    with open_cluster(f"file:{served.directory}") as cluster, open_cluster(served.address) as remote:
        admin = cluster.admin()
        admin.create_topic("t1")

        def too_late(self: Lookup, at: Mapping[Partition, int]) -> dict[Partition, int]:
            if any(partition.topic == "t2" for partition in at):
                monkeypatch.undo()
                admin.delete_topic("t2")
            return asking(self, at)

        with remote.consumer(settings) as consumer:
            consumer.subscribe(pattern=re.compile("t.*"), start=OffsetAt.EARLIEST)
            monkeypatch.setattr(Lookup, "_asked_offsets", too_late)
            admin.create_topic("t2")
            while Lookup._asked_offsets is too_late:
                assert consumer.poll(0.1) == []
            _send(served, "t1", [b"a", b"b"])
            found: list[bytes | None] = []
            while len(found) < 2:
                for records in consumer.poll(0.1):
                    found += records.values
    assert found == [b"a", b"b"]


# ----------------------------------------------------------------------------------------------------------- groups


def describe_group(directory: Path, group: str) -> GroupDescription:
    """The group as the directory has it, beside the server."""
    with open_cluster(directory) as cluster:
        return cluster.admin().describe_group(group)


def group_offsets(directory: Path, group: str) -> dict[Partition, CommittedOffset]:
    with open_cluster(directory) as cluster:
        return cluster.admin().group_offsets(group)


class _Reader:
    """A consumer of a group, and what it has read and owns."""

    def __init__(self, served: Served, group: str, topic: str, **config: object) -> None:
        settings = {"bootstrap.servers": served.address, "group.id": group, "auto.offset.reset": "earliest"}
        self.consumer = Consumer(settings | {name.replace("_", "."): value for name, value in config.items()})
        self.consumer.subscribe([topic])
        self.found: list[bytes] = []

    def poll(self) -> None:
        message = self.consumer.poll(0.1)
        if message is not None and message.error() is None:
            value = message.value()
            assert isinstance(value, bytes)
            self.found.append(value)

    @property
    def owned(self) -> list[int]:
        return sorted(each.partition for each in self.consumer.assignment())


def _poll_until(readers: list[_Reader], done: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < deadline, f"{what}: {[(each.owned, len(each.found)) for each in readers]}"
        for reader in readers:
            reader.poll()


def _fill(served: Served, topic: str, partitions: int, count: int, start: int = 0) -> None:
    producer = Producer({"bootstrap.servers": served.address})
    for number in range(start, start + count):
        producer.produce(topic, b"%d" % number, partition=number % partitions)
    assert producer.flush(PATIENCE) == 0


_PROTOCOLS = [
    {"partition_assignment_strategy": "range"},
    {"partition_assignment_strategy": "roundrobin"},
    {"partition_assignment_strategy": "cooperative-sticky"},
    {"group_protocol": "consumer"},
]


@pytest.mark.parametrize("config", _PROTOCOLS, ids=lambda config: next(iter(config.values())))
def test_two_consumers_share_a_group_and_the_last_one_gets_all(served: Served, config: dict[str, str]) -> None:
    _create(served, "shared", partitions=4)
    _fill(served, "shared", 4, 40)
    readers = [_Reader(served, "sharing", "shared", **config)]
    _poll_until(readers, lambda: len(readers[0].found) == 40, "the first one reads all")
    readers.append(_Reader(served, "sharing", "shared", **config))
    _poll_until(readers, lambda: [len(each.owned) for each in readers] == [2, 2], "two each")
    described = describe_group(served.directory, "sharing")
    assert (described.state, len(described.members)) == ("Stable", 2)
    _fill(served, "shared", 4, 40, start=40)
    _poll_until(readers, lambda: sum(len(each.found) for each in readers) == 80, "both read")
    readers.pop(0).consumer.close()
    _poll_until(readers, lambda: readers[0].owned == [0, 1, 2, 3], "the last one has all")
    readers[0].consumer.close()
    assert {each.offset for each in group_offsets(served.directory, "sharing").values()} == {20}


@pytest.mark.parametrize("config", _PROTOCOLS, ids=lambda config: next(iter(config.values())))
def test_a_consumer_of_a_client_and_one_of_the_shell_share_a_group(served: Served, config: dict[str, str]) -> None:
    _create(served, "mixed", partitions=4)
    reader = _Reader(served, "mixing", "mixed", **config)
    _poll_until([reader], lambda: len(reader.owned) == 4, "the client has all")
    strategy = {"partition.assignment.strategy": "RangeAssignor,RoundRobinAssignor,CooperativeStickyAssignor"}
    if "group_protocol" in config:
        strategy = {"group.protocol": "consumer"}
    settings = {"group.id": "mixing", "auto.offset.reset": "earliest", **strategy}
    with open_cluster(served.directory) as cluster, cluster.consumer(settings) as shell:
        shell.subscribe(["mixed"])
        found: list[bytes | None] = []

        def both() -> int:
            found.extend(value for run in shell.poll(0.05) for value in run.values)
            return len(found) + len(reader.found)

        _poll_until([reader], lambda: both() >= 0 and len(reader.owned) == len(shell.assignment()) == 2, "two each")
        _fill(served, "mixed", 4, 40)
        _poll_until([reader], lambda: both() == 40, "all is read once")
        assert sorted([*found, *reader.found], key=lambda value: int(value or b"-1")) == [b"%d" % n for n in range(40)]
    _poll_until([reader], lambda: len(reader.owned) == 4, "the client has all again")
    reader.consumer.close()


def test_a_member_whose_process_is_gone_is_taken_out_before_its_session_is_over(served: Served) -> None:
    _create(served, "orphaned", partitions=2)
    code = (
        "import sys, time, confluent_kafka\n"
        f"settings = {{'bootstrap.servers': '{served.address}', 'group.id': 'orphans', 'session.timeout.ms': 300000}}\n"
        "c = confluent_kafka.Consumer(settings)\n"
        "c.subscribe(['orphaned'])\n"
        "while len(c.assignment()) < 2: c.poll(0.1)\n"
        "print('owns', flush=True)\n"
        "time.sleep(600)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None and process.stdout.readline() == b"owns\n"
    finally:
        process.kill()
        process.communicate()
    reader = _Reader(served, "orphans", "orphaned")
    _poll_until([reader], lambda: len(reader.owned) == 2, "the other one's are free")  # not after five minutes
    reader.consumer.close()


def test_a_static_member_that_comes_back_finds_its_own(served: Served) -> None:
    _create(served, "static", partitions=2)
    first = _Reader(served, "statics", "static", group_instance_id="one")
    other = _Reader(served, "statics", "static", group_instance_id="two")
    _poll_until([first, other], lambda: [len(first.owned), len(other.owned)] == [1, 1], "one each")
    owned = first.owned
    first.consumer.close()  # a static member does not leave
    again = _Reader(served, "statics", "static", group_instance_id="one")
    _poll_until([again, other], lambda: again.owned == owned, "the same one")
    assert len(other.owned) == 1
    for reader in (again, other):
        reader.consumer.close()


def test_a_producer_that_wants_transactions_is_told_at_once(served: Served) -> None:
    producer = Producer({"bootstrap.servers": served.address, "transactional.id": "t"})
    with pytest.raises(KafkaException) as raised:
        producer.init_transactions(PATIENCE)
    error = raised.value.args[0]
    assert (error.name(), error.fatal()) == ("TRANSACTIONAL_ID_AUTHORIZATION_FAILED", True)
    _, told = served.stop()
    assert "transactional.id t is refused: a data directory has no transactions" in told


def test_acls_and_users_are_those_of_the_directory(served: Served) -> None:
    """What a client makes the shell lists, and what the shell takes away is gone for the client."""
    admin, topic, prefixed = _admin(served), ResourceType.TOPIC, ResourcePatternType.PREFIXED
    acl = AclBinding(topic, "or", prefixed, "User:ann", "*", AclOperation.READ, AclPermissionType.ALLOW)
    every = AclBindingFilter(
        ResourceType.ANY, None, ResourcePatternType.MATCH, "User:ann", None, AclOperation.ANY, AclPermissionType.ANY
    )
    for done in admin.create_acls([acl]).values():
        done.result(PATIENCE)
    assert admin.describe_acls(every).result(PATIENCE) == [acl]
    listed = run(
        "kafka-acls", "--list", "--topic", "orders", "--resource-pattern-type", "match", data_dir=served.directory
    )
    assert "(principal=User:ann, host=*, operation=READ, permissionType=ALLOW)" in listed.stdout
    words = ("--remove", "--topic", "or", "--resource-pattern-type", "prefixed", "--force")
    assert run("kafka-acls", *words, data_dir=served.directory).code == 0
    assert admin.describe_acls(every).result(PATIENCE) == []
    how = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 5000)
    for done in admin.alter_user_scram_credentials([UserScramCredentialUpsertion("ann", how, b"secret")]).values():
        done.result(PATIENCE)
    shown = run("kafka-configs", "--describe", "--user", "ann", data_dir=served.directory)
    assert shown.stdout == "SCRAM credential configs for user-principal 'ann' are SCRAM-SHA-512=iterations=5000\n"
    with open_cluster(f"file:{served.directory}") as cluster:
        (kept,) = cluster.admin().scram_credentials("ann").values()  # type: ignore[attr-defined]
    salted = scram.salted(Mechanism.SCRAM_SHA_512, b"secret", kept.salt, 5000)
    assert scram.credential(ScramUpsertion("ann", Mechanism.SCRAM_SHA_512, 5000, kept.salt, salted)) == kept
    gone = UserScramCredentialDeletion("ann", ScramMechanism.SCRAM_SHA_512)
    for done in admin.alter_user_scram_credentials([gone]).values():
        done.result(PATIENCE)
    (nobody,) = admin.describe_user_scram_credentials(["ann"]).values()
    with pytest.raises(KafkaException, match="does not exist"):
        nobody.result(PATIENCE)


def test_of_a_batch_that_is_refused_only_the_wrong_records_are_blamed(served: Served) -> None:
    _create(served, "compacted", cleanup_policy="compact")
    told: list[str | None] = []
    # One batch of all, however long this takes: flush() sends what lingers. A first record goes before them, for what
    # is produced before the topic's metadata is there gets to its partition one by one, beside the thread that sends.
    producer = Producer({"bootstrap.servers": served.address, "linger.ms": 60_000, "enable.idempotence": False})
    producer.produce("compacted", b"first", b"k", partition=0)
    assert producer.flush(PATIENCE) == 0
    for number in range(5):
        key = None if number in {1, 3} else b"k"
        producer.produce(
            "compacted", b"v", key, partition=0, on_delivery=lambda error, _: told.append(error and error.name())
        )
    assert producer.flush(PATIENCE) == 0
    assert told == ["INVALID_RECORD" if number in {1, 3} else "_INVALID_DIFFERENT_RECORD" for number in range(5)]
    assert values(served.directory, "compacted") == [b"first"]


def test_a_session_that_is_too_short_for_a_broker_is_refused(served: Served) -> None:
    _create(served, "short", 1)
    settings = {"bootstrap.servers": served.address, "group.id": "short", "session.timeout.ms": 1000}
    told = []
    consumer = Consumer(settings | {"heartbeat.interval.ms": 300, "error_cb": lambda error: told.append(error.name())})
    try:
        consumer.subscribe(["short"])
        deadline = time.monotonic() + PATIENCE
        while "INVALID_SESSION_TIMEOUT" not in told:
            assert time.monotonic() < deadline, told
            message = consumer.poll(0.1)
            if message is not None and message.error() is not None:
                told.append(message.error().name())
    finally:
        consumer.close()


def _until(done: Callable[[], bool], *consumers: Consumer) -> None:
    deadline = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < deadline
        for each in consumers:
            each.poll(0.1)


def test_who_joins_waits_until_the_others_have_given_up(served: Served) -> None:
    """As at a broker: no consumer of the classic protocol is told a share before those that were there join, too."""
    _create(served, "waits", 2)
    told: dict[str, list[str]] = {"first": [], "second": []}

    def consumer(name: str) -> Consumer:
        settings = {"group.id": "waits", "auto.offset.reset": "earliest", "max.poll.interval.ms": 60000}
        made = Consumer(settings | {"bootstrap.servers": served.address, "session.timeout.ms": 6000})
        made.subscribe(
            ["waits"],
            on_assign=lambda _, some: told[name].append(f"assigned {len(some)}"),
            on_revoke=lambda _, some: told[name].append(f"revoked {len(some)}"),
        )
        return made

    first = consumer("first")
    _until(lambda: bool(told["first"]), first)
    second = consumer("second")
    try:
        for _ in range(60):  # meanwhile the first one does not poll, and lives
            second.poll(0.2)
        assert told == {"first": ["assigned 2"], "second": []}
        _until(lambda: len(told["first"]) == 3 and bool(told["second"]), first, second)
        assert told == {"first": ["assigned 2", "revoked 2", "assigned 1"], "second": ["assigned 1"]}
    finally:
        first.close()
        second.close()


def test_a_topics_settings_come_in_a_brokers_order(served: Served) -> None:
    """Which kafka-topics --describe prints: that of a hash table of Java's."""
    configs = {"retention.ms": "1", "cleanup.policy": "compact", "max.message.bytes": "2000", "segment.ms": "100"}
    with open_cluster(served.directory) as directory, open_cluster(served.address) as cluster:
        directory.admin().create_topic("t", configs=configs)
        (theirs,), (ours,) = (each.admin().describe_topics(["t"]) for each in (cluster, directory))
    names = [entry.name for entry in theirs.configs]
    assert names == ["min.insync.replicas", "cleanup.policy", "retention.ms", "max.message.bytes", "segment.ms"]
    assert names == [entry.name for entry in ours.configs]
