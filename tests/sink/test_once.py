"""Each record is one row: where the offsets are, who may move them, and what happens when somebody else did."""

from __future__ import annotations

import re
import shutil
import sqlite3
from pathlib import Path

import pytest

from pykafka_store import ConfigResource, TopicPartition
from pykafka_store.databases.errors import DatabaseError, DatabaseUnavailableError
from pykafka_store.embedded.clients.consumer import EmbeddedConsumer
from pykafka_store.model import OffsetAt
from pykafka_store.sink.options import SinkOptions
from pykafka_store.sink.sinking import Sink
from pykafka_store.sink.sqlite_target import SqliteTarget
from pykafka_store.sink.target import (
    Claim,
    FencedError,
    Group,
    Move,
    Statement,
    TableWrite,
    Target,
)
from tests.sink.conftest import Lab

PLACE = TopicPartition("t", 0)
GROUP = Group("cluster", "g")


def test_offsets_and_rows_go_together_and_the_group_follows(both: Lab) -> None:
    both.send({"n": 1}, {"n": 2})
    both.send({"n": 3}, partition=1)
    assert both.sink().messages == 3
    assert sorted(both.sql("SELECT n FROM t")) == [(1,), (2,), (3,)]
    assert (both.next_offset(0), both.next_offset(1)) == (2, 1)
    assert both.committed() == {PLACE: 2, TopicPartition("t", 1): 1}
    assert both.sink().messages == 0


def test_the_target_and_not_the_group_says_where_to_go_on(both: Lab) -> None:
    both.send({"n": 1}, {"n": 2})
    both.sink()
    both.cluster.admin().alter_group_offsets("g", {PLACE: 0})
    both.send({"n": 3})
    assert both.sink().messages == 1
    assert both.sql("SELECT n FROM t") == [(1,), (2,), (3,)]


def test_a_database_from_a_copy_goes_back_to_its_own_offsets(lab: Lab) -> None:
    lab.send({"n": 1})
    lab.sink()
    shutil.copy(lab.database, f"{lab.database}.copy")
    lab.send({"n": 2})
    lab.sink()
    shutil.copy(f"{lab.database}.copy", lab.database)
    lab.send({"n": 3})
    assert lab.sink().messages == 2
    assert lab.sql("SELECT n FROM t") == [(1,), (2,), (3,)]


def write_one(target: Target, claim: Claim) -> None:
    statement = Statement("insert", ("n",), [(1,)], [0])
    tables = [TableWrite("t", (), [statement], lambda _index, _reason: None)]
    target.write(GROUP, tables, [Move(PLACE, claim.epoch, claim.next, claim.next + 1)], [])


def test_whoever_claimed_before_writes_nothing(both: Lab) -> None:
    both.sql("CREATE TABLE t (n int)")
    one, two = both.target(), both.target()
    one.prepare(None)
    older = one.claim(GROUP, {PLACE: ("id", 0)}, "one")[PLACE]
    newer = two.claim(GROUP, {PLACE: ("id", 0)}, "two")[PLACE]
    with pytest.raises(FencedError):
        write_one(one, older)
    assert both.sql("SELECT count(*) FROM t") == [(0,)]
    write_one(two, newer)
    assert both.sql("SELECT count(*) FROM t") == [(1,)]
    with pytest.raises(FencedError):
        write_one(two, newer)  # the answer to COMMIT was lost, and it is sent once more
    assert both.sql("SELECT count(*) FROM t") == [(1,)]
    one.close()
    two.close()


