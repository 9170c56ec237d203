"""How long a database that is away is waited for, and what is said of it: one line when it begins, one when it ends."""

from __future__ import annotations

import time
from collections.abc import Callable

from pykafka_store.databases.errors import DatabaseError, DatabaseUnavailableError

FIRST_RETRY, LAST_RETRY = 0.1, 30.0
"""Seconds between two attempts: the first, doubled each time up to the last."""


class Patience:
    def __init__(self, name: str, limit: float | None, on_notice: Callable[[str], None]) -> None:
        """``limit``: the seconds that the database ``name`` may be away; None: for ever."""
        self._name = name
        self._limit = limit
        self._notice = on_notice
        self._since: float | None = None
        self._pause = FIRST_RETRY
        self.next_attempt = 0.0
        """When it is tried again, by the monotonic clock."""

    @property
    def is_tried(self) -> bool:
        """Whether the database was away when it was last asked."""
        return self._since is not None

    def may_try(self, now: float) -> bool:
        return now >= self.next_attempt

    def pause(self) -> None:
        """Try nothing for a moment, where it is not the database that is to blame."""
        self.next_attempt = time.monotonic() + FIRST_RETRY

    def failed(self, error: DatabaseUnavailableError) -> None:
        """The database is away. Raises DatabaseError where it has been for too long."""
        now = time.monotonic()
        if self._since is None:
            if self._limit == 0:
                raise DatabaseError(str(error)) from error
            self._since, self._pause = now, FIRST_RETRY
            self._notice(f"{error}: waiting for it")
        away = now - self._since
        if self._limit is not None and away >= self._limit:
            raise DatabaseError(f"{error}: gave up after {away:.0f} s") from error
        self.next_attempt = now + self._pause
        self._pause = min(self._pause * 2, LAST_RETRY)

    def succeeded(self) -> bool:
        """The database answered; whether it was away before."""
        if self._since is None:
            return False
        self._notice(f"{self._name} is back after {time.monotonic() - self._since:.1f} s")
        self._since = None
        return True
