"""A column's values -> those that can be bound, and why others can't."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from pykafka_store.sink.kinds import Seen
from pykafka_store.sink.target import Kind
from pykafka_store.sink.values import CONVERT, DOUBLES, UnfitError, as_double, check_text

_AS_THEY_ARE: dict[Kind, set[type]] = {
    Kind.INTEGER: {int},
    Kind.REAL: {float},
    Kind.DOUBLE: {float},
    Kind.BOOLEAN: {bool},
    Kind.NUMERIC: {int},
    Kind.TEXT: {str},
    Kind.JSON: set(),
    Kind.BYTES: {bytes},
    Kind.ANY: {int, float, str, bytes},
    Kind.INTEGER32: set(),
    Kind.INTEGER16: set(),
    Kind.DECIMAL: {int},
    Kind.BINARY: {bytes},
    Kind.OTHER: {str},
    Kind.REAL32: set(),
    Kind.DATE: set(),
    Kind.TIME: set(),
    Kind.ZONED_TIME: set(),
    Kind.LOCAL_TIME: set(),
    Kind.INSTANT: set(),
    Kind.DATES: set(),
    Kind.LOCAL_TIMES: set(),
    Kind.UNSIGNED32: set(),
    Kind.UNSIGNED64: set(),
    Kind.TIMESTAMP: set(),
}


def fit(
    kind: Kind, values: Sequence[object], *, has_surrogates: bool, refuses_nul: bool, seen: Seen | None = None
) -> tuple[Sequence[object], dict[int, str]]:
    """A column's values as they can be bound, and for those that can't be (None in their places) why.

    ``has_surrogates``: text may hold half a surrogate pair. ``refuses_nul``: text may not hold U+0000, and may have it.
    ``seen``: of these values, or of more.
    """
    seen = seen or Seen(values)
    if Decimal in seen.types and kind in DOUBLES:
        values = [as_double(value) for value in values]
        seen = Seen(values)
    text_may_not_do = str in seen.types and (has_surrogates or refuses_nul)
    if seen.types <= _AS_THEY_ARE[kind] and seen.is_in_range and not text_may_not_do:
        return values, {}
    convert = CONVERT[kind]
    fitted: list[object] = []
    unfit: dict[int, str] = {}
    for index, value in enumerate(values):
        try:
            found = None if value is None else convert(value)
            if isinstance(found, str):
                check_text(found, refuses_nul=refuses_nul, is_json=kind is Kind.JSON)
        except RecursionError:
            found, unfit[index] = None, "the value is nested too deeply"
        except UnfitError as error:
            found, unfit[index] = None, str(error)
        fitted.append(found)
    return fitted, unfit
