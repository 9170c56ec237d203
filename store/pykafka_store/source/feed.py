"""What a source asks of a database: a protocol, and the values that go through it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from pykafka_store.databases.errors import DatabaseError
from pykafka_store.model import Records

SOURCES_TABLE = "_pykafka_sources"
"""In the database: the sources whose triggers are there."""
CHANGES_TABLE = "_pykafka_changes_"
"""What a source's triggers write into; its number follows."""

HIGHEST_POSITION = (1 << 46) - 1
"""What the header of a copied batch has room for (format/copies.py)."""


class SourceError(DatabaseError):
    """The source can't go on: one line that says what, where, and what to do next."""


class Change(NamedTuple):
    """What becomes one record."""

    position: int
    """Its place among all that the feed ever gives: the same whenever it is read."""
    key: bytes | None
    value: bytes | None
    """None: the row of this key is gone."""


class Look(NamedTuple):
    changes: Sequence[Change]
    is_all: bool
    """Whether nothing that was committed when it looked is left behind these."""
    waits_for: str = ""
    """What keeps it from giving more, for people."""


class Seen(NamedTuple):
    """What the topic's side knows of what it was given."""

    position: int
    """All up to it is in the topic."""
    before: int
    """That position as it was noted the time before."""
    rows: int | None
    """How many rows the position and those before it were, if that is known."""


class Feed(Protocol):
    """Every method raises DatabaseUnavailableError where the same may succeed later, else DatabaseError."""

    name: str
    """The database, for messages."""
    identity: str
    """What is another one where positions begin anew; known once it is prepared."""
    forgets: bool
    """Whether the database keeps what is given until it is told that it may forget it."""
    compares: bool
    """Whether it has to know what is in the topic."""

    def prepare(self, place: Sequence[str], *, from_latest: bool) -> Sequence[str]:
        """Check that nothing can be lost, and make what is missing; the answer is what a user should know.

        ``place``: the cluster's id, the topic, its id, and the source's name. ``from_latest``: rows that are there by
        then are left out, the first time.
        """

    def latest(self) -> int:
        """The position of the last change that there is, where the first time begins behind it."""

    def check(self, seen: Seen) -> int | None:
        """Check that what was given before is what it was. Raises SourceError.

        The answer is how many rows of the database are at the position and before it; None where that says nothing.
        """

    def look(self, after: int, most: int) -> Look:
        """At most so many changes behind a position, in order. Each is given again with the same content."""

    def forget(self, position: int) -> None:
        """All up to a position is in the topic, and will not be asked for again."""

    def recall(self, records: Records) -> None:
        """What is in the topic, in order within each partition."""

    def close(self) -> None: ...


class PlainFeed:
    """The half of a feed that one has which keeps nothing in the database."""

    identity = ""
    forgets = compares = False

    def prepare(self, place: Sequence[str], *, from_latest: bool) -> Sequence[str]:  # noqa: ARG002 - the protocol's
        """See :meth:`Feed.prepare`. Nothing is made."""
        return ()

    def latest(self) -> int:
        """See :meth:`Feed.latest`."""
        return -1

    def check(self, seen: Seen) -> int | None:  # noqa: ARG002 - the protocol's
        """See :meth:`Feed.check`."""
        return None

    def forget(self, position: int) -> None:
        """See :meth:`Feed.forget`. The rows are the user's."""

    def recall(self, records: Records) -> None:
        """See :meth:`Feed.recall`."""


def check_forgotten(name: str, forgotten: int, seen: Seen) -> None:
    """Check that the topic and the database speak of the same changes. The database forgets up to a position when that
    is noted, so it has done so up to the newest note, or the one before it.
    """
    if forgotten not in {seen.position, seen.before}:
        raise SourceError(
            f"{name}: changes up to {forgotten} are forgotten, and the topic has them up to {seen.position}: one of "
            "the two was brought back from an older copy; end this source with --remove, and begin anew"
        )


def triggers_gone(label: str) -> SourceError:
    """The error of --changes whose triggers are not there any more."""
    return SourceError(
        f"{label}: its triggers are gone, and what changed since nobody saw: --remove what is left of this source, and "
        "begin it anew, which sends all rows"
    )


def check_same_table(
    label: str, name: str, topic: str, there: tuple[str, str], given: tuple[str, Sequence[str]]
) -> None:
    """Check that a source whose triggers are ``there`` (a table, its key as JSON) is of the table and key of today."""
    table, key = there[0], json.loads(there[1])
    if (table, key) != (given[0], list(given[1])):
        raise SourceError(
            f"{label}: source {name} of topic {topic} is of table {table} with key {', '.join(key)}: name another one "
            "with --name"
        )


def left_over(label: str, changes: str) -> SourceError:
    """The error of a table of changes whose source is not in the list of sources any more."""
    return SourceError(
        f"{label}: {changes} holds the changes of a source that is gone from {SOURCES_TABLE}, which somebody dropped: "
        f"drop {changes} and its triggers, and all rows are sent again; of rows that were deleted nobody knows then"
    )
