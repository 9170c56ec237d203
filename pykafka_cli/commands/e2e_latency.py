"""``kafka-e2e-latency``: how long a record takes from its producer to a consumer.

Source: org.apache.kafka.tools.EndToEndLatency of Kafka 4.3.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Sequence

import click

from pykafka_cli.click_types import FILE, TOPIC
from pykafka_cli.env import Env
from pykafka_cli.errors import CommandFailure, UsageProblem
from pykafka_cli.java.properties import load_properties
from pykafka_cli.output.kafka_log import exception_line
from pykafka_cli.output.throughput import Throughput
from pykafka_cli.tool import properties
from pykafka_cli.tool.frame import connection_options, failing_as, one_line, open_cluster, plot_option, require
from pykafka_cli.tool.options import INTEGER, KafkaCommand, Options, examples
from pykafka_store.api import Cluster
from pykafka_store.errors import StoreError
from pykafka_store.model import Header, OffsetAt, TopicPartition

TIMEOUT = 60.0
"""Seconds that a record may take at most."""


NAMED = ("bootstrap-server", "topic", "num-records", "producer-acks", "record-size", "command-config")
"""The options that the words of the old spelling stand for, in its order."""


class PositionalToo(KafkaCommand):
    """The old spelling has words in place of options. Source: EndToEndLatency#convertLegacyArgsIfNeeded."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        required = {f"--{name}" for name in NAMED[:5]}
        if args and not ctx.resilient_parsing and args not in (["--help"], ["--version"]) and required.isdisjoint(args):
            if not 5 <= len(args) <= len(NAMED):
                raise CommandFailure(
                    f"Invalid number of arguments. Expected 5 or 6 positional arguments, but got {len(args)}. Usage: "
                    "bootstrap-server topic num-records producer-acks record-size [optional] command-config"
                )
            tell = ctx.obj.err if ctx.obj.takes_old_options else ctx.obj.out
            tell(
                "WARNING: Positional argument usage is deprecated and will be removed in Apache Kafka 5.0. Please use "
                "named arguments instead: " + ", ".join(f"--{name}" for name in NAMED)
            )
            args = [word for name, value in zip(NAMED, args, strict=False) for word in (f"--{name}", value)]
        return super().parse_args(ctx, args)


@click.command(
    "e2e-latency",
    cls=PositionalToo,
    no_arguments="This tool measures end-to-end latency in Kafka by sending messages and timing their reception.",
    short_help="Measure how long a record takes from producer to consumer.",
    epilog=examples("kafka-e2e-latency --topic load --num-records 1000 --producer-acks 1 --record-size 100"),
)
@connection_options
@click.option("--topic", type=TOPIC, help="The topic to use for the test. Required.")
@click.option("--num-records", type=INTEGER, help="The number of messages to send. Required.")
@click.option("--producer-acks", metavar="1|all", help="Producer acknowledgements. Required.")
@click.option("--record-size", type=INTEGER, help="The size of each message payload in bytes. Required.")
@click.option("--command-config", type=FILE, help="Property file of producer, consumer and admin client.")
@click.option("--record-key-size", type=INTEGER, default=0, help="The size of the key in bytes; 0: no key.")
@click.option("--num-headers", type=INTEGER, default=0, help="The number of headers of each message.")
@click.option("--record-header-key-size", type=INTEGER, default=0, help="The size of a header's key in bytes.")
@click.option("--record-header-size", type=INTEGER, default=0, help="The size of a header's value in bytes; -1: null.")
@plot_option
def e2e_latency(env: Env, options: Options) -> None:
    """This tool measures end-to-end latency in Kafka by sending messages and timing their reception."""
    require(options, "topic", "num-records", "producer-acks", "record-size")
    topic, acks = options.text("topic"), options.text("producer-acks")
    if acks not in {"1", "all"}:
        raise UsageProblem("Invalid value for --producer-acks. Latency testing requires synchronous acknowledgement. "
                           "Please use '1' or 'all'.")  # fmt: skip
    count = options.integer("num-records")
    if count <= 0:
        raise UsageProblem("Value for --num-records must be a positive integer.")
    for name in ("record-size", "record-key-size", "num-headers", "record-header-key-size"):
        if options.integer(name) < 0:
            raise UsageProblem(f"Value for --{name} must be a non-negative integer.")
    if options.integer("record-header-size") < -1:
        raise UsageProblem("Value for --record-header-size must be a non-negative integer or -1 for null header value.")
    with failing_as(one_line):
        shown = Throughput(env, options.maybe_text("plot"), f"kafka-e2e-latency, {count:,} records through {topic}")
        path = options.maybe_text("command-config")
        shared = {} if path is None else load_properties(path)
        shared.pop("bootstrap.servers", None)
        connection = {name: value for name, value in shared.items() if name.startswith(("security.", "sasl.", "ssl."))}
        with open_cluster(env, options, config=connection) as cluster:
            latencies = _measure(env, cluster, topic, count, acks, shared, _Sample(options), shown)
        shown.end()
    latencies.sort()
    env.out(f"Avg latency: {sum(latencies) / count / 1e6:.4f} ms")
    median, high, highest = (int(latencies[int(count * share)] / 1e6) for share in (0.5, 0.99, 0.999))
    env.out(f"Percentiles: 50th = {median}, 99th = {high}, 99.9th = {highest}")


