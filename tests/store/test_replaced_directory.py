"""A data directory that was removed and made anew under a program that has it open: what is there is another one's."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from pykafka_store.embedded.cluster import EmbeddedCluster
from pykafka_store.errors import StorageError
from pykafka_store.model import OffsetAt, TopicPartition
from tests.store.helpers import AT_ONCE

REPLACED = "is another file by now: its directory was made anew since this program began"


class Both(NamedTuple):
    old: EmbeddedCluster
    new: EmbeddedCluster
    directory: Path


@pytest.fixture
def both(tmp_path: Path) -> Iterator[Both]:
    """Who has the directory open as it was, with topic ``a``, and who has the new one, with ``a`` and ``b``."""
    directory = tmp_path / "data"
    with EmbeddedCluster(str(directory)) as old:
        old.admin().create_topic("a")
        old.engine.groups.has_groups()
        shutil.rmtree(directory)
        with EmbeddedCluster(str(directory)) as new:
            for topic in ("a", "b"):
                new.admin().create_topic(topic)
                send(new, topic, b"new")
            new.engine.groups.has_groups()
            yield Both(old, new, directory)


def send(cluster: EmbeddedCluster, topic: str, *values: bytes) -> None:
    with cluster.producer(AT_ONCE) as producer:
        producer.send(topic, list(values))


def test_a_topic_is_not_made_over_the_new_ones(both: Both) -> None:
    with pytest.raises(StorageError, match=REPLACED):
        send(both.old, "b", b"old")
    with both.new.consumer() as consumer:
        consumer.subscribe(["b"], start=OffsetAt.EARLIEST)
        assert [value for run in consumer.poll(1.0) for value in run.values] == [b"new"]
    assert not list(both.directory.glob("brokers/0/*-stray"))


def test_neither_settings_nor_offsets_go_where_nobody_finds_them(both: Both) -> None:
    with pytest.raises(StorageError, match=REPLACED):
        both.old.admin().delete_topic("a")
    with pytest.raises(StorageError, match=REPLACED):
        both.old.admin().alter_group_offsets("g", {TopicPartition("a", 0): 0})
    assert both.new.admin().describe_topics(["a", "b"])


@pytest.mark.parametrize("by_hand", [False, True])
def test_who_follows_is_told(tmp_path: Path, by_hand: bool) -> None:
    directory = tmp_path / "data"
    with EmbeddedCluster(str(directory)) as old, old.consumer() as consumer:
        old.admin().create_topic("a")
        if by_hand:
            consumer.assign({TopicPartition("a", 0): OffsetAt.EARLIEST})
        else:
            consumer.subscribe(["a"], start=OffsetAt.EARLIEST)
        send(old, "a", b"old")
        assert consumer.poll(1.0)
        shutil.rmtree(directory)
        assert not consumer.poll(0.2)  # its disk may be away
        with EmbeddedCluster(str(directory)) as new:
            new.admin().create_topic("a")
        with pytest.raises(StorageError, match=REPLACED):
            consumer.poll(10.0)


def test_one_that_was_away_is_the_same(tmp_path: Path) -> None:
    directory = tmp_path / "data"
    with EmbeddedCluster(str(directory)) as cluster:
        directory.rename(tmp_path / "away")
        cluster.engine.catalog.require_in_place()
        (tmp_path / "away").rename(directory)
        cluster.admin().create_topic("a")
        send(cluster, "a", b"still here")
