"""A directory in which nothing was done is put out of the way, and one that is used, or of no kind of ours, is not."""

from __future__ import annotations

import threading
from pathlib import Path

from pykafka_store.open import open_cluster, set_aside_unused


def test_it_is_renamed_when_whoever_looks_at_it_has_gone(tmp_path: Path) -> None:
    root = tmp_path / "data"
    looking = open_cluster(root)
    cluster_id = looking.admin().cluster_id()
    gone: list[object] = []
    waiter = threading.Thread(target=lambda: gone.append(set_aside_unused(root)))
    waiter.start()
    assert root.exists()  # SQLite refuses while the other one has the catalogue open
    looking.close()
    waiter.join()
    (found,) = tmp_path.iterdir()
    assert gone == [(str(found), cluster_id)]


def test_what_is_used_stays(tmp_path: Path) -> None:
    root = tmp_path / "data"
    with open_cluster(root) as cluster:
        cluster.admin().create_topic("t")
    assert set_aside_unused(root) is None
    (tmp_path / "link").symlink_to(root)
    assert set_aside_unused(tmp_path / "link") is None
    assert set_aside_unused(tmp_path / "nothing") is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "link"]


def test_what_is_somebody_elses_stays(tmp_path: Path) -> None:
    root = tmp_path / "data"
    open_cluster(root).close()
    (root / "notes").write_text("mine")
    assert set_aside_unused(root) is None
    assert (root / "notes").exists()
