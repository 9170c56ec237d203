"""The golden scripts print what they say (tests/scripts/README.md)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import script


@pytest.mark.parametrize("path", script.all_scripts(), ids=lambda path: str(path.relative_to(script.SCRIPTS)))
def test_script(path: Path, tmp_path: Path, pytestconfig: pytest.Config) -> None:
    script.check(path, tmp_path, accept=pytestconfig.getoption("--accept"))


def test_a_block_without_its_separator_is_refused() -> None:
    with pytest.raises(ValueError, match="without a line of three dashes"):
        script.parse("echo a\n---\na\n\necho b\n")


def test_what_is_printed_is_shown_by_name(tmp_path: Path) -> None:
    """One block that prints each thing that is replaced, and what stands for it."""
    commands = r"""
printf '%s\n' "$PYKAFKA_DATA_DIR/x" "$PWD" "kafka-console-producer" "id 0bzLbFzJTymXwNJW9PYFoQ"
date +"at %s000 crc: 12"; echo 'at 1700000000000 crc: 12'
echo 'trailing '; echo; echo $'trailing\t'; printf 'Usage: no help on stdout'
printf 'bad\nUsage: x [OPTIONS]\n\nOptions:\n  -x\n' >&2; exit 3
""".strip()
    (block,) = script.run([script.Block(commands, "")], tmp_path)
    assert block.expected.splitlines() == [
        "<dir>/x",
        "<cwd>",
        "kafka-console-producer",
        "id <uuid>",
        "at <ts> crc: <crc>",
        "at 1700000000000 crc: 12",
        "trailing<sp>",
        "<empty>",
        "trailing<tab>",
        "Usage: no help on stdout<no newline>",
        "2> bad",
        "2> <help>",
        "exit 3",
    ]
