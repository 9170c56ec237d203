"""The map from source offsets to target offsets: exact as it is, and never too far where it is shortened."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykafka_store.mirror.offsets import OffsetMap, Run

STEPS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(1, 5)), min_size=1, max_size=40)
"""What a run skips at the source and at the target, and its length."""


def built(steps: list[tuple[int, int, int]]) -> tuple[OffsetMap, dict[int, int]]:
    """A map, and the target offset of each source offset that has a record."""
    offsets, truth = OffsetMap(), {}
    for source_gap, target_gap, length in steps:
        source, target = offsets.source_end + source_gap, offsets.target_end + target_gap
        offsets.add(source, target, length)
        truth |= {source + index: target + index for index in range(length)}
    return offsets, truth


@given(STEPS)
def test_an_offset_becomes_that_of_the_first_record_at_or_after_it(steps: list[tuple[int, int, int]]) -> None:
    offsets, truth = built(steps)
    for offset in range(offsets.source_end + 2):
        wanted = [target for source, target in truth.items() if source >= offset]
        assert offsets.translated(offset) == (min(wanted) if wanted else offsets.target_end)


@given(STEPS, st.integers(0, 200))
def test_a_short_text_says_nothing_too_large(steps: list[tuple[int, int, int]], limit: int) -> None:
    offsets, _ = built(steps)
    text = offsets.text(limit)
    found = OffsetMap.parse(text)
    assert len(text) <= limit or len(found.runs) <= 2
    assert (found.source_end, found.runs[0].target) == (offsets.source_end, offsets.runs[0].target)
    before = 0
    for offset in range(offsets.source_end):
        translated = found.translated(offset)
        assert before <= translated <= offsets.translated(offset)
        before = translated
    last = offsets.runs[-1]
    if limit >= len(offsets.text(1 << 20)):
        assert found.runs == offsets.runs
    elif len(offsets.runs) > 2:
        assert found.runs[-1] == last


@given(STEPS)
def test_columns_of_offsets_are_cut_into_runs(steps: list[tuple[int, int, int]]) -> None:
    """The records of all runs in one column, side by side at the target."""
    offsets, truth = built(steps)
    sources = sorted(truth)
    found = OffsetMap()
    found.add_records(sources, 100)
    assert [found.translated(source) for source in sources] == list(range(100, 100 + len(sources)))
    assert len(found.runs) <= len(offsets.runs)


def test_a_batch_of_which_the_last_offset_is_known() -> None:
    offsets = OffsetMap([Run(0, 0, 10)])
    offsets.add_batch(29, 10, 5)
    assert [offsets.translated(offset) for offset in (9, 10, 24, 25, 29, 30)] == [9, 10, 10, 10, 14, 15]


@pytest.mark.parametrize("text", ["x", "1+2", "1+2+3+4"])
def test_what_is_no_map(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        OffsetMap.parse(text)
