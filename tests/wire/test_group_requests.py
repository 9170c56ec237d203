"""What members of groups are answered who are none any more, or never were: Apache Kafka 4.3.1's error codes."""

from __future__ import annotations

import time
from typing import Any
from unittest.mock import Mock

import pytest

from pykafka_store.embedded.clock import Clock
from pykafka_store.errors import InconsistentGroupProtocolError
from pykafka_store.wire import classic_machine
from pykafka_store.wire.invited import LIMIT, Invited
from pykafka_store.wire.members import MISSED, ORPHAN_PATIENCE
from pykafka_store.wire.protocol import (
    CONSUMER_GROUP_HEARTBEAT,
    HEARTBEAT,
    JOIN_GROUP,
    LEAVE_GROUP,
    OFFSET_COMMIT,
    OFFSET_FETCH,
    SYNC_GROUP,
    Reply,
    pack_assignment,
    pack_subscription,
    parse_assignment,
)
from tests.support.requests import MEMBER_ID_REQUIRED, World, asked

ILLEGAL_GENERATION, INCONSISTENT_GROUP_PROTOCOL, INVALID_GROUP_ID, UNKNOWN_MEMBER_ID = 22, 23, 24, 25
INVALID_SESSION_TIMEOUT, REBALANCE_IN_PROGRESS = 26, 27
UNSUPPORTED_VERSION, INVALID_REQUEST, GROUP_ID_NOT_FOUND = 35, 42, 69
UNSUPPORTED_ASSIGNOR, STALE_MEMBER_EPOCH = 112, 113
JOIN: dict[str, Any] = {
    "session_timeout": 10_000,
    "rebalance_timeout": 10_000,
    "protocol_type": "consumer",
    "protocols": [{"name": "range", "metadata": pack_subscription(["there"])}],
}
NEW = {"member_epoch": 0, "rebalance_timeout": 1000, "subscribed_topic_names": ["there"], "topic_partitions": []}


def commit(world: World, version: int, group: str, member: str, epoch: int, instance: str | None = None) -> int:
    topic = {"name": "there", "topic_id": world.topic_id}
    partitions = [{"partition_index": 0, "committed_offset": 1, "committed_leader_epoch": -1, "retention_time": -1}]
    answer = world.ask(
        OFFSET_COMMIT, version, group_id=group, member_id=member, generation_id_or_member_epoch=epoch,
        group_instance_id=instance, topics=[{**topic, "partitions": partitions}],
    )  # fmt: skip
    return int(answer.topics[0].partitions[0].error_code)


def fetched(world: World, group: str, member: str | None, epoch: int) -> int:
    wanted = {"group_id": group, "member_id": member, "member_epoch": epoch}
    topics = [{"name": "there", "partition_indexes": [0]}]
    return int(world.ask(OFFSET_FETCH, 9, groups=[{**wanted, "topics": topics}]).groups[0].error_code)


def joined(world: World) -> Reply:
    """A member of the classic protocol, alone in the group ``old``."""
    answer = world.join(5, group_id="old", **JOIN)
    assert answer.error_code == 0
    return answer


def heartbeat(world: World, version: int = 1, **fields: Any) -> int:
    given = {"group_id": "new", "member_id": "m", "member_epoch": 1, "rebalance_timeout": -1}
    return int(world.ask(CONSUMER_GROUP_HEARTBEAT, version, **(given | fields)).error_code)


@pytest.mark.parametrize(
    ("version", "code"),
    [(2, ILLEGAL_GENERATION), (8, ILLEGAL_GENERATION), (9, GROUP_ID_NOT_FOUND), (10, GROUP_ID_NOT_FOUND)],
)
def test_a_member_of_a_group_that_is_gone_commits_nothing(world: World, version: int, code: int) -> None:
    assert commit(world, version, "gone", "m", 1) == code
    assert commit(world, version, "gone", "", -1) == 0  # as from the admin client: now the group is there
    assert commit(world, version, "gone", "m", 1) == UNKNOWN_MEMBER_ID


