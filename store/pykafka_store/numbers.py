"""Whole numbers as Java reads them, of whatever length the text is."""

from __future__ import annotations

_LONGEST = 19
"""Digits of the largest long. Python refuses to parse more than 4,300, and takes long over them."""


def whole_number(text: str, bits: int) -> int | None:
    """The number that Integer.parseInt makes of a text, or, for 64 bits, Long.parseLong; None where that throws.

    >>> whole_number("+007", 32), whole_number("2147483648", 32), whole_number("9" * 5000, 64), whole_number("1_0", 32)
    (7, None, None, None)
    """
    digits = text[1:] if text.startswith(("+", "-")) else text
    if not (digits.isascii() and digits.isdigit()):
        return None
    significant = digits.lstrip("0") or "0"
    if len(significant) > _LONGEST:
        return None
    number = -int(significant) if text.startswith("-") else int(significant)
    return number if -(1 << bits - 1) <= number < 1 << bits - 1 else None
