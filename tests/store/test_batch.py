"""The record batch: the bytes of Apache Kafka's own segments, and what becomes of bytes nobody should have written."""

from __future__ import annotations

import gzip
import re
import subprocess
import sys
import zlib
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import cramjam
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pykafka_store.errors import (
    CorruptRecordError,
    StoreError,
    UnsupportedCompressionError,
    UnsupportedVersionError,
)
from pykafka_store.format import compression as codecs
from pykafka_store.format.batch import (
    HEADER,
    HEADER_SIZE,
    LOG_OVERHEAD,
    MAX_BATCH_SIZE,
    TIMESTAMP_TYPE_BIT,
    Batch,
    EncodedBatch,
    crc_of,
    decode_records,
    encode_batch,
    parse_header,
    record_size_upper_bound,
    split_batches,
)
from pykafka_store.format.index import offset_entries, pack_offset_entry, pack_time_entry, time_entries
from pykafka_store.format.varint import decode_varint, encode_varint, grow
from pykafka_store.model import Header, Records, TimestampType
from pykafka_store.partitioners import murmur2, partition_for_key

DATA = Path(__file__).resolve().parent.parent / "data"
SEGMENTS = sorted(path.name for path in (DATA / "segments").iterdir() if path.is_dir())
REFUSALS = (CorruptRecordError, UnsupportedVersionError, UnsupportedCompressionError)
"""What bytes that are no batch may be answered with: nothing else, and no traceback."""

UNCOVERED = frozenset([*range(8), *range(12, 16)])
"""Base offset and leader epoch: the bytes that the CRC does not cover."""


class Row(NamedTuple):
    """One record."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[Header, ...]


def rows(records: Records) -> list[Row]:
    columns = zip(
        records.offsets, records.timestamps, records.keys, records.values, map(tuple, records.headers), strict=True
    )
    return [Row(*fields) for fields in columns]


def batches_of(folder: str) -> list[Batch]:
    """The batches of a folder's first segment, which together are all of its bytes."""
    path = min((DATA / "segments" / folder).glob("*.log"))
    data = path.read_bytes()
    found = list(split_batches(data))
    assert b"".join(batch.data for batch in found) == data
    return found


def whole(batch: EncodedBatch, base_offset: int = 0, leader_epoch: int = 0) -> bytes:
    return b"".join(batch.placed(base_offset, leader_epoch))


def as_batch(data: bytes) -> Batch:
    (batch,) = split_batches(data)
    assert len(batch.data) == len(data)
    return batch


def resummed(data: bytes) -> bytes:
    """The bytes with a CRC that is right for them."""
    return data[:17] + crc_of(data).to_bytes(4, "big") + data[21:]


def with_fields(data: bytes, **fields: int) -> bytes:
    """A batch with some header fields replaced, and a CRC that is right for it."""
    header = parse_header(data)._replace(**fields)
    return resummed(HEADER.pack(*header) + data[HEADER_SIZE:])


def with_payload(payload: bytes, count: int, *, codec: int = 0, last_offset_delta: int | None = None) -> bytes:
    """A batch whose CRC is right and whose records are any bytes."""
    header = HEADER.pack(
        0, HEADER_SIZE - LOG_OVERHEAD + len(payload), 0, 2, 0, codec,
        count - 1 if last_offset_delta is None else last_offset_delta, 1000, 1000, -1, -1, -1, count,
    )  # fmt: skip
    return resummed(header + payload)


# ------------------------------------------------------------------------------------------------------ golden bytes

_BATCH_LINE = re.compile(
    r"baseOffset: (?P<base_offset>\d+) lastOffset: (?P<last_offset>\d+) count: (?P<count>\d+) "
    r"baseSequence: (?P<sequence>-?\d+) lastSequence: -?\d+ producerId: (?P<producer_id>-?\d+) "
    r"producerEpoch: (?P<producer_epoch>-?\d+) partitionLeaderEpoch: (?P<epoch>-?\d+) "
    r"isTransactional: (?P<transactional>\w+) isControl: (?P<control>\w+) deleteHorizonMs: "
    r"OptionalLong(?:\.empty|\[(?P<horizon>\d+)\]) position: (?P<position>\d+) "
    r"(?P<type>\w+): (?P<max_timestamp>-?\d+) size: (?P<size>\d+) magic: (?P<magic>\d) "
    r"compresscodec: (?P<codec>\w+) crc: (?P<crc>\d+) isvalid: true"
)
_RECORD_LINE = re.compile(
    r"\| offset: (\d+) (\w+): (-?\d+) keySize: (-?\d+) valueSize: (-?\d+) sequence: (-?\d+) headerKeys: \[(.*?)\]"
    r"(?: endTxnMarker: (\w+) coordinatorEpoch: (\d+)|(?: key: (.*?))?(?: payload: (.*))?)"
)


