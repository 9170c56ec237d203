"""COMPAT.md covers every option of every tool: done, differs, left out, or ours.

What needs no word stands in one line a tool, "As in Kafka: ...", which is derived from the commands:
``pytest --accept tests/test_compat.py`` writes it. The options that all tools share have their rows once.
"""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from pykafka_cli import KAFKA_TOOLS
from pykafka_cli.main import load_command

COMPAT = Path(__file__).resolve().parents[1] / "COMPAT.md"
AS_IN_KAFKA = "As in Kafka: "


def intro_and_sections() -> tuple[str, dict[str, str]]:
    parts = re.split(r"^## (.+)$", COMPAT.read_text(), flags=re.MULTILINE)
    return parts[0], dict(zip(parts[1::2], parts[2::2], strict=True))


def rows(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("| `--")]


def options_in(rows: list[str]) -> set[str]:
    return {option for row in rows for option in re.findall(r"`(--[a-z.-]+)", row.split("|")[1])}


def declared(name: str) -> list[str]:
    """The long options of a tool and of its subcommands, in the order of its help."""
    command = load_command(name)
    commands = [command, *(command.commands.values() if isinstance(command, click.Group) else ())]
    parameters = [parameter for each in commands for parameter in each.params if isinstance(parameter, click.Option)]
    return list(dict.fromkeys(option for each in parameters for option in each.opts if option.startswith("--")))


def as_in_kafka(name: str) -> str:
    """The line of a tool's section: the options that have no row, there or among those of all tools."""
    intro, sections = intro_and_sections()
    told = options_in(rows(intro)) | options_in(rows(sections[f"kafka-{name}"]))
    return AS_IN_KAFKA + ", ".join(f"`{option}`" for option in declared(name) if option not in told) + "."


def test_the_shared_options_are_told_once() -> None:
    shared = options_in(rows(intro_and_sections()[0]))
    assert shared == {"--bootstrap-server", "--data-dir", "--command-config", "--help", "--version"}
    assert shared <= {option for name in KAFKA_TOOLS for option in declared(name)}


@pytest.mark.parametrize("name", KAFKA_TOOLS)
def test_every_option_is_told(name: str, pytestconfig: pytest.Config) -> None:
    section = intro_and_sections()[1][f"kafka-{name}"]
    expected = as_in_kafka(name)
    lines = [line for line in section.splitlines() if line.startswith(AS_IN_KAFKA)]
    if pytestconfig.getoption("--accept"):
        if lines:
            COMPAT.write_text(COMPAT.read_text().replace(section, section.replace(lines[0], expected)))
        return
    assert lines == ([expected] if expected != f"{AS_IN_KAFKA}." else [])


@pytest.mark.parametrize("name", KAFKA_TOOLS)
def test_no_row_is_of_an_option_that_is_not_there(name: str) -> None:
    assert options_in(rows(intro_and_sections()[1][f"kafka-{name}"])) - set(declared(name)) == set()


@pytest.mark.parametrize("name", KAFKA_TOOLS)
def test_every_row_says_how_it_stands_and_has_something_to_say(name: str) -> None:
    intro, sections = intro_and_sections()
    for line in rows(intro) + rows(sections[f"kafka-{name}"]):
        _, _, state, remark, _ = line.replace("\\|", "/").split("|", 4)
        assert state.strip() in {"done", "differs", "left out", "ours"}
        assert remark.strip(), f"{line}: what needs no word is in the line {AS_IN_KAFKA!r}"
