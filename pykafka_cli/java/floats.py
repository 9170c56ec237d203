"""Floating-point numbers as Java prints and reads them.

>>> double_text(1e7), double_text(0.001), float_text(0.1), parsed_double("0x1p3f"), parsed_double("1_0")
('1.0E7', '0.001', '0.1', 8.0, None)
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from struct import Struct


def float_text(number: float) -> str:
    """A float as java.lang.Float#toString prints it, with the fewest digits that tell it apart."""
    return _text(number, _float_digits)


def double_text(number: float) -> str:
    """A double as java.lang.Double#toString prints it, from Java 19 on: with the fewest digits that tell it apart."""
    return _text(number, repr)


def _text(number: float, shortest: Callable[[float], str]) -> str:
    """Decimals from 0.001 to below ten millions, else ``d.dddE±n``; always a digit on both sides of the point."""
    from decimal import Decimal  # slow to import, and only floating-point numbers need it

    if math.isnan(number):
        return "NaN"
    sign = "-" if math.copysign(1, number) < 0 else ""
    number = abs(number)
    if math.isinf(number):
        return f"{sign}Infinity"
    if number == 0:
        return f"{sign}0.0"
    decimal = Decimal(shortest(number)).normalize()
    if len(decimal.as_tuple().digits) == 1:
        # Where one digit is enough Java takes the nearest number of two: 4.9E-324, not 5.0E-324.
        decimal = Decimal(f"{number:.1e}").normalize()
    digits, exponent = "".join(map(str, decimal.as_tuple().digits)), decimal.adjusted()
    if not -3 <= exponent < 7:
        return f"{sign}{digits[0]}.{digits[1:] or '0'}E{exponent}"
    if exponent < 0:
        return f"{sign}0.{'0' * (-exponent - 1)}{digits}"
    whole, fraction = digits[: exponent + 1].ljust(exponent + 1, "0"), digits[exponent + 1 :]
    return f"{sign}{whole}.{fraction or '0'}"


def _float_digits(number: float) -> str:
    """The shortest text that tells a float of four bytes apart from every other."""
    layout = Struct(">f")
    exact = layout.pack(number)
    for count in range(1, 9):
        text = f"{number:.{count - 1}e}"
        try:
            if layout.pack(float(text)) == exact:
                return text
        except OverflowError:
            continue  # rounded up beyond the largest float
    return f"{number:.8e}"


def parsed_double(text: str) -> float | None:
    """The number that Double.parseDouble takes the text for, or None where it is none."""
    trimmed = text.strip("".join(map(chr, range(0x21))))
    hexadecimal = re.fullmatch(
        r"([+-]?0[xX](?:[0-9a-fA-F]+\.?|[0-9a-fA-F]*\.[0-9a-fA-F]+)[pP][+-]?[0-9]+)[fFdD]?", trimmed
    )
    if hexadecimal:
        try:
            return float.fromhex(hexadecimal[1])
        except OverflowError:
            return -math.inf if trimmed.startswith("-") else math.inf
    decimal = re.fullmatch(
        r"([+-]?(?:NaN|Infinity|(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)))([fFdD]?)", trimmed
    )
    if decimal is None or (decimal[2] and decimal[1][-1] in "Ny"):
        return None
    return float(decimal[1])
