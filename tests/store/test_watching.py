"""What is written below a directory is told to who waits for it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pykafka_store import watching
from pykafka_store.model import OffsetAt, TopicPartition
from pykafka_store.open import open_cluster
from pykafka_store.watching import Below, tells
from tests.support.between import once
from tests.support.console import PATIENCE

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux'")


@pytest.fixture
def below(tmp_path: Path) -> Iterator[Below]:
    if not tells(str(tmp_path)):
        pytest.skip("what is written here is not told")
    (tmp_path / "a" / "b").mkdir(parents=True)
    made = Below(str(tmp_path))
    yield made
    made.close()


def test_what_is_written_after_it_began_to_watch_is_told_once(tmp_path: Path, below: Below) -> None:
    assert below.watch()
    assert not below.wait(0)
    (tmp_path / "a" / "b" / "file").write_bytes(b"1")
    assert below.wait(PATIENCE)
    assert not below.wait(0)


def test_a_directory_that_is_made_is_told_of_and_watched_from_then_on(tmp_path: Path, below: Below) -> None:
    assert below.watch()
    (tmp_path / "a" / "c").mkdir()
    assert below.wait(PATIENCE)
    assert below.watch()
    (tmp_path / "a" / "c" / "file").write_bytes(b"1")
    assert below.wait(PATIENCE)


def test_a_directory_that_is_removed_and_made_again_is_watched_again(tmp_path: Path, below: Below) -> None:
    assert below.watch()
    (tmp_path / "a" / "b").rmdir()
    assert below.watch()
    (tmp_path / "a" / "b").mkdir()
    assert below.wait(PATIENCE)
    assert below.watch()
    (tmp_path / "a" / "b" / "file").write_bytes(b"1")
    assert below.wait(PATIENCE)


def test_a_directory_that_is_made_as_it_begins_to_watch_is_watched(
    tmp_path: Path, below: Below, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was not there when directories were looked for, and made before the one it is in was watched."""
    came = once(monkeypatch, watching.Watcher, "watch", (tmp_path / "a" / "late").mkdir)
    assert below.watch()
    assert came
    below.wait(0)
    (tmp_path / "a" / "late" / "file").write_bytes(b"1")
    assert below.wait(PATIENCE)


def test_too_many_directories_are_not_watched(tmp_path: Path, below: Below, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "_MOST_BELOW", 3)
    assert below.watch()
    (tmp_path / "more").mkdir()
    assert not below.watch()


def test_a_look_at_a_data_directory_is_not_told_of_itself(tmp_path: Path) -> None:
    """Else who looks when it is told would look for ever."""
    data = tmp_path / "data"
    partition = TopicPartition("t", 0)

    def look() -> None:
        with open_cluster(str(data), create=False, read_only=True) as cluster:
            admin = cluster.admin()
            assert admin.describe_topics(["t"]) and admin.list_offsets({partition: OffsetAt.LATEST})
            assert admin.describe_group("g") and admin.group_offsets("g")

    with open_cluster(str(data)) as cluster:
        cluster.admin().create_topic("t")
        cluster.admin().alter_group_offsets("g", {partition: 0})
    if not tells(str(data)):
        pytest.skip("what is written here is not told")
    below = Below(str(data))
    assert below.watch()
    look()
    below.wait(0)  # the first look may have made the file that SQLite's readers want
    look()
    assert not below.wait(0)
    with open_cluster(str(data)) as cluster:
        cluster.admin().alter_group_offsets("g", {partition: 1})
    assert below.wait(PATIENCE)
    below.close()
