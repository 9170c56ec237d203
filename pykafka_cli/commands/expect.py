"""``pykafka expect``: wait until a topic holds what a file says, and show the difference where it does not."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import click

from pykafka_cli.click_types import DURATION, TOPIC
from pykafka_cli.errors import CommandFailure
from pykafka_cli.output.words import counted
from pykafka_cli.tool.connection import Connection
from pykafka_cli.tool.frame import command_config_option, connection_options
from pykafka_cli.tool.options import examples
from pykafka_store.errors import StoreError
from pykafka_store.model import OffsetAt, TopicPartition

if TYPE_CHECKING:
    from pykafka_cli.env import Env
    from pykafka_store.api import Cluster, Consumer

PAUSE = 0.05
"""Seconds between two attempts at a topic that is not there yet."""
LEAST_PATIENCE = 1.0
"""Seconds that a cluster has for its first answer, however little is left of --timeout."""
LOOK = 0.25
"""Seconds that a poll waits for records."""
SHOWN, CONTEXT = 1000, 3
"""Lines of either side that are compared for the difference, and lines around what differs."""
NULL = b"null"
"""What kafka-console-consumer prints for null."""


class Wanted(NamedTuple):
    topic: str
    partition: int | None
    values: list[bytes]
    any_order: bool


@click.command(
    "expect",
    short_help="Wait until a topic holds what a file says.",
    epilog=examples(
        "pykafka expect --topic orders --values expected.txt",
        "printf 'tea\\nmilk\\n' | pykafka expect --topic orders --values - --any-order --timeout 10s",
    ),
)
@connection_options
@command_config_option
@click.option("--topic", metavar="TOPIC", type=TOPIC, required=True, help="The topic that is read, from its beginning.")
@click.option("--partition", metavar="N", type=click.IntRange(min=0), help="Only this partition of it.")
@click.option(
    "--values",
    "path",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True),
    required=True,
    help="The values that are expected, a line each; - is standard input.",
)
@click.option("--any-order", is_flag=True, help="The order does not matter; how often each value comes does.")
@click.option(
    "--timeout",
    metavar="TIME",
    type=DURATION,
    default="30s",
    show_default=True,
    help="How long to wait for what is missing (500ms, 30s, 5m).",
)
@click.pass_obj
def expect(
    env: Env,
    bootstrap_server: str | None,
    data_dir: str | None,
    command_config: str | None,
    topic: str,
    partition: int | None,
    path: str,
    any_order: bool,
    timeout: float,
) -> None:
    """Read a topic until it holds the values of FILE and no others, and exit 0.

    A value that does not belong there can't get better by waiting and ends it at once; what is missing is waited for,
    as are the topic and the directory. Then the difference is shown on stdout (- expected, + found), and it exits 1.
    Nothing is created, and no group takes part. Null is the line null, as kafka-console-consumer prints it.
    """
    with click.open_file(path, "rb") as file:
        text = file.read()
    values = text.removesuffix(b"\n").split(b"\n") if text else []
    wanted = Wanted(topic, partition, [value.removesuffix(b"\r") for value in values], any_order)
    config = Connection(bootstrap_server, data_dir, command_config).config(env) or {}
    found = _Found(wanted)
    why = ""
    deadline = env.monotonic() + timeout
    while True:
        try:
            with env.open_cluster(
                bootstrap_server,
                data_dir,
                create=False,
                read_only=True,
                config=config,
                patience=max(LEAST_PATIENCE, round(deadline - env.monotonic(), 1)),
            ) as cluster:
                over = _read(env, cluster, wanted, found, deadline)
            why = ""
        except StoreError as error:
            if not error.retriable:
                raise
            over, why = False, f": {error}"
        if over or env.monotonic() >= deadline:
            break
        time.sleep(min(PAUSE, max(0.0, deadline - env.monotonic())))
    if found.is_all and not why:
        return
    for line in found.difference():
        env.out(line)
    missing, surplus = found.counts()
    if not any_order and missing and surplus:
        place = found.first_difference() + 1
        raise CommandFailure(f"expect: topic {topic}: value {place} is not the one that is expected there{why}")
    waited = "" if surplus else f"after {timeout:g} s: "
    raise CommandFailure(
        f"expect: {waited}topic {topic} lacks {missing} of {counted(len(wanted.values), 'value')}, and has {surplus} "
        f"that {'is' if surplus == 1 else 'are'} not expected{why}"
    )


def _read(env: Env, cluster: Cluster, wanted: Wanted, found: _Found, deadline: float) -> bool:
    """Read the topic from its beginning: True as soon as it is all there and nothing else, or something else is there;
    False at the deadline. Raises StoreError, a retriable one while the topic is missing.
    """
    found.clear()
    (described,) = cluster.admin().describe_topics([wanted.topic])
    if len(described.partitions) > 1 and wanted.partition is None and not wanted.any_order:
        raise CommandFailure(
            f"expect: topic {wanted.topic} has {len(described.partitions)} partitions, and only within one of them is "
            "an order: use --any-order, or --partition"
        )
    with cluster.consumer({"allow.auto.create.topics": "false", "auto.offset.reset": "earliest"}) as consumer:
        if wanted.partition is None:
            consumer.subscribe([wanted.topic], start=OffsetAt.EARLIEST)
        else:
            consumer.assign({TopicPartition(wanted.topic, wanted.partition): OffsetAt.EARLIEST})
        last = False
        while True:
            left = deadline - env.monotonic()
            for run in consumer.poll(LOOK if last else max(0.0, min(LOOK, left))):
                found.add([NULL if value is None else value for value in run.values])
            at_end = _at_end(consumer)
            if (at_end and (found.is_all or found.is_wrong)) or found.is_too_much:
                return True
            if last or (left <= 0 and at_end):
                return False
            last = left <= 0  # what is there counts: a poll without a wait may have had no time to see it


def _at_end(consumer: Consumer) -> bool:
    """Whether all is read that is there now."""
    ends = consumer.end_offsets(consumer.assignment())
    return all(consumer.position(partition) >= end for partition, end in ends.items())


class _Found:
    """What was read so far, against what is wanted."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._values: list[bytes] = []
        self._lacking = Counter(wanted.values)
        self.is_wrong = False
        """Whether something is there that does not belong there, in its place or at all."""

    def clear(self) -> None:
        """Begin anew: the topic may be another one."""
        self._values = []
        self._lacking = Counter(self._wanted.values)
        self.is_wrong = False

    def add(self, values: Sequence[bytes]) -> None:
        wanted = self._wanted.values
        for value in values:
            place = len(self._values)
            self._values.append(value)
            self._lacking[value] -= 1
            if self._wanted.any_order:
                self.is_wrong = self.is_wrong or self._lacking[value] < 0
            else:
                self.is_wrong = self.is_wrong or place >= len(wanted) or wanted[place] != value

    @property
    def is_all(self) -> bool:
        return not self.is_wrong and len(self._values) == len(self._wanted.values)

    @property
    def is_too_much(self) -> bool:
        """Whether so much is there that does not belong there that there is no use in reading the rest."""
        return len(self._values) > len(self._wanted.values) + SHOWN

    def counts(self) -> tuple[int, int]:
        """How many values are missing, and how many are there that are not expected; by order, where it matters: a
        value in another's place is one of each.
        """
        if self._wanted.any_order:
            counts = self._lacking.values()
            return sum(count for count in counts if count > 0), -sum(count for count in counts if count < 0)
        pairs = zip(self._wanted.values, self._values, strict=False)
        right = sum(wanted == found for wanted, found in pairs)
        return len(self._wanted.values) - right, len(self._values) - right

    def first_difference(self) -> int:
        """How many values are as expected before one that is not."""
        return _same_at_first(self._wanted.values, self._values)

    def difference(self) -> Iterator[str]:
        """The difference as ``diff -u`` shows it; of long ones the beginning."""
        from difflib import unified_diff

        wanted, found = self._wanted.values, self._values
        if self._wanted.any_order:
            wanted, found = sorted(wanted), sorted(found)
        same = _same_at_first(wanted, found)
        first = max(0, same - CONTEXT)
        expected, there = (_lines(side[first : first + SHOWN]) for side in (wanted, found))
        yield from unified_diff(expected, there, "expected", self._wanted.topic, n=CONTEXT, lineterm="")
        if max(len(wanted), len(found)) > first + SHOWN:
            yield f"... (compared from value {first + 1} on, {SHOWN} values)"


def _lines(values: Sequence[bytes]) -> list[str]:
    return [value.decode("utf-8", "backslashreplace") for value in values]


def _same_at_first(wanted: Sequence[bytes], found: Sequence[bytes]) -> int:
    """How many values are the same before the first that is not."""
    pairs = enumerate(zip(wanted, found, strict=False))
    return next((place for place, (one, other) in pairs if one != other), min(len(wanted), len(found)))