@pytest.mark.parametrize("folder", SEGMENTS)
def test_kafkas_batches_say_to_us_what_they_say_to_kafkas_own_tool(folder: str) -> None:
    """Every field of every header and record that a Kafka broker wrote is read as kafka-dump-log reads it."""
    text = (DATA / "dumps" / f"{folder}.txt").read_text("utf-8")
    lines = [line for line in text.split("\n") if line.startswith(("baseOffset", "|"))]
    for batch in batches_of(folder):
        header = batch.header
        said = _BATCH_LINE.fullmatch(lines.pop(0))
        assert said is not None
        assert batch.is_valid
        assert {
            "base_offset": str(header.base_offset),
            "last_offset": str(header.last_offset),
            "count": str(header.record_count),
            "sequence": str(header.base_sequence),
            "producer_id": str(header.producer_id),
            "producer_epoch": str(header.producer_epoch),
            "epoch": str(header.leader_epoch),
            "transactional": str(header.is_transactional).lower(),
            "control": str(header.is_control).lower(),
            "horizon": None if header.delete_horizon_ms is None else str(header.delete_horizon_ms),
            "position": str(batch.position),
            "type": "LogAppendTime" if header.timestamp_type is TimestampType.LOG_APPEND_TIME else "CreateTime",
            "max_timestamp": str(header.max_timestamp),
            "size": str(header.size),
            "magic": "2",
            "codec": codecs.NAMES[header.codec],
            "crc": str(header.crc),
        } == said.groupdict()
        for row in rows(decode_records(batch, "t", 0)):
            record = _RECORD_LINE.fullmatch(lines.pop(0))
            assert record is not None
            offset, _, timestamp, key_size, value_size, _, names, marker, epoch, key, value = record.groups()
            assert (row.offset, row.timestamp) == (int(offset), int(timestamp))
            assert [name for name, _ in row.headers] == (names.split(",") if names else [])
            assert (-1 if row.key is None else len(row.key)) == int(key_size)
            assert (-1 if row.value is None else len(row.value)) == int(value_size)
            if marker:
                assert row.key == b"\0\0" + {"ABORT": b"\0\0", "COMMIT": b"\0\1"}[marker]
                assert row.value == b"\0\0" + int(epoch).to_bytes(4, "big")
            else:
                assert (row.key or b"").decode("utf-8", "replace") == (key or "")
                assert (row.value or b"").decode("utf-8", "replace") == (value or "")
    assert not lines, "the tool saw more than we did"


def test_headers_keys_and_nulls_of_a_kafka_batch_come_out_as_they_were_sent() -> None:
    """Written out by hand, for what the tool's text can't tell apart: null, empty, and bytes that are not UTF-8."""
    first, second, third = batches_of("mix-0")
    assert [row[2:] for row in rows(decode_records(first, "t", 0))] == [
        (b"k1", b"v1", (("h1", b"v1"), ("h2", b"v2"))),
        (b"k2", b"v2", ()),
        (None, None, (("h", None),)),
        (b"", b"", (("h", b""),)),
        ("clé".encode(), "valué".encode(), (("é", "ü".encode()),)),
        ("bad\ufffd".encode(), "byte\ufffd".encode(), (("h", "\ufffd".encode()),)),
    ]
    assert [row[2:] for row in rows(decode_records(second, "t", 0))] == [(b"k", b"v", ())]
    assert [row[2:] for row in rows(decode_records(third, "t", 0))] == [(None, b"", ())]


def _whole_batches() -> list[tuple[str, int]]:
    """(folder, number) of the batches that a producer could have sent so: no record is gone, no horizon set."""
    return [
        (folder, number)
        for folder in SEGMENTS
        for number, batch in enumerate(batches_of(folder))
        if batch.header.record_count == batch.header.last_offset_delta + 1
        and batch.header.delete_horizon_ms is None
        and batch.header.timestamp_type is TimestampType.CREATE_TIME
    ]


