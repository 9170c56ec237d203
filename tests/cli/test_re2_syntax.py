"""Patterns are judged as RE2/J judges them (tests/data/re2_syntax.tsv is what it said)."""

from __future__ import annotations

from pathlib import Path

import pytest

from pykafka_cli.java.re2_syntax import problem

JUDGED = (Path(__file__).parent.parent / "data" / "re2_syntax.tsv").read_text("utf-8").splitlines()[1:]


def cases() -> list[tuple[str, str]]:
    split = [(pattern, verdict) for pattern, _tab, verdict in (line.rpartition("\t") for line in JUDGED)]
    assert len(split) > 400
    return split


@pytest.mark.parametrize(("pattern", "verdict"), cases())
def test_a_pattern_is_judged_as_re2_judges_it(pattern: str, verdict: str) -> None:
    assert (problem(pattern) or "valid") == verdict
