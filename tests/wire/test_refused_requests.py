"""Requests that say a thing twice, or not at all: nothing is done, and Apache Kafka 4.3.1's error codes are told."""

from __future__ import annotations

import struct
import uuid
from typing import Any

import pytest

from pykafka_store.format.batch import encode_batch
from pykafka_store.model import OFFSETS_TOPIC, ConfigResource, TopicPartition
from pykafka_store.wire.protocol import (
    ALTER_CONFIGS,
    CREATE_PARTITIONS,
    CREATE_TOPICS,
    DELETE_TOPICS,
    DESCRIBE_CONFIGS,
    DESCRIBE_TOPIC_PARTITIONS,
    FETCH,
    FIND_COORDINATOR,
    INCREMENTAL_ALTER_CONFIGS,
    INIT_PRODUCER_ID,
    LIST_CONFIG_RESOURCES,
    METADATA,
    OFFSET_COMMIT,
    OFFSET_FETCH,
    PRODUCE,
    Reply,
)
from tests.support.requests import World

CORRUPT_MESSAGE, UNSUPPORTED_VERSION, INVALID_REPLICA_ASSIGNMENT, INVALID_REQUEST = 2, 35, 39, 42
FETCH_SESSION_ID_NOT_FOUND, INVALID_RECORD, UNKNOWN_TOPIC_ID = 70, 87, 100
TOPIC, BROKER, LOGGER, CLIENT_METRICS, GROUP = 2, 4, 8, 16, 32
BATCH = b"".join(encode_batch([b"x"], timestamps=1).placed(0, 0))


def partitions(world: World) -> int:
    return len(world.cluster.admin().describe_topics(["there"])[0].partitions)


@pytest.mark.parametrize("how", [["there", "there"], ["there", "id"], ["nothing"], ["ids", "ids"]])
def test_a_topic_that_is_named_twice_or_not_at_all_is_not_deleted(world: World, how: list[str]) -> None:
    names: dict[str, dict[str, Any]] = {
        "there": {"name": "there"},
        "id": {"name": "there", "topic_id": world.topic_id},
        "ids": {"name": None, "topic_id": world.topic_id},
        "nothing": {"name": None},
    }
    topics = [names["id"]] if "id" in how else [names[each] for each in how]
    answer = world.ask(DELETE_TOPICS, 6, topics=topics, timeout=1000)
    assert [each.error_code for each in answer.responses] == [INVALID_REQUEST]
    assert partitions(world) == 2


def test_a_topic_that_is_to_grow_twice_does_not(world: World) -> None:
    answer = world.ask(CREATE_PARTITIONS, 3, topics=[{"name": "there", "count": count} for count in (5, 6)])
    assert [each.error_code for each in answer.results] == [INVALID_REQUEST]
    assert partitions(world) == 2


def test_a_resource_that_is_altered_twice_stays_as_it_is(world: World) -> None:
    setting = {"name": "retention.ms", "config_operation": 0, "value": "1000"}
    resource = {"resource_type": 2, "resource_name": "there", "configs": [setting]}
    answer = world.ask(INCREMENTAL_ALTER_CONFIGS, 1, resources=[resource, resource])
    assert [each.error_code for each in answer.responses] == [INVALID_REQUEST] * 2
    found = {each.name: each.value for each in world.cluster.admin().describe_configs(ConfigResource("topic", "there"))}
    assert found["retention.ms"] != "1000"


def test_an_assignment_has_all_partitions(world: World) -> None:
    topic = {"name": "new", "num_partitions": -1, "replication_factor": -1}
    topic["assignments"] = [{"partition_index": 1, "broker_ids": [0]}]
    answer = world.ask(CREATE_TOPICS, 7, topics=[topic], timeout=1000)
    assert [each.error_code for each in answer.topics] == [INVALID_REPLICA_ASSIGNMENT]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({}, 0),
        ({"producer_id": 7, "producer_epoch": 3}, 0),
        ({"producer_id": 7}, INVALID_REQUEST),
        ({"producer_epoch": 3}, INVALID_REQUEST),
        ({"transactional_id": ""}, INVALID_REQUEST),
    ],
)
def test_an_id_for_a_producer(world: World, fields: dict[str, Any], code: int) -> None:
    given = {"transactional_id": None, "producer_id": -1, "producer_epoch": -1} | fields
    assert world.ask(INIT_PRODUCER_ID, 5, **given).error_code == code


