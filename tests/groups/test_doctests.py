"""The examples in the seam's docstrings do what they say."""

from __future__ import annotations

import doctest

import pytest

from pykafka_store import api

EXAMPLES = [found for found in doctest.DocTestFinder().find(api) if found.examples]


def test_groups_have_an_example() -> None:
    assert "pykafka_store.api.Consumer" in {found.name for found in EXAMPLES}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda found: found.name)
def test_an_example_prints_what_it_says(example: doctest.DocTest) -> None:
    report: list[str] = []
    doctest.DocTestRunner().run(example, out=report.append)
    assert not report, "".join(report)
