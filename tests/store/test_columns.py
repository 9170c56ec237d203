"""Records by column have the bytes, and keys by column the partitions, that they have one by one."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pykafka_store.embedded.clients.outgoing import (
    OutgoingRecords,
    dealt,
    lengths_one_by_one,
    made_sendable,
    record_lengths,
)
from pykafka_store.format.record_loop import encode_one_by_one, header_blocks, known_blocks
from pykafka_store.format.records import decode_general, decode_plain, encode_columns, encode_records
from pykafka_store.format.varint import encode_varint
from pykafka_store.model import Header
from pykafka_store.partitioners import partition_for_key, partitions_for_keys

QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large]
SIZES = (0, 1, 10, 62, 63, 64, 65, 8190, 8191, 8192, 8193)


def field(content: bytes | None) -> bytes:
    return b"\x01" if content is None else encode_varint(len(content)) + content


def one_by_one(
    values: list[bytes | None],
    keys: list[bytes | None],
    headers: list[tuple[Header, ...]],
    times: list[int],
    offsets: list[int],
) -> bytes:
    """The layout of a record, as the head of pykafka_store/format/batch.py has it."""
    out = b""
    for value, key, fields, time, offset in zip(values, keys, headers, times, offsets, strict=True):
        body = b"\x00" + encode_varint(time - times[0]) + encode_varint(offset) + field(key) + field(value)
        body += encode_varint(len(fields)) + b"".join(field(name.encode()) + field(content) for name, content in fields)
        out += encode_varint(len(body)) + body
    return out


contents = st.none() | st.binary(max_size=70) | st.sampled_from(SIZES).map(lambda size: b"x" * size)
header = st.tuples(st.text(max_size=3), contents)


@st.composite
def batches(
    draw: st.DrawFn,
) -> tuple[list[bytes | None], list[bytes | None] | None, list[tuple[Header, ...]] | None, list[int] | int]:
    count = draw(st.integers(1, 70))
    every = st.integers(0, 1 << 30).map(random.Random)
    choose = draw(every)  # Hypothesis's lists of seventy are slow to draw
    some = draw(st.lists(contents, min_size=1, max_size=5))
    fields = draw(st.lists(st.lists(header, max_size=3).map(tuple), min_size=1, max_size=4))
    times = draw(st.lists(st.integers(0, 1 << 40), min_size=1, max_size=4))
    values = choose.choices(some, k=count)
    keys = choose.choices(some, k=count) if draw(st.booleans()) else None
    headers = None
    if draw(st.booleans()):
        headers = choose.choices(fields, k=count)
        if draw(st.booleans()):  # equal, and not the same objects
            headers = [(*each,) for each in headers]
    stamps: list[int] | int = times[0] if draw(st.booleans()) else choose.choices(times, k=count)
    return values, keys, headers, stamps


@settings(deadline=None, max_examples=200, suppress_health_check=QUIET)
@given(batches())
def test_columns_have_the_bytes_of_records_one_by_one(
    columns: tuple[list[bytes | None], list[bytes | None] | None, list[tuple[Header, ...]] | None, list[int] | int],
) -> None:
    values, keys, headers, stamps = columns
    count = len(values)
    times = [stamps] * count if isinstance(stamps, int) else stamps
    data = one_by_one(values, keys or [None] * count, headers or [()] * count, times, list(range(count)))
    assert encode_records(values, keys, headers, stamps) == data
    assert encode_one_by_one(values, keys, headers, stamps) == data
    blocks = None if headers is None else header_blocks(headers)
    assert encode_one_by_one(values, keys, None, stamps, blocks) == data
    assert encode_columns(values, keys, None, stamps, blocks) == data
    assert encode_records(values, keys, None, stamps, None, blocks) == data
    assert encode_columns(values, keys, headers, stamps) == data


@settings(deadline=None, max_examples=200, suppress_health_check=QUIET)
@given(batches(), st.integers(0, 3), st.integers(0, 1 << 40))
def test_records_one_by_one_are_read_into_columns(
    columns: tuple[list[bytes | None], list[bytes | None] | None, list[tuple[Header, ...]] | None, list[int] | int],
    gap: int,
    base: int,
) -> None:
    """Gaps in the offsets are what compaction leaves."""
    values, some_keys, some_headers, stamps = columns
    count = len(values)
    times = [stamps] * count if isinstance(stamps, int) else stamps
    keys, headers = some_keys or [None] * count, some_headers or [()] * count
    deltas = [index + gap * (index // 7) for index in range(count)]
    data = one_by_one(values, keys, headers, times, deltas)
    offsets, found_times, found_keys, found_values, found_headers = decode_general(
        data, count, deltas[-1], base, times[0]
    )
    assert list(offsets) == [base + delta for delta in deltas]
    assert (found_times, found_keys, found_values, list(found_headers)) == (times, keys, values, headers)


@pytest.mark.parametrize("size", SIZES)
def test_plain_records_of_one_size_have_the_bytes_of_records_one_by_one(size: int) -> None:
    """What stands between them is remembered: for more records, for fewer, and for more again."""
    for count in (15, 16, 65, 17, *((8193, 64, 70_000) if size <= 10 else ()), 66):
        values = [(b"%d" % number)[:size].ljust(size, b"x") for number in range(count)]
        data = encode_records(values, None, None, 5)
        assert data == encode_one_by_one(values, None, None, 5)
        assert decode_plain(data, count) in (values, None)  # None: long records go the general way


def test_nulls_are_no_plain_records_of_one_size() -> None:
    for values in ([None] * 20, [b"", None] * 10, [*[b""] * 19, None]):
        assert encode_records(values, None, None, 5, [0] * 20) == encode_one_by_one(values, None, None, 5)


@pytest.mark.parametrize("count", [(1 << 17) - 1, (1 << 17) + 2])
def test_more_records_than_the_table_of_offsets_has_are_read_as_they_were_written(count: int) -> None:
    keys: list[bytes | None] = [b"%d" % number for number in range(count)]
    data = encode_records(keys, keys, None, 5)
    assert data == encode_one_by_one(keys, keys, None, 5)
    offsets, times, found, values, _ = decode_general(data, count, count - 1, 0, 5)
    assert (found, values, times, offsets) == (keys, keys, [5] * count, range(count))


@settings(deadline=None, suppress_health_check=QUIET)
@given(st.lists(st.binary(max_size=40), min_size=1, max_size=8), st.integers(1, 1000), st.integers(0, 1 << 30))
def test_keys_by_column_go_where_each_key_goes(few: list[bytes], partitions: int, seed: int) -> None:
    """Many keys of one length are hashed in one long number, few of them one by one."""
    choose = random.Random(seed)
    many = [choose.randbytes(length) for length in (0, 1, 3, 4, 7, 10, 33) for _ in range(choose.randrange(30))]
    keys = few + many + few
    choose.shuffle(keys)
    expected = [partition_for_key(key, partitions) for key in keys]
    assert partitions_for_keys(keys, partitions) == expected
    assert partitions_for_keys(keys, partitions) == expected  # remembered


def test_keys_beyond_those_that_are_remembered_go_where_they_belong() -> None:
    keys = [b"key-%d" % number for number in range(100_000)]
    for start in range(0, len(keys), 5_000):
        some = keys[start : start + 5_000]
        found = partitions_for_keys(some, 12)
        assert found[::500] == [partition_for_key(key, 12) for key in some[::500]]


def test_headers_that_a_caller_has_changed_are_written_as_they_are_now() -> None:
    """Blocks of headers are remembered by the very object, where it can't change."""
    fields: list[Header] = [("n", b"1")]
    before = encode_one_by_one([b"v"], None, [fields], 5)
    fields[0] = ("n", b"2")
    assert encode_one_by_one([b"v"], None, [fields], 5) == before.replace(b"1", b"2")


