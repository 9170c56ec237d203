"""Groups and consumers whose topics and members are others between two looks: as in tests/store/test_between_looks."""

from __future__ import annotations

import re
from collections.abc import Iterator, KeysView
from contextlib import suppress
from pathlib import Path

import pytest

from pykafka_store.embedded import patterns
from pykafka_store.embedded.clients.consumer import EmbeddedConsumer
from pykafka_store.embedded.clients.member_consumer import MemberConsumer
from pykafka_store.embedded.clock import Clock
from pykafka_store.embedded.cluster import EmbeddedCluster
from pykafka_store.embedded.disk import Disk
from pykafka_store.embedded.groups import live_members as looking
from pykafka_store.embedded.groups.database import GroupDatabase
from pykafka_store.embedded.groups.leases import Watch
from pykafka_store.embedded.groups.membership import Member
from pykafka_store.embedded.serving.members import new_member, subscribed_to
from pykafka_store.errors import InvalidRegularExpressionError, UnknownTopicOrPartitionError
from pykafka_store.model import OffsetAt, TopicPartition
from tests.store.helpers import AT_ONCE, rows
from tests.support.between import once

HERE = TopicPartition("t", 0)
MEMBER = {"group.id": "g", "auto.offset.reset": "earliest", "enable.auto.commit": "false"}


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[EmbeddedCluster]:
    with EmbeddedCluster(str(tmp_path / "data")) as made:
        yield made


def _produce(cluster: EmbeddedCluster, *values: bytes) -> None:
    with cluster.producer(AT_ONCE) as producer:
        producer.send("t", list(values), partitions=0)


def _made_anew(cluster: EmbeddedCluster, *values: bytes) -> None:
    """By another process: the topic is deleted, and there is another one of its name."""
    with EmbeddedCluster(cluster.directory) as other:
        other.admin().delete_topic("t")
        other.admin().create_topic("t")
        _produce(other, *values)


def _values(consumer: EmbeddedConsumer, polls: int = 20) -> list[bytes | None]:
    return [row.value for _ in range(polls) for row in rows(consumer.poll(0.01))]


# --------------------------------------------------------------------------------------------------------- consumers


@pytest.mark.parametrize("explicit", [True, False])
def test_what_was_read_of_a_topic_is_not_committed_for_the_one_that_has_its_name_by_then(
    cluster: EmbeddedCluster, monkeypatch: pytest.MonkeyPatch, explicit: bool
) -> None:
    """The group would begin behind records that nobody has read."""
    cluster.admin().create_topic("t")
    _produce(cluster, b"1", b"2", b"3")
    with cluster.consumer(MEMBER) as consumer:
        consumer.subscribe(["t"])
        assert _values(consumer) == [b"1", b"2", b"3"]
        came = once(monkeypatch, MemberConsumer, "_commit", lambda: _made_anew(cluster, b"a", b"b", b"c", b"d"))
        if explicit:
            with pytest.raises(UnknownTopicOrPartitionError):
                consumer.commit({HERE: 3})
        else:
            consumer.commit()
        assert came
        assert cluster.admin().group_offsets("g") == {}
        assert _values(consumer) == [b"a", b"b", b"c", b"d"]


