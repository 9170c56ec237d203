"""What a query gives, compared with what the topic has: the records that make the topic say the same.

The topic is the state: of each key its last record. So there is nothing besides that a kill could part from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b
from itertools import islice

from pykafka_store.model import Records
from pykafka_store.source.feed import Change, Look, SourceError


class Comparison:
    """The topic's last record of each key, by a hash of its value."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._last: dict[bytes, tuple[int, bytes | None]] = {}
        """(its time, its value's hash) of each key; None for a tombstone."""
        self._left: list[tuple[bytes, bytes | None]] = []
        """What the last look found and did not give yet."""

    def recall(self, records: Records) -> None:
        """Learn what is in the topic. A key is in two partitions where there are more of them than there were: the
        later record counts.
        """
        for key, value, stamp in zip(records.keys, records.values, records.timestamps, strict=True):
            if key is not None and (key not in self._last or stamp >= self._last[key][0]):
                self._last[key] = stamp, _hashed(value)

    def check_columns(self, columns: Sequence[str], key: Sequence[str]) -> None:
        """Raises SourceError where the query has no such key, or one name twice."""
        missing = [name for name in key if name not in columns]
        if missing:
            raise SourceError(f"{self._label}: the query gives no column {missing[0]}, which --key names")
        if len(set(columns)) < len(columns):
            twice = next(name for name in columns if columns.count(name) > 1)
            raise SourceError(f"{self._label}: the query gives two columns {twice}: name them apart with AS")

    def keyed(self, rows: Iterable[tuple[bytes | None, bytes]]) -> dict[bytes, bytes]:
        """The rows by their keys. Raises SourceError for a key that comes twice."""
        found: dict[bytes, bytes] = {}
        for key, value in rows:
            assert key is not None
            if key in found:
                raise SourceError(
                    f"{self._label}: the query gives two rows of key {key.decode()[:60]}: name more columns with --key"
                )
            found[key] = value
        return found

    def looking(self, rows: Callable[[], dict[bytes, bytes]]) -> Callable[[int, int], Look]:
        """A feed's ``look`` at what ``rows`` gives."""

        def look(after: int, most: int) -> Look:
            if not self._left:
                self._left = list(self._differences(rows()))
            some, self._left = list(islice(self._left, most)), self._left[most:]
            changes = [Change(after + number, key, value) for number, (key, value) in enumerate(some, 1)]
            return Look(changes, not self._left)

        return look

    def _differences(self, rows: dict[bytes, bytes]) -> Iterable[tuple[bytes, bytes | None]]:
        for key, (stamp, known) in self._last.items():
            if known is not None and key not in rows:
                self._last[key] = stamp, None
                yield key, None
        for key, value in rows.items():
            hashed = _hashed(value)
            stamp, known = self._last.get(key, (0, None))
            if hashed != known:
                self._last[key] = stamp, hashed
                yield key, value


def _hashed(value: bytes | None) -> bytes | None:
    return None if value is None else blake2b(value, digest_size=16).digest()
