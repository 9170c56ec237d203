"""Lines of standard input -> records: Kafka's line reader, and the form in which every reader hands its records on.

Source: org.apache.kafka.tools.LineMessageReader, org.apache.kafka.tools.api.RecordReader.
Bytes pass through unchanged. Kafka's reader decodes UTF-8 and puts U+FFFD where that fails; here only header keys,
which are strings in the protocol, are decoded so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, chain
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, cast

from pykafka_cli.errors import Refusal
from pykafka_cli.java.text import is_true
from pykafka_store.compiled import COMPILED
from pykafka_store.fields import PLACE, Fields, Repeated
from pykafka_store.model import Header

if TYPE_CHECKING:
    from mypy_extensions import i64  # a machine's number where it is compiled; nothing asks for it when it runs

PLAIN_AT_ONCE, SPLIT_AT_ONCE, PARSED_AT_ONCE = 1 << 15, 1 << 14, 1 << 12
"""Lines that a reader takes at a time: many where a line is a value, fewer where it becomes several objects. A chunk of
common lines is no more than the second of these; records of few lines would be batches of few for each partition.
"""

LINE_READER = "org.apache.kafka.tools.LineMessageReader"
PROPERTIES = (
    "parse.key", "key.separator", "parse.headers", "headers.delimiter", "headers.separator", "headers.key.separator",
    "ignore.error", "null.marker",
)  # fmt: skip
"""The properties of the line reader, which ``--reader-property`` sets."""

_REMEMBERED, _OVERHEAD = 1 << 20, 128
"""Bytes of header blocks that are remembered, about, and what is counted for each besides."""
_NEAR: Final = 48
"""How far a loop looks for a separator before it asks for a search, which costs as much as so many bytes."""

_SplitHeaders = Callable[[str], list[str]]
_REGEX_CHARACTERS = frozenset(".$|()[{^?*+\\")


class InputRecords(NamedTuple):
    """The records in some lines, by column, as ``Producer.send`` takes them; None for a column that says nothing."""

    values: Sequence[bytes | None]
    keys: Sequence[bytes | None] | None = None
    headers: Sequence[Sequence[Header]] | None = None
    timestamps: Sequence[int] | None = None
    partitions: Sequence[int | None] | None = None
    topics: Sequence[str] | None = None
    """Where each goes, if the command line does not name the topic of all."""

    def slice(self, start: int, stop: int) -> InputRecords:
        """The records ``start`` to ``stop`` (exclusive)."""
        columns = (None if column is None else column[start:stop] for column in self)
        return InputRecords(*columns)  # type: ignore[arg-type]

    def pick(self, indexes: Sequence[int]) -> InputRecords:
        """The records at these places."""
        if len(indexes) == len(self.values):
            return self
        columns = (None if column is None else [column[index] for index in indexes] for column in self)
        return InputRecords(*columns)  # type: ignore[arg-type]


class ReadError(Refusal):
    """A line or the reader's settings are wrong. The text is for a person, and Kafka's where Kafka has one."""


class BadLineError(ReadError):
    """A line that is no record. ``before`` holds the records of the same chunk that came before it."""

    def __init__(self, message: str, before: InputRecords) -> None:
        super().__init__(message)
        self.before = before


class RecordReader(Protocol):
    """Lines -> records. ``lines_at_once`` is how many lines it takes at a time, so that memory stays small."""

    lines_at_once: int

    def records(self, lines: list[bytes], first: int) -> InputRecords:
        """The records in ``lines``, the first of which has the number ``first``. Raises BadLineError."""


class LineMessageReader:
    """``[headers DELIMITER][key SEPARATOR]value``: Kafka's reader, with its properties and its error texts."""

    def __init__(self, properties: Mapping[str, str]) -> None:
        """Properties that are none of PROPERTIES are passed over, as Kafka does it."""
        self._parse_key = is_true(properties, "parse.key")
        self._parse_headers = is_true(properties, "parse.headers")
        self._ignore_error = is_true(properties, "ignore.error")
        self.lines_at_once = SPLIT_AT_ONCE if self._parse_key or self._parse_headers else PLAIN_AT_ONCE
        key_separator = properties.get("key.separator", "\t")
        delimiter = properties.get("headers.delimiter", "\t")
        separator = properties.get("headers.separator", ",")
        header_key_separator = properties.get("headers.key.separator", ":")
        marker = properties.get("null.marker")
        for name in PROPERTIES:
            try:
                properties.get(name, "").encode()
            except UnicodeEncodeError:  # so Python has a word of the command line whose bytes are no text
                raise ReadError(f"{name} is no UTF-8") from None
        self._split_headers = _header_splitter(separator)
        self._plain_separator = separator.encode() if _REGEX_CHARACTERS.isdisjoint(separator) else b""
        """What header blocks are cut at, if it is no regular expression."""
        for name, one, other_name, other in (
            ("headers.delimiter", delimiter, "headers.separator", separator),
            ("headers.delimiter", delimiter, "headers.key.separator", header_key_separator),
            ("headers.separator", separator, "headers.key.separator", header_key_separator),
            ("null.marker", marker, "key.separator", key_separator),
            ("null.marker", marker, "headers.separator", separator),
            ("null.marker", marker, "headers.delimiter", delimiter),
            ("null.marker", marker, "headers.key.separator", header_key_separator),
        ):
            if one == other:
                raise ReadError(f"{name} and {other_name} may not be equal")
        self._key_separator = key_separator.encode()
        self._delimiter = delimiter.encode()
        self._header_key_separator = header_key_separator
        self._known: dict[bytes, tuple[Header, ...]] = {}
        """Header blocks that were there before, and their headers."""
        self._known_size = 0
        self._marker_text = marker
        self._marker = None if marker is None else marker.encode()
        marks = (self._delimiter, self._key_separator)
        self.takes_text = COMPILED and marker is None and all(len(mark) == 1 for mark in marks)
        """Whether ``records_of`` is there for these properties, and the faster way."""

    def records_of(self, text: bytes, first: int) -> Iterator[InputRecords]:
        """As ``records``, some at a time, of lines in one text, each with a newline behind it."""
        from pykafka_store.field_loops import NONE, cut_lines, numbered

        delimiter = self._delimiter[0] if self._parse_headers else NONE
        separator = self._key_separator[0] if self._parse_key else NONE
        start = 0
        while start < len(text):
            heads, keys, values, end, are_cut = cut_lines(text, start, self.lines_at_once, delimiter, separator)
            if not are_cut:
                break  # a line that needs to be looked at by itself
            headers = None
            if self._parse_headers:
                blocks, numbers = numbered(text, heads)
                parsed = self._parsed_at_once(blocks)
                if parsed is None:
                    break
                headers = Repeated(list(parsed), numbers)
            yield InputRecords(Fields(text, values), Fields(text, keys) if self._parse_key else None, headers)
            first += len(values) // PLACE.size
            start = end
        lines = text[start:].split(b"\n")
        del lines[-1]
        for begin in range(0, len(lines), self.lines_at_once):
            yield self.records(lines[begin : begin + self.lines_at_once], first + begin)

    def records(self, lines: list[bytes], first: int) -> InputRecords:
        if self._parse_headers:
            return self._with_headers(lines, first)
        if self._parse_key:
            return self._with_keys(lines, first)
        return InputRecords(self._nulled(lines))

    def _nulled(self, column: Sequence[bytes]) -> Sequence[bytes | None]:
        """The column with null where the null marker stands."""
        marker = self._marker
        if marker is None or marker not in column:
            return column
        return [None if field == marker else field for field in column]

    def _with_keys(self, lines: list[bytes], first: int) -> InputRecords:
        separator = self._key_separator
        if not separator:  # found at once, wherever one looks
            return InputRecords(self._nulled(lines), self._nulled([b""] * len(lines)))
        cut = _cut(lines, separator)
        if cut is not None:
            return InputRecords(self._nulled(cut[1]), self._nulled(cut[0]))
        keys, found, values = zip(*[line.partition(separator) for line in lines], strict=True)
        if not self._ignore_error:
            bad = found.index(b"")
            before = InputRecords(self._nulled(values[:bad]), self._nulled(keys[:bad]))
            raise BadLineError(_not_found("key separator", first + bad, lines[bad]), before)
        keyless = [None if not mark else key for key, mark in zip(keys, found, strict=True)]
        values = tuple(value if mark else line for value, mark, line in zip(values, found, lines, strict=True))
        marker = self._marker
        return InputRecords(self._nulled(values), [None if key == marker else key for key in keyless])

    def _with_headers(self, lines: list[bytes], first: int) -> InputRecords:
        return self._columns_with_headers(lines) or self._one_by_one(lines, first)

    def _columns_with_headers(self, lines: list[bytes]) -> InputRecords | None:
        """All of the lines at once; None where a line needs to be looked at by itself: it may be none, or have null."""
        delimiter, separator = self._delimiter, self._key_separator
        if not (delimiter and separator) or (self._marker is not None and self._marker in b"\n".join(lines)):
            return None
        if COMPILED and self._parse_key:
            blocks, keys, values = cut_twice(lines, delimiter, separator)
            parsed = self._parsed_at_once(blocks) if len(values) == len(lines) else None
            return None if parsed is None else InputRecords(values, keys, parsed)
        cut = _cut(lines, delimiter)
        headers = None if cut is None else self._parsed_at_once(cut[0])
        if cut is None or headers is None:
            return None
        if not self._parse_key:
            return InputRecords(cut[1], None, headers)
        cut = _cut(cut[1], separator)
        return None if cut is None else InputRecords(cut[1], cut[0], headers)

    def _parsed_at_once(self, blocks: Sequence[bytes]) -> Sequence[tuple[Header, ...]] | None:
        """The headers of all blocks; None where one of them is not simply pairs."""
        known = self._known
        found = looked_up(blocks, known) if COMPILED else list(map(known.get, blocks))
        if len(found) == len(blocks) and (COMPILED or None not in found):
            return cast("list[tuple[Header, ...]]", found)
        if self._known_size > _REMEMBERED:
            known.clear()
            self._known_size = 0
        new = [block for block in dict.fromkeys(blocks) if block not in known]
        if new:
            parsed = self._pairs(new)
            if parsed is None:
                return None
            known.update(zip(new, parsed, strict=True))
            self._known_size += sum(map(len, new)) + _OVERHEAD * len(new)
        return [known[block] for block in blocks]

    def _pairs(self, blocks: Sequence[bytes]) -> Sequence[tuple[Header, ...]] | None:
        separator, key_separator = self._plain_separator, self._header_key_separator.encode()
        if not (separator and key_separator):
            return None
        parts = [block.split(separator) for block in blocks]
        names, found, values = zip(*[pair.partition(key_separator) for pair in chain.from_iterable(parts)], strict=True)
        if b"" in found:
            return None  # an error, or nothing between or behind separators, of which not all count
        strings = {name: _string(name.decode("utf-8", "surrogateescape")) for name in set(names)}
        pairs = list(zip([strings[name] for name in names], values, strict=True))
        ends = accumulate(map(len, parts))
        return [tuple(pairs[end - len(part) : end]) for part, end in zip(parts, ends, strict=True)]

    def _one_by_one(self, lines: list[bytes], first: int) -> InputRecords:
        keys: list[bytes | None] = []
        values: list[bytes | None] = []
        headers: list[Sequence[Header]] = []
        found = InputRecords(values, keys if self._parse_key else None, headers)
        marker = self._marker
        for number, line in enumerate(lines, first):
            try:
                start, fields, key = 0, None, None
                end = self._find(self._delimiter, line, 0, "headers delimiter", number)
                if end >= 0:
                    fields, start = line[:end], end + len(self._delimiter)
                if self._parse_key:
                    end = self._find(self._key_separator, line, start, "key separator", number)
                    if end >= 0:
                        key, start = line[start:end], end + len(self._key_separator)
                parsed = () if fields is None or fields == marker else self._headers(fields, number)
            except ReadError as error:
                raise BadLineError(str(error), found) from None
            value = line[start:]
            keys.append(None if key == marker else key)
            values.append(None if value == marker else value)
            headers.append(parsed)
        return found

    def _find(self, mark: bytes, line: bytes, start: int, what: str, number: int) -> int:
        """Where ``mark`` begins, or -1 if it is missing and errors are ignored."""
        end = line.find(mark, start)
        if end < 0 and not self._ignore_error:
            raise ReadError(_not_found(what, number, line))
        return end

    def _headers(self, fields: bytes, number: int) -> tuple[Header, ...]:
        # Decoded so that a regular expression can cut it, and back again: header values stay the bytes they were.
        text = fields.decode("utf-8", "surrogateescape")
        return tuple(self._header(pair, number) for pair in self._split_headers(text))

    def _header(self, pair: str, number: int) -> Header:
        key, separator, value = _partition(pair, self._header_key_separator)
        if separator is None:
            if self._ignore_error:
                return _string(pair), None
            raise ReadError(f"No header key separator found in pair '{_string(pair)}' on line number {number}")
        if key == self._marker_text:
            raise ReadError(f"Header keys should not be equal to the null marker '{key}' as they can't be null")
        return _string(key), None if value == self._marker_text else value.encode("utf-8", "surrogateescape")


