"""Many members of one group in one process, as a server has them: they look at the tables and the leases together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pykafka_store.embedded.cluster import EmbeddedCluster
from pykafka_store.embedded.engine import Engine
from pykafka_store.embedded.groups.membership import Member
from pykafka_store.embedded.serving.members import begin_epoch, new_member, subscribed_to

MANY, FEW = 24, 4


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[EmbeddedCluster]:
    with EmbeddedCluster(str(tmp_path)) as made:
        made.admin().create_topic("t", partitions=MANY)
        yield made


def _joined(engine: Engine, name: str) -> Member:
    member = new_member(
        engine, "g", name, member_id=name, instance_id=None, protocol="consumer", assignors=("range",),
        session_timeout=60.0,
    )  # fmt: skip
    member.join(subscribed_to(("t",), None))
    return member


def _settle(members: list[Member]) -> None:
    while not all(member.settled for member in members):
        for member in members:
            member.hurry()
            change = member.look_at_group()
            if change.to_revoke:
                member.give_up(change.to_revoke)


@contextmanager
def _statements(engine: Engine) -> Iterator[list[str]]:
    told: list[str] = []
    connection = engine.groups._connection
    connection.set_trace_callback(told.append)
    try:
        yield told
    finally:
        connection.set_trace_callback(None)


def test_what_many_look_at_is_read_once(cluster: EmbeddedCluster) -> None:
    """Each of them read all members, all targets and all owners by itself: with a hundred a change cost a second."""
    engine = cluster.engine
    members = [_joined(engine, f"m{number}") for number in range(MANY)]
    try:
        _settle(members)
        engine.groups.commit("g", {}, {}, 0, member_id="m0", epochs={})
        with engine.groups.transaction():  # of no concern to any of them
            engine.groups.add_group_within("another")
        with _statements(engine) as told:
            for member in members:
                member.hurry()
                assert member.look_at_group() == ((), (), ())
        read = [each for each in told if each.startswith("SELECT")]
        assert 0 < len(read) <= FEW, read
        begin_epoch(engine, "g", members[0].epoch)  # all look at everything, and have what they had
        with _statements(engine) as told:
            for member in members:
                member.hurry()
                assert member.look_at_group() == ((), (), ())
        read = [each for each in told if each.startswith("SELECT")]
        assert 0 < len(read) <= 2 * FEW, read
    finally:
        for member in members:
            member.leave()


def test_what_another_process_does_is_in_the_next_view(cluster: EmbeddedCluster) -> None:
    views = cluster.engine.group_views
    with EmbeddedCluster(cluster.engine.directory) as other:
        assert (views.of("g").epoch, views.of("g").members) == (-1, ())
        first = _joined(other.engine, "first")
        seen = views.of("g")
        assert seen is views.of("g")
        assert seen.member_ids == {"first"} == {each.id for each in seen.members}
        assert {id: len(share) for id, share in seen.shares.items()} == {"first": MANY}
        assert not seen.owners
        _settle([first])
        assert set(views.of("g").owners.values()) == {"first"}
        assert views.of("g").basis == seen.basis == (seen.row and seen.row.basis)
        other.admin().create_topic("another", partitions=1)
        assert views.of("g") is not seen  # a topic is another thing to look at
        first.leave()
        assert views.of("g").member_ids == set()


def test_one_look_at_a_lease_is_for_all_and_who_acts_on_it_looks_again(cluster: EmbeddedCluster) -> None:
    engine = cluster.engine
    first, second = _joined(engine, "first"), _joined(engine, "second")
    assert first._watch is second._watch
    with EmbeddedCluster(engine.directory) as other:
        gone = _joined(other.engine, "gone")
        assert gone._lease is not None
        name = gone._lease.path.rpartition("/")[2]
        assert not first._watch.seems_gone(name, 60.0, static=False)
        gone._lease.release(keep_file=True)  # as if its process had died
        assert not second._watch.seems_gone(name, 60.0, static=False)  # that was a moment ago
        assert second._watch.is_gone(name, 60.0, static=False)
        first.resubscribe(subscribed_to(("t", "u"), None))  # whatever begins a transaction takes it out
        assert "gone" not in engine.groups.member_ids("g")
    first.leave()
    second.leave()
