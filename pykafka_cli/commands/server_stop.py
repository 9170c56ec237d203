"""``kafka-server-stop``: SIGTERM for the servers that kafka-server-start started. Source: bin/kafka-server-stop.sh."""

from __future__ import annotations

import os
import re
import signal
import subprocess

import click

from pykafka_cli.env import Env
from pykafka_cli.errors import CommandFailure
from pykafka_cli.tool.argparse4j import ArgparseCommand
from pykafka_cli.tool.frame import data_dir_option
from pykafka_cli.tool.options import examples
from pykafka_store.open import server_of_directory

NONE = "No kafka server to stop"


@click.command(
    "server-stop",
    cls=ArgparseCommand,
    short_help="Stop the server of the directory, or all that are this user's.",
    epilog=examples("kafka-server-stop", "kafka-server-stop --data-dir ./kafka"),
)
@click.option("--process-role", metavar="ROLE", help="As in Kafka: a server here is both of them.")
@click.option("--node-id", metavar="ID", help="As in Kafka: a directory has one server.")
@data_dir_option
@click.pass_obj
def server_stop(env: Env, process_role: str | None, node_id: str | None, data_dir: str | None) -> None:  # noqa: ARG001
    """Stop the server of the data directory in good order.

    Where neither --data-dir nor PYKAFKA_DATA_DIR names one, every server that this user has started with
    kafka-server-start is stopped, as Kafka's script does it.
    """
    named = data_dir is not None or env.environ.get("PYKAFKA_DATA_DIR")
    if named:
        process = server_of_directory(env.data_directory(data_dir))
        processes = [] if process is None else [process]
    else:
        processes = _started()
    if not processes:
        raise CommandFailure(NONE)
    for process in processes:
        os.kill(process, signal.SIGTERM)


_OURS = re.compile(
    r"\S*python\S* (-P )?(-m pykafka_cli|\S*/pykafka) (kafka-)?server-start\b|\S*python\S* \S*/kafka-server-start\b"
)
"""The command lines of kafka-server-start, by whatever name it was started."""


def _started() -> list[int]:
    """The processes of this user that kafka-server-start started, by what ps shows of them."""
    command = ["ps", "-U", str(os.getuid()), "-o", "pid=,args="]
    shown = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False).stdout
    processes = (line.split(maxsplit=1) for line in shown.splitlines())
    return [int(number) for number, *words in processes if words and _OURS.match(words[0])]