def test_who_names_an_instance_that_nobody_has_is_no_member(world: World) -> None:
    member = joined(world)
    assert commit(world, 8, "old", member.member_id, member.generation_id, "nobody") == UNKNOWN_MEMBER_ID
    world.ask(SYNC_GROUP, 3, group_id="old", member_id=member.member_id, generation_id=member.generation_id)
    assert commit(world, 8, "old", member.member_id, member.generation_id) == 0


def test_a_member_of_kip_848_commits_by_requests_that_know_it(world: World) -> None:
    assert heartbeat(world, **NEW) == 0
    assert [commit(world, version, "new", "m", 1) for version in (8, 9)] == [UNSUPPORTED_VERSION, 0]
    assert commit(world, 9, "new", "m", 2) == STALE_MEMBER_EPOCH


def test_what_a_group_of_kip_848_committed_is_told_to_its_members_and_to_who_says_nothing(world: World) -> None:
    assert heartbeat(world, **NEW) == 0
    assert [fetched(world, "new", "m", 1), fetched(world, "new", None, -1)] == [0, 0]
    assert [fetched(world, "new", "m", 2), fetched(world, "new", "n", 1)] == [STALE_MEMBER_EPOCH, UNKNOWN_MEMBER_ID]
    assert [fetched(world, "old", "m", 2), fetched(world, "gone", "m", 2)] == [0, 0]


def test_a_member_of_kip_848_is_none_of_the_classic_protocol(world: World) -> None:
    assert heartbeat(world, **NEW) == 0
    member: dict[str, Any] = {"group_id": "new", "generation_id": 1, "member_id": "m"}
    assert world.ask(HEARTBEAT, 4, **member).error_code == UNKNOWN_MEMBER_ID
    said = {"protocol_type": "consumer", "protocol_name": "range"}
    assert world.ask(SYNC_GROUP, 5, **member, **said).error_code == UNKNOWN_MEMBER_ID
    assert world.ask(LEAVE_GROUP, 2, **member).error_code == UNKNOWN_MEMBER_ID
    assert world.ask(JOIN_GROUP, 5, **member, **JOIN).error_code == UNKNOWN_MEMBER_ID
    assert heartbeat(world) == 0


