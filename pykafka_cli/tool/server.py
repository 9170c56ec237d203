"""A server of a data directory as a process: it runs until a signal comes, or the command that it is for has ended.

``pykafka serve`` and ``kafka-server-start`` share it.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

from pykafka_cli.errors import ENDS, CommandFailure, heard_ends

if TYPE_CHECKING:
    from pykafka_store.api import RunningServer

ADDRESS_VARIABLES = ("PYKAFKA_BOOTSTRAP", "KAFKA_BOOTSTRAP_SERVERS", "SPRING_KAFKA_BOOTSTRAP_SERVERS")
"""Where the command of ``--exec`` finds the address: ours, and those that Quarkus, Micronaut and Spring read."""


def serve_until_told(server: RunningServer, child: Child | None = None) -> None:
    """Run a server until a signal comes, or the ``child`` has ended. Raises KeyboardInterrupt or Terminated after a
    signal, and CommandFailure with the child's exit code where that is not 0.
    """
    with _stopped_by_signals(server) as signals:
        try:
            server.run()
        finally:
            code = child.end() if child is not None else 0
    if signals:
        raise ENDS[signals[0]]
    if code:
        raise CommandFailure(f"serve: the command ended with exit code {code}", exit_code=code)


@contextmanager
def _stopped_by_signals(server: RunningServer) -> Iterator[list[int]]:
    """Stop the server in good order at a signal that asks for that; the list has those that came."""
    came: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        came.append(number)
        server.stop()

    if threading.current_thread() is not threading.main_thread():
        yield came  # signals are for the main thread, and so for whoever runs it
        return
    before = {number: signal.signal(number, note) for number in heard_ends()}
    # Python runs a handler between two of its steps: one that comes just before the server waits for its clients would
    # be heard of when that wait is over.
    woken = signal.set_wakeup_fd(server.wakes, warn_on_full_buffer=False)
    try:
        yield came
    finally:
        signal.set_wakeup_fd(woken)
        for number, handler in before.items():
            signal.signal(number, handler)


class Child:
    """The command of ``--exec``; the server is stopped when it ends."""

    def __init__(
        self, command: str, address: str, directory: str, environ: Mapping[str, str], server: RunningServer
    ) -> None:
        import subprocess

        more = dict.fromkeys(ADDRESS_VARIABLES, address) | {"PYKAFKA_DATA_DIR": os.path.abspath(directory)}
        self._process = subprocess.Popen(["/bin/sh", "-c", command], env={**environ, **more})
        self._server = server
        self._waiter = threading.Thread(target=self._wait, daemon=True, name="exec")
        self._waiter.start()

    def _wait(self) -> None:
        self._process.wait()
        self._server.stop()

    def end(self) -> int:
        """Its exit code, as a shell tells it; it is terminated if it has not ended."""
        if self._process.poll() is None:
            self._process.terminate()
        code = self._process.wait()
        self._waiter.join()
        return code if code >= 0 else 128 - code


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches that address."""
    if host in {"localhost", "127.0.0.1"}:  # most are one of these, and need no import
        return True
    import ipaddress

    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