@pytest.mark.parametrize(("folder", "number"), _whole_batches())
def test_kafkas_batches_are_encoded_to_the_same_bytes_again(folder: str, number: int) -> None:
    """Uncompressed ones bit for bit. Of compressed ones the codec's bytes may differ, what they unfold to may not."""
    batch = batches_of(folder)[number]
    header, records = batch.header, decode_records(batch, "t", 0)
    again = as_batch(
        whole(
            encode_batch(
                records.values,
                keys=records.keys,
                headers=records.headers,
                timestamps=records.timestamps,
                codec=header.codec,
                producer=(header.producer_id, header.producer_epoch, header.base_sequence),
                attributes=header.attributes & ~codecs.CODEC_MASK,
            ),
            header.base_offset,
            header.leader_epoch,
        )
    )
    if not header.codec:
        assert again.data == batch.data
    assert again.payload() == batch.payload()
    assert again.header._replace(length=0, crc=0) == header._replace(length=0, crc=0)
    assert again.is_valid
    assert rows(decode_records(again, "t", 0)) == rows(records)


def test_the_sample_holds_what_it_is_there_for() -> None:
    """A folder that goes missing would take its promises with it: each kind of batch is among those encoded again."""
    found = [batches_of(folder)[number].header for folder, number in _whole_batches()]
    assert {header.codec for header in found} == set(range(5))
    assert any(header.is_transactional and header.is_control for header in found)
    assert any(header.is_transactional and not header.is_control for header in found)


def test_all_codecs_of_kafka_unfold_to_the_same_records() -> None:
    unfolded = {
        name: [row[2:] for batch in batches_of(f"codec-{name}-0") for row in rows(decode_records(batch, "t", 0))]
        for name in codecs.NAMES
    }
    assert len(unfolded["none"]) == 52
    for name in codecs.NAMES:
        (_, first, _), *others = unfolded[name]
        assert first == b"first " + name.encode()
        assert others == unfolded["none"][1:]


def test_log_append_time_is_one_time_for_all_records_and_leaves_their_own_in_the_payload() -> None:
    batch = as_batch(whole(encode_batch([b"a", b"b"], timestamps=[1, 5]).stamped(1000), base_offset=7))
    assert batch.is_valid
    assert batch.header.timestamp_type is TimestampType.LOG_APPEND_TIME
    records = decode_records(batch, "t", 0)
    assert records.timestamps == [1000, 1000]
    assert records.timestamp_type is TimestampType.LOG_APPEND_TIME
    plain = as_batch(with_fields(batch.data, attributes=batch.header.attributes & ~TIMESTAMP_TYPE_BIT))
    assert decode_records(plain, "t", 0).timestamps == [1, 5]


def test_index_entries_of_kafka_are_packed_to_the_same_bytes_again() -> None:
    for folder, base in (("tick-0", 0), ("small-0", 144)):
        log = DATA / "segments" / folder / f"{base:020d}.log"
        ends = {batch.header.last_offset: batch for batch in split_batches(log.read_bytes())}
        data = log.with_suffix(".index").read_bytes()
        found = list(offset_entries(data, base))
        assert b"".join(pack_offset_entry(base, each.offset, each.position) for each in found) == data != b""
        assert all(ends[each.offset].position == each.position for each in found)
        data = log.with_suffix(".timeindex").read_bytes()
        times = list(time_entries(data, base))
        assert b"".join(pack_time_entry(base, each.timestamp, each.offset) for each in times) == data != b""
        assert all(ends[each.offset].header.max_timestamp == each.timestamp for each in times)


# ------------------------------------------------------------------------------------------------------- partitioner

MURMUR2 = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}
POSITIVE = {
    b"": 275646681, b"0": 971027396, b"1": 154038159, b"a": 584102524, b"b": 294391796, b"key": 1067546281,
    b"key0": 452605474, b"key1": 28543940, b"key2": 1674751211, b"foobar": 1357151166, b"user-1": 1404122828,
}  # fmt: skip


@pytest.mark.parametrize(("key", "expected"), MURMUR2.items())
def test_keys_hash_as_in_kafkas_own_test(key: bytes, expected: int) -> None:
    assert murmur2(key) == expected


