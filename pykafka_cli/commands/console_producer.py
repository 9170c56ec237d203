"""kafka-console-producer: lines of standard input -> records.

Source: org.apache.kafka.tools.ConsoleProducer of 4.3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pykafka_cli.click_types import FILE, TOPIC
from pykafka_cli.console import records_in
from pykafka_cli.console.garbage import collect_rarely
from pykafka_cli.console.produce import Report, Sending, produce
from pykafka_cli.console.records_in import LINE_READER, LineMessageReader, ReadError
from pykafka_cli.console.records_in import PROPERTIES as READER_PROPERTIES
from pykafka_cli.console.stdin import Lines, enlarge_pipe
from pykafka_cli.errors import CommandFailure, UsageProblem
from pykafka_cli.tool import properties
from pykafka_cli.tool.frame import connection_options, noticing_topic, open_cluster, require_topic
from pykafka_cli.tool.options import INTEGER, LONG, KafkaCommand, Options, examples
from pykafka_store.errors import InvalidConfigError

if TYPE_CHECKING:
    from pykafka_cli.console.records_in import RecordReader
    from pykafka_cli.env import Env

DESCRIPTION = "This tool helps to read data from standard input and publish it to Kafka."
DEFAULT_MAX_REQUEST_SIZE = 1048576
LINE_MARGIN = 1 << 20
"""A line this much longer than max.request.size is still held: then the engine refuses the record in Kafka's words."""
JSON_GROWTH = 6
"""The most characters that JSON spends on one byte: ``\\u0000``."""


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
@click.option("--topic", type=TOPIC, metavar="NAME", help="The topic to produce to. Required, but for JSON lines that "
    "each name theirs.")  # fmt: skip
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
    help="The property linger.ms. On a directory whole lines are appended once nothing more has arrived; only before a "
    "line whose end has not come do they wait, for as long as this.",
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
    help=f"A property of the line reader: {', '.join(records_in.PROPERTIES)}. May be repeated.",
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
@click.option("--key-field", metavar="NAME", help="Take the key of a record that has none from this field of its "
    "value, which is a JSON object. Not one of Kafka's options.")  # fmt: skip
@click.option("--any-partition", is_flag=True, help="Leave the partitions that JSON lines name out of account, for a "
    "topic that has not as many: the key decides, as for lines of text. Not one of Kafka's options.")  # fmt: skip
@click.option("--no-auto-create", is_flag=True, help="Refuse a topic, or a directory, that does not exist. "
    "Not one of Kafka's options; PYKAFKA_AUTO_CREATE=0 says it for a whole script.")  # fmt: skip
def console_producer(env: Env, options: Options) -> None:
    """This tool helps to read data from standard input and publish it to Kafka.

    Each line is a record. What has arrived is appended at once, so a slow pipe can be followed. Bytes pass through
    unchanged. Exit status: 0 if every record was acknowledged, else 1.
    """
    _check(env, options)
    reader = _reader(env, options)
    key_field = options.maybe_text("key-field")
    if key_field is not None:
        from pykafka_cli.console.json_lines import KeyFieldReader

        reader = KeyFieldReader(reader, key_field)
    auto_create = env.auto_create and not options.has("no-auto-create")
    config = properties.known_settings(env, "producer", _producer_config(options, auto_create=auto_create))
    topic, partition = options.maybe_text("topic"), options.maybe_integer("partition")
    collect_rarely()
    with open_cluster(env, options, create=auto_create, config=config) as cluster:
        if not auto_create and topic is not None:
            require_topic(env, cluster, topic)
        sync = options.has("sync")
        names_partitions = options.text("input") == "json" and partition is None
        report = Report(env, lines_name_partitions=names_partitions)
        notice = noticing_topic(env, cluster, topic, report.notice)
        try:
            producer = cluster.producer(config, on_failure=None if sync else report.failure, on_notice=notice)
        except InvalidConfigError as error:
            from pykafka_cli.output.kafka_log import exception_line

            raise CommandFailure(exception_line(error)) from error
        with producer:
            limit = int(config.get("max.request.size", DEFAULT_MAX_REQUEST_SIZE)) + LINE_MARGIN
            enlarge_pipe(env.stdin.fileno())
            growth = JSON_GROWTH if options.text("input") == "json" else 1
            lines = Lines(env.stdin.fileno(), limit * growth, reader.lines_at_once)
            sending = Sending(producer, topic, partition, sync, report)
            try:
                produce(env, lines, reader, sending)
            finally:
                report.end_progress()
        report.fail_if_any()


# ------------------------------------------------------------------------------------------------------------ options


def _check(env: Env, options: Options) -> None:
    """Refuse and warn in the order of ConsoleProducerOptions#checkArgs. The warnings go to stdout, as Kafka's do."""
    if not options.has("topic") and options.text("input") != "json":
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
    elif options.has("any-partition"):
        raise UsageProblem("--any-partition is for --input json: no other line names a partition")
    if options.has("any-partition") and options.has("partition"):
        raise UsageProblem("--any-partition and --partition both say where to send to: leave one out")
    for new, old in (renamed[1], renamed[0], renamed[2]):
        if options.has(old):
            env.out(f"Warning: --{old} is deprecated and will be removed in a future version. Use --{new} instead.")
    if options.has("max-partition-memory-bytes"):
        env.out(
            "Warning: --max-partition-memory-bytes is deprecated and will be removed in Apache Kafka 5.0. "
            "Use --batch-size instead."
        )


def _reader(env: Env, options: Options) -> RecordReader:
    if options.text("input") == "json":
        from pykafka_cli.console.json_lines import JsonLinesReader

        return JsonLinesReader(any_partition=options.has("any-partition"), topics=not options.has("topic"))
    if options.text("line-reader") != LINE_READER:
        raise ReadError(f"{options.text('line-reader')} is not a line reader known here: there is {LINE_READER} only")
    given = properties.of_files(options, "reader-config")
    given |= properties.of_arguments(options, "reader-property", "property")
    unknown = [name for name in given if name not in READER_PROPERTIES]
    properties.warn_of_ignored(env, "no property of the reader", unknown, READER_PROPERTIES)
    return LineMessageReader(given)


def _producer_config(options: Options, *, auto_create: bool) -> dict[str, str]:
    """The settings in force: an option > a property > a file > the option's default, as ConsoleProducer merges them."""
    config = properties.of_files(options, "command-config", "producer.config")
    config |= properties.of_arguments(options, "command-property", "producer-property")
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
        # These two have no default here: where no size is asked for, the engine knows best.
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
    if not auto_create:
        config["allow.auto.create.topics"] = "false"
    return config
