"""A real PostgreSQL server for the tests: on a socket in a temporary directory, by a user that may run one."""

from __future__ import annotations

import glob
import os
import pwd
import shutil
import subprocess
import tempfile
from types import TracebackType
from typing import Self

USERS = ("postgres", "nobody")
"""Whom the server runs as where the tests run as root, which it refuses to."""


def program(name: str) -> str | None:
    """One of PostgreSQL's programs. Debian keeps them off PATH, a directory a version."""
    found = glob.glob(f"/usr/lib/postgresql/*/bin/{name}")
    return shutil.which(name) or (max(found) if found else None)


def available() -> str | None:
    """Why there can be no server here; None where there can."""
    if program("initdb") is None or program("pg_ctl") is None:
        return "no PostgreSQL (Debian: apt-get install postgresql)"
    return None


class Server:
    """A server of its own, with trust for whoever reaches its socket. Nothing it writes has to outlive the machine."""

    def __init__(self) -> None:
        self.directory = tempfile.mkdtemp(prefix="pykafka-pg-", dir="/tmp")
        self._user: dict[str, str | int] = {}
        if os.getuid() == 0:
            user = next(name for name in USERS if _exists(name))
            self._user = {"user": user, "group": pwd.getpwnam(user).pw_gid}
            shutil.chown(self.directory, user)
        self._data = os.path.join(self.directory, "data")
        self._databases = 0
        words = ["-D", self._data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
        self._run("initdb", *words)
        self.start()

    def _run(self, name: str, *words: str) -> None:
        path = program(name)
        assert path is not None
        done = subprocess.run(
            [path, *words],
            cwd=self.directory,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # the server keeps what it is given, so no pipe that we would read to its end
            stderr=subprocess.DEVNULL,
            **self._user,  # type: ignore[call-overload]
        )
        assert done.returncode == 0, f"{name} failed: see {self.directory}"

    def start(self) -> None:
        """Start, and return when it answers."""
        settings = f"-c listen_addresses='' -c unix_socket_directories={self.directory} -c fsync=off -c jit=off"
        log = os.path.join(self.directory, "log")
        self._run("pg_ctl", "-D", self._data, "-l", log, "-w", "-t", "60", "-o", settings, "start")

    def stop(self, how: str = "fast") -> None:
        """``fast`` ends sessions; ``immediate`` is a crash, after which it recovers."""
        self._run("pg_ctl", "-D", self._data, "-w", "-t", "60", "-m", how, "stop")

    def address(self, database: str = "postgres") -> str:
        return f"postgresql:///{database}?host={self.directory}&user=postgres"

    def new_database(self) -> str:
        """The address of a database that is empty."""
        self._databases += 1
        name = f"d{self._databases}"
        import psycopg  # here, for conftest.py imports this module for all tests

        with psycopg.connect(self.address(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self.address(name)

    def new_schema(self, address: str, name: str) -> str:
        """An address that finds its tables in an empty schema of that database: cheaper than another database."""
        import psycopg

        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute(f"CREATE SCHEMA {name}")
        return f"{address}&options=-csearch_path%3D{name}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop("immediate")
        shutil.rmtree(self.directory, ignore_errors=True)


def _exists(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True
