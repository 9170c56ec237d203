"""Golden scripts: shell commands, ``---``, and what they print. The format is described in tests/scripts/README.md."""

from __future__ import annotations

import os
import re
import subprocess
import sysconfig
import time
from collections.abc import Callable
from difflib import unified_diff
from pathlib import Path
from typing import NamedTuple

SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"
DATA = SCRIPTS.parent / "data"
BLOCK_TIMEOUT = 60.0
SLACK_MS = 2_000
"""How far the clock of what is printed may be from ours."""


class Block(NamedTuple):
    """Some commands and the text below their ``---``."""

    commands: str
    expected: str

    def __str__(self) -> str:
        return f"{self.commands}\n---\n{self.expected}"


def all_scripts() -> list[Path]:
    """Every script, sorted by path."""
    return sorted(path for path in SCRIPTS.rglob("*") if path.is_file() and path.name != "README.md")


_KAFKA_UUID = re.compile(r"(?<![\w-])(?=[\w-]*[A-Z])(?!\w*Exception\b)[\w-]{22}(?![\w-])", re.ASCII)
"""22 characters of base64url: with a capital, unlike kafka-console-producer, and no name of an error."""


def parse(text: str) -> list[Block]:
    """The blocks of a script. Raises ValueError for text that is no script, so that no block is skipped unseen."""
    blocks = []
    for chunk in re.split(r"\n\n+", text.strip("\n")):
        commands, separator, expected = f"{chunk}\n".partition("\n---\n")
        if not separator:
            raise ValueError(f"a block without a line of three dashes: {chunk.splitlines()[0]!r}")
        if "\n---\n" in f"\n{expected}":
            raise ValueError(f"a block with two lines of three dashes: {chunk.splitlines()[0]!r}")
        blocks.append(Block(commands, expected))
    return blocks


def run(blocks: list[Block], directory: Path) -> list[Block]:
    """Run the blocks in order in a new world below ``directory``, and return them with what they really printed."""
    started = time.time()
    cwd, data_dir = directory / "cwd", directory / "data"
    cwd.mkdir()
    environ = {
        "PATH": os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]]),
        "HOME": str(cwd),
        "TMPDIR": str(directory),
        "LC_ALL": "C.UTF-8",
        "COLUMNS": "80",
        "PYKAFKA_DATA_DIR": str(data_dir),
        "TEST_DATA": str(DATA),
    }
    done = []
    for block in blocks:
        finished = subprocess.run(
            ["bash", "-c", block.commands],
            cwd=cwd,
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=BLOCK_TIMEOUT,
            check=False,
        )
        names = {str(data_dir): "<dir>", str(cwd): "<cwd>", str(DATA): "<data>"}
        shown = _shown(_text(finished.stdout, names, started))
        shown += _shown(_without_help(_text(finished.stderr, names, started)), prefix="2> ")
        if finished.returncode != 0:
            shown += f"exit {finished.returncode}\n"
        done.append(Block(block.commands, shown))
    return done


def render(blocks: list[Block]) -> str:
    """The text of a script."""
    return "\n".join(str(block) for block in blocks)


def check(path: Path, directory: Path, *, accept: bool) -> None:
    """Run a script and compare; with ``accept``, write what it printed into the script instead."""
    expected = parse(path.read_text("utf-8"))
    actual = run(expected, directory)
    if accept:
        path.write_text(render(actual), "utf-8")
        return
    for want, have in zip(expected, actual, strict=True):
        difference = "\n".join(
            unified_diff(want.expected.split("\n"), have.expected.split("\n"), "expected", "printed")
        )
        assert have.expected == want.expected, f"{path.relative_to(SCRIPTS)}:\n{want.commands}\n{difference}"


def _text(output: bytes, names: dict[str, str], started: float) -> str:
    text = output.decode("utf-8", "backslashreplace")
    for path, name in names.items():
        text = text.replace(path, name)
    return "".join(_normalised(line, started) for line in text.splitlines(keepends=True))


def _normalised(line: str, started: float) -> str:
    def if_of_this_run(match: re.Match[str]) -> str:
        first, last = started * 1000 - SLACK_MS, time.time() * 1000 + SLACK_MS
        return "<ts>" if first <= int(match[0]) <= last else match[0]

    line = _KAFKA_UUID.sub("<uuid>", line)
    dated = re.sub(r"(?<![\w.])[0-9]{13}(?![\w.])", if_of_this_run, line)
    dated = re.sub(r"\b20[0-9]{2}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2},[0-9]{3}\b", "<ts>", dated)
    return dated if dated == line else re.sub(r"\bcrc: [0-9]+", "crc: <crc>", dated)


def _without_help(text: str) -> str:
    return re.sub(r"^Usage: .*", "<help>\n", text, count=1, flags=re.MULTILINE | re.DOTALL)


def _shown(text: str, prefix: str = "") -> str:
    """Output as it is written into a script: nothing of it can be mistaken for a block's end, or not be seen."""
    if not text:
        return ""
    lines = text.split("\n")
    ending = "" if lines[-1] == "" else "<no newline>"
    if not ending:
        lines.pop()
    visible: Callable[[re.Match[str]], str] = lambda match: match[0].replace(" ", "<sp>").replace("\t", "<tab>")  # noqa: E731
    shown = [prefix + (re.sub(r"[ \t]+$", visible, line) or "<empty>") for line in lines]
    shown[-1] += ending
    return "".join(f"{line}\n" for line in shown)
