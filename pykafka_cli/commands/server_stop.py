"""``kafka-server-stop``: SIGTERM for the servers that kafka-server-start started. Source: bin/kafka-server-stop.sh."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from contextlib import suppress

import click

from pykafka_cli.env import Env
from pykafka_cli.errors import CommandFailure
from pykafka_cli.java.properties import PropertiesError, load_properties
from pykafka_cli.tool.frame import data_dir_option
from pykafka_cli.tool.options import examples
from pykafka_store.open import server_of_directory

NONE = "No kafka server to stop"


@click.command(
    "server-stop",
    short_help="Stop the server of the directory, or all that are this user's.",
    context_settings={"ignore_unknown_options": True, "help_option_names": ["--help"]},
    epilog=examples("kafka-server-stop", "kafka-server-stop --node-id=1", "kafka-server-stop --data-dir ./kafka"),
)
@click.option("--process-role", metavar="ROLE", help="Stop those whose file names exactly these process.roles.")
@click.option("--node-id", metavar="ID", help="Stop those whose file names this node.id; counts more than the roles.")
@data_dir_option
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[FILE]")
@click.pass_obj
def server_stop(
    env: Env,
    process_role: str | None,
    node_id: str | None,
    data_dir: str | None,
    words: tuple[str, ...],  # noqa: ARG001 - Kafka's script passes over all others
) -> None:
    """Stop the server of the data directory in good order.

    Where neither --data-dir nor PYKAFKA_DATA_DIR names one, every server that this user has started with
    kafka-server-start is stopped, as Kafka's script does it. Other words, such as the server's FILE, change nothing.
    """
    if node_id and process_role:
        env.out("When both node-id and process-role are provided, the value for node-id will take precedence")
    named = data_dir is not None or env.environ.get("PYKAFKA_DATA_DIR")
    if named:
        process = server_of_directory(env.data_directory(data_dir))
        processes = {} if process is None else {process: _arguments_of(process)}
    else:
        processes = _started()
    if not processes:
        raise CommandFailure(NONE, stream="stdout")
    for process, arguments in processes.items():
        if node_id:
            chosen = _property(process, arguments, "node.id") in {node_id, None}
        else:
            chosen = not process_role or _property(process, arguments, "process.roles") in {process_role, None}
        if chosen:
            with suppress(ProcessLookupError):  # it has ended by itself
                os.kill(process, signal.SIGTERM)


def _arguments_of(process: int) -> str:
    # -ww: all of it, though COLUMNS may be exported
    command = ["ps", "-ww", "-p", str(process), "-o", "args="]
    return subprocess.run(command, capture_output=True, text=True, errors="replace", check=False).stdout


def _property(process: int, arguments: str, name: str) -> str | None:
    """What the file of a server says, by the words that it was started with; None where that is not known."""
    _, _, rest = arguments.partition("server-start ")
    words = [word for word in re.sub(r"--override[ =]\S+", "", rest).split() if not word.startswith("-")]
    try:
        folder = os.readlink(f"/proc/{process}/cwd")
        return load_properties(os.path.join(folder, words[0])).get(name)
    except (OSError, IndexError, PropertiesError):
        return None


_OURS = re.compile(
    r"\S*python\S* (-P )?(-m pykafka_cli|\S*/pykafka) (kafka-)?server-start\b|\S*python\S* \S*/kafka-server-start\b"
)
"""The command lines of kafka-server-start, by whatever name it was started."""


def _started() -> dict[int, str]:
    """The processes of this user that kafka-server-start started, and their command lines, by what ps shows of them."""
    command = ["ps", "-ww", "-U", str(os.getuid()), "-o", "pid=,args="]
    shown = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False).stdout
    processes = (line.split(maxsplit=1) for line in shown.splitlines())
    return {int(number): words[0] for number, *words in processes if words and _OURS.match(words[0])}
