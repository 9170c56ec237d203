"""Mirrors that are killed at every verb of the disk: the next one goes on, and nothing is missing, doubled or moved."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from pykafka_store.embedded.cluster import EmbeddedCluster
from pykafka_store.model import ConfigResource, TopicPartition
from tests.cli.test_mirror import placed
from tests.crash.forks import Forks
from tests.store.helpers import AT_ONCE

CONFIGS = {
    "cleanup.policy": "compact",
    "internal.segment.bytes": "600",
    "min.cleanable.dirty.ratio": "0",
    "min.compaction.lag.ms": "3600000",
}


@pytest.fixture
def forks(tmp_path: Path) -> Iterator[Forks]:
    with Forks(tmp_path / "complaints") as server:
        yield server
    server.check_complaints()


@pytest.mark.slow
@pytest.mark.parametrize("how", ["before", "middle", "after"])
def test_a_mirror_can_be_killed_at_any_verb(tmp_path: Path, forks: Forks, how: str) -> None:
    """A source with gaps, copied batch by batch into segments that are rolled on the way."""
    source = tmp_path / "source"
    with EmbeddedCluster(str(source)) as cluster:
        cluster.admin().create_topic("t", configs={**CONFIGS, "min.compaction.lag.ms": "0"})
        with cluster.producer(AT_ONCE) as producer:
            for number in range(5):
                keys = [b"%d" % key for key in (number, number % 3, number % 2)]
                producer.send("t", [b"%d" % number * 30] * 3, keys=keys)
        cluster.maintain()
        cluster.admin().incremental_alter_configs(ConfigResource("topic", "t"), CONFIGS)
        theirs = placed(source, "t")
        assert len(theirs) < theirs[-1][1] + 1
        cluster.admin().alter_group_offsets("g", {TopicPartition("t", 0): theirs[5][1]})
    for kill_at in range(1000):
        target = tmp_path / how / str(kill_at)
        target.mkdir(parents=True)
        said = tmp_path / f"said-{how}-{kill_at}"
        code = forks.wait(forks.start("mirrorer", str(source), str(target), kill_at, how, str(said)))
        assert forks.wait(forks.start("mirrorer", str(source), str(target), -1, how, str(said))) == 0
        assert [record for record, _ in placed(target, "t")] == [record for record, _ in theirs]
        with EmbeddedCluster(str(target)) as cluster:
            ours = cluster.admin().group_offsets("g")[TopicPartition("t", 0)].offset
        # What was appended and not noted down is known by the last record of the batch: a group may read some again.
        assert 5 - 2 <= ours <= 5
        if code == 0:
            assert ours == 5
            break
        assert code == -signal.SIGKILL
    assert kill_at > (6 if how == "middle" else 20), "so few verbs are not five appends with rolls"
