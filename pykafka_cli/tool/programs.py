"""The tools' names as files of a directory: as a distribution of Apache Kafka has them in its bin/, with ``.sh``."""

from __future__ import annotations

import os
import shlex
import sys

from pykafka_cli import KAFKA_TOOLS
from pykafka_cli.errors import CommandFailure
from pykafka_cli.tool.absent import INSTEAD_OF_SCRIPTS

MARK = "# Written by pykafka link."
"""By this line a wrapper of ours is known: nothing else is overwritten."""


def write_programs(directory: str, *, bare_names: bool = False) -> list[str]:
    """Write them all, and return their paths. With ``bare_names`` those without ``.sh`` too, and ``pykafka``.

    Each file starts this installation of pykafka. Raises CommandFailure for a file that is there and not ours.
    """
    os.makedirs(directory, exist_ok=True)
    # -P: a click.py in the directory where the script runs must not be taken for click
    start = f"exec {shlex.quote(sys.executable)} -P -m pykafka_cli"
    commands = {f"kafka-{name}.sh": f'{start} kafka-{name} "$@"' for name in KAFKA_TOOLS}
    if bare_names:
        commands |= {name.removesuffix(".sh"): command for name, command in commands.items()}
        commands["pykafka"] = f'{start} "$@"'
    for name, instead in INSTEAD_OF_SCRIPTS.items():
        commands[f"{name}.sh"] = f"echo {shlex.quote(f'{name} is not here: {instead}')} >&2; exit 1"
    paths = {os.path.join(directory, name): command for name, command in commands.items()}
    for path in paths:
        if os.path.lexists(path) and not _is_ours(path):
            raise CommandFailure(f"{path} exists and was not written by pykafka link: remove it, or choose another DIR")
    for path, command in paths.items():
        _write_program(path, f"#!/bin/sh\n{MARK}\n{command}\n")
    return list(paths)


def _is_ours(path: str) -> bool:
    with open(path, "rb") as file:
        return MARK.encode() in file.read(200)


def _write_program(path: str, text: str) -> None:
    """Write beside and rename, so that a script that is running never sees half a file."""
    aside = f"{path}.{os.getpid()}"
    with open(aside, "x") as file:  # a link of this name that somebody has planted is an error
        file.write(text)
    os.chmod(aside, 0o755)  # noqa: S103 - a program is for everybody to run
    os.replace(aside, path)
