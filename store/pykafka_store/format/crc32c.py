"""CRC-32C (RFC 3720, appendix B.4), which guards batches, published states and snapshots.

google-crc32c computes it, twenty gigabytes in a second. But to load it takes a fortieth of a console tool's start: it
brings C++'s library with it. Few bytes are summed here, a nibble at a time, in less than that; and a process that has
summed that many loads it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from pykafka_store.compiled import COMPILED

if TYPE_CHECKING:
    from mypy_extensions import i64  # a machine's number where it is compiled; nothing asks for it when it runs

FEW: Final = 1 << 15 if COMPILED else 1 << 11
"""Bytes: what takes about half of the time that loading takes."""

_OF_NIBBLES: Final = [
    0x00000000, 0x105EC76F, 0x20BD8EDE, 0x30E349B1, 0x417B1DBC, 0x5125DAD3, 0x61C69362, 0x7198540D,
    0x82F63B78, 0x92A8FC17, 0xA24BB5A6, 0xB21572C9, 0xC38D26C4, 0xD3D3E1AB, 0xE330A81A, 0xF36E6F75,
]  # fmt: skip
"""What four bits do to a sum: each value shifted out by the polynomial 0x82F63B78, bits reversed."""


class Crc32c:
    def __init__(self) -> None:
        self._left = FEW
        self._extend: Callable[[int, bytes], int] | None = None

    def __call__(self, data: bytes, before: int = 0) -> int:
        """The sum of the bytes, or of those whose sum is ``before`` with these behind them."""
        self._left -= len(data)
        if self._left >= 0:
            return of_few(data, before)
        if self._extend is None:
            from google_crc32c import extend

            self._extend = extend
        return self._extend(before, data)


def of_few(data: bytes, before: int) -> int:
    nibbles = _OF_NIBBLES
    crc: i64 = before ^ 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        crc = crc >> 4 ^ nibbles[crc & 15]
        crc = crc >> 4 ^ nibbles[crc & 15]
    return crc ^ 0xFFFFFFFF


crc32c = Crc32c()
