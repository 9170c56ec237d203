"""kafka-console-producer: lines of standard input -> records.

Source: org.apache.kafka.tools.ConsoleProducer of 4.3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pykafka_cli.kafka_log import CALLBACK_LOGGER, exception_line, log_line
from pykafka_cli.options import (
    INTEGER,
    LONG,
    CommandFailure,
    KafkaCommand,
    Options,
    UsageProblem,
    connection_options,
    examples,
    open_cluster,
)
from pykafka_cli.params import FILE, TOPIC
from pykafka_cli.properties import PropertiesError, load_properties, parse_key_values
from pykafka_cli.readers import BadLineError, Columns, LineReader, Lines, LineTooLongError, ReadError, enlarge_pipe
from pykafka_store.errors import InvalidConfigError, InvalidTopicError, RecordTooLargeError, StoreError

if TYPE_CHECKING:
    from pykafka_cli.env import Env
    from pykafka_cli.readers import Reader
    from pykafka_store.api import Producer
    from pykafka_store.model import SendFailure

DESCRIPTION = "This tool helps to read data from standard input and publish it to Kafka."
LINE_READER = "org.apache.kafka.tools.LineMessageReader"
DEFAULT_MAX_REQUEST_SIZE = 1048576
LINE_MARGIN = 1 << 20
"""A line this much longer than max.request.size is still held: then the engine refuses the record in Kafka's words."""
JSON_GROWTH = 6
"""The most characters that JSON spends on one byte: ``\\u0000``."""
READER_PROPERTIES = "parse.key, key.separator, parse.headers, headers.delimiter, headers.separator, \
headers.key.separator, ignore.error, null.marker"