@pytest.mark.parametrize("batch_size", [10_000, 3])
def test_a_sink_that_was_overtaken_drops_what_it_has_and_claims_anew(both: Lab, batch_size: int) -> None:
    """Somebody else claims, and writes on, between its poll and its flush. With small batches it has more, and parsed
    some of it.
    """
    target = both.target()
    other = both.target()
    cluster_id = both.cluster.admin().cluster_id()
    both.send(*({"n": number} for number in range(10)))
    overtaken = False
    claim_of = target.write

    def write(group: Group, *rest: object) -> None:
        nonlocal overtaken
        if not overtaken:
            overtaken = True
            claim = other.claim(group, {PLACE: ("", 0)}, "other")[PLACE]
            statement = Statement("insert", ("n",), [(0,), (1,), (2,)], [0, 1, 2])
            tables = [TableWrite("t", (), [statement], lambda _index, _reason: None)]
            other.write(group, tables, [Move(PLACE, claim.epoch, 0, 3)], [])
        claim_of(group, *rest)  # type: ignore[arg-type]

    target.write = write  # type: ignore[method-assign, assignment]
    options = SinkOptions(exit_at_end=True, batch_size=batch_size)
    Sink(both.cluster, ["t"], target, "g", options=options, on_notice=both.notices.append).run()
    target.close()
    other.close()
    assert overtaken
    assert both.sql("SELECT n FROM t") == [(number,) for number in range(10)]
    assert any("claimed by another sink" in notice for notice in both.notices)
    assert both.sql("SELECT DISTINCT cluster FROM _pykafka_offsets") == [(cluster_id,)]


@pytest.mark.parametrize("is_made_anew", [False, True])
def test_what_another_sink_does_while_this_one_is_about_to_claim_counts(both: Lab, is_made_anew: bool) -> None:
    """It has asked where the topic begins and ends, and is frozen: more is sent, or the topic is made anew, and the
    other one writes that.
    """
    admin, target, other = both.cluster.admin(), both.target(), both.target()
    both.send({"n": 0})
    both.sink()
    claim_of = target.claim
    frozen = False

    def claim(group: Group, starts: dict[TopicPartition, tuple[str, int]], owner: str) -> dict[TopicPartition, Claim]:
        nonlocal frozen
        if not frozen:
            frozen = True
            if is_made_anew:
                admin.delete_topic("t")
                admin.create_topic("t", partitions=2)
            both.send({"n": 1}, {"n": 2})
            (topic,) = (each for each in admin.list_topics() if each.name == "t")
            found = other.claim(group, {PLACE: (topic.topic_id, 0)}, "other")[PLACE]
            if is_made_anew:
                found = other.restart(group, PLACE, found, topic.topic_id, 0)
            statement = Statement("insert", ("n",), [(1,), (2,)], [0, 1])
            tables = [TableWrite("t", (), [statement], lambda _index, _reason: None)]
            other.write(group, tables, [Move(PLACE, found.epoch, found.next, found.next + 2)], [])
        return claim_of(group, starts, owner)

    target.claim = claim  # type: ignore[method-assign, assignment]
    options = SinkOptions(exit_at_end=True)
    Sink(both.cluster, ["t"], target, "g", options=options, on_notice=both.notices.append).run()
    target.close()
    other.close()
    assert frozen
    assert sorted(both.sql("SELECT n FROM t")) == [(0,), (1,), (2,)]
    both.send({"n": 3})
    both.sink()
    assert sorted(both.sql("SELECT n FROM t")) == [(0,), (1,), (2,), (3,)]


def test_two_clusters_can_be_written_into_one_table(both: Lab, tmp_path: object) -> None:
    from pykafka_store import open_cluster

    both.send({"n": 1}, {"n": 2})
    both.sink()
    with open_cluster(f"file:{tmp_path}/other") as cluster:
        cluster.admin().create_topic("t")
        there = type(both)(cluster, both.database)
        there.send({"n": 3})
        assert there.sink().messages == 1
    assert both.sql("SELECT n FROM t") == [(1,), (2,), (3,)]


def test_a_topic_that_was_made_anew_is_told_and_begins_at_its_beginning(both: Lab) -> None:
    both.send({"n": 1}, {"n": 2})
    both.sink()
    both.cluster.admin().delete_topic("t")
    both.cluster.admin().create_topic("t", partitions=2)
    both.send({"n": 3})
    assert both.sink().messages == 1
    assert both.sql("SELECT n FROM t") == [(1,), (2,), (3,)]
    assert any("made anew" in notice for notice in both.notices)


