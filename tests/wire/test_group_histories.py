"""Requests of groups in any order, by members of both protocols and by none: an answer each, and no fault of ours.

PYKAFKA_FUZZ says how many requests a history has, times ten; PYKAFKA_SEED repeats a run.
"""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest

from pykafka_store.model import TopicPartition
from pykafka_store.wire import classic_machine
from pykafka_store.wire.broker import Parked
from pykafka_store.wire.protocol import (
    CONSUMER_GROUP_DESCRIBE,
    CONSUMER_GROUP_HEARTBEAT,
    DELETE_GROUPS,
    DESCRIBE_GROUPS,
    HEARTBEAT,
    JOIN_GROUP,
    LEAVE_GROUP,
    LIST_GROUPS,
    OFFSET_COMMIT,
    OFFSET_DELETE,
    OFFSET_FETCH,
    SYNC_GROUP,
    VERSIONS,
    Reply,
    Request,
    encode,
    pack_assignment,
    pack_subscription,
)
from tests.support.requests import MEMBER_ID_REQUIRED, World, asked, bytes_of

KINDS = (
    JOIN_GROUP, JOIN_GROUP, SYNC_GROUP, SYNC_GROUP, HEARTBEAT, HEARTBEAT, LEAVE_GROUP, OFFSET_COMMIT, OFFSET_FETCH,
    CONSUMER_GROUP_HEARTBEAT, CONSUMER_GROUP_HEARTBEAT, DESCRIBE_GROUPS, CONSUMER_GROUP_DESCRIBE, LIST_GROUPS,
    DELETE_GROUPS, OFFSET_DELETE,
)  # fmt: skip
UNKNOWN_SERVER_ERROR, KAFKA_STORAGE_ERROR = -1, 56
THEIRS = ["mine", "default", "another"]
"""What most members of the group ``three`` assign each other by."""
ASSIGNORS = ["range", "roundrobin", "sticky", "cooperative-sticky", "uniform", "mine", "default"]


