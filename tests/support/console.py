"""The console tools under test: records in and out of a data directory, and the tools as live processes."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from pykafka_cli import main
from pykafka_cli.env import Env
from pykafka_store.api import Cluster, Consumer
from pykafka_store.model import OffsetAt, Records, TopicPartition
from pykafka_store.open import open_cluster
from tests.support.in_process import NOW, Done, FakeClusterEnv

PATIENCE = 60.0
"""Seconds until a test that waits for something gives up."""


def produce(
    directory: Path,
    text: bytes | str,
    *arguments: str,
    environ: Mapping[str, str] | None = None,
    cluster: Cluster | None = None,
) -> Done:
    """kafka-console-producer in this process, with ``text`` as its input."""
    directory.mkdir(exist_ok=True)
    path = directory.with_name(f"{directory.name}.stdin")
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with path.open("rb") as stdin:
        streams = io.BytesIO(), io.StringIO()
        world = FakeClusterEnv if cluster is not None else Env
        env = world(
            stdin=stdin,
            stdout=streams[0],
            stderr=streams[1],
            environ={"PYKAFKA_DATA_DIR": str(directory), **(environ or {})},
            clock=lambda: NOW,
        )
        if isinstance(env, FakeClusterEnv) and cluster is not None:
            env.cluster = cluster
        load = lambda: main.load_command("console-producer")  # noqa: E731
        code = main.run(load, "kafka-console-producer", list(arguments), env)
    return Done(streams[0].getvalue().decode(), streams[1].getvalue(), code)


def stored(directory: Path, topic: str, partitions: Sequence[int] = (0,)) -> list[Records]:
    """All that the partitions hold, in their order."""
    with open_cluster(directory, create=False, read_only=True) as cluster, cluster.consumer() as consumer:
        found = []
        for number in partitions:
            partition = TopicPartition(topic, number)
            consumer.assign({partition: OffsetAt.EARLIEST})
            (end,) = consumer.end_offsets([partition]).values()
            while consumer.position(partition) < end:
                found += consumer.poll(PATIENCE)
        return found


def values(directory: Path, topic: str, partitions: Sequence[int] = (0,)) -> list[bytes | None]:
    return [value for run in stored(directory, topic, partitions) for value in run.values]


def wait_for(consumer: Consumer, count: int) -> list[bytes | None]:
    """The next ``count`` values that the consumer gets; they must come."""
    found: list[bytes | None] = []
    while len(found) < count:
        runs = consumer.poll(PATIENCE)
        assert runs, f"{count} records were expected, and {found} came"
        found += [value for run in runs for value in run.values]
    return found


class Tool:
    """One of the tools as a live process over a data directory."""

    def __init__(self, directory: Path, name: str, *arguments: str, stdin: int | None = subprocess.PIPE) -> None:
        self.process = subprocess.Popen(
            [os.path.join(sysconfig.get_path("scripts"), name), *arguments],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYKAFKA_DATA_DIR": str(directory)},
            bufsize=0,
        )

    def __enter__(self) -> Tool:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()

    def say(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)

    def hear(self) -> bytes:
        """The next line of its output."""
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def interrupt(self, number: signal.Signals = signal.SIGINT) -> None:
        self.process.send_signal(number)

    def end(self) -> tuple[int, bytes, bytes]:
        """Close its input, wait, and return its exit code, the rest of its output, and its stderr."""
        out, err = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, out, err


_MEASURED = """
import sys
from pykafka_cli import main
from pykafka_cli.env import Env
main.run(lambda: main.load_command(sys.argv[1]), sys.argv[1], sys.argv[2:], Env.of_process())
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(peak.split()[1], file=sys.stderr)
"""


def measured(directory: Path, command: str, *arguments: str, stdin: BinaryIO | None = None) -> tuple[str, int]:
    """Run a command in a process of its own: what it wrote to stderr, and the most memory it held, in KiB (Linux only).

    The process asks for itself: what its parent is told of it would include the parent's own memory before exec.
    """
    done = subprocess.run(
        [sys.executable, "-c", _MEASURED, command, *arguments],
        stdin=stdin or subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYKAFKA_DATA_DIR": str(directory)},
        timeout=PATIENCE * 2,
    )
    told, _, peak = done.stderr.decode().rstrip("\n").rpartition("\n")
    return f"{told}\n", int(peak)
