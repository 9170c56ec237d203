"""Topics that are made because a client asks for them: as many partitions as the server's file says, or none of it."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from pykafka_store.errors import UnknownTopicOrPartitionError
from pykafka_store.open import open_cluster
from tests.support.frames import ask, connect
from tests.support.in_process import run
from tests.support.served import Served

METADATA = 3
UNKNOWN_TOPIC_OR_PARTITION = 3


def served_with(directory: Path, *lines: str) -> Served:
    """A server of a directory that was formatted with a server.properties of these lines."""
    file = directory.with_suffix(".properties")
    file.write_text("\n".join(("process.roles=broker,controller", "node.id=0", f"log.dirs={directory}", *lines)))
    formatted = run(
        "kafka-storage", "format", "--standalone", "-t", "x" * 22, "-c", os.fspath(file), data_dir=directory
    )
    assert formatted.code == 0
    return Served(directory)


def asked_for(server: Served, topic: str) -> tuple[int, int]:
    """(error, partitions) of Metadata 1, with which every topic that is named is wanted."""
    with connect(server.address) as client:
        name = topic.encode()
        answer = ask(client, METADATA, 1, struct.pack(f">ih{len(name)}s", 1, len(name), name))
    assert answer is not None
    at = answer.index(struct.pack(">h", len(name)) + name)
    error, count = struct.unpack_from(">h", answer, at - 2)[0], struct.unpack_from(">i", answer, at + 3 + len(name))[0]
    return error, count


@pytest.mark.parametrize(("lines", "partitions", "told"), [
    ([], 1, "1 partition\n"),
    (["num.partitions=3"], 3, "3 partitions\n"),
])  # fmt: skip
def test_it_has_as_many_partitions_as_the_server_says_and_as_is_told(
    tmp_path: Path, lines: list[str], partitions: int, told: str
) -> None:
    with served_with(tmp_path / "data", *lines) as server:
        assert asked_for(server, "new") == (0, partitions)
        assert server.stop() == (143, f"serve: Topic new did not exist and was created with {told}")


def test_none_is_made_where_the_server_says_so(tmp_path: Path) -> None:
    with served_with(tmp_path / "data", "auto.create.topics.enable=false") as server:
        assert asked_for(server, "new") == (UNKNOWN_TOPIC_OR_PARTITION, 0)
        assert server.stop() == (143, "")
    with open_cluster(tmp_path / "data") as cluster, pytest.raises(UnknownTopicOrPartitionError):
        cluster.admin().describe_topics(["new"])
