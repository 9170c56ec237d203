"""A server for the tests of one client; and what answers requests, without one, for the tests of answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.requests import World
from tests.support.served import Served


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """A server of a directory of its own. It must say nothing unexpected, and end in good order."""
    with Served(tmp_path / "data") as server:
        yield server
        code, told = server.stop()
        assert "unexpected" not in told, told
        assert code == 143, (code, told)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path / "data")
    yield made
    made.close()