@pytest.mark.parametrize(
    ("records", "code"),
    [
        (BATCH, 0),
        (b"", INVALID_RECORD),
        (b"abc", INVALID_RECORD),
        (BATCH[:-3], INVALID_RECORD),
        (BATCH + BATCH, INVALID_RECORD),
        (BATCH[:16] + b"\1" + BATCH[17:], INVALID_RECORD),
        (BATCH[:16] + b"\3" + BATCH[17:], CORRUPT_MESSAGE),
        (BATCH[:-1] + b"!", CORRUPT_MESSAGE),
        (BATCH[:8] + struct.pack(">i", 0) + BATCH[12:], CORRUPT_MESSAGE),
        (BATCH[:8] + struct.pack(">i", -5) + BATCH[12:], CORRUPT_MESSAGE),
    ],
)
def test_what_is_no_batch_is_refused_for_good_and_what_was_damaged_may_come_again(
    world: World, records: bytes, code: int
) -> None:
    data = {"index": 0, "records": records}
    answer = world.ask(PRODUCE, 9, acks=1, topic_data=[{"name": "there", "partition_data": [data]}])
    assert answer.responses[0].partition_responses[0].error_code == code


@pytest.mark.parametrize(
    ("session", "epoch", "is_taken"),
    [(0, -1, True), (-1, -1, True), (7, -1, True), (7, 0, True), (0, 1, False), (7, 1, False), (0, -2, False)],
)
def test_nobody_goes_on_with_a_session_of_fetches(world: World, session: int, epoch: int, is_taken: bool) -> None:
    """A fetch that ends one, or begins one, asks for what it names: segmentio's kafka-go sends -1 for both."""
    partition = {"partition": 0, "fetch_offset": 0, "log_start_offset": -1, "partition_max_bytes": 1000}
    topics = [{"topic": "there", "partitions": [partition]}]
    named = {"session_id": session, "session_epoch": epoch, "max_bytes": 1000, "topics": topics}
    answer = world.ask(FETCH, 11, replica_id=-1, rack_id="", **named)
    code = 0 if is_taken else FETCH_SESSION_ID_NOT_FOUND
    assert (answer.error_code, len(answer.responses)) == (code, int(is_taken))


def test_topics_are_described_by_their_ids_where_the_answer_can_do_without_a_name(world: World) -> None:
    topic = {"name": "", "topic_id": uuid.UUID(int=7)}
    for version in (10, 11):  # of these the request has an id, and the answer no null for a name
        assert [each.error_code for each in world.ask(METADATA, version, topics=[topic]).topics] == [INVALID_REQUEST]
    assert [each.error_code for each in world.ask(METADATA, 12, topics=[topic]).topics] == [UNKNOWN_TOPIC_ID]


@pytest.mark.parametrize(("kind", "code"), [(0, 0), (1, 0), (2, UNSUPPORTED_VERSION), (9, INVALID_REQUEST)])
def test_coordinators_of_groups_and_transactions_there_are(world: World, kind: int, code: int) -> None:
    answer = world.ask(FIND_COORDINATOR, 6, key_type=kind, coordinator_keys=["x"])
    assert [getattr(each, "error_code", 0) for each in answer.coordinators] == [code]


def described(world: World, kind: int, name: str) -> tuple[int, list[str]]:
    """The error, and the names of the settings."""
    (found,) = world.ask(DESCRIBE_CONFIGS, 4, resources=[{"resource_type": kind, "resource_name": name}]).results
    return found.error_code, [each.name for each in found.configs]


@pytest.mark.parametrize("kind", [BROKER, LOGGER])
@pytest.mark.parametrize("name", ["99", "-1", "x", " 0", "2147483648", "0_0"])
def test_settings_of_a_broker_that_is_not_there_are_refused(world: World, kind: int, name: str) -> None:
    assert described(world, kind, name) == (INVALID_REQUEST, [])
    setting = {"name": "log.retention.ms", "config_operation": 0, "value": "1000"}
    for key, version in ((INCREMENTAL_ALTER_CONFIGS, 1), (ALTER_CONFIGS, 2)):
        resource = {"resource_type": kind, "resource_name": name, "configs": [setting]}
        assert [each.error_code for each in world.ask(key, version, resources=[resource]).responses] == [
            INVALID_REQUEST
        ]