class History:
    """What has been asked and answered; who is known by what was answered."""

    def __init__(self, world: World, chance: random.Random) -> None:
        self.world = world
        self.chance = chance
        self.members: dict[str, list[tuple[str, int]]] = {}
        """Group -> (member id, generation or epoch) of whoever was told one."""
        self.waiting: list[tuple[Request, Parked]] = []

    def step(self) -> None:
        if self.waiting and self.chance.random() < 0.3:
            request, parked = self.waiting.pop(self.chance.randrange(len(self.waiting)))
            self._attempt(request, parked, late=self.chance.random() < 0.5)
            return
        if self.chance.random() < 0.02:
            self.world.members.tick()
        request = self.request(self.chance.choice(KINDS))
        answer = self.world.handlers[request.key](request)
        if isinstance(answer, Reply):
            self._take(request, answer)
        elif answer is not None and not hasattr(answer, "go_on"):
            self._attempt(request, answer, late=False)

    def _attempt(self, request: Request, parked: Parked, *, late: bool) -> None:
        reply = parked.attempt(late=late)
        if reply is not None:
            self._take(request, reply)
        elif late or self.chance.random() < 0.1:
            parked.abandon()
        else:
            self.waiting.append((request, parked))

    def _take(self, request: Request, reply: Reply) -> None:
        for piece in encode(request, reply):
            bytes_of(piece)
        assert getattr(reply, "error_code", 0) not in {UNKNOWN_SERVER_ERROR, KAFKA_STORAGE_ERROR}, (request, reply)
        epoch = getattr(reply, "generation_id", None)
        epoch = getattr(reply, "member_epoch", epoch)
        if request.key in {JOIN_GROUP, CONSUMER_GROUP_HEARTBEAT} and not reply.error_code and epoch is not None:
            self.members.setdefault(request.body.group_id, []).append((reply.member_id, epoch))
        if request.key == JOIN_GROUP and reply.error_code == MEMBER_ID_REQUIRED:
            self.members.setdefault(request.body.group_id, []).append((reply.member_id, -1))

    def request(self, key: int) -> Request:
        chance = self.chance
        group = chance.choice(["one", "two", "three"])
        if group == "three" and key == CONSUMER_GROUP_HEARTBEAT and chance.random() < 0.98:
            key = JOIN_GROUP
        member, epoch = chance.choice([("", -1), ("m", 0), ("m", 1), *self.members.get(group, [])[-6:]])
        epoch += chance.choice([0, 0, 0, 0, 0, 1, -1])
        instance = chance.choice([None, None, None, "i", "j"])
        kind = chance.choice(["consumer", "consumer", "consumer", "connect"])
        offered = chance.sample(ASSIGNORS, chance.randint(0, 3))
        if group == "three" and chance.random() < 0.9:
            kind, offered = "consumer", chance.sample(THEIRS, chance.randint(1, 3))
        topics = [{"name": chance.choice(["there", "missing"]), "topic_id": self.world.topic_id}]
        low, high = VERSIONS[key]
        if key == CONSUMER_GROUP_HEARTBEAT:
            fields = self._heartbeat(member, epoch)
        elif key in {OFFSET_COMMIT, OFFSET_DELETE, OFFSET_FETCH}:
            partition: dict[str, Any] = {"partition_index": chance.randrange(3), "committed_offset": 1}
            partition["committed_leader_epoch"] = -1
            indexes = [chance.randrange(3)]
            topics = [{**each, "partitions": [partition], "partition_indexes": indexes} for each in topics]
            said = {"group_id": group, "member_id": chance.choice([None, member]), "member_epoch": epoch}
            fields = {"generation_id_or_member_epoch": epoch, "topics": topics, "groups": [{**said, "topics": topics}]}
        else:
            share = pack_assignment([TopicPartition("there", chance.randrange(2))])
            others = [each for each, _ in self.members.get(group, [])]
            fields = {
                "session_timeout": 10_000,
                "rebalance_timeout": 1 if group == "three" else 10_000,  # ms: else it would wait for those who are away
                "protocol_type": kind,
                "protocol_name": chance.choice(["range", *ASSIGNORS]),
                "protocols": [{"name": each, "metadata": self._subscription()} for each in offered],
                "assignments": [{"member_id": each, "assignment": share} for each in others],
                "members": [{"member_id": member, "group_instance_id": instance}],
                "groups": [group],
                "group_ids": [group],
                "groups_names": [group],
            }
        fields = {"group_instance_id": instance, "instance_id": instance, "generation_id": epoch} | fields
        return asked(key, chance.randint(low, high), **({"group_id": group, "member_id": member} | fields))

    def _heartbeat(self, member: str, epoch: int) -> dict[str, Any]:
        chance = self.chance
        held: Any = chance.choice([None, [], [{"topic_id": self.world.topic_id, "partitions": [0]}]])
        joins = chance.random() < 0.4
        return {
            "member_id": member or "n",
            "member_epoch": 0 if joins else chance.choice([epoch, epoch, -1, -2]),
            "rebalance_timeout": 1000,
            "subscribed_topic_names": chance.choice([None, ["there"], ["there", "missing"]]),
            "subscribed_topic_regex": chance.choice([None, None, "th.*", ""]),
            "server_assignor": chance.choice([None, "uniform", "range"]),
            "topic_partitions": [] if joins else held,
        }

    def _subscription(self) -> bytes:
        return self.chance.choice(
            [pack_subscription(["there"]), pack_subscription(["there", "missing"]), b"", b"\0\x03"]
        )


@pytest.mark.parametrize("part", range(4))
def test_whatever_members_ask_in_whatever_order_is_answered(
    tmp_path: Path, part: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(classic_machine, "INITIAL_DELAY", 0.0)  # else no group that assigns itself gets beyond it
    seed = int(os.environ.get("PYKAFKA_SEED", random.randrange(1 << 32))) + part
    world = World(tmp_path / "data")
    history = History(world, random.Random(seed))
    for number in range(10 * int(os.environ.get("PYKAFKA_FUZZ", "60"))):
        try:
            history.step()
        except Exception as error:
            raise AssertionError(f"seed {seed - part}, part {part}, step {number}") from error
    world.close()