def _cut(lines: Sequence[bytes], separator: bytes) -> tuple[Sequence[bytes], Sequence[bytes]] | None:
    """What stands before the separator and behind it in each line; None where one has none."""
    if COMPILED:
        return cut_one_by_one(lines, separator)
    befores, found, afters = zip(*[line.partition(separator) for line in lines], strict=True)
    return None if b"" in found else (befores, afters)


def cut_one_by_one(lines: Sequence[bytes], separator: bytes) -> tuple[list[bytes], list[bytes]] | None:
    """As ``_cut``, where this is compiled."""
    width: i64 = len(separator)
    first: i64 = separator[0]
    befores: list[bytes] = []
    afters: list[bytes] = []
    for line in lines:
        near: i64 = min(len(line), _NEAR) if width == 1 else 0
        place: i64 = 0
        while place < near and line[place] != first:
            place += 1
        if place == near:
            place = line.find(separator, place)
            if place < 0:
                return None
        befores.append(line[:place])
        afters.append(line[place + width :])
    return befores, afters


def cut_twice(
    lines: Sequence[bytes], delimiter: bytes, separator: bytes
) -> tuple[list[bytes], list[bytes], list[bytes]]:
    """What stands before the delimiter, between it and the separator, and behind that in each line, up to the first
    line that lacks one of them.
    """
    width: i64 = len(delimiter)
    other_width: i64 = len(separator)
    befores: list[bytes] = []
    betweens: list[bytes] = []
    afters: list[bytes] = []
    for line in lines:
        place: i64 = _place(line, delimiter, 0)
        if place < 0:
            break
        begin: i64 = place + width
        end: i64 = _place(line, separator, begin)
        if end < 0:
            break
        befores.append(line[:place])
        betweens.append(line[begin:end])
        afters.append(line[end + other_width :])
    return befores, betweens, afters


