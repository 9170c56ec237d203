"""Records on their way into a log, by column: as they were sent, split by partition, cut into runs for batches."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from operator import add, itemgetter
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from pykafka_store.columns import Columns, sendable_columns
from pykafka_store.compiled import COMPILED
from pykafka_store.fields import Fields, Lengths, Repeated
from pykafka_store.format.record_loop import header_blocks, known_blocks
from pykafka_store.partitioners import partitions_for_keys

if TYPE_CHECKING:
    from mypy_extensions import i64  # a machine's number where it is compiled; nothing asks for it when it runs

    from pykafka_store.model import Header

T = TypeVar("T")

RECORD_OVERHEAD = 12
"""Bytes that a record of a full batch takes besides key, value and headers, a little high."""


class Origin:
    """Where copied records come from; see :mod:`pykafka_store.format.copies`. ``offsets`` are those at the source."""

    def __init__(self, producer_id: int, offsets: Sequence[int]) -> None:
        self.producer_id = producer_id
        self.offsets = offsets

    def pick(self, indexes: Sequence[int]) -> Origin:
        return Origin(self.producer_id, [self.offsets[i] for i in indexes])

    def slice(self, start: int, stop: int) -> Origin:
        return Origin(self.producer_id, self.offsets[start:stop])

    def producer(self) -> tuple[int, int, int]:
        """What a batch's header says of it."""
        from pykafka_store.format.copies import copied_producer

        return copied_producer(self.producer_id, self.offsets[-1], len(self.offsets))


class OutgoingRecords:
    """Records that were sent and are not appended yet, with each one's bytes of key, value and headers."""

    def __init__(
        self,
        values: Sequence[bytes | None],
        keys: Sequence[bytes | None] | None,
        headers: Sequence[Sequence[Header]] | None,
        timestamps: Sequence[int] | int,
        lengths: Sequence[int],
        origin: Origin | None = None,
        blocks: Sequence[bytes] | None = None,
    ) -> None:
        """``blocks`` are the headers as bytes, which is what is encoded: there wherever headers are. What was dealt out
        has only these.
        """
        self.values = values
        self.keys = keys
        self.headers = headers
        self.timestamps = timestamps
        self.lengths = lengths
        self.origin = origin
        self.blocks = blocks

    def pick(self, indexes: Sequence[int]) -> OutgoingRecords:
        if len(indexes) == len(self.values):
            return self
        if len(indexes) == 1:
            return self.slice(indexes[0], indexes[0] + 1)
        of = itemgetter(*indexes) if indexes else _nothing
        return OutgoingRecords(
            of(self.values),
            None if self.keys is None else of(self.keys),
            None if self.headers is None else of(self.headers),
            self.timestamps if isinstance(self.timestamps, int) else of(self.timestamps),
            of(self.lengths),
            None if self.origin is None else self.origin.pick(indexes),
            None if self.blocks is None else of(self.blocks),
        )

    def encoded(self, partitions: int, limit: int) -> list[list[tuple[bytes, int, int]]] | None:
        """The batches of each partition, of which there is one, or the keys choose: of at most ``limit`` bytes, or of
        one record. The records' bytes, how many, and the place of the first. None where it takes the way by columns.
        """
        packed = packed_columns(self.values, self.keys, self.blocks)
        if packed is None or self.origin is not None or not isinstance(self.timestamps, int):
            return None
        from pykafka_store.field_loops import encode_fields

        return encode_fields(*packed, partitions, limit, RECORD_OVERHEAD)

    def listed(self) -> OutgoingRecords:
        """The same, for who looks at them one by one: an item of a list costs nothing."""
        keys = None if self.keys is None else list(self.keys)
        return OutgoingRecords(
            list(self.values), keys, self.headers, self.timestamps, self.lengths, self.origin, self.blocks
        )

    def at(self, timestamps: Sequence[int] | int) -> OutgoingRecords:
        """The same at other times."""
        return OutgoingRecords(self.values, self.keys, self.headers, timestamps, self.lengths, self.origin, self.blocks)

    def _bare(self) -> OutgoingRecords:
        """The same without the headers for which the blocks stand."""
        return OutgoingRecords(self.values, self.keys, None, self.timestamps, self.lengths, self.origin, self.blocks)

    def partitions_of_keys(self, partitions: int) -> list[int]:
        """The partition of each record by its key, of which none is null."""
        return partitions_for_keys(cast("Sequence[bytes]", self.keys), partitions)

    def split(self, partitions: Sequence[int]) -> Iterator[tuple[int, OutgoingRecords]]:
        """The records of each partition, in order, where each one's partition is given."""
        if COMPILED and self.origin is None:
            yield from self._dealt(partitions)
            return
        bare = self._bare()
        indexes: dict[int, list[int]] = {partition: [] for partition in dict.fromkeys(partitions)}
        for index, partition in enumerate(partitions):
            indexes[partition].append(index)
        for partition, some in indexes.items():
            yield partition, bare.pick(some)

    def _dealt(self, partitions: Sequence[int]) -> list[tuple[int, OutgoingRecords]]:
        """As ``split``, each column in one loop. Copied records have an origin, and are few."""
        distinct = list(dict.fromkeys(partitions))
        if len(distinct) == 1:
            return [(distinct[0], self._bare())]
        count = len(distinct)
        if max(distinct) < count:  # each partition gets some, and is its own number
            number_of = {partition: partition for partition in distinct}
            numbers = list(partitions)
        else:
            number_of = {partition: number for number, partition in enumerate(distinct)}
            numbers = [number_of[partition] for partition in partitions]
        absent = [None] * count
        values = dealt(self.values, numbers, count)
        keys = absent if self.keys is None else dealt(self.keys, numbers, count)
        blocks = absent if self.blocks is None else dealt(self.blocks, numbers, count)
        stamps = self.timestamps
        times = [stamps] * count if isinstance(stamps, int) else dealt(stamps, numbers, count)
        lengths = dealt(self.lengths, numbers, count)
        return [
            (
                partition,
                OutgoingRecords(values[place], keys[place], None, times[place], lengths[place], None, blocks[place]),
            )
            for partition, place in number_of.items()
        ]

    def slice(self, start: int, stop: int) -> OutgoingRecords:
        if start == 0 and stop == len(self.values):
            return self
        return OutgoingRecords(
            self.values[start:stop],
            None if self.keys is None else self.keys[start:stop],
            None if self.headers is None else self.headers[start:stop],
            self.timestamps if isinstance(self.timestamps, int) else self.timestamps[start:stop],
            self.lengths[start:stop],
            None if self.origin is None else self.origin.slice(start, stop),
            None if self.blocks is None else self.blocks[start:stop],
        )