def test_headers_have_their_own_bytes_whatever_others_were_before() -> None:
    for number in range(20_000):
        fields = (("n", b"%d" % number),)
        assert encode_one_by_one([b"v"], None, [fields], 5).endswith(b"%d" % number)


@given(batches())
def test_lengths_are_those_of_key_value_and_headers(
    batch: tuple[list[bytes | None], list[bytes | None] | None, list[tuple[Header, ...]] | None, list[int] | int],
) -> None:
    values, keys, headers, _ = batch
    blocks = None if headers is None else header_blocks(headers)
    expected = [
        sum(len(column[place] or b"") for column in (values, keys, blocks) if column is not None)
        for place in range(len(values))
    ]
    assert record_lengths(values, keys, blocks) == expected
    assert lengths_one_by_one(values, keys or [], blocks or []) == expected


class _Text(str):
    __slots__ = ()


@pytest.mark.parametrize(
    "fields",
    [[("n", b"1")], (["n", b"1"],), (("n", bytearray(b"1")),), (("n", memoryview(b"1")),), ((_Text("n"), b"1"),)],
)
def test_only_headers_that_cannot_change_are_taken_as_those_that_were_there_before(fields: object) -> None:
    """What is known is looked at no more: so it must be what it was."""
    usual: list[object] = [(("k", None), ("n", b"1"))]
    for _ in range(2):
        _, blocks = made_sendable([b"v"], None, usual, None, None)  # type: ignore[arg-type]
        assert blocks == [b"\x04\x02k\x01\x02n\x021"]
        assert known_blocks(usual) == blocks  # type: ignore[arg-type]
    for _ in range(2):
        try:
            columns, blocks = made_sendable([b"v"], None, [fields], None, None)  # type: ignore[list-item]
        except TypeError as error:
            assert "A header is a name and bytes" in str(error)
        else:
            assert blocks == [b"\x02\x02n\x021"]
            assert columns.headers is not None
            assert list(columns.headers[0]) == [("n", b"1")]
        assert known_blocks([fields]) is None  # type: ignore[list-item]


