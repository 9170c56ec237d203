"""``kafka-transactions``: transactions and the producers that are remembered, and how one that hangs is ended.

Source: org.apache.kafka.tools.TransactionsCommand of Kafka 4.3. A directory writes no transactions; a log that a broker
wrote may hold some.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import click

from pykafka_cli import KAFKA_VERSION
from pykafka_cli.env import Env
from pykafka_cli.errors import CommandFailure
from pykafka_cli.tool.argparse4j import INTEGER, LONG, SHORT, ArgparseGroup, Told
from pykafka_cli.tool.connection import Connection
from pykafka_cli.tool.frame import command_config_option, connection_options, failing_as, one_line
from pykafka_cli.tool.java_tables import pretty_table
from pykafka_cli.tool.options import examples
from pykafka_store.errors import (
    StoreError,
    TransactionalIdNotFoundError,
    UnknownTopicOrPartitionError,
    not_hosted,
)
from pykafka_store.model import TopicPartition
from pykafka_store.transactions import ProducerState

if TYPE_CHECKING:
    from pykafka_store.api import Admin

CONNECTION = "pykafka.connection"
"""Under this name the context of a subcommand has the Connection that the options before it say."""


def _print_version(ctx: click.Context, _param: click.Parameter, asked: bool) -> None:
    if asked and not ctx.resilient_parsing:
        ctx.obj.out(KAFKA_VERSION)
        raise Told(0)


@click.group(
    "transactions",
    short_help="Analyze the transactions of producers.",
    cls=ArgparseGroup,
    help_exit_code=1,
    epilog=examples(
        "kafka-transactions list",
        "kafka-transactions describe-producers --topic orders --partition 0",
        "kafka-transactions find-hanging --topic orders",
    ),
)
@connection_options
@command_config_option
@click.option(
    "--version", "-v", is_flag=True, is_eager=True, expose_value=False, callback=_print_version,
    help="The version of Kafka that is followed.",
)  # fmt: skip
@click.pass_context
def transactions(
    ctx: click.Context, bootstrap_server: str | None, data_dir: str | None, command_config: str | None
) -> None:
    """This tool is used to analyze the transactional state of producers in the cluster.

    It can be used to detect and recover from hanging transactions.
    """
    if command_config is not None and not os.path.exists(command_config):
        raise _failure("Failed to load admin client properties", command_config)
    ctx.meta[CONNECTION] = Connection(bootstrap_server, data_dir, command_config)


@contextmanager
def _admin(ctx: click.Context) -> Iterator[Admin]:
    with failing_as(one_line), ctx.meta[CONNECTION].open(ctx.obj) as cluster:
        yield cluster.admin()


def _failure(deed: str, reason: object) -> CommandFailure:
    return CommandFailure(f"{deed}: {reason}. Enable debug logging for additional detail.")


@contextmanager
def _failing(deed: str) -> Iterator[None]:
    try:
        yield
    except StoreError as error:
        raise _failure(deed, error) from None


_topic = click.option("--topic", metavar="NAME", required=True, help="The topic.")
_partition = click.option("--partition", metavar="NUMBER", type=INTEGER, required=True, help="The partition.")


@transactions.command("list", epilog=examples("kafka-transactions list --duration-filter 60000"))
@click.option(
    "--duration-filter", metavar="MS", type=LONG, help="Only those that run for longer; all with a negative one."
)
@click.option("--transactional-id-pattern", metavar="REGEX", help="Only those whose id matches this RE2 expression.")
@click.pass_context
def list_transactions(ctx: click.Context, duration_filter: int | None, transactional_id_pattern: str | None) -> None:
    """List transactions."""
    with _admin(ctx) as admin, _failing("Failed to list transactions"):
        found = admin.list_transactions(
            longer_than_ms=-1 if duration_filter is None else duration_filter, pattern=transactional_id_pattern
        )
    rows = [
        (each.transactional_id, str(coordinator), str(each.producer_id), each.state)
        for coordinator, listings in found.items()
        for each in listings
    ]
    _table(ctx.obj, ("TransactionalId", "Coordinator", "ProducerId", "TransactionState"), rows)


@transactions.command("describe", epilog=examples("kafka-transactions describe --transactional-id payments"))
@click.option("--transactional-id", metavar="ID", required=True, help="The transactional id.")
@click.pass_context
def describe(ctx: click.Context, transactional_id: str) -> None:
    """Describe the state of an active transactional-id."""
    env: Env = ctx.obj
    deed = f"Failed to describe transaction state of transactional-id `{transactional_id}`"
    with _admin(ctx) as admin, _failing(deed):
        found = admin.describe_transactions([transactional_id])[transactional_id]
        if isinstance(found, StoreError):
            raise found
    started = found.start_time_ms
    row = (
        str(found.coordinator), transactional_id, str(found.producer_id), str(found.producer_epoch), found.state,
        str(found.timeout_ms), "None" if started is None else str(started),
        "None" if started is None else str(int(env.clock() * 1000) - started),
        ",".join(map(str, found.partitions)),
    )  # fmt: skip
    headings = (
        "CoordinatorId", "TransactionalId", "ProducerId", "ProducerEpoch", "TransactionState", "TransactionTimeoutMs",
        "CurrentTransactionStartTimeMs", "TransactionDurationMs", "TopicPartitions",
    )  # fmt: skip
    _table(env, headings, [row])


@transactions.command(
    "describe-producers", epilog=examples("kafka-transactions describe-producers --topic orders --partition 0")
)
@click.option("--broker-id", metavar="ID", type=INTEGER, help="Ask the replica on this broker, and not the leader.")
@_topic
@_partition
@click.pass_context
def describe_producers(ctx: click.Context, broker_id: int | None, topic: str, partition: int) -> None:
    """Describe the states of active producers for a topic partition."""
    here = TopicPartition(topic, partition)
    where = "leader" if broker_id is None else f"broker {broker_id}"
    with _admin(ctx) as admin, _failing(f"Failed to describe producers for partition {here} on {where}"):
        found = admin.describe_producers([here], broker_id)[here]
        if isinstance(found, StoreError):
            raise found
    rows = [
        (
            str(each.producer_id), str(each.producer_epoch), _number(each.coordinator_epoch), str(each.last_sequence),
            str(each.last_timestamp), "None" if each.transaction_start is None else str(each.transaction_start),
        )
        for each in found
    ]  # fmt: skip
    headings = (
        "ProducerId", "ProducerEpoch", "LatestCoordinatorEpoch", "LastSequence", "LastTimestamp",
        "CurrentTransactionStartOffset",
    )  # fmt: skip
    _table(ctx.obj, headings, rows)


@transactions.command(
    "abort", epilog=examples("kafka-transactions abort --topic orders --partition 0 --start-offset 7")
)
@_topic
@_partition
@click.option("--start-offset", metavar="OFFSET", type=LONG, help="Where the transaction to abort begins.")
@click.option("--producer-id", metavar="ID", type=LONG, help="For brokers older than 3.0, as the next two.")
@click.option("--producer-epoch", metavar="EPOCH", type=SHORT, help="The producer's epoch.")
@click.option("--coordinator-epoch", metavar="EPOCH", type=INTEGER, help="The coordinator's epoch.")
@click.pass_context
def abort(
    ctx: click.Context,
    topic: str,
    partition: int,
    start_offset: int | None,
    producer_id: int | None,
    producer_epoch: int | None,
    coordinator_epoch: int | None,
) -> None:
    """Abort a hanging transaction (requires administrative privileges)."""
    here = TopicPartition(topic, partition)
    if start_offset is None and producer_id is None:
        raise CommandFailure(
            "The transaction to abort must be identified either with --start-offset (for brokers on 3.0 or above) or "
            "with --producer-id, --producer-epoch, and --coordinator-epoch (for older brokers)"
        )
    with _admin(ctx) as admin:
        if start_offset is not None:
            producer = _producer_of(admin, here, start_offset)
            id, epoch, coordinator = producer.producer_id, producer.producer_epoch, producer.coordinator_epoch or 0
        else:
            if producer_epoch is None:
                raise CommandFailure("Missing required argument --producer-epoch")
            if coordinator_epoch is None:
                raise CommandFailure("Missing required argument --coordinator-epoch")
            assert producer_id is not None
            id, epoch, coordinator = producer_id, producer_epoch, max(0, coordinator_epoch)
        with _failing(
            f"Failed to abort transaction AbortTransactionSpec(topicPartition={here}, producerId={id}, "
            f"producerEpoch={epoch}, coordinatorEpoch={coordinator})"
        ):
            admin.abort_transaction(here, id, epoch, coordinator)


def _producer_of(admin: Admin, partition: TopicPartition, start: int) -> ProducerState:
    """The producer whose open transaction begins there."""
    with _failing(f"Failed to validate producer state for partition {partition}"):
        found = admin.describe_producers([partition])[partition]
        if isinstance(found, StoreError):
            raise found
    producer = next((each for each in found if each.transaction_start == start), None)
    if producer is None:
        raise CommandFailure(
            f"Could not find any open transactions starting at offset {start} on partition {partition}"
        )
    return producer


class _Open(NamedTuple):
    partition: TopicPartition
    producer: ProducerState


@transactions.command("find-hanging", epilog=examples("kafka-transactions find-hanging --broker-id 0"))
@click.option("--broker-id", metavar="ID", type=INTEGER, help="Search the replicas of this broker.")
@click.option(
    "--max-transaction-timeout", metavar="MINUTES", type=INTEGER, default=15, help="A younger one does not hang; 15."
)
@click.option("--topic", metavar="NAME", help="Search this topic.")
@click.option("--partition", metavar="NUMBER", type=INTEGER, help="Search this partition of --topic.")
@click.pass_context
def find_hanging(
    ctx: click.Context,
    broker_id: int | None,
    max_transaction_timeout: int,
    topic: str | None,
    partition: int | None,
) -> None:
    """Find hanging transactions."""
    env: Env = ctx.obj
    if topic is None and broker_id is None:
        raise CommandFailure(
            "The `find-hanging` command requires either --topic or --broker-id to limit the scope of the search"
        )
    with _admin(ctx) as admin:
        partitions = _to_search(admin, broker_id, topic, partition)
        before = int(env.clock() * 1000) - max_transaction_timeout * 60_000
        hanging = _hanging(admin, _candidates(admin, partitions, broker_id, before))
    rows = [
        (
            each.partition.topic, str(each.partition.partition), str(each.producer.producer_id),
            str(each.producer.producer_epoch), _number(each.producer.coordinator_epoch),
            _number(each.producer.transaction_start), str(each.producer.last_timestamp),
            str((int(env.clock() * 1000) - each.producer.last_timestamp) // 60_000),
        )
        for each in hanging
    ]  # fmt: skip
    headings = (
        "Topic", "Partition", "ProducerId", "ProducerEpoch", "CoordinatorEpoch", "StartOffset", "LastTimestamp",
        "Duration(min)",
    )  # fmt: skip
    _table(env, headings, rows)


def _to_search(admin: Admin, broker: int | None, topic: str | None, partition: int | None) -> list[TopicPartition]:
    if topic is not None and partition is not None:
        return [TopicPartition(topic, partition)]
    topics = [each.name for each in admin.list_topics()] if topic is None else [topic]
    with _failing(f"Failed to describe {len(topics)} topics"):
        try:
            described = admin.describe_topics(topics) if topics else []
        except UnknownTopicOrPartitionError:
            raise not_hosted() from None
    return [
        TopicPartition(each.name, number.partition)
        for each in described
        for number in each.partitions
        if broker is None or broker in number.replicas
    ]


def _candidates(admin: Admin, partitions: Sequence[TopicPartition], broker: int | None, before: int) -> list[_Open]:
    """Transactions that are open since before that time."""
    found = []
    where = "Optional.empty" if broker is None else f"Optional[{broker}]"
    with _failing(f"Failed to describe producers for {len(partitions)} partitions on broker {where}"):
        for partition, producers in admin.describe_producers(partitions, broker).items():
            if isinstance(producers, StoreError):
                raise producers
            found += [
                _Open(partition, each)
                for each in producers
                if each.transaction_start is not None and each.last_timestamp < before
            ]
    return found


def _hanging(admin: Admin, candidates: list[_Open]) -> list[_Open]:
    """Those of which no coordinator knows that it still has to end them there."""
    if not candidates:
        return []
    producers = {each.producer.producer_id for each in candidates}
    with _failing(f"Failed to list transactions for {len(producers)} producers"):
        listings = admin.list_transactions(producer_ids=producers)
    ids = {each.producer_id: each.transactional_id for some in listings.values() for each in some}
    answers = admin.describe_transactions(list(ids.values()))
    expected: dict[int, tuple[TopicPartition, ...]] = {}
    for producer, id in ids.items():
        answer = answers[id]
        if isinstance(answer, StoreError):
            if not isinstance(answer, TransactionalIdNotFoundError):
                raise _failure(f"Failed to describe {len(ids)} transactions", answer)
        else:
            expected[producer] = answer.partitions
    return [each for each in candidates if each.partition not in expected.get(each.producer.producer_id, ())]


@transactions.command(
    "forceTerminateTransaction",
    epilog=examples("kafka-transactions forceTerminateTransaction --transactionalId payments"),
)
@click.option("--transactionalId", "transactional_id", metavar="ID", required=True, help="The transactional id.")
@click.pass_context
def force_terminate(ctx: click.Context, transactional_id: str) -> None:
    """Force abort an ongoing transaction on transactionalId (requires administrative privileges)."""
    with _admin(ctx) as admin, _failing(f"Failed to force terminate transactionalId `{transactional_id}`"):
        admin.terminate_transaction(transactional_id)


def _number(value: int | None) -> str:
    return "-1" if value is None else str(value)


def _table(env: Env, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    for line in pretty_table([headings, *rows]):
        env.out(line)
