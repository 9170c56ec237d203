"""``pykafka link``: the names with ``.sh`` that Apache Kafka's own distribution gives its tools."""

from __future__ import annotations

import os
import shlex
import sys

import click

from pykafka_cli import KAFKA_TOOLS
from pykafka_cli.env import Env
from pykafka_cli.errors import CommandFailure
from pykafka_cli.options import examples
from pykafka_cli.params import DIRECTORY

MARK = "# Written by pykafka link."
"""By this line a wrapper of ours is known: nothing else is overwritten."""


@click.command(
    "link",
    short_help="Write kafka-topics.sh and the rest into DIR.",
    epilog=examples("pykafka link ~/kafka/bin", "PATH=~/kafka/bin:$PATH ./script-that-calls-kafka-topics.sh"),
)
@click.argument("directory", metavar="DIR", type=DIRECTORY)
@click.pass_obj
def link(env: Env, directory: str) -> None:
    """Write kafka-topics.sh and the other tools' names with .sh into DIR.

    For scripts that call the tools as Apache Kafka's distribution names them. Each file starts this installation of
    pykafka. A file that pykafka did not write is never replaced.
    """
    os.makedirs(directory, exist_ok=True)
    wrappers = {name: os.path.join(directory, f"kafka-{name}.sh") for name in KAFKA_TOOLS}
    for path in wrappers.values():
        if os.path.lexists(path) and not _is_ours(path):
            raise CommandFailure(f"{path} exists and was not written by pykafka link: remove it, or choose another DIR")
    for name, path in wrappers.items():
        # -P: a click.py in the directory where the script runs must not be taken for click
        command = f"exec {shlex.quote(sys.executable)} -P -m pykafka_cli {name}"
        _write_program(path, f'#!/bin/sh\n{MARK}\n{command} "$@"\n')
        env.out(path)


def _is_ours(path: str) -> bool:
    with open(path, "rb") as file:
        return MARK.encode() in file.read(200)


def _write_program(path: str, text: str) -> None:
    """Write beside and rename, so that a script that is running never sees half a file."""
    aside = f"{path}.{os.getpid()}"
    with open(aside, "w") as file:
        file.write(text)
    os.chmod(aside, 0o755)  # noqa: S103 - a program is for everybody to run
    os.replace(aside, path)