def test_a_member_of_kip_848_that_missed_an_answer_is_told_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its share was in that one: at once where it says all that it can say, else a little later."""
    now = [1000.0]
    monkeypatch.setattr(world.cluster.engine.clock, "monotonic", lambda: now[0])

    def told(member: str, **fields: Any) -> int | None:
        """How many partitions it is told that it has; None where it is told nothing of them."""
        given = {"group_id": "new", "member_id": member, "member_epoch": 1, "rebalance_timeout": -1}
        answer = world.ask(CONSUMER_GROUP_HEARTBEAT, 1, **(given | fields))
        assert answer.error_code == 0
        return (
            None
            if answer.assignment is None
            else sum(len(each.partitions) for each in answer.assignment.topic_partitions)
        )

    def holds(*partitions: int) -> dict[str, Any]:
        return {"topic_partitions": [{"topic_id": world.topic_id, "partitions": list(partitions)}]}

    assert told("m", **NEW) == 2
    assert told("m", **holds(0, 1)) is None
    assert told("n", **NEW) == 0
    assert [told("m"), told("m")] == [1, None]  # of which the first may be lost
    everything = NEW | {"member_epoch": 1} | holds(0, 1)
    assert [told("m", **everything), told("m")] == [1, None]
    now[0] += MISSED
    assert [told("m"), told("m")] == [1, None]
    assert told("m", **holds(0)) is None
    epoch = {"member_epoch": 2}
    now[0] += MISSED
    assert told("m", **epoch) is None  # it has said that it knows
    assert told("n", **epoch) == 1
    now[0] += MISSED
    assert [told("n", **epoch), told("n", **epoch)] == [1, None]
    assert told("n", **epoch, **holds(1)) is None
    now[0] += MISSED
    assert told("n", **epoch) is None


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (("consumer", "range"), 0),
        (("consumer", "roundrobin"), INCONSISTENT_GROUP_PROTOCOL),
        (("connect", "range"), INCONSISTENT_GROUP_PROTOCOL),
        ((None, None), INCONSISTENT_GROUP_PROTOCOL),
    ],
)
def test_who_syncs_says_what_its_group_speaks(world: World, said: tuple[str | None, str | None], code: int) -> None:
    member = joined(world)
    fields = {"group_id": "old", "generation_id": member.generation_id, "member_id": member.member_id}
    assert world.ask(SYNC_GROUP, 5, **fields, protocol_type=said[0], protocol_name=said[1]).error_code == code


def test_a_member_is_told_by_sync_what_it_was_told_by_join(world: World) -> None:
    """Clients give up for good where the two differ, as they might when somebody else joins in between."""
    offered = [{"name": name, "metadata": pack_subscription(["there"])} for name in ("range", "roundrobin")]
    member = world.join(5, group_id="old", **(JOIN | {"protocols": offered}))
    assert member.protocol_name == "range"
    fields = {"group_id": "old", "generation_id": member.generation_id, "member_id": member.member_id}
    said = {"protocol_type": "consumer", "protocol_name": "range"}
    answer = world.ask(SYNC_GROUP, 5, **fields, **said)
    assert (answer.error_code, answer.protocol_name) == (0, "range")
    for _ in range(3):  # they outvote it
        world.handlers[JOIN_GROUP](asked(JOIN_GROUP, 3, group_id="old", **(JOIN | {"protocols": offered[1:]})))
    assert world.ask(SYNC_GROUP, 5, **fields, **said).error_code == REBALANCE_IN_PROGRESS


def test_who_speaks_something_else_does_not_join_consumers_whatever_the_name(world: World) -> None:
    member = joined(world)
    other = world.join(5, group_id="old", **(JOIN | {"protocol_type": "connect"}))
    assert other.error_code == INCONSISTENT_GROUP_PROTOCOL
    fields = {"group_id": "old", "generation_id": member.generation_id, "member_id": member.member_id}
    assert world.ask(SYNC_GROUP, 3, **fields).error_code == 0


@pytest.mark.parametrize("key", [HEARTBEAT, SYNC_GROUP, LEAVE_GROUP])
def test_a_group_has_a_name(world: World, key: int) -> None:
    said = {"protocol_type": "consumer", "protocol_name": "range"}
    for version in (0, 4):
        assert (
            world.ask(key, version, group_id="", generation_id=1, member_id="m", **said).error_code == INVALID_GROUP_ID
        )


@pytest.mark.parametrize(
    ("version", "fields", "code"),
    [
        (0, {"group_id": ""}, INVALID_REQUEST),
        (1, {"member_id": ""}, INVALID_REQUEST),
        (0, {**NEW, "member_id": ""}, 0),  # the coordinator makes its id, before KIP-1082
        (1, {**NEW, "member_id": ""}, INVALID_REQUEST),
        (0, {**NEW, "instance_id": ""}, INVALID_REQUEST),
        (0, {**NEW, "rack_id": ""}, INVALID_REQUEST),
        (0, {**NEW, "rebalance_timeout": -1}, INVALID_REQUEST),
        (0, {**NEW, "topic_partitions": None}, INVALID_REQUEST),
        (1, {**NEW, "subscribed_topic_names": None}, INVALID_REQUEST),
        (0, {**NEW, "server_assignor": ""}, UNSUPPORTED_ASSIGNOR),
        (0, {"member_epoch": -3}, INVALID_REQUEST),
        (0, {"member_epoch": -2}, INVALID_REQUEST),
        (0, {"member_epoch": -2, "instance_id": "i"}, GROUP_ID_NOT_FOUND),
        (0, {"member_epoch": -1}, GROUP_ID_NOT_FOUND),
        (0, {}, UNKNOWN_MEMBER_ID),  # not GROUP_ID_NOT_FOUND: a server that was killed has forgotten its members
    ],
)
def test_a_heartbeat_of_kip_848_that_says_too_little_is_refused(
    world: World, version: int, fields: dict[str, Any], code: int
) -> None:
    assert heartbeat(world, version, **fields) == code


def test_a_member_of_two_groups_may_have_one_id(world: World) -> None:
    assert [heartbeat(world, **NEW, group_id=group) for group in ("one", "two")] == [0, 0]
    assert [commit(world, 9, group, "m", 1) for group in ("one", "two")] == [0, 0]
    away = {"instance_id": "i", "member_id": "away", "group_id": "one"}
    assert [heartbeat(world, **(NEW | away)), heartbeat(world, **(away | {"member_epoch": -2}))] == [0, 0]
    assert heartbeat(world, **(NEW | away | {"instance_id": None})) == 0  # its place is kept, and is not this one's
    assert [heartbeat(world, **(NEW | {"group_id": "two"})), heartbeat(world, group_id="one")] == [0, 0]


KINDS = pytest.mark.parametrize("spoken", ["range", "mine"])


def joining(spoken: str) -> dict[str, Any]:
    return JOIN | {"group_id": "old", "protocols": [{"name": spoken, "metadata": pack_subscription(["there"])}]}


@KINDS
def test_who_joins_for_the_first_time_is_told_its_id_and_joins_with_it(
    world: World, spoken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(classic_machine, "INITIAL_DELAY", 0.0)
    told = world.ask(JOIN_GROUP, 4, **joining(spoken))
    assert (told.error_code, told.generation_id) == (MEMBER_ID_REQUIRED, -1)
    assert told.member_id.startswith("test-")
    assert not list(world.members.of_group("old"))  # so nobody waits for it
    member = world.ask(JOIN_GROUP, 4, **joining(spoken), member_id=told.member_id)
    assert (member.error_code, member.member_id) == (0, told.member_id)
    fields = {"group_id": "old", "generation_id": member.generation_id, "member_id": member.member_id}
    assert world.ask(SYNC_GROUP, 3, **fields).error_code == 0
    assert world.ask(JOIN_GROUP, 4, **joining(spoken), member_id=told.member_id).error_code == 0  # again, as a member
    assert world.ask(LEAVE_GROUP, 2, **fields).error_code == 0
    assert world.ask(JOIN_GROUP, 4, **joining(spoken), member_id=told.member_id).error_code == UNKNOWN_MEMBER_ID


@KINDS
def test_static_members_and_requests_of_before_join_at_once(
    world: World, spoken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(classic_machine, "INITIAL_DELAY", 0.0)
    assert world.ask(JOIN_GROUP, 3, **joining(spoken)).error_code == 0
    world.members.close()
    assert world.ask(JOIN_GROUP, 5, **joining(spoken), group_instance_id="i").error_code == 0


def test_an_id_is_good_for_its_group_and_until_it_leaves(world: World) -> None:
    one, two, three = (world.ask(JOIN_GROUP, 4, **joining("range")).member_id for _ in range(3))
    assert world.ask(JOIN_GROUP, 4, **(joining("range") | {"group_id": "other"}), member_id=one).error_code == (
        UNKNOWN_MEMBER_ID
    )
    assert world.ask(HEARTBEAT, 4, group_id="old", member_id=one, generation_id=-1).error_code == UNKNOWN_MEMBER_ID
    assert [world.ask(LEAVE_GROUP, 2, group_id="old", member_id=two).error_code for _ in range(2)] == [
        0,
        UNKNOWN_MEMBER_ID,
    ]
    assert world.ask(JOIN_GROUP, 4, **joining("range"), member_id=two).error_code == UNKNOWN_MEMBER_ID
    assert world.ask(JOIN_GROUP, 4, **joining("range"), member_id=one).error_code == 0
    assert world.ask(JOIN_GROUP, 4, **joining("range"), member_id=three).error_code == 0


def test_an_id_is_forgotten_when_its_session_is_over() -> None:
    clock = Mock(spec=Clock)
    clock.monotonic.return_value = 100.0
    invited = Invited(clock)
    id = invited.add("old", "client", 10.0)
    clock.monotonic.return_value = 109.9
    assert invited.has("old", id)
    clock.monotonic.return_value = 110.1
    assert not invited.has("old", id) and not invited.take("old", id)


def test_no_more_ids_are_remembered_than_there_is_room_for(world: World) -> None:
    join = joining("range") | {"session_timeout": 1_800_000}  # which is not over before all of them have asked
    told = [world.ask(JOIN_GROUP, 4, **join).member_id for _ in range(LIMIT + 1)]
    assert [world.members.invited.has("old", id) for id in (told[0], told[1], told[-1])] == [False, True, True]


def test_who_is_told_an_id_has_a_group_and_a_session(world: World) -> None:
    assert world.ask(JOIN_GROUP, 4, **(joining("range") | {"group_id": ""})).error_code == INVALID_GROUP_ID
    assert world.ask(JOIN_GROUP, 4, **(joining("range") | {"session_timeout": 1})).error_code == INVALID_SESSION_TIMEOUT


def test_nobody_joins_whom_the_members_of_a_group_that_assigns_itself_would_not_think_of(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They would give each other what it owns, though they offer an assignor that it knows as well."""
    monkeypatch.setattr(classic_machine, "INITIAL_DELAY", 0.0)
    offered = [{"name": name, "metadata": pack_subscription(["there"])} for name in ("mine", "range")]
    first = world.ask(JOIN_GROUP, 3, **joining("mine"))
    second = asked(JOIN_GROUP, 3, **(JOIN | {"group_id": "old", "protocols": offered}))
    waiting = world.handlers[JOIN_GROUP](second)
    again = {"member_id": first.member_id}
    assert world.ask(JOIN_GROUP, 3, **joining("mine"), **again).error_code == 0
    member = waiting.attempt(late=False)
    assert (member.error_code, member.protocol_name) == (0, "mine")
    assert world.ask(LEAVE_GROUP, 2, group_id="old", **again).error_code == 0
    for _ in range(2):  # in the generation that is left, and in the next
        assert heartbeat(world, **NEW, group_id="old") == INCONSISTENT_GROUP_PROTOCOL
        with world.cluster.consumer({"group.id": "old"}) as consumer, pytest.raises(InconsistentGroupProtocolError):
            consumer.subscribe(["there"])
        fields = JOIN | {"group_id": "old", "protocols": offered, "member_id": member.member_id}
        member = world.ask(JOIN_GROUP, 3, **fields)
        assert member.error_code == 0
    assert world.cluster.admin().describe_group("old").assignor == "mine"
    only = world.handlers[JOIN_GROUP](asked(JOIN_GROUP, 3, **joining("range")))
    assert not isinstance(only, Reply)  # it waits for the other, with whom it will speak of range
    assert world.cluster.admin().describe_group("old").assignor == "range"


