"""``kafka-consumer-perf-test``: how fast records are read.

Source: org.apache.kafka.tools.ConsumerPerformance of Kafka 4.3.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable
from typing import NamedTuple

import click

from pykafka_cli.click_types import FILE, TOPIC
from pykafka_cli.env import Env
from pykafka_cli.errors import CommandFailure, Refusal, UsageProblem
from pykafka_cli.java import regex as java_regex
from pykafka_cli.output.kafka_log import exception_line
from pykafka_cli.output.throughput import Throughput
from pykafka_cli.tool import properties
from pykafka_cli.tool.frame import connection_options, failing_as, one_line, open_cluster, plot_option
from pykafka_cli.tool.options import INTEGER, LONG, KafkaCommand, Options, examples
from pykafka_store.api import Consumer
from pykafka_store.errors import StoreError
from pykafka_store.model import OffsetAt, Records

MEBIBYTE = 1024 * 1024
POLL = 0.1
"""Seconds that one poll waits, as in Kafka's tool."""
POLL_RECORDS = "500"
"""What ``max.poll.records`` is where it is not given."""
MOST_AT_ONCE = {"max.poll.records": "10000"}
"""The work a poll is the engine's own, and not what is measured."""


@click.command(
    "consumer-perf-test",
    cls=KafkaCommand,
    no_arguments="This tool is used to verify the consumer performance.",
    short_help="Measure how fast records are read.",
    epilog=examples(
        "kafka-consumer-perf-test --topic load --num-records 1000000",
        "kafka-consumer-perf-test --topic load --num-records 1000000 --show-detailed-stats --hide-header",
    ),
)
@connection_options
@click.option("--topic", type=TOPIC, help="The topic to consume from.")
@click.option("--include", metavar="REGEX", help="Java regular expression of the topics to consume from.")
@click.option("--group", help="The group id. Without it: perf-consumer- and a random number.")
@click.option(
    "--fetch-size", type=INTEGER, default=1048576, help="Bytes of one partition in a request; a directory has none."
)
@click.option("--from-latest", is_flag=True, help="Begin at the end where the group has no offsets.")
@click.option(
    "--socket-buffer-size", type=INTEGER, default=2097152, help="Bytes of a socket's buffer; a directory has none."
)
@click.option("--command-config", type=FILE, help="File with settings of the consumer.")
@click.option("--consumer.config", "consumer_config", type=FILE, help="The old name of --command-config.")
@click.option("--command-property", multiple=True, metavar="NAME=VALUE", help="A setting of the consumer.")
@click.option("--print-metrics", is_flag=True, help="Print what the consumer counted at the end.")
@click.option("--show-detailed-stats", is_flag=True, help="A line for each reporting interval.")
@click.option("--num-records", type=LONG, help="The number of records to consume. Required.")
@click.option("--messages", type=LONG, help="The old name of --num-records.")
@click.option("--reporting-interval", type=LONG, default=5000, help="Time between two lines, in ms.")
@click.option("--date-format", default="yyyy-MM-dd HH:mm:ss:SSS", help="How times are printed, in Java's letters.")
@click.option("--hide-header", is_flag=True, help="Leave out the heading.")
@click.option("--timeout", type=LONG, default=10000, help="Time without records after which to end, in ms.")
@plot_option
def consumer_perf_test(env: Env, options: Options) -> None:
    """This tool is used to verify the consumer performance."""
    _check(env, options)
    detailed = options.has("show-detailed-stats")
    if not options.has("hide-header"):
        env.out(_heading(detailed=detailed))
    with failing_as(one_line):
        given = _config(options)
        wanted = options.integer("num-records" if options.has("num-records") else "messages")
        interval = options.integer("reporting-interval")
        if interval <= 0:
            raise Refusal("Reporting interval must be greater than 0.")
        when = _Dates(options.text("date-format"))
        read = options.maybe_text("topic") or options.maybe_text("include")
        shown = Throughput(env, options.maybe_text("plot"), f"kafka-consumer-perf-test, {wanted:,} records of {read}")
        config = properties.known_settings(env, "consumer", MOST_AT_ONCE | given)
        with open_cluster(env, options, config=config) as cluster:
            consumer = cluster.consumer(config, on_notice=env.err)
            with consumer:
                step = int(given.get("max.poll.records", POLL_RECORDS))
                run = _Run(env, shown, consumer, wanted, options.integer("timeout") / 1000, step)
                run.on_interval = _Printing(env, shown, when, interval / 1000).tell if detailed else None
                topic, pattern = options.maybe_text("topic"), options.maybe_text("include")
                if topic == "":
                    raise Refusal("Topic collection to subscribe to cannot contain null or empty topic")
                try:
                    consumer.subscribe(
                        None if topic is None else [topic],
                        pattern=None if pattern is None else _compiled(pattern),
                        start=OffsetAt.LATEST if options.has("from-latest") else OffsetAt.EARLIEST,
                    )
                    run.consume()
                except StoreError as error:
                    raise CommandFailure(exception_line(error)) from error
            if not detailed:
                env.out(run.summary(when))
            if options.has("print-metrics"):
                env.out(
                    f"\nMetric Name   Value\nconsumer-fetch-manager-metrics:records-consumed-total : {run.records}.000"
                )


