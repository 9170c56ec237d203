"""The index of aborted transactions beside a segment, an array of fixed entries; most segments have none.

Source: org.apache.kafka.storage.internals.log.TransactionIndex. Big-endian::

    .txnindex   int16 version 0 · int64 producer id · int64 first offset · int64 last offset · int64 last stable offset

It carries no checksum.
"""

from collections.abc import Iterator
from struct import Struct
from typing import NamedTuple

from pykafka_store.errors import CorruptRecordError

ABORTED_ENTRY = Struct(">hqqqq")


class AbortedTransaction(NamedTuple):
    """An entry of a ``.txnindex``: what a producer wrote in this range of offsets was aborted (AbortedTxn)."""

    version: int
    producer_id: int
    first_offset: int
    last_offset: int
    last_stable_offset: int


def aborted_transactions(data: bytes) -> Iterator[AbortedTransaction]:
    """The entries of a whole ``.txnindex``. Raises CorruptRecordError for one of another version, or a partial one."""
    for position in range(0, len(data), ABORTED_ENTRY.size):
        if len(data) - position < ABORTED_ENTRY.size:
            raise CorruptRecordError(f"the last entry has {len(data) - position} bytes, not {ABORTED_ENTRY.size}")
        entry = AbortedTransaction._make(ABORTED_ENTRY.unpack_from(data, position))
        if entry.version > 0:
            raise CorruptRecordError(
                f"Unexpected aborted transaction version {entry.version} in transaction index, current version is 0"
            )
        yield entry
