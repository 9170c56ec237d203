"""Two looks at what other processes change: what is concluded from both must hold, whatever they do in between."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from pykafka_store import inspect, write_ahead
from pykafka_store.databases.sqlite import SqliteFile
from pykafka_store.embedded import database_image, making, unused
from pykafka_store.embedded.brokers import Brokers
from pykafka_store.embedded.catalog import Catalog
from pykafka_store.embedded.clock import Clock
from pykafka_store.embedded.cluster import EmbeddedCluster
from pykafka_store.embedded.disk import Disk
from pykafka_store.embedded.groups.database import GroupDatabase
from pykafka_store.embedded.layout import SERVER_LOCK
from pykafka_store.embedded.locks import Locks
from pykafka_store.embedded.log import by_time, slices
from pykafka_store.embedded.log.segment import Segment
from pykafka_store.embedded.partitions import HostedPartition, hosted
from pykafka_store.embedded.replication import upkeep
from pykafka_store.embedded.replication.replicas import Replicas
from pykafka_store.embedded.replication.upkeep import upkeep_of
from pykafka_store.errors import LeaderNotAvailableError, StorageError, UnknownTopicOrPartitionError
from pykafka_store.model import OFFSETS_TOPIC, ConfigResource, OffsetAt, TopicPartition
from pykafka_store.open import format_data_directory, open_cluster, set_aside_unused
from tests.store.helpers import AT_ONCE, rows
from tests.support.between import once

HERE = TopicPartition("t", 0)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[EmbeddedCluster]:
    with EmbeddedCluster(str(tmp_path / "data")) as made:
        yield made


# ------------------------------------------------------------------------------------------------------------- locks


def _locks(root: Path) -> Locks:
    (root / "locks").mkdir(exist_ok=True)
    return Locks(str(root / "locks"), Disk(), Clock())


def test_two_who_look_at_once_do_not_take_each_other_for_a_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second one was told the process of a server that had died long before: kafka-server-stop ended whoever has
    that number by now.
    """
    one, other = _locks(tmp_path), _locks(tmp_path)
    with closing(_locks(tmp_path)) as dead:
        assert dead.keep(SERVER_LOCK)
    said: list[object] = []
    try:
        came = once(
            monkeypatch,
            one,
            "_try",
            lambda: said.extend((other.kept_by(SERVER_LOCK), other.is_kept(SERVER_LOCK))),
            behind=True,
        )
        assert one.kept_by(SERVER_LOCK) is None
        assert (came, said) == ([None], [None, False])
    finally:
        one.close()
        other.close()


def test_a_server_that_starts_as_somebody_looks_for_one_is_not_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, looking = _locks(tmp_path), _locks(tmp_path)
    monkeypatch.setattr(server, "_clock", _Ending(looking, SERVER_LOCK))
    said: list[object] = []
    try:
        once(monkeypatch, looking, "_try", lambda: said.append(server.keep(SERVER_LOCK)), behind=True)
        assert looking.kept_by(SERVER_LOCK) is None  # as it was at the first of its looks
        assert said == [True]
        assert looking.kept_by(SERVER_LOCK) == os.getpid()
        assert not looking.keep(SERVER_LOCK)
    finally:
        server.close()
        looking.close()


class _Ending(Clock):
    """The look ends while the server waits a moment."""

    def __init__(self, looking: Locks, name: str) -> None:
        self._looking, self._name = looking, name

    def sleep(self, seconds: float) -> None:
        import fcntl

        fcntl.flock(self._looking._descriptors[self._name], fcntl.LOCK_UN)


