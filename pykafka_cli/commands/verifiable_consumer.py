"""``kafka-verifiable-consumer``: a group's member that tells in JSON what it was given, read and committed.

Source: org.apache.kafka.tools.VerifiableConsumer of Kafka 4.3. Harnesses read the lines; so each is written at once.
"""

from __future__ import annotations

from collections.abc import Sequence

import click

from pykafka_cli.click_types import FILE, TOPIC
from pykafka_cli.env import Env
from pykafka_cli.errors import CommandFailure, Terminated
from pykafka_cli.java.properties import load_properties
from pykafka_cli.output.events import Events, named
from pykafka_cli.tool import properties
from pykafka_cli.tool.argparse4j import INTEGER, ArgparseCommand
from pykafka_cli.tool.frame import connection_options, failing_as, one_line
from pykafka_cli.tool.options import examples
from pykafka_store.api import Consumer
from pykafka_store.errors import IllegalGenerationError, UnknownMemberIdError
from pykafka_store.model import OffsetAt, Records, TopicPartition

POLL = 1.0
"""Seconds that a poll waits at most, so that signals are soon noticed."""
RANGE = "org.apache.kafka.clients.consumer.RangeAssignor"


@click.command(
    "verifiable-consumer",
    cls=ArgparseCommand,
    no_args_is_help=True,
    short_help="Consume in a group and tell of all that happens in JSON.",
    epilog=examples("kafka-verifiable-consumer --topic numbers --group-id verify --max-messages 10 --verbose"),
)
@connection_options
@click.option("--topic", type=TOPIC, required=True, help="Consumes messages from this topic.")
@click.option("--group-protocol", default="classic", help="classic or consumer.")
@click.option("--group-remote-assignor", help="The brokers' assignor, with --group-protocol consumer.")
@click.option("--group-id", required=True, help="The group id of the consumer group.")
@click.option("--group-instance-id", help="A unique identifier of the consumer instance.")
@click.option("--max-messages", type=INTEGER, default=-1, help="Consume this many messages; -1: until it is killed.")
@click.option("--session-timeout", type=INTEGER, help="The session timeout in ms; not with --group-protocol consumer.")
@click.option("--verbose", is_flag=True, help="Tell of each record.")
@click.option("--enable-autocommit", is_flag=True, help="Let the consumer commit by itself, from time to time.")
@click.option("--reset-policy", default="earliest", help="earliest, latest or none.")
@click.option("--assignment-strategy", default=RANGE, help="The assignor, with --group-protocol classic.")
@click.option("--consumer.config", "consumer_config", type=FILE, help="The old name of --command-config.")
@click.option("--command-config", type=FILE, help="File with settings of the consumer.")
@click.pass_obj
def verifiable_consumer(
    env: Env,
    /,
    bootstrap_server: str | None,
    data_dir: str | None,
    topic: str,
    max_messages: int,
    verbose: bool,
    **given: str | bool | int | None,
) -> None:
    """This tool consumes messages from a specific topic and emits consumer events (e.g. group rebalances, received
    messages, and offsets committed) as JSON objects to STDOUT.
    """
    env.only_prints = True  # what nobody was told of is not committed, so that it is read again
    with failing_as(one_line):
        config = properties.known_settings(env, "consumer", _config(env, given))
        with env.open_cluster(bootstrap_server, data_dir, config=config) as cluster:
            events = Events(env)
            consumer = cluster.consumer(config, on_notice=env.err)
            events.tell("startup_complete")
            asked = False
            try:
                with consumer:
                    consumer.on_rebalance(
                        assigned=lambda found: events.tell("partitions_assigned", partitions=named(found)),
                        revoked=lambda found: events.tell("partitions_revoked", partitions=named(found)),
                        lost=lambda found: events.tell("partitions_revoked", partitions=named(found)),
                    )
                    reset = OffsetAt.EARLIEST if given["reset_policy"] == "earliest" else OffsetAt.LATEST
                    consumer.subscribe([topic], start=reset)
                    try:
                        _consume(
                            events, consumer, max_messages, verbose=verbose, commits=not given["enable_autocommit"]
                        )
                    except (Terminated, KeyboardInterrupt):
                        events.tell("shutdown_requested")
                        asked = True
                        raise
            finally:
                events.tell("shutdown_complete")
                if not asked:  # Kafka's tool says so whenever its machine ends
                    events.tell("shutdown_requested")


