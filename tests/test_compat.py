"""COMPAT.md covers every option of every tool: done, differs, left out, or ours."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from pykafka_cli import KAFKA_TOOLS
from pykafka_cli.main import load_command

COMPAT = Path(__file__).resolve().parents[1] / "COMPAT.md"


def section(name: str) -> str:
    parts = re.split(r"^## (.+)$", COMPAT.read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True)).get(name, "")


@pytest.mark.parametrize("name", KAFKA_TOOLS)
def test_every_option_has_a_row(name: str) -> None:
    rows = [line for line in section(f"kafka-{name}").splitlines() if line.startswith("| `--")]
    listed = {option for row in rows for option in re.findall(r"`(--[a-z.-]+)", row.split("|")[1])}
    command = load_command(name)
    commands = [command, *(command.commands.values() if isinstance(command, click.Group) else ())]
    declared = {
        option
        for each in commands
        for parameter in each.params
        if isinstance(parameter, click.Option)
        for option in parameter.opts
        if option.startswith("--")
    }
    assert declared - listed == set()
    assert listed - declared == set()


@pytest.mark.parametrize("name", KAFKA_TOOLS)
def test_every_row_says_how_it_stands(name: str) -> None:
    for line in section(f"kafka-{name}").splitlines():
        if line.startswith("| `--"):
            _, _, state, remark, _ = line.replace("\\|", "/").split("|", 4)
            assert state.strip() in {"done", "differs", "left out", "ours"}
            assert state.strip() == "done" or remark.strip(), line