@pytest.mark.parametrize(("key", "expected"), POSITIVE.items())
def test_a_key_lands_where_every_kafka_client_puts_it(key: bytes, expected: int) -> None:
    for partitions in (1, 2, 3, 4, 6, 10):
        assert partition_for_key(key, partitions) == expected % partitions


# ----------------------------------------------------------------------------------------------------------- varints


@given(st.integers(-(1 << 63), (1 << 63) - 1))
@example((1 << 63) - 1)
@example(-(1 << 63))
def test_a_varint_comes_back_and_ends_where_it_ended(number: int) -> None:
    data = encode_varint(number)
    assert 1 <= len(data) <= 10
    assert decode_varint(b"\xff" + data + b"\xff", 1) == (number, 1 + len(data))


@pytest.mark.parametrize(
    ("number", "data"), [(0, "00"), (-1, "01"), (1, "02"), (63, "7e"), (-64, "7f"), (64, "8001"), (300, "d804")]
)
def test_varints_are_zigzag_with_the_low_bits_first(number: int, data: str) -> None:
    assert encode_varint(number) == bytes.fromhex(data)


@given(st.binary(max_size=12))
def test_any_bytes_are_a_varint_of_64_bits_or_refused(data: bytes) -> None:
    try:
        number, end = decode_varint(data, 0)
    except (IndexError, CorruptRecordError):
        return
    assert -(1 << 63) <= number < 1 << 63
    assert 1 <= end <= len(data)


@pytest.mark.parametrize("others", [3, 5, 9])
def test_a_table_that_another_thread_grows_meanwhile_has_each_entry_in_its_place(others: int) -> None:
    table: list[bytes] = []

    def entry(number: int) -> bytes:
        if number == 2 and not table:
            grow(table, others, encode_varint)  # as a thread does that gets its turn here
        return encode_varint(number)

    grow(table, 6, entry)
    assert table == [encode_varint(number) for number in range(max(6, others))]


# -------------------------------------------------------------------------------------------------------- round trip

_BYTES = st.one_of(st.none(), st.binary(max_size=90), st.sampled_from([b"", b"x" * 63, b"x" * 64, b"y" * 8300]))
_HEADERS = st.lists(st.tuples(st.text(max_size=5), st.one_of(st.none(), st.binary(max_size=9))), max_size=3)
_STAMP = st.integers(-1, 1 << 62)


@st.composite
def columns(draw: st.DrawFn) -> tuple[list[bytes | None], list[bytes | None] | None, list[list[Header]] | None, object]:
    count = draw(st.one_of(st.integers(1, 5), st.sampled_from([63, 64, 65, 200])))
    if count <= 5:
        values = draw(st.lists(_BYTES, min_size=count, max_size=count))
    else:
        values = draw(st.lists(_BYTES, min_size=3, max_size=3)) * count
        values = values[:count]
    keys = draw(st.one_of(st.none(), st.lists(_BYTES, min_size=count, max_size=count)))
    headers = draw(st.one_of(st.none(), st.lists(_HEADERS, min_size=count, max_size=count)))
    stamps = draw(st.one_of(_STAMP, st.lists(_STAMP, min_size=count, max_size=count)))
    return values, keys, headers, stamps


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(columns(), st.sampled_from(range(5)), st.integers(0, 1 << 62), st.integers(0, (1 << 31) - 1))
def test_what_is_encoded_is_decoded_again(
    some: tuple[list[bytes | None], list[bytes | None] | None, list[list[Header]] | None, list[int] | int],
    codec: int,
    base_offset: int,
    epoch: int,
) -> None:
    values, keys, headers, timestamps = some
    encoded = encode_batch(values, keys=keys, headers=headers, timestamps=timestamps, codec=codec)
    data = whole(encoded, base_offset, epoch)
    assert len(data) == encoded.size
    batch = as_batch(data)
    assert batch.is_valid
    assert (batch.header.base_offset, batch.header.leader_epoch, batch.header.codec) == (base_offset, epoch, codec)
    stamps = [timestamps] * len(values) if isinstance(timestamps, int) else timestamps
    assert batch.header.max_timestamp == max(stamps)
    assert encoded.max_timestamp_delta == stamps.index(max(stamps))
    assert rows(decode_records(batch, "t", 0)) == [
        Row(base_offset + i, stamps[i], keys[i] if keys else None, value, tuple(headers[i]) if headers else ())
        for i, value in enumerate(values)
    ]
    for i, value in enumerate(values[:5]):
        alone = encode_batch(
            [value],
            keys=None if keys is None else [keys[i]],
            headers=None if headers is None else [headers[i]],
            timestamps=stamps[i],
        )
        bound = record_size_upper_bound(keys[i] if keys else None, value, headers[i] if headers else ())
        assert alone.size <= bound <= alone.size + 22


