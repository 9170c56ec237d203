"""What a sink asks of a database: a protocol, and the values that go through it. A new kind of database is one module.

A target keeps, beside the user's tables, how far each partition has been written (:class:`Claim`), and moves that in
the transaction of the rows themselves. That is the whole of exactly once: whatever is killed, and whenever, the rows
are there if and only if the offset behind them is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Literal, NamedTuple, Protocol

from pykafka_store.databases.errors import DatabaseError
from pykafka_store.model import TopicPartition

OFFSETS_TABLE = "_pykafka_offsets"
"""Of the target: how far each group has written each partition, and who may write it."""

NOTES_TABLE = "_pykafka_sink"
"""Of the target: its id, and columns that were only null until now."""

DEAD_LETTERS_TABLE = "_pykafka_dead_letters"
"""Of the target: records that are no rows, where the user names no other table."""

BATCH_ROWS = 10_000
BATCH_BYTES = 16 << 20
"""One transaction has at most about so many rows, and so many bytes of values."""


class SinkError(DatabaseError):
    """The sink can't go on: one line that says what, where, and what to do next."""


class FencedError(SinkError):
    """Another sink has claimed a partition since this one did. Nothing was written."""


class RefusedError(SinkError):
    """The database refused a row, and the sink is to stop there. Nothing was written."""

    def __init__(self, index: int, reason: str, column: str | None) -> None:
        super().__init__(reason)
        self.index = index
        """The record's number within its table's batch."""
        self.reason = reason
        self.column = column


class Kind(StrEnum):
    """What a column holds, as far as values have to be converted for it."""

    INTEGER = "integer"
    INTEGER32 = "integer of 32 bits"
    INTEGER16 = "integer of 16 bits"
    REAL = "real"
    DOUBLE = "real, or NaN"
    REAL32 = "real of 32 bits"
    BOOLEAN = "boolean"
    NUMERIC = "numeric"
    """SQLite's affinity of that name: a number where it looks like one."""
    DECIMAL = "decimal"
    """Numbers of any length."""
    TEXT = "text"
    JSON = "json"
    BYTES = "bytes"
    BINARY = "binary"
    """Bytes only: text is its UTF-8."""
    OTHER = "other"
    """What the database makes of a text, such as an address."""
    DATE = "date"
    TIME = "time of day"
    ZONED_TIME = "time of day, with its zone"
    LOCAL_TIME = "date and time without a zone"
    INSTANT = "date and time with its zone"
    DATES = "range of dates"
    LOCAL_TIMES = "range of dates and times without a zone"
    UNSIGNED32 = "unsigned integer of 32 bits"
    UNSIGNED64 = "unsigned integer of 64 bits"
    TIMESTAMP = "timestamp"
    """An instant, for a column that is to be made: what the database has for one."""
    ANY = "any"
    """Whatever comes, as it is."""


class Column(NamedTuple):
    name: str
    kind: Kind
    declared: str = ""
    """Its type in the database's words."""
    has_default: bool = False
    is_generated: bool = False
    scale: int | None = None
    """Digits behind the point that a column of decimals or of times, or an array's elements, keep; None: all."""
    length: int | None = None
    """Characters behind which a column, or an array's elements, drop spaces in silence; None: no such limit."""
    size: int | None = None
    """Bytes of UTF-8 behind which a column, or an array's elements, drop all in silence; None: no such limit."""
    last_field: str | None = None
    """The field of an interval below which a column, or an array's elements, drop all in silence; None: they don't."""
    element: Kind | None = None
    """What the elements of an array are, where the column is for arrays."""
    delimiter: str = ","
    """What stands between an array's elements."""

    compares: str = ""
    """By what the database finds values equal that are not, in its words; nothing where it finds none."""

    @property
    def is_limited(self) -> bool:
        limits = (self.scale, self.length, self.size, self.last_field)
        return any(limit is not None for limit in limits)


class TableSchema(NamedTuple):
    """A table as it is."""

    columns: Mapping[str, Column]
    pk: tuple[str, ...]
    unique: tuple[frozenset[str], ...]
    """The sets of columns that an upsert can name: the primary key's, and those of unique indexes."""
    pending: frozenset[str] = frozenset()
    """Fields that were only null when the sink made the table: such a column is made when its first value comes."""


