"""metadata.db: all or nothing, whatever fails, and one picture of a topic to whoever looks."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pykafka_store.embedded.catalog import Catalog
from pykafka_store.embedded.cluster import EmbeddedCluster
from pykafka_store.errors import StorageError, UnknownTopicOrPartitionError, UnsupportedVersionError


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    catalog = Catalog(str(tmp_path), create=True)
    yield catalog
    catalog.close()


def test_a_transaction_that_fails_inside_changes_nothing(catalog: Catalog) -> None:
    before = catalog.version()
    with pytest.raises(ZeroDivisionError), catalog.transaction():
        catalog.add_topic("A", "a", [[0]], {})
        raise ZeroDivisionError
    assert catalog.topics() == []
    assert catalog.version() == before


def test_a_transaction_that_fails_to_commit_changes_nothing_and_the_next_one_works(catalog: Catalog) -> None:
    """As on a full disk. Were it left open, it would also keep every other process from writing."""
    with pytest.raises(StorageError), catalog.transaction():
        catalog._connection.execute("PRAGMA defer_foreign_keys = ON")
        catalog.add_partitions("no such topic", [(0, [0])])
    with catalog.transaction():
        catalog.add_topic("A", "a", [[0]], {})
    other = Catalog(os.path.dirname(catalog.path))
    with other.transaction():
        other.add_topic("B", "b", [[0]], {})
    other.close()
    assert [topic.name for topic in catalog.topics()] == ["a", "b"]


def test_a_version_moves_with_every_commit_here_or_elsewhere(catalog: Catalog) -> None:
    seen = [catalog.version()]
    with catalog.transaction():
        catalog.add_topic("A", "a", [[0]], {})
    seen.append(catalog.version())
    other = Catalog(os.path.dirname(catalog.path))
    with other.transaction():
        other.add_topic("B", "b", [[0]], {})
    other.close()
    seen.append(catalog.version())
    assert len(set(seen)) == 3
    assert catalog.version() == seen[-1]


def test_a_newer_catalogue_is_refused_by_name(catalog: Catalog) -> None:
    catalog._connection.execute("PRAGMA user_version = 99")
    with pytest.raises(UnsupportedVersionError, match=r"metadata\.db has version 99.*upgrade"):
        Catalog(os.path.dirname(catalog.path))


@pytest.mark.parametrize("content", [b"", b"not a database at all, but long enough to look at" * 30])
def test_a_damaged_catalogue_is_an_error_by_name(tmp_path: Path, content: bytes) -> None:
    """Empty, it would be taken for a new one, without the topics: that is for a directory that is being made."""
    with EmbeddedCluster(str(tmp_path)) as cluster:
        cluster.admin().create_topic("t")
    (tmp_path / "metadata.db").write_bytes(content)
    with pytest.raises(StorageError, match=r"metadata\.db"):
        EmbeddedCluster(str(tmp_path)).close()


def test_a_missing_catalogue_is_an_error_by_name(tmp_path: Path) -> None:
    EmbeddedCluster(str(tmp_path)).close()
    (tmp_path / "metadata.db").unlink()
    with pytest.raises(StorageError, match=r"metadata\.db"):
        EmbeddedCluster(str(tmp_path)).close()


def test_a_topic_is_described_whole_or_not_at_all_while_it_comes_and_goes(tmp_path: Path) -> None:
    """Its row, its partitions and its replicas are read at one moment, not one after the other."""
    directory = str(tmp_path)
    EmbeddedCluster(directory).close()
    done = threading.Event()

    def come_and_go() -> None:
        catalog = Catalog(directory)
        try:
            for number in range(400):
                with catalog.transaction():
                    catalog.add_topic(f"{number}", "t", [[0]] * 3, {"retention.ms": "1"})
                with catalog.transaction():
                    catalog.remove_topic(f"{number}")
        finally:
            catalog.close()
            done.set()

    thread = threading.Thread(target=come_and_go)
    thread.start()
    seen = 0
    try:
        with EmbeddedCluster(directory) as cluster:
            while not done.is_set():
                try:
                    (found,) = cluster.admin().describe_topics(["t"])
                except UnknownTopicOrPartitionError:
                    continue
                seen += 1
                assert [partition.replicas for partition in found.partitions] == [(0,)] * 3
                assert "retention.ms" in [entry.name for entry in found.configs]
    finally:
        thread.join()
    assert seen, "the topic was never seen: this tests nothing"