@pytest.mark.parametrize("count", [1, 63, 64, 65, 8191, 8192, 8193, (1 << 17) - 1, 1 << 17, (1 << 17) + 1])
def test_plain_records_have_the_bytes_of_the_general_way(count: int) -> None:
    """The console's fast way and the general one meet in the same bytes, on both sides of each varint's growth."""
    values = [b"%d" % i for i in range(count)]
    fast = encode_batch(values, timestamps=5)
    general = encode_batch(values, timestamps=[5] * count)
    assert fast.payload == general.payload
    assert decode_records(as_batch(whole(fast)), "t", 0).values == values


@pytest.mark.parametrize("size", [0, 57, 58, 59, 60, 61, 63, 64, 8180, 8185, 8191, 8192, 70000, (1 << 20) + 1])
def test_plain_values_of_every_length_of_varint_come_back(size: int) -> None:
    values = [b"v" * size, b"", b"w" * (size + 1)] * 30
    assert decode_records(as_batch(whole(encode_batch(values, timestamps=5))), "t", 0).values == values


def test_columns_of_different_lengths_are_refused() -> None:
    """They would make a batch that announces more records than it holds."""
    for given_columns in ({"keys": [b"k"]}, {"headers": [()]}, {"timestamps": [1]}):
        with pytest.raises(ValueError, match="column"):
            encode_batch([b"a", b"b"], **{"timestamps": 1, **given_columns})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least one"):
        encode_batch([], timestamps=1)


def test_header_keys_that_are_not_utf_8_are_read_as_java_reads_them() -> None:
    """Other clients may write any bytes there; Kafka's puts U+FFFD in their place."""
    sent = whole(encode_batch([b"v"], headers=[[("key", b"x")]], timestamps=1))
    spoilt = as_batch(resummed(sent.replace(b"key", b"k\xffy")))
    assert rows(decode_records(spoilt, "t", 0))[0].headers == (("k\ufffdy", b"x"),)


# ---------------------------------------------------------------------------------------------------- damaged batches

SAMPLES = {
    "plain": encode_batch([b"one", b"two", b"three"], timestamps=1000),
    "rich": encode_batch([b"v", None], keys=[None, b"k"], headers=[[("h", b"x"), ("n", None)], []], timestamps=[1, 9]),
    "zstd": encode_batch([b"zeros" * 20] * 3, timestamps=1000, codec=codecs.ZSTD),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_every_flipped_bit_of_a_batch_is_noticed_or_is_in_the_offset_or_the_epoch(name: str) -> None:
    data = whole(SAMPLES[name], base_offset=100, leader_epoch=3)
    sent = [row[1:] for row in rows(decode_records(as_batch(data), "t", 0))]
    for position in range(len(data)):
        for bit in range(8):
            flipped = data[:position] + bytes([data[position] ^ 1 << bit]) + data[position + 1 :]
            try:
                found = list(split_batches(flipped))
            except REFUSALS:
                assert 8 <= position <= 26 or (position == 0 and bit == 7)
                continue
            if position in UNCOVERED:
                (batch,) = found
                assert batch.is_valid
                assert (batch.header.base_offset, batch.header.leader_epoch) != (100, 3)
                assert [row[1:] for row in rows(decode_records(batch, "t", 0))] == sent
            else:
                assert not any(batch.is_valid for batch in found)
                assert found or 8 <= position < 12, "only a longer length leaves a partial batch"


@pytest.mark.parametrize("magic", range(256))
def test_only_magic_2_is_read(magic: int) -> None:
    data = whole(SAMPLES["plain"])
    spoilt = data[:16] + bytes([magic]) + data[17:]
    if magic == 2:
        assert parse_header(spoilt).magic == 2
    elif magic < 2:
        with pytest.raises(UnsupportedVersionError, match=f"v{magic} is older"):
            parse_header(spoilt)
    else:
        with pytest.raises(CorruptRecordError, match=f"magic byte {magic}"):
            parse_header(spoilt)


def test_zeros_are_no_message_of_an_old_format() -> None:
    """What a file system leaves at the end of a file after a power cut: no reason to ask for an older tool."""
    with pytest.raises(CorruptRecordError):
        parse_header(bytes(100))


@pytest.mark.parametrize("codec", [5, 6, 7])
def test_an_unknown_codec_is_refused_by_name(codec: int) -> None:
    batch = as_batch(with_fields(whole(SAMPLES["plain"]), attributes=codec))
    with pytest.raises(UnsupportedCompressionError, match=str(codec)):
        decode_records(batch, "t", 0)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("record_count", -1),
        ("record_count", 2),
        ("record_count", 4),
        ("record_count", (1 << 31) - 1),
        ("last_offset_delta", 1),
        ("last_offset_delta", 0),
    ],
)
@pytest.mark.parametrize("name", ["plain", "zstd"])
def test_a_header_that_its_records_contradict_is_refused(name: str, field: str, value: int) -> None:
    """Else offsets would come twice: those beyond the last one belong to the next batch."""
    batch = as_batch(with_fields(whole(SAMPLES[name]), **{field: value}))
    assert batch.is_valid
    with pytest.raises(CorruptRecordError):
        decode_records(batch, "t", 0)


