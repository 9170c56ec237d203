"""``__consumer_offsets`` on the port: internal, there with the first group, and read as it is from the directory."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]  # it is there, in no __all__

from pykafka_store.embedded.groups.database import GroupDatabase
from pykafka_store.embedded.replication.offsets_view import OffsetsReader, partition_of
from pykafka_store.format.batch import decode_records, split_batches
from pykafka_store.format.coordinator_records import parse_key
from pykafka_store.model import OFFSETS_TOPIC
from pykafka_store.model import TopicPartition as Partition
from pykafka_store.wire.protocol import (
    DELETE_TOPICS,
    FETCH,
    LIST_OFFSETS,
    METADATA,
    OFFSET_COMMIT,
    OFFSET_FOR_LEADER_EPOCH,
    PRODUCE,
    Reply,
)
from tests.support.requests import World
from tests.support.served import PATIENCE, Served

UNKNOWN_TOPIC_OR_PARTITION, INVALID_TOPIC = 3, 17
OF_G = partition_of("g", 50)


def commit(world: World, topic: str = "there", offset: int = 1) -> int:
    partition = {"partition_index": 0, "committed_offset": offset, "committed_leader_epoch": -1}
    topics = [{"name": topic, "partitions": [partition]}]
    answer = world.ask(OFFSET_COMMIT, 8, group_id="g", generation_id_or_member_epoch=-1, topics=topics)
    return int(answer.topics[0].partitions[0].error_code)


def shown(world: World, topics: Any) -> dict[str, tuple[int, bool, int]]:
    """Name -> (error, whether internal, partitions)."""
    answer = world.ask(METADATA, 12, topics=topics, allow_auto_topic_creation=False)
    return {each.name: (each.error_code, each.is_internal, len(each.partitions)) for each in answer.topics}


def fetched(world: World, offset: int, **how: Any) -> Reply:
    (described,) = world.ask(METADATA, 12, topics=[{"name": OFFSETS_TOPIC}]).topics
    partition = {"partition": OF_G, "current_leader_epoch": 0, "fetch_offset": offset, "partition_max_bytes": 1 << 20}
    topics = [{"topic_id": described.topic_id, "partitions": [partition | how]}]
    return world.ask(FETCH, 13, max_bytes=1 << 20, topics=topics).responses[0].partitions[0]  # type: ignore[no-any-return]


def records(answer: Reply) -> list[tuple[int, Any]]:
    """(offset, key)"""
    assert answer.error_code == 0
    runs = [decode_records(batch, OFFSETS_TOPIC, OF_G) for batch in split_batches(bytes(answer.records))]
    return [(offset, parse_key(key or b"")) for run in runs for offset, key in zip(run.offsets, run.keys, strict=True)]


def test_it_is_listed_as_internal_once_there_is_a_group(world: World) -> None:
    assert shown(world, None) == {"there": (0, False, 2)}
    assert shown(world, [{"name": OFFSETS_TOPIC}])[OFFSETS_TOPIC][0] == UNKNOWN_TOPIC_OR_PARTITION
    assert commit(world) == 0
    assert shown(world, None) == {"there": (0, False, 2), OFFSETS_TOPIC: (0, True, 50)}
    assert shown(world, [{"name": OFFSETS_TOPIC}]) == {OFFSETS_TOPIC: (0, True, 50)}


def test_what_is_committed_is_read_by_name_of_the_group(world: World) -> None:
    commit(world)
    committed = (1, {"group": "g", "topic": "there", "partition": 0})
    found = records(fetched(world, 0))
    assert [key for _, key in found] == [(2, {"group": "g"}), committed]
    assert records(fetched(world, 2)) == []
    commit(world, offset=2)
    assert records(fetched(world, 2)) == [(2, committed)]
    assert records(fetched(world, 0, partition_max_bytes=1)) == found  # the first batch, whole
    asking = {"partition_index": OF_G, "current_leader_epoch": 0, "timestamp": -1}
    answer = world.ask(LIST_OFFSETS, 7, topics=[{"name": OFFSETS_TOPIC, "partitions": [asking]}])
    assert (answer.topics[0].partitions[0].offset, answer.topics[0].partitions[0].leader_epoch) == (3, 0)
    asking = {"partition": OF_G, "current_leader_epoch": 0, "leader_epoch": 0}
    answer = world.ask(OFFSET_FOR_LEADER_EPOCH, 4, topics=[{"topic": OFFSETS_TOPIC, "partitions": [asking]}])
    assert (answer.topics[0].partitions[0].leader_epoch, answer.topics[0].partitions[0].end_offset) == (0, 3)


def test_nobody_writes_to_it_commits_for_it_or_deletes_it(world: World) -> None:
    commit(world)
    data = {"index": 0, "records": b"x"}
    produced = world.ask(PRODUCE, 9, acks=1, topic_data=[{"name": OFFSETS_TOPIC, "partition_data": [data]}])
    assert produced.responses[0].partition_responses[0].error_code == INVALID_TOPIC
    assert commit(world, OFFSETS_TOPIC) == UNKNOWN_TOPIC_OR_PARTITION
    deleted = world.ask(DELETE_TOPICS, 4, topic_names=[OFFSETS_TOPIC])
    assert deleted.responses[0].error_code != 0
    assert OFFSETS_TOPIC in shown(world, None)


def test_a_reader_that_goes_on_for_ever_keeps_what_is_new(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pykafka_store.embedded.replication.offsets_view._MOST_KEPT", 2000)
    commit(world)
    reader = OffsetsReader(world.cluster.engine, Partition(OFFSETS_TOPIC, OF_G))
    ends = []
    for offset in range(2, 60):
        commit(world, offset=offset)
        end = reader.state().high_watermark
        left = reader.slice(0, 1 << 20)
        assert left is not None and len(left) < 3000
        newest = list(split_batches(bytes(left)))[-1].header
        assert newest.last_offset == end - 1
        ends.append(end)
    assert ends == sorted(set(ends))


def test_a_commit_is_looked_for_once_for_all_partitions_and_groups(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(30):
        world.cluster.admin().alter_group_offsets(f"group-{number}", {Partition("there", 0): 1})
    engine = world.cluster.engine
    readers = [OffsetsReader(engine, Partition(OFFSETS_TOPIC, number)) for number in range(50)]
    assert sum(reader.state().high_watermark for reader in readers) == 60
    asked = []
    ask = GroupDatabase._rows
    monkeypatch.setattr(GroupDatabase, "_rows", lambda self, sql, *some: asked.append(sql) or ask(self, sql, *some))
    for _ in range(2):
        commit(world)
        asked.clear()
        ends = [reader.state().high_watermark for reader in readers]
        assert len(asked) < 10, asked
    assert sum(ends) == 60 + 3  # the group, and two commits


def test_who_waits_for_commits_is_told_of_them(served: Served) -> None:
    admin = AdminClient({"bootstrap.servers": served.address})
    for done in admin.create_topics([NewTopic("t", num_partitions=1)]).values():
        done.result(PATIENCE)
    settings = {"bootstrap.servers": served.address, "group.id": "g", "enable.auto.commit": False}
    member, reader = Consumer(settings), Consumer({**settings, "group.id": "other", "fetch.wait.max.ms": 30_000})
    try:
        member.commit(offsets=[TopicPartition("t", 0, 0)], asynchronous=False)
        reader.assign([TopicPartition(OFFSETS_TOPIC, OF_G, 0)])
        for _ in range(2):
            message = reader.poll(PATIENCE)
            assert message is not None and message.error() is None
        member.commit(offsets=[TopicPartition("t", 0, 7)], asynchronous=False)
        message = reader.poll(PATIENCE)
        assert message is not None and message.error() is None
        assert parse_key(message.key() or b"") == (1, {"group": "g", "topic": "t", "partition": 0})  # type: ignore[arg-type]
    finally:
        reader.close()
        member.close()
