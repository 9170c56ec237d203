"""What the README shows of a terminal is what a terminal shows."""

from __future__ import annotations

import os
import re
import subprocess
import sysconfig
from pathlib import Path
from typing import NamedTuple

import pytest

README = (Path(__file__).resolve().parent.parent / "README.md").read_text("utf-8")
_ID = re.compile(r"TopicId: [\w-]{22}", re.ASCII)


class Shown(NamedTuple):
    """A command, and what the README says that it prints."""

    command: str
    output: str


def sessions() -> list[list[Shown]]:
    """The README's terminal sessions in one shell; the one in two shells is tests/cli/test_console_groups.py's."""
    found = []
    for block in re.findall(r"^```console\n(.*?)^```", README, re.MULTILINE | re.DOTALL):
        if block.startswith("$ "):
            steps = [step.replace("\n> ", "\n") for step in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]]
            found.append([_step(step) for step in steps])
    return found


def _step(text: str) -> Shown:
    """A command goes on in the next line behind a backslash or a pipe."""
    command, _, output = text.partition("\n")
    while command.endswith(("\\", "|")):
        more, _, output = output.partition("\n")
        command += "\n" + more
    return Shown(command, output)


def test_the_terminal_sessions(tmp_path: Path) -> None:
    disks = tmp_path / "mnt"
    for name in ("disk1", "disk2"):
        (disks / name).mkdir(parents=True)
    environ = {
        "PATH": os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]]),
        "HOME": str(tmp_path),
        "LC_ALL": "C.UTF-8",
        "PYKAFKA_DATA_DIR": "./kafka",
    }
    steps = [step for session in sessions() for step in session]
    assert len(steps) > 12
    for command, expected in steps:
        done = subprocess.run(
            ["bash", "-c", command.replace("/mnt/", f"{disks}/")],
            cwd=tmp_path,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        printed = _ID.sub("TopicId: ID", done.stdout.replace(f"{disks}/", "/mnt/"))
        # Two programs of a pipe write at once: which comes first is nobody's promise.
        order = sorted if "|" in command else list
        assert order(printed.splitlines()) == order(_ID.sub("TopicId: ID", expected).splitlines()), command
        assert done.returncode == 0, command


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#]+)\)", README))))
def test_a_link_leads_somewhere(link: str) -> None:
    assert (Path(__file__).resolve().parent.parent / link).exists()
