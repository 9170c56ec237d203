"""What the README shows of a terminal is what a terminal shows, followed from top to bottom in one directory."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

README = (Path(__file__).resolve().parent.parent / "README.md").read_text("utf-8")
_ID = re.compile(r"TopicId: [\w-]{22}", re.ASCII)
PATIENCE = 60

NOT_FOLLOWED = (
    "python3 -m venv",  # .ci/run newcomer does that
    "tail -f",  # never ends
    "kafka1:9092",  # a cluster
    "python examples/",  # tests/test_stories.py does that
    "postgresql://",  # a server, and sinks that never end; tests/sink has its own
    "_COMPLETE",  # for a shell that a person types in
)
"""Words of the blocks of commands that a test can't follow here."""


class Shown(NamedTuple):
    """A command, and what the README says that it prints; None where it says nothing of it."""

    command: str
    output: str | None
    shell: str = ""
    """The shell that it goes on in, where there are several; else the one that all the others are in."""


def steps() -> Iterator[Shown]:
    """Everything that the README has a reader type, in order."""
    for kind, block in re.findall(r"^```(console|sh)\n(.*?)^```", README, re.MULTILINE | re.DOTALL):
        if any(words in block for words in NOT_FOLLOWED):
            continue
        if kind == "sh":
            yield Shown(block, None)
            continue
        for shell, text in re.findall(
            r"^(\w*)\$ (.*?)(?=^\w*\$ |\Z)", block.replace("\n> ", "\n"), re.MULTILINE | re.DOTALL
        ):
            yield _step(text)._replace(shell=shell)


def _step(text: str) -> Shown:
    """A command goes on in the next line behind a backslash or a pipe."""
    command, _, output = text.partition("\n")
    while command.endswith(("\\", "|")):
        more, _, output = output.partition("\n")
        command += "\n" + more
    return Shown(command, output)


class Reader:
    """Who follows the README: one shell whose variables last, and others in which something goes on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._others = ExitStack()
        self._running: list[tuple[subprocess.Popen[str], str]] = []
        self._environ = {
            "PATH": os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]]),
            "HOME": str(folder),
            "LC_ALL": "C.UTF-8",
            "PYKAFKA_DATA_DIR": "./kafka",
        }

    def types(self, command: str) -> subprocess.CompletedProcess[str]:
        """A command in the first shell. What it exports, the next one finds."""
        script = f"[ ! -e .exported ] || . ./.exported\n{command}\ncode=$?; export -p > .exported; exit $code"
        return subprocess.run(
            ["bash", "-c", script], cwd=self.folder, env=self._environ, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip

    def starts(self, command: str, output: str) -> None:
        """A command in a shell of its own, which prints that by the time the reader comes to the end of the session."""
        process = subprocess.Popen(
            ["bash", "-c", f"exec {command}"], cwd=self.folder, env=self._environ, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        self._others.callback(process.kill)
        self._running.append((process, output))

    def waits_for_members(self, group: str) -> None:
        """Until each of the other shells has its part of the group's partitions, as a person would see."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            seen = self.types(f"kafka-consumer-groups --describe --members --group {group} 2> /dev/null").stdout
            rows = [line.split() for line in seen.splitlines() if line.startswith(group)]
            if len(rows) == len(self._running) and all(row[-1] != "0" for row in rows):
                return
        pytest.fail(f"no {len(self._running)} members of {group} in {PATIENCE} s:\n{seen}")

    def ends_the_others(self) -> None:
        """Which of them has which partition is chance, so what they print is compared together."""
        running, self._running = self._running, []
        for process, _ in running:
            process.terminate()
        printed = [line for process, _ in running for line in process.communicate(timeout=PATIENCE)[0].splitlines()]
        assert sorted(printed) == sorted(line for _, output in running for line in output.splitlines() if line)

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self._others.close()


def test_the_terminal_sessions(tmp_path: Path) -> None:
    disks = tmp_path / "mnt"
    for name in ("disk1", "disk2"):
        (disks / name).mkdir(parents=True)
    followed = list(steps())
    assert len(followed) > 24
    with Reader(tmp_path) as reader:
        for command, expected, shell in followed:
            if shell:
                assert expected is not None
                reader.starts(command, expected)
                continue
            if "kafka-console-producer --topic jobs" in command:
                reader.waits_for_members("workers")
            if "kafka-consumer-groups --describe --group workers" in command:
                # A person types it a moment later: by then all is read, and what is read is committed.
                reader.types(f"pykafka wait --topic jobs --group workers --lag 0 --timeout {PATIENCE}")
            done = reader.types(command.replace("/mnt/", f"{disks}/"))
            assert done.returncode == 0, f"{command}\n{done.stdout}"
            if expected is None:
                continue
            printed, shown = (_of_any_run(text.replace(f"{disks}/", "/mnt/")) for text in (done.stdout, expected))
            # Two programs of a pipe write at once: which comes first is nobody's promise. Nor is which worker has what.
            order = sorted if "|" in command or "--group workers" in command else list
            assert order(printed.splitlines()) == order(shown.rstrip("\n").splitlines()), command
            if "--describe --group workers" in command:
                reader.ends_the_others()


def _of_any_run(text: str) -> str:
    """Without ids of topics and members."""
    return re.sub(r"console-consumer-[0-9a-f-]{36}", "MEMBER", _ID.sub("TopicId: ID", text))


def test_the_lines_of_python(tmp_path: Path) -> None:
    block = r"^```python\n((?:(?!```)[^\n]*\n)*)^```\n"
    examples = re.findall(block + r"\n^```text\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    others = [code for code in re.findall(block, README, re.MULTILINE) if code not in dict(examples)]
    assert len(examples) == 1
    assert [code.partition("(")[0] for code in others] == ["def test_orders_are_billed"]  # for the plugin of pytest
    compile(others[0], "README.md", "exec")
    for code, expected in examples:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60
        )
        assert (done.stdout, done.stderr, done.returncode) == (expected, "", 0)


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#]+)\)", README))))
def test_a_link_leads_somewhere(link: str) -> None:
    assert (Path(__file__).resolve().parent.parent / link).exists()


def test_the_steps_of_a_workflow_do_what_they_say(tmp_path: Path) -> None:
    """Each ``run`` of the README's workflow, as GitHub's runner has it: a ``bash -e`` a step, in one folder."""
    match = re.search(r"<!-- steps of a workflow -->\n```yaml\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    assert match is not None
    runs = [
        step.removeprefix("run: ").removeprefix("|\n")
        for step in re.split(r"^- ", match[1], flags=re.MULTILINE)
        if step
    ]
    assert len(runs) == 2
    path = os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]])
    environ = {"PATH": path, "HOME": str(tmp_path), "TMPDIR": str(tmp_path), "LC_ALL": "C.UTF-8"}
    for script in runs:
        words = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
        done = subprocess.run(words, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=PATIENCE)
        assert done.returncode == 0, done.stderr
    assert done.stdout == "orders: 2 records\ntea\nmilk\n"
    assert [each.name for each in tmp_path.iterdir()] == ["seed.jsonl"]
