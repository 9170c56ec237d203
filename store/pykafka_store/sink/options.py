"""What a sink is to do with records, apart from where they come from and where they go."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

from pykafka_store.model import Records
from pykafka_store.sink.target import BATCH_ROWS, DEAD_LETTERS_TABLE

Mode = Literal["insert", "upsert", "ignore", "replace"]
Errors = Literal["stop", "dead-letter", "null"]

Convert = Callable[[Records], Iterable[dict[str, object] | None]]

ValueType = Literal["timestamp-ms", "base64"]
"""Milliseconds since 1970; bytes as text."""

META = ("topic", "partition", "offset", "timestamp", "key", "headers")
"""What a record has besides its value, and ``extra`` can name."""

PK_OF_OFFSET = ("topic", "partition", "offset")


class SinkOptions(NamedTuple):
    """Every choice that a sink leaves open, with its default."""

    pk: tuple[str, ...] = ()
    """The columns that tell rows apart; ``("key",)`` the record's key, ``("offset",)`` its topic, partition and offset.
    Nothing: the table's own, if it has one.
    """
    mode: Mode = "insert"
    """What becomes of a row whose key is there: an error, an update of the columns it has, nothing, another row."""
    delete: bool = False
    """Whether a null value deletes the row of its key."""
    alter: bool = False
    """Whether a new field makes a column."""
    create: bool = True
    """Whether a table that is missing is made."""
    columns: tuple[str, ...] = ()
    """The fields to write; nothing: all of them."""
    flatten: bool = False
    """Whether ``{"a": {"b": 1}}`` is the column ``a_b``."""
    raw: bool = False
    """Whether columns ``key`` and ``value`` take what is there as it is, JSON or not."""
    convert: Convert | None = None
    """Makes the rows of records, instead of the values' JSON: one for each, None for a record that is to be no row."""
    indexes: tuple[str, ...] = ()
    """Columns that get an index each."""
    fts: tuple[str, ...] = ()
    """Columns that full-text search is made for."""
    extra: tuple[str, ...] = ()
    """Names out of META that become columns too."""
    batch_size: int = BATCH_ROWS
    """Rows of a transaction at most."""
    linger: float = 1.0
    """Seconds that a row waits for others at most."""
    types: Mapping[str, ValueType] = MappingProxyType({})
    """Columns whose values say by a convention of their own what they are."""
    errors: Errors = "stop"
    """A record that is no row: the end; a dead letter; or, for a value that does not fit, NULL and a note."""
    dead_letters: str = DEAD_LETTERS_TABLE
    """The table of dead letters and notes, in the target."""
    dead_letter_topic: str | None = None
    """The topic of dead letters and notes, instead: at least once."""
    from_latest: bool = False
    """Whether a partition that this group never wrote begins at its end."""
    exit_at_end: bool = False
    max_messages: int | None = None
    timeout: float | None = None
    """Seconds without a record until it ends."""
    retry: float | None = None
    """Seconds that a database may be away; None: for ever."""

    @property
    def pk_is_key(self) -> bool:
        return self.pk == ("key",)

    @property
    def pk_is_offset(self) -> bool:
        return self.pk == ("offset",)

    @property
    def all_extra(self) -> tuple[str, ...]:
        """The record's own columns: those asked for, and those that the primary key needs."""
        needed = PK_OF_OFFSET if self.pk_is_offset else ()
        return tuple(dict.fromkeys((*needed, *self.extra)))


def check_options(options: SinkOptions, complain: Callable[[str], Exception]) -> None:
    """Raise what ``complain`` makes of the first combination that makes no sense."""
    if options.delete and not options.pk_is_key:
        raise complain("--delete needs --pk key: a null value has nothing but its key")
    if options.delete and options.mode not in {"upsert", "replace"}:
        raise complain("--delete needs --upsert or --replace")
    if options.raw and (options.columns or options.flatten):
        raise complain("--raw reads no JSON, so --columns and --flatten have nothing to choose from")
    if options.convert is not None and options.raw:
        raise complain("--raw and --convert say both what a row is")
    if options.raw and "key" in options.extra:
        raise complain("--raw has the key as a column already")
    if options.raw and options.pk and not (options.pk_is_key or options.pk_is_offset):
        raise complain("--raw goes with --pk key or --pk offset only")
    unknown = [name for name in options.extra if name not in META]
    if unknown:
        raise complain(f"--with {unknown[0]}: a record has {', '.join(META)}")
    if options.pk_is_key and "key" in options.extra:
        raise complain("--pk key has the key as a column already")
    if options.batch_size < 1:
        raise complain("--batch-size must be at least 1")
