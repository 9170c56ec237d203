"""The examples in the docstrings of the seam and the sink do what they say."""

from __future__ import annotations

import doctest

import pytest

from pykafka_store import api
from pykafka_store.sink import sinking

EXAMPLES = [found for module in (api, sinking) for found in doctest.DocTestFinder().find(module) if found.examples]


def test_groups_and_sinks_have_an_example() -> None:
    assert {"pykafka_store.api.Consumer", "pykafka_store.sink.sinking.Sink"} <= {found.name for found in EXAMPLES}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda found: found.name)
def test_an_example_prints_what_it_says(example: doctest.DocTest) -> None:
    report: list[str] = []
    doctest.DocTestRunner().run(example, out=report.append)
    assert not report, "".join(report)
