"""A cluster in a directory, and a database beside it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

import psycopg
import pytest

from pykafka_store import Cluster, TopicPartition, open_cluster
from pykafka_store.sink.options import SinkOptions
from pykafka_store.sink.postgres_target import PostgresTarget
from pykafka_store.sink.report import SinkReport
from pykafka_store.sink.sinking import Sink
from pykafka_store.sink.sqlite_target import SqliteTarget
from pykafka_store.sink.target import Target
from tests.support import postgres


class Lab:
    """One topic ``t`` and one database, and short words for what tests do with them."""

    def __init__(self, cluster: Cluster, database: str) -> None:
        self.cluster = cluster
        self.database = database
        self.notices: list[str] = []

    def send(
        self, *values: object, keys: Sequence[bytes | None] | None = None, topic: str = "t", partition: int = 0
    ) -> None:
        """Records of these values: bytes and None as they are, others as JSON."""
        raw = [value if value is None or isinstance(value, bytes) else json.dumps(value).encode() for value in values]
        with self.cluster.producer() as producer:
            producer.send(topic, raw, keys=keys, partitions=partition)

    def target(self) -> Target:
        return SqliteTarget(self.database)

    def sink(self, *, group: str = "g", topic: str = "t", table: str | None = None, **options: object) -> SinkReport:
        """Write all that is there."""
        target = self.target()
        wanted = SinkOptions(exit_at_end=True)._replace(**options)  # type: ignore[arg-type]
        try:
            runner = Sink(
                self.cluster, [topic], target, group, table=table, options=wanted, on_notice=self.notices.append
            )
            return runner.run()
        finally:
            target.close()

    def sql(self, statement: str, *values: object) -> list[tuple[object, ...]]:
        connection = sqlite3.connect(self.database)
        try:
            with connection:
                return connection.execute(statement, values).fetchall()
        finally:
            connection.close()

    def next_offset(self, partition: int = 0) -> object:
        ((found,),) = self.sql(f"SELECT next FROM _pykafka_offsets WHERE partition = {partition}")
        return found

    def committed(self, group: str = "g") -> dict[TopicPartition, int]:
        return {place: found.offset for place, found in self.cluster.admin().group_offsets(group).items()}


class PostgresLab(Lab):
    """The same with a database of a PostgreSQL server: ``database`` is its address."""

    def target(self) -> Target:
        return PostgresTarget(self.database)

    def sql(self, statement: str, *values: object) -> list[tuple[object, ...]]:
        with psycopg.connect(self.database) as connection:
            done = connection.execute(statement, values or None)  # type: ignore[call-overload]
            return done.fetchall() if done.description is not None else []


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with open_cluster(f"file:{tmp_path / 'kafka'}") as found:
        found.admin().create_topic("t", partitions=2)
        yield found


@pytest.fixture
def lab(tmp_path: Path, cluster: Cluster) -> Lab:
    return Lab(cluster, str(tmp_path / "x.db"))


@pytest.fixture
def pg(cluster: Cluster, server: postgres.Server) -> PostgresLab:
    return PostgresLab(cluster, server.new_database())


@pytest.fixture(params=["lab", "pg"], ids=["sqlite", "postgres"])
def both(request: pytest.FixtureRequest) -> Lab:
    """The test runs over each kind of database."""
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Lab)
    return found
