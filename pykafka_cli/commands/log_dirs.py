"""``kafka-log-dirs``: what lies in the brokers' log directories.

Source: org.apache.kafka.tools.LogDirsCommand of Kafka 4.3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from pykafka_cli.env import Env
from pykafka_cli.errors import CommandFailure
from pykafka_cli.java.json import written
from pykafka_cli.java.text import whole
from pykafka_cli.tool.frame import (
    check_admin_config,
    command_config_option,
    connection_options,
    failing_as,
    one_line,
    open_cluster,
    require,
)
from pykafka_cli.tool.json_files import VERSION
from pykafka_cli.tool.options import KafkaCommand, Options, examples
from pykafka_store.model import LogDirDescription


@click.command(
    "log-dirs",
    cls=KafkaCommand,
    no_arguments="This tool helps to query log directory usage on the specified brokers.",
    epilog=examples(
        "kafka-log-dirs --describe",
        "kafka-log-dirs --describe --topic-list orders --broker-list 0,1 | tail -1",
    ),
)
@connection_options
@click.option("--describe", is_flag=True, help="Describe the log directories of the brokers, as one line of JSON.")
@click.option("--topic-list", metavar="TOPICS", help="Only these topics, by commas. Without it: all.")
@click.option("--broker-list", metavar="BROKERS", help="Only these brokers, by commas. Without it: all.")
@command_config_option
def log_dirs(env: Env, options: Options) -> None:
    """This tool helps to query log directory usage on the specified brokers."""
    require(options, "describe")
    with failing_as(one_line):
        check_admin_config(env, options)
        topics = {name for name in (options.maybe_text("topic-list") or "").split(",") if name}
        wanted = {whole(word) for word in (options.maybe_text("broker-list") or "").split(",") if word}
        with open_cluster(env, options) as cluster:
            admin = cluster.admin()
            there = admin.live_brokers()
            missing = sorted(wanted - set(there))
            if missing:
                raise CommandFailure(
                    f"ERROR: The given brokers do not exist from --broker-list: {_listed(missing)}. Current existent "
                    f"brokers: {_listed(there)}"
                )
            asked = sorted(wanted) or list(there)
            env.out("Querying brokers for log directories information")
            found = admin.describe_log_dirs(asked)
    env.out(f"Received log directory information from brokers {_listed(asked)}")
    env.out(written(_described(found, topics)))


def _listed(brokers: Sequence[int]) -> str:
    return ",".join(map(str, brokers))


def _described(found: Mapping[int, Sequence[LogDirDescription]], topics: set[str]) -> dict[str, Any]:
    """In the order of keys that Kafka's HashMaps have."""
    return {
        "brokers": [
            {"broker": broker, "logDirs": [_log_dir(each, topics) for each in directories]}
            for broker, directories in sorted(found.items())
        ],
        "version": VERSION,
    }


def _log_dir(directory: LogDirDescription, topics: set[str]) -> dict[str, Any]:
    error = directory.error
    return {
        "partitions": [
            {
                "partition": str(each.partition),
                "size": each.size,
                "offsetLag": each.offset_lag,
                "isFuture": each.is_future,
            }
            for each in directory.replicas
            if not topics or each.partition.topic in topics
        ],
        "error": None if error is None else f"org.apache.kafka.common.errors.{error.kafka_name}",
        "logDir": directory.path,
    }
