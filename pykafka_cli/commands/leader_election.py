"""``kafka-leader-election``: have partitions led by another of their replicas.

Source: org.apache.kafka.tools.LeaderElectionCommand of Kafka 4.3.
"""

from __future__ import annotations

from functools import partial

import click

from pykafka_cli.click_types import FILE, TOPIC
from pykafka_cli.env import Env
from pykafka_cli.errors import CommandFailure, Refusal
from pykafka_cli.java.json import JsonError, NotJsonError, as_array, as_object, parse, read_text
from pykafka_cli.output.kafka_log import exception_line
from pykafka_cli.tool.frame import (
    command_config_option,
    connection_options,
    duplicates,
    failing_as,
    not_with,
    opened,
)
from pykafka_cli.tool.json_files import partition_of
from pykafka_cli.tool.options import INTEGER, KafkaCommand, Options, examples
from pykafka_store.errors import ElectionNotNeededError, StoreError, TimeoutError
from pykafka_store.model import ElectionType, TopicPartition

SELECTORS = ("topic", "all-topic-partitions", "path-to-json-file")


@click.command(
    "leader-election",
    cls=KafkaCommand,
    no_arguments="This tool attempts to elect a new leader for a set of topic partitions. The type of elections "
    "supported are preferred replicas and unclean replicas.",
    bad_options=CommandFailure,
    epilog=examples(
        "kafka-leader-election --election-type preferred --all-topic-partitions",
        "kafka-leader-election --election-type unclean --topic orders --partition 0",
    ),
)
@connection_options
@click.option(
    "--election-type",
    metavar="TYPE",
    help="'preferred': the first replica of a partition's list leads again, if it is in sync. 'unclean': where no "
    "replica that is in sync can lead, one that can is to lead all the same, and what it lacks is lost.",
)
@click.option("--topic", metavar="TOPIC", type=TOPIC, help="The topic of the one partition to elect a leader for.")
@click.option("--partition", metavar="NUMBER", type=INTEGER, help="The partition of --topic.")
@click.option("--all-topic-partitions", is_flag=True, help="All partitions for which there is a need.")
@click.option(
    "--path-to-json-file",
    metavar="FILE",
    type=FILE,
    help='The JSON file with the partitions: {"partitions": [{"topic": "foo", "partition": 1}]}.',
)
@command_config_option
@click.option(
    "--admin.config", "admin_config", metavar="FILE", type=FILE, help="Deprecated: the same as --command-config."
)
def leader_election(env: Env, options: Options) -> None:
    """This tool attempts to elect a new leader for a set of topic partitions. The type of elections supported are
    preferred replicas and unclean replicas.
    """
    with failing_as(partial(_failure, env)):
        _check(options)
        election = _election(options.text("election-type", _election))
        partitions = _partitions(options)
        if options.has("admin.config"):
            env.out(
                "Option --admin.config has been deprecated and will be removed in a future version. Use "
                "--command-config instead."
            )
        config_option = "admin.config" if options.has("admin.config") else "command-config"
        with opened(env, options, config_option=config_option) as admin:
            answers = admin.elect_leaders(election, partitions)
    done = [name for name, error in answers.items() if error is None]
    not_needed = [name for name, error in answers.items() if isinstance(error, ElectionNotNeededError)]
    failed = {name: error for name, error in answers.items() if name not in done and name not in not_needed}
    if done:
        listed = ", ".join(map(str, done))
        env.out(f"Successfully completed leader election ({election.name}) for partitions {listed}")
    if not_needed:
        env.out(f"Valid replica already elected for partitions {', '.join(map(str, not_needed))}")
    for name, why in failed.items():
        assert why is not None
        env.out(f"Error completing leader election ({election.name}) for partition: {name}: {exception_line(why)}")
    if failed:
        raise CommandFailure(f"{len(failed)} replica(s) could not be elected")


def _failure(env: Env, error: Refusal | StoreError) -> CommandFailure:
    if isinstance(error, TimeoutError):
        env.out("Timeout waiting for election results")
        return CommandFailure(f"Timeout waiting for election results: {error}")
    return CommandFailure(str(error))


def _check(options: Options) -> None:
    """Source: LeaderElectionCommandOptions#validate; an address may be missing here."""
    not_with(options, "admin.config", "command-config")
    if not options.has("election-type"):
        raise CommandFailure("Missing required option(s): election-type")
    given = [name for name in SELECTORS if options.has(name)]
    if len(given) != 1:
        raise CommandFailure(f"One and only one of the following options is required: {', '.join(SELECTORS)}")
    if options.has("topic") and not options.has("partition"):
        raise CommandFailure("Missing required option(s): partition")
    if options.has("partition") and not options.has("topic"):
        raise CommandFailure("Option partition is only allowed if topic is used")


def _election(text: str) -> ElectionType:
    try:
        return ElectionType[text.upper()]
    except KeyError:
        raise CommandFailure(f"Cannot parse argument '{text}' of option election-type") from None


def _partitions(options: Options) -> list[TopicPartition] | None:
    """None for all."""
    path = options.maybe_text("path-to-json-file")
    if path is None:
        topic = options.maybe_text("topic")
        return None if topic is None else [TopicPartition(topic, options.integer("partition"))]
    try:
        text = read_text(path)
    except OSError:
        raise CommandFailure(f"java.io.IOException: Unable to read file {path}") from None
    try:
        fields = as_object(parse(text))
        if "partitions" not in fields:
            raise CommandFailure('Replica election data is missing "partitions" field')
        found = [partition_of(entry) for entry in map(as_object, as_array(fields["partitions"]))]
    except NotJsonError:
        raise CommandFailure("Replica election data is empty") from None
    except JsonError as problem:
        raise CommandFailure(f"com.fasterxml.jackson.databind.JsonMappingException: {problem}") from None
    if twice := sorted(map(str, duplicates(found))):
        raise CommandFailure(f"Replica election data contains duplicate partitions: [{', '.join(twice)}]")
    return found