@click.command(
    "console-producer",
    cls=KafkaCommand,
    no_arguments=DESCRIPTION,
    epilog=examples(
        "printf 'one\\ntwo\\n' | kafka-console-producer --topic greetings",
        "kafka-console-producer --topic orders --reader-property parse.key=true < keyed.tsv",
        "tail -f app.log | kafka-console-producer --topic logs --compression-codec zstd",
        "kafka-console-producer --topic copy --input json < records.jsonl",
    ),
)
@connection_options
@click.option("--topic", type=TOPIC, metavar="NAME", help="The topic to produce to. Required.")
@click.option("--sync", is_flag=True, help="Send one record at a time, and stop at the first that is refused.")
@click.option(
    "--compression-codec",
    is_flag=False,
    flag_value="gzip",
    metavar="[CODEC]",
    help="none, gzip, snappy, lz4 or zstd; without a codec: gzip. Wins over the property compression.type.",
)
@click.option("--batch-size", type=INTEGER, help="Bytes of a batch (batch.size).")
@click.option(
    "--max-partition-memory-bytes", type=INTEGER, help="Deprecated: the same as --batch-size, and wins over it."
)
@click.option("--message-send-max-retries", type=INTEGER, default=3, help="The property retries.")
@click.option("--retry-backoff-ms", type=LONG, default=100, help="The property retry.backoff.ms.")
@click.option(
    "--timeout",
    type=LONG,
    default=1000,
    help="The property linger.ms. A directory does not linger: what has arrived is appended at once.",
)
@click.option("--request-required-acks", default="-1", metavar="ACKS", help="The property acks: all, -1, 1 or 0.")
@click.option("--request-timeout-ms", type=INTEGER, default=1500, help="The property request.timeout.ms.")
@click.option("--metadata-expiry-ms", type=LONG, default=300000, help="The property metadata.max.age.ms.")
@click.option("--max-block-ms", type=LONG, default=60000, help="The property max.block.ms.")
@click.option("--max-memory-bytes", type=LONG, default=33554432, help="The property buffer.memory.")
@click.option("--socket-buffer-size", type=INTEGER, default=102400, help="The property send.buffer.bytes.")
@click.option("--line-reader", default=LINE_READER, metavar="CLASS", help=f"{LINE_READER}, the only one there is.")
@click.option(
    "--reader-property",
    multiple=True,
    metavar="KEY=VALUE",
    help=f"A property of the line reader: {READER_PROPERTIES}. May be repeated.",
)
@click.option("--property", multiple=True, metavar="KEY=VALUE", help="Deprecated: the same as --reader-property.")
@click.option(
    "--reader-config", type=FILE, metavar="FILE", help="Properties of the line reader; --reader-property wins."
)
@click.option(
    "--command-property",
    multiple=True,
    metavar="KEY=VALUE",
    help="A producer setting, such as acks, max.request.size or partitioner.class (RoundRobinPartitioner, or a "
    "Python function as module:function). May be repeated.",
)
@click.option(
    "--producer-property", multiple=True, metavar="KEY=VALUE", help="Deprecated: the same as --command-property."
)
@click.option("--command-config", type=FILE, metavar="FILE", help="Producer settings; --command-property wins.")
@click.option(
    "--producer.config", "producer_config", type=FILE, metavar="FILE", help="Deprecated: the same as --command-config."
)
@click.option(
    "--input",
    type=click.Choice(["lines", "json"]),
    default="lines",
    help="What a line is: text for the line reader, or a JSON object, as kafka-console-consumer --output json "
    "writes it. Not one of Kafka's options.",
)
@click.option("--partition", type=INTEGER, help="Send everything to this partition. Not one of Kafka's options.")
@click.option("--no-auto-create", is_flag=True, help="Refuse a topic that does not exist. Not one of Kafka's options.")
def console_producer(env: Env, options: Options) -> None:
    """This tool helps to read data from standard input and publish it to Kafka.

    Each line is a record. What has arrived is appended at once, so a slow pipe can be followed. Bytes pass through
    unchanged. Exit status: 0 if every record was acknowledged, else 1.
    """
    _check(env, options)
    try:
        reader = _reader(options)
        config = _producer_config(options)
    except (PropertiesError, ReadError) as problem:
        raise CommandFailure(str(problem)) from problem
    topic, partition = options.text("topic"), options.maybe_integer("partition")
    with open_cluster(env, options, config=config) as cluster:
        if options.has("no-auto-create"):
            cluster.admin().describe_topics([topic])
        sync = options.has("sync")
        report = _Report(env, topic)
        try:
            producer = cluster.producer(config, on_failure=None if sync else report.failure, on_notice=report.notice)
        except InvalidConfigError as error:
            raise CommandFailure(exception_line(error)) from error
        with producer:
            limit = int(config.get("max.request.size", DEFAULT_MAX_REQUEST_SIZE)) + LINE_MARGIN
            enlarge_pipe(env.stdin.fileno())
            growth = JSON_GROWTH if options.text("input") == "json" else 1
            lines = Lines(env.stdin.fileno(), limit * growth, reader.at_once)
            sending = _Sending(producer, topic, partition, sync, report)
            try:
                _produce(env, lines, reader, sending)
            finally:
                report.end()
        report.fail_if_any()


# ------------------------------------------------------------------------------------------------------------ options


def _check(env: Env, options: Options) -> None:
    """Refuse and warn in the order of ConsoleProducerOptions#checkArgs. The warnings go to stdout, as Kafka's do."""
    if not options.has("topic"):
        raise UsageProblem('Missing required argument "[topic]"')
    renamed = (
        ("command-config", "producer.config"),
        ("command-property", "producer-property"),
        ("reader-property", "property"),
    )
    for new, old in renamed:
        if options.has(new) and options.has(old):
            raise UsageProblem(f"Options --{new} and --{old} cannot be specified together.")
    if options.text("input") not in {"lines", "json"}:
        raise UsageProblem(f"--input is lines or json, and not {options.text('input')}")
    if options.text("input") == "json":
        for name in ("reader-property", "property", "reader-config", "line-reader"):
            if options.has(name):
                raise UsageProblem(f"--{name} is for lines, and can't be used with --input json")
    for new, old in (renamed[1], renamed[0], renamed[2]):
        if options.has(old):
            env.out(f"Warning: --{old} is deprecated and will be removed in a future version. Use --{new} instead.")
    if options.has("max-partition-memory-bytes"):
        env.out(
            "Warning: --max-partition-memory-bytes is deprecated and will be removed in Apache Kafka 5.0. "
            "Use --batch-size instead."
        )


