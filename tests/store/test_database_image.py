"""A SQLite file read as it stands, with what its write-ahead log has committed: as SQLite itself would read it."""

from __future__ import annotations

import os
import sqlite3
import struct
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pykafka_store.embedded import database_image
from pykafka_store.embedded.database_image import read_image
from pykafka_store.embedded.disk import Disk
from pykafka_store.errors import StorageError
from pykafka_store.format.sqlite import image

Rows = list[tuple[int, bytes]]


def _rows(connection: sqlite3.Connection) -> Rows:
    return connection.execute("SELECT id, value FROM t ORDER BY id").fetchall()


def _of(content: bytes) -> Rows:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.deserialize(content)
        assert connection.execute("PRAGMA quick_check").fetchone() == ("ok",)
        return _rows(connection)


def _wal_of(path: str, page_size: int = 4096) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(f"PRAGMA page_size = {page_size}")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, value BLOB)")
    return connection


_CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("insert"), st.integers(0, 20), st.integers(0, 9000)),
        st.tuples(st.just("delete"), st.integers(0, 20), st.just(0)),
        st.tuples(st.just("checkpoint"), st.just(0), st.just(0)),
        st.tuples(st.just("vacuum"), st.just(0), st.just(0)),
        st.tuples(st.just("rollback"), st.integers(0, 20), st.integers(0, 9000)),
    ),
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(changes=_CHANGES, page_size=st.sampled_from([512, 4096, 65536]), cut=st.integers(0, 1 << 20))
def test_an_image_holds_what_sqlite_recovers(
    changes: list[tuple[str, int, int]], page_size: int, cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whole, and with a write-ahead log that is torn anywhere."""
    directory = tmp_path_factory.mktemp("db")
    path = str(directory / "a.db")
    with closing(_wal_of(path, page_size)) as connection:
        for what, id, size in changes:
            if what == "insert":
                connection.execute("INSERT OR REPLACE INTO t VALUES (?, ?)", (id, os.urandom(size)))
            elif what == "delete":
                connection.execute("DELETE FROM t WHERE id = ?", (id,))
            elif what == "checkpoint":
                connection.execute("PRAGMA wal_checkpoint(RESTART)")
            elif what == "vacuum":
                connection.execute("VACUUM")
            else:
                connection.execute("PRAGMA cache_size = 1")  # so that pages of what is rolled back are in the log
                connection.execute("BEGIN")
                connection.execute("INSERT OR REPLACE INTO t VALUES (?, ?)", (id, os.urandom(size * 10)))
                connection.execute("ROLLBACK")
        file, wal = Path(path).read_bytes(), Path(f"{path}-wal").read_bytes()
        assert _of(image(file, wal)) == _rows(connection)
    # What a checkpoint has copied is in the log for sure, which it syncs first: older pages over newer ones are no
    # state that a crash leaves, and SQLite may refuse to read it.
    is_copied = image(file, wal)[100:] == file[100:]
    torn = wal if is_copied else wal[: cut % (len(wal) + 1)]
    for name, data in (("b.db", file), ("b.db-wal", torn)):
        (directory / name).write_bytes(data)
    found = image(file, torn)
    with closing(sqlite3.connect(directory / "b.db")) as recovered:
        assert found[100:] == recovered.serialize()[100:]  # but for the header, which SQLite changes


@given(file=st.binary(max_size=200), wal=st.binary(max_size=200))
def test_bytes_that_are_none_of_sqlite_s_are_left_as_they_are(file: bytes, wal: bytes) -> None:
    assert image(file, wal)[20:] == file[20:]
    assert image(file, wal)[:18] == file[:18]


def test_a_frame_that_does_not_check_ends_the_log(tmp_path: Path) -> None:
    path = str(tmp_path / "a.db")
    with closing(_wal_of(path)) as connection:
        connection.execute("INSERT INTO t VALUES (1, x'00')")
        good = os.path.getsize(f"{path}-wal")
        connection.execute("INSERT INTO t VALUES (2, x'00')")
        file, wal = Path(path).read_bytes(), bytearray(Path(f"{path}-wal").read_bytes())
    wal[good + 24 + 100] ^= 1
    assert _of(image(file, bytes(wal))) == [(1, b"\0")]
    wal[:32] = struct.pack(">8I", 0x377F0682, 3007000, 4096, 0, 0, 0, 0, 0)
    assert image(file, bytes(wal))[20:] == file[20:]


class Busy(Disk):
    """Something happens before each reading of the whole file."""

    def __init__(self, happens: Callable[[], object]) -> None:
        self._happens = happens

    def read_file(self, path: str, limit: int = 1 << 20) -> bytes:
        if not path.endswith("-wal"):
            self._happens()
        return super().read_file(path, limit)


def test_a_log_that_begins_anew_between_two_readings_is_noticed(tmp_path: Path) -> None:
    """The file is read before the checkpoint, the log after it was begun anew: neither would have the first row."""
    path = str(tmp_path / "a.db")
    with closing(_wal_of(path)) as connection:
        connection.execute("INSERT INTO t VALUES (1, x'01')")
        happened = []

        class Late(Disk):
            def read_file(self, path: str, limit: int = 1 << 20) -> bytes:
                data = super().read_file(path, limit)
                if not path.endswith("-wal") and not happened:
                    happened.append(1)
                    connection.execute("PRAGMA wal_checkpoint(RESTART)")
                    connection.execute("INSERT INTO t VALUES (2, x'02')")
                return data

        assert _of(read_image(Late(), path).content) == [(1, b"\1"), (2, b"\2")]


def test_a_file_that_never_stops_changing_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.db"
    path.write_bytes(b"")
    monkeypatch.setattr(database_image, "_TRIES", 3)
    with pytest.raises(StorageError, match="does not stop changing"):
        read_image(Busy(lambda: path.write_bytes(path.read_bytes() + b"x")), str(path))


def test_an_image_is_current_until_a_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tmp_path / "a.db")
    with closing(_wal_of(path)) as connection:
        for name in (path, f"{path}-wal"):
            os.utime(name, (1, 1))
        found = read_image(Disk(), path)
        assert found.is_current(path)
        connection.execute("INSERT INTO t VALUES (1, x'01')")
        assert not found.is_current(path)
        # One that was changed just now may change again without another time to show for it. (The test may stand still
        # meanwhile, so "just now" is an hour long.)
        monkeypatch.setattr(database_image, "_TICK", 3600 * 10**9)
        assert not read_image(Disk(), path).is_current(path)
