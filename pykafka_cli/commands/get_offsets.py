"""``kafka-get-offsets``: the offsets of partitions at a point in time.

Source: org.apache.kafka.tools.GetOffsetShell and tools.filter.TopicPartitionFilter of Kafka 4.3.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import click

from pykafka_cli.click_types import TOPIC
from pykafka_cli.env import Env
from pykafka_cli.errors import CommandFailure, Refusal
from pykafka_cli.java.text import split, whole
from pykafka_cli.output.hints import suggest_topic
from pykafka_cli.tool.frame import command_config_option, connection_options, failing_as, opened
from pykafka_cli.tool.options import KafkaCommand, Options, examples
from pykafka_cli.tool.topic_filter import TopicFilter
from pykafka_store.errors import StoreError, UnsupportedVersionError
from pykafka_store.model import OffsetAt, TopicPartition
from pykafka_store.numbers import whole_number

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
@command_config_option
@click.option("--exclude-internal-topics", is_flag=True, help="Leave out internal topics.")
def get_offsets(env: Env, options: Options) -> None:
    """An interactive shell for getting topic-partition offsets."""
    with failing_as(_failure):
        if options.has("topic-partitions") and (options.has("topic") or options.has("partitions")):
            raise Refusal("--topic-partitions cannot be used with --topic or --partitions")
        at = _time(options.text("time"))
        rules = _rules(options)
        with opened(env, options) as admin:
            for partition, offset in run(env, options, admin, rules, at):
                env.out(f"{partition.topic}:{partition.partition}:{offset}")


def run(env: Env, options: Options, admin: Admin, rules: list[Rule], at: int) -> list[tuple[TopicPartition, int]]:
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
        if topic := options.maybe_text("topic"):
            suggest_topic(env, admin, topic)
        raise Refusal("Could not match any topic-partitions with the specified filters")

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
    return found


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
    number = whole_number(text, 64)
    if number is None:
        raise Refusal(
            f"Malformed time argument {text}. Please use -1 or latest / -2 or earliest / -3 or max-timestamp / "
            "-4 or earliest-local / -5 or latest-tiered / -6 or earliest-pending-upload, "
            "or a specified long format timestamp"
        )
    return number


def _rules(options: Options) -> list[Rule]:
    listed = options.maybe_text("topic-partitions")
    if listed is not None:
        return [_rule(text) for text in split(listed, ",")]
    topic, numbers = options.maybe_text("topic"), options.maybe_text("partitions")
    topics = TopicFilter(".*" if topic is None else topic)
    return [Rule(topics, only=_partition_numbers(numbers) if numbers else frozenset())]


def _rule(text: str) -> Rule:
    """One ``TOPIC:PARTITION`` pattern. Source: GetOffsetShell#parseRuleSpec."""
    match = re.fullmatch(r"([^:,]*)(?::(?:([0-9]*)|([0-9]*)-([0-9]*)))?", text)
    if match is None:
        raise Refusal(f"org.apache.kafka.tools.TerseException: Invalid rule specification: {text}")
    topic, number, low, high = match.groups()
    topics = TopicFilter(topic or ".*")
    if number:
        return Rule(topics, only=frozenset({whole(number)}))
    return Rule(topics, whole(low) if low else 0, whole(high) if high else INT_MAX)


def _partition_numbers(text: str) -> frozenset[int]:
    """The numbers in a list. No number at all, as in ``,``, stands for all partitions."""
    numbers = {whole_number(part, 32) for part in split(text, ",")}
    if None in numbers:
        raise Refusal(f"--partitions expects a comma separated list of numeric partition ids, but received: {text}")
    return frozenset(number for number in numbers if number is not None)