def test_known_headers_for_another_number_of_values_are_refused_as_others() -> None:
    usual = [(("a", b"1"),), (("a", b"2"),)]
    made_sendable([b"v", b"w"], None, usual, None, None)
    with pytest.raises(ValueError, match="2 headers for 1 values"):
        made_sendable([b"v"], None, usual, None, None)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=40), st.booleans(), st.booleans())
def test_records_that_are_dealt_out_are_those_that_are_picked(chosen: list[int], keyed: bool, timed: bool) -> None:
    count = len(chosen)
    values: list[bytes | None] = [b"v%d" % number for number in range(count)]
    keys: list[bytes | None] = [b"k%d" % number for number in range(count)]
    headers = [(("n", value),) for value in values]
    times = list(range(count)) if timed else 7
    records = OutgoingRecords(values, None, None, times, [9] * count)
    if keyed:
        records = OutgoingRecords(values, keys, headers, times, [9] * count, None, header_blocks(headers))
    found = list(records.split(chosen))
    assert [partition for partition, _ in found] == list(dict.fromkeys(chosen))
    for partition, some in found:
        picked = records.pick([place for place, number in enumerate(chosen) if number == partition])
        assert picked.headers is None or header_blocks(picked.headers) == list(picked.blocks or ())
        for name in ("values", "keys", "timestamps", "lengths", "blocks"):  # the blocks stand for the headers
            assert listed(getattr(some, name)) == listed(getattr(picked, name))
        assert some.headers is None
    parts = [[value for value, number in zip(values, chosen, strict=True) if number == each] for each in range(6)]
    assert dealt(values, chosen, 6) == parts == dealt(tuple(values), chosen, 6)


def listed(column: object) -> object:
    return list(column) if isinstance(column, tuple) else column
