"""A consumer with a group, from the outside: where it begins, what it commits and when, and what goes wrong well.

Consumers of one process, each over a cluster of its own, which poll when the test says so. Promises that are about
processes are in test_promises.py.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from pykafka_store.embedded.catalog import Catalog
from pykafka_store.embedded.clients.consumer import EmbeddedConsumer
from pykafka_store.embedded.clients.member_consumer import MemberConsumer
from pykafka_store.embedded.cluster import EmbeddedCluster
from pykafka_store.embedded.groups.leases import group_directory
from pykafka_store.embedded.log.reader import LogReader
from pykafka_store.embedded.replication.reader import PartitionReader
from pykafka_store.errors import (
    FencedInstanceIdError,
    IllegalGenerationError,
    InconsistentGroupProtocolError,
    InvalidConfigError,
    InvalidGroupIdError,
    NoOffsetForPartitionError,
    StorageError,
    UnknownMemberIdError,
    UnknownTopicOrPartitionError,
)
from pykafka_store.format.batch import Batch
from pykafka_store.model import OffsetAt, TopicPartition
from tests.store.helpers import AT_ONCE

T0 = TopicPartition("t", 0)
T1 = TopicPartition("t", 1)


class Room:
    """A data directory with consumers in it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._clusters: list[EmbeddedCluster] = []
        self._consumers: list[EmbeddedConsumer] = []
        self.cluster = self.open()
        self.admin = self.cluster.admin()

    def open(self) -> EmbeddedCluster:
        cluster = EmbeddedCluster(str(self.directory))
        self._clusters.append(cluster)
        return cluster

    def consumer(self, config: Mapping[str, str] | None = None, **settings: str) -> EmbeddedConsumer:
        """A consumer of group g that begins at the earliest record. Settings are spelt with _ for the dots."""
        given = {"group.id": "g", "auto.offset.reset": "earliest"}
        given |= {name.replace("_", "."): value for name, value in settings.items()} | dict(config or {})
        consumer = self.open().consumer(given)
        self._consumers.append(consumer)
        return consumer

    def produce(self, count: int, topic: str = "t", partition: int = 0, first: int = 0) -> None:
        with self.cluster.producer(AT_ONCE) as producer:
            producer.send(topic, [b"%d" % number for number in range(first, first + count)], partitions=partition)

    def committed(self, group: str = "g") -> dict[str, int]:
        return {str(partition): found.offset for partition, found in self.admin.group_offsets(group).items()}

    def expire(self, consumer: EmbeddedConsumer, group: str = "g") -> None:
        """What the others do to a member that is silent for too long."""
        assert isinstance(consumer, MemberConsumer)
        member = consumer._member
        assert member is not None and member.member_id is not None
        database = self.cluster.engine.groups
        row = next(row for row in database.members(group) if row.id == member.member_id)
        with database.transaction():
            database.remove_member_within(group, row.id)
            os.unlink(self.directory / "groups" / group_directory(group) / row.lease)

    def close(self) -> None:
        for consumer in self._consumers:
            consumer.close()
        for cluster in self._clusters:
            cluster.close()


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    made = Room(tmp_path / "data")
    try:
        yield made
    finally:
        made.close()


def read(consumer: EmbeddedConsumer, count: int, *others: EmbeddedConsumer, seconds: float = 10.0) -> list[bytes]:
    """The values of at least ``count`` records, whichever of these consumers get them."""
    values: list[bytes] = []
    deadline = time.monotonic() + seconds
    while len(values) < count:
        assert time.monotonic() < deadline, f"{len(values)} of {count} records came"
        for each in (consumer, *others):
            for records in each.poll(0.01):
                values += [value for value in records.values if value is not None]
    return values


def until_assigned(consumer: EmbeddedConsumer, *partitions: TopicPartition) -> None:
    deadline = time.monotonic() + 60
    while consumer.assignment() != partitions:
        assert time.monotonic() < deadline, consumer.assignment()
        assert not consumer.poll(0.01)


def numbers(start: int, stop: int) -> list[bytes]:
    return [b"%d" % number for number in range(start, stop)]


class Events:
    """What a consumer's callbacks were told, in order."""

    def __init__(self, consumer: EmbeddedConsumer) -> None:
        self.told: list[tuple[str, str]] = []
        consumer.on_rebalance(self._note("assigned"), self._note("revoked"), self._note("lost"))

    def _note(self, what: str):  # type: ignore[no-untyped-def]
        def note(partitions: Sequence[TopicPartition]) -> None:
            self.told.append((what, " ".join(map(str, partitions))))

        return note


# ------------------------------------------------------------------------------------------------------ where it begins