class _Sample:
    """Random records of the sizes that the options name."""

    def __init__(self, options: Options) -> None:
        self._size = options.integer("record-size")
        self._key_size = options.integer("record-key-size")
        self._headers = options.integer("num-headers")
        self._header_key_size = options.integer("record-header-key-size")
        self._header_size = options.integer("record-header-size")

    def value(self) -> bytes:
        return _letters(self._size)

    def key(self) -> bytes | None:
        return _letters(self._key_size) if self._key_size > 0 else None

    def headers(self) -> Sequence[Header]:
        value = None if self._header_size < 0 else _letters(self._header_size)
        return tuple((_letters(self._header_key_size).decode(), value) for _ in range(self._headers))


def _letters(size: int) -> bytes:
    return bytes(random.choices(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ", k=size))


def _make_if_missing(env: Env, cluster: Cluster, topic: str) -> None:
    """Raises CommandFailure where it can't be made."""
    admin = cluster.admin()
    if any(each.name == topic for each in admin.list_topics()):
        return
    env.out(f'Topic "{topic}" does not exist. Will create topic with 1 partition(s) and replication factor = 1')
    try:
        admin.create_topic(topic, partitions=1, replication_factor=1)
    except StoreError as error:
        env.out(f"Creation of topic {topic} failed")
        raise CommandFailure(exception_line(error)) from None


def _measure(
    env: Env,
    cluster: Cluster,
    topic: str,
    count: int,
    acks: str,
    shared: dict[str, str],
    sample: _Sample,
    shown: Throughput,
) -> list[int]:
    """The latencies in ns. Raises CommandFailure where a record does not come back as it was sent."""
    sending = properties.known_settings(env, "producer", shared | {"acks": acks, "linger.ms": "0"})
    reading = {"auto.offset.reset": "latest", "enable.auto.commit": "false", "fetch.max.wait.ms": "0"}
    reading = {**shared, **reading, "group.id": f"test-group-{uuid.uuid4()}"}
    reading = properties.known_settings(env, "consumer", reading)
    with cluster.producer(sending) as producer, cluster.consumer(reading) as consumer:
        _make_if_missing(env, cluster, topic)
        description = cluster.admin().describe_topics([topic])[0]
        partitions = [TopicPartition(topic, each.partition) for each in description.partitions]
        consumer.assign(dict.fromkeys(partitions, OffsetAt.LATEST))
        for partition in partitions:
            consumer.position(partition)
        consumer.poll(0.0)
        latencies = []
        shown.begin()
        for number in range(count):
            value, key, headers = sample.value(), sample.key(), sample.headers()
            begin = env.monotonic()
            producer.send(topic, [value], keys=None if key is None else [key], headers=[headers] if headers else None)
            producer.flush()
            found = consumer.poll(TIMEOUT)
            elapsed = env.monotonic() - begin
            if not found:
                raise CommandFailure("poll() timed out before finding a result (timeout:[60000ms])")
            values = [each for records in found for each in records.values]
            if len(values) != 1:
                raise CommandFailure(f"Only one result was expected during this test. We found [{len(values)}]")
            if values[0] != value:
                raise CommandFailure("The message value read did not match the message value sent")
            latencies.append(int(elapsed * 1e9))
            shown.add(1, len(value) + len(key or b""), elapsed * 1000)
            if number % 1000 == 0:
                shown.clear()
                env.out(f"{number}\t{elapsed * 1000}")
    return latencies
