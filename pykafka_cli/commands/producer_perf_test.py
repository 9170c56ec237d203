"""``kafka-producer-perf-test``: how fast records can be sent, and how long each takes.

Source: org.apache.kafka.tools.ProducerPerformance of Kafka 4.3.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator, Mapping

import click

from pykafka_cli.click_types import FILE, TOPIC
from pykafka_cli.console.latencies import Latencies
from pykafka_cli.env import Env
from pykafka_cli.errors import CommandFailure
from pykafka_cli.java.properties import load_properties
from pykafka_cli.output.kafka_log import exception_line
from pykafka_cli.output.throughput import Throughput
from pykafka_cli.tool import properties
from pykafka_cli.tool.argparse4j import DOUBLE, INTEGER, LONG, ArgparseCommand, SeveralWords, mistake, only_one
from pykafka_cli.tool.frame import connection_options, failing_as, one_line, plot_option
from pykafka_cli.tool.options import examples
from pykafka_cli.tool.throttle import Throttle
from pykafka_store.errors import StoreError
from pykafka_store.model import Delivery, SendFailure

POSITIVE = ("num_records", "record_size", "reporting_interval", "transaction_duration_ms")
AT_ONCE = 1000
"""Records that are handed over together where nothing holds them back."""


@click.command(
    "producer-perf-test",
    cls=ArgparseCommand,
    no_args_is_help=True,
    short_help="Measure how fast records are sent.",
    epilog=examples(
        "kafka-producer-perf-test --topic load --num-records 1000000 --record-size 100 --throughput -1",
        "kafka-producer-perf-test --topic load --num-records 1000 --payload-file lines --throughput 100 "
        "--command-property acks=1 linger.ms=5",
    ),
)
@connection_options
@click.option("--topic", type=TOPIC, required=True, help="Produce records to this topic.")
@click.option("--num-records", type=LONG, required=True, help="Number of records to produce.")
@click.option("--payload-delimiter", default="\\n", help="What is between the payloads of --payload-file.")
@click.option("--throughput", type=DOUBLE, required=True, help="Records a second, roughly; -1: no limit.")
@click.option("--producer-props", cls=SeveralWords, metavar="NAME=VALUE...", help="The old name of --command-property.")
@click.option("--command-property", cls=SeveralWords, metavar="NAME=VALUE...", help="Settings of the producer.")
@click.option("--producer.config", "producer_config", type=FILE, help="The old name of --command-config.")
@click.option("--command-config", type=FILE, help="File with settings of the producer.")
@click.option("--print-metrics", is_flag=True, help="Print what the producer counted at the end.")
@click.option("--transactional-id", help="Refused: a directory has no transactions.")
@click.option("--transaction-duration-ms", type=LONG, help="Refused: a directory has no transactions.")
@click.option("--warmup-records", type=LONG, default=0, help="Records that a second summary leaves out.")
@click.option("--reporting-interval", type=LONG, default=5000, help="Time between two lines, in ms.")
@click.option("--record-size", type=INTEGER, help="Bytes of a record's value: random capital letters.")
@click.option("--payload-file", type=FILE, help="A file of values, one of which is chosen for each record.")
@click.option("--payload-monotonic", is_flag=True, help="Values are the numbers from 0 on.")
@plot_option
@click.pass_obj
def producer_perf_test(env: Env, /, topic: str, num_records: int, throughput: float, **given: object) -> None:
    """This tool is used to verify the producer performance."""
    _check(click.get_current_context(), num_records, given)
    for option in ("transactional-id", "transaction-duration-ms"):
        if given[option.replace("-", "_")] is not None:
            raise CommandFailure(f"--{option} can't be honoured: no transactions are made here")
    values = _values(env, given)
    with failing_as(one_line):
        config = properties.known_settings(env, "producer", _config(env, given))
        servers = config.pop("bootstrap.servers", None)
        data_dir = _text(given, "data_dir")
        address = _text(given, "bootstrap_server") or (servers if data_dir is None else None)
        shown = Throughput(env, _text(given, "plot"), f"kafka-producer-perf-test, {num_records:,} records to {topic}")
        run = _Run(
            env, shown, num_records, int(str(given["warmup_records"])), int(str(given["reporting_interval"])) / 1000
        )
        with env.open_cluster(address, data_dir, config=config) as cluster:
            producer = cluster.producer(config, on_delivery=run.delivered, on_failure=run.failed)
            with producer:
                throttle = Throttle(throughput, AT_ONCE)
                run.begin()
                left = num_records
                while left:
                    count = throttle.take(left)
                    batch = [next(values) for _ in range(count)]
                    run.sending(batch)
                    try:
                        producer.send(topic, batch)
                    except StoreError as error:
                        run.failed(SendFailure(topic, None, count, None, None, error))
                    left -= count
                    run.tell_interval()
                producer.flush()
            run.end(metrics=bool(given["print_metrics"]))


def _check(ctx: click.Context, num_records: int, given: Mapping[str, object]) -> None:
    """Source: ProducerPerformance.ConfigPostProcessor and its parser."""
    values = {
        "--record-size": "record_size",
        "--payload-file": "payload_file",
        "--payload-monotonic": "payload_monotonic",
    }
    present = {option: given[name] is not None and given[name] is not False for option, name in values.items()}
    only_one(ctx, present)
    if not any(present.values()):
        mistake(ctx, f"one of the arguments {' '.join(values)} is required")
    for old, new in (("producer.config", "command-config"), ("producer-props", "command-property")):
        if given[old.replace(".", "_").replace("-", "_")] and given[new.replace("-", "_")]:
            mistake(ctx, f"--{new} and --{old} cannot be specified together.")
    for name, number in {"num_records": num_records, **given}.items():
        if name in POSITIVE and isinstance(number, int) and number <= 0:
            mistake(ctx, f"--{name.replace('_', '-')} should be greater than zero.")
    if int(str(given["warmup_records"])) >= num_records:
        mistake(
            ctx,
            "The value for --warmup-records must be strictly fewer than the number of records in the test, "
            "--num-records.",
        )


def _text(given: Mapping[str, object], name: str) -> str | None:
    value = given[name]
    return None if value is None else str(value)


def _config(env: Env, given: Mapping[str, object]) -> dict[str, str]:
    config: dict[str, str] = {}
    for old, new in (("producer-props", "command-property"), ("producer.config", "command-config")):
        if given[old.replace(".", "_").replace("-", "_")]:
            env.out(f"Option --{old} has been deprecated and will be removed in a future version. Use --{new} instead.")
    path = _text(given, "producer_config") or _text(given, "command_config")
    if path is not None:
        config |= load_properties(path)
    words = given["producer_props"] or given["command_property"]
    assert isinstance(words, tuple)
    config |= dict(_property(word) for word in words)
    if config.pop("transactional.id", None) is not None:
        raise CommandFailure("transactional.id can't be honoured: no transactions are made here")
    for forced in ("key.serializer", "value.serializer"):
        config.pop(forced, None)
    config.setdefault("client.id", "perf-producer-client")
    return config


def _property(text: str) -> tuple[str, str]:
    """Raises CommandFailure. Source: ProducerPerformance#readProps, where Java's split takes empty ends for none."""
    parts = text.split("=")
    while parts and not parts[-1]:
        parts.pop()
    if len(parts) != 2:
        name, _, value = text.partition("=")
        shown = f"{name}=(hidden)" if value.strip("=") else text  # it may be a part of a secret
        raise CommandFailure(f"Invalid property: {shown}")
    return parts[0], parts[1]


