"""Fields that lie in one text are the records that they are as objects: cut, dealt, counted and encoded alike.

The loops are for where they are compiled: they count on numbers of 64 bits that wrap.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykafka_store.compiled import COMPILED
from pykafka_store.fields import PLACE, Fields
from pykafka_store.format.record_loop import encode_one_by_one
from pykafka_store.partitioners import partition_for_key

if not COMPILED:
    pytest.skip("nothing is compiled here", allow_module_level=True)

from pykafka_store import field_loops

FIELD = st.binary(max_size=200).map(lambda some: some.translate(None, b"\t|\n"))
LINES = st.lists(st.tuples(FIELD, FIELD, FIELD), min_size=1, max_size=40)


def column(*fields: bytes) -> Fields:
    """Fields with something between them that is none."""
    text, places = b"", b""
    for field in fields:
        text += b"\xff\t"
        places += PLACE.pack(len(text), len(text) + len(field))
        text += field
    return Fields(text, places)


def test_a_column_is_a_sequence_of_bytes() -> None:
    some = column(b"one", b"", b"three")
    assert list(some) == [b"one", b"", b"three"]
    assert len(some) == 3
    assert (some[0], some[-1]) == (b"one", b"three")
    assert b"three" in some
    assert b"two" not in some
    part = some[1:]
    assert isinstance(part, Fields)
    assert list(part) == [b"", b"three"]
    assert list(some[2:1]) == []
    with pytest.raises(IndexError):
        some[3]
    with pytest.raises(ValueError, match="step"):
        some[::2]


@given(LINES)
def test_lines_are_cut_as_one_by_one(lines: list[tuple[bytes, bytes, bytes]]) -> None:
    text = b"".join(b"%b|%b\t%b\n" % line for line in lines)
    heads, keys, values, end, are_cut = field_loops.cut_lines(text, 0, 1000, ord("|"), ord("\t"))
    assert are_cut
    assert end == len(text)
    assert list(zip(Fields(text, heads), Fields(text, keys), Fields(text, values), strict=True)) == lines
    assert field_loops.fields_of(text, values) == [line[2] for line in lines]


@given(LINES, st.data())
def test_cutting_ends_before_a_line_that_lacks_a_separator(
    lines: list[tuple[bytes, bytes, bytes]], data: st.DataObject
) -> None:
    number = data.draw(st.integers(0, len(lines) - 1))
    bad = data.draw(st.sampled_from([b"", b"nothing", b"only|one", b"|"]))
    text = [b"%b|%b\t%b\n" % line for line in lines]
    text[number] = bad + b"\n"
    _, keys, values, end, are_cut = field_loops.cut_lines(b"".join(text), 0, 1000, ord("|"), ord("\t"))
    assert not are_cut
    assert end == sum(map(len, text[:number]))
    assert len(keys) == len(values) == number * PLACE.size


def test_as_many_lines_are_cut_as_were_asked_for() -> None:
    text = b"a\nb\nc\n"
    heads, keys, values, end, are_cut = field_loops.cut_lines(text, 0, 2, field_loops.NONE, field_loops.NONE)
    assert (heads, keys, end, are_cut) == (b"", b"", 4, True)
    assert list(Fields(text, values)) == [b"a", b"b"]


@pytest.mark.parametrize("filling", [b"\x00", b"\x09", b"\x0b", b"\x8a", b"\xf5", b"\xff"])
def test_a_line_ends_at_its_newline_however_long_it_is(filling: bytes) -> None:
    """The bytes are those that differ least from a newline, or in one bit only: a wrong test of eight at once would
    take them for one, above all beside one.
    """
    lines = [filling * length for length in range(600)]
    text = b"".join(line + b"\n" for line in lines)
    _, _, values, end, are_cut = field_loops.cut_lines(text, 0, 1000, field_loops.NONE, field_loops.NONE)
    assert (end, are_cut) == (len(text), True)
    assert list(Fields(text, values)) == lines


@given(LINES, st.booleans(), st.booleans())
def test_records_are_encoded_as_those_that_are_objects(
    lines: list[tuple[bytes, bytes, bytes]], with_keys: bool, with_headers: bool
) -> None:
    blocks = [b"\x02\x02h%c" % (2 * len(head)) + head for head, _, _ in lines] if with_headers else []
    text = b"".join(b"%b\t%b\n" % line[1:] for line in lines)
    _, keys, values, _, _ = field_loops.cut_lines(text, 0, 1000, field_loops.NONE, ord("\t"))
    assert field_loops.encode_fields(text, values, keys if with_keys else b"", blocks) == encode_one_by_one(
        [line[2] for line in lines], [line[1] for line in lines] if with_keys else None, None, 0, blocks or None
    )
    lengths = [(len(line[1]) if with_keys else 0) + len(line[2]) for line in lines]
    lengths = [length + len(block) for length, block in zip(lengths, blocks or [b""] * len(lines), strict=True)]
    assert field_loops.lengths_of(values, keys if with_keys else b"", blocks) == lengths


@pytest.mark.parametrize("size", [63, 64, 8191, 8192, (1 << 20) - 1, 1 << 20])
def test_sizes_at_the_ends_of_a_varints_bytes(size: int) -> None:
    value = b"v" * size
    some = column(value, value)
    assert field_loops.encode_fields(some.text, some.places, b"", []) == encode_one_by_one([value] * 2, None, None, 0)


def test_a_batch_of_more_records_than_a_varint_of_two_bytes_counts() -> None:
    fields = [b"%d" % number for number in range(10_000)]
    some = column(*fields)
    assert field_loops.encode_fields(some.text, some.places, b"", []) == encode_one_by_one(fields, None, None, 0)


@given(st.lists(FIELD, min_size=1, max_size=50), st.integers(1, 30))
def test_keys_go_where_they_go_as_objects(keys: list[bytes], partitions: int) -> None:
    some = column(*keys)
    numbers = [partition_for_key(key, partitions) for key in keys]
    assert field_loops.partitions_of(some.text, some.places, partitions) == numbers
    parts = [list(Fields(some.text, part)) for part in field_loops.dealt_places(some.places, numbers, partitions)]
    wanted = [[key for key, chosen in zip(keys, numbers, strict=True) if chosen == n] for n in range(partitions)]
    assert parts == wanted