def test_a_server_that_has_not_said_yet_which_process_it_is_is_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between its lock and its number the file has that of a server that was killed."""
    server, looking = _locks(tmp_path), _locks(tmp_path)
    (tmp_path / "locks" / f"{SERVER_LOCK}.lock").write_text("4194303\n")
    said: list[object] = []
    has_looked = threading.Event()
    looker = threading.Thread(target=lambda: said.append(looking.kept_by(SERVER_LOCK)))

    def look() -> None:
        once(monkeypatch, os, "pread", has_looked.set, behind=True)
        looker.start()
        has_looked.wait()

    try:
        came = once(monkeypatch, os, "pwrite", look)
        assert server.keep(SERVER_LOCK)
        looker.join()
        assert (came, said) == ([None], [os.getpid()])
    finally:
        server.close()
        looking.close()


# --------------------------------------------------------------------------------------------------------- databases


def _begun(root: Path) -> None:
    """As far as a process comes that makes the first group and has lost its processor before there are tables."""
    with closing(sqlite3.connect(root / "groups.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")


def test_groups_that_are_just_being_made_are_none_for_who_only_reads(cluster: EmbeddedCluster) -> None:
    root = Path(cluster.directory)
    _begun(root)
    with EmbeddedCluster(cluster.directory, read_only=True) as reading:
        assert not reading.engine.groups.has_groups()
        assert OFFSETS_TOPIC not in {each.name for each in reading.admin().list_topics()}
        with GroupDatabaseOf(root) as made:
            assert not reading.engine.groups.has_groups()
            with made.transaction():
                made.add_group_within("g")
            assert reading.engine.groups.has_groups()


class GroupDatabaseOf(GroupDatabase):
    def __init__(self, root: Path) -> None:
        super().__init__(str(root))

    def __enter__(self) -> GroupDatabaseOf:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def test_an_image_is_of_no_groups_while_they_are_being_made(
    cluster: EmbeddedCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who may not write the directory reads the file as it stands."""
    root = Path(cluster.directory)
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    with closing(GroupDatabase(str(root), read_only=True)) as reading:
        assert not reading.has_groups()
        _begun(root)
        assert not reading.has_groups()
        monkeypatch.undo()
        with GroupDatabaseOf(root) as made, made.transaction():
            made.add_group_within("g")
        monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
        assert reading.has_groups()


def test_a_log_that_goes_as_it_is_looked_at_is_none(cluster: EmbeddedCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last who had the catalogue open closed it: SQLite removes the log then."""
    cluster.admin().create_topic("t")
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    came = once(monkeypatch, os.path, "getsize", cluster.close, when=lambda path: path.endswith("-wal"))
    with closing(Catalog(cluster.directory, read_only=True)) as catalog:
        assert [name for name, _ in catalog.topic_names()] == ["t"]
    assert len(came) <= 1


def test_an_image_that_another_change_may_have_followed_at_once_is_not_settled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process stood still between the time and the look: the file was changed in that very tick."""
    path = tmp_path / "a.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE t (id)")
    os.utime(path, ns=(0, 0))
    later = database_image.time.time_ns() + 10**9
    changed = once(monkeypatch, database_image, "_times", lambda: os.utime(path, ns=(later, later)))
    monkeypatch.setattr(database_image.time, "time_ns", lambda: later if changed else later - 10**9)
    assert not database_image.read_image(Disk(), str(path)).is_settled


def test_what_is_put_aside_as_it_is_opened_is_not_taken_for_what_has_its_name_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """kafka-server-start put an unused directory aside and made its own there, as a command had just opened the old
    one's catalogue: the command's topic was created where nobody looks.
    """
    root = tmp_path / "data"
    EmbeddedCluster(str(root)).close()

    def made_anew() -> None:
        assert set_aside_unused(root) is not None
        EmbeddedCluster(str(root)).close()

    came = once(monkeypatch, sqlite3, "connect", made_anew, behind=True)
    with EmbeddedCluster(str(root)) as cluster:
        cluster.admin().create_topic("t")
    assert came
    with EmbeddedCluster(str(root), create=False) as cluster:
        assert [each.name for each in cluster.admin().list_topics()] == ["t"]


def test_of_two_who_put_an_unused_directory_aside_the_second_leaves_what_the_first_has_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "data"
    EmbeddedCluster(str(root)).close()

    def first() -> None:
        assert set_aside_unused(root) is not None
        EmbeddedCluster(str(root)).close()

    came = once(monkeypatch, unused, "_renamed", first)
    assert set_aside_unused(root) is None
    assert came
    assert sum(1 for _ in tmp_path.iterdir()) == 2
    assert (root / "meta.properties").exists()


def test_of_two_who_put_an_unused_directory_aside_the_second_finds_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "data"
    EmbeddedCluster(str(root)).close()
    for step in ("_renamed", "Catalog", "Locks"):
        root.exists() or EmbeddedCluster(str(root)).close()
        with monkeypatch.context() as patch:
            came = once(patch, unused, step, lambda: set_aside_unused(root))
            assert set_aside_unused(root) is None
        assert came
        assert not root.exists()


