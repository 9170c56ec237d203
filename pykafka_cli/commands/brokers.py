"""``pykafka brokers``: the brokers of a data directory, which are log directories with a number."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import click

from pykafka_cli.click_types import DIRECTORY
from pykafka_cli.env import Env
from pykafka_cli.errors import CommandFailure
from pykafka_cli.output.forms import tabulated
from pykafka_cli.tool.frame import data_dir_option, failing_as
from pykafka_cli.tool.options import examples
from pykafka_store.directory import DataDirectory
from pykafka_store.model import BrokerDescription
from pykafka_store.open import open_cluster, open_data_directory


@click.group(
    "brokers",
    epilog=examples(
        "pykafka brokers add",
        "pykafka brokers add 7 --log-dir /mnt/disk2/kafka",
        "pykafka brokers list",
        "pykafka brokers stop 1",
        "pykafka brokers start 1",
    ),
)
def brokers() -> None:
    """Add, list, stop, start and remove brokers.

    A broker of a data directory is a number and one or more log directories, on any local disk. A new data directory
    has one, broker 0. With three, topics can be made with --replication-factor 3: each append goes to all replicas that
    are in sync, and where a broker's directory fails, the others go on.
    """


@brokers.command("list", epilog=examples("pykafka brokers list --output json"))
@data_dir_option
@click.option(
    "--output", type=click.Choice(["table", "json"]), default="table", help="A table, or one JSON object a line."
)
@click.pass_obj
def list_(env: Env, data_dir: str | None, output: str) -> None:
    """List the brokers: whether they run, what they hold, and where."""
    with _opened(env, data_dir) as directory:
        found = directory.brokers()
    if output == "json":
        for each in found:
            env.out(json.dumps({**each._asdict(), "state": _state(each)}))
        return
    rows = [
        (each.id, _state(each), each.replicas, each.leaders, each.in_sync, path)
        for each in found
        for path in each.log_dirs
    ]
    env.out(tabulated(("ID", "STATE", "REPLICAS", "LEADERS", "IN SYNC", "LOG DIRECTORY"), rows))
    for each in found:
        for problem in each.problems:
            env.out(f"broker {each.id}: {problem}")


@brokers.command("add", epilog=examples("pykafka brokers add", "pykafka brokers add 7 --log-dir /mnt/disk2/kafka"))
@click.argument("id", type=click.IntRange(min=0), required=False)
@click.option(
    "--log-dir",
    "log_dirs",
    metavar="PATH",
    type=DIRECTORY,
    multiple=True,
    help="A directory of its own on any local disk, made if it is missing. May be repeated. Without it: one below the "
    "data directory.",
)
@data_dir_option
@click.pass_obj
def add(env: Env, id: int | None, log_dirs: tuple[str, ...], data_dir: str | None) -> None:
    """Add a broker, with the next free number unless ID says another.

    It holds replicas of topics that are made from now on, or moved to it with kafka-reassign-partitions.
    """
    with _opened(env, data_dir, create=True) as directory:
        added = directory.add_broker(id, log_dirs)
    env.out(f"Added broker {added.id}: {', '.join(added.log_dirs)}")


@brokers.command("stop", epilog=examples("pykafka brokers stop 1"))
@click.argument("id", type=click.IntRange(min=0))
@data_dir_option
@click.pass_obj
def stop(env: Env, id: int, data_dir: str | None) -> None:
    """Take a broker out of service: others lead what it led."""
    with _opened(env, data_dir) as directory:
        directory.stop_broker(id)
    env.out(f"Stopped broker {id}")


@brokers.command("start", epilog=examples("pykafka brokers start 1"))
@click.argument("id", type=click.IntRange(min=0))
@data_dir_option
@click.pass_obj
def start(env: Env, id: int, data_dir: str | None) -> None:
    """Bring a broker back, and its replicas up to date."""
    with _opened(env, data_dir) as directory:
        directory.start_broker(id)
        (found,) = (each for each in directory.brokers() if each.id == id)
    for problem in found.problems:
        env.report_error(f"broker {id}: {problem}")
    env.out(f"Started broker {id}: {found.in_sync} of {found.replicas} replicas in sync")
    if found.problems:
        raise CommandFailure(f"broker {id} can't be used yet")


@brokers.command("remove", epilog=examples("pykafka brokers remove 1"))
@click.argument("id", type=click.IntRange(min=0))
@data_dir_option
@click.pass_obj
def remove(env: Env, id: int, data_dir: str | None) -> None:
    """Forget a broker that holds no replica."""
    with _opened(env, data_dir) as directory:
        directory.remove_broker(id)
    env.out(f"Removed broker {id}")


@contextmanager
def _opened(env: Env, data_dir: str | None, *, create: bool = False) -> Iterator[DataDirectory]:
    """The data directory; what goes wrong in it is one line."""
    path = env.data_directory(data_dir)
    with failing_as(lambda error: CommandFailure(f"brokers: {error}")):
        if create:
            open_cluster(f"file:{path}", on_made=partial(env.tell_made, named=data_dir is not None)).close()
        with open_data_directory(path) as directory:
            yield directory


def _state(broker: BrokerDescription) -> str:
    if not broker.running:
        return "stopped"
    return "failed" if len(broker.problems) == len(broker.log_dirs) else "running"