def test_a_partition_is_not_begun_where_its_group_was_in_the_topic_before(
    cluster: EmbeddedCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.admin().create_topic("t")
    _produce(cluster, b"1", b"2", b"3")
    cluster.admin().alter_group_offsets("g", {HERE: 2})
    came = once(
        monkeypatch,
        MemberConsumer,
        "committed",
        lambda: _made_anew(cluster, b"a", b"b", b"c", b"d"),
        behind=True,
    )
    with cluster.consumer(MEMBER) as consumer:
        consumer.subscribe(["t"])
        assert _values(consumer) == [b"a", b"b", b"c", b"d"]
        assert came


def test_a_topic_of_a_pattern_that_is_made_anew_as_the_catalogue_is_compared_is_read(
    cluster: EmbeddedCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that was read stood for the one that came, which was never looked for again."""
    cluster.admin().create_topic("t")
    _produce(cluster, b"1")
    with cluster.consumer() as consumer:
        consumer.subscribe(pattern=re.compile("t"), start=OffsetAt.EARLIEST)
        assert _values(consumer) == [b"1"]
        assert isinstance(consumer, EmbeddedConsumer)
        consumer._next_comparison = 0.0
        came = once(monkeypatch, EmbeddedConsumer, "_follow_catalog", lambda: _made_anew(cluster, b"a"))
        assert _values(consumer) == [b"a"]
        assert came


# ------------------------------------------------------------------------------------------------------------ members


def _new(cluster: EmbeddedCluster) -> Member:
    return new_member(
        cluster.engine, "g", "c", member_id="m", instance_id=None, protocol="consumer", assignors=("range",),
        session_timeout=60.0,
    )  # fmt: skip


def test_a_member_that_comes_back_under_its_id_is_not_taken_out_for_the_one_that_it_was(
    cluster: EmbeddedCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was told nothing, held its lease and had no partitions from then on."""
    cluster.admin().create_topic("t")
    member = _new(cluster)
    member.join(subscribed_to(("t",), None))

    def back() -> None:
        member.join(subscribed_to(("t",), None))

    with EmbeddedCluster(cluster.directory) as other:
        came = once(monkeypatch, looking, "_is_dead", back)
        assert other.admin().describe_group("g").members
        assert came
        assert [each.id for each in other.engine.groups.members("g")] == ["m"]
    member.leave()


def test_a_member_whose_lease_could_not_be_seen_for_a_moment_is_alive(
    cluster: EmbeddedCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its disk was away as the leases were looked at, and back when that was asked."""
    cluster.admin().create_topic("t")
    member = _new(cluster)
    member.join(subscribed_to(("t",), None))
    leases = Path(cluster.directory) / "groups"

    def back() -> None:
        leases.with_name("away").rename(leases)

    leases.rename(leases.with_name("away"))
    came = once(monkeypatch, looking, "_is_dead", back, behind=True)
    assert [each.id for each in looking.live_members(cluster.engine, "g")] == ["m"]
    assert came
    assert member.check_held()
    member.leave()


class _Seen(dict[str, object]):
    """What a watch knows, which another thread forgets as this one has just looked it up."""

    def keys(self) -> KeysView[str]:
        found = dict(self).keys()
        self.clear()
        return found


def test_members_of_two_threads_forget_who_is_gone(tmp_path: Path) -> None:
    watch = Watch(Disk(), str(tmp_path), Clock())
    assert watch.seems_gone("m", 1.0, static=False)
    watch._looks = _Seen(watch._looks)  # type: ignore[assignment]  # as it is used, one of these
    watch.keep([])
    assert not watch._looks


class _Refused(dict[tuple[str, int], frozenset[str]]):
    """Another thread refuses so many patterns that this one is forgotten as it is asked for."""

    def __contains__(self, key: object) -> bool:
        found = super().__contains__(key)
        self.clear()
        return found


def test_a_pattern_that_another_thread_forgets_is_matched(monkeypatch: pytest.MonkeyPatch) -> None:
    pattern = re.compile("t")
    monkeypatch.setattr(patterns, "_refused", _Refused({(pattern.pattern, pattern.flags): frozenset("t")}))
    with suppress(InvalidRegularExpressionError):  # it was refused when this looked
        assert patterns.matching(pattern, ["t"]) == ["t"]


def test_a_group_that_is_deleted_as_groups_are_listed_is_none(
    cluster: EmbeddedCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.admin().create_topic("t")
    for group in "g", "h":
        cluster.admin().alter_group_offsets(group, {HERE: 0})
    came = once(monkeypatch, GroupDatabase, "group_ids", lambda: cluster.admin().delete_group("g"), behind=True)
    assert [(each.group_id, each.state) for each in cluster.admin().list_groups()] == [("h", "Empty")]
    assert came
