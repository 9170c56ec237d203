"""One broker for all tests of this folder; see README.md."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support import apache


@pytest.fixture(scope="session")
def broker() -> Iterator[apache.Broker]:
    with apache.Broker() as running:
        yield running
