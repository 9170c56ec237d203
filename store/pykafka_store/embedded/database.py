"""A SQLite file of a data directory, as metadata.db and groups.db are: opened, brought up to date, changed, watched.

In WAL mode, because it is atomic, crash-safe and shared between processes already. Every change is one
``BEGIN IMMEDIATE`` transaction. ``version()`` asks SQLite's data_version (about a microsecond): a long-lived process
looks again only when it has moved.

Where SQLite can't open the file as it wants to, for a directory that may not be written or for a disk that is full, the
connection is one to an image of it in memory (:mod:`pykafka_store.embedded.database_image`), made anew when the file
changes. The first change that is to be made opens the file, in the room that was kept for that.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, ClassVar, Literal

from pykafka_store.embedded import reserve
from pykafka_store.embedded.disk import ADVICE, Disk, is_nearly_full, no_space
from pykafka_store.embedded.forks import carried_over, keep_out_of_forks
from pykafka_store.errors import InvalidRequestError, StorageError, StoreError, UnsupportedVersionError

if TYPE_CHECKING:
    from pykafka_store.embedded.database_image import DatabaseImage

BUSY_TIMEOUT = 30.0
"""Seconds that a transaction waits for another process's."""

Mode = Literal["rw", "rwc", "ro"]
"""SQLite's: a file that must be there, one that is made if it is missing, one that is left as it is."""


class UnfinishedDatabaseError(StorageError):
    """A file that was to be left as it is has no tables: the process that made it was killed, or is at it."""