def _config(env: Env, given: dict[str, str | bool | int | None]) -> dict[str, str]:
    if given["consumer_config"] and given["command_config"]:
        raise CommandFailure("Options --consumer.config and --command-config are mutually exclusive.")
    if given["consumer_config"]:
        env.out(
            "Option --consumer.config has been deprecated and will be removed in a future version. Use "
            "--command-config instead."
        )
    path = given["consumer_config"] or given["command_config"]
    config = {} if path is None else load_properties(str(path))
    for forced in ("bootstrap.servers", "key.deserializer", "value.deserializer"):
        config.pop(forced, None)
    protocol = str(given["group_protocol"]).lower()
    config |= {
        "group.protocol": protocol,
        "group.id": str(given["group_id"]),
        "enable.auto.commit": "true" if given["enable_autocommit"] else "false",
        "auto.offset.reset": str(given["reset_policy"]),
    }
    if given["group_instance_id"] is not None:
        config["group.instance.id"] = str(given["group_instance_id"])
    if given["session_timeout"] is not None:
        config["session.timeout.ms"] = str(given["session_timeout"])
    if protocol != "consumer":
        config["partition.assignment.strategy"] = str(given["assignment_strategy"])
    elif given["group_remote_assignor"] is not None:
        config["group.remote.assignor"] = str(given["group_remote_assignor"])
    return config


def _consume(events: Events, consumer: Consumer, limit: int, *, verbose: bool, commits: bool) -> None:
    """Read until the limit, or for ever; what was told of is committed. Source: VerifiableConsumer#run."""
    consumed = 0
    while limit < 0 or consumed < limit:
        runs = consumer.poll(POLL, None if limit < 0 else limit - consumed)
        if not runs:
            continue
        for records in runs:
            if verbose:
                _tell_records(events, records)
        consumed += sum(map(len, runs))
        events.tell("records_consumed", count=sum(map(len, runs)), partitions=_ranges(runs))
        if commits:
            _commit(events, consumer, runs)


def _ranges(runs: Sequence[Records]) -> list[dict[str, object]]:
    """What was read of each partition."""
    offsets: dict[tuple[str, int], list[int]] = {}
    for records in runs:
        offsets.setdefault((records.topic, records.partition), []).extend(records.offsets)
    return [
        {"topic": topic, "partition": partition, "count": len(read), "minOffset": read[0], "maxOffset": read[-1]}
        for (topic, partition), read in offsets.items()
    ]


def _tell_records(events: Events, records: Records) -> None:
    for key, value, offset in zip(records.keys, records.values, records.offsets, strict=True):
        events.tell(
            "record_data",
            key=None if key is None else key.decode("utf-8", "replace"),
            value=None if value is None else value.decode("utf-8", "replace"),
            topic=records.topic,
            partition=records.partition,
            offset=offset,
        )


def _commit(events: Events, consumer: Consumer, runs: Sequence[Records]) -> None:
    offsets = {TopicPartition(records.topic, records.partition): records.offsets[-1] + 1 for records in runs}
    told = [{"topic": each.topic, "partition": each.partition, "offset": offset} for each, offset in offsets.items()]
    try:
        consumer.commit(offsets)
    except (UnknownMemberIdError, IllegalGenerationError) as error:
        events.tell("offsets_committed", offsets=told, success=False, error=str(error))
    else:
        events.tell("offsets_committed", offsets=told, success=True)
