"""The world as one argument: streams, terminal, environment, clock, and the way to a cluster.

Commands take an ``Env`` and touch neither ``sys`` nor ``os.environ``, so a test builds the world in a line.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, BinaryIO, TextIO

from pykafka_cli.errors import UsageProblem

if TYPE_CHECKING:
    from pykafka_store.api import Cluster


class Env:
    """``stdin`` and ``stdout`` are bytes, for records are; ``stderr`` is text, for it is read by people."""

    def __init__(
        self,
        *,
        stdin: BinaryIO,
        stdout: BinaryIO,
        stderr: TextIO,
        environ: Mapping[str, str],
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.stdin = stdin
        self.stdout = stdout
        self.stderr = stderr
        self.environ = environ
        self.clock = clock
        self.monotonic = monotonic
        self.error_reported = False
        """Whether an error was reported that Kafka's tools exit 0 on; PYKAFKA_STRICT_EXIT=1 makes it exit 1."""

    @classmethod
    def of_process(cls) -> Env:
        """The world this process was started in. A stream that was closed (``>&-``) is an empty one."""
        return cls(
            stdin=sys.stdin.buffer if sys.stdin else open(os.devnull, "rb"),
            stdout=sys.stdout.buffer if sys.stdout else open(os.devnull, "wb"),
            stderr=sys.stderr or open(os.devnull, "w"),
            environ=os.environ,
        )

    @property
    def stdin_is_terminal(self) -> bool:
        return self.stdin.isatty()

    @property
    def stdout_is_terminal(self) -> bool:
        return self.stdout.isatty()

    @property
    def stderr_is_terminal(self) -> bool:
        return self.stderr.isatty()

    @property
    def width(self) -> int:
        """Columns of the terminal; 80 where there is none."""
        import shutil

        return shutil.get_terminal_size().columns

    def out(self, text: str) -> None:
        """Write a line to stdout, in UTF-8. Undecodable bytes that came in as surrogates go out as they were."""
        self.stdout.write(text.encode("utf-8", "surrogateescape") + b"\n")

    def err(self, text: str) -> None:
        """Write a line to stderr, after what was written to stdout before it."""
        with contextlib.suppress(OSError):  # main.py flushes again and says what is wrong
            self.stdout.flush()
        with contextlib.suppress(OSError):  # nobody is left to be told
            self.stderr.write(text + "\n")
            self.stderr.flush()

    def report_error(self, text: str) -> None:
        """Report an error on stderr that Kafka's tool goes on after; PYKAFKA_STRICT_EXIT=1 makes the command exit 1."""
        self.error_reported = True
        self.err(text)

    def open_cluster(
        self,
        bootstrap_server: str | None,
        data_dir: str | None,
        *,
        create: bool = True,
        read_only: bool = False,
        config: Mapping[str, str] | None = None,
        patience: float | None = None,
        on_notice: Callable[[str], None] | None = None,
    ) -> Cluster:
        """Open the cluster that the options and the environment name (DESIGN.md, section 1).

        ``config``, ``patience`` and ``on_notice`` are those of ``pykafka_store.api.open_cluster``.
        Raises UsageProblem where they contradict each other or name nothing, else what ``pykafka_store.api`` raises.
        """
        from pykafka_store import api

        address = self.address(bootstrap_server, data_dir)
        return api.open_cluster(
            address, create=create, read_only=read_only, config=config, patience=patience, on_notice=on_notice
        )

    def address(self, bootstrap_server: str | None, data_dir: str | None) -> str:
        """What ``pykafka_store.api.open_cluster`` is to open: ``file:DIR`` or ``host:port[,host:port]``."""
        directory = data_dir
        if bootstrap_server is not None:
            if bootstrap_server.startswith("file:"):
                named = bootstrap_server.removeprefix("file:")
                if not named:
                    raise UsageProblem("--bootstrap-server file: names no directory: write file:DIR")
                if directory is not None and os.path.realpath(directory) != os.path.realpath(named):
                    raise UsageProblem(
                        f"--data-dir {directory} and --bootstrap-server {bootstrap_server} name two directories: "
                        "leave one out"
                    )
                directory = named
            elif not self._is_embedded(bootstrap_server):
                if directory is not None:
                    raise UsageProblem(
                        f"--data-dir {directory} and --bootstrap-server {bootstrap_server} name two clusters: leave "
                        f"one out, or set PYKAFKA_EMBED={bootstrap_server} to have that address served by the directory"
                    )
                _check_host_ports(bootstrap_server)
                return bootstrap_server
        if directory == "":
            raise UsageProblem("--data-dir names no directory")
        return "file:" + (directory or self.environ.get("PYKAFKA_DATA_DIR") or self._default_data_dir())

    def _is_embedded(self, bootstrap_server: str) -> bool:
        """Whether PYKAFKA_EMBED lists every one of these addresses."""
        listed = {part.strip() for part in self.environ.get("PYKAFKA_EMBED", "").split(",") if part.strip()}
        return "*" in listed or all(part.strip() in listed for part in bootstrap_server.split(","))

    def _default_data_dir(self) -> str:
        """A directory for each user, by the XDG Base Directory specification."""
        base = self.environ.get("XDG_DATA_HOME", "")
        if not os.path.isabs(base):  # the specification: a relative path is to be ignored
            home = self.environ.get("HOME") or os.path.expanduser("~")
            base = os.path.join(home, ".local", "share")
        return os.path.join(base, "pykafka")


def _check_host_ports(bootstrap_server: str) -> None:
    """Refuse what is no ``host:port`` list, lest it be taken for the name of a directory.

    The two messages are those of org.apache.kafka.tools.ToolsUtils#validateBootstrapServer.
    """
    from pykafka_store import api

    if not bootstrap_server.strip():
        raise UsageProblem("Error while validating the bootstrap address\n")
    if not api.is_cluster_address(bootstrap_server):
        raise UsageProblem("Please provide valid host:port like host1:9091,host2:9092\n")
