"""metadata.db: what exists. Topics, partitions, replicas, in-sync replicas, leader epochs, settings, brokers.

Topics are keyed by id, so that a topic made again under its old name is another topic.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pykafka_store.embedded import reserve
from pykafka_store.embedded.database import Database
from pykafka_store.embedded.layout import CATALOG_FILE
from pykafka_store.errors import StorageError, UnknownTopicOrPartitionError
from pykafka_store.format.names import collision_key

if TYPE_CHECKING:
    from pykafka_store.embedded.catalog_rows import BrokerRow, LogDirRow, PartitionRow, ReplicaRow, TopicRow
    from pykafka_store.model import TopicPartition

_MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE brokers (id INTEGER PRIMARY KEY, path TEXT NOT NULL, running INTEGER NOT NULL DEFAULT 1);
    CREATE TABLE topics (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, collision_key TEXT NOT NULL UNIQUE)
        WITHOUT ROWID;
    CREATE TABLE partitions (
        topic_id TEXT NOT NULL REFERENCES topics (id) ON DELETE CASCADE, partition INTEGER NOT NULL,
        leader INTEGER, leader_epoch INTEGER NOT NULL, PRIMARY KEY (topic_id, partition)) WITHOUT ROWID;
    CREATE TABLE replicas (
        topic_id TEXT NOT NULL REFERENCES topics (id) ON DELETE CASCADE, partition INTEGER NOT NULL,
        position INTEGER NOT NULL, broker INTEGER NOT NULL, in_sync INTEGER NOT NULL,
        PRIMARY KEY (topic_id, partition, position)) WITHOUT ROWID;
    CREATE TABLE topic_configs (
        topic_id TEXT NOT NULL REFERENCES topics (id) ON DELETE CASCADE, name TEXT NOT NULL, value TEXT NOT NULL,
        PRIMARY KEY (topic_id, name)) WITHOUT ROWID;
    """,
    # A broker may have several log directories, and a replica may be on its way to another broker or directory.
    """
    CREATE TABLE log_dirs (
        broker INTEGER NOT NULL, position INTEGER NOT NULL, path TEXT NOT NULL, directory_id TEXT,
        PRIMARY KEY (broker, position)) WITHOUT ROWID;
    INSERT INTO log_dirs SELECT id, 0, path, NULL FROM brokers;
    ALTER TABLE brokers RENAME TO brokers_1;
    CREATE TABLE brokers (id INTEGER PRIMARY KEY, running INTEGER NOT NULL DEFAULT 1);
    INSERT INTO brokers SELECT id, running FROM brokers_1;
    DROP TABLE brokers_1;
    ALTER TABLE replicas ADD COLUMN log_dir INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE replicas ADD COLUMN future_log_dir INTEGER;
    ALTER TABLE replicas ADD COLUMN change TEXT;
    CREATE TABLE configs (
        type TEXT NOT NULL, name TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (type, name, key))
        WITHOUT ROWID;
    ALTER TABLE partitions ADD COLUMN isr_sorted INTEGER NOT NULL DEFAULT 0;
    CREATE TABLE changes (number INTEGER NOT NULL);
    INSERT INTO changes VALUES (1);
    """,
)


_FULL = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}
"""What SQLite says where there is no room: for the database or its WAL, and for what lies beside them."""


_DELETION = "deletion"
"""The type under which ``configs`` has what is still to be taken away of a deleted topic: a table of its own would be
another version of the catalogue, which older programs refuse.
"""

_LOG_START = "log start"
"""The type under which ``configs`` has, by topic id and partition, where a log starts of which a replica that may lead
next was not told so.
"""


