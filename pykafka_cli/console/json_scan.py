"""Plain lines of JSON -> columns, a byte at a time: for where this is compiled. json_columns.py has the other way.

Plain are lines that have what the first one has between its values, text without escapes, whole numbers of up to
eighteen digits, null, and headers of such text. Of any other line it is only said that it is not plain, and never what
is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from pykafka_store.model import Header

if TYPE_CHECKING:
    from mypy_extensions import i64  # a machine's number where it is compiled; nothing asks for it when it runs

_BYTES, _TEXT, _NUMBER, _HEADERS = range(4)
_KINDS = {
    "topic": _TEXT, "partition": _NUMBER, "offset": _NUMBER, "timestamp": _NUMBER, "timestampType": _TEXT,
    "key": _BYTES, "value": _BYTES, "headers": _HEADERS,
}  # fmt: skip
_NAME = re.compile(rb'[ \t]*[{,][ \t]*"([A-Za-z]+)"[ \t]*:[ \t]*')
_VALUE = re.compile(rb'"[^"\\]*"|null|[0-9]+|\[(?:\["[^"\\]*",(?:"[^"\\]*"|null)\],?)*\]')
_END = re.compile(rb"[ \t]*\}[ \t]*")
_QUOTE: Final = 34
_ESCAPE: Final = 92
_COMMA: Final = 44
_OPEN: Final = 91
_CLOSE: Final = 93
_ZERO: Final = 48
_NINE: Final = 57
_SPACE: Final = 32
_MAX_DIGITS: Final = 18
_MAX_INT: Final = 2147483647


def plain_columns(lines: Sequence[bytes]) -> dict[str, Sequence[Any]] | None:
    """Each field's values, with bytes for keys and values; None where a line is not plain, or no object of ours.

    Raises UnicodeDecodeError where one is no UTF-8.
    """
    found = _beginnings(lines[0])
    if found is None:
        return None
    names, beginnings, end = found
    b"\n".join(lines).decode()
    columns: list[list[Any]] = [[] for _ in names]
    kinds = [_KINDS[name] for name in names]
    texts: dict[bytes, str] = {}
    for line in lines:
        place: i64 = 0
        for number in range(len(names)):
            place = _behind(line, place, beginnings[number])
            if place < 0:
                return None
            start = place
            kind = kinds[number]
            column = columns[number]
            first: i64 = line[start]
            if first == _QUOTE and kind <= _TEXT:
                place = _text_end(line, start + 1)
                if place < 0:
                    return None
                content = line[start + 1 : place]
                column.append(content if kind == _BYTES else _text(content, texts))
                place += 1
            elif _ZERO <= first <= _NINE and kind == _NUMBER:
                place = _number_end(line, start)
                if place < 0:
                    return None
                column.append(int(line[start:place]))
            elif first == _OPEN and kind == _HEADERS:
                headers: list[Header] = []
                place = _headers_end(line, start, headers, texts)
                if place < 0:
                    return None
                column.append(tuple(headers))
            else:
                place = _behind(line, start, b"null")
                if place < 0:
                    return None
                column.append(() if kind == _HEADERS else None)
        if line[place:] != end:
            return None
    fields: dict[str, Sequence[Any]] = dict(zip(names, columns, strict=True))
    return None if any(number is not None and number > _MAX_INT for number in fields.get("partition", ())) else fields


def _beginnings(line: bytes) -> tuple[list[str], list[bytes], bytes] | None:
    """The line's fields, what stands before the value of each, and what stands behind the last; None if it is not
    plain.
    """
    names: list[str] = []
    beginnings: list[bytes] = []
    place = 0
    while (match := _NAME.match(line, place)) is not None and (value := _VALUE.match(line, match.end())) is not None:
        name = match[1].decode()
        if name not in _KINDS or name in names or (b"{" in match[0]) is (len(names) > 0):
            return None
        names.append(name)
        beginnings.append(match[0])
        place = value.end()
    if not names or _END.fullmatch(line, place) is None:
        return None
    return names, beginnings, line[place:]


def _behind(line: bytes, place: i64, mark: bytes) -> i64:
    """Where ``mark`` ends that begins at ``place``, with something behind it; -1 where it does not stand there."""
    size: i64 = len(mark)
    if place + size >= len(line):
        return -1
    offset: i64 = 0
    while offset < size:
        if line[place + offset] != mark[offset]:
            return -1
        offset += 1
    return place + size


def _text_end(line: bytes, place: i64) -> i64:
    """Where the text ends that begins at ``place``: at the quote; -1 if it is not plain, or has no end."""
    size: i64 = len(line)
    while place < size:
        byte: i64 = line[place]
        if byte == _QUOTE:
            return place
        if byte == _ESCAPE or byte < _SPACE:
            return -1
        place += 1
    return -1


def _number_end(line: bytes, start: i64) -> i64:
    """Where the digits end; what follows is the caller's to check, so that no fraction is taken for a whole number."""
    size: i64 = len(line)
    place = start
    while place < size and _ZERO <= line[place] <= _NINE:
        place += 1
    too_long = place - start > _MAX_DIGITS or (line[start] == _ZERO and place - start > 1)
    return -1 if too_long else place


def _headers_end(line: bytes, place: i64, headers: list[Header], texts: dict[bytes, str]) -> i64:
    """Where the list of headers ends that begins at ``place``. The headers are added to ``headers``."""
    size: i64 = len(line)
    place += 1
    if place < size and line[place] == _CLOSE:
        return place + 1
    while place + 1 < size and line[place] == _OPEN and line[place + 1] == _QUOTE:
        start = place + 2
        place = _text_end(line, start)
        if place < 0 or place + 2 >= size or line[place + 1] != _COMMA:
            return -1
        name = _text(line[start:place], texts)
        start = place + 3
        if line[place + 2] == _QUOTE:
            place = _text_end(line, start)
            if place < 0:
                return -1
            headers.append((name, line[start:place]))
            place += 1
        else:
            place = _behind(line, place + 2, b"null")
            if place < 0:
                return -1
            headers.append((name, None))
        if place + 1 >= size or line[place] != _CLOSE:
            return -1
        if line[place + 1] == _CLOSE:
            return place + 2
        if line[place + 1] != _COMMA:
            return -1
        place += 2
    return -1


def _text(content: bytes, texts: dict[bytes, str]) -> str:
    """What is text and comes again and again is decoded once."""
    text = texts.get(content)
    if text is None:
        text = texts[content] = content.decode()
    return text
