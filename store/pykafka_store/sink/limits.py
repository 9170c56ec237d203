"""What a column of PostgreSQL would round, or cut off, in silence."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from functools import cache

from pykafka_store.sink.digits import is_finer
from pykafka_store.sink.target import Column, Kind


def cut_values(values: Sequence[object], column: Column) -> dict[int, str]:
    """What of fitted values a column would drop in silence, by their numbers."""
    texts = [value for value in values if isinstance(value, str)]
    if column.length is not None:
        may_be = any(map(column.length.__lt__, map(len, texts)))
    elif column.size is not None or column.last_field is not None:
        may_be = True
    else:  # a first look at all at once
        may_be = (
            column.kind is Kind.DECIMAL or re.search(rf"\.[0-9]{{{column.scale}}}[0-9]", "\n".join(texts)) is not None
        )
    if not may_be:
        return {}
    return {index: f"it {what}" for index, value in enumerate(values) if (what := what_is_cut(value, column))}


def what_is_cut(value: object, column: Column) -> str | None:
    """What of a fitted value, or an element, a column would drop in silence; None where it keeps all."""
    if value is None:
        return None
    if column.scale is not None and _is_too_fine(value, column):
        return f"has more than the {column.scale} digits behind the point that the column keeps"
    if column.length is not None and isinstance(value, str):
        beyond = value[column.length :]
        if beyond and not beyond.strip(" "):  # the database refuses all others itself
            return f"has spaces behind the {column.length} characters that the column keeps"
    if column.size is not None and isinstance(value, str) and len(value.encode(errors="surrogatepass")) > column.size:
        return f"has more than the {column.size} bytes that the column keeps"
    if column.last_field is not None and isinstance(value, str) and not _is_kept(value, column.last_field):
        return f"has more behind its {column.last_field}s than the column keeps, or is none as 1 year 2 days 03:04:00"
    return None


# An interval as PostgreSQL writes it, which knows other forms besides.
_INTERVAL = re.compile(
    r"(?:[+-]?[0-9]+ years? ?)?(?:(?P<months>[+-]?[0-9]+) mons? ?)?(?:(?P<days>[+-]?[0-9]+) days? ?)?"
    r"(?:[+-]?(?P<hours>[0-9]+):(?P<minutes>[0-9]{2}):(?P<seconds>[0-9]{2}(?:\.[0-9]+)?))?"
)
_FIELDS = ("year", "month", "day", "hour", "minute", "second")


def _is_kept(interval: str, last_field: str) -> bool:
    """Whether an interval certainly has nothing below that field (PostgreSQL, "Interval Input", on ``fields``)."""
    found = _INTERVAL.fullmatch(interval)
    if found is None:
        return False
    below = _FIELDS[_FIELDS.index(last_field) + 1 :]
    return all(float(found[f"{field}s"] or 0) == 0 for field in below)


def _is_too_fine(value: object, column: Column) -> bool:
    scale = column.scale
    assert scale is not None
    if (column.element or column.kind) is Kind.DECIMAL:
        return is_finer(Decimal(str(value)), scale)
    return isinstance(value, str) and _finer_time(scale).search(value) is not None


@cache
def _finer_time(scale: int) -> re.Pattern[str]:
    """Finds a time's fraction with more digits than that. The points of 31.1.2026 are in front of none."""
    return re.compile(rf"(?<!\.[0-9])(?<!\.[0-9][0-9])\.(?![0-9]*\.)[0-9]{{{scale}}}[0-9]*[1-9]")
