"""A mirror whose source's topic is another one between two of its looks."""

from __future__ import annotations

from pathlib import Path

import pytest

from pykafka_store.embedded.cluster import EmbeddedCluster
from pykafka_store.mirror import mirroring, targets
from pykafka_store.model import OffsetAt, TopicPartition
from tests.store.helpers import AT_ONCE, rows
from tests.support.between import once

HERE = TopicPartition("t", 0)


def _produce(cluster: EmbeddedCluster, *values: bytes) -> None:
    with cluster.producer(AT_ONCE) as producer:
        producer.send("t", list(values), partitions=0)


def _values(cluster: EmbeddedCluster) -> list[bytes | None]:
    with cluster.consumer() as consumer:
        consumer.assign({HERE: OffsetAt.EARLIEST})
        return [row.value for row in rows(consumer.poll())]


def test_what_comes_of_a_topic_that_was_made_anew_as_it_was_looked_up_is_copied_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was read from where the old one was left, and then once more from its beginning."""
    monkeypatch.setattr(mirroring, "LOOK", 0.01)
    with EmbeddedCluster(str(tmp_path / "source")) as source, EmbeddedCluster(str(tmp_path / "target")) as target:

        def mirror() -> mirroring.Mirror:
            wanted = mirroring.Selection(topics=["t"])
            told: list[str] = []
            return mirroring.Mirror(
                source, targets.DirectoryTarget(target), wanted, on_notice=told.append, on_error=told.append
            )

        def made_anew() -> None:
            with EmbeddedCluster(source.directory) as other:
                other.admin().delete_topic("t")
                other.admin().create_topic("t")
                _produce(other, b"a", b"b", b"c", b"d", b"e")

        source.admin().create_topic("t")
        _produce(source, b"1", b"2", b"3")
        with mirror() as first:
            first.prepare(follow=False)
            first.run(lambda: False, lambda _progress: None)
    with EmbeddedCluster(str(tmp_path / "source")) as source, EmbeddedCluster(str(tmp_path / "target")) as target:
        looks = 0
        came = once(monkeypatch, mirroring.Mirror, "_assign", made_anew)
        with mirror() as second:
            second.prepare(follow=True)

            def stop() -> bool:
                nonlocal looks
                looks += 1
                return looks > 3 and len(_values(target)) >= 8

            second.run(stop, lambda _progress: None)
        assert came
        assert _values(target) == [b"1", b"2", b"3", b"a", b"b", b"c", b"d", b"e"]
