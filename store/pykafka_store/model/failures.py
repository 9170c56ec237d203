"""Records that were not acknowledged."""

from typing import NamedTuple


class SendFailure(NamedTuple):
    """Records that were not acknowledged, and why. ``key_size`` and ``value_size`` are of the first; None for null."""

    topic: str
    partition: int | None
    record_count: int
    key_size: int | None
    value_size: int | None
    error: Exception