def test_a_batch_that_compaction_thinned_keeps_its_offsets() -> None:
    batch = as_batch(with_fields(whole(encode_batch([b"a", b"b"], timestamps=1)), last_offset_delta=9))
    assert list(decode_records(batch, "t", 0).offsets) == [0, 1]
    assert batch.header.last_offset == 9


def test_an_empty_batch_has_no_records() -> None:
    assert rows(decode_records(as_batch(with_payload(b"", 0, last_offset_delta=5)), "t", 0)) == []


@pytest.mark.parametrize("field", ["base_offset", "last_offset_delta"])
def test_negative_offsets_are_refused(field: str) -> None:
    with pytest.raises(CorruptRecordError, match="negative"):
        parse_header(with_fields(whole(SAMPLES["plain"]), **{field: -1}))


@pytest.mark.parametrize("length", [-(1 << 31), -1, 0, 48])
def test_a_length_below_a_header_is_refused(length: int) -> None:
    data = bytearray(whole(SAMPLES["plain"]))
    data[8:12] = length.to_bytes(4, "big", signed=True)
    with pytest.raises(CorruptRecordError):
        list(split_batches(bytes(data)))


def test_the_largest_length_is_a_partial_batch_and_nothing_more() -> None:
    data = bytearray(whole(SAMPLES["plain"]))
    data[8:12] = MAX_BATCH_SIZE.to_bytes(4, "big")
    assert list(split_batches(bytes(data))) == []


def test_a_batch_cut_anywhere_is_a_partial_one() -> None:
    data = whole(SAMPLES["rich"])
    for size in range(len(data)):
        assert list(split_batches(data[:size])) == []


# --------------------------------------------------------------------------------------------------------------- fuzz


@settings(max_examples=300)
@given(st.binary(min_size=HEADER_SIZE, max_size=200))
def test_any_bytes_are_a_header_or_refused(data: bytes) -> None:
    try:
        header = parse_header(data)
    except REFUSALS:
        return
    assert header.magic == 2
    assert header.size >= HEADER_SIZE


def within(limit: int) -> AbstractContextManager[object]:
    """Batches may unfold to this only: so that thousands of them are tried in a moment."""
    return mock.patch.object(codecs, "decompress", partial(codecs.decompress, limit=limit))


