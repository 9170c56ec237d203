"""``pykafka serve`` as a live process, for tests of clients."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

PATIENCE = 60.0
"""Seconds until a test that waits for something gives up."""


class Served:
    """A server of ``directory``, on a port that was free."""

    def __init__(self, directory: Path, *arguments: str, listen: str = "127.0.0.1:0") -> None:
        self.directory = directory
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pykafka_cli", "serve", "--listen", listen, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYKAFKA_DATA_DIR": str(directory)},
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline().decode()
        if not line.startswith("listening on "):
            _, told = self.process.communicate(timeout=PATIENCE)
            raise AssertionError(f"the server did not start: {line}{told.decode()}")
        self.addresses = [each.rstrip(",").rpartition("://")[2] for each in line.split(", serving ")[0].split()[2:]]
        """Where it listens, in the order of its listeners."""

    @property
    def address(self) -> str:
        return self.addresses[0]

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """End it with a signal: its exit code, and what it told on stderr."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.ended()

    def ended(self) -> tuple[int, str]:
        """When it ends: its exit code, and what it told on stderr."""
        _, told = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, told.decode()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate(timeout=PATIENCE)


def refusal(directory: Path, *words: str) -> str:
    """What ``pykafka serve`` says, in one line, where it does not start."""
    done = subprocess.run(
        [sys.executable, "-m", "pykafka_cli", "serve", "--data-dir", str(directory), *words],
        stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE,
    )  # fmt: skip
    assert done.returncode == 1, (done.stdout, done.stderr)
    assert done.stderr.count(b"\n") == 1
    return done.stderr.decode()
