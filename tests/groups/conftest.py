"""A data directory and a fleet of consumer processes over it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pykafka_store.api import Cluster
from pykafka_store.open import open_cluster
from tests.groups.fleet import Fleet


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def cluster(directory: Path) -> Iterator[Cluster]:
    with open_cluster(str(directory)) as opened:
        yield opened


@pytest.fixture
def fleet(cluster: Cluster, directory: Path) -> Iterator[Fleet]:
    with Fleet(directory) as made:
        yield made
