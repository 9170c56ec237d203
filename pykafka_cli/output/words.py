"""Numbers as people read them, in the lines of our own commands."""

from __future__ import annotations


def counted(number: int, one: str, many: str | None = None) -> str:
    """``1 partition``, ``2 partitions``."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def size(number: int) -> str:
    """Bytes, in the largest unit of which there is one."""
    for unit, bytes_of_it in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if number >= bytes_of_it:
            return f"{number / bytes_of_it:.1f} {unit}"
    return counted(number, "byte")