class Catalog(Database):
    """One connection to a data directory's metadata.db."""

    MIGRATIONS = _MIGRATIONS
    SYNCHRONOUS = "FULL"  # what is committed here is rare and must survive a power cut: topics

    def __init__(self, directory: str, *, create: bool = False, read_only: bool = False) -> None:
        super().__init__(os.path.join(directory, CATALOG_FILE), "ro" if read_only else "rwc" if create else "rw")

    def with_reserve(self, change: Callable[[], None]) -> None:
        """Change something, on a full disk in the room that was kept for that."""
        try:
            change()
        except StorageError as error:
            if getattr(error.__cause__, "sqlite_errorcode", 0) & 0xFF not in _FULL:
                raise
            reserve.release(os.path.dirname(self.path))
            change()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """See :meth:`Database.transaction`; counts it."""
        with super().transaction():
            yield
            self._connection.execute("UPDATE changes SET number = number + 1")

    def supersede_unfinished_commit(self) -> None:
        """Commit something, before a directory that the catalogue does not know is set aside.

        SQLite writes and syncs a commit's frames, and then says in the WAL's index that they count. A process that is
        killed in between has committed nothing, as far as any other process sees; but when all of them have died too,
        the next one reads the WAL from its file, and there the commit is. A commit written over those frames ends that.
        """
        with self.transaction():
            pass

    # ------------------------------------------------------------------------------------------------ reading

    def brokers(self) -> dict[int, BrokerRow]:
        """All brokers, stopped ones too, by id."""
        from pykafka_store.embedded.catalog_rows import BrokerRow, LogDirRow

        with self.snapshot():
            paths: dict[int, list[LogDirRow]] = {}
            for broker, *row in self._connection.execute(
                "SELECT broker, path, directory_id FROM log_dirs ORDER BY broker, position"
            ):
                paths.setdefault(broker, []).append(LogDirRow(*row))
            rows = self._connection.execute("SELECT id, running FROM brokers ORDER BY id").fetchall()
        return {id: BrokerRow(id, bool(running), tuple(paths[id])) for id, running in rows}

    def is_in_use(self) -> bool:
        """Whether it says anything but the first broker, which it has from its making on."""
        with self._explained():
            row = self._connection.execute(
                "SELECT EXISTS (SELECT * FROM topics) OR EXISTS (SELECT * FROM configs) OR COUNT(*) > 1 FROM brokers"
            ).fetchone()
        return bool(row[0])

    def topic_names(self) -> list[tuple[str, str]]:
        """(name, id) of every topic, sorted by name."""
        with self._explained():
            return self._connection.execute("SELECT name, id FROM topics ORDER BY name").fetchall()

    def topic_ids(self) -> dict[str, str]:
        """The id of every topic, by name."""
        return dict(self.topic_names())

    def topic_id(self, name: str) -> str | None:
        if not name.isascii():
            return None  # as below
        with self._explained():
            row = self._connection.execute("SELECT id FROM topics WHERE name = ?", (name,)).fetchone()
        return row[0] if row else None

    def partition_counts(self) -> dict[str, int]:
        """Topic -> its number of partitions."""
        with self._explained():
            return dict(
                self._connection.execute(
                    "SELECT name, COUNT(*) FROM topics JOIN partitions ON topic_id = topics.id GROUP BY name"
                )
            )

    def topic(self, name: str) -> TopicRow | None:
        if not name.isascii():
            return None  # no topic has such a name, and SQLite takes no bytes that are no Unicode text
        return next(iter(self.topics("WHERE topics.name = ?", (name,))), None)

    def require_topic(self, name: str) -> TopicRow:
        """Raises UnknownTopicOrPartitionError, which says how one is made."""
        row = self.topic(name)
        if row is None:
            raise unknown_topic(name)
        return row

    def partitions(self) -> list[tuple[TopicPartition, PartitionRow]]:
        """All partitions of all topics, sorted."""
        from pykafka_store.model import TopicPartition

        return [(TopicPartition(topic.name, row.partition), row) for topic in self.topics() for row in topic.partitions]

    def topics(self, where: str = "", parameters: Sequence[str] = ()) -> list[TopicRow]:
        """Topics with all that belongs to them, sorted by name, in four queries whatever their number."""
        from pykafka_store.embedded.catalog_rows import PartitionRow, ReplicaRow, TopicRow

        with self.snapshot():
            connection = self._connection
            names = connection.execute(f"SELECT id, name FROM topics {where} ORDER BY name", parameters).fetchall()  # noqa: S608
            join = f"JOIN topics ON topics.id = topic_id {where}"
            replicas: dict[tuple[str, int], list[ReplicaRow]] = {}
            for topic_id, partition, *host in connection.execute(
                "SELECT topic_id, partition, broker, in_sync, log_dir, future_log_dir, change "  # noqa: S608
                f"FROM replicas {join} ORDER BY topic_id, partition, position",
                parameters,
            ):
                replicas.setdefault((topic_id, partition), []).append(ReplicaRow._make(host))
            partitions: dict[str, list[PartitionRow]] = {}
            for topic_id, partition, leader, epoch, isr_sorted in connection.execute(
                "SELECT topic_id, partition, leader, leader_epoch, isr_sorted "  # noqa: S608
                f"FROM partitions {join} ORDER BY topic_id, partition",
                parameters,
            ):
                hosts = tuple(replicas.get((topic_id, partition), ()))
                partitions.setdefault(topic_id, []).append(
                    PartitionRow(partition, leader, epoch, hosts, bool(isr_sorted))
                )
            configs: dict[str, dict[str, str]] = {}
            for topic_id, key, value in connection.execute(
                f"SELECT topic_id, topic_configs.name, value FROM topic_configs {join}",  # noqa: S608
                parameters,
            ):
                configs.setdefault(topic_id, {})[key] = value
        return [TopicRow(id, name, tuple(partitions.get(id, ())), configs.get(id, {})) for id, name in names]

    def partition(self, topic_id: str, number: int) -> tuple[PartitionRow, dict[str, str]] | None:
        """One partition, and its topic's overrides; None if the topic is gone, or never had it."""
        from pykafka_store.embedded.catalog_rows import PartitionRow, ReplicaRow

        with self.snapshot():
            connection = self._connection
            key = (topic_id, number)
            stored = connection.execute(
                "SELECT leader, leader_epoch, isr_sorted FROM partitions WHERE topic_id = ? AND partition = ?", key
            ).fetchone()
            if stored is None:
                return None
            hosts = connection.execute(
                "SELECT broker, in_sync, log_dir, future_log_dir, change FROM replicas "
                "WHERE topic_id = ? AND partition = ? ORDER BY position",
                key,
            ).fetchall()
            configs = connection.execute("SELECT name, value FROM topic_configs WHERE topic_id = ?", (topic_id,))
            leader, epoch, isr_sorted = stored
            row = PartitionRow(number, leader, epoch, tuple(map(ReplicaRow._make, hosts)), bool(isr_sorted))
            return row, dict(configs.fetchall())

    def has_leaderless_partitions(self) -> bool:
        with self._explained():
            return self._connection.execute("SELECT 1 FROM partitions WHERE leader IS NULL").fetchone() is not None

    def changes(self) -> int:
        """How often the catalogue was changed."""
        with self._explained():
            return int(self._connection.execute("SELECT number FROM changes").fetchone()[0])

    def configs(self, kind: str) -> dict[str, dict[str, str]]:
        """What was set on brokers or groups (``broker``, ``group``): name, empty for all -> setting -> value."""
        configs: dict[str, dict[str, str]] = {}
        with self._explained():
            rows = self._connection.execute("SELECT name, key, value FROM configs WHERE type = ?", (kind,))
            for name, key, value in rows:
                configs.setdefault(name, {})[key] = value
        return configs

    def deletions(self) -> dict[str, tuple[str, int]]:
        """Topics whose deleting is under way, or was cut short: id -> name and number of partitions."""
        found = self.configs(_DELETION)
        return {topic_id: (next(iter(said)), int(next(iter(said.values())))) for topic_id, said in found.items()}

    def log_start(self, topic_id: str, partition: int) -> int:
        """What ``note_log_start`` was told last; 0 where it was told nothing."""
        with self._explained():
            row = self._connection.execute(
                "SELECT value FROM configs WHERE type = ? AND name = ? AND key = ?",
                (_LOG_START, topic_id, str(partition)),
            ).fetchone()
        return int(row[0]) if row else 0

    def colliding_topic(self, name: str) -> str | None:
        """The topic whose name equals this one but for ``.`` against ``_`` (itself, if it exists)."""
        with self._explained():
            row = self._connection.execute(
                "SELECT name FROM topics WHERE collision_key = ?", (collision_key(name),)
            ).fetchone()
        return row[0] if row else None

    # ------------------------------------------------------------------------------------------------ changing

    def add_broker(self, broker: int, log_dirs: Sequence[LogDirRow]) -> None:
        """Inside a transaction, like all that follow. One that is there already is fine: so is making it again."""
        self._connection.execute("INSERT OR IGNORE INTO brokers (id) VALUES (?)", (broker,))
        self._connection.executemany(
            "INSERT OR IGNORE INTO log_dirs VALUES (?, ?, ?, ?)",
            ((broker, position, each.path, each.directory_id) for position, each in enumerate(log_dirs)),
        )

    def set_running(self, broker: int, running: bool) -> None:
        self._connection.execute("UPDATE brokers SET running = ? WHERE id = ?", (running, broker))

    def remove_broker(self, broker: int) -> None:
        self._connection.execute("DELETE FROM brokers WHERE id = ?", (broker,))
        self._connection.execute("DELETE FROM log_dirs WHERE broker = ?", (broker,))
        from pykafka_store.settings.configs import static_name

        self._connection.execute(
            "DELETE FROM configs WHERE type = 'broker' AND name IN (?, ?)", (str(broker), static_name(broker))
        )

    def add_topic(
        self, topic_id: str, name: str, assignments: Sequence[Sequence[int | ReplicaRow]], configs: Mapping[str, str]
    ) -> None:
        """A topic with one replica list a partition; see ``add_partitions``."""
        self._connection.execute("INSERT INTO topics VALUES (?, ?, ?)", (topic_id, name, collision_key(name)))
        self._connection.executemany(
            "INSERT INTO topic_configs VALUES (?, ?, ?)", ((topic_id, key, value) for key, value in configs.items())
        )
        self.add_partitions(topic_id, enumerate(assignments))

    def add_partitions(self, topic_id: str, assignments: Iterable[tuple[int, Sequence[int | ReplicaRow]]]) -> None:
        """(partition, replicas) pairs. The first replica that is in sync leads; a bare broker stands for one."""
        from pykafka_store.embedded.catalog_rows import IN_SYNC, ReplicaRow

        for partition, replicas in assignments:
            hosts = [each if isinstance(each, ReplicaRow) else ReplicaRow(each) for each in replicas]
            leader = next((each.broker for each in hosts if each.sync == IN_SYNC), None)
            self._connection.execute(
                "INSERT INTO partitions (topic_id, partition, leader, leader_epoch) VALUES (?, ?, ?, 0)",
                (topic_id, partition, leader),
            )
            self.set_replicas(topic_id, partition, hosts)

    def set_replicas(self, topic_id: str, partition: int, hosts: Iterable[ReplicaRow]) -> None:
        self._connection.execute("DELETE FROM replicas WHERE topic_id = ? AND partition = ?", (topic_id, partition))
        self._connection.executemany(
            "INSERT INTO replicas (topic_id, partition, position, broker, in_sync, log_dir, future_log_dir, change) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            ((topic_id, partition, position, *host) for position, host in enumerate(hosts)),
        )

    def set_partition(self, topic_id: str, row: PartitionRow) -> None:
        """All that the row says."""
        self._connection.execute(
            "UPDATE partitions SET leader = ?, leader_epoch = ?, isr_sorted = ? WHERE topic_id = ? AND partition = ?",
            (row.leader, row.leader_epoch, row.isr_sorted, topic_id, row.partition),
        )
        self.set_replicas(topic_id, row.partition, row.hosts)

    def change_configs(self, topic_id: str, changes: Mapping[str, str], deletions: Iterable[str]) -> None:
        """Inside a transaction: set some of a topic's overrides and remove others."""
        self._connection.executemany(
            "INSERT OR REPLACE INTO topic_configs VALUES (?, ?, ?)",
            ((topic_id, key, value) for key, value in changes.items()),
        )
        self._connection.executemany(
            "DELETE FROM topic_configs WHERE topic_id = ? AND name = ?", ((topic_id, key) for key in deletions)
        )

    def change_entity_configs(self, kind: str, name: str, changes: Mapping[str, str], deletions: Iterable[str]) -> None:
        """Inside a transaction: set some settings of a broker or a group and remove others."""
        self._connection.executemany(
            "INSERT OR REPLACE INTO configs VALUES (?, ?, ?, ?)",
            ((kind, name, key, value) for key, value in changes.items()),
        )
        self._connection.executemany(
            "DELETE FROM configs WHERE type = ? AND name = ? AND key = ?", ((kind, name, key) for key in deletions)
        )

    def note_deletion(self, topic_id: str, name: str, partitions: int) -> None:
        """Inside a transaction: what is still to be taken away of a topic that is removed."""
        self.change_entity_configs(_DELETION, topic_id, {name: str(partitions)}, ())

    def forget_deletion(self, topic_id: str) -> None:
        """Inside a transaction: all of it was taken away."""
        self._connection.execute("DELETE FROM configs WHERE type = ? AND name = ?", (_DELETION, topic_id))

    def note_log_start(self, topic_id: str, partition: int, offset: int) -> None:
        """Inside a transaction: the partition's log starts there, also with a leader whose own does not."""
        self.change_entity_configs(_LOG_START, topic_id, {str(partition): str(offset)}, ())

    def remove_topic(self, topic_id: str) -> None:
        """Inside a transaction: the topic and all that belongs to it."""
        self._connection.execute("DELETE FROM configs WHERE type = ? AND name = ?", (_LOG_START, topic_id))
        self._connection.execute("DELETE FROM topics WHERE id = ?", (topic_id,))


def unknown_topic(name: str) -> UnknownTopicOrPartitionError:
    return UnknownTopicOrPartitionError(
        f"Topic '{name}' does not exist: create it with kafka-topics --create --topic {name}"
    )
