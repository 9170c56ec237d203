"""``pykafka link``: the names that Kafka's distributions give the tools, with ``.sh`` and without, in a directory."""

from __future__ import annotations

import click

from pykafka_cli.click_types import DIRECTORY
from pykafka_cli.env import Env
from pykafka_cli.tool.home import write_home
from pykafka_cli.tool.options import examples
from pykafka_cli.tool.programs import write_programs


@click.command(
    "link",
    short_help="Write kafka-topics.sh, kafka-topics and the rest into DIR.",
    epilog=examples(
        "pykafka link ~/kafka/bin",
        "PATH=~/kafka/bin:$PATH ./script-that-calls-kafka-topics.sh",
        "pykafka link --home ~/kafka && KAFKA_HOME=~/kafka ./script-that-starts-its-server",
    ),
)
@click.option(
    "--home",
    is_flag=True,
    help="Lay DIR out as Kafka's own directory: the names in DIR/bin, and server.properties, producer.properties and "
    "consumer.properties in DIR/config. A file of settings that is there stays.",
)
@click.argument("directory", metavar="DIR", type=DIRECTORY)
@click.pass_obj
def link(env: Env, home: bool, directory: str) -> None:
    """Write kafka-topics.sh, kafka-topics and all the other tools' names into DIR.

    For scripts that call the tools by the path of a distribution: Apache Kafka's names end in .sh, those of others do
    not. Each file starts this installation of pykafka; what Kafka has and pykafka has not (Connect, ZooKeeper) refuses
    and says what there is instead. A file that pykafka did not write is never replaced.
    """
    for path in write_home(directory) if home else write_programs(directory):
        env.out(path)
