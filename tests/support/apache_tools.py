"""Apache Kafka's tools one after another in one Java machine (``Harness.java``).

Starting Java takes a second of a processor, and most command lines need a tenth of that: a test that compares dozens of
them with Apache's runs them here. What a program alone can show (signals, live output) needs ``apache.start``.
"""

from __future__ import annotations

import base64
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support import apache
from tests.support.packages import java_classes

HARNESS = Path(__file__).resolve().parent / "Harness.java"

_OF_THE_CONTROLLER = {"kafka-acls", "kafka-client-metrics", "kafka-configs"}
"""Those that show what the controller of a cluster keeps."""


class Tools:
    """Apache's tools, talking to the cluster at ``address``; without one each command line says to which, if to any.
    Names of files are those of the folder ``cwd``.
    """

    def __init__(self, address: str | None = None, *, cwd: Path | None = None) -> None:
        self._to = [] if address is None else ["--bootstrap-server", address]
        self._cwd = cwd
        self._changed = False

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            apache.java("Harness", classes=java_classes(HARNESS)),
            cwd=self._cwd,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def run(self, tool: str, *args: str, input: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """As ``Broker.run``: one of the tools to its end, and what it wrote.

        What a look right after a change shows is what it shows in the end: a broker learns of a change later than the
        controller that has answered, and no tool of Kafka's waits for that. It is looked for until it stays what it is.
        """
        only_looks = tool in _OF_THE_CONTROLLER and not {"--describe", "--list"}.isdisjoint(args)
        done = self._run(tool, args, input)
        for _ in range(20 if only_looks and self._changed else 0):
            time.sleep(0.3)  # not for something: to see whether anything still comes
            before, done = done, self._run(tool, args, input)
            if _words(before) == _words(done):
                break
        self._changed = not only_looks
        return done

    def _run(self, tool: str, args: tuple[str, ...], input: bytes) -> subprocess.CompletedProcess[bytes]:
        words = [apache.MAIN_CLASSES[tool], *self._to, *args]
        request = [input, *(word.encode() for word in words)]
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(" ".join("=" + base64.b64encode(word).decode() for word in request) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline().split()
        assert len(answer) == 3, f"Apache's {tool} {' '.join(args)} gave no answer"
        stdout, stderr = (base64.b64decode(part[1:]) for part in answer[:2])
        return subprocess.CompletedProcess([tool, *args], int(answer[2]), stdout, stderr)


def _words(done: subprocess.CompletedProcess[bytes]) -> tuple[list[bytes], int]:
    """What is compared of two looks: rows come in the order of a hash table, which may change from run to run."""
    return sorted((done.stdout + done.stderr).replace(b",", b" ").split()), done.returncode