def _check(env: Env, options: Options) -> None:
    """Refuse and warn as ConsumerPerfOptions does."""
    for one, other in (("topic", "include"), ("num-records", "messages")):
        if options.has(one) == options.has(other):
            raise UsageProblem(f"Exactly one of the following arguments is required: [{one}], [{other}]")
    if options.has("messages"):
        env.out("Warning: --messages is deprecated. Use --num-records instead.")
    if options.has("consumer.config"):
        if options.has("command-config"):
            raise UsageProblem('Option "[command-config]" can\'t be used with option "[consumer.config]"')
        env.out("Warning: --consumer.config is deprecated. Use --command-config instead.")


def _config(options: Options) -> dict[str, str]:
    config = properties.of_files(options, "command-config", "consumer.config")
    config |= properties.of_arguments(options, "command-property")
    for forced in ("bootstrap.servers", "key.deserializer", "value.deserializer"):
        config.pop(forced, None)
    config.setdefault("client.id", "perf-consumer-client")
    config["max.partition.fetch.bytes"] = str(options.integer("fetch-size"))
    config["receive.buffer.bytes"] = str(options.integer("socket-buffer-size"))
    group = options.maybe_text("group")
    config["group.id"] = f"perf-consumer-{random.randrange(100_000)}" if group is None else group
    config["auto.offset.reset"] = "latest" if options.has("from-latest") else "earliest"
    return config


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        return java_regex.compile(pattern)
    except ValueError as error:
        raise CommandFailure(f"java.util.regex.PatternSyntaxException: {error}") from error


def _heading(*, detailed: bool) -> str:
    first = "time, threadId" if detailed else "start.time, end.time"
    return (
        f"{first}, data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec, rebalance.time.ms, fetch.time.ms, "
        "fetch.MB.sec, fetch.nMsg.sec"
    )


class _Dates:
    """Times in the letters of java.text.SimpleDateFormat, as far as a log has use for them."""

    _LETTERS = (("yyyy", "%Y"), ("MM", "%m"), ("dd", "%d"), ("HH", "%H"), ("mm", "%M"), ("ss", "%S"))

    def __init__(self, pattern: str) -> None:
        """Raises Refusal."""
        unknown = re.search("[A-Za-z]", re.sub("'[^']*'|[GyYMLwWDdFEuaHkKhmsSzZX]", "", pattern))
        if unknown is not None:
            raise Refusal(f"Illegal pattern character '{unknown[0]}'")
        self._pattern = pattern.replace("%", "%%")
        for letters, ours in self._LETTERS:
            self._pattern = self._pattern.replace(letters, ours)

    def __call__(self, seconds: float) -> str:
        milliseconds = f"{int(seconds * 1000) % 1000:03d}"
        return time.strftime(self._pattern.replace("SSS", milliseconds), time.localtime(int(seconds)))