def _nothing(_column: Sequence[T]) -> tuple[T, ...]:
    return ()


def dealt(column: Sequence[Any], numbers: list[int], count: int) -> Sequence[Sequence[Any]]:
    """The items of which each number from 0 is, in order, where each one's number is given."""
    parts: list[list[Any]] = [[] for _ in range(count)]
    items = column if isinstance(column, list) else list(column)
    for place in range(len(numbers)):
        parts[numbers[place]].append(items[place])
    return parts


_Part = tuple[OutgoingRecords, Sequence[int | None] | int | None]
"""Records that were sent, and the partitions that were asked for."""

_MOST_LOOSE: Final = 256
_NO_HEADERS: Final = b"\x00"
"""What stands for no headers where others have some: their number."""


class Waiting:
    """Records that were sent to one topic and wait to be appended with others.

    They come in by a single step: Ctrl-C may strike between any two, and would leave columns of different lengths.
    """

    def __init__(self, since: float) -> None:
        """``since``: when the first of them was sent."""
        self.since = since
        self.size = 0
        """Bytes of them, about; too few once Ctrl-C has struck."""
        self.is_spread = False
        """Whether they may go to all of the topic's partitions at once."""
        self._parts: list[_Part] = []
        self._loose = 0
        """How many of the last parts are as they were sent, about."""

    def add(self, records: OutgoingRecords, partitions: Sequence[int | None] | int | None) -> None:
        """Take in what is the caller's own to change once this returns."""
        stamps = records.timestamps
        part = OutgoingRecords(
            _kept(records.values),
            None if records.keys is None else _kept(records.keys),
            None,  # the blocks stand for them
            stamps if isinstance(stamps, int) else _shared(list(stamps)),
            records.lengths,
            records.origin,
            records.blocks,
        )
        self.is_spread = self.is_spread or not (records.keys is None and partitions is None)
        self._parts.append((part, _shared(list(partitions)) if isinstance(partitions, Sequence) else partitions))
        self.size += total(records.lengths) + RECORD_OVERHEAD * len(records.lengths)
        self._loose += 1
        if self._loose >= _MOST_LOOSE:  # of single records what holds each would take more room than they do
            self._parts[-_MOST_LOOSE:] = [_joined(self._parts[-_MOST_LOOSE:])]
            self._loose = 0

    def records(self) -> _Part:
        """All of them, and the partitions that were asked for."""
        return _joined(self._parts)


def _joined(parts: Sequence[_Part]) -> _Part:
    """Columns behind one another. What all share is said once, which is faster to encode; a column that some do without
    has what stands for that.
    """
    if len(parts) == 1:
        return parts[0]
    values: list[bytes | None] = []
    keys: list[bytes | None] = []
    blocks: list[bytes] = []
    stamps: list[int] = []
    lengths: list[int] = []
    chosen: list[int | None] = []
    has_keys = any(part.keys is not None for part, _ in parts)
    has_blocks = any(part.blocks is not None for part, _ in parts)
    for part, partitions in parts:
        count = len(part.values)
        values += part.values
        lengths += part.lengths
        if has_keys:
            keys += [None] * count if part.keys is None else part.keys
        if has_blocks:
            blocks += [_NO_HEADERS] * count if part.blocks is None else part.blocks
        stamps += [part.timestamps] * count if isinstance(part.timestamps, int) else part.timestamps
        chosen += [partitions] * count if partitions is None or isinstance(partitions, int) else partitions
    times: Sequence[int] | int = _shared(stamps)
    joined = OutgoingRecords(
        values, keys if has_keys else None, None, times, lengths, None, blocks if has_blocks else None
    )
    return joined, _shared(chosen)