StatementKind = Literal["insert", "upsert", "ignore", "replace", "delete"]


class Statement(NamedTuple):
    """Rows of one shape for a table."""

    kind: StatementKind
    columns: tuple[str, ...]
    rows: Sequence[tuple[object, ...]]
    origin: Sequence[int]
    """The number of each row's record within the table's batch."""


class TableWrite(NamedTuple):
    """What goes into one table, statement after statement."""

    table: str
    pk: tuple[str, ...]
    statements: Sequence[Statement]
    on_refused: Callable[[int, str, str | None], None]
    """Called for a row that the database refuses, with its record's number, the reason, and the column where one is to
    blame by name. It may raise."""
    schema: TableSchema | None = None
    """The table that the rows were fitted to."""


class Claim(NamedTuple):
    """A partition that one sink writes, until another one claims it."""

    epoch: int
    next: int
    """The offset that the target expects next."""
    topic_id: str
    """Of the topic that was written until now."""


class Move(NamedTuple):
    """How far a transaction brings a partition."""

    partition: TopicPartition
    epoch: int
    before: int
    after: int


class DeadLetter(NamedTuple):
    """A record that is no row of its table, or a value that does not fit, and why."""

    table: str
    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: str | None
    """As JSON."""
    column: str | None
    reason: str


class Group(NamedTuple):
    """Whose offsets: a consumer group of a cluster."""

    cluster_id: str
    group: str


class Target(Protocol):
    """A database. Every method raises DatabaseUnavailableError where the same may succeed later, else
    DatabaseError."""

    name: str
    """For messages."""
    keeps_offsets: bool
    """Whether the offsets are in it; else they are the group's commits."""
    is_elsewhere: bool
    """Whether another process does the work of ``write``, so that there is time for the next batch meanwhile."""
    max_columns: int
    refuses_nul: bool
    """Whether text may not hold U+0000."""
    text_takes_bytes: bool
    """Whether a column for text also holds bytes that are none."""

    @property
    def id(self) -> str:
        """Which database that is: random, made once, and kept in it."""

    def prepare(self, dead_letters: str | None) -> None:
        """Make the sink's own tables where they are missing, that of dead letters too if one is named."""

    def schema(self, table: str) -> TableSchema | None:
        """The table as it is now; None where there is none. Raises SinkError for a view."""

    def check_name(self, name: str) -> str | None:
        """Why this can't be a column's name; None where it can."""

    def create_table(
        self, table: str, columns: Mapping[str, Kind], pk: Sequence[str], pending: Sequence[str]
    ) -> None: ...

    def add_columns(self, table: str, columns: Mapping[str, Kind]) -> None:
        """Add those that are not there by now."""

    def index(self, table: str, column: str) -> None:
        """Make an index of a column, if the sink did not make it before."""

    def enable_search(self, table: str, columns: Sequence[str]) -> None:
        """Make full-text search of these columns, kept up by triggers. Raises SinkError where there is none."""

    def same_keys(
        self, table: str, schema: TableSchema, columns: Sequence[str], keys: Sequence[tuple[object, ...]]
    ) -> Sequence[int]:
        """For each of these keys, which differ, the number of the first one that is the same to the database."""

    def claim(
        self, group: Group, starts: Mapping[TopicPartition, tuple[str, int]], owner: str
    ) -> dict[TopicPartition, Claim]:
        """Claim partitions, so that nobody who claimed them before can move them.

        ``starts`` has for each the topic's id, and the offset where it begins if this group never wrote it.
        """

    def restart(self, group: Group, partition: TopicPartition, claim: Claim, topic_id: str, offset: int) -> Claim:
        """Begin with another topic of the same name. Raises FencedError."""

    def write(
        self, group: Group, tables: Sequence[TableWrite], moves: Sequence[Move], dead_letters: Sequence[DeadLetter]
    ) -> None:
        """All of it in one transaction, or nothing. ``dead_letters`` is read last, as refused rows add to it.

        Raises FencedError where a partition's claim is over, and whatever ``on_refused`` raises.
        """

    def close(self) -> None: ...