def test_it_goes_on_where_the_group_left_off(room: Room) -> None:
    room.admin.create_topic("t")
    room.produce(10)
    with room.consumer() as first:
        first.subscribe(["t"])
        assert first.poll(5, max_records=4)
    assert room.committed() == {"t-0": 4}
    second = room.consumer()
    second.subscribe(["t"])
    assert read(second, 6) == numbers(4, 10)


@pytest.mark.parametrize(("reset", "expected"), [("earliest", numbers(0, 8)), ("latest", numbers(5, 8))])
def test_a_group_without_offsets_begins_by_auto_offset_reset(room: Room, reset: str, expected: list[bytes]) -> None:
    room.admin.create_topic("t")
    room.produce(5)
    consumer = room.consumer(auto_offset_reset=reset)
    consumer.subscribe(["t"])
    found = read(consumer, 5) if reset == "earliest" else []
    until_assigned(consumer, T0)
    room.produce(3, first=5)
    assert found + read(consumer, 3) == expected


def test_reset_by_duration_begins_with_what_is_young_enough(room: Room) -> None:
    room.admin.create_topic("t")
    now = time.time_ns() // 1_000_000
    with room.cluster.producer(AT_ONCE) as producer:
        producer.send("t", numbers(0, 4), timestamps=[now - 7200_000, now - 3700_000, now - 3500_000, now])
    consumer = room.consumer(auto_offset_reset="by_duration:PT1H")
    consumer.subscribe(["t"])
    assert read(consumer, 2) == numbers(2, 4)


def test_reset_none_is_an_error_at_each_poll_until_somebody_says_where(room: Room) -> None:
    room.admin.create_topic("t", partitions=2)
    room.produce(3)
    consumer = room.consumer(auto_offset_reset="none")
    events = Events(consumer)
    consumer.subscribe(["t"])
    for _ in range(3):
        with pytest.raises(NoOffsetForPartitionError, match="t-"):
            consumer.poll(0.1)
    assert events.told == [("assigned", "t-0 t-1")]
    assert room.committed() == {}
    consumer.seek(T0, 1)
    with pytest.raises(NoOffsetForPartitionError, match="t-1"):
        consumer.poll(0.1)
    consumer.seek(T1, OffsetAt.EARLIEST)
    assert read(consumer, 2) == numbers(1, 3)
    consumer.close()
    assert room.committed() == {"t-0": 3, "t-1": 0}


def test_reset_none_is_no_error_where_the_callback_seeks(room: Room) -> None:
    """Offsets kept elsewhere: Kafka's pattern for it."""
    room.admin.create_topic("t")
    room.produce(5)
    consumer = room.consumer(auto_offset_reset="none")
    consumer.on_rebalance(assigned=lambda partitions: [consumer.seek(each, 3) for each in partitions] and None)
    consumer.subscribe(["t"])
    assert read(consumer, 2) == numbers(3, 5)


def test_a_committed_offset_beyond_the_log_is_reset(room: Room) -> None:
    room.admin.create_topic("t")
    room.produce(3)
    room.admin.alter_group_offsets("g", {T0: 100})
    consumer = room.consumer()
    consumer.subscribe(["t"])
    assert read(consumer, 3) == numbers(0, 3)


# ----------------------------------------------------------------------------------------------------------- committing


def test_positions_are_committed_in_the_poll_after_the_interval(room: Room) -> None:
    """Not in the poll that returns the records: they are not dealt with before the next."""
    room.admin.create_topic("t")
    room.produce(3)
    consumer = room.consumer({"auto.commit.interval.ms": "0"})
    consumer.subscribe(["t"])
    read(consumer, 3)
    assert room.committed().get("t-0", 0) == 0
    consumer.poll(0)
    assert room.committed() == {"t-0": 3}


def test_only_the_beginning_is_committed_before_the_interval_is_over(room: Room) -> None:
    """Whoever takes over after a crash begins no later than this one did."""
    room.admin.create_topic("t")
    room.produce(3)
    consumer = room.consumer({"auto.commit.interval.ms": "3600000"})
    consumer.subscribe(["t"])
    read(consumer, 3)
    consumer.poll(0.05)
    assert room.committed() == {"t-0": 0}


def test_without_auto_commit_only_commit_commits(room: Room) -> None:
    room.admin.create_topic("t")
    room.produce(5)
    consumer = room.consumer({"enable.auto.commit": "false", "auto.commit.interval.ms": "0"})
    consumer.subscribe(["t"])
    assert read(consumer, 5)
    consumer.poll(0.02)
    consumer.commit({T0: 2})
    assert room.committed() == {"t-0": 2}
    assert consumer.committed([T0, T1])[T0].offset == 2
    room.produce(2, first=5)
    read(consumer, 2)
    consumer.close()
    assert room.committed() == {"t-0": 2}


def test_commit_without_offsets_commits_what_was_returned(room: Room) -> None:
    room.admin.create_topic("t")
    room.produce(5)
    consumer = room.consumer({"enable.auto.commit": "false"})
    consumer.subscribe(["t"])
    assert consumer.poll(5, max_records=2)
    consumer.commit()
    assert room.committed() == {"t-0": 2}


