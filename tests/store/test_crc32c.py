"""CRC-32C is the same whoever sums: the first bytes of a process are summed without the library."""

from __future__ import annotations

import google_crc32c
from hypothesis import given
from hypothesis import strategies as st

from pykafka_store.format.crc32c import FEW, Crc32c, of_few

# A few bytes repeated: hypothesis draws no more than some KiB for an example, and FEW is 32 KiB where it is compiled.
PIECES = st.lists(
    st.builds(lambda some, size: (some * size)[:size], st.binary(min_size=1, max_size=50), st.integers(0, FEW // 2)),
    max_size=6,
)


@given(PIECES)
def test_few_bytes_and_many_are_summed_alike(pieces: list[bytes]) -> None:
    crc32c, crc, before = Crc32c(), 0, 0
    for piece in pieces:
        crc = crc32c(piece, crc)
        assert crc == google_crc32c.extend(before, piece) == of_few(piece, before)
        before = crc
    assert crc == google_crc32c.value(b"".join(pieces))


def test_as_rfc_3720_has_it() -> None:
    """Appendix B.4: 32 bytes each."""
    assert of_few(bytes(32), 0) == 0x8A9136AA
    assert of_few(b"\xff" * 32, 0) == 0x62A8AB43
    assert of_few(bytes(range(32)), 0) == 0x46DD794E