@pytest.mark.parametrize("instance", [None, "i"])
@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_a_static_member_has_its_session_to_come_back_in_by_another_connection(
    world: World, instance: str | None, protocol: str
) -> None:
    """Who starts consumers anew, one after another, gives them instances so that nobody else's partitions move."""
    if protocol == "classic":
        assert world.join(5, group_id="new", **JOIN, group_instance_id=instance).error_code == 0
    else:
        assert heartbeat(world, **NEW, instance_id=instance) == 0
    (member,) = world.members.of_group("new")
    now = time.monotonic()
    member.tell(set())  # so that it is not for its assignment that it is waited for
    world.members.orphan([("new", member.id)])
    assert member.is_gone(now + ORPHAN_PATIENCE + 2) is (instance is None)
    assert member.is_gone(now + member.session + 2)


@pytest.mark.parametrize("version", [1, 3, 100])
def test_a_subscription_is_read_as_far_as_all_versions_say_the_same(world: World, version: int) -> None:
    """segmentio's kafka-go says version 1, and leaves out what version 1 added: the partitions that it has."""
    short = version.to_bytes(2, "big") + pack_subscription(["there"])[2:]
    member = world.join(2, **(joining("range") | {"protocols": [{"name": "range", "metadata": short}]}))
    assert (member.error_code, [each.metadata for each in member.members]) == (0, [short])
    fields = {"group_id": "old", "generation_id": member.generation_id, "member_id": member.member_id}
    given = [{"member_id": member.member_id, "assignment": pack_assignment([("there", 0)])}]
    synced = world.ask(SYNC_GROUP, 2, **fields, assignments=given)
    assert (synced.error_code, parse_assignment(synced.assignment)) == (0, [("there", 0)])
    with world.cluster.consumer({"group.id": "old"}) as consumer:
        consumer.subscribe(["there"])  # as in any group of the engine's


