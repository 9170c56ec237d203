"""The examples in the docstrings of Java's spellings, and of what is built on them, are true."""

from __future__ import annotations

import doctest
import pkgutil
from importlib import import_module

import pytest

from pykafka_cli import java
from pykafka_cli.tool import moments, topic_filter

MODULES = [import_module(f"{java.__name__}.{module.name}") for module in pkgutil.iter_modules(java.__path__)]
EXAMPLES = [
    example
    for module in (*MODULES, moments, topic_filter)
    for example in doctest.DocTestFinder(exclude_empty=True).find(module)
    if example.examples
]


def test_there_are_examples() -> None:
    assert {example.name for example in EXAMPLES} >= {"pykafka_cli.java.floats", "pykafka_cli.java.time"}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_an_example_prints_what_it_says(example: doctest.DocTest) -> None:
    report: list[str] = []
    failures, attempted = doctest.DocTestRunner().run(example, out=report.append)
    assert (failures, attempted) == (0, len(example.examples)), "".join(report)
