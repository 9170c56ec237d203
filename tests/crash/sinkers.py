"""Sinks in processes of their own, which kill or freeze themselves at a chosen moment; roles of forks.py."""

from __future__ import annotations

import json
import os
import resource
import signal
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

import psycopg
import sqlite_utils  # noqa: F401  # imported once, before any fork

from pykafka_store.model import TopicPartition
from pykafka_store.open import open_cluster
from pykafka_store.sink.options import SinkOptions
from pykafka_store.sink.postgres_target import PostgresTarget
from pykafka_store.sink.sinking import Sink
from pykafka_store.sink.sqlite_target import SqliteTarget
from pykafka_store.sink.target import DeadLetter, Group, Move, TableWrite

SESSION = {"session.timeout.ms": "700", "heartbeat.interval.ms": "200"}
"""A member that is frozen for so long is taken for dead."""


class Death:
    """Kills the process, kill -9, before the ``at``-th statement."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.statements = 0

    def around(self, statement: Callable[..., Any], *arguments: Any, **more: Any) -> Any:
        if self.statements == self.at:
            os.kill(os.getpid(), signal.SIGKILL)
        self.statements += 1
        return statement(*arguments, **more)


def kill_at(at: int) -> Death:
    """Have every statement of this process's databases counted, and one of them kill it."""
    death = Death(at)

    class Deadly(sqlite3.Connection):
        def execute(self, *arguments: Any) -> sqlite3.Cursor:
            found = death.around(super().execute, *arguments)
            assert isinstance(found, sqlite3.Cursor)
            return found

    connect = sqlite3.connect
    sqlite3.connect = lambda *rest, **more: connect(*rest, **more, factory=Deadly)  # type: ignore[assignment]
    # psycopg sends BEGIN, COMMIT and the savepoints by the connection too, and COPY by its cursor.
    wait, copy = psycopg.Connection.wait, psycopg.Cursor.copy
    psycopg.Connection.wait = lambda self, *rest, **more: death.around(wait, self, *rest, **more)  # type: ignore[assignment,method-assign]
    psycopg.Cursor.copy = lambda self, *rest, **more: death.around(copy, self, *rest, **more)  # type: ignore[assignment,method-assign]
    return death


def target_of(database: str) -> SqliteTarget | PostgresTarget:
    return PostgresTarget(database) if database.startswith("postgresql:") else SqliteTarget(database)


def query(database: str, statement: str) -> list[tuple[Any, ...]]:
    """Ask either kind of database."""
    if database.startswith("postgresql:"):
        with psycopg.connect(database) as server:
            return server.execute(statement).fetchall()  # type: ignore[call-overload,no-any-return]
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=60)
    try:
        return connection.execute(statement).fetchall()
    finally:
        connection.close()


def _freeze_at_first_write(target: SqliteTarget | PostgresTarget, database: str, *, fenced: bool) -> None:
    """Freeze the process when it is about to write its first rows. Without ``fenced`` it then writes them whatever was
    claimed meanwhile, as a sink would that believes in its membership: what the fence is there for.
    """
    write = target.write

    def freezing(
        group: Group, tables: Sequence[TableWrite], moves: Sequence[Move], dead_letters: Sequence[DeadLetter]
    ) -> None:
        target.write = write  # type: ignore[method-assign]
        os.kill(os.getpid(), signal.SIGSTOP)
        write(group, tables, moves if fenced else [_as_it_is_now(database, move) for move in moves], dead_letters)

    target.write = freezing  # type: ignore[method-assign]


def _as_it_is_now(database: str, move: Move) -> Move:
    number = move.partition.partition
    ((epoch, after),) = query(database, f"SELECT epoch, next FROM _pykafka_offsets WHERE partition = {number}")
    return Move(move.partition, epoch, after, max(after, move.after))


def sinker(address: str, database: str, group: str, wanted: str) -> None:
    """Write topic ``t``; ``wanted``: a sink's options as JSON, and ``kill_at``, ``freeze``, ``fenced``;
    ``room``, the size that no file may exceed; ``topic``, if it is another one; and ``said``, a file for what it says.
    """
    given = json.loads(wanted)
    topic = given.pop("topic", "t")
    path = given.pop("said", os.devnull)
    if "room" in given:
        resource.setrlimit(resource.RLIMIT_FSIZE, (given.pop("room"), resource.RLIM_INFINITY))
    if "kill_at" in given:
        kill_at(given.pop("kill_at"))
    freeze, fenced = given.pop("freeze", False), given.pop("fenced", True)
    target = target_of(database)
    if freeze:
        _freeze_at_first_write(target, database, fenced=fenced)
    with open(path, "a", buffering=1) as said, open_cluster(address) as cluster:
        options = SinkOptions(**given)
        Sink(
            cluster,
            [topic],
            target,
            group,
            table="t",
            options=options,
            settings=SESSION,
            on_notice=lambda text: print(text, file=said),
        ).run()


def written(database: str, partition: TopicPartition) -> list[int]:
    """The numbers of a partition's rows, in the order in which they were written."""
    order = "seq" if database.startswith("postgresql:") else "rowid"
    rows = query(database, f"SELECT n FROM t WHERE p = {partition.partition} ORDER BY {order}")
    return [number for (number,) in rows]
