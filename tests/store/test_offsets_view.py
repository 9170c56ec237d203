"""``__consumer_offsets`` of a directory: a view of what the groups have committed, in the bytes of Kafka's records."""

from __future__ import annotations

import base64
import subprocess
import sys
from pathlib import Path

import pytest

from pykafka_store.embedded.cluster import EmbeddedCluster
from pykafka_store.embedded.replication.offsets_view import partition_of
from pykafka_store.errors import CorruptRecordError, UnknownTopicOrPartitionError
from pykafka_store.format.coordinator_records import (
    Member,
    group_metadata_key,
    group_metadata_value,
    offset_commit_key,
    offset_commit_value,
    parse_key,
    parse_value,
)
from pykafka_store.model import OFFSETS_TOPIC, OffsetAt, Record, TopicPartition

COMMIT = base64.b64decode("AAQAAAAAAAAAAwAAAAABAAABoidvwMsBABC3I3xqWvlOXI5hwX9AW8Bh")
JOINED = base64.b64decode(
    "AAMACGNvbnN1bWVyAAAAAQAFcmFuZ2UANWNvbnNvbGUtY29uc3VtZXItZGRlNmY3OTMtMzlkZS00N2ViLTkwNjEtYWQxZjVhYjAwMjUyAAABoidw"
    "BzwAAAABADVjb25zb2xlLWNvbnN1bWVyLWRkZTZmNzkzLTM5ZGUtNDdlYi05MDYxLWFkMWY1YWIwMDI1Mv//ABBjb25zb2xlLWNvbnN1bWVyAAov"
    "MTI3LjAuMC4xAAST4AAAr8gAAAAYAAMAAAABAAJpbv////8AAAAA////////AAAAGgADAAAAAQACaW4AAAACAAAAAAAAAAH/////"
)
"""What a broker of Kafka 4.3.1 wrote for a console consumer that read topic ``in`` of two partitions."""


def test_a_commit_is_packed_as_by_a_broker_and_read_as_by_its_formatter() -> None:
    topic_id = "tyN8alr5TlyOYcF_QFvAYQ"
    assert offset_commit_value(3, 0, "", 1795957965003, topic_id) == COMMIT
    assert parse_value(1, COMMIT) == (
        4, {"offset": 3, "leaderEpoch": 0, "metadata": "", "commitTimestamp": 1795957965003, "topicId": topic_id}
    )  # fmt: skip
    assert parse_key(offset_commit_key("g1", "in", 1)) == (1, {"group": "g1", "topic": "in", "partition": 1})


def test_a_groups_metadata_are_packed_as_by_a_broker() -> None:
    id = "console-consumer-dde6f793-39de-47eb-9061-ad1f5ab00252"
    member = Member(id, None, "console-consumer", "/127.0.0.1", 45_000, ["in"], {"in": [0, 1]})
    assert group_metadata_value(1, "range", [member], 1795957983036) == JOINED
    _, found = parse_value(2, JOINED)
    assert found is not None
    assert (found["leader"], found["protocol"], found["generation"]) == (id, "range", 1)
    assert parse_key(group_metadata_key("g")) == (2, {"group": "g"})


def test_older_and_newer_versions_of_values() -> None:
    old = b"\0\1" + (7).to_bytes(8, "big") + b"\0\1x" + bytes(16)
    assert parse_value(1, old) == (1, {"offset": 7, "metadata": "x", "commitTimestamp": 0, "expireTimestamp": 0})
    assert parse_value(1, b"\0\x09whatever") == (9, None)
    assert parse_key(b"\0\x08\0\1g") is None
    for cut in range(2, len(COMMIT)):
        with pytest.raises(CorruptRecordError):
            parse_value(1, COMMIT[:cut])


@pytest.mark.parametrize(("group", "partition"), [("g1", 42), ("g2", 43), ("app", 1), ("console-consumer-53867", 0)])
def test_a_group_is_where_a_broker_keeps_it(group: str, partition: int) -> None:
    """As a broker of Kafka 4.3.1 did."""
    assert partition_of(group, 50) == partition