@pytest.mark.parametrize("name", ["0", "00", "+0"])
def test_a_brokers_number_is_read_as_java_reads_it(world: World, name: str) -> None:
    assert described(world, BROKER, name) == described(world, BROKER, "0")
    assert described(world, BROKER, name)[0] == 0 and described(world, LOGGER, name) == (0, [])


@pytest.mark.parametrize("kind", [TOPIC, GROUP, CLIENT_METRICS])
@pytest.mark.parametrize("key", [INCREMENTAL_ALTER_CONFIGS, ALTER_CONFIGS])
def test_what_has_no_name_is_not_altered(world: World, kind: int, key: int) -> None:
    resource = {"resource_type": kind, "resource_name": "", "configs": []}
    assert [each.error_code for each in world.ask(key, 1, resources=[resource]).responses] == [INVALID_REQUEST]


def test_a_group_without_a_name_has_no_settings(world: World) -> None:
    assert described(world, GROUP, "") == (INVALID_REQUEST, [])


def test_the_offsets_topic_is_among_what_has_settings_and_no_kind_that_is_unknown(world: World) -> None:
    def listed(*kinds: int) -> Reply:
        return world.ask(LIST_CONFIG_RESOURCES, 1, resource_types=kinds)

    assert [each.resource_name for each in listed(TOPIC).config_resources] == ["there"]
    world.cluster.admin().alter_group_offsets("group", {TopicPartition("there", 0): 1})
    assert {each.resource_name for each in listed(TOPIC).config_resources} == {"there", OFFSETS_TOPIC}
    assert {each.resource_type for each in listed().config_resources} == {TOPIC, BROKER, LOGGER}
    refused = listed(TOPIC, 99)
    assert (refused.error_code, refused.config_resources) == (UNSUPPORTED_VERSION, [])


@pytest.mark.parametrize(("topic", "partition"), [("there", -1), ("there", -5), ("", 0), ("a", 0), ("zz", 0)])
def test_a_cursor_names_a_partition_of_a_topic_that_is_asked_for(world: World, topic: str, partition: int) -> None:
    cursor = {"topic_name": topic, "partition_index": partition}
    asked = {"response_partition_limit": 10, "cursor": cursor}
    (found,) = world.ask(DESCRIBE_TOPIC_PARTITIONS, 0, topics=[{"name": "there"}], **asked).topics
    assert (found.name, found.error_code, found.partitions) == ("there", INVALID_REQUEST, [])
    of_all = world.ask(DESCRIBE_TOPIC_PARTITIONS, 0, topics=[], **asked).topics
    assert len(of_all) == (partition >= 0 and topic <= "there")


@pytest.mark.parametrize(
    ("key", "version", "fields"),
    [
        (FETCH, 13, {"topics": [{"partitions": [{"partition": 0}]}]}),
        (PRODUCE, 13, {"acks": 1, "topic_data": [{"partition_data": [{"index": 0, "records": BATCH}]}]}),
        (OFFSET_COMMIT, 10, {"group_id": "g", "generation_id_or_member_epoch": -1, "topics": [{"partitions": [{}]}]}),
        (OFFSET_FETCH, 10, {"groups": [{"group_id": "g", "member_epoch": -1, "topics": [{"partition_indexes": [0]}]}]}),
    ],
)
def test_a_topic_id_of_zeros_is_unknown(world: World, key: int, version: int, fields: dict[str, Any]) -> None:
    answer = world.ask(key, version, **fields)
    topics = {FETCH: "responses", PRODUCE: "responses", OFFSET_COMMIT: "topics"}
    (topic,) = answer.groups[0].topics if key == OFFSET_FETCH else getattr(answer, topics[key])
    (partition,) = topic.partition_responses if key == PRODUCE else topic.partitions
    assert partition.error_code == UNKNOWN_TOPIC_ID