@settings(max_examples=400, deadline=None)
@given(st.binary(max_size=120), st.integers(-2, 20), st.integers(0, 20), st.integers(0, 7))
def test_any_bytes_under_a_right_crc_are_records_or_refused(payload: bytes, count: int, last: int, codec: int) -> None:
    batch = as_batch(with_payload(payload, count, codec=codec, last_offset_delta=last))
    assert batch.is_valid
    try:
        with within(1 << 16):
            records = decode_records(batch, "t", 0)
    except REFUSALS:
        return
    assert len(rows(records)) == count
    assert all(0 <= offset <= last for offset in records.offsets)


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_records_with_some_bytes_changed_under_a_right_crc_are_records_or_refused(data: st.DataObject) -> None:
    """Nearer to the truth than random bytes, so it reaches deeper."""
    sample = SAMPLES[data.draw(st.sampled_from(sorted(SAMPLES)))]
    spoilt = bytearray(whole(sample))
    for _ in range(data.draw(st.integers(1, 4))):
        spoilt[data.draw(st.integers(21, len(spoilt) - 1))] = data.draw(st.integers(0, 255))
    try:
        batch = as_batch(resummed(bytes(spoilt)))
        with within(1 << 16):
            records = decode_records(batch, "t", 0)
    except REFUSALS:
        return
    assert len(rows(records)) == batch.header.record_count


@settings(max_examples=400, deadline=None)
@given(st.sampled_from([codecs.GZIP, codecs.SNAPPY, codecs.LZ4, codecs.ZSTD]), st.data())
def test_any_bytes_unfold_within_the_limit_or_are_refused(codec: int, data: st.DataObject) -> None:
    good = codecs.compress(codec, data.draw(st.binary(max_size=300)) * 3)
    spoilt = bytearray(data.draw(st.one_of(st.just(good), st.binary(max_size=60))))
    for _ in range(data.draw(st.integers(0, 3)) if spoilt else 0):
        spoilt[data.draw(st.integers(0, len(spoilt) - 1))] = data.draw(st.integers(0, 255))
    try:
        unfolded = codecs.decompress(codec, bytes(spoilt), limit=2000)
    except CorruptRecordError:
        return
    assert len(unfolded) <= 2000


@pytest.mark.parametrize("codec", [codecs.GZIP, codecs.SNAPPY, codecs.LZ4, codecs.ZSTD])
@pytest.mark.parametrize("size", [0, 1, 32 * 1024, 32 * 1024 + 1, 65536, 65537, 600_000])
def test_a_block_that_unfolds_to_the_limit_is_taken_and_one_byte_more_is_not(codec: int, size: int) -> None:
    data = bytes(size)
    packed = codecs.compress(codec, data)
    assert codecs.decompress(codec, packed, limit=size) == data
    if size > 1:
        with pytest.raises(CorruptRecordError):
            codecs.decompress(codec, packed, limit=size - 1)


@pytest.mark.parametrize("codec", [codecs.GZIP, codecs.SNAPPY, codecs.LZ4, codecs.ZSTD])
def test_a_compressed_block_cut_anywhere_is_refused(codec: int) -> None:
    packed = codecs.compress(codec, b"some text, some text, some more text " * 30)
    for size in range(len(packed)):
        if (codec, size) == (codecs.SNAPPY, 16):
            continue  # the stream's header: a whole stream of no blocks, whose missing records are noticed later
        with pytest.raises(CorruptRecordError):
            codecs.decompress(codec, packed[:size], limit=1 << 16)


def test_bare_snappy_is_read_as_older_clients_wrote_it() -> None:
    data = b"some text, some text" * 9
    assert codecs.decompress(codecs.SNAPPY, bytes(cramjam.snappy.compress_raw(data))) == data


def test_gzip_of_other_writers_is_read() -> None:
    assert codecs.decompress(codecs.GZIP, gzip.compress(b"text" * 50)) == b"text" * 50


# -------------------------------------------------------------------------------------------------------------- bombs

GIGABYTES = 4


def _gzip_bomb() -> bytes:
    packer = zlib.compressobj(9, wbits=31)
    head = packer.compress(bytes(1 << 24)) + packer.flush(zlib.Z_FULL_FLUSH)
    again = packer.compress(bytes(1 << 24)) + packer.flush(zlib.Z_FULL_FLUSH)
    return head + again * (GIGABYTES * 64)  # after a full flush a block stands alone, so it may be repeated


def _snappy_claim() -> bytes:
    return b"\xff\xff\xff\xff\x0f" + b"\x00a"  # 4 GiB, it says


def _xerial_bomb() -> bytes:
    block = bytes(cramjam.snappy.compress_raw(bytes(1 << 26)))
    return b"\x82SNAPPY\x00\0\0\0\x01\0\0\0\x01" + (len(block).to_bytes(4, "big") + block) * 5


