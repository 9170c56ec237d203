"""Strings, numbers and flags as java.lang reads them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pykafka_cli.errors import Refusal

BYTE_ORDER_MARK = "\ufeff"
"""What some editors put in front of UTF-8. Java reads it as a character of the first name, which is then nothing's."""
BEGINS_WITH_MARK = "begins with a byte order mark: take that away (tail -c +4)"
"""What is said of a file that does."""


def split(text: str, separator: str) -> list[str]:
    """Java's String.split: without the empty parts at the end, unless the whole text is empty."""
    return _without_empty_end(text, text.split(separator))


def split_at(text: str, pattern: str) -> list[str]:
    """``split``, at the matches of a regular expression (one of Python's) without groups."""
    return _without_empty_end(text, re.split(pattern, text))


def _without_empty_end(text: str, parts: list[str]) -> list[str]:
    while text and parts and not parts[-1]:
        parts.pop()
    return parts


def is_whole(text: str, bits: int = 32) -> bool:
    """Whether Integer.parseInt takes the text, or, for 64 bits, Long.parseLong."""
    from pykafka_store.numbers import whole_number  # the command line alone imports nothing of the store

    return whole_number(text, bits) is not None


def whole(text: str, bits: int = 32) -> int:
    """The number that the text is. Raises Refusal with the message of Java's NumberFormatException."""
    from pykafka_store.numbers import whole_number  # as above

    number = whole_number(text, bits)
    if number is None:
        raise Refusal(f'For input string: "{text}"')
    return number


def is_true(properties: Mapping[str, str], name: str, default: bool = False) -> bool:
    """A flag among properties: ``true`` in any case, blanks around it; all else is false, as in Kafka's tools."""
    value = properties.get(name)
    return default if value is None else value.strip().lower() == "true"