def test_what_poll_did_not_return_is_not_committed(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the middle of a poll: what it had gathered by then was seen by nobody, and comes again."""
    room.admin.create_topic("t", partitions=2)
    room.produce(3, partition=0)
    room.produce(3, partition=1)
    consumer = room.consumer()
    consumer.subscribe(["t"])
    decode = LogReader.decode
    calls: list[int] = []

    def interrupted(self: LogReader, batch: object) -> object:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return decode(self, batch)  # type: ignore[arg-type]

    monkeypatch.setattr(LogReader, "decode", interrupted)
    with pytest.raises(KeyboardInterrupt):
        consumer.poll(5)
    assert [consumer.position(T0), consumer.position(T1)] == [0, 0]
    assert sorted(read(consumer, 6)) == sorted(numbers(0, 3) * 2)


def test_a_commit_of_a_partition_that_is_not_owned_is_refused(room: Room) -> None:
    room.admin.create_topic("t")
    room.admin.create_topic("other")
    consumer = room.consumer()
    consumer.subscribe(["t"])
    until_assigned(consumer, T0)
    with pytest.raises(IllegalGenerationError, match="other-0"):
        consumer.commit({T0: 7, TopicPartition("other", 0): 7})
    assert room.committed() == {"t-0": 0}


@pytest.mark.parametrize("partition", [TopicPartition("ghost", 0), TopicPartition("t", 7), TopicPartition("t", -1)])
def test_a_commit_for_what_does_not_exist_is_refused(room: Room, partition: TopicPartition) -> None:
    room.admin.create_topic("t")
    consumer = room.consumer()
    consumer.assign({T0: 0})
    with pytest.raises(UnknownTopicOrPartitionError):
        consumer.commit({T0: 1, partition: 1})
    assert room.committed() == {"t-0": 1}


def test_a_commit_that_changes_nothing_is_still_refused_to_a_fenced_member(room: Room) -> None:
    room.admin.create_topic("t")
    room.produce(2)
    consumer = room.consumer({"enable.auto.commit": "false"})
    consumer.subscribe(["t"])
    read(consumer, 2)
    consumer.commit()
    room.expire(consumer)
    with pytest.raises(UnknownMemberIdError):
        consumer.commit()
    with pytest.raises(UnknownMemberIdError):
        consumer.commit({T0: 2})
    assert room.committed() == {"t-0": 2}


def test_a_commit_of_nothing_new_does_not_go_through_all_topics(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    room.admin.create_topic("t")
    room.produce(3)
    consumer = room.consumer({"enable.auto.commit": "false"})
    consumer.subscribe(["t"])
    read(consumer, 3)
    consumer.commit()
    assert room.committed() == {"t-0": 3}

    def gone_through(_self: Catalog) -> dict[str, str]:
        raise AssertionError("there may be tens of thousands")

    monkeypatch.setattr(Catalog, "topic_ids", gone_through)
    consumer.commit()


def test_a_commit_of_a_static_member_whose_place_was_taken_says_so(room: Room) -> None:
    """As Kafka does. It was told that it had been expired, as it did not move."""
    room.admin.create_topic("t")
    room.produce(2)
    config = {"group.instance.id": "one", "enable.auto.commit": "false"}
    first, second = room.consumer(config), room.consumer(config)
    first.subscribe(["t"])
    read(first, 2)
    second.subscribe(["t"])
    read(second, 2)
    with pytest.raises(FencedInstanceIdError, match="Another member joined"):
        first.commit()
    second.commit()
    assert room.committed() == {"t-0": 2}


def test_without_a_group_there_is_nothing_to_commit_to(room: Room) -> None:
    room.admin.create_topic("t")
    with EmbeddedCluster(str(room.directory)) as cluster, cluster.consumer() as consumer:
        consumer.assign({T0: 0})
        with pytest.raises(InvalidGroupIdError):
            consumer.commit()
        with pytest.raises(InvalidGroupIdError):
            consumer.committed([T0])


# ------------------------------------------------------------------------------------ assigned by hand, with a group id


def test_assigned_by_hand_it_commits_and_is_no_member(room: Room) -> None:
    room.admin.create_topic("t", partitions=2)
    room.produce(4)
    consumer = room.consumer({"enable.auto.commit": "false"})
    consumer.assign({T0: 1})
    assert read(consumer, 3) == numbers(1, 4)
    consumer.commit()
    consumer.commit({T1: 9})
    assert room.committed() == {"t-0": 4, "t-1": 9}
    assert room.admin.describe_group("g").state == "Empty"


def test_assigned_by_hand_it_commits_by_itself_too(room: Room) -> None:
    """On the interval and on close, as with a subscription."""
    room.admin.create_topic("t")
    room.produce(4)
    consumer = room.consumer({"auto.commit.interval.ms": "0"})
    consumer.assign({T0: 0})
    assert consumer.poll(5, max_records=3)
    consumer.poll(0)
    assert room.committed() == {"t-0": 3}
    consumer.close()
    assert room.committed() == {"t-0": 4}


def test_a_commit_by_hand_to_a_live_group_is_refused(room: Room) -> None:
    room.admin.create_topic("t")
    member, other = room.consumer(), room.consumer()
    member.subscribe(["t"])
    until_assigned(member, T0)
    other.assign({T0: 0})
    with pytest.raises(UnknownMemberIdError):
        other.commit({T0: 3})
    other.close()
    assert room.committed() == {"t-0": 0}


def test_a_commit_by_hand_does_not_wait_for_the_dead(room: Room) -> None:
    """A member that was killed, and nobody there to notice."""
    room.admin.create_topic("t")
    member, other = room.consumer(), room.consumer()
    member.subscribe(["t"])
    until_assigned(member, T0)
    lease = member._member and member._member._lease
    assert lease
    lease.release(keep_file=True)
    member._member = None
    other.assign({T0: 0})
    other.commit({T0: 3})
    assert room.committed() == {"t-0": 3}


def test_what_was_reset_meanwhile_is_committed_again(room: Room) -> None:
    """A commit says what shall be, whatever this consumer has written before."""
    room.admin.create_topic("t")
    consumer = room.consumer()
    consumer.assign({T0: 0})
    consumer.commit({T0: 5})
    room.admin.alter_group_offsets("g", {T0: 1})
    consumer.commit({T0: 5})
    assert room.committed() == {"t-0": 5}


def test_assigning_by_hand_leaves_the_group(room: Room) -> None:
    room.admin.create_topic("t", partitions=2)
    room.produce(2)
    consumer = room.consumer()
    consumer.subscribe(["t"])
    read(consumer, 2)
    consumer.assign({T1: 0})
    assert consumer.assignment() == (T1,)
    assert room.admin.describe_group("g").state == "Empty"
    assert room.committed() == {"t-0": 2, "t-1": 0}


# -------------------------------------------------------------------------------------------------- pause, resume, seek


def test_what_is_paused_is_kept_and_not_read(room: Room) -> None:
    room.admin.create_topic("t", partitions=2)
    consumer = room.consumer()
    consumer.subscribe(["t"])
    until_assigned(consumer, T0, T1)
    consumer.pause([T0])
    room.produce(2, partition=0)
    room.produce(2, partition=1, first=10)
    assert read(consumer, 2) == numbers(10, 12)
    assert consumer.poll(0.05) == []
    assert consumer.assignment() == (T0, T1)
    consumer.resume([T0])
    assert read(consumer, 2) == numbers(0, 2)


def test_a_pause_outlasts_a_rebalance_that_leaves_the_partition(room: Room) -> None:
    room.admin.create_topic("t", partitions=2)
    settings = {"partition.assignment.strategy": "CooperativeStickyAssignor"}
    first = room.consumer(settings)
    first.subscribe(["t"])
    until_assigned(first, T0, T1)
    first.pause([T0, T1])
    second = room.consumer(settings)
    second.subscribe(["t"])
    room.produce(2, partition=0)
    room.produce(2, partition=1)
    assert len(read(second, 2, first)) == 2  # what went to the second is not paused there
    assert first.poll(0.05) == []
    assert len(first.assignment()) == 1


def test_a_seek_decides_what_comes_next_and_what_is_committed(room: Room) -> None:
    room.admin.create_topic("t")
    room.produce(5)
    consumer = room.consumer()
    consumer.subscribe(["t"])
    read(consumer, 5)
    consumer.seek(T0, 1)
    assert consumer.position(T0) == 1
    assert consumer.poll(5, max_records=2)[0].values == numbers(1, 3)
    consumer.close()
    assert room.committed() == {"t-0": 3}


# ------------------------------------------------------------------------------------------------------------ callbacks


def test_callbacks_tell_what_comes_and_goes_in_order(room: Room) -> None:
    room.admin.create_topic("t", partitions=2)
    first, second = room.consumer(client_id="a"), room.consumer(client_id="b")
    one, two = Events(first), Events(second)
    first.subscribe(["t"])
    until_assigned(first, T0, T1)
    second.subscribe(["t"])
    deadline = time.monotonic() + 60
    while not two.told:
        assert time.monotonic() < deadline
        first.poll(0.01), second.poll(0.01)
    first.close()
    until_assigned(second, T0, T1)
    second.close()
    assert one.told == [("assigned", "t-0 t-1"), ("revoked", "t-1"), ("revoked", "t-0")]
    assert two.told == [("assigned", "t-1"), ("assigned", "t-0"), ("revoked", "t-0 t-1")]


def test_in_the_revoked_callback_offsets_can_be_committed(room: Room) -> None:
    room.admin.create_topic("t")
    room.produce(3)
    consumer = room.consumer({"enable.auto.commit": "false"})
    consumer.on_rebalance(revoked=lambda partitions: consumer.commit(dict.fromkeys(partitions, 2)))
    consumer.subscribe(["t"])
    read(consumer, 3)
    consumer.close()
    assert room.committed() == {"t-0": 2}


def test_an_expired_consumer_is_told_that_it_lost_everything_and_goes_on(room: Room) -> None:
    room.admin.create_topic("t", partitions=2)
    room.produce(4)
    consumer = room.consumer()
    events = Events(consumer)
    consumer.subscribe(["t"])
    read(consumer, 4)
    room.expire(consumer)
    assert read(consumer, 4) == numbers(0, 4)  # nothing of it was committed
    assert events.told == [("assigned", "t-0 t-1"), ("lost", "t-0 t-1"), ("assigned", "t-0 t-1")]


def test_a_consumer_of_a_group_waits_for_a_data_directory_that_went_away(room: Room) -> None:
    room.admin.create_topic("t")
    room.produce(2)
    consumer = room.consumer(enable_auto_commit="false")
    consumer.subscribe(["t"])
    read(consumer, 2)
    consumer.commit()
    away = room.directory.with_name("away")
    room.directory.rename(away)
    consumer.seek(TopicPartition("t", 0), 0)
    assert not consumer.poll(0.4)
    assert not room.directory.exists()
    away.rename(room.directory)
    room.produce(2, first=2)
    assert read(consumer, 2) == numbers(2, 4)


def test_who_joins_where_the_data_directory_has_gone_is_told_so(room: Room) -> None:
    room.admin.create_topic("t")
    consumer, away = room.consumer(), room.directory.with_name("away")
    room.directory.rename(away)
    with pytest.raises(StorageError, match="data does not exist: is its disk mounted"):
        consumer.subscribe(["t"])
    assert not room.directory.exists()
    away.rename(room.directory)


def test_an_expired_consumer_that_closes_was_not_asked_to_give_up(room: Room) -> None:
    """Nothing is its own any more: it commits nothing, and is told so."""
    room.admin.create_topic("t")
    room.produce(2)
    consumer = room.consumer()
    events = Events(consumer)
    consumer.subscribe(["t"])
    read(consumer, 2)
    room.expire(consumer)
    consumer.close()
    assert events.told[1:] == [("lost", "t-0")]
    assert room.committed() == {"t-0": 0}


def test_a_callback_that_raises_does_not_keep_the_membership(room: Room) -> None:
    room.admin.create_topic("t")
    consumer = room.consumer()
    consumer.subscribe(["t"])
    until_assigned(consumer, T0)

    def fail(_partitions: Sequence[TopicPartition]) -> None:
        raise RuntimeError("the application's own")

    consumer.on_rebalance(revoked=fail)
    with pytest.raises(RuntimeError, match="own"):
        consumer.close()
    assert room.admin.describe_group("g").state == "Empty"
    assert "heartbeat" not in [thread.name for thread in threading.enumerate()]


def test_records_gathered_while_a_member_was_expired_are_not_delivered(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frozen between reading and returning: somebody else owns the partition by then."""
    room.admin.create_topic("t")
    consumer = room.consumer({"auto.commit.interval.ms": "0"})
    events = Events(consumer)
    consumer.subscribe(["t"])
    until_assigned(consumer, T0)
    consumer.poll(0)
    collect = EmbeddedConsumer._collect
    taken_by: list[EmbeddedConsumer] = []

    def frozen_inside(self: EmbeddedConsumer, limit: int) -> object:
        found = collect(self, limit)
        if found and self is consumer and not taken_by:
            room.expire(consumer)
            taken_by.append(room.consumer())
            taken_by[0].subscribe(["t"])
            until_assigned_and_read.extend(read(taken_by[0], 3))
        return found

    until_assigned_and_read: list[bytes] = []
    monkeypatch.setattr(EmbeddedConsumer, "_collect", frozen_inside)
    room.produce(3)
    assert consumer.poll(1.0) == []
    assert until_assigned_and_read == numbers(0, 3)
    assert ("lost", "t-0") in events.told


# ------------------------------------------------------------------------------------------------------- topics that go


def test_a_topic_made_again_under_its_name_is_read_from_its_beginning(room: Room) -> None:
    """Between two polls it went and came: neither the old position nor the old commit is taken for the new topic's."""
    room.admin.create_topic("t")
    room.produce(5)
    consumer = room.consumer({"auto.commit.interval.ms": "0"})
    consumer.subscribe(["t"])
    read(consumer, 5)
    room.admin.delete_topic("t")
    room.admin.create_topic("t")
    room.produce(3, first=100)
    assert read(consumer, 3) == numbers(100, 103)
    consumer.close()
    assert room.committed() == {"t-0": 3}


def test_a_position_in_a_topic_that_was_made_again_is_not_committed_for_the_new_one(room: Room) -> None:
    room.admin.create_topic("t")
    room.admin.create_topic("u")
    room.produce(5)
    room.produce(5, topic="u")
    consumer = room.consumer()
    consumer.subscribe(["t", "u"])
    read(consumer, 10)
    room.admin.delete_topic("t")
    room.admin.create_topic("t")
    consumer.close()
    assert room.committed() == {"u-0": 5}


def test_a_commit_for_a_topic_that_was_made_again_is_refused(room: Room) -> None:
    """What was read was another topic's."""
    room.admin.create_topic("t")
    room.produce(5)
    consumer = room.consumer({"enable.auto.commit": "false"})
    consumer.subscribe(["t"])
    read(consumer, 5)
    room.admin.delete_topic("t")
    room.admin.create_topic("t")
    with pytest.raises(UnknownTopicOrPartitionError):
        consumer.commit({T0: 5})
    assert room.committed() == {}


def test_what_a_poll_has_gathered_is_not_committed_in_its_middle(room: Room) -> None:
    """Where a topic is found to have been made again, only its own beginning is committed there and then."""
    room.admin.create_topic("t")
    room.admin.create_topic("u")
    room.produce(3)
    consumer = room.consumer()
    consumer.subscribe(["t", "u"])
    read(consumer, 3)
    room.admin.delete_topic("u")
    room.admin.create_topic("u")
    room.produce(3, first=3)
    consumer._turn = 1  # t comes first in the next poll
    while not (found := consumer.poll(1.0)):
        pass
    assert found[0].topic == "t"
    assert room.committed() == {"t-0": 0, "u-0": 0}


def test_a_pattern_without_a_group_follows_a_topic_that_was_made_again(room: Room) -> None:
    room.admin.create_topic("t")
    room.produce(2)
    with EmbeddedCluster(str(room.directory)) as cluster, cluster.consumer() as consumer:
        consumer.subscribe(pattern=re.compile("t"), start=OffsetAt.EARLIEST)
        assert read(consumer, 2) == numbers(0, 2)
        room.admin.delete_topic("t")
        room.admin.create_topic("t")
        room.produce(2, first=10)
        assert read(consumer, 2) == numbers(10, 12)


@pytest.mark.parametrize("when", ["before it is looked up", "before it is opened"])
def test_a_topic_that_goes_while_a_pattern_takes_it_in_is_left_out(
    room: Room, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """It was listed, and is deleted then: it is not made anew, and what else the pattern covers is read on."""
    room.admin.create_topic("t1")
    room.produce(2, topic="t1")
    with EmbeddedCluster(str(room.directory)) as cluster, cluster.consumer() as consumer:
        consumer.subscribe(pattern=re.compile("t.*"), start=OffsetAt.EARLIEST)
        assert read(consumer, 2) == numbers(0, 2)
        struck = "_partitions_of" if when == "before it is looked up" else "_add"
        doing = getattr(EmbeddedConsumer, struck)

        def too_late(self: EmbeddedConsumer, what: str | TopicPartition, *rest: object, **how: object) -> object:
            if (what if isinstance(what, str) else what.topic) == "t2":
                monkeypatch.undo()
                room.admin.delete_topic("t2")
            return doing(self, what, *rest, **how)

        monkeypatch.setattr(EmbeddedConsumer, struck, too_late)
        room.admin.create_topic("t2")
        room.produce(2, topic="t1", first=2)
        assert read(consumer, 2) == numbers(2, 4)
        while getattr(EmbeddedConsumer, struck) is too_late:  # the catalogue is looked at now and then
            consumer.poll(0.01)
        room.produce(2, topic="t1", first=4)
        assert read(consumer, 2) == numbers(4, 6)
        assert [each.name for each in room.admin.list_topics() if each.name != "__consumer_offsets"] == ["t1"]
        room.admin.create_topic("t2")
        room.produce(2, topic="t2", first=6)
        assert read(consumer, 2) == numbers(6, 8)


@pytest.mark.parametrize("group", ["g", ""])
def test_a_topic_that_goes_between_a_batch_and_a_look_at_its_transaction_is_left_out(
    room: Room, monkeypatch: pytest.MonkeyPatch, group: str
) -> None:
    """Who reads committed records only looks there again before a batch is delivered."""
    for topic in ("t", "u"):
        room.admin.create_topic(topic)
    settings = {"isolation.level": "read_committed"} | ({"group.id": group} if group else {})
    with EmbeddedCluster(str(room.directory)) as cluster, cluster.consumer(settings) as consumer:
        consumer.subscribe(pattern=re.compile("t|u"))
        until_assigned(consumer, T0, TopicPartition("u", 0))
        asking = PartitionReader.is_aborted

        def too_late(self: PartitionReader, batch: Batch) -> bool:
            if self.label == "u-0":
                monkeypatch.undo()
                room.admin.delete_topic("u")
            return asking(self, batch)

        monkeypatch.setattr(PartitionReader, "is_aborted", too_late)
        room.produce(2, topic="u", first=10)
        while PartitionReader.is_aborted is too_late:
            assert consumer.poll(0.01) == []
        room.produce(2)
        assert read(consumer, 2) == numbers(0, 2)


def test_a_topic_that_goes_before_its_reader_can_seek_in_it_is_left_out(room: Room) -> None:
    """Who is told of its partitions by a callback and says where to begin (auto.offset.reset none) can't, then."""
    for topic in ("t", "u"):
        room.admin.create_topic(topic)
        room.produce(2, topic=topic)
    consumer = room.consumer({"auto.offset.reset": "none"})

    def seek(partitions: Sequence[TopicPartition]) -> None:
        room.admin.delete_topic("u")
        for partition in partitions:
            with suppress(UnknownTopicOrPartitionError):
                consumer.seek(partition, OffsetAt.EARLIEST)

    consumer.on_rebalance(assigned=seek)
    consumer.subscribe(["t", "u"])
    assert read(consumer, 2) == numbers(0, 2)


def test_a_commit_for_a_topic_that_is_gone_keeps_back_no_other(room: Room) -> None:
    """As a broker does it, and tells which it refused."""
    for topic in ("t", "u", "v"):
        room.admin.create_topic(topic)
        room.produce(3, topic=topic)
    consumer = room.consumer({"enable.auto.commit": "false"})
    consumer.subscribe(["t", "u", "v"])
    read(consumer, 9)
    room.admin.delete_topic("u")
    offsets = {TopicPartition(topic, 0): 3 for topic in ("t", "u", "v")}
    with pytest.raises(UnknownTopicOrPartitionError, match="Topic u does not exist"):
        consumer.commit(offsets)
    assert room.committed() == {"t-0": 3, "v-0": 3}


def test_a_topic_deleted_while_it_is_taken_is_no_error(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between being told to take a partition and opening it, its topic goes, and comes again."""
    room.admin.create_topic("t")
    room.admin.create_topic("u")
    consumer = room.consumer()
    consumer.subscribe(["t", "u"])
    begin = MemberConsumer._begin
    times: list[int] = []

    def too_late(self: MemberConsumer, partitions: Sequence[TopicPartition]) -> None:
        if not times:
            times.append(1)
            room.admin.delete_topic("t")
            begin(self, partitions)
            room.admin.create_topic("t")
            return
        begin(self, partitions)

    monkeypatch.setattr(MemberConsumer, "_begin", too_late)
    told: list[TopicPartition] = []
    consumer.on_rebalance(assigned=told.extend)
    consumer.poll(0.05)
    room.produce(2)
    assert read(consumer, 2) == numbers(0, 2)
    assert sorted(told) == [T0, TopicPartition("u", 0)], "each was told once, when it could be read"


def test_who_reads_a_topic_that_was_made_again_is_told(room: Room) -> None:
    """The group has the same partitions before and after."""
    room.admin.create_topic("t")
    consumer = room.consumer()
    told: list[tuple[str, Sequence[TopicPartition]]] = []
    consumer.on_rebalance(
        assigned=lambda those: told.append(("assigned", those)),
        revoked=lambda those: told.append(("revoked", those)),
        lost=lambda those: told.append(("lost", those)),
    )
    consumer.subscribe(["t"])
    room.produce(2)
    read(consumer, 2)
    room.admin.delete_topic("t")
    room.admin.create_topic("t")
    room.produce(2, first=10)
    assert read(consumer, 2) == numbers(10, 12)
    assert told == [("assigned", [T0]), ("lost", [T0]), ("assigned", [T0])]


# --------------------------------------------------------------------------------------------- subscribing, and failing


def test_a_subscription_can_be_changed(room: Room) -> None:
    room.admin.create_topic("t")
    room.admin.create_topic("u")
    room.produce(2)
    room.produce(2, topic="u", first=10)
    consumer = room.consumer()
    events = Events(consumer)
    consumer.subscribe(["t"])
    read(consumer, 2)
    consumer.subscribe(["u"])
    assert read(consumer, 2) == numbers(10, 12)
    assert events.told == [("assigned", "t-0"), ("revoked", "t-0"), ("assigned", "u-0")]
    assert room.committed() == {"t-0": 2, "u-0": 0}
    assert len(room.admin.describe_group("g").members) == 1


def test_subscribing_to_what_does_not_exist_changes_nothing(room: Room) -> None:
    room.admin.create_topic("t")
    consumer = room.consumer({"allow.auto.create.topics": "false"})
    events = Events(consumer)
    consumer.subscribe(["t"])
    until_assigned(consumer, T0)
    with pytest.raises(UnknownTopicOrPartitionError):
        consumer.subscribe(["ghost"])
    room.produce(2)
    assert read(consumer, 2) == numbers(0, 2)
    assert events.told == [("assigned", "t-0")]


def test_a_consumer_that_was_refused_is_not_subscribed(room: Room) -> None:
    room.admin.create_topic("t")
    first = room.consumer({"partition.assignment.strategy": "RangeAssignor"})
    first.subscribe(["t"])
    until_assigned(first, T0)
    other = room.consumer({"partition.assignment.strategy": "RoundRobinAssignor"})
    with pytest.raises(InconsistentGroupProtocolError):
        other.subscribe(["t"])
    assert other.poll(0.01) == []
    assert len(room.admin.describe_group("g").members) == 1
    first.close()
    other.subscribe(["t"])
    until_assigned(other, T0)


def test_a_closed_consumer_reads_nothing(room: Room) -> None:
    room.admin.create_topic("t")
    room.produce(2)
    consumer = room.consumer()
    consumer.subscribe(["t"])
    consumer.close()
    assert consumer.poll(0.15) == []
    consumer.close()


@pytest.mark.parametrize("group", [" padded ", "..", "a/b\n"])
def test_a_group_id_is_taken_as_it_is(room: Room, group: str) -> None:
    """Kafka trims numbers and lists, and not names."""
    room.admin.create_topic("t")
    with room.consumer({"group.id": group}) as consumer:
        consumer.subscribe(["t"])
        until_assigned(consumer, T0)
    assert [each.group_id for each in room.admin.list_groups()] == [group]


@pytest.mark.parametrize("group", ["", " ", "\n"])
def test_a_group_id_without_a_letter_is_refused(room: Room, group: str) -> None:
    """As by Kafka 4.3's console consumer, where the consumer is made."""
    with pytest.raises(InvalidGroupIdError, match=r"should not be an empty string or whitespace\."):
        room.consumer({"group.id": group})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("session.timeout.ms", "0"),
        ("session.timeout.ms", "-1"),
        ("session.timeout.ms", "soon"),
        ("heartbeat.interval.ms", "-1"),
        ("partition.assignment.strategy", ""),
        ("partition.assignment.strategy", "com.example.Mine"),
        ("group.protocol", "streams"),
        ("auto.offset.reset", "Earliest"),
        ("auto.offset.reset", "by_duration:1h"),
    ],
)
def test_settings_that_can_not_be_honoured_are_refused(room: Room, name: str, value: str) -> None:
    with pytest.raises(InvalidConfigError):
        room.consumer({name: value})


def test_a_heartbeat_interval_of_nothing_does_not_spin(room: Room) -> None:
    room.admin.create_topic("t")
    consumer = room.consumer({"heartbeat.interval.ms": "0"})
    consumer.subscribe(["t"])
    member = consumer._member
    assert member is not None
    (heart,) = [thread for thread in threading.enumerate() if thread.name == "heartbeat"]
    clock = time.pthread_getcpuclockid(heart.ident or 0)
    before, until = time.clock_gettime(clock), time.monotonic() + 0.3
    while time.monotonic() < until:
        consumer.poll(0.05)
    assert time.clock_gettime(clock) - before < 0.1


@pytest.mark.parametrize("first", [{"group.protocol": "consumer"}, {}])
@pytest.mark.parametrize("remote", [{}, {"group.remote.assignor": "uniform"}])
def test_members_of_both_protocols_share_a_group(room: Room, first: dict[str, str], remote: dict[str, str]) -> None:
    room.admin.create_topic("t", partitions=2)
    second = {} if first else {"group.protocol": "consumer"}
    consumers = [room.consumer(each | (remote if each else {})) for each in (first, second)]
    for each in consumers:
        each.subscribe(["t"])
    for _ in range(200):
        for each in consumers:
            each.poll(0.01)
        if sorted(len(each.assignment) for each in room.admin.describe_group("g").members) == [1, 1]:
            return
    raise AssertionError(room.admin.describe_group("g"))


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_both_protocols_read_alike(room: Room, protocol: str) -> None:
    room.admin.create_topic("t", partitions=2)
    room.produce(3)
    consumer = room.consumer({"group.protocol": protocol})
    consumer.subscribe(["t"])
    assert read(consumer, 3) == numbers(0, 3)
    found = room.admin.describe_group("g")
    assert (found.type, found.state) == (protocol.title(), "Stable")
    assert found.assignor == {"classic": "range", "consumer": "uniform"}[protocol]
    consumer.close()
    assert room.admin.describe_group("g").assignor == {"classic": "", "consumer": "uniform"}[protocol]
