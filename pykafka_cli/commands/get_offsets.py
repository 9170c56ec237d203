"""``kafka-get-offsets``: the offsets of partitions at a point in time.

Source: org.apache.kafka.tools.GetOffsetShell and tools.filter.TopicPartitionFilter of Kafka 4.3.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import click

from pykafka_cli import render
from pykafka_cli.admin_config import check_admin_config
from pykafka_cli.env import Env
from pykafka_cli.java_regex import InvalidRegexError, TopicFilter, UnsupportedRegexError
from pykafka_cli.options import (
    CommandFailure,
    KafkaCommand,
    OptionProblem,
    Options,
    connection_options,
    examples,
    open_cluster,
)
from pykafka_cli.params import FILE, TOPIC
from pykafka_cli.properties import PropertiesError
from pykafka_cli.results import PartitionOffsets
from pykafka_store.errors import StoreError, UnsupportedVersionError
from pykafka_store.model import OffsetAt, TopicPartition

if TYPE_CHECKING:
    from pykafka_store.api import Admin

TIMES: dict[str, int] = {
    "earliest": OffsetAt.EARLIEST,
    "latest": OffsetAt.LATEST,
    "max-timestamp": OffsetAt.MAX_TIMESTAMP,
    "earliest-local": OffsetAt.EARLIEST_LOCAL,
    "latest-tiered": OffsetAt.LATEST_TIERED,
    "earliest-pending-upload": OffsetAt.EARLIEST_PENDING_UPLOAD,
}
INT_MAX = 2**31 - 1
UNKNOWN_OFFSET = -1


class Rule(NamedTuple):
    """Which partitions of which topics: numbers from ``low`` to ``high`` (exclusive), and of these ``only`` some."""

    topics: TopicFilter
    low: int = 0
    high: int = INT_MAX
    only: frozenset[int] = frozenset()

    def allows(self, partition: TopicPartition) -> bool:
        return (
            self.topics.allows(partition.topic)
            and self.low <= partition.partition < self.high
            and (not self.only or partition.partition in self.only)
        )


class _Refusal(Exception):  # noqa: N818 - said to the user in Kafka's words
    pass


def _failure(message: object) -> CommandFailure:
    return CommandFailure(f"Error occurred: {message}")


@click.command(
    "get-offsets",
    cls=KafkaCommand,
    no_arguments="An interactive shell for getting topic-partition offsets.",
    bad_options=_failure,
    epilog=examples(
        "kafka-get-offsets --topic orders",
        "kafka-get-offsets --topic-partitions 'orders:0-2,pay.*:0' --time earliest",
        "kafka-get-offsets --topic orders --time 1700000000000",
    ),
)
@connection_options
@click.option(
    "--topic-partitions",
    metavar="LIST",
    help="Comma separated list of TOPIC:PARTITION patterns. TOPIC is a regular expression; left out, it is any topic. "
    "PARTITION is a number, FROM-TO (without TO), FROM-, -TO, or left out for all. Excludes --topic and --partitions.",
)
@click.option(
    "--topic",
    metavar="TOPIC",
    type=TOPIC,
    help="The topic to get the offsets of: a regular expression that matches the whole name. All topics without it.",
)
@click.option(
    "--partitions", metavar="LIST", help="Comma separated list of partition numbers. All partitions without it."
)
@click.option(
    "--time",
    metavar="TIME",
    default="latest",
    show_default=True,
    help="The offset of the first record at or after this time in milliseconds since the epoch; or -1 or latest, -2 or "
    "earliest, -3 or max-timestamp, -4 or earliest-local, -5 or latest-tiered, -6 or earliest-pending-upload. A "
    "partition without such a record is left out.",
)
@click.option(
    "--command-config",
    metavar="FILE",
    type=FILE,
    help="Property file of the admin client. A data directory needs none of its settings.",
)
@click.option("--exclude-internal-topics", is_flag=True, help="Leave out internal topics.")
def get_offsets(env: Env, options: Options) -> None:
    """An interactive shell for getting topic-partition offsets."""
    try:
        if options.has("topic-partitions") and (options.has("topic") or options.has("partitions")):
            raise _Refusal("--topic-partitions cannot be used with --topic or --partitions")
        at = _time(options.text("time"))
        rules = _rules(options)
        check_admin_config(env, options)
        with open_cluster(env, options) as cluster:
            render.show(env, run(env, options, cluster.admin(), rules, at))
    except (StoreError, _Refusal, OptionProblem, PropertiesError, InvalidRegexError, UnsupportedRegexError) as error:
        raise _failure(error) from None


def run(env: Env, options: Options, admin: Admin, rules: list[Rule], at: int) -> PartitionOffsets:
    """The offsets of the partitions that any rule allows, in the order of their names as text: t-10 before t-2."""
    exclude_internal = options.has("exclude-internal-topics")
    names = [
        listing.name
        for listing in admin.list_topics()
        if any(rule.topics.allows(listing.name, exclude_internal) for rule in rules)
    ]
    partitions = [
        TopicPartition(topic.name, described.partition)
        for topic in (admin.describe_topics(names) if names else [])
        for described in topic.partitions
    ]
    partitions = [partition for partition in partitions if any(rule.allows(partition) for rule in rules)]
    if not partitions:
        raise _Refusal("Could not match any topic-partitions with the specified filters")

    answers = _ask(admin, partitions, at)
    found = []
    for partition in sorted(partitions, key=str):
        answer = answers[partition]
        if isinstance(answer, StoreError):
            env.report_error(
                f"Skip getting offsets for topic-partition {partition} due to error: "
                f"org.apache.kafka.common.errors.{answer.kafka_name}: {answer}"
            )
        elif isinstance(answer, Exception):
            raise answer
        elif answer != UNKNOWN_OFFSET:
            found.append((partition, answer))
    return PartitionOffsets(tuple(found))


def _ask(admin: Admin, partitions: list[TopicPartition], at: int) -> dict[TopicPartition, int | Exception]:
    if at >= 0:
        return admin.list_offsets(dict.fromkeys(partitions, at))
    if at in set(OffsetAt):
        return admin.list_offsets(dict.fromkeys(partitions, OffsetAt(at)))
    return {partition: UnsupportedVersionError("The version of API is not supported.") for partition in partitions}


def _time(text: str) -> int:
    """A timestamp, or below zero what stands for a place in the log."""
    if text in TIMES:
        return TIMES[text]
    if not _fits(text, 64):
        raise _Refusal(
            f"Malformed time argument {text}. Please use -1 or latest / -2 or earliest / -3 or max-timestamp / "
            "-4 or earliest-local / -5 or latest-tiered / -6 or earliest-pending-upload, "
            "or a specified long format timestamp"
        )
    return int(text)


def _rules(options: Options) -> list[Rule]:
    listed = options.maybe_text("topic-partitions")
    if listed is not None:
        return [_rule(text) for text in _split(listed)]
    topic, numbers = options.maybe_text("topic"), options.maybe_text("partitions")
    topics = TopicFilter(".*" if topic is None else topic)
    return [Rule(topics, only=_partition_numbers(numbers) if numbers else frozenset())]


def _rule(text: str) -> Rule:
    """One ``TOPIC:PARTITION`` pattern. Source: GetOffsetShell#parseRuleSpec."""
    match = re.fullmatch(r"([^:,]*)(?::(?:([0-9]*)|([0-9]*)-([0-9]*)))?", text)
    if match is None:
        raise _Refusal(f"org.apache.kafka.tools.TerseException: Invalid rule specification: {text}")
    topic, number, low, high = match.groups()
    topics = TopicFilter(topic or ".*")
    if number:
        return Rule(topics, only=frozenset({_integer(number)}))
    return Rule(topics, _integer(low) if low else 0, _integer(high) if high else INT_MAX)


def _partition_numbers(text: str) -> frozenset[int]:
    """The numbers in a list. No number at all, as in ``,``, stands for all partitions."""
    parts = _split(text)
    if not all(_fits(part, 32) for part in parts):
        raise _Refusal(f"--partitions expects a comma separated list of numeric partition ids, but received: {text}")
    return frozenset(map(int, parts))


def _split(text: str) -> list[str]:
    """Java's String.split at commas: empty parts at the end don't count, unless the whole text is empty."""
    parts = text.split(",")
    while text and parts and not parts[-1]:
        parts.pop()
    return parts


def _integer(digits: str) -> int:
    if not _fits(digits, 32):
        raise _Refusal(f'For input string: "{digits}"')
    return int(digits)


def _fits(text: str, bits: int) -> bool:
    """Whether Java would parse it as a whole number of so many bits."""
    return re.fullmatch(r"[+-]?[0-9]+", text) is not None and -(1 << bits - 1) <= int(text) < 1 << bits - 1