class Database:
    """One connection, which threads use in turn. All methods raise StorageError where SQLite fails.

    One for all, and not one a thread: it does not cost each new thread an opening, many writers wait for each other in
    the kernel and not in SQLite's polling, and versions can be compared whichever thread looked (store/DESIGN.md,
    "Threads, and forks").
    """

    MIGRATIONS: ClassVar[Sequence[str]]
    """What brings the file from version n to n + 1 (PRAGMA user_version). Only ever appended to."""
    SYNCHRONOUS: ClassVar[Literal["FULL", "NORMAL"]]
    """FULL: what is committed survives a power cut. NORMAL: the last commits may be missing after one."""

    MAY_BE_MISSING: ClassVar[bool] = False
    """Whether a file that is not there counts as one that holds nothing, for who only reads."""

    def __init__(self, path: str, mode: Mode) -> None:
        """Raises UnsupportedVersionError for a file of a newer version."""
        self.path = path
        self._mode: Mode = mode if _may_change(path) else "ro"
        self._own_commits = 0
        self._turn = 0
        """Which transaction of this connection's is, or was, the last."""
        self._guard = threading.RLock()
        """Held while a thread uses the connection: for a statement, or for a whole transaction."""
        self._forsaken = False
        """Whether this is the copy of it that a forked process has."""
        self._image: DatabaseImage | None = None
        """What the connection is to, where it is not to the file."""
        self._file: tuple[int, int] | None = None
        """The file that it was last connected to."""
        with self._explained():
            self._connection, self._image = self._opened()
        try:
            with self._explained():
                self._migrate(self._mode)
        except BaseException:
            self.close()
            raise
        keep_out_of_forks(self)

    def close(self) -> None:
        if self._forsaken:
            return
        with self._guard:
            self._connection.close()

    def require_ours(self) -> None:
        """Raises StorageError in a process that was forked off by the one that opened this."""
        if self._forsaken:
            raise carried_over(self.path)

    def require_in_place(self) -> None:
        """Raises StorageError where another file has this one's name by now. What is known here is of a directory that
        was removed: in the one that was made in its place it would set aside and overwrite what is not its own, and
        what it writes to this file nobody finds. A file that is missing may come back, as its disk may.
        """
        if self._image is None and _file_at(self.path) not in {None, self._file}:
            raise StorageError(
                f"{self.path} is another file by now: its directory was made anew since this program began: start it "
                "again"
            )

    def forsake(self) -> None:
        """See :class:`pykafka_store.embedded.forks.Forsaking`. Not closed: SQLite does not want that of a child."""
        self._forsaken = True
        _never_closed.append(self._connection)

    # -------------------------------------------------------------------------------------------------- connecting

    def _opened(self) -> tuple[sqlite3.Connection, DatabaseImage | None]:
        """A connection to the file, or to an image of it where there is no way to have that. Raises StorageError,
        sqlite3.Error.
        """
        if self._mode != "ro":
            try:
                return self._connected_to_file(), None
            except sqlite3.Error as error:
                if not self._lacks_room(error):
                    raise
                return self._connected_to_image()
        # SQLite would read a file without a WAL that it may not make by never looking at it again. And what it makes
        # for who may write the directory and not the file it leaves there, where it keeps out who may write the file.
        may_make = os.access(os.path.dirname(self.path), os.W_OK) and _may_change(self.path)
        if may_make or self._has_log():
            try:
                connection = self._connected_to_file()
            except sqlite3.OperationalError:
                if not os.path.exists(self.path) and not self.MAY_BE_MISSING:
                    raise
            else:
                with _closing_on_error(connection):
                    if not self.MAY_BE_MISSING or _user_version(connection):
                        return connection, None
                connection.close()  # whoever makes it has not come to the tables yet
        return self._connected_to_image()

    def _has_log(self) -> bool:
        """Whether somebody has the file open, and has written to it. Who closes it last removes both, maybe now."""
        with suppress(OSError):
            return os.path.exists(f"{self.path}-shm") and os.path.getsize(f"{self.path}-wal") > 0
        return False

    def _connected_to_file(self) -> sqlite3.Connection:
        if self._mode != "ro" and os.path.islink(self.path):  # SQLite itself looks at what lies beside it
            raise StorageError(f"{self.path}: {os.strerror(errno.ELOOP)}: {ADVICE[errno.ELOOP]}")
        if self._mode == "rwc":
            # Made by SQLite it would have the mode 0644 less the umask, as would what lies beside it: who shares a
            # directory with a group could make no topic. Not opened, as closing it drops this process's locks on it.
            with suppress(OSError):  # it is there, or SQLite says what is wrong
                os.mknod(self.path, 0o666)
        while True:
            before = _file_at(self.path)
            connection = _connected(uri(self.path, self._mode))
            with _closing_on_error(connection):
                if self._mode == "rwc":
                    from pykafka_store.write_ahead import make_wal

                    make_wal(connection, BUSY_TIMEOUT)
                connection.execute("PRAGMA user_version")  # SQLite opens what is beside the file when that is used
                if self._mode != "ro":
                    connection.execute(f"PRAGMA synchronous = {self.SYNCHRONOUS}")
                connection.execute("PRAGMA foreign_keys = ON")
            self._file = _file_at(self.path)
            if before in {None, self._file}:
                return connection
            # Its directory was put aside, or made anew, as it was opened. Closed, SQLite would look by name for what
            # lies beside it, which is another one's now.
            _never_closed.append(connection)

    def _connected_to_image(self) -> tuple[sqlite3.Connection, DatabaseImage]:
        from pykafka_store.embedded.database_image import read_image

        image = read_image(Disk(), self.path)
        if self.MAY_BE_MISSING and not any(image.content[_USER_VERSION]):
            image = image._replace(content=b"")  # it has no tables yet
        if not (image.times[0] or self.MAY_BE_MISSING):
            raise StorageError(f"{self.path} is gone: is its disk mounted?")
        connection = _connected("file::memory:")
        with _closing_on_error(connection):
            if image.content:
                connection.deserialize(image.content)
            elif self.MAY_BE_MISSING:
                self._apply_migrations(connection)
            connection.execute("PRAGMA query_only = ON")
        return connection, image

    def _look_again(self) -> None:
        """Have the connection show what the file holds now, where it is one to an image."""
        if self._image is None or self._connection.in_transaction or self._image.is_current(self.path):
            return
        connection, image = self._opened()
        if image is not None and image.content == self._image.content:
            connection.close()
            self._image = image
        else:
            self._adopt(connection, image)

    def _adopt(self, connection: sqlite3.Connection, image: DatabaseImage | None) -> None:
        self._connection.close()
        self._connection, self._image = connection, image
        self._own_commits += 1  # ``version()`` of another connection must not equal an earlier one's
        self._migrate(self._mode)

    def _make_room(self) -> None:
        """Have the file open, and room for a change. On a disk that is nearly full both take the reserve, and the WAL
        begins anew, in the room that it has, when all that is in it is in the file.
        """
        directory = os.path.dirname(self.path)
        if self._image is None and not is_nearly_full(directory):
            return
        reserve.release(directory)
        if self._image is not None and self._mode != "ro":
            self._adopt(self._connected_to_file(), None)
        try:
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        except sqlite3.OperationalError as error:
            if not self._lacks_room(error):  # else the commit will say whether there is enough
                raise

    def _lacks_room(self, error: sqlite3.Error) -> bool:
        """Whether SQLite failed because the disk is full. It says so for the database and the WAL only."""
        code = getattr(error, "sqlite_errorcode", 0)
        if code in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE}:
            return True
        beside = code & 0xFF in {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN}
        return beside and is_nearly_full(os.path.dirname(self.path))

    def _migrate(self, mode: Mode) -> None:
        version, newest = _user_version(self._connection), len(self.MIGRATIONS)
        if not version and mode == "rw":
            raise StorageError(f"{self.path} is empty, and the directory is not: restore it from a backup")
        if version > newest:
            raise UnsupportedVersionError(
                f"{self.path} has version {version}, and this pykafka knows up to {newest}: upgrade pykafka-toolkit"
            )
        if version == newest:
            return
        if mode == "ro":
            problem = UnfinishedDatabaseError if not version else StorageError
            raise problem(f"{self.path} is unfinished or of an older version, and may only be read here")
        with self.transaction():
            self._apply_migrations(self._connection)

    def _apply_migrations(self, connection: sqlite3.Connection) -> None:
        """Those that are missing, as of now: another process may have been first."""
        for number in range(_user_version(connection), len(self.MIGRATIONS)):
            for statement in filter(str.strip, self.MIGRATIONS[number].split(";")):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {number + 1}")

    # ------------------------------------------------------------------------------------------------ transactions

    def version(self) -> tuple[int, int]:
        """A value that differs from an earlier one if anything was committed in between, here or by another process."""
        self.require_ours()
        try:  # ``_explained``, unfolded: each append asks this several times
            with self._guard:
                self._look_again()
                return int(self._connection.execute("PRAGMA data_version").fetchone()[0]), self._own_commits
        except sqlite3.Error as error:
            raise self._told(error) from error

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All changes inside happen together or not at all; writers take turns.

        A signal may strike at any instruction, most likely in the wait for another writer: its handler's exception then
        comes out of a BEGIN that has succeeded all the same. So BEGIN stands inside of what ends the transaction.
        """
        with self._explained():
            self._end_abandoned()
            self._make_room()
            self._turn = turn = self._turn + 1
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                self.require_in_place()
                changes = self._connection.total_changes
                yield
                # Counted before COMMIT, out of which a signal may come as well: one too many costs a look.
                self._own_commits += self._connection.total_changes != changes
                self._connection.execute("COMMIT")
            finally:
                if self._turn == turn:  # else this one was abandoned, and is only now collected
                    self._end()

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """All that is read inside is of one moment."""
        with self._explained():
            if self._connection.in_transaction:
                yield
                return
            try:
                self._connection.execute("BEGIN")
                yield
            finally:
                self._end()

    def _end_abandoned(self) -> None:
        """Roll back what a signal left open just before or behind the body of its ``with``: who cleans up after that
        exception finds it. Without one a transaction within another is a mistake, of which SQLite complains.
        """
        if sys.exc_info()[0] is not None:
            self._end()

    def _end(self) -> None:
        with suppress(sqlite3.ProgrammingError):  # it was closed: what a signal left open is collected only now
            if self._connection.in_transaction:  # some errors, a full disk for one, have ended it already
                self._connection.execute("ROLLBACK")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Around whatever uses the connection: one thread at a time, and errors that say which file it was."""
        self.require_ours()
        try:
            with self._guard:
                self._look_again()
                yield
        except sqlite3.Error as error:
            raise self._told(error) from error
        except UnicodeEncodeError as error:
            raise self._not_text(error) from error

    def _not_text(self, error: UnicodeEncodeError) -> StoreError:
        """What a user is told of a name or a value that SQLite can't keep: so Python has bytes that are no UTF-8."""
        return InvalidRequestError(f"{error.object!r} is not Unicode text")

    def _told(self, error: sqlite3.Error) -> StorageError:
        """What a user is told of an error of SQLite's. Raises StorageError where there are no descriptors left."""
        if self._lacks_room(error):
            return no_space(self.path, str(error))
        if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_READONLY:
            return StorageError(f"{self.path}: {error}: check the owner and permissions of all that is named so")
        if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_CANTOPEN:
            _require_descriptors(self.path)
            if not os.path.isdir(directory := os.path.dirname(self.path)):
                return StorageError(f"{directory} does not exist: is its disk mounted?")
        from pykafka_store.write_ahead import is_busy

        if is_busy(error):
            return StorageError(
                f"{self.path} was held by another process for {BUSY_TIMEOUT:g} s: it may be frozen "
                f"(fuser -v {self.path} names it)"
            )
        return StorageError(f"{self.path}: {error}")


