"""Every request that is advertised, in every version: it is answered, and kio reads the answer to its end.

Which error is told is for the clients' tests; here no field may be missing.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from kio.index import load_response_schema
from kio.serial import entity_reader

from pykafka_store.wire.protocol import DESCRIBE_LOG_DIRS, Reply, decode, encode
from tests.support.requests import EACH, World, bytes_of, frame_of


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("every") / "data")
    yield made
    made.close()


def test_log_directories_of_all_brokers_are_described(tmp_path: Path) -> None:
    world = World(tmp_path / "data")
    world.cluster.add_broker()
    world.cluster.admin().create_topic("both", assignments=[[0, 1]])
    request = decode(memoryview(frame_of(world, DESCRIBE_LOG_DIRS, 4, "nothing")))
    answer = world.handlers[DESCRIBE_LOG_DIRS](request)
    assert isinstance(answer, Reply)
    found = [[topic.name for topic in each.topics if topic.name == "both"] for each in answer.results]
    assert found == [["both"], ["both"]]
    assert len({each.log_dir for each in answer.results}) == 2
    world.close()


@pytest.mark.parametrize("how", ["nothing", "there", "missing"])
@pytest.mark.parametrize(("key", "version"), EACH)
def test_it_is_answered_and_the_answer_is_whole(world: World, key: int, version: int, how: str) -> None:
    request = decode(memoryview(frame_of(world, key, version, how)))
    answer = world.answer(request)
    if answer is None:
        return  # it waits for others
    pieces = encode(request, answer)
    data = b"".join(map(bytes_of, pieces))
    assert int.from_bytes(data[:4], "big") == len(data) - 4
    assert int.from_bytes(data[4:8], "big") == 5
    response = load_response_schema(key, version)
    start = 9 if response.__header_schema__.__flexible__ else 8
    _, size = entity_reader(response)(data, start)
    assert start + size == len(data)
