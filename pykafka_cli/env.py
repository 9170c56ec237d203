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

from pykafka_cli.errors import Refusal, UsageProblem

if TYPE_CHECKING:
    from pykafka_store.api import Cluster
    from pykafka_store.directory import DataDirectory


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
        self._stdout = stdout
        self.stderr = stderr
        self.environ = environ
        self.clock = clock
        self.monotonic = monotonic
        self.error_reported = False
        """Whether an error was reported that Kafka's tools exit 0 on; PYKAFKA_STRICT_EXIT=1 makes it exit 1."""
        self.hint = ""
        """The line on stderr that the command is to end with: what was probably meant (output/hints.py)."""
        self.only_prints = False
        """Whether printing is all that the command is there for. Then a failure to print ends it at once."""
        self.unprinted: OSError | None = None
        """Why stdout took no more. Nothing is printed from then on, but what the command does it does to the end, as
        Java's tools do, whose System.out swallows such errors; main.py tells of it when the work is done."""

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
        return self._stdout.isatty()

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
        self.write(text.encode("utf-8", "surrogateescape") + b"\n")

    def write(self, data: bytes) -> None:
        """Write bytes to stdout. ``unprinted`` and ``only_prints`` say what becomes of a failure."""
        if self.unprinted is not None:
            return
        try:
            written = self._written(data)
            while written < len(data):  # under PYTHONUNBUFFERED stdout has no buffer, and may take less than is given
                written += self._written(data[written:])
        except OSError as error:
            self._note(error)

    def _written(self, data: bytes) -> int:
        """How many of these bytes stdout has taken."""
        try:
            if (written := self._stdout.write(data)) is not None:
                return written
        except BlockingIOError as error:
            written = error.characters_written
        self._wait_for_stdout()
        return written or 0

    def _wait_for_stdout(self) -> None:
        """Wait until stdout takes more. It is set not to wait by others who have the same pipe or terminal: Node does
        that to what its children inherit.
        """
        import select

        poll = select.poll()
        poll.register(self._stdout.fileno(), select.POLLOUT)
        poll.poll()

    def flush(self) -> None:
        """Have what was written to stdout leave this process."""
        if self.unprinted is not None:
            return None
        try:
            while True:
                try:
                    return self._stdout.flush()
                except BlockingIOError:
                    self._wait_for_stdout()
        except OSError as error:
            self._note(error)

    def _note(self, error: OSError) -> None:
        error.filename = "stdout"
        if self.only_prints:
            raise error
        self.unprinted = error

    def reader_is_gone(self) -> bool:
        """Whether stdout is a pipe, or the like, whose other end is closed."""
        try:
            descriptor = self._stdout.fileno()
        except OSError:
            return False  # not a file at all
        import select

        poll = select.poll()
        poll.register(descriptor, 0)
        return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))

    def err(self, text: str) -> None:
        """Write a line to stderr, after what was written to stdout before it."""
        with contextlib.suppress(OSError):  # main.py flushes again and says what is wrong
            self.flush()
        self.write_err(text + "\n")

    def write_err(self, text: str) -> None:
        """Write text to stderr at once."""
        with contextlib.suppress(OSError):  # the reader of stderr has gone, and nobody is left to be told
            self.stderr.write(text)
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
        controllers: bool = False,
        on_notice: Callable[[str], None] | None = None,
        tell_waiting: bool = True,
    ) -> Cluster:
        """Open the cluster that the options and the environment name: ``address`` says which that is.

        ``create`` and the others are those of ``pykafka_store.open.open_cluster``. A directory that is made is told
        of and, at a terminal, a cluster that does not answer at once, unless ``tell_waiting`` is false.
        Raises UsageProblem where they contradict each other or name nothing, else what ``open_cluster`` raises.
        """
        from pykafka_store.open import open_cluster

        address = self.address(bootstrap_server, data_dir)
        named = data_dir is not None or (bootstrap_server or "").startswith("file:")
        return open_cluster(
            address,
            create=create,
            read_only=read_only,
            config=config,
            patience=patience,
            controllers=controllers,
            on_notice=on_notice,
            on_made=lambda path: self.tell_made(path, named=named),
            on_waiting=self.on_waiting if tell_waiting else None,
        )

    def open_data_directory(self, path: str) -> DataDirectory:
        """Open a data directory to ask what only one can be asked. One that is missing is made, as ``open_cluster``
        does it: a probe that asks before anything is there gets the answer of a broker that has just started.
        """
        from pykafka_store.open import open_data_directory

        named = path not in {self.environ.get("PYKAFKA_DATA_DIR"), self._default_data_dir()}
        return open_data_directory(
            path, create=self.auto_create, on_made=lambda made: self.tell_made(made, named=named)
        )

    @property
    def on_waiting(self) -> Callable[[str], None] | None:
        """Who is told of a cluster that does not answer at once: a person alone."""
        return self.err if self.stderr_is_terminal else None

    @property
    def auto_create(self) -> bool:
        """Whether a directory or a topic that is missing is made because it is used: PYKAFKA_AUTO_CREATE, by default
        as a broker does it with topics (auto.create.topics.enable). Raises Refusal for what is no flag.
        """
        text = self.environ.get("PYKAFKA_AUTO_CREATE", "").strip().lower()
        if text not in {"", "0", "1", "false", "true"}:
            raise Refusal(f"PYKAFKA_AUTO_CREATE is 0 or 1, and not {text}")
        return text not in {"0", "false"}

    def tell_made(self, directory: str, *, named: bool) -> None:
        """Tell of a data directory that was made, for its name may be a misspelt one.

        Where the command line does not name it (``named``), it is told to a person only: a script with PYKAFKA_DATA_DIR
        or PYKAFKA_EMBED set is to print what it prints with a broker.
        """
        if named or self.stderr_is_terminal:
            self.err(f"Made a new data directory: {directory}")

    def address(self, bootstrap_server: str | None, data_dir: str | None) -> str:
        """What ``pykafka_store.open.open_cluster`` is to open: ``file:DIR`` or ``host:port[,host:port]``."""
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
                return _servers(bootstrap_server)
            elif not self._is_listed(bootstrap_server):
                _servers(bootstrap_server)  # "*" stands for all addresses, and for nothing that is none
        if directory == "":
            raise UsageProblem("--data-dir names no directory")
        return "file:" + (directory or self.environ.get("PYKAFKA_DATA_DIR") or self._default_data_dir())

    @staticmethod
    def node_of(bootstrap_server: str | None) -> tuple[str, int] | None:
        """The host and the port by which the user calls the brokers of a directory, which have none: the first of the
        addresses that lead there. None where the command line names none.
        """
        if bootstrap_server is None or bootstrap_server.startswith("file:"):
            return None
        host, _, port = _without_schemes(bootstrap_server)[0].rpartition(":")
        return (host or "localhost", int(port)) if port.isdecimal() else None

    def directory(self, bootstrap_server: str | None, data_dir: str | None) -> str | None:
        """The path of the data directory that is to be opened; None where it is a cluster."""
        address = self.address(bootstrap_server, data_dir)
        return address.removeprefix("file:") if address.startswith("file:") else None

    def data_directory(self, data_dir: str | None) -> str:
        """The path of the data directory for a command that works on no cluster."""
        return self.address(None, data_dir).removeprefix("file:")

    def _is_embedded(self, bootstrap_server: str) -> bool:
        """Whether PYKAFKA_EMBED lists every one of these addresses; a ``scheme://`` in front of one says nothing."""
        return "*" in self._embedded() or self._is_listed(bootstrap_server)

    def _is_listed(self, bootstrap_server: str) -> bool:
        return self._embedded().issuperset(_without_schemes(bootstrap_server))

    def _embedded(self) -> set[str]:
        return set(_without_schemes(self.environ.get("PYKAFKA_EMBED", ""))) - {""}

    @property
    def takes_old_options(self) -> bool:
        """Whether options and classes of before Kafka 4 do what they did: PYKAFKA_OLD_OPTIONS."""
        return self.environ.get("PYKAFKA_OLD_OPTIONS") == "1"

    def state_directory(self, name: str) -> str:
        """Where this user's processes keep out of each other's way, for what is done to clusters."""
        return os.path.join(self._base_directory("XDG_STATE_HOME", "state"), "pykafka", name)

    def _default_data_dir(self) -> str:
        """A directory for each user."""
        return os.path.join(self._base_directory("XDG_DATA_HOME", "share"), "pykafka")

    def _base_directory(self, variable: str, default: str) -> str:
        """A directory of the XDG Base Directory specification."""
        base = self.environ.get(variable, "")
        if not os.path.isabs(base):  # the specification: a relative path is to be ignored
            home = self.environ.get("HOME") or os.path.expanduser("~")
            base = os.path.join(home, ".local", default)
        return base


def _servers(bootstrap_server: str) -> str:
    """The servers of a cluster's address, as ``pykafka_store.open.bootstrap_servers`` has them.

    Raises UsageProblem for one that is no ``host:port`` list, lest it be taken for the name of a directory, with the
    two messages of org.apache.kafka.tools.ToolsUtils#validateBootstrapServer, and Refusal for a port that is none.
    """
    from pykafka_store.errors import InvalidConfigError
    from pykafka_store.open import bootstrap_servers, is_cluster_address

    if not bootstrap_server.strip():
        raise UsageProblem("Error while validating the bootstrap address\n")
    if not is_cluster_address(bootstrap_server):
        raise UsageProblem("Please provide valid host:port like host1:9091,host2:9092\n")
    try:
        return bootstrap_servers(bootstrap_server)
    except InvalidConfigError as error:
        raise Refusal(str(error)) from None


def _without_schemes(addresses: str) -> list[str]:
    """The addresses of a list, each without the ``scheme://`` that Java's clients drop."""
    return [part.strip().rpartition("://")[2] for part in addresses.rstrip(",").split(",")]