def _reader(options: Options) -> Reader:
    if options.text("input") == "json":
        from pykafka_cli.json_lines import JsonReader

        return JsonReader()
    if options.text("line-reader") != LINE_READER:
        raise ReadError(f"{options.text('line-reader')} is not a line reader known here: there is {LINE_READER} only")
    return LineReader(_properties(options, ("reader-config",), ("reader-property", "property")))


def _producer_config(options: Options) -> dict[str, str]:
    """The settings in force: an option > a property > a file > the option's default, as ConsoleProducer merges them."""
    config = _properties(options, ("command-config", "producer.config"), ("command-property", "producer-property"))
    for forced in ("bootstrap.servers", "key.serializer", "value.serializer"):
        config.pop(forced, None)  # Kafka's tool overwrites these with its own
    codec = options.maybe_text("compression-codec")
    config["compression.type"] = "none" if codec is None else codec or "gzip"
    config.setdefault("client.id", "console-producer")
    for setting, option in (
        ("linger.ms", "timeout"),
        ("request.timeout.ms", "request-timeout-ms"),
        ("retries", "message-send-max-retries"),
        ("retry.backoff.ms", "retry-backoff-ms"),
        ("send.buffer.bytes", "socket-buffer-size"),
        ("buffer.memory", "max-memory-bytes"),
        # These two have no default here: where nobody asks for a size, the engine knows best.
        ("batch.size", "batch-size"),
        ("batch.size", "max-partition-memory-bytes"),
        ("metadata.max.age.ms", "metadata-expiry-ms"),
        ("max.block.ms", "max-block-ms"),
    ):
        if options.has(option) or setting not in config:
            value = options.maybe_integer(option)
            if value is not None:
                config[setting] = str(value)
    if options.has("request-required-acks") or "acks" not in config:
        config["acks"] = options.text("request-required-acks")
    if options.has("no-auto-create"):
        config["allow.auto.create.topics"] = "false"
    return config


def _properties(options: Options, files: tuple[str, ...], arguments: tuple[str, ...]) -> dict[str, str]:
    """What a properties file says, and the key=value arguments over it; of two spellings only one is given."""
    properties: dict[str, str] = {}
    for option in files:
        path = options.maybe_text(option)
        if path is not None:
            properties |= load_properties(path)
    for option in arguments:
        properties |= parse_key_values(options.texts(option))
    return properties


# ---------------------------------------------------------------------------------------------------------- producing


def _produce(env: Env, lines: Lines, reader: Reader, sending: _Sending) -> None:
    """Send every line, as many at a time as have arrived, until the input ends or a line is no record."""
    prompt = env.stdin_is_terminal and env.stdout_is_terminal
    while True:
        if prompt and lines.at_line_start():
            env.stdout.write(b">")
            env.stdout.flush()
        try:
            arrived = lines.read()
        except LineTooLongError as error:
            sending.refuse(error)
            continue
        if not arrived:
            return
        try:
            records = reader.columns(arrived, lines.first)
        except BadLineError as error:
            sending.send(error.before)
            sending.flush()
            raise CommandFailure(str(error)) from error
        sending.send(records)
        if not lines.more_is_waiting():
            sending.flush()
        sending.report.progress(lines)


