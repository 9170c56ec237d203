"""Fields that lie in one text are the records that they are as objects: cut, dealt, counted and encoded alike.

The loops are for where they are compiled: they count on numbers of 64 bits that wrap.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykafka_store.compiled import COMPILED
from pykafka_store.embedded.clients.outgoing import OutgoingRecords, cut_runs, longest, record_lengths, total
from pykafka_store.embedded.cluster import EmbeddedCluster
from pykafka_store.errors import StorageError
from pykafka_store.fields import NUMBER, PLACE, Fields, Repeated
from pykafka_store.format.record_loop import encode_one_by_one
from pykafka_store.model import Header, OffsetAt, SendFailure, TopicPartition
from pykafka_store.partitioners import partition_for_key
from tests.store.helpers import rows

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


def encoded(text: bytes, values: bytes, keys: bytes = b"") -> bytes:
    """One batch of all records."""
    ((batch,),) = field_loops.encode_fields(text, values, keys, [], b"", 1, 1 << 40, 12)
    return batch[0]


@given(LINES, st.booleans(), st.booleans(), st.integers(1, 9), st.integers(0, 2000))
def test_records_are_dealt_cut_and_encoded_as_those_that_are_objects(
    lines: list[tuple[bytes, bytes, bytes]], with_keys: bool, with_headers: bool, partitions: int, limit: int
) -> None:
    text = b"".join(b"%b|%b\t%b\n" % line for line in lines)
    heads, key_places, value_places, _, _ = field_loops.cut_lines(text, 0, 1000, ord("|"), ord("\t"))
    items, numbers = field_loops.numbered(text, heads)
    assert len(set(items)) == len(items)
    items = [b"\x02\x02h%c" % (2 * len(head)) + head for head in items]
    blocks = Repeated(items, numbers)
    assert list(blocks) == [b"\x02\x02h%c" % (2 * len(head)) + head for head, _, _ in lines]
    values = Fields(text, value_places)
    keys = Fields(text, key_places) if with_keys else None
    lengths = record_lengths(values, keys, blocks if with_headers else None)
    objects = list(values), list(keys) if keys else None, list(blocks) if with_headers else None
    as_objects = list(record_lengths(*objects))
    assert (list(lengths), total(lengths), longest(lengths)) == (as_objects, sum(as_objects), max(as_objects))
    assert [lengths[n] for n in range(len(lines))] == as_objects
    assert list(lengths[1:7]) == as_objects[1:7]

    partitions = partitions if with_keys else 1
    found = OutgoingRecords(values, keys, None, 0, lengths, None, blocks if with_headers else None).encoded(
        partitions, limit
    )
    assert found is not None
    records = OutgoingRecords(objects[0], objects[1], None, 0, as_objects, None, objects[2])
    numbers_of = [partition_for_key(line[1], partitions) if with_keys else 0 for line in lines]
    for partition, batches in enumerate(found):
        indexes = [index for index, number in enumerate(numbers_of) if number == partition]
        some = records.pick(indexes) if indexes else records.slice(0, 0)
        wanted = []
        for start, stop, _ in cut_runs(some.lengths, limit):
            part = some.slice(start, stop)
            payload = encode_one_by_one(part.values, part.keys, None, 0, part.blocks)
            wanted.append((payload, stop - start, indexes[start]))
        assert batches == wanted


@pytest.mark.parametrize("size", [63, 64, 127, 128, 129, 8191, 8192, (1 << 20) - 1, 1 << 20])
def test_sizes_at_the_ends_of_a_varints_bytes(size: int) -> None:
    field = b"v" * size
    some = column(field, field)
    assert encoded(some.text, some.places) == encode_one_by_one([field] * 2, None, None, 0)
    assert encoded(some.text, some.places, some.places) == encode_one_by_one([field] * 2, [field] * 2, None, 0)


def test_a_batch_of_more_records_than_a_varint_of_two_bytes_counts() -> None:
    fields = [b"%d" % number for number in range(10_000)]
    some = column(*fields)
    assert encoded(some.text, some.places) == encode_one_by_one(fields, None, None, 0)


@given(st.lists(FIELD, min_size=1, max_size=50), st.integers(2, 30))
def test_keys_go_where_they_go_as_objects(keys: list[bytes], partitions: int) -> None:
    some = column(*keys)
    found = field_loops.encode_fields(some.text, some.places, some.places, [], b"", partitions, 0, 12)
    wanted = [[n for n, key in enumerate(keys) if partition_for_key(key, partitions) == p] for p in range(partitions)]
    assert [[first for _, _, first in batches] for batches in found] == wanted


def test_a_column_of_items_that_come_again_is_a_sequence_of_them() -> None:
    some = Repeated(["one", "two"], b"".join(map(NUMBER.pack, (1, 0, 1))))
    assert list(some) == ["two", "one", "two"]
    assert (len(some), some[0], some[-2], "three" in some) == (3, "two", "one", False)
    assert list(some[1:]) == ["one", "two"]
    with pytest.raises(IndexError):
        some[3]
    with pytest.raises(ValueError, match="step"):
        some[::2]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[EmbeddedCluster]:
    with EmbeddedCluster(str(tmp_path / "data")) as cluster:
        yield cluster


def keyed(count: int) -> tuple[Fields, Fields, Repeated[tuple[Header, ...]]]:
    """Values of 110 bytes and more, keys and headers, in one text."""
    keys = [b"key-%d" % number for number in range(count)]
    values = [b"v" * (110 + number) for number in range(count)]
    text = b"".join(b"%b\t%b\n" % line for line in zip(keys, values, strict=True))
    _, key_places, value_places, _, _ = field_loops.cut_lines(text, 0, count, field_loops.NONE, ord("\t"))
    headers: list[tuple[Header, ...]] = [(("h", b"one"),), (("h", None),)]
    numbers = b"".join(NUMBER.pack(number % 2) for number in range(count))
    return Fields(text, value_places), Fields(text, key_places), Repeated(headers, numbers)


@pytest.mark.parametrize("partitions", [1, 3])
@pytest.mark.parametrize("most", [200, 1000, 100_000])
def test_what_a_topic_takes_and_refuses_is_the_same_of_fields_as_of_objects(
    cluster: EmbeddedCluster, partitions: int, most: int
) -> None:
    """Of 200 bytes some records are too large by a few, and their fields take the way of objects."""
    columns = keyed(60)
    outcomes = []
    for topic, sent in (("fields", columns), ("objects", tuple(map(list, columns)))):
        cluster.admin().create_topic(topic, partitions=partitions, configs={"max.message.bytes": str(most)})
        failures: list[tuple[int | None, int, int | None, int | None, str]] = []

        def failed(failure: SendFailure, failures: list[Any] = failures, topic: str = topic) -> None:
            assert failure.topic == topic
            failures.append((*failure[1:5], str(failure.error)))

        with cluster.producer(on_failure=failed) as producer:
            producer.send(topic, sent[0], keys=sent[1], headers=sent[2], timestamps=10**12)  # type: ignore[arg-type]
        with cluster.consumer() as consumer:
            consumer.assign({TopicPartition(topic, number): OffsetAt.EARLIEST for number in range(partitions)})
            read: list[Any] = []
            while runs := consumer.poll():
                read += rows(runs)
        outcomes.append((sorted(failures), sorted(row[1:] for row in read)))
    assert outcomes[0] == outcomes[1]
    assert len(outcomes[0][0]) + len(outcomes[0][1]) == 60
    assert bool(outcomes[0][0]) == (most == 200)


def test_records_of_fields_that_are_not_appended_are_all_told_of(
    cluster: EmbeddedCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise StorageError("no")

    values, keys, headers = keyed(60)
    cluster.admin().create_topic("t", partitions=3)
    failures: list[SendFailure] = []
    with cluster.producer({"batch.size": "1000"}, on_failure=failures.append) as producer:
        monkeypatch.setattr(producer, "_append_or_retry", fail)
        producer.send("t", values, keys=keys, headers=headers)
    assert sum(failure.record_count for failure in failures) == 60
    firsts = {(failure.key_size, failure.value_size) for failure in failures}
    assert firsts <= {(len(key), len(value)) for key, value in zip(keys, values, strict=True)}
    assert (5, 110) in firsts