@pytest.mark.parametrize(
    "metadata", [b"", b"\x00", b"\x00\x00\x00\x00\x00\x09cut", b"\xff\xff", b"\x00\x00\x7f\xff\xff\xff"]
)
def test_who_says_nothing_of_topics_is_in_a_group_that_assigns_itself(
    world: World, metadata: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As at a broker, for which it is the members' business what they say to each other."""
    monkeypatch.setattr(classic_machine, "INITIAL_DELAY", 0.0)
    said = {"protocols": [{"name": "range", "metadata": metadata}]}
    member = world.join(2, **(joining("range") | said))
    assert (member.error_code, [each.metadata for each in member.members]) == (0, [metadata])
    with world.cluster.consumer({"group.id": "old"}) as consumer, pytest.raises(InconsistentGroupProtocolError):
        consumer.subscribe(["there"])
    assert world.ask(LEAVE_GROUP, 2, group_id="old", member_id=member.member_id).error_code == 0
    consumer = world.join(2, **joining("range"))
    assert consumer.error_code == 0
    refused = world.ask(JOIN_GROUP, 2, **(joining("range") | said), member_id=consumer.member_id)
    assert refused.error_code == UNKNOWN_MEMBER_ID  # of such a group
    assert world.ask(JOIN_GROUP, 2, **(joining("range") | said)).error_code == INCONSISTENT_GROUP_PROTOCOL
    assert world.ask(JOIN_GROUP, 2, **joining("range"), member_id=consumer.member_id).error_code == 0


def test_who_speaks_what_not_all_of_its_group_do_is_told_before_anything_else(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(classic_machine, "INITIAL_DELAY", 0.0)
    for wrong in ({"protocols": []}, {"protocol_type": ""}):
        assert world.ask(JOIN_GROUP, 9, **(joining("range") | wrong)).error_code == INCONSISTENT_GROUP_PROTOCOL
    member = world.join(9, **joining("mine"))
    assert member.error_code == 0
    for version in (3, 9):
        assert world.ask(JOIN_GROUP, version, **joining("another")).error_code == INCONSISTENT_GROUP_PROTOCOL
    other = world.handlers[JOIN_GROUP](asked(JOIN_GROUP, 3, **joining("mine")))
    again = joining("another") | {"member_id": member.member_id}
    assert world.ask(JOIN_GROUP, 9, **again).error_code == INCONSISTENT_GROUP_PROTOCOL
    again = joining("mine") | {"member_id": member.member_id}
    assert world.ask(JOIN_GROUP, 9, **again).error_code == 0  # and the other one was in nobody's way
    assert other.attempt(late=False).error_code == 0