class _Seen(NamedTuple):
    """What was read so far, and what of the time went into rebalances, in seconds."""

    records: int = 0
    size: int = 0
    joining: float = 0.0


class _Run:
    def __init__(self, env: Env, shown: Throughput, consumer: Consumer, wanted: int, timeout: float, step: int) -> None:
        self._env = env
        self._step = step
        self._shown = shown
        self._consumer = consumer
        self._wanted = wanted
        self._timeout = timeout
        self.on_interval: Callable[[_Seen], None] | None = None
        self.records = 0
        self._size = 0
        self._joining = 0.0
        self._start = self._end = 0.0
        self._join_began: float | None = None
        consumer.on_rebalance(assigned=self._assigned, revoked=self._revoked)

    def _assigned(self, _partitions: object) -> None:
        if self._join_began is not None:
            self._joining += self._env.monotonic() - self._join_began
            self._join_began = None

    def _revoked(self, _partitions: object) -> None:
        self._join_began = self._env.monotonic()

    def consume(self) -> None:
        self._start = self._env.clock()
        self._join_began = last = self._env.monotonic()
        self._shown.begin()
        while self.records < self._wanted and self._env.monotonic() - last <= self._timeout:
            asked = self._env.monotonic()
            runs = self._consumer.poll(POLL, self._next_stop())
            records, size = sum(map(len, runs)), sum(map(_size_of, runs))
            if runs:
                last = self._env.monotonic()
                self._shown.add(records, size, (last - asked) * 1000)
            self.records += records
            self._size += size
            if self.on_interval is not None:
                self.on_interval(_Seen(self.records, self._size, self._joining))
        self._end = self._env.clock()
        self._shown.end()
        if self.records < self._wanted:
            self._env.out(
                f"WARNING: Exiting before consuming the expected number of records: timeout "
                f"({self._timeout * 1000:.0f} ms) exceeded. You can use the --timeout option to increase the timeout."
            )

    def _next_stop(self) -> int:
        """How many records a poll may bring. Kafka's brings ``max.poll.records`` at most, so its tool stops at a
        multiple of that; several of these at once cost less.
        """
        return -(-(self._wanted - self.records) // self._step) * self._step

    def summary(self, when: _Dates) -> str:
        elapsed = max(self._end - self._start, 1e-6)
        fetching = max(elapsed - self._joining, 1e-6)
        size = self._size / MEBIBYTE
        return (
            f"{when(self._start)}, {when(self._end)}, {size:.4f}, {size / elapsed:.4f}, {self.records}, "
            f"{self.records / elapsed:.4f}, {self._joining * 1000:.0f}, {fetching * 1000:.0f}, {size / fetching:.4f}, "
            f"{self.records / fetching:.4f}"
        )


def _size_of(records: Records) -> int:
    return sum(map(_size, records.values)) + sum(map(_size, records.keys))


def _size(field: bytes | None) -> int:
    return 0 if field is None else len(field)


class _Printing:
    """A line for each interval. Source: ConsumerPerformance#printConsumerProgress."""

    def __init__(self, env: Env, shown: Throughput, when: _Dates, interval: float) -> None:
        self._env = env
        self._shown = shown
        self._when = when
        self._interval = interval
        self._last = env.monotonic()
        self._before = _Seen()

    def tell(self, seen: _Seen) -> None:
        now = self._env.monotonic()
        elapsed = now - self._last
        if elapsed < self._interval:
            return
        before, self._before, self._last = self._before, seen, now
        joined = seen.joining - before.joining
        fetching = elapsed - joined
        size, records = (seen.size - before.size) / MEBIBYTE, seen.records - before.records
        self._shown.clear()
        per_second = (size / fetching, records / fetching) if fetching > 0 else (0.0, 0.0)
        self._env.out(
            f"{self._when(self._env.clock())}, 0, {seen.size / MEBIBYTE:.4f}, {size / elapsed:.4f}, {seen.records}, "
            f"{records / elapsed:.4f}, {joined * 1000:.0f}, {fetching * 1000:.0f}, {per_second[0]:.4f}, "
            f"{per_second[1]:.4f}"
        )
        self._env.flush()
