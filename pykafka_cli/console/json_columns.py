"""Lines of JSON objects that are alike -> a column for each of their fields, with hardly any Python a line.

What a program writes mostly is alike: the same fields in the same order, text and null in the place of bytes.
Whatever else a line is, the caller looks at it by itself: here it is only ever said that lines are not alike, never
what is wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, chain
from json import JSONDecoder
from typing import Any

from pykafka_store.model import Header

_NULL = type(None)


class NotAlikeError(Exception):
    """Some line has to be looked at by itself."""


def _no_constant(_name: str) -> object:
    raise NotAlikeError


_decode = JSONDecoder(object_pairs_hook=tuple, parse_constant=_no_constant).raw_decode
"""JSON -> values in which an object is a tuple of its pairs: so a field that stands twice is seen."""


def columns_of(lines: Sequence[bytes]) -> dict[str, Sequence[Any]]:
    """Each field's values. Raises NotAlikeError, ValueError or RecursionError.

    All lines are one text, which is decoded object by object. Each object ends at the end of a line, and there are as
    many of them as lines: so none is of two lines.
    """
    text = b"\n".join(lines).decode() + "\n"
    objects: list[Any] = []
    position, end = 0, len(text)
    while position < end:
        found, position = _decode(text, position)
        if text[position] != "\n":
            raise NotAlikeError
        position += 1
        objects.append(found)
    if len(objects) != len(lines):
        raise NotAlikeError
    require(objects, tuple)
    names = tuple(name for name, _ in objects[0])
    if len(set(names)) != len(names) or set(map(len, objects)) != {len(names)} or not names:
        raise NotAlikeError
    all_names, values = zip(*chain.from_iterable(objects), strict=True)
    if all_names != names * len(objects):
        raise NotAlikeError
    return {name: values[place :: len(names)] for place, name in enumerate(names)}


def require(column: Sequence[object], *kinds: type) -> set[type]:
    """The types that there are in the column. Raises NotAlikeError where one is none of ``kinds``."""
    there = set(map(type, column))
    if not there.issubset(kinds):
        raise NotAlikeError
    return there


def text_column(column: Sequence[str | None]) -> Sequence[bytes | None]:
    """Raises NotAlikeError for what is neither text nor null, UnicodeEncodeError for half a character."""
    there = require(column, str, _NULL)
    if _NULL not in there:
        return tuple(map(str.encode, column))  # type: ignore[arg-type]  # no null is there
    return tuple([None if text is None else text.encode() for text in column])


def number_column(column: Sequence[int | None], highest: int) -> Sequence[int | None]:
    """Raises NotAlikeError for what is neither null nor a number from 0 to ``highest``."""
    there = require(column, int, _NULL)
    if int in there:
        numbers = [number for number in column if number is not None] if _NULL in there else column
        if min(numbers) < 0 or max(numbers) > highest:  # type: ignore[type-var, operator]  # no null is there
            raise NotAlikeError
    return column


def header_column(column: Sequence[list[list[str | None]] | None]) -> Sequence[tuple[Header, ...]]:
    """Raises NotAlikeError for what are no pairs of texts, of which the second may be null, and UnicodeEncodeError."""
    require(column, list, _NULL)
    blocks = [block or () for block in column]
    pairs = list(chain.from_iterable(blocks))
    if not pairs:
        return ((),) * len(column)
    require(pairs, list)
    if set(map(len, pairs)) != {2}:
        raise NotAlikeError
    names, contents = zip(*pairs, strict=True)
    require(names, str)
    "".join(names).encode()  # half a character
    headers = list(zip(names, text_column(contents), strict=True))
    counts = list(map(len, blocks))
    ends = accumulate(counts)
    return tuple([tuple(headers[end - count : end]) for count, end in zip(counts, ends, strict=True)])
