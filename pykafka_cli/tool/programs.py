"""The tools' names as files of a directory: as a distribution of Apache Kafka has them in its bin/."""

from __future__ import annotations

import os
import shlex
import sys

from pykafka_cli import KAFKA_TOOLS
from pykafka_cli.errors import CommandFailure
from pykafka_cli.tool.absent import INSTEAD_OF_SCRIPTS
from pykafka_cli.tool.old_classes import OLD_CLASSES, OLD_SCRIPTS, refusal

MARK = "# Written by pykafka link."
"""By this line a wrapper of ours is known: nothing else is overwritten."""


ENTRY_POINT = "from pykafka_cli.start import"
"""By this line a program that pip has installed is known: it does what a wrapper of that name would, and stays."""


def write_programs(directory: str, *, with_pykafka: bool = False) -> list[str]:
    """Write them all, and return their paths: with ``.sh``, as Apache Kafka's own distribution names them, and without,
    as others do. With ``with_pykafka`` that program, too.

    Each file starts this installation of pykafka. Raises CommandFailure for a file that is there and not ours.
    """
    os.makedirs(directory, exist_ok=True)
    commands = _commands()
    commands |= {f"{name}.sh": command for name, command in commands.items()}
    if with_pykafka:
        commands["pykafka"] = f'{_start()} "$@"'
    paths = {os.path.join(directory, name): command for name, command in commands.items()}
    there = {path: _head(path) for path in paths if os.path.lexists(path)}
    for path, head in there.items():
        if MARK not in head and ENTRY_POINT not in head:
            raise CommandFailure(f"{path} exists and was not written by pykafka link: remove it, or choose another DIR")
    for path, command in paths.items():
        if ENTRY_POINT not in there.get(path, ""):
            _write_program(path, f"#!/bin/sh\n{MARK}\n{command}\n")
    return list(paths)


def _start() -> str:
    # -P: a click.py in the directory where the script runs must not be taken for click
    return f"exec {shlex.quote(sys.executable)} -P -m pykafka_cli"


def _commands() -> dict[str, str]:
    """Name without ``.sh`` -> the line of a shell that it is."""
    commands = {f"kafka-{name}": f'{_start()} kafka-{name} "$@"' for name in KAFKA_TOOLS}
    commands["kafka-server-start"] = f"{_LOG_DIR}\n{commands['kafka-server-start']}"
    for name, instead in INSTEAD_OF_SCRIPTS.items():
        commands[name] = _refusing(f"{name} is not here: {instead}")
    for name, class_name in OLD_SCRIPTS.items():
        runs = f'[ "$PYKAFKA_OLD_OPTIONS" != 1 ] || {_start()} kafka-run-class {class_name} "$@"'
        commands[name] = f"{runs}\n{_refusing(refusal(name, OLD_CLASSES[class_name]))}"
    return commands


_LOG_DIR = """\
base=$(dirname "$0")/..
if [ -z "$LOG_DIR" ] && { [ -d "$base/config" ] || [ -d "$base/logs" ]; }; then
  LOG_DIR=$base/logs
  export LOG_DIR
fi"""
"""Where the programs lie in a distribution's bin/, a server's own log is in the logs/ beside it, as with Kafka's."""


def _refusing(text: str) -> str:
    return f"echo {shlex.quote(text)} >&2; exit 1"


def _head(path: str) -> str:
    with open(path, "rb") as file:
        return file.read(1000).decode("utf-8", "replace")


def _write_program(path: str, text: str) -> None:
    """Write beside and rename, so that a script that is running never sees half a file."""
    aside = f"{path}.{os.getpid()}"
    with open(aside, "x") as file:  # a link of this name that somebody has planted is an error
        file.write(text)
    os.chmod(aside, 0o755)  # noqa: S103 - a program is for everybody to run
    os.replace(aside, path)
