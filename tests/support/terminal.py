"""A program whose stderr is a terminal, and what is said on it.

A look at a terminal finds as much as has been moved from its writer's end by then, and no more: one look is never all.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence

COLUMNS = 60


def start(command: Sequence[str], **environ: str) -> tuple[subprocess.Popen[bytes], int]:
    """A running program whose stderr is a terminal of COLUMNS columns, and the terminal's other end."""
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        command,
        env={**os.environ, **environ, "COLUMNS": str(COLUMNS)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=theirs,
    )
    os.close(theirs)
    return process, ours


def run(command: Sequence[str], **environ: str) -> tuple[int, bytes, str]:
    """Runs a program to its end: its exit code, its stdout, and all that it said on the terminal."""
    process, terminal = start(command, **environ)
    said = hear_all(terminal)
    out, _ = process.communicate()
    return process.returncode, out, said


def hear(terminal: int) -> bytes:
    """A piece of what is said, of any size; nothing once all have closed the terminal."""
    try:
        return os.read(terminal, 65536)
    except OSError:  # as Linux says that the other end is closed
        return b""


def hear_until(terminal: int, expected: str) -> None:
    said = b""
    while expected.encode() not in said:
        more = hear(terminal)
        assert more, said
        said += more


def hear_all(terminal: int) -> str:
    """What is said until all have closed the terminal, whose other end is closed then."""
    said = b""
    while more := hear(terminal):
        said += more
    os.close(terminal)
    return said.decode()


def line(text: str) -> str:
    """What one line of progress writes: over the one before it, the text and blanks up to the last column but one."""
    return f"\r{text:<{COLUMNS - 1}}"


GONE = line("") + "\r"
"""What is written at the end, so that nothing of the progress is left."""
