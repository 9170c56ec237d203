"""Standard input as columns of records: lines taken a chunk at a time, then keys, values and headers cut from them.

Bytes pass through unchanged. Kafka's reader decodes UTF-8 and puts U+FFFD where that fails; here only header keys,
which are strings in the protocol, are decoded so.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from pykafka_cli.properties import is_true
from pykafka_store.model import Header

CHUNK_SIZE = 1 << 20
PLAIN_AT_ONCE, PARSED_AT_ONCE = 1 << 15, 1 << 12
"""Lines that are taken at a time: many where a line is a value, fewer where it becomes several objects."""

SplitHeaders = Callable[[str], list[str]]


class ReadError(Exception):
    """The input or the reader's settings are wrong. The text is for a person, and Kafka's where Kafka has one."""


class Columns(NamedTuple):
    """Records by column, as ``Producer.send`` takes them; None for a column that says nothing."""

    values: Sequence[bytes | None]
    keys: Sequence[bytes | None] | None = None
    headers: Sequence[Sequence[Header]] | None = None
    timestamps: Sequence[int] | None = None
    partitions: Sequence[int | None] | None = None

    def slice(self, start: int, stop: int) -> Columns:
        """The records ``start`` to ``stop`` (exclusive)."""
        return Columns(*(None if column is None else column[start:stop] for column in self))  # type: ignore[arg-type]


class BadLineError(ReadError):
    """A line that is no record. ``before`` holds the records of the same chunk that came before it."""

    def __init__(self, message: str, before: Columns) -> None:
        super().__init__(message)
        self.before = before


class LineTooLongError(ReadError):
    """A line too long to be held. It was skipped: reading can go on behind it."""

    def __init__(self, number: int, size: int, limit: int) -> None:
        super().__init__(
            f"Line number {number} is {size} bytes long. Lines are read up to {limit} bytes, which follows from "
            "max.request.size."
        )
        self.number = number
        self.size = size


class Reader(Protocol):
    """Lines -> records. ``at_once`` is how many lines it takes at a time, so that memory stays small."""

    at_once: int

    def columns(self, lines: list[bytes], first: int) -> Columns:
        """The records in ``lines``, the first of which has the number ``first``. Raises BadLineError."""


# ------------------------------------------------------------------------------------------------------------ lines


class Lines:
    """The lines of a descriptor, split where BufferedReader.readLine splits: at ``\\n``, ``\\r`` and ``\\r\\n``.

    Works on chunks: ``read`` returns every whole line that has arrived, so that a million lines cost a hundred steps
    and a slow pipe is still served at once. Memory is bounded by a chunk, by ``at_once`` lines, for short lines cost
    by their number, and by ``limit``: a line above that many bytes is never held.
    """

    def __init__(self, descriptor: int, limit: int, at_once: int) -> None:
        self._descriptor = descriptor
        self._limit = limit
        self._at_once = at_once
        self._text = b""
        """What was read and is not split yet; its line ends are all ``\\n``."""
        self._unfinished = bytearray()
        """The beginning of a line whose end has not come."""
        self._skipped = 0
        """Bytes of a line above the limit that were dropped so far; 0 if the line at hand is not one."""
        self._split_line_end = False
        """Whether the last chunk ended in a ``\\r``: a ``\\n`` that follows belongs to it."""
        self._ready: list[bytes] = []
        self._ended = False
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)
        self.first = 1
        """The number of the first line that the last ``read`` returned, counted from 1."""
        self._next = 1
        self.bytes_read = 0

    def read(self) -> list[bytes]:
        """The next whole lines, as soon as there is one; [] at the end of the input.

        Raises LineTooLongError in place of a line above the limit, once its end has come; the next call goes on.
        """
        while not self._ready:
            if self._text:
                self._split()
            elif self._ended:
                return []
            else:
                self._receive(self._chunk())
        lines, self._ready = self._ready, []
        self.first = self._next
        self._next += len(lines)
        return lines

    def more_is_waiting(self) -> bool:
        """Whether ``read`` would return without waiting for the other end of a pipe or a terminal."""
        return bool(self._ready or self._text or self._ended or self._poll.poll(0))

    def at_line_start(self) -> bool:
        """Whether nothing of the next line has been read yet."""
        return not (self._unfinished or self._skipped or self._text or self._ready)

    def _chunk(self) -> bytes:
        while True:
            try:
                return os.read(self._descriptor, CHUNK_SIZE)
            except BlockingIOError:  # whoever opened it did not want to wait, but we do
                self._poll.poll()

    def _receive(self, chunk: bytes) -> None:
        if not chunk:
            self._end()
            return
        self.bytes_read += len(chunk)
        if self._split_line_end and chunk.startswith(b"\n"):
            chunk = chunk[1:]
        self._split_line_end = chunk.endswith(b"\r")
        if b"\r" in chunk:
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        self._text = chunk

    def _split(self) -> None:
        """Make lines ready out of the text at hand."""
        lines = self._text.split(b"\n", self._at_once)
        rest = lines.pop()
        refusal = None
        if lines and self._skipped:
            refusal = self._refusal(lines.pop(0))
        elif lines and self._unfinished:
            self._unfinished += lines[0]
            lines[0] = bytes(self._unfinished)
            self._unfinished.clear()
        self._ready = lines
        if b"\n" in rest:
            self._text = rest
        else:
            self._text = b""
            self._keep(rest)
        if refusal:
            raise refusal

    def _keep(self, piece: bytes) -> None:
        """Hold the beginning of a line, or just count it if the line is above the limit."""
        if self._skipped:
            self._skipped += len(piece)
            return
        self._unfinished += piece
        if len(self._unfinished) > self._limit:
            self._skipped = len(self._unfinished)
            self._unfinished.clear()

    def _end(self) -> None:
        self._ended = True
        if self._skipped:
            raise self._refusal(b"")
        if self._unfinished:
            self._ready = [bytes(self._unfinished)]
            self._unfinished.clear()

    def _refusal(self, last_piece: bytes) -> LineTooLongError:
        """The end of a line above the limit has come."""
        size, self._skipped = self._skipped + len(last_piece), 0
        number = self._next
        self._next += 1
        return LineTooLongError(number, size, self._limit)


def enlarge_pipe(descriptor: int) -> None:
    """Make a pipe as large as a chunk, where the system lets us: fewer, larger reads. Nothing depends on it."""
    if not hasattr(fcntl, "F_SETPIPE_SZ"):
        return  # not Linux
    # Refused where it is no pipe, or where the user's pipes may not be as large.
    with contextlib.suppress(OSError):
        fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, CHUNK_SIZE)


# ---------------------------------------------------------------------------------------------------------- readers

_LINE_READER_PROPERTIES = (
    "parse.key", "key.separator", "parse.headers", "headers.delimiter", "headers.separator", "headers.key.separator",
    "ignore.error", "null.marker",
)  # fmt: skip
_REGEX_CHARACTERS = frozenset(".$|()[{^?*+\\")


class LineReader:
    """``[headers DELIMITER][key SEPARATOR]value``: Kafka's reader, with its properties and its error texts.

    Source: org.apache.kafka.tools.LineMessageReader.
    """

    def __init__(self, properties: Mapping[str, str]) -> None:
        for name in properties:
            if name not in _LINE_READER_PROPERTIES:
                known = ", ".join(_LINE_READER_PROPERTIES)
                raise ReadError(f"{name} is not a property of the reader: it knows {known}")
        self._parse_key = is_true(properties, "parse.key")
        self._parse_headers = is_true(properties, "parse.headers")
        self._ignore_error = is_true(properties, "ignore.error")
        self.at_once = PARSED_AT_ONCE if self._parse_key or self._parse_headers else PLAIN_AT_ONCE
        key_separator = properties.get("key.separator", "\t")
        delimiter = properties.get("headers.delimiter", "\t")
        separator = properties.get("headers.separator", ",")
        header_key_separator = properties.get("headers.key.separator", ":")
        marker = properties.get("null.marker")
        self._split_headers = _header_splitter(separator)
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
        self._marker_text = marker
        self._marker = None if marker is None else marker.encode()

    def columns(self, lines: list[bytes], first: int) -> Columns:
        if self._parse_headers:
            return self._with_headers(lines, first)
        if self._parse_key:
            return self._with_keys(lines, first)
        return Columns(self._nulled(lines))

    def _nulled(self, column: Sequence[bytes]) -> Sequence[bytes | None]:
        """The column with null where the null marker stands."""
        marker = self._marker
        if marker is None or marker not in column:
            return column
        return [None if field == marker else field for field in column]

    def _with_keys(self, lines: list[bytes], first: int) -> Columns:
        separator = self._key_separator
        if not separator:  # found at once, wherever one looks
            return Columns(self._nulled(lines), self._nulled([b""] * len(lines)))
        keys, found, values = zip(*(line.partition(separator) for line in lines), strict=True)
        if b"" in found:
            if not self._ignore_error:
                bad = found.index(b"")
                before = Columns(self._nulled(values[:bad]), self._nulled(keys[:bad]))
                raise BadLineError(_not_found("key separator", first + bad, lines[bad]), before)
            keyless = [None if not mark else key for key, mark in zip(keys, found, strict=True)]
            values = tuple(value if mark else line for value, mark, line in zip(values, found, lines, strict=True))
            marker = self._marker
            return Columns(self._nulled(values), [None if key == marker else key for key in keyless])
        return Columns(self._nulled(values), self._nulled(keys))

    def _with_headers(self, lines: list[bytes], first: int) -> Columns:
        keys: list[bytes | None] = []
        values: list[bytes | None] = []
        headers: list[Sequence[Header]] = []
        found = Columns(values, keys if self._parse_key else None, headers)
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


def _header_splitter(separator: str) -> SplitHeaders:
    """How to cut a header block at ``separator``, a Java regular expression, as java.util.regex.Pattern#split does."""
    if separator and _REGEX_CHARACTERS.isdisjoint(separator):
        return lambda text: _without_trailing_empties(text.split(separator)) if separator in text else [text]
    from pykafka_cli import java_regex

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
