"""One record, for who has few of them."""

from typing import NamedTuple


class Record(NamedTuple):
    """One record."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    """Milliseconds since 1970; NO_TIMESTAMP for none."""
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    """Each a Header."""
