"""``kafka.tools.ConsumerOffsetChecker``: a group's offsets and lag, in columns that monitors of before Kafka 1 read.

For who asks for it with PYKAFKA_OLD_OPTIONS=1. Source: ConsumerOffsetChecker of Kafka 0.10.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pykafka_cli.env import Env
from pykafka_cli.errors import CommandFailure
from pykafka_store.model import OffsetAt, TopicPartition

if TYPE_CHECKING:
    from pykafka_store.api import Admin

_VALUES = ("zookeeper", "topic", "group", "socket.timeout.ms", "retry.backoff.ms")
_ROW = "{:<15} {:<30} {:<3} {:<15} {:<15} {:<15} {}"


def check_offsets(env: Env, words: list[str]) -> None:
    """What the cluster of the data directory has of ``--group``. Raises CommandFailure, StoreError."""
    given = dict(_options(words))
    group = given.get("group")
    if group is None:
        raise CommandFailure('Missing required argument "[group]"')
    env.err(
        "WARNING: ConsumerOffsetChecker is deprecated and will be dropped in releases following 0.9.0. Use "
        "ConsumerGroupCommand instead."
    )
    with env.open_cluster(None, None, create=env.auto_create) as cluster:
        admin = cluster.admin()
        env.out(_ROW.format("Group", "Topic", "Pid", "Offset", "logSize", "Lag", "Owner"))
        for row in _rows(admin, group, given.get("topic")):
            env.out(_ROW.format(group, *row))
        if "broker-info" in given:
            env.out("BROKER INFO")
            for broker in admin.live_brokers():
                env.out(f"{broker} -> localhost:9092")


def _options(words: list[str]) -> Iterator[tuple[str, str]]:
    rest = iter(words)
    for word in rest:
        name, equals, value = word.lstrip("-").partition("=")
        if name in _VALUES:
            yield name, value if equals else next(rest, "")
        elif name == "broker-info":
            yield name, ""
        else:
            raise CommandFailure(f"{name} is not a recognized option")


def _rows(admin: Admin, group: str, topics: str | None) -> Iterator[tuple[str, int, str, str, str, str]]:
    """Topic, partition, offset, end, lag and owner of each partition."""
    commits = admin.group_offsets(group)
    owners = {each: member for member in admin.describe_group(group).members for each in member.assignment}
    names = sorted({each.topic for each in (*commits, *owners)}) if topics is None else topics.split(",")
    there = {listing.name for listing in admin.list_topics()}
    described = admin.describe_topics([name for name in names if name in there])
    partitions = [TopicPartition(topic.name, each.partition) for topic in described for each in topic.partitions]
    ends = admin.list_offsets(dict.fromkeys(partitions, OffsetAt.LATEST))
    for each in partitions:
        commit, end = commits.get(each), ends[each]
        size = str(end) if isinstance(end, int) else "unknown"
        offset = "unknown" if commit is None else str(commit.offset)
        lag = str(end - commit.offset) if commit is not None and isinstance(end, int) else "unknown"
        owner = owners[each].member_id if each in owners else "none"
        yield each.topic, each.partition, offset, size, lag, owner