def _values(env: Env, given: Mapping[str, object]) -> Iterator[bytes]:
    """The values of the records, as many as are asked for. Raises CommandFailure."""
    if given["payload_monotonic"]:
        return _numbers()
    if given["record_size"]:
        size = int(str(given["record_size"]))
        letters = random.Random(0).choices(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ", k=size + AT_ONCE)
        return _slices(bytes(letters), size)
    return _payloads(env, str(given["payload_file"]), str(given["payload_delimiter"]))


def _numbers() -> Iterator[bytes]:
    number = 0
    while True:
        yield b"%d" % number
        number += 1


def _slices(letters: bytes, size: int) -> Iterator[bytes]:
    """Random values that differ, cut out of one run of random letters."""
    while True:
        start = random.randrange(len(letters) - size)
        yield letters[start : start + size]


def _payloads(env: Env, path: str, delimiter: str) -> Iterator[bytes]:
    env.out(f"Reading payloads from: {os.path.abspath(path)}")
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            text = file.read()
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            raise CommandFailure("File does not exist or empty file provided.") from None
        raise CommandFailure(f"{path} can't be read: {error.strerror}") from error
    separator = delimiter.replace("\\\\n", "\n").replace("\\n", "\n")
    payloads = [part.encode() for part in text.split(separator)]
    if payloads and not payloads[-1]:
        payloads.pop()
    if not payloads:
        raise CommandFailure("File does not exist or empty file provided.")
    env.out(f"Number of records read: {len(payloads)}")

    def choose() -> Iterator[bytes]:
        while True:
            yield random.choice(payloads)

    return choose()


class _Run:
    """What is sent, acknowledged and told. Records are acknowledged in the order in which they were sent, near enough:
    each acknowledgement is of those that were sent longest ago.
    """

    def __init__(self, env: Env, shown: Throughput, records: int, warmup: int, interval: float) -> None:
        self._env = env
        self._shown = shown
        self._records = records
        self._warmup = max(0, min(warmup, records))
        self._interval = interval
        self._now: Callable[[], float] = env.monotonic
        self._all = Latencies()
        self._steady = Latencies()
        self._window = Latencies()
        self._sent: list[tuple[float, int, int]] = []
        """Oldest first: when, how many records, how many bytes of each on the average."""
        self._start = self._window_start = self._steady_start = self._last = 0.0
        self.failures = 0

    def begin(self) -> None:
        self._start = self._window_start = self._steady_start = self._now()
        self._shown.begin()

    def sending(self, values: list[bytes]) -> None:
        self._sent.append((self._now(), len(values), sum(map(len, values))))

    def delivered(self, delivery: Delivery) -> None:
        self._take(delivery.record_count, self._count)

    def failed(self, failure: SendFailure) -> None:
        self._take(failure.record_count, lambda *_: None)
        if not self.failures:
            self._shown.clear()
            error = failure.error
            self._env.err(exception_line(error) if isinstance(error, StoreError) else str(error))
        self.failures += failure.record_count

    def _take(self, records: int, count: Callable[[int, int, float], None]) -> None:
        now = self._now()
        while records and self._sent:
            when, there, size = self._sent[0]
            taken = min(records, there)
            share = size * taken // there
            if taken == there:
                self._sent.pop(0)
            else:
                self._sent[0] = (when, there - taken, size - share)
            count(taken, share, (now - when) * 1000)
            records -= taken
        self._last = now

    def _count(self, records: int, size: int, exact: float) -> None:
        latency = int(exact)
        self._shown.add(records, size, exact)
        before = self._all.records
        self._all.add(records, size, latency)
        self._window.add(records, size, latency)
        steady = min(records, max(0, self._all.records - self._warmup))
        if self._warmup and steady:
            if before <= self._warmup and not self._steady.records:
                self._steady_start = self._now()
                self._shown.clear()
                self._env.out("In steady state.")
            self._steady.add(steady, size * steady // records, latency)

    def tell_interval(self) -> None:
        now = self._now()
        if self._window.records and now - self._window_start >= self._interval:
            self._shown.clear()
            self._env.out(self._window.window_line(now - self._window_start))
            self._env.flush()
            self._window = Latencies()
            self._window_start = now

    def end(self, *, metrics: bool) -> None:
        now = self._now()
        self._shown.end()
        self._env.out(self._all.total_line(now - self._start))
        if self._warmup and self._steady.records:
            self._env.out(self._steady.total_line(now - self._steady_start, what=" steady state"))
        if metrics:
            self._env.out("")
            self._tell_metrics()
        if self.failures:
            raise CommandFailure(f"{self.failures} of {self._records} records were not acknowledged")

    def _tell_metrics(self) -> None:
        """What there is of the metrics of Kafka's producer, in its layout. Source: ToolsUtils#printMetrics."""
        client = "{client-id=perf-producer-client}"
        found = {
            f"app-info:version:{client}": "pykafka",
            f"producer-metrics:record-error-total:{client}": f"{float(self.failures):.3f}",
            f"producer-metrics:record-send-total:{client}": f"{float(self._all.records):.3f}",
            f"producer-metrics:request-latency-avg:{client}": f"{self._all.average:.3f}",
            f"producer-metrics:request-latency-max:{client}": f"{float(self._all.longest):.3f}",
        }
        width = max(map(len, found))
        self._env.out(f"{'Metric Name':<{width}}   Value")
        for name, value in found.items():
            self._env.out(f"{name:<{width}} : {value}")
