"""No bytes and no text make a parser raise what it does not foresee, or take memory without bound."""

from __future__ import annotations

import resource

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import TARGETS, attempt


@st.composite
def spoilt(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """Bytes near those of a seed: a few spans replaced, removed or doubled; or any bytes at all."""
    data = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        stop = draw(st.integers(start, min(len(data), start + 8)))
        new = draw(
            st.one_of(st.binary(max_size=8), st.sampled_from([b"", b"\xff" * 4, b"\x7f\xff\xff\xff", b"9" * 30]))
        )
        data = data[:start] + new + data[stop:]
    return draw(st.sampled_from([data, data[:start]])) if draw(st.booleans()) else data


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_a_parser_raises_only_what_it_foresees(name: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(data=st.one_of(spoilt(TARGETS[name][1]), st.binary(max_size=200)))
    def check(data: bytes) -> None:
        attempt(name, data)

    check()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 256 << 10


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_the_seeds_are_read(name: str) -> None:
    """Else everything would be refused at its first byte, and nothing behind that be tried."""
    for seed in TARGETS[name][1]:
        if name not in {"snapshots", "databases", "varints", "file_names", "indexes"}:
            TARGETS[name][0](seed)
