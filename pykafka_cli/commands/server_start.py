"""``kafka-server-start``: a data directory made ready as a server's file says, and its port.

Source: bin/kafka-server-start.sh, kafka.Kafka of Kafka 4.3. Nothing needs this server: the shell's commands work on the
directory without it. It is there for scripts that start one, and for applications with a Kafka client.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from pykafka_cli import KAFKA_VERSION
from pykafka_cli.env import Env
from pykafka_cli.errors import CommandFailure, Refusal
from pykafka_cli.java.properties import load_properties
from pykafka_cli.output.kafka_log import log_line
from pykafka_cli.tool.argparse4j import ArgparseCommand
from pykafka_cli.tool.frame import failing_as, one_line
from pykafka_cli.tool.options import examples
from pykafka_cli.tool.server import serve_until_told
from pykafka_cli.tool.server_listeners import listeners_of_properties, what_it_means
from pykafka_cli.tool.server_properties import find_from_now_on, server_of, set_aside, stands_in
from pykafka_store.errors import EngineUnavailableError, StorageError
from pykafka_store.open import open_data_directory, serve_data_directory, serve_without_port
from pykafka_store.settings.listeners import Listener
from pykafka_store.settings.static_configs import static_settings

if TYPE_CHECKING:
    from pykafka_store.api import RunningServer

USAGE = "USAGE: kafka-server-start [-daemon] server.properties [--override property=value]*"
LOGGER = "kafka.server.KafkaRaftServer"
STARTED = "Kafka Server started"


@click.command(
    "server-start",
    cls=ArgparseCommand,
    context_settings={"help_option_names": ["--help"]},
    short_help="Make the directory of a server's file ready, and serve it.",
    epilog=examples(
        "kafka-server-start config/server.properties",
        "kafka-server-start -daemon server.properties --override listeners=PLAINTEXT://127.0.0.1:9092",
    ),
)
@click.argument("words", nargs=-1, type=click.Path(), metavar="[-daemon] FILE")
@click.option("-daemon", "daemon", is_flag=True, help="Return once the server answers; it goes on in the background.")
@click.option("--override", multiple=True, metavar="NAME=VALUE", help="A property that counts more than the file's.")
@click.option("--version", is_flag=True, help="Print the version of Kafka this tool follows, and exit.")
@click.pass_obj
def server_start(env: Env, words: tuple[str, ...], daemon: bool, override: tuple[str, ...], version: bool) -> None:
    """Make the data directory that a server's FILE names (log.dirs) ready, and open the port that it names.

    What else the file says and a directory honours is what later commands find: node.id, num.partitions,
    default.replication.factor, auto.create.topics.enable, retention and the other settings of topics. Where the
    environment has PYKAFKA_EMBED or PYKAFKA_DATA_DIR, and nothing is there yet, its commands find this directory. A
    listener without a host listens on this machine only. Ends at SIGTERM (kafka-server-stop) or Ctrl-C.
    """
    if version:
        env.out(KAFKA_VERSION)
        return
    if len(words) != 1:
        raise CommandFailure(USAGE)
    if daemon:
        _in_background(env, words[0], override)
        return
    with failing_as(one_line):
        properties = load_properties(words[0])
        for each in override:
            name, equals, value = each.partition("=")
            if not equals:
                raise Refusal(f"--override {each} is no property: write NAME=VALUE")
            properties[name.strip()] = value.strip()
        server = server_of(env, properties, makes=True)
        settings = static_settings(properties)
        listeners = listeners_of_properties(properties)
        first, *others = server.directories
        broker = server.broker
        is_there, stand_in, cluster_id = _is_made(first), None, None
        if not is_there:
            cluster_id = set_aside(env)  # and is this server's from now on, as a script may have asked for it
            stand_in = stands_in(env, first)
        if not is_there and stand_in is None:
            from pykafka_store.model import random_topic_id
            from pykafka_store.open import format_data_directory

            try:
                format_data_directory(first, cluster_id or random_topic_id(), broker, others, settings)
            except StorageError:
                is_there = _is_made(first)  # by a command that was started at the same time
                if not is_there:
                    raise
        find_from_now_on(env, first)
        # Nothing is answered yet, and who is refused, as another server runs, has changed nothing of that one's.
        running = _listening(env, first, listeners)
        if is_there or stand_in is not None:
            broker = _set(env, first, broker, settings, stand_in)
    if sandbox := env.environ.get("PYKAFKA_SANDBOX"):
        from pykafka_cli.tool.sandbox_places import note_server

        note_server(sandbox)
    _log(env, f"[KafkaRaftServer nodeId={broker}] {STARTED}")
    serve_until_told(running)


def _is_made(directory: str) -> bool:
    return os.path.exists(os.path.join(directory, "meta.properties"))


def _set(env: Env, path: str, broker: int, settings: Mapping[str, str], stand_in: str | None) -> int:
    """Give a directory that was there what the server's file sets. Returns its broker's number, which stays where
    commands had the directory before it had a server: ``stand_in``, as they call it.
    """
    with open_data_directory(path) as directory:
        brokers = [each.id for each in directory.brokers()]
        number = broker if stand_in is None or broker in brokers else brokers[0]
        directory.set_server_settings(number, settings)
    if number != broker:
        env.err(f"WARNING: {stand_in} was there before its server: node.id={broker} is its broker {number}")
    return number


def _listening(env: Env, directory: str, listeners: Sequence[Listener]) -> RunningServer:
    """The server of the directory, or one without a port where the extra ``serve`` is not installed."""
    for each in listeners:
        if (warning := what_it_means(each)) is not None:
            env.err(f"WARNING: {warning}")
    try:
        return serve_data_directory(directory, listeners, on_notice=lambda line: env.err(f"WARNING: {line}"))
    except EngineUnavailableError as error:
        env.err(f"WARNING: no port is opened, and the shell's commands need none: {error}")
        return serve_without_port(directory)


def _log(env: Env, message: str) -> None:
    """Say it on stdout, and in server.log in $LOG_DIR, where scripts look for it. One that can't be written stops no
    server.
    """
    line = log_line(env.clock(), "INFO", message, LOGGER)
    folder = env.environ.get("LOG_DIR")
    if folder:
        with suppress(OSError):
            os.makedirs(folder, exist_ok=True)
            with open(os.path.join(folder, "server.log"), "a") as file:
                file.write(f"{line}\n")
    env.out(line)
    env.flush()


def _in_background(env: Env, path: str, override: Sequence[str]) -> None:
    """Start the server as a process of its own, and wait until it has said that it is started.

    What it prints goes to kafkaServer.out in $LOG_DIR, as with Kafka's script; without that, where a user's programs
    keep such files. Raises CommandFailure with what it said where it ended instead.
    """
    home = env.environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
    folder = env.environ.get("LOG_DIR") or os.path.join(home, "pykafka")
    os.makedirs(folder, exist_ok=True)
    output = os.path.join(folder, "kafkaServer.out")
    more = [word for each in override for word in ("--override", each)]
    command = [sys.executable, "-P", "-m", "pykafka_cli", "server-start", os.path.abspath(path), *more]
    with open(output, "wb") as file:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=file, start_new_session=True,
            env={**env.environ, "LOG_DIR": folder},
        )  # fmt: skip
        assert process.stdout is not None
        line = process.stdout.readline()
        file.write(line)
    if STARTED.encode() not in line:
        process.wait()
        with open(output, errors="replace") as said:
            raise CommandFailure(said.read().rstrip("\n") or f"the server ended at once: see {output}")