def test_an_unused_directory_that_is_put_aside_and_made_anew_as_it_is_looked_at_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is not there is asked for once: by the next look it is another one."""
    root = tmp_path / "data"
    EmbeddedCluster(str(root)).close()
    original = unused.names_of_others

    def gone_and_back(disk: Disk, path: str) -> list[str]:
        monkeypatch.setattr(unused, "names_of_others", original)
        assert set_aside_unused(root) is not None
        try:
            return list(original(disk, path))
        finally:
            EmbeddedCluster(str(root)).close()

    monkeypatch.setattr(unused, "names_of_others", gone_and_back)
    assert set_aside_unused(root) is None
    assert (root / "meta.properties").exists()


def test_of_two_who_make_a_directory_the_one_that_was_to_make_it_anew_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """kafka-storage format said that it had formatted what another had made, with another cluster.id."""
    root = str(tmp_path / "data")
    came = once(monkeypatch, making, "names_of_others", lambda: format_data_directory(root, "theirs"), behind=True)
    with pytest.raises(StorageError, match="a data directory already"):
        format_data_directory(root, "ours")
    assert came
    with open_cluster(root) as cluster:
        assert cluster.admin().cluster_id() == "theirs"


# ------------------------------------------------------------------------------------------------- brokers and topics


@pytest.mark.parametrize("what", ["describe", "log_dirs", "offsets", "maintain", "topics", "quorum"])
def test_a_broker_that_is_removed_between_two_looks_is_nobodys_error(
    cluster: EmbeddedCluster, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    cluster.admin().create_topic("t")
    cluster.add_broker(1)
    original = Brokers.all

    def removed() -> None:
        monkeypatch.setattr(Brokers, "all", original)
        with EmbeddedCluster(cluster.directory) as other:
            other.remove_broker(1)

    came = once(monkeypatch, Brokers, "all", removed, behind=True)
    admin = cluster.admin()
    if what == "describe":
        assert {each.id for each in cluster.brokers()} <= {0, 1}
    elif what == "log_dirs":
        assert set(admin.describe_log_dirs([0, 1])) <= {0, 1}
    elif what == "offsets":
        assert admin.list_offsets({HERE: OffsetAt.LATEST}) == {HERE: 0}
    elif what == "maintain":
        assert not cluster.maintain().failures
    elif what == "topics":
        assert [each.name for each in admin.describe_topics()] == ["t"]
    else:
        assert admin.describe_quorum().leader_id == 0
    assert came


def test_a_broker_that_is_removed_as_soon_as_it_is_added_was_added(
    cluster: EmbeddedCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = cluster.engine.locks.cluster

    with EmbeddedCluster(cluster.directory) as other:

        @contextmanager
        def waited_for() -> Iterator[None]:
            with lock():
                yield
            other.remove_broker(1)

        monkeypatch.setattr(cluster.engine.locks, "cluster", waited_for)
        assert cluster.add_broker(1).id == 1
        assert [each.id for each in other.brokers()] == [0]


@pytest.mark.parametrize("what", ["deleted", "moved"])
def test_a_replica_that_goes_as_log_directories_are_described_is_not_there(
    cluster: EmbeddedCluster, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """It was asked whether there is its directory, and that was listed then: "No such file or directory"."""
    cluster.add_broker(1)
    for topic in ("stays", "t"):
        cluster.admin().create_topic(topic, assignments=[[0]])

    def goes() -> None:
        with EmbeddedCluster(cluster.directory) as other:
            if what == "deleted":
                other.admin().delete_topic("t")
            else:
                assert other.admin().alter_partition_reassignments({HERE: [1]}) == {HERE: None}
                assert other.reassign() == {HERE: None}

    came = once(monkeypatch, Disk, "list", goes, when=lambda _disk, path: path.endswith("/t-0"))
    (described,) = cluster.admin().describe_log_dirs([0])[0]
    assert came
    assert [str(each.partition) for each in described.replicas] == ["stays-0"]


def test_records_are_not_deleted_where_the_last_broker_is_stopped_at_that_moment(
    cluster: EmbeddedCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.add_broker(1)
    cluster.admin().create_topic("t", assignments=[[1]])

    def stopped() -> None:
        with EmbeddedCluster(cluster.directory) as other:
            other.stop_broker(1)

    came = once(monkeypatch, upkeep, "upkeep_of", stopped)
    (answer,) = cluster.admin().delete_records({HERE: 0}).values()
    assert came
    assert isinstance(answer, LeaderNotAvailableError)


def test_a_log_directory_that_goes_as_it_is_described_is_said_to_be_gone(
    cluster: EmbeddedCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = _two_log_directories(cluster, tmp_path)["here"]

    def unmounted() -> None:
        here.rename(tmp_path / "unmounted")

    came = once(monkeypatch, Disk, "space", unmounted, when=lambda _disk, path: path == str(here))
    problems = {each.path: each.error for each in cluster.admin().describe_log_dirs([1])[1]}
    assert came
    assert [path for path, problem in problems.items() if problem is not None] == [str(here)]


def test_a_topic_that_is_on_its_way_as_it_is_deleted_leaves_nothing(
    cluster: EmbeddedCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its row was read before a move began, and the deletion looked for directories where that said."""
    places = _two_log_directories(cluster, tmp_path)
    with cluster.producer(AT_ONCE) as producer:
        producer.send("t", [b"x"], partitions=0)
    came = once(monkeypatch, Catalog, "transaction", lambda: _moved(cluster, places["there"]))
    cluster.admin().delete_topic("t")
    assert came
    assert [path.name for place in places.values() for path in place.iterdir() if "t-0" in path.name] == []


