"""Records that were copied from another cluster."""

from typing import NamedTuple


class CopiedRun(NamedTuple):
    """A batch of records that were copied from another partition."""

    base_offset: int
    """Its first offset here."""
    length: int
    """Offsets of it here: the records that it held when it was written."""
    last_source_offset: int
    """The offset that its last record has at the source."""