def _place(line: bytes, mark: bytes, start: i64) -> i64:
    """Where ``mark`` begins, from ``start`` on, or -1."""
    place: i64 = start
    if len(mark) == 1:
        first: i64 = mark[0]
        near: i64 = min(len(line), start + _NEAR)
        while place < near:
            if line[place] == first:
                return place
            place += 1
    return line.find(mark, place)


def looked_up(blocks: Sequence[bytes], known: dict[bytes, tuple[Header, ...]]) -> list[tuple[Header, ...]]:
    """What is known of the blocks, up to the first that is not."""
    found: list[tuple[Header, ...]] = []
    for block in blocks:
        fields = known.get(block)
        if fields is None:
            break
        found.append(fields)
    return found


def _not_found(what: str, number: int, line: bytes) -> str:
    return f"No {what} found on line number {number}: '{line.decode('utf-8', 'replace')}'"


def _string(text: str) -> str:
    """Text that was decoded with surrogate escapes, as Kafka would have decoded it: U+FFFD where it was no UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return text


def _partition(text: str, separator: str) -> tuple[str, str | None, str]:
    """str.partition, but an empty separator is found at once and a missing one is None."""
    if not separator:
        return "", "", text
    key, found, value = text.partition(separator)
    return key, found or None, value


def _header_splitter(separator: str) -> _SplitHeaders:
    """How to cut a header block at ``separator``, a Java regular expression, as java.util.regex.Pattern#split does."""
    if separator and _REGEX_CHARACTERS.isdisjoint(separator):
        return lambda text: _without_trailing_empties(text.split(separator)) if separator in text else [text]
    from pykafka_cli.java import regex as java_regex

    try:
        pattern = java_regex.compile(separator)
    except ValueError as error:
        raise ReadError(f"headers.separator: {error}") from error

    def split(text: str) -> list[str]:
        parts, start = [], 0
        for match in pattern.finditer(text):
            if match.end() == 0:
                continue  # an empty match at the beginning cuts nothing off
            parts.append(text[start : match.start()])
            start = match.end()
        return [text] if start == 0 else _without_trailing_empties([*parts, text[start:]])

    return split


def _without_trailing_empties(parts: Iterable[str]) -> list[str]:
    kept = list(parts)
    while kept and not kept[-1]:
        kept.pop()
    return kept