class _Sending:
    """The way of a chunk's records to the producer: all at once, or with ``--sync`` one by one."""

    def __init__(self, producer: Producer, topic: str, partition: int | None, sync: bool, report: _Report) -> None:
        self._producer = producer
        self._topic = topic
        self._partition = partition
        self._sync = sync
        self.report = report

    def send(self, records: Columns) -> None:
        if not self._sync:
            self._send(records)
            return
        for index in range(len(records.values)):
            try:
                self._send(records.slice(index, index + 1))
                self.flush()
            except StoreError as error:
                raise CommandFailure(_of_a_future(error)) from error

    def _send(self, records: Columns) -> None:
        try:
            self._producer.send(
                self._topic,
                records.values,
                keys=records.keys,
                headers=records.headers,
                timestamps=records.timestamps,
                partitions=records.partitions if self._partition is None else self._partition,
            )
        except InvalidTopicError:
            self._refuse_all(records, InvalidTopicError(f"Invalid topics: [{self._topic}]"))
        self.report.sent += len(records.values)

    def _refuse_all(self, records: Columns, error: InvalidTopicError) -> None:
        """To Kafka's producer a name that no topic may have is the failure of each record."""
        if self._sync:
            raise error
        for index, value in enumerate(records.values):
            self.report.refused(1, _size(records.keys[index] if records.keys else None), _size(value), error)

    def flush(self) -> None:
        self._producer.flush()

    def refuse(self, line: LineTooLongError) -> None:
        """A line too long to be held is a record that is too large."""
        error = RecordTooLargeError(str(line))
        if self._sync:
            raise CommandFailure(_of_a_future(error)) from line
        self.report.sent += 1
        self.report.refused(1, "null", f"{line.size} bytes", error)


def _of_a_future(error: StoreError) -> str:
    """The first line of the stack trace with which Kafka's tool ends where it waits for each record."""
    return f"java.util.concurrent.ExecutionException: {exception_line(error)}"


def _size(data: bytes | None) -> str:
    return _size_text(None if data is None else len(data))


def _size_text(size: int | None) -> str:
    return "null" if size is None else f"{size} bytes"


class _Report:
    """What the user is told on stderr: failures, notices, and on a terminal how far the work is."""

    _PROGRESS_AFTER = 1.0
    _PROGRESS_EVERY = 0.2

    def __init__(self, env: Env, topic: str) -> None:
        self._env = env
        self._topic = topic
        self._started = self._last = env.monotonic()
        self._shows_progress = env.stderr_is_terminal and not env.stdin_is_terminal
        self._progress_stands = False
        self._failed = 0
        self.sent = 0

    def failure(self, failure: SendFailure) -> None:
        """Called by the producer for records that were not acknowledged; reading goes on, as in Kafka's tool."""
        key, value = (_size_text(size) for size in (failure.key_size, failure.value_size))
        error = failure.error
        if not isinstance(error, StoreError):
            raise error
        self.refused(failure.record_count, key, value, error)

    def refused(self, count: int, key: str, value: str, error: StoreError) -> None:
        self._failed += count
        what = f"Error when sending message to topic {self._topic} with key: {key}, value: {value} with error:"
        self.notice(f"{log_line(self._env.clock(), 'ERROR', what, CALLBACK_LOGGER)}\n{exception_line(error)}")

    def notice(self, text: str) -> None:
        self.end()
        self._env.err(text)

    def progress(self, lines: Lines) -> None:
        """A line that is written over and over, if anybody is looking and the work is not done in a moment."""
        if not self._shows_progress:
            return
        now = self._env.monotonic()
        elapsed = now - self._started
        if elapsed < self._PROGRESS_AFTER or now - self._last < self._PROGRESS_EVERY:
            return
        self._last = now
        self._progress_stands = True
        megabytes = lines.bytes_read / 1e6
        text = f"{self.sent:,} records, {megabytes:,.1f} MB, {self.sent / elapsed:,.0f} records/s"
        self._env.stderr.write(f"\r{text}\x1b[K")
        self._env.stderr.flush()

    def end(self) -> None:
        """Take the progress line away."""
        if self._progress_stands:
            self._progress_stands = False
            self._env.stderr.write("\r\x1b[K")
            self._env.stderr.flush()

    def fail_if_any(self) -> None:
        if self._failed:
            raise CommandFailure(f"{self._failed} of {self.sent} records were not acknowledged.")