def _lz4_bomb() -> bytes:
    """An LZ4 frame of independent 4 MiB blocks, one of them repeated."""
    header = b"\x60\x70"  # version 1, independent blocks; 4 MiB at most
    raw = bytes(cramjam.lz4.compress_block(bytes(1 << 22), store_size=False))
    frame = bytes(cramjam.lz4.compress(b"", 1))
    assert frame[:4] == b"\x04\x22\x4d\x18"
    checksum = {b"\x60\x70": 0x73}[header]
    block = len(raw).to_bytes(4, "little") + raw
    return frame[:4] + header + bytes([checksum]) + block * (GIGABYTES * 256) + bytes(4)


def _zstd_bomb() -> bytes:
    """A zstd frame of run-length blocks: four bytes each for 128 KiB."""
    block = (1 << 1 | (1 << 17) << 3).to_bytes(3, "little") + b"\0"
    return b"\x28\xb5\x2f\xfd\x00\x50" + block * (GIGABYTES * 8192)


def _zstd_claim() -> bytes:
    """A frame that announces 2^40 bytes, and a window of as many."""
    return (
        b"\x28\xb5\x2f\xfd\xe0" + (1 << 40).to_bytes(8, "little") + (1 | 1 << 1 | 9 << 3).to_bytes(3, "little") + b"\0"
    )


BOMBS = {
    "gzip": (codecs.GZIP, _gzip_bomb),
    "snappy": (codecs.SNAPPY, _snappy_claim),
    "xerial": (codecs.SNAPPY, _xerial_bomb),
    "lz4": (codecs.LZ4, _lz4_bomb),
    "zstd": (codecs.ZSTD, _zstd_bomb),
    "zstd-claim": (codecs.ZSTD, _zstd_claim),
}

_IN_LITTLE_MEMORY = """
import resource, sys
import cramjam, google_crc32c
from pykafka_store.errors import CorruptRecordError
from pykafka_store.format import compression
codec, data = int(sys.argv[1]), sys.stdin.buffer.read()
room = 3 * compression.MAX_DECOMPRESSED
now = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (now + room, now + room))
try:
    compression.decompress(codec, data)
except CorruptRecordError as error:
    print("refused:", error)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc to know how much memory is in use")
@pytest.mark.parametrize("name", BOMBS)
def test_a_batch_that_unfolds_to_gigabytes_is_refused_in_little_memory(name: str) -> None:
    """In a process that may not take more than three times the limit on top of what it has."""
    codec, bomb = BOMBS[name]
    done = subprocess.run(
        [sys.executable, "-c", _IN_LITTLE_MEMORY, str(codec)], input=bomb(), capture_output=True, timeout=60
    )
    assert done.stdout.startswith(b"refused:"), done.stderr[-2000:]
    assert done.returncode == 0


def test_the_bombs_are_bombs() -> None:
    """Each but the bare claims really unfolds to more than it is long, as far as one looks."""
    inflater = zlib.decompressobj(wbits=31)
    assert len(inflater.decompress(_gzip_bomb()[:100_000], 1 << 26)) > 1 << 24
    out = bytearray(1 << 22)
    with pytest.raises(cramjam.DecompressionError):
        cramjam.lz4.decompress_into(_lz4_bomb()[: 1 << 16], out)
    assert cramjam.lz4.decompress_into(_lz4_bomb_of_one(), out) == 1 << 22
    small = b"\x28\xb5\x2f\xfd\x00\x50" + (1 | 1 << 1 | (1 << 17) << 3).to_bytes(3, "little") + b"\0"
    assert cramjam.zstd.decompress_into(small, out) == 1 << 17


def _lz4_bomb_of_one() -> bytes:
    bomb = _lz4_bomb()
    size = int.from_bytes(bomb[7:11], "little")
    return bomb[: 11 + size] + bytes(4)


def test_a_claim_of_more_records_or_headers_than_fit_is_refused_before_anything_is_made_of_it() -> None:
    many = encode_varint((1 << 31) - 1)
    body = b"\0\0\0\x01\x01" + many
    for payload, count in ((b"\0" * 70, 11), (encode_varint(len(body)) + body, 1)):
        with pytest.raises(CorruptRecordError):
            decode_records(as_batch(with_payload(payload, count)), "t", 0)


def test_every_refusal_is_one_of_ours() -> None:
    for kind in REFUSALS:
        assert issubclass(kind, StoreError)
