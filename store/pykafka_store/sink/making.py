"""Which values a column can be made of. One that no column can hold does not say of which type its column is to be."""

from __future__ import annotations

from collections.abc import Sequence

from pykafka_store.sink.fitting import fit
from pykafka_store.sink.kinds import Seen, kind_for
from pykafka_store.sink.parsing import Parsed, Problem, Row
from pykafka_store.sink.target import Kind


class Makeable:
    """What can be a column's value, of the records of one batch."""

    def __init__(self, parsed: Parsed, *, refuses_nul: bool) -> None:
        self._has_surrogates = parsed.has_surrogates
        self._refuses_nul = parsed.has_nul and refuses_nul

    def fit(
        self, kind: Kind, values: Sequence[object], seen: Seen | None = None
    ) -> tuple[Sequence[object], dict[int, str]]:
        """See :func:`pykafka_store.sink.fitting.fit`."""
        return fit(kind, values, has_surrogates=self._has_surrogates, refuses_nul=self._refuses_nul, seen=seen)

    def has_fit(self, kind: Kind, values: Sequence[object]) -> bool:
        """Whether a column of that kind would hold any of these values."""
        fitted, unfit = self.fit(kind, values)
        return not unfit or any(value is not None for value in fitted)

    def why_unfit(self, value: object) -> str | None:
        """Why no column is made of a value; None where one is."""
        kind = kind_for([value])
        return None if kind is None else self.fit(kind, [value])[1].get(0)

    def why_no_row(self, row: Row, pk: Sequence[str]) -> Problem:
        """Why a record is no row where there is no table."""
        for name, value in row.items():
            if (reason := self.why_unfit(value)) is not None:
                return Problem(reason, name)
        for name in pk:
            if row.get(name) is None:
                return Problem("it is null" if name in row else "it is missing", name)
        return Problem("there is no table yet, and no value here that a column could be made of: make the table first")
