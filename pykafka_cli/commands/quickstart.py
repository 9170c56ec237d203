"""``pykafka quickstart``: a first topic and its records, made by the real commands before the user's eyes."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from typing import NamedTuple

import click

from pykafka_cli.click_types import DIRECTORY
from pykafka_cli.env import Env
from pykafka_cli.errors import CommandFailure
from pykafka_cli.tool.options import examples


class Step(NamedTuple):
    """What to say, the command line to show and to run, and the lines it must print, in any order."""

    about: str
    command: str
    output: tuple[str, ...]


STEPS = (
    Step(
        "Create a topic with two partitions:",
        "pykafka topics --create --topic orders --partitions 2",
        ("Created topic orders.",),
    ),
    Step(
        "Write four records, each a key and a value:",
        "printf '%s\\n' anna:tea ben:coffee carl:milk anna:cake |\n"
        "    pykafka console-producer --topic orders \\\n"
        "      --reader-property parse.key=true --reader-property key.separator=:",
        (),
    ),
    Step(
        "Read them. A key's records are in one partition, in the order of writing:",
        "pykafka console-consumer --topic orders --from-beginning \\\n"
        "      --max-messages 4 --formatter-property print.partition=true \\\n"
        "      --formatter-property print.key=true",
        (
            "Partition:1\tanna\ttea",
            "Partition:1\tben\tcoffee",
            "Partition:1\tanna\tcake",
            "Partition:0\tcarl\tmilk",
            "Processed a total of 4 messages",
        ),
    ),
    Step(
        "Ask where each partition ends (topic:partition:next offset):",
        "pykafka get-offsets --topic orders",
        ("orders:0:1", "orders:1:3"),
    ),
)

WRITES = 20_000
"""Small writes that go into a database through the topic."""

GATHERED = (
    Step(
        f"Last, why people put Kafka before a database. {WRITES:,} small writes, as\n"
        "couriers' positions come, into a topic:",
        f'seq {WRITES} | sed \'s/.*/{{"id": &, "lat": 52.5, "lon": 13.4}}/\' |\n'
        "    pykafka console-producer --topic positions",
        (),
    ),
    Step(
        "And in bulk into a table (SQLite here; it goes on where it ended, whenever\nit is killed):",
        "pykafka sink --topic positions couriers.db --exit-at-end",
        (f"Processed a total of {WRITES} messages",),
    ),
)

MOST_SINGLE = 2000
SINGLE_SECONDS = 0.5
"""How many rows are written one by one to compare with, and for how long: whichever is over first."""

LOG = "brokers/0/orders-1/00000000000000000000.log"


@click.command(
    "quickstart",
    short_help="Make a topic, write to it, read it.",
    epilog=examples("pykafka quickstart", "pykafka quickstart --dir ~/first-logs"),
)
@click.option(
    "--dir", "directory", metavar="DIR", type=DIRECTORY, help="Where to put the logs: a new or empty directory."
)
@click.pass_obj
def quickstart(env: Env, directory: str | None) -> None:
    """Make a topic, write records to it and read them back; then gather many for a database.

    Runs the real commands in a new directory, each shown before its output, then shows the files they made and what to
    try next. The directory stays.
    """
    if directory is None:
        directory = tempfile.mkdtemp(prefix="pykafka-")
    elif os.path.isdir(directory) and os.listdir(directory):
        raise CommandFailure(f"{directory} is not empty: name a directory that is empty or does not exist")
    directory = os.path.abspath(directory)
    quoted = shlex.quote(directory)
    env.out("The commands below find the logs by this variable:\n")
    env.out(f"  $ export PYKAFKA_DATA_DIR={quoted}")
    for step in STEPS:
        env.out(f"\n{step.about}\n\n  $ {step.command}")
        env.flush()
        _run(env, step, directory)
    _gather(env, directory)
    env.out("\nThe files that hold all this, with their sizes in bytes:\n")
    for size, path in _files(directory):
        env.out(f"  {size:>7}  {path}")
    env.out(
        "\nAll of it worked. Next:\n\n"
        f"{_path_line(env)}"
        f"  export PYKAFKA_DATA_DIR={quoted}\n"
        "  pykafka console-consumer --topic orders    # waits for records; then, in\n"
        "  pykafka console-producer --topic orders    # another terminal, write some\n"
        f'  pykafka dump-log --print-data-log --files \\\n    "$PYKAFKA_DATA_DIR/{LOG}"\n'
        "  pykafka sink --topic orders --raw orders.db  # until Ctrl-C: into a database\n"
        "  pykafka link DIR     # kafka-topics.sh and so on, for scripts that call them\n"
        "  pykafka --help\n\n"
        f"To remove it: rm -r {quoted}"
    )


def _path_line(env: Env) -> str:
    """The line that makes the shell find ``pykafka``, where it does not: a virtual environment may not be active."""
    programs = sysconfig.get_path("scripts")
    found = shutil.which("pykafka", path=env.environ.get("PATH", os.defpath))
    if found is not None or not os.access(os.path.join(programs, "pykafka"), os.X_OK):
        return ""
    return f"  export PATH={shlex.quote(programs)}:$PATH\n"


def _gather(env: Env, directory: str) -> None:
    """Write many rows through a topic, and some one by one, and say how fast that was. The database does not stay."""
    pykafka = Step("", "pykafka topics --create --topic positions", ("Created topic positions.",))
    with tempfile.TemporaryDirectory(prefix="pykafka-") as scratch:
        _run(env, pykafka, directory, quiet=True)
        begun = env.monotonic()
        for step in GATHERED:
            env.out(f"\n{step.about}\n\n  $ {step.command}")
            env.flush()
            _run(env, step, directory, cwd=scratch)
        gathered = WRITES / (env.monotonic() - begun)
        single = _one_by_one(env, os.path.join(scratch, "single.db"))
    env.out(
        f"\n  Row by row, each in a transaction of its own:   {single:>9,.0f} rows/s\n"
        f"  through the topic, both commands and all:       {gathered:>9,.0f} rows/s"
    )


def _one_by_one(env: Env, path: str) -> float:
    """Rows a second into a database that is set up as the sink sets up its own."""
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("CREATE TABLE positions (id INTEGER, lat REAL, lon REAL)")
        begun, rows = env.monotonic(), 0
        while rows < MOST_SINGLE and env.monotonic() - begun < SINGLE_SECONDS:
            connection.execute("INSERT INTO positions VALUES (?, 52.5, 13.4)", (rows,))
            rows += 1
        return rows / (env.monotonic() - begun)


def _run(env: Env, step: Step, directory: str, *, cwd: str | None = None, quiet: bool = False) -> None:
    """Run a step's command line as it was shown, print what it prints, and see that this is what it should be."""
    done = subprocess.run(
        ["sh", "-c", f'pykafka() {{ "$PYKAFKA_PYTHON" -P -m pykafka_cli "$@"; }}\n{step.command}'],
        env={**env.environ, "PYKAFKA_DATA_DIR": directory, "PYKAFKA_PYTHON": sys.executable},
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    printed = done.stdout.decode("utf-8", "replace").splitlines()
    for line in () if quiet else printed:
        env.out(f"  {line}")
    if done.returncode != 0:
        raise CommandFailure(f"quickstart: that command failed with exit code {done.returncode}; logs: {directory}")
    if sorted(printed) != sorted(step.output):
        raise CommandFailure(f"quickstart: that is not what the command should print; logs: {directory}")


def _files(directory: str) -> list[tuple[int, str]]:
    """Size and relative path of every file, sorted by path."""
    found = []
    for parent, _directories, names in os.walk(directory):
        for name in names:
            path = os.path.join(parent, name)
            found.append((os.path.getsize(path), os.path.relpath(path, directory)))
    return sorted(found, key=lambda file: file[1])
