"""What the server remembers holds for what it is remembered under, whatever another process did in between."""

from __future__ import annotations

from pathlib import Path

import pytest

from pykafka_store.embedded.catalog import Catalog
from pykafka_store.embedded.cluster import EmbeddedCluster
from pykafka_store.wire.protocol import METADATA
from tests.support.between import once
from tests.support.requests import World


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
