"""What a database, or what is done with one, ends with."""

from __future__ import annotations

from pykafka_store.errors import StoreError


class DatabaseError(StoreError):
    """It can't go on: one line that says what, where, and what to do next."""


class DatabaseUnavailableError(DatabaseError):
    """The database is locked, down, full or not answering: the same may succeed later."""

    retriable = True
