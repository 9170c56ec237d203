"""A directory to send to, and a database to send from."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from pykafka_store.directory import DataDirectory
from pykafka_store.model import TopicPartition
from pykafka_store.open import open_data_directory
from pykafka_store.source.destinations import ToDirectory
from pykafka_store.source.feed import Feed
from pykafka_store.source.postgres_changes import PostgresChanges
from pykafka_store.source.postgres_feeds import PostgresCursor, PostgresQuery
from pykafka_store.source.sourcing import Source, SourceOptions, SourceReport
from pykafka_store.source.sqlite_changes import SqliteChanges
from pykafka_store.source.sqlite_feeds import SqliteCursor, SqliteQuery
from tests.support import postgres


class Lab:
    """One topic ``t`` and a database with a table ``t``, and short words for what tests do with them."""

    kind = "sqlite"
    serial = "INTEGER PRIMARY KEY AUTOINCREMENT"
    feeds = (SqliteCursor, SqliteChanges, SqliteQuery)

    def __init__(self, cluster: DataDirectory, database: str) -> None:
        self.cluster = cluster
        self.database = database
        self.notices: list[str] = []

    def sql(self, statement: str, *values: object) -> list[tuple[object, ...]]:
        with closing(sqlite3.connect(self.database)) as connection, connection:
            return connection.execute(statement, values).fetchall()

    def cursor(self, key: Sequence[str] = (), column: str = "id") -> Feed:
        return self.feeds[0](self.database, "t", column, key)

    def changes(self, key: Sequence[str] = ()) -> Feed:
        return self.feeds[1](self.database, "t", key)

    def query(self, sql: str, key: Sequence[str] = ("id",)) -> Feed:
        return self.feeds[2](self.database, sql, key)

    def send(self, feed: Feed, *, name: str = "s", topic: str = "t", **options: object) -> SourceReport:
        """Send all that is there."""
        wanted = SourceOptions(exit_at_end=True)._replace(**options)  # type: ignore[arg-type]
        with closing(feed):
            source = Source(ToDirectory(self.cluster), topic, feed, name, options=wanted, on_notice=self.notices.append)
            return source.run()

    def topic(self, partitions: int = 1, topic: str = "t") -> list[tuple[object, object]]:
        """(key, value) of each record, both as JSON where they are; partition after partition."""
        found = []
        with self.cluster.consumer() as consumer:
            places = {TopicPartition(topic, number): 0 for number in range(partitions)}
            for place in places:
                consumer.assign({place: 0})
                while runs := consumer.poll(0.0):
                    for run in runs:
                        found += [(_read(key), _read(value)) for key, value in zip(run.keys, run.values, strict=True)]
        return found

    def values(self, partitions: int = 1) -> list[object]:
        return [value for _, value in self.topic(partitions)]


class PostgresLab(Lab):
    kind = "postgres"
    serial = "bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY"
    feeds = (PostgresCursor, PostgresChanges, PostgresQuery)  # type: ignore[assignment]

    def sql(self, statement: str, *values: object) -> list[tuple[object, ...]]:
        with psycopg.connect(self.database) as connection:
            done = connection.execute(statement, values or None)  # type: ignore[call-overload]
            return done.fetchall() if done.description is not None else []


def _read(text: bytes | None) -> object:
    try:
        return None if text is None else json.loads(text)
    except ValueError:
        return text


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[DataDirectory]:
    with open_data_directory(str(tmp_path / "kafka"), create=True) as found:
        yield found


@pytest.fixture
def lab(tmp_path: Path, cluster: DataDirectory) -> Lab:
    sqlite3.connect(tmp_path / "x.db").close()
    (tmp_path / "x.db").touch()
    return Lab(cluster, str(tmp_path / "x.db"))


@pytest.fixture
def pg(cluster: DataDirectory, server: postgres.Server) -> PostgresLab:
    return PostgresLab(cluster, server.new_database())


@pytest.fixture(params=["lab", "pg"], ids=["sqlite", "postgres"])
def both(request: pytest.FixtureRequest) -> Lab:
    """The test runs over each kind of database."""
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Lab)
    return found
