"""What describes settings, groups and quotas, where clients other than Apache's ask or read it in another way."""

from __future__ import annotations

import pytest

from pykafka_store.wire.protocol import (
    ALTER_CLIENT_QUOTAS,
    CREATE_TOPICS,
    DESCRIBE_CLIENT_QUOTAS,
    DESCRIBE_CLUSTER,
    DESCRIBE_CONFIGS,
    DESCRIBE_GROUPS,
    SYNC_GROUP,
    pack_assignment,
    pack_subscription,
    parse_assignment,
)
from tests.support.requests import World

TOPIC, BROKER, CLIENT_METRICS, GROUP = 2, 4, 16, 32
GROUP_ID_NOT_FOUND = 69
NOT_ASKED = -(2**31)


@pytest.mark.parametrize("version", [1, 4])
@pytest.mark.parametrize(("kind", "name"), [(TOPIC, "there"), (BROKER, "0"), (CLIENT_METRICS, "sub"), (GROUP, "group")])
def test_who_asks_for_an_empty_list_of_settings_is_told_all(world: World, version: int, kind: int, name: str) -> None:
    """As JavaScript's @platformatic/kafka does it."""

    def names(keys: list[str] | None) -> list[str]:
        resource = {"resource_type": kind, "resource_name": name, "configuration_keys": keys}
        (found,) = world.ask(DESCRIBE_CONFIGS, version, resources=[resource]).results
        return [each.name for each in found.configs]

    everything = names(None)
    assert everything
    assert names([]) == everything
    assert names(everything[:1]) == everything[:1]
    assert names(["no.such.setting"]) == []


@pytest.mark.parametrize("group", ["absent", ""])
def test_a_group_that_is_not_there_is_described_as_dead_with_what_is_allowed_to_it(world: World, group: str) -> None:
    def described(version: int, *, asks: bool) -> tuple[int, str, int]:
        (found,) = world.ask(
            DESCRIBE_GROUPS, version, groups=[group], include_authorized_operations=asks
        ).groups  # fmt: skip
        return found.error_code, found.group_state, found.authorized_operations

    assert world.ask(DESCRIBE_GROUPS, 0, groups=[group]).groups[0].group_state == "Dead"
    for version in (3, 5):
        code, state, allowed = described(version, asks=True)
        assert (code, state) == (0, "Dead") and allowed > 0
        assert described(version, asks=False) == (0, "Dead", NOT_ASKED)
    assert described(6, asks=True) == (GROUP_ID_NOT_FOUND, "Dead", NOT_ASKED)


def test_a_member_is_described_in_its_own_words_and_its_leaders(world: World) -> None:
    """A client reads back what it said of itself, with the version and the data of its own, as at a broker."""
    plain = pack_subscription(["there"])
    says = {"range": b"\x00\x01" + plain[2:-4] + b"\x00\x00\x00\x04mine" + bytes(4), "roundrobin": plain}
    gives = pack_assignment([("there", 0), ("there", 1)])[:-4] + b"\x00\x00\x00\x05hello"
    member = world.join(
        5, group_id="g", protocol_type="consumer", session_timeout=10_000, rebalance_timeout=10_000,
        protocols=[{"name": name, "metadata": metadata} for name, metadata in says.items()],
    )  # fmt: skip
    assert member.leader == member.member_id
    told = world.ask(
        SYNC_GROUP, 3, group_id="g", generation_id=member.generation_id, member_id=member.member_id,
        assignments=[{"member_id": member.member_id, "assignment": gives}],
    )  # fmt: skip
    assert told.assignment == gives
    (group,) = world.ask(DESCRIBE_GROUPS, 5, groups=["g"]).groups
    (described,) = group.members
    assert group.protocol_data == "range"
    assert described.member_metadata == says["range"]
    assert described.member_assignment == gives


def test_a_member_of_the_shell_is_described_in_words_that_all_clients_read(world: World) -> None:
    settings = {"group.id": "shell", "group.protocol": "classic"}
    with world.cluster.consumer(settings) as consumer:
        consumer.subscribe(["there"])
        while not consumer.assignment():
            consumer.poll(1.0)
        (group,) = world.ask(DESCRIBE_GROUPS, 5, groups=["shell"]).groups
    (described,) = group.members
    assert described.member_metadata == pack_subscription(["there"])
    assert parse_assignment(described.member_assignment) == [("there", 0), ("there", 1)]


def test_an_altered_quota_is_told_by_client_and_user(world: World) -> None:
    """Whichever the request named first: a broker's map has this order, and clients compare."""
    user, client = {"entity_type": "user", "entity_name": "u"}, {"entity_type": "client-id", "entity_name": None}
    for entity in ([user, client], [client, user]):
        asked = {"entity": entity, "ops": [{"key": "producer_byte_rate", "value": 1000.0}]}
        (altered,) = world.ask(ALTER_CLIENT_QUOTAS, 1, entries=[asked], validate_only=True).entries
        assert altered.error_code == 0
        assert [(each.entity_type, each.entity_name) for each in altered.entity] == [("client-id", None), ("user", "u")]


def test_quotas_are_told_in_the_order_of_a_brokers_tables(world: World) -> None:
    """Seen at Apache 4.3.1: the order of three keys is another than that of the same three beside a fourth."""
    three = ["producer_byte_rate", "consumer_byte_rate", "request_percentage"]
    user, client = {"entity_type": "user", "entity_name": "User1"}, {"entity_type": "client-id", "entity_name": "c"}
    for entity, keys in (([user], three), ([user, client], [*three, "controller_mutation_rate"])):
        ops = [{"key": key, "value": 5.0} for key in keys]
        world.ask(ALTER_CLIENT_QUOTAS, 1, entries=[{"entity": entity, "ops": ops}])
    told = {
        tuple(each.entity_type for each in entry.entity): [each.key for each in entry.values]
        for entry in world.ask(DESCRIBE_CLIENT_QUOTAS, 1, components=[]).entries
    }
    assert told == {
        ("user",): ["consumer_byte_rate", "request_percentage", "producer_byte_rate"],
        ("client-id", "user"): [
            "producer_byte_rate",
            "consumer_byte_rate",
            "controller_mutation_rate",
            "request_percentage",
        ],
    }


@pytest.mark.parametrize("validate_only", [True, False])
def test_who_creates_a_topic_is_told_its_settings_also_where_it_only_asks(world: World, validate_only: bool) -> None:
    wanted = [{"name": "retention.ms", "value": "77"}]
    topic = {"name": "new", "num_partitions": 2, "replication_factor": -1, "configs": wanted}
    (made,) = world.ask(CREATE_TOPICS, 7, topics=[topic], validate_only=validate_only).topics
    (described,) = world.ask(
        DESCRIBE_CONFIGS, 4, resources=[{"resource_type": TOPIC, "resource_name": "there"}]
    ).results
    assert (made.error_code, made.num_partitions, made.replication_factor) == (0, 2, 1)
    assert {each.name for each in made.configs} == {each.name for each in described.configs}
    assert [(each.value, each.config_source) for each in made.configs if each.name == "retention.ms"] == [("77", 1)]
    assert ("new" in {each.name for each in world.cluster.admin().list_topics()}) is not validate_only


@pytest.mark.parametrize(("kind", "code"), [(1, 0), (2, 114), (3, 115)])
def test_the_controller_is_not_at_a_brokers_address(world: World, kind: int, code: int) -> None:
    assert world.ask(DESCRIBE_CLUSTER, 2, endpoint_type=kind).error_code == code