def test_a_topic_that_is_deleted_as_soon_as_it_is_made_was_made(
    cluster: EmbeddedCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    with EmbeddedCluster(cluster.directory) as other:
        comes_or_waits = threading.Event()

        def delete() -> None:
            other.admin().delete_topic("t")
            comes_or_waits.set()

        deleter = threading.Thread(target=delete)

        def deleted() -> None:
            once(monkeypatch, other.engine.locks, "_wait", comes_or_waits.set)
            deleter.start()
            comes_or_waits.wait()

        came = once(monkeypatch, Catalog, "require_topic", deleted)
        assert cluster.admin().create_topic("t").name == "t"
        deleter.join()
        assert came
        assert cluster.admin().list_topics() == []


def _two_log_directories(cluster: EmbeddedCluster, parent: Path) -> dict[str, Path]:
    """Of broker 1: the one that has the topic's only partition, and the other."""
    paths = [parent / "one", parent / "two"]
    cluster.add_broker(1, [str(path) for path in paths])
    cluster.admin().create_topic("t", assignments=[[1]])
    paths.sort(key=lambda path: not (path / "t-0").exists())
    return dict(zip(("here", "there"), paths, strict=True))


def _moved(cluster: EmbeddedCluster, path: Path) -> None:
    with EmbeddedCluster(cluster.directory) as other:
        (why,) = other.admin().alter_replica_log_dirs({(HERE, 1): str(path)}).values()
        assert why is None
        assert list(other.reassign().values()) == [None]
    assert (path / "t-0").exists()


def test_a_replica_that_was_moved_there_and_back_is_read(cluster: EmbeddedCluster, tmp_path: Path) -> None:
    """Its state said that it was gone, in the file that the reader had opened: "the topic was deleted"."""
    places = _two_log_directories(cluster, tmp_path)
    with cluster.producer(AT_ONCE) as producer, cluster.consumer() as consumer:
        consumer.assign({HERE: 0})
        producer.send("t", [b"1"], partitions=0)
        assert [row.value for row in rows(consumer.poll())] == [b"1"]
        _moved(cluster, places["there"])
        _moved(cluster, places["here"])
        producer.send("t", [b"2"], partitions=0)
        assert [row.value for row in rows(consumer.poll())] == [b"2"]


def test_what_a_next_move_is_on_its_way_to_is_not_what_the_last_one_left(
    cluster: EmbeddedCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = _two_log_directories(cluster, tmp_path)
    with cluster.producer(AT_ONCE) as producer:
        producer.send("t", [b"1"], partitions=0)
    (why,) = cluster.admin().alter_replica_log_dirs({(HERE, 1): str(places["there"])}).values()
    assert why is None

    def back_halfway() -> None:
        """As far as another process comes that has begun to move it back."""
        with EmbeddedCluster(cluster.directory) as other:
            assert other.admin().alter_replica_log_dirs({(HERE, 1): str(places["here"])}) == {(HERE, 1): None}

    came = once(monkeypatch, Replicas, "_follow", back_halfway, behind=True)
    cluster.reassign()
    assert came
    assert (places["here"] / "t-0").exists()


def test_upkeep_leaves_alone_what_lies_there_of_a_topic_that_was_made_anew(
    cluster: EmbeddedCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It threw away what the new topic's compaction was writing, under the old one's locks."""
    cluster.admin().create_topic("t")
    partition = hosted(cluster.engine, HERE)
    with partition.lock():
        pass  # its file stays open: who has it so knew the topic
    being_written = Path(partition.leader_directory()) / f"{0:020d}.log.cleaned"

    def made_anew() -> None:
        with EmbeddedCluster(cluster.directory) as other:
            other.admin().delete_topic("t")
            other.admin().create_topic("t")
        being_written.write_bytes(b"")

    came = once(monkeypatch, HostedPartition, "replica_at", made_anew)
    (of_replica,) = upkeep_of(partition)
    with pytest.raises(UnknownTopicOrPartitionError):
        of_replica.run()
    assert came
    assert being_written.exists()


# ----------------------------------------------------------------------------------------------------------- reading


def _filled(cluster: EmbeddedCluster, stamps: list[int], **configs: str) -> None:
    settings = {"segment.bytes": "1048576", "retention.ms": "-1"} | {
        name.replace("_", "."): value for name, value in configs.items()
    }
    cluster.admin().create_topic("t", configs=settings)
    with cluster.producer(AT_ONCE) as producer:
        for stamp in stamps:
            producer.send("t", [b"%0400000d" % stamp], keys=[b"k"], timestamps=stamp, partitions=0)


def _delete_before(cluster: EmbeddedCluster, offset: int) -> None:
    with EmbeddedCluster(cluster.directory) as other:
        assert other.admin().delete_records({HERE: offset}) == {HERE: offset}


def test_the_newest_is_asked_for_as_the_oldest_go(cluster: EmbeddedCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    _filled(cluster, [9000, 1, 2, 3, 4, 5])
    came = once(monkeypatch, by_time, "offset_for_timestamp", lambda: _delete_before(cluster, 4))
    assert cluster.admin().list_offsets({HERE: OffsetAt.MAX_TIMESTAMP}) == {HERE: 5}
    assert came


def test_a_slice_of_what_is_compacted_just_then_is_no_damage(
    cluster: EmbeddedCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pykafka_store.embedded.replication.reader import open_reader

    _filled(cluster, [], min_cleanable_dirty_ratio="0.0")
    with cluster.producer(AT_ONCE | {"batch.size": "1000000"}) as producer:
        for keys in [b"k", b"j"], [b"k"], [b"k"], [b"k"]:
            producer.send("t", [bytes(600_000 if keys == [b"k"] else 40_000)] * len(keys), keys=keys, partitions=0)
    cluster.admin().incremental_alter_configs(ConfigResource("topic", "t"), {"cleanup.policy": "compact"})

    def compacted() -> None:
        with EmbeddedCluster(cluster.directory) as other:
            assert other.maintain().compacted_out

    with closing(open_reader(cluster.engine, HERE)) as reader:
        assert reader.state().active_base_offset > 2
        came = once(monkeypatch, slices, "_slice_at", compacted)
        found = reader.slice(0, 1 << 20)
        assert came
        assert found is not None
        found.close()


def test_a_segment_that_comes_with_the_first_record_as_it_is_dumped_is_read(
    cluster: EmbeddedCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.admin().create_topic("t")
    path = os.path.join(hosted(cluster.engine, HERE).leader_directory(), f"{0:020d}.log")

    def first() -> None:
        with cluster.producer(AT_ONCE) as producer:
            producer.send("t", [b"1"], partitions=0)

    came = once(monkeypatch, inspect, "_is_unwritten", first)
    with inspect.SegmentFile(path) as segment:
        assert [each.header.base_offset for each in segment.batches()] == [0]
    assert came


@pytest.mark.parametrize("step", ["changed_at", "headers"])
def test_producers_are_looked_for_as_segments_go(
    cluster: EmbeddedCluster, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    from pykafka_store.embedded.replication.reader import PartitionReader
    from pykafka_store.embedded.serving.partitions import ServedPartitions

    _filled(cluster, [1, 2, 3, 4, 5])
    served = ServedPartitions(cluster.engine)
    partition = served.get(cluster.engine.catalog.topic_ids()["t"], HERE)
    owner = Segment if step == "changed_at" else PartitionReader
    came = once(monkeypatch, owner, step, lambda: _delete_before(cluster, 4))
    assert list(partition.recent_producers(Clock().now_ms())) == []
    assert came
    served.close()


# ------------------------------------------------------------------------------------------------- databases of users


def test_two_who_make_a_database_at_once_both_have_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tmp_path / "new.db")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")  # amid its making
        came = once(monkeypatch, write_ahead.time, "sleep", lambda: other.execute("ROLLBACK"))
        file = SqliteFile(path, busy=0.0)
        assert came
        file.connection.close()