def read(cluster: EmbeddedCluster, partition: int, start: OffsetAt = OffsetAt.EARLIEST) -> list[Record]:
    with cluster.consumer() as consumer:
        consumer.assign({TopicPartition(OFFSETS_TOPIC, partition): start})
        return [record for run in consumer.poll(0.0) for record in run]


def test_it_is_listed_as_soon_as_there_is_a_group_and_read_by_changes(tmp_path: Path) -> None:
    here = TopicPartition(OFFSETS_TOPIC, 42)
    with EmbeddedCluster(str(tmp_path / "data")) as cluster, EmbeddedCluster(str(tmp_path / "data")) as other:
        admin = cluster.admin()
        admin.create_topic("in")
        with cluster.consumer() as early:
            early.assign({here: OffsetAt.LATEST})
            assert admin.list_groups() == []  # whoever looks makes no group
            assert [each.name for each in admin.list_topics()] == ["in"]
            assert [each.name for each in admin.describe_topics()] == ["in"]
            other.admin().alter_group_offsets("g1", {TopicPartition("in", 0): 0})
            assert [(each.name, each.internal) for each in admin.list_topics()] == [
                (OFFSETS_TOPIC, True),
                ("in", False),
            ]
            view, _ = admin.describe_topics()
            assert (len(view.partitions), view.topic_id) == (50, other.admin().list_topics()[0].topic_id)
            first = [parse_key(record.key or b"") for run in early.poll(0.0) for record in run]
            assert first == [(2, {"group": "g1"}), (1, {"group": "g1", "topic": "in", "partition": 0})]
            assert early.poll(0.0) == []
            other.admin().delete_group_offsets("g1", [TopicPartition("in", 0)])
            (gone,) = [record for run in early.poll(0.0) for record in run]
            assert (gone.offset, gone.value) == (2, None)
            assert early.end_offsets([here]) == {here: 3}
        assert [record.offset for record in read(cluster, 42)] == [0]  # the group itself, for whoever comes later
        assert read(cluster, 42, OffsetAt.LATEST) == read(cluster, 41) == []
        assert admin.list_offsets({here: OffsetAt.LATEST, TopicPartition(OFFSETS_TOPIC, 41): OffsetAt.EARLIEST}) == {
            here: 1, TopicPartition(OFFSETS_TOPIC, 41): 0
        }  # fmt: skip
        (missing,) = admin.list_offsets({TopicPartition(OFFSETS_TOPIC, 50): OffsetAt.LATEST}).values()
        assert isinstance(missing, UnknownTopicOrPartitionError)


def test_who_may_only_read_sees_it_too(tmp_path: Path) -> None:
    with EmbeddedCluster(str(tmp_path / "data")) as cluster:
        cluster.admin().create_topic("in")
        cluster.admin().alter_group_offsets("g1", {TopicPartition("in", 0): 0})
    with EmbeddedCluster(str(tmp_path / "data"), read_only=True) as cluster:
        assert [each.name for each in cluster.admin().list_topics()] == [OFFSETS_TOPIC, "in"]
        assert len(read(cluster, 42)) == 2


def test_whoever_waits_for_it_is_told_of_a_commit_in_another_process(tmp_path: Path) -> None:
    commit = (
        "import sys; from pykafka_store import open_cluster, TopicPartition\n"
        "with open_cluster(sys.argv[1]) as c: c.admin().alter_group_offsets('g1', {TopicPartition('in', 0): 0})"
    )
    with EmbeddedCluster(str(tmp_path / "data")) as cluster, cluster.consumer() as consumer:
        cluster.admin().create_topic("in")
        consumer.subscribe([OFFSETS_TOPIC])
        other = subprocess.Popen([sys.executable, "-c", commit, f"file:{tmp_path / 'data'}"])
        found = [parse_key(record.key or b"") for run in consumer.poll(60.0) for record in run]
        assert other.wait(60) == 0
    assert (2, {"group": "g1"}) in found