@pytest.mark.parametrize("empty", [False, True])
def test_a_topic_that_is_made_anew_under_a_sink_begins_at_its_beginning(both: Lab, empty: bool) -> None:
    """The group has the same partitions before and after, and takes none away."""
    admin = both.cluster.admin()

    def stop() -> bool:
        written = runner.report().messages
        if written == 2 * len(made) and len(made) < 4:
            number = len(made)
            made.append(number)
            if number:
                admin.delete_topic("t")
                admin.create_topic("t", partitions=2)
            if number == 2 and empty:  # it is gone once more before anybody looked
                admin.delete_topic("t")
                admin.create_topic("t", partitions=2)
            both.send({"n": 2 * number}, {"n": 2 * number + 1})
        return written == 8

    made: list[int] = []
    target = both.target()
    options = SinkOptions(linger=0.0, timeout=30.0)
    runner = Sink(both.cluster, ["t"], target, "g", options=options, on_notice=both.notices.append)
    try:
        assert runner.run(stop).is_good
    finally:
        target.close()
    assert both.sql("SELECT n FROM t ORDER BY n") == [(number,) for number in range(8)]
    assert both.next_offset() == 2
    assert both.sink().messages == 0


def test_a_topic_that_goes_while_it_is_claimed_ends_no_sink(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    admin = lab.cluster.admin()
    admin.create_topic("u")
    lab.send({"n": 1})
    lab.send({"n": 2}, topic="u")
    seeking = EmbeddedConsumer.seek

    def too_late(self: EmbeddedConsumer, partition: TopicPartition, offset: int | OffsetAt) -> None:
        if partition.topic == "u" and offset >= 0:  # where the target says that it is to go on
            monkeypatch.undo()
            admin.delete_topic("u")
        seeking(self, partition, offset)

    monkeypatch.setattr(EmbeddedConsumer, "seek", too_late)
    target = lab.target()
    runner = Sink(lab.cluster, re.compile("t|u"), target, "g", options=SinkOptions(exit_at_end=True))
    try:
        assert runner.run().is_good
    finally:
        target.close()
    assert EmbeddedConsumer.seek is seeking
    assert lab.sql("SELECT n FROM t") == [(1,)]


def test_records_that_were_deleted_before_they_were_written_are_told(both: Lab) -> None:
    both.send({"n": 1})
    both.sink()
    both.send({"n": 2}, {"n": 3}, {"n": 4})
    both.cluster.admin().delete_records({PLACE: 3})
    report = both.sink()
    assert report.gaps == ((PLACE, 1, 2),)
    assert not report.is_good
    assert both.sql("SELECT n FROM t") == [(1,), (4,)]
    assert both.next_offset() == 4
    assert both.sink().is_good


def test_a_target_that_is_ahead_of_the_topic_stops_it(both: Lab) -> None:
    both.send({"n": 1})
    both.sink()
    both.sql("UPDATE _pykafka_offsets SET next = 7 WHERE partition = 0")
    with pytest.raises(DatabaseError, match="t-0 ends at offset 1, and was written up to 7"):
        both.sink()


def test_control_records_are_no_rows_and_are_passed(both: Lab) -> None:
    """Compaction leaves offsets without records; what is behind the last record counts as written, too."""
    both.cluster.admin().incremental_alter_configs(ConfigResource("topic", "t"), {"cleanup.policy": "compact"})
    both.send({"n": 1}, {"n": 2}, keys=[b"a", b"b"])
    assert both.sink(max_messages=1).messages == 1
    assert both.next_offset() == 1
    assert both.sink().messages == 1


def test_from_latest_is_decided_once(both: Lab) -> None:
    both.send({"n": 1})
    assert both.sink(from_latest=True).messages == 0
    both.send({"n": 2})
    assert both.sink(from_latest=True).messages == 1
    assert both.sql("SELECT n FROM t") == [(2,)]


def test_partitions_that_are_added_are_written_too(both: Lab) -> None:
    both.send({"n": 1})
    both.sink()
    both.cluster.admin().create_partitions("t", 3)
    both.send({"n": 2}, partition=2)
    assert both.sink().messages == 1
    assert both.sql("SELECT n FROM t") == [(1,), (2,)]


def test_one_group_for_two_databases_is_refused(lab: Lab, tmp_path: object) -> None:
    with lab.cluster.consumer({"group.id": "g", "client.id": "pykafka-sink-another"}) as consumer:
        consumer.subscribe(["t"])
        consumer.poll(0.01)
        with pytest.raises(DatabaseError, match="group g is writing into another database: name another --group"):
            lab.sink()
    lab.sink()


def test_a_database_that_is_locked_is_waited_for(lab: Lab) -> None:
    """One line when it begins, one when it ends; what was read meanwhile is written."""
    lab.send({"n": 1})
    lab.sink()
    lab.send({"n": 2})
    blocker = sqlite3.connect(lab.database, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    target = SqliteTarget(lab.database, busy=0.0)

    def notice(text: str) -> None:
        lab.notices.append(text)
        if "waiting" in text:
            blocker.execute("COMMIT")

    report = Sink(lab.cluster, ["t"], target, "g", options=SinkOptions(exit_at_end=True), on_notice=notice).run()
    target.close()
    blocker.close()
    assert report.messages == 1
    assert lab.sql("SELECT n FROM t") == [(1,), (2,)]
    assert [notice.partition("/x.db")[2].split(" after")[0] for notice in lab.notices] == [
        ": can't make the sink's tables: database is locked: waiting for it",
        " is back",
    ]


@pytest.mark.parametrize("batch_size", [10_000, 2])
@pytest.mark.parametrize("point", ["claim", "write"])
def test_a_database_that_goes_away_at_work_is_waited_for(both: Lab, point: str, batch_size: int) -> None:
    both.send(*({"n": number} for number in range(5)))
    target = both.target()
    whole = getattr(target, point)
    failures = 3

    def failing(*arguments: object) -> object:
        nonlocal failures
        if failures:
            failures -= 1
            raise DatabaseUnavailableError("x.db: disk full")
        return whole(*arguments)

    setattr(target, point, failing)
    options = SinkOptions(exit_at_end=True, batch_size=batch_size)
    Sink(both.cluster, ["t"], target, "g", options=options, on_notice=both.notices.append).run()
    target.close()
    assert not failures
    assert both.sql("SELECT n FROM t") == [(number,) for number in range(5)]
    assert both.notices[0] == "x.db: disk full: waiting for it"
    assert len(both.notices) == 2


def test_a_database_that_stays_away_ends_it_in_the_end(lab: Lab) -> None:
    lab.send({"n": 1})
    lab.sink()
    lab.send({"n": 2})
    blocker = sqlite3.connect(lab.database, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    target = SqliteTarget(lab.database, busy=0.0)
    options = SinkOptions(exit_at_end=True, retry=0.05)
    with pytest.raises(DatabaseError, match="database is locked: gave up after 0 s"):
        Sink(lab.cluster, ["t"], target, "g", options=options).run()
    blocker.close()
    target.close()
    assert lab.sink().messages == 1


def test_many_rows_in_many_batches(both: Lab) -> None:
    for partition in (0, 1):
        both.send(*({"p": partition, "n": number} for number in range(1000)), partition=partition)
    report = both.sink(batch_size=37)
    assert report.messages == 2000
    for partition in (0, 1):
        order = "rowid" if type(both) is Lab else "ctid"
        found = both.sql(f"SELECT n FROM t WHERE p = {partition} ORDER BY {order}")
        assert found == [(number,) for number in range(1000)]


def test_a_disk_that_is_away_for_a_moment_is_waited_for_and_told_once(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The topic's only one: as by the console consumer. It was the end, where the group had just given a partition."""
    lab.send({"n": 1})
    disk, away = tmp_path / "kafka" / "brokers" / "0", tmp_path / "away"
    disk.rename(away)
    monkeypatch.setattr("pykafka_store.embedded.replication.reader.SETTLE_POLL", 0.0)
    target = lab.target()
    sink = Sink(lab.cluster, ["t"], target, "g", options=SinkOptions(), on_notice=lab.notices.append)
    rounds = []

    def stop() -> bool:
        """Bring the disk back once the sink has found it away, and looked once more."""
        rounds.append(sink.lag() if rounds else 0)
        assert len(rounds) < 1000
        if not disk.exists() and lab.notices and len(rounds) > 3:
            away.rename(disk)
        return bool(sink.report().messages)

    assert sink.run(stop).messages == 1
    target.close()
    (told,) = lab.notices
    assert "t-0" in told
    assert told.endswith(": waiting for it")
    assert lab.sql("SELECT n FROM t") == [(1,)]
