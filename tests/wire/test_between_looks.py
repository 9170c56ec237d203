"""What the server remembers holds for what it is remembered under, whatever another process did in between."""

from __future__ import annotations

from pathlib import Path

import pytest

from pykafka_store.embedded.admin.configs import ConfigAdmin
from pykafka_store.embedded.admin.topics import TopicAdmin
from pykafka_store.embedded.catalog import Catalog
from pykafka_store.embedded.cluster import EmbeddedCluster
from pykafka_store.wire.protocol import CREATE_TOPICS, DELETE_TOPICS, METADATA
from tests.support.between import once
from tests.support.requests import World

UNKNOWN_TOPIC_ID = 100


@pytest.mark.parametrize("create", [False, True])
def test_a_topic_that_comes_as_topics_are_read_is_told_of_at_the_next_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, create: bool
) -> None:
    """It was unknown to all clients until the catalogue changed again: what was read before it was remembered as being
    of the version after it.
    """
    world = World(tmp_path / "data")

    def made() -> None:
        with EmbeddedCluster(world.cluster.directory) as other:
            other.admin().create_topic("new")

    came = once(monkeypatch, Catalog, "topics", made, behind=True, when=lambda _catalog, *where: not where)
    told = []
    try:
        for _ in range(3):
            answer = world.ask(METADATA, 12, topics=[{"name": "new"}], allow_auto_topic_creation=create)
            told.append([(each.name, each.error_code) for each in answer.topics])
    finally:
        world.close()
    assert came
    assert told[-1] == [("new", 0)]


def _made_anew(world: World) -> None:
    with EmbeddedCluster(world.cluster.directory) as other:
        other.admin().delete_topic("there")
        other.admin().create_topic("there", partitions=5)


def test_a_topic_is_deleted_by_its_id_and_not_the_one_that_has_its_name_by_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path / "data")
    try:
        came = once(monkeypatch, TopicAdmin, "delete_topic", lambda: _made_anew(world))
        answer = world.ask(DELETE_TOPICS, 6, topics=[{"name": None, "topic_id": world.topic_id}])
        assert came
        assert [each.error_code for each in answer.responses] == [UNKNOWN_TOPIC_ID]
        assert [len(each.partitions) for each in world.cluster.admin().describe_topics()] == [5]
    finally:
        world.close()


def test_a_topic_that_is_deleted_as_soon_as_it_is_made_was_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path / "data")

    def deleted() -> None:
        with EmbeddedCluster(world.cluster.directory) as other:
            other.admin().delete_topic("new")

    try:
        came = once(monkeypatch, ConfigAdmin, "describe_configs", deleted)
        topics = [
            {"name": name, "num_partitions": 2, "replication_factor": 1, "assignments": [], "configs": []}
            for name in ("new", "next")
        ]
        answer = world.ask(CREATE_TOPICS, 7, topics=topics)
        assert came
        assert [(each.name, each.error_code, each.num_partitions) for each in answer.topics] == [
            ("new", 0, 2),
            ("next", 0, 2),
        ]
    finally:
        world.close()
