"""A session with a PostgreSQL server, by psycopg 3: its transactions, and what its errors mean.

A process that is frozen within a transaction would hold what it has locked there: the server ends its session
(``idle_in_transaction_session_timeout``), and nothing of that transaction is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pykafka_store.databases.errors import DatabaseError, DatabaseUnavailableError

if TYPE_CHECKING:
    import psycopg

CONNECT = {"connect_timeout": "10", "keepalives_idle": "10", "tcp_user_timeout": "30000"}
"""libpq's settings, where the address has no others. Seconds, and milliseconds for the last."""

IDLE_IN_TRANSACTION = "5s"

LONGEST_NAME = 63
"""Bytes of an identifier: the server cuts longer ones off without an error."""

SCHEMA_LOCK = 0x70796B61666B61
"""The advisory lock of whoever makes tables: "pykafka" in ASCII."""

UNIQUE_KEYS = """
SELECT i.indisprimary,
       ARRAY(SELECT a.attname::text FROM unnest(i.indkey[0:i.indnkeyatts - 1]) WITH ORDINALITY AS k(number, place)
             JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number ORDER BY k.place)
FROM pg_index i
WHERE i.indrelid = %s AND i.indisunique AND i.indpred IS NULL AND i.indexprs IS NULL AND i.indimmediate
"""
"""The keys that make a row the only one, of a table by its oid: whether it is the primary key, and its columns."""

_AWAY = ("08", "40001", "40P01", "53", "55P03", "57P", "57014", "25P03", "25006", "58")
"""SQLSTATEs, or how they begin, of what may be over later. https://www.postgresql.org/docs/current/errcodes-appendix.html"""

_NEVER = (
    "authentication failed",
    "no password supplied",
    "does not exist",
    "no pg_hba.conf entry",
    "could not translate",
)
"""In libpq's messages of connections that will not come about by waiting. They come without a SQLSTATE."""


def quoted(name: str) -> str:
    """An identifier in SQL, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'


def why_not(name: str) -> str | None:
    """Why this can't be an identifier; None where it can."""
    if not name:
        return "it is empty"
    if "\0" in name:
        return "it holds U+0000"
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        return "it holds half a surrogate pair"
    return f"it has {size} bytes, and PostgreSQL cuts names off after {LONGEST_NAME}" if size > LONGEST_NAME else None


def line_of(error: Exception) -> str:
    """What the server, or libpq, says, in one line."""
    diag = getattr(error, "diag", None)
    text = getattr(diag, "message_primary", None) or str(error)
    return " ".join(text.split())


class Session:
    """A connection that is made when it is first needed, and again when it was lost."""

    def __init__(
        self,
        address: str,
        program: str,
        *,
        setup: Sequence[str] = (),
        on_closed: Callable[[], None] = lambda: None,
    ) -> None:
        """``address``: a URI or libpq's key=value words. ``program``: what the server is told that this is. ``setup``:
        statements that each session begins with. ``on_closed``: called when what the session had at the server is
        gone. Raises DatabaseError.
        """
        try:
            import psycopg
            from psycopg import conninfo
        except ImportError:
            raise DatabaseError(
                "PostgreSQL needs psycopg, which is not installed: pip install 'pykafka-toolkit[postgres]'"
            ) from None
        self.psycopg = psycopg
        try:
            words = conninfo.conninfo_to_dict(address)
        except psycopg.Error as error:
            raise DatabaseError(f"the database's address makes no sense: {line_of(error)}") from None
        self._settings: dict[str, Any] = {
            **CONNECT,
            "application_name": program,
            **{name: value for name, value in words.items() if value is not None},
        }
        host = words.get("host") or words.get("hostaddr") or "local"
        self.name = f"postgresql://{host}/{words.get('dbname') or ''}"  # without the password, for messages
        self.connection: psycopg.Connection[Any] | None = None
        self._setup = setup
        self._on_closed = on_closed

    def close(self) -> None:
        connection, self.connection = self.connection, None
        self._on_closed()
        if connection is not None:
            connection.close()

    def _connected(self) -> psycopg.Connection[Any]:
        if self.connection is None:
            self.connection = self.psycopg.connect(**self._settings, autocommit=True)
            for statement in self._setup:
                self.connection.execute(statement)
            self.connection.execute(f"SET idle_in_transaction_session_timeout = '{IDLE_IN_TRANSACTION}'")
        return self.connection

    @contextmanager
    def transaction(self, what: str) -> Iterator[psycopg.Connection[Any]]:
        """All of what is done within it, or nothing. A session that met an error of its own is not used again."""
        try:
            connection = self._connected()
            with connection.transaction():
                yield connection
        except self.psycopg.Error as error:
            state = error.sqlstate or ""
            text = line_of(error)
            if self.connection is None:
                away = not any(words in text for words in _NEVER)
            else:
                away = state.startswith(_AWAY) or self.connection.closed
            if away:
                self.close()
            kind = DatabaseUnavailableError if away else DatabaseError
            raise kind(f"{self.name}: can't {what}: {text}") from error
        except BaseException:
            if self.connection is not None and self.connection.closed:
                self.close()
            raise
