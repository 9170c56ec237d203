"""Periods of time as Java writes them: ``PnDTnHnMn.nS``, of ISO 8601.

>>> parse_duration_ms("P1DT2H0.5S")
93600500
"""

from __future__ import annotations

import re

_DURATION = re.compile(
    r"([-+]?)P(?:([-+]?[0-9]+)D)?"
    r"(T(?:([-+]?[0-9]+)H)?(?:([-+]?[0-9]+)M)?(?:([-+]?[0-9]+)(?:[.,]([0-9]{0,9}))?S)?)?",
    re.IGNORECASE | re.ASCII,
)
_UNITS = (("days", 86_400), ("hours", 3_600), ("minutes", 60), ("seconds", 1))
_LONGS = range(-(2**63), 2**63)
"""What Java's long holds; Duration counts its seconds in one."""


class DurationError(ValueError):
    """Not a duration, in Java's words."""


def parse_duration_ms(text: str) -> int:
    """The milliseconds of a duration, rounded down; it may be negative.

    Raises DurationError. Source: java.time.Duration#parse (tests/data/java_times.tsv is what Java made of some).
    """
    match = _DURATION.fullmatch(text)
    # A "t" with nothing behind it is fine: Java compares with the capital letter.
    if match is None or match[3] == "T" or not any(match.group(2, 4, 5, 6)):
        raise DurationError("Text cannot be parsed to a Duration")
    seconds = 0
    for digits, (unit, size) in zip(match.group(2, 4, 5, 6), _UNITS, strict=True):
        product = _number(digits or "0") * size
        if product not in _LONGS:
            raise DurationError(f"Text cannot be parsed to a Duration: {unit}")
        seconds += product
    nanoseconds = int((match[7] or "").ljust(9, "0")) * (-1 if (match[6] or "").startswith("-") else 1)
    sign = -1 if match[1] == "-" else 1
    if seconds not in _LONGS or sign * seconds not in _LONGS:
        raise DurationError("Text cannot be parsed to a Duration: overflow")
    return sign * (seconds * 1_000_000_000 + nanoseconds) // 1_000_000


def _number(digits: str) -> int:
    """The integer, or where it is beyond a long, another one that is: Python refuses to read thousands of digits."""
    sign, significant = ("-" if digits[0] == "-" else ""), digits.lstrip("-+").lstrip("0")
    return int(f"{sign}{significant[:20] or '0'}")
