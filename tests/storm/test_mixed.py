"""Seconds of the storm over a group of all kinds of members; ``python tests/storm/mixed.py`` has longer ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.storm.mixed import storm

SECONDS = 10.0
SEED = 2


@pytest.mark.apache
@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", ["mixed", "cooperative"])
def test_members_of_all_kinds_share_a_group(
    tmp_path: Path, record_property: Callable[[str, object], None], kind: str
) -> None:
    found, done = storm(SECONDS, SEED, tmp_path, kind)
    assert found == []
    record_property("figure", f"storm of {kind} members: {done}")
