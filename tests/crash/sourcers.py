"""Sources in processes of their own, which kill themselves at a chosen step; a role of forks.py."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import closing
from typing import Any

from pykafka_store.model import TopicPartition
from pykafka_store.open import is_cluster_address, open_data_directory, open_kafka_cluster
from pykafka_store.source.destinations import ToCluster, ToDirectory
from pykafka_store.source.feed import Feed
from pykafka_store.source.notes import Notes
from pykafka_store.source.postgres_changes import PostgresChanges
from pykafka_store.source.postgres_feeds import PostgresCursor, PostgresQuery
from pykafka_store.source.sourcing import Source, SourceOptions
from pykafka_store.source.sqlite_changes import SqliteChanges
from pykafka_store.source.sqlite_feeds import SqliteCursor, SqliteQuery
from tests.crash.sinkers import Death, kill_at


def feed_of(kind: str, database: str) -> Feed:
    cursor, changes, query = (
        (PostgresCursor, PostgresChanges, PostgresQuery)
        if database.startswith("postgresql:")
        else (SqliteCursor, SqliteChanges, SqliteQuery)
    )
    if kind == "cursor":
        return cursor(database, "t", "id", ["k"])  # type: ignore[no-any-return]
    if kind == "changes":
        return changes(database, "t")  # type: ignore[no-any-return]
    return query(database, "SELECT id, k, n FROM t ORDER BY id", ["id"])  # type: ignore[no-any-return]


def _forgetful(self: object, partitions: Sequence[TopicPartition], name: str, floors: Sequence[int]) -> list[int]:
    """What a destination would say that does not look into its log: nothing is known of what came after the note."""
    return [-1] * len(partitions)


def sourcer(address: str, database: str, kind: str, wanted: str) -> None:
    """Send ``t`` to topic ``t``; ``wanted``: a source's options as JSON, and ``kill_at``, ``forgetful``, ``topic`` and
    ``locks``, a directory.
    """
    given = json.loads(wanted)
    topic, locks = given.pop("topic", "t"), given.pop("locks", "")
    if given.pop("forgetful", False):
        ToDirectory.reached = _forgetful  # type: ignore[method-assign, assignment]
    if "kill_at" in given:
        _kill_between(kill_at(given.pop("kill_at")))
    exactly_once = given.pop("exactly_once", True)
    with closing(feed_of(kind, database)) as feed:
        if is_cluster_address(address):
            with open_kafka_cluster(address) as cluster:
                to = ToCluster(cluster, locks, exactly_once=exactly_once)
                Source(to, topic, feed, "s", options=SourceOptions(**given)).run()
        else:
            with open_data_directory(address.removeprefix("file:")) as directory:
                Source(ToDirectory(directory), topic, feed, "s", options=SourceOptions(**given)).run()


def _kill_between(death: Death) -> None:
    """Count the steps on the topic's side too."""
    for owner in (ToDirectory, ToCluster):
        for name in ("send", "settle", "conclude"):
            _wrap(owner, name, death)
    _wrap(Notes, "write", death)


def _wrap(owner: type, name: str, death: Death) -> None:
    method = getattr(owner, name)

    def dying(*arguments: Any, **more: Any) -> Any:
        return death.around(method, *arguments, **more)

    setattr(owner, name, dying)
