"""Transactions in a log: which batches belong to an aborted one, and where the first one begins that is still open.

This engine writes no transactions: it meets them in segments that a broker wrote.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterable

from pykafka_store.embedded.disk import Disk
from pykafka_store.embedded.log.segment import Segment
from pykafka_store.errors import CorruptRecordError
from pykafka_store.format.batch import BatchHeader
from pykafka_store.format.names import SNAPSHOT_SUFFIX
from pykafka_store.format.snapshot import snapshot_entries
from pykafka_store.format.state import PublishedState
from pykafka_store.format.transaction_index import AbortedTransaction

_SNAPSHOT_LIMIT = 1 << 26


class AbortedTransactions:
    """What the transaction indexes of some segments say."""

    def __init__(self, segments: Iterable[Segment]) -> None:
        """Raises CorruptRecordError, naming the file."""
        self._by_producer: dict[int, list[AbortedTransaction]] = {}
        for segment in segments:
            for entry in segment.aborted_transactions():
                self._by_producer.setdefault(entry.producer_id, []).append(entry)

    def all(self) -> list[AbortedTransaction]:
        """All of them, by their first offsets."""
        entries = (entry for some in self._by_producer.values() for entry in some)
        return sorted(entries, key=lambda entry: entry.first_offset)

    def cover(self, header: BatchHeader) -> bool:
        """Whether the records of a batch belong to a transaction that was aborted. A marker is no such record."""
        if not header.is_transactional or header.is_control:
            return False
        entries = self._by_producer.get(header.producer_id, ())
        return any(entry.first_offset <= header.base_offset <= entry.last_offset for entry in entries)


def first_open_transaction(disk: Disk, directory: str, state: PublishedState, bases: list[int]) -> int | None:
    """The first offset of a transaction that its producer has not ended: by the newest producer snapshot, and the
    batches that follow it. None where there is none, as in a log without snapshots, which is not a broker's.

    ``bases``: the base offsets of the log's segments. Raises FileNotFoundError where a file went away meanwhile.
    """
    names = sorted(name for name in disk.list(directory) if name.endswith(SNAPSHOT_SUFFIX))
    if not names:
        return None
    taken, found = _open_by_snapshot(disk, directory, names[-1])
    for base in bases[max(0, bisect_right(bases, taken) - 1) :]:
        end = state.end_position if base == state.active_base_offset else None
        for _, header in Segment(disk, directory, base).headers(end, state.has_gaps):
            if header.last_offset < taken or not header.is_transactional:
                continue
            if header.is_control:
                found.pop(header.producer_id, None)
            else:
                found.setdefault(header.producer_id, header.base_offset)
    return min(found.values(), default=None)


def _open_by_snapshot(disk: Disk, directory: str, name: str) -> tuple[int, dict[int, int]]:
    """The offset at which a snapshot was taken, and producer -> the first offset of its open transaction then."""
    path = os.path.join(directory, name)
    try:
        taken = int(name.removesuffix(SNAPSHOT_SUFFIX))
        entries = snapshot_entries(disk.read_file(path, limit=_SNAPSHOT_LIMIT), path)
        return taken, {
            each.producer_id: each.current_txn_first_offset
            for each in entries
            if each.current_txn_first_offset is not None
        }
    except (CorruptRecordError, ValueError):
        return 0, {}  # the log itself tells, from its beginning on