_never_closed: list[sqlite3.Connection] = []
"""Connections of a parent process, and to files that have lost their names."""

_USER_VERSION = slice(60, 64)
"""Where it stands in a file. Source: SQLite, Database File Format, 1.3."""


def _may_change(path: str) -> bool:
    """Whether this user may write the file, or it is missing.

    Asked twice, as another process may make it in between: it is then neither missing nor was it there.
    """
    return os.access(path, os.W_OK) or not os.path.lexists(path) or os.access(path, os.W_OK)


def _file_at(path: str) -> tuple[int, int] | None:
    """Which file has that name; None where there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _connected(uri: str) -> sqlite3.Connection:
    return sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False)


def _require_descriptors(path: str) -> None:
    """Raises StorageError if this process has none left, of which SQLite says only that it can't open a file.

    It opens up to four at once. Not the database itself, as closing that would drop the locks that SQLite has on it.
    """
    with ExitStack() as opened:
        try:
            for _ in range(4):
                opened.callback(os.close, os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
        except OSError as error:
            number = error.errno or 0
            raise StorageError(f"{path}: {os.strerror(number)}: {ADVICE[errno.EMFILE]}") from error


def _user_version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def uri(path: str, mode: Mode) -> str:
    """What sqlite3.connect wants to hear of a path that may hold any characters."""
    quoted = os.path.abspath(path).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    return f"file:{quoted}?mode={mode}"


@contextmanager
def _closing_on_error(connection: sqlite3.Connection) -> Iterator[None]:
    try:
        yield
    except BaseException:
        connection.close()
        raise
