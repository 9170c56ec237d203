"""Signals that strike ``pykafka sandbox``; what it does without them is in tests/scripts/comfort/sandbox."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.support.console import Tool

WAITING = "trap 'echo told; exit {code}' {signal}; echo ready; while :; do sleep 0.02; done"


def sandbox(folder: Path, *command: str) -> Tool:
    return Tool(folder / "data", "pykafka", "sandbox", "--dir", str(folder / "here"), "--", *command)


@pytest.mark.parametrize(("code", "kept"), [(0, False), (3, True)])
def test_sigterm_is_passed_on_and_the_command_decides(code: int, kept: bool, tmp_path: Path) -> None:
    command = WAITING.format(code=code, signal="TERM")
    with Tool(
        tmp_path / "data", "pykafka", "sandbox", "--dir", str(tmp_path / "here"), "--", "sh", "-c", command
    ) as tool:
        assert tool.hear() == b"ready\n"
        tool.interrupt(signal.SIGTERM)
        ended, out, err = tool.end()
    assert (ended, out) == (code, b"told\n")
    assert bool(list((tmp_path / "here").iterdir())) is kept
    assert (b"the directory is kept" in err) is kept


def test_ctrl_c_is_the_commands_affair(tmp_path: Path) -> None:
    """A terminal sends it to both; here only the sandbox gets it, and does not leave the command alone."""
    command = WAITING.format(code=5, signal="TERM")
    with Tool(
        tmp_path / "data", "pykafka", "sandbox", "--dir", str(tmp_path / "here"), "--", "sh", "-c", command
    ) as tool:
        assert tool.hear() == b"ready\n"
        tool.interrupt(signal.SIGINT)
        tool.interrupt(signal.SIGTERM)
        assert tool.end()[:2] == (5, b"told\n")


def test_what_is_no_program_is_told(tmp_path: Path) -> None:
    file = tmp_path / "text"
    file.write_bytes(b"\x7fELF no program")
    file.chmod(0o755)
    with sandbox(tmp_path, str(file)) as tool:
        code, out, err = tool.end()
    assert (code, out) == (126, b"")
    assert f"sandbox: {file}: Exec format error".encode() in err
