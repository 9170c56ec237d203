"""``pykafka link``: the names with ``.sh`` that Apache Kafka's own distribution gives its tools."""

from __future__ import annotations

import click

from pykafka_cli.click_types import DIRECTORY
from pykafka_cli.env import Env
from pykafka_cli.tool.options import examples
from pykafka_cli.tool.programs import write_programs


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
    pykafka; what that distribution has and pykafka has not (Connect, ZooKeeper) refuses and says what there is instead.
    A file that pykafka did not write is never replaced.
    """
    for path in write_programs(directory):
        env.out(path)
