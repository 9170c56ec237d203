"""What a copied batch's header says of its source, for every offset that there can be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykafka_store.errors import InvalidRequestError
from pykafka_store.format.batch import encode_batch, parse_header
from pykafka_store.format.copies import copied_producer, last_source_offset, producer_id_of


@given(st.integers(0, 2**46 - 1), st.integers(1, 300))
def test_the_header_gives_back_the_last_source_offset(last: int, count: int) -> None:
    producer = copied_producer(producer_id_of("cluster/topic/0"), last, count)
    encoded = encode_batch([b"v"] * count, timestamps=0, producer=producer)
    for batch in (encoded, encoded.stamped(5)):
        header = parse_header(b"".join(batch.placed(7, 0)))
        assert last_source_offset(header) == last
        assert header.producer_id == producer_id_of("cluster/topic/0")
        assert header.base_sequence >= 0
        assert header.producer_epoch >= 0


def test_a_source_without_gaps_has_the_sequences_of_an_idempotent_producer() -> None:
    """As Kafka counts: each batch's first sequence is one more than the last one's, 0 after 2^31 - 1."""
    expected = 2**31 - 10
    for first in range(2**31 - 10, 2**31 + 30, 5):
        _, _, sequence = copied_producer(1, first + 4, 5)
        assert sequence == expected
        expected = (expected + 5) % 2**31


def test_offsets_without_room() -> None:
    with pytest.raises(InvalidRequestError):
        copied_producer(1, 2**46, 1)