def _kept(column: Sequence[bytes | None]) -> Sequence[bytes | None]:
    """A column that nobody else changes."""
    return column if isinstance(column, Fields) else list(column)


def _shared(column: list[T]) -> list[T] | T:
    """What all of the column are, or the column."""
    return column[0] if column and column.count(column[0]) == len(column) else column


def made_sendable(
    values: Sequence[bytes | None],
    keys: Sequence[bytes | None] | None,
    headers: Sequence[Sequence[Header]] | None,
    timestamps: Sequence[int] | int | None,
    partitions: Sequence[int | None] | int | None,
) -> tuple[Columns, Sequence[bytes] | None]:
    """What :func:`pykafka_store.columns.sendable_columns` makes of the columns, and the headers as bytes.

    Headers that were there before were looked at then.
    """
    if headers is None:
        return sendable_columns(values, keys, None, timestamps, partitions), None
    blocks = known_blocks(headers.items if isinstance(headers, Repeated) else headers)
    if blocks is not None and len(headers) == len(values):
        columns = sendable_columns(values, keys, None, timestamps, partitions)
        columns.headers = headers
    else:
        columns = sendable_columns(values, keys, headers, timestamps, partitions)
        headers = cast("Sequence[Sequence[Header]]", columns.headers)
        blocks = header_blocks(headers.items if isinstance(headers, Repeated) else headers)
    return columns, Repeated(blocks, headers.numbers) if isinstance(headers, Repeated) else blocks


def packed_columns(
    values: Sequence[bytes | None], keys: Sequence[bytes | None] | None, blocks: Sequence[bytes] | None
) -> tuple[bytes, bytes, bytes, list[bytes], bytes] | None:
    """Columns as :mod:`pykafka_store.field_loops` takes them: text, values, keys, blocks, numbers. None where one is a
    column of objects, or keys lie in another text than values.
    """
    if not isinstance(values, Fields):
        return None
    key_places, items, numbers = b"", cast("list[bytes]", []), b""
    if keys is not None:
        if not isinstance(keys, Fields) or keys.text is not values.text:
            return None
        key_places = keys.places
    if blocks is not None:
        if not isinstance(blocks, Repeated):
            return None
        items, numbers = blocks.items, blocks.numbers
    return values.text, values.places, key_places, items, numbers


def record_lengths(
    values: Sequence[bytes | None], keys: Sequence[bytes | None] | None, blocks: Sequence[bytes] | None
) -> Sequence[int]:
    """Each record's bytes of key, value and headers."""
    packed = packed_columns(values, keys, blocks)
    if packed is not None:
        return Lengths(*packed[1:])
    if COMPILED and not (keys is None and blocks is None):
        return lengths_one_by_one(
            list(values), [] if keys is None else list(keys), [] if blocks is None else list(blocks)
        )
    lengths = _lengths(values)
    for column in (keys, blocks):
        if column is not None:
            lengths = list(map(add, lengths, _lengths(column)))
    return lengths


def lengths_one_by_one(values: list[bytes | None], keys: list[bytes | None], blocks: list[bytes]) -> list[int]:
    """As ``record_lengths``, where this is compiled; a column without items is none."""
    has_keys, has_blocks = len(keys) > 0, len(blocks) > 0
    lengths: list[int] = []
    place: i64 = 0
    count: i64 = len(values)
    while place < count:
        value = values[place]
        size: i64 = 0 if value is None else len(value)
        if has_keys:
            key = keys[place]
            if key is not None:
                size += len(key)
        if has_blocks:
            size += len(blocks[place])
        lengths.append(size)
        place += 1
    return lengths


def _lengths(column: Sequence[bytes | None]) -> list[int]:
    """The lengths of a column, 0 for null."""
    try:
        return list(map(len, cast("Sequence[bytes]", column)))
    except TypeError:
        return [0 if item is None else len(item) for item in column]


def total(lengths: Sequence[int]) -> int:
    """The sum of records' lengths."""
    return lengths.total if isinstance(lengths, Lengths) else sum(lengths)


def longest(lengths: Sequence[int]) -> int:
    """The greatest of records' lengths."""
    return lengths.longest if isinstance(lengths, Lengths) else max(lengths)


def cut_runs(lengths: Sequence[int], limit: int) -> Iterator[tuple[int, int, int]]:
    """(start, stop, bytes) of runs of at most ``limit`` bytes each, or of one record: as many records as go into each.

    Nothing is computed for every record but a sum.
    """
    ends = list(accumulate(lengths))
    start, before = 0, 0

    def end(place: int) -> int:
        """Where the record at this place ends, counted in bytes of all of them."""
        return ends[place] + RECORD_OVERHEAD * (place + 1)

    while start < len(ends):
        stop = max(start + 1, bisect_right(range(len(ends)), before + limit, start, key=end))
        yield start, stop, end(stop - 1) - before
        start, before = stop, end(stop - 1)
