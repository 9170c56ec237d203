"""The preloaded library does what the storm counts on, and nothing to files that are not the storm's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.storm import faults

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = faults.build(tmp_path_factory.mktemp("library"))
    if found is None:
        pytest.skip("no C compiler, or no /proc")
    return found


def _run(library: Path, place: Path, wanted: faults.Faults, body: str) -> subprocess.CompletedProcess[str]:
    """Python code in a process that has the library, armed for ``place/world/``; it has a ``world`` and ``errors``."""
    world = place / "world"
    world.mkdir(exist_ok=True)
    clock = place / "clock"
    if not clock.exists():
        clock.write_bytes(bytes(8))
    code = f"""
        import errno, os, sqlite3, sys, time
        from tests.storm.faults import Faults, arm, counts
        world = {str(world)!r} + "/"
        assert arm(world, {str(clock)!r}, Faults{tuple(wanted)!r})
        errors = set()
        def attempt(call, *arguments):
            try:
                return call(*arguments)
            except OSError as error:
                errors.add((call.__name__, errno.errorcode[error.errno]))
        """
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code) + textwrap.dedent(body)],
        env={**os.environ, "LD_PRELOAD": str(library), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )


def test_each_kind_of_call_fails_in_its_ways(library: Path, tmp_path: Path) -> None:
    """Python tries again what was interrupted, so EINTR is not to be seen, and nothing hangs."""
    body = """
        file = None
        while file is None:
            file = attempt(os.open, world + "a", os.O_RDWR | os.O_CREAT)
        short = set()
        for i in range(3000):
            short.add(attempt(os.pwritev, file, [b"x" * 500, b"y" * 500], i * 1000))
            short.add(len(attempt(os.pread, file, 1000, 0) or b""))
            attempt(os.pwrite, file, b"z" * 10, 0)
            attempt(os.fsync, file)
            attempt(os.fdatasync, file)
            attempt(os.ftruncate, file, i * 1000 + 1000)
            attempt(os.rename, world + "a", world + "a")
            attempt(os.mkdir, world + str(i))
            attempt(os.unlink, world + "nothing")
        print(sorted(errors))
        print(sorted(each for each in short if each is not None and each > 2))
        print(counts()["faults"] > 1000)
        """
    done = _run(library, tmp_path, faults.Faults(per_million=100_000), body)
    assert done.returncode == 0, done.stderr
    failed, short, enough = done.stdout.splitlines()
    assert eval(failed) == [
        ("fdatasync", "EIO"),
        ("fsync", "EIO"),
        ("ftruncate", "EIO"),
        ("mkdir", "EIO"),
        ("mkdir", "ENOSPC"),
        ("pread", "EIO"),
        ("pwrite", "EIO"),
        ("pwritev", "EIO"),
        ("pwritev", "ENOSPC"),
        ("rename", "EIO"),
        ("rename", "ENOSPC"),
        ("unlink", "EIO"),
        ("unlink", "ENOENT"),
    ]
    assert eval(short) == [256, 1000]  # cut at half a sector, or whole
    assert enough == "True"


def test_sqlite_meets_them_too(library: Path, tmp_path: Path) -> None:
    body = """
        told = set()
        for i in range(300):
            try:
                with sqlite3.connect(world + "db", isolation_level=None) as database:
                    database.execute("PRAGMA journal_mode=WAL")
                    database.execute("CREATE TABLE IF NOT EXISTS t (i)")
                    database.execute("INSERT INTO t VALUES (1)")
            except sqlite3.Error as error:
                told.add(str(error))
        print(sorted(told))
        """
    done = _run(library, tmp_path, faults.Faults(per_million=20_000), body)
    assert done.returncode == 0, done.stderr
    assert "disk I/O error" in eval(done.stdout)


def test_files_elsewhere_are_left_alone(library: Path, tmp_path: Path) -> None:
    body = f"""
        file = os.open({str(tmp_path / "elsewhere")!r}, os.O_RDWR | os.O_CREAT)
        for i in range(300):
            assert os.pwrite(file, b"x" * 1000, 0) == 1000
            os.fsync(file)
        print(counts())
        """
    done = _run(library, tmp_path, faults.Faults(per_million=1_000_000, kill_at=0), body)
    assert done.stdout == "{'calls': 0, 'faults': 0}\n", done.stderr


def test_a_numbered_call_kills_before_amid_or_after(library: Path, tmp_path: Path) -> None:
    body = """
        file = os.open(world + "a", os.O_RDWR | os.O_CREAT)
        for i in range(10):
            os.pwrite(file, b"x" * 1000, i * 1000)
        """
    sizes = set()
    for seed in range(12):
        path = tmp_path / "world" / "a"
        path.unlink(missing_ok=True)
        done = _run(library, tmp_path, faults.Faults(seed=seed, kill_at=3), body)
        assert done.returncode == -signal.SIGKILL
        sizes.add(path.stat().st_size)
    assert sizes == {2000, 2256, 3000}


def test_the_clock_is_as_its_file_says_and_the_monotonic_one_is_not(library: Path, tmp_path: Path) -> None:
    body = f"""
        import struct
        def looks():
            return time.time(), time.time_ns() / 1e9, sqlite3.connect(":memory:").execute(
                "SELECT (julianday('now') - 2440587.5) * 86400").fetchone()[0]
        before, monotonic = looks(), time.monotonic()
        for ahead in (3_600_500, -3_600_500, -1):
            with open({str(tmp_path / "clock")!r}, "r+b") as file:
                file.write(struct.pack("=q", ahead))
            for was, now in zip(before, looks()):
                assert ahead / 1000 - 1 < now - was < ahead / 1000 + 30, (ahead, now - was)
        assert time.monotonic() - monotonic < 30
        """
    done = _run(library, tmp_path, faults.Faults(), body)
    assert done.returncode == 0, done.stderr
