"""kafka-console-consumer: records -> standard output.

Source: org.apache.kafka.tools.consumer.ConsoleConsumer and ConsoleConsumerOptions of 4.3.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from pykafka_cli import java_regex
from pykafka_cli.formatters import (
    DEFAULT_FORMATTER,
    FormatError,
    Formatter,
    FormatterProblem,
    UnknownClassProblem,
    formatter_named,
)
from pykafka_cli.kafka_log import CONSUMER_LOGGER, exception_line, log_line
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
from pykafka_cli.printing import Printing
from pykafka_cli.properties import PropertiesError, load_properties, parse_key_values
from pykafka_cli.reading import GroupReading, NothingCame, Plan, Reading
from pykafka_store.errors import StoreError
from pykafka_store.model import OffsetAt

if TYPE_CHECKING:
    from pykafka_cli.env import Env

DESCRIPTION = "This tool helps to read data from Kafka topics and outputs it to standard output."
EARLIEST, LATEST = "earliest", "latest"
FORMS = ("text", "json")
FORMATTER_PROPERTIES = "print.timestamp, print.partition, print.offset, print.delivery, print.epoch, print.headers, \
print.key, print.value, key.separator, line.separator, headers.separator, null.literal, key.deserializer, \
value.deserializer, headers.deserializer"


@click.command(
    "console-consumer",
    cls=KafkaCommand,
    no_arguments=DESCRIPTION,
    epilog=examples(
        "kafka-console-consumer --topic orders --from-beginning",
        "kafka-console-consumer --topic orders --partition 0 --offset 42 --max-messages 1",
        "kafka-console-consumer --include 'logs-.*' --formatter-property print.key=true",
        "kafka-console-consumer --topic orders --tail 10 --exit-at-end",
        "kafka-console-consumer --topic orders --group workers",
        "kafka-console-consumer --topic orders --from-beginning --exit-at-end --output json | jq .value",
    ),
)
@connection_options
@click.option("--topic", type=TOPIC, metavar="NAME", help="The topic to read.")
@click.option("--include", metavar="REGEX", help="Read the topics whose whole name matches this Java regex.")
@click.option(
    "--partition", type=INTEGER, help="Read one partition of --topic only; from its end, unless told otherwise."
)
@click.option(
    "--offset",
    default=LATEST,
    metavar="OFFSET",
    help="Where to start in --partition: an offset, earliest, or latest, the default.",
)
@click.option("--from-beginning", is_flag=True, help="Start with the earliest record and not with the next that comes.")
@click.option("--max-messages", type=INTEGER, default=-1, help="Stop after so many records; -1, the default: never.")
@click.option("--timeout-ms", type=LONG, default=-1, help="Stop when no record came for so long; negative: never.")
@click.option("--group", metavar="ID", help="Read as a member of this consumer group: its members share the "
    "partitions, and reading starts where the group has committed.")  # fmt: skip
@click.option(
    "--isolation-level",
    default="read_uncommitted",
    metavar="LEVEL",
    help="read_committed leaves out what transactions did not commit; read_uncommitted, the default, does not.",
)
@click.option("--skip-message-on-error", is_flag=True, help="Skip a record that can't be formatted; do not stop.")
@click.option("--formatter", default=DEFAULT_FORMATTER, metavar="CLASS", help="DefaultMessageFormatter, "
    "LoggingMessageFormatter or NoOpMessageFormatter of org.apache.kafka.tools.consumer.")  # fmt: skip
@click.option(
    "--formatter-property",
    multiple=True,
    metavar="KEY=VALUE",
    help=f"A property of the formatter: {FORMATTER_PROPERTIES}. May be repeated.",
)
@click.option("--property", multiple=True, metavar="KEY=VALUE", help="Deprecated: the same as --formatter-property.")
@click.option(
    "--formatter-config", type=FILE, metavar="FILE", help="Properties of the formatter; --formatter-property wins."
)
@click.option(
    "--key-deserializer", metavar="CLASS", help="One of Kafka's own, such as "
    "org.apache.kafka.common.serialization.LongDeserializer.",
)  # fmt: skip
@click.option("--value-deserializer", metavar="CLASS", help="The same for values.")
@click.option(
    "--command-property",
    multiple=True,
    metavar="KEY=VALUE",
    help="A consumer setting, such as auto.offset.reset. May be repeated.",
)
@click.option(
    "--consumer-property", multiple=True, metavar="KEY=VALUE", help="Deprecated: the same as --command-property."
)
@click.option("--command-config", type=FILE, metavar="FILE", help="Consumer settings; --command-property wins.")
@click.option(
    "--consumer.config", "consumer_config", type=FILE, metavar="FILE", help="Deprecated: the same as --command-config."
)
@click.option("--enable-systest-events", is_flag=True, help="Print shutdown_complete at the end.")
@click.option(
    "--output",
    metavar="|".join(FORMS),
    type=click.Choice(FORMS),
    default="text",
    help="text, the default, is what the formatter prints; json is one object a line, which kafka-console-producer "
    "--input json reads. Not one of Kafka's options.",
)
@click.option(
    "--exit-at-end",
    is_flag=True,
    help="Stop at the end that the partitions had at the start. Not one of Kafka's options.",
)
@click.option(
    "--tail",
    type=LONG,
    metavar="N",
    help="Start with the last N records of each partition. Not one of Kafka's options.",
)
def console_consumer(env: Env, options: Options) -> None:
    """This tool helps to read data from Kafka topics and outputs it to standard output.

    Exit status: 0 at the end that was asked for, --timeout-ms included; 1 after an error; 130 after Ctrl-C.
    """
    _check(env, options)
    try:
        config = _consumer_config(options)
    except PropertiesError as problem:
        raise CommandFailure(str(problem)) from problem
    try:
        plan = _plan(options, config)
    except IllegalArgument as problem:
        raise _unknown_error(env, str(problem)) from problem
    formatter = _formatter(env, options)
    in_group = "group.id" in config
    with open_cluster(env, options, config=config) as cluster:
        try:
            # In a group what is committed is what was printed: that is for the reading to say, not for the consumer.
            own = {"enable.auto.commit": "false"} if in_group else {}
            consumer = cluster.consumer(config | own, on_notice=env.err)
        except StoreError as error:
            raise _unknown_error(env, exception_line(error)) from error
        with consumer:
            reading = (GroupReading if in_group else Reading)(env, cluster, consumer, config, plan)
            printing = Printing(env, formatter, options.has("skip-message-on-error"))
            try:
                succeeded = _run(env, reading, printing, options.has("enable-systest-events"))
            except FormatError as error:
                # Behind the count line, where Kafka's tool has it.
                raise _unknown_error(env, f"{error.java_class}: {error}") from error
    if not succeeded:
        raise click.exceptions.Exit(1)


def _run(env: Env, reading: Reading, printing: Printing, systest_events: bool) -> bool:
    """Read and print until an end is reached. Whatever it is, the last line on stderr counts the records."""
    try:
        reading.begin()
        reading.print_all(printing)
    except NothingCame:
        _report(env, "org.apache.kafka.common.errors.TimeoutException")
    except StoreError as error:
        _report(env, exception_line(error))
        return False
    except BrokenPipeError:
        env.err("Unable to write to standard out, closing consumer.")
    finally:
        reading.end()
        env.err(f"Processed a total of {printing.count} messages")
        if systest_events:
            env.out("shutdown_complete")
    return True


def _report(env: Env, exception: str) -> None:
    what = "Error processing message, terminating consumer process: "
    env.report_error(f"{log_line(env.clock(), 'ERROR', what, CONSUMER_LOGGER)}\n{exception}")


def _unknown_error(env: Env, exception: str) -> CommandFailure:
    line = log_line(env.clock(), "ERROR", "Unknown error when running consumer: ", CONSUMER_LOGGER)
    return CommandFailure(f"{line}\n{exception}")


# ------------------------------------------------------------------------------------------------------------ options


class IllegalArgument(ValueError):  # noqa: N818 - Java's name, and no error of ours
    """What Kafka's consumer refuses with an exception; the text is the exception's first line."""


def _check(env: Env, options: Options) -> None:
    """Refuse and warn in the order of ConsoleConsumerOptions. The warnings go to stdout, as Kafka's do."""
    if options.has("topic") == options.has("include"):
        raise UsageProblem("Exactly one of the following arguments is required: [topic], [include]")
    if options.maybe_integer("partition") is not None:
        if not options.has("topic"):
            raise UsageProblem("The topic is required when partition is specified.")
        if options.has("from-beginning") and options.has("offset"):
            raise UsageProblem("Options from-beginning and offset cannot be specified together.")
    elif options.has("offset"):
        raise UsageProblem("The partition is required when offset is specified.")
    for old, new in (("consumer-property", "command-property"), ("consumer.config", "command-config")):
        if options.has(old) and options.has(new):
            raise UsageProblem(f"Options --{old} and --{new} cannot be specified together.")
    _check_own(options)
    for old, new in (("consumer-property", "command-property"), ("consumer.config", "command-config")):
        _warn_if_deprecated(env, options, old, new)


def _check_own(options: Options) -> None:
    """The options that are not Kafka's."""
    if options.text("output") not in FORMS:
        raise UsageProblem(f"--output is one of {', '.join(FORMS)}, and not {options.text('output')}")
    if options.text("output") == "json":
        for name in _FORMATTER_OPTIONS:
            if options.has(name):
                raise UsageProblem(f"--{name} is for text, and can't be used with --output json")
    tail = options.maybe_integer("tail")
    if tail is not None:
        if tail < 0:
            raise UsageProblem(f"--tail is a number of records, and not {tail}")
        for name in ("from-beginning", "offset", "group"):
            if options.has(name):
                raise UsageProblem(f"--tail and --{name} both say where to start: leave one out")


_FORMATTER_OPTIONS = (
    "formatter", "formatter-property", "property", "formatter-config", "key-deserializer", "value-deserializer",
)  # fmt: skip


def _warn_if_deprecated(env: Env, options: Options, old: str, new: str) -> None:
    if options.has(old):
        env.out(f"Option --{old} is deprecated and will be removed in a future version. Use --{new} instead.")


def _consumer_config(options: Options) -> dict[str, str]:
    """The consumer's settings: a property > a file, and what the options say of the same things."""
    from_file = _loaded(options, "command-config") | _loaded(options, "consumer.config")
    properties = parse_key_values(options.texts("command-property") + options.texts("consumer-property"))
    _check_group(options, from_file, properties)
    config = from_file | properties
    reset = config.get("auto.offset.reset")
    if reset is None:
        config["auto.offset.reset"] = EARLIEST if options.has("from-beginning") else LATEST
    elif options.has("from-beginning") and reset != EARLIEST:
        raise CommandFailure(
            f"Can't simultaneously specify --from-beginning and 'auto.offset.reset={reset}', please remove one option"
        )
    for forced in ("bootstrap.servers", "key.deserializer", "value.deserializer"):
        config.pop(forced, None)  # Kafka's tool overwrites these with its own
    config.setdefault("client.id", "console-consumer")
    if options.has("isolation-level") or "isolation.level" not in config:
        config["isolation.level"] = options.text("isolation-level")
    group = options.maybe_text("group")
    if group is not None:
        config["group.id"] = group
    return config


def _loaded(options: Options, name: str) -> dict[str, str]:
    path = options.maybe_text(name)
    return {} if path is None else load_properties(path)


def _check_group(options: Options, from_file: dict[str, str], properties: dict[str, str]) -> None:
    given = {options.maybe_text("group"), from_file.get("group.id"), properties.get("group.id")} - {None}
    if len(given) > 1:
        ids = ", ".join(f"'{group}'" for group in sorted(filter(None, given)))
        raise UsageProblem(
            "The group ids provided in different places (directly using '--group', via '--consumer-property', or via "
            f"'--consumer.config') do not match. Detected group ids: {ids}"
        )
    if given and options.has("partition"):
        raise UsageProblem("Options group and partition cannot be specified together.")


def _plan(options: Options, config: dict[str, str]) -> Plan:
    """What the options ask for. Leaves in ``config`` an auto.offset.reset that every engine knows."""
    start: int | OffsetAt | None
    reset, duration_ms = config["auto.offset.reset"], None
    if reset not in {EARLIEST, LATEST, "none"}:
        duration_ms = _duration_ms(reset)
    if duration_ms is not None and "group.id" not in config:
        config["auto.offset.reset"] = EARLIEST  # for a position that retention has overtaken
    if options.has("partition"):
        start, duration_ms = _start_in_partition(options), None
    else:
        start = {EARLIEST: OffsetAt.EARLIEST, "none": None}.get(reset, OffsetAt.LATEST)
    if options.maybe_text("topic") == "":
        raise IllegalArgument(
            "java.lang.IllegalArgumentException: Topic collection to subscribe to cannot contain null or empty topic"
        )
    timeout_ms = options.integer("timeout-ms")
    return Plan(
        topic=options.maybe_text("topic"),
        pattern=_pattern(options),
        partition=options.maybe_integer("partition"),
        start=start,
        duration_ms=duration_ms,
        tail=options.maybe_integer("tail"),
        exit_at_end=options.has("exit-at-end"),
        max_messages=options.integer("max-messages"),
        timeout=timeout_ms / 1000 if timeout_ms >= 0 else None,
    )


_DURATION = re.compile(
    r"by_duration:P(?:(?P<days>[0-9]+)D)?"
    r"(?:T(?=[0-9])(?:(?P<hours>[0-9]+)H)?(?:(?P<minutes>[0-9]+)M)?(?:(?P<seconds>[0-9]+(?:[.,][0-9]{0,9})?)S)?)?",
    re.IGNORECASE,
)


def _duration_ms(reset: str) -> int:
    """The milliseconds of ``by_duration:P1DT2H3M4.5S``. Source: AutoOffsetResetStrategy, java.time.Duration#parse."""
    found = _DURATION.fullmatch(reset)
    if found is None or not any(found.groups()) or not reset.startswith("by_duration:"):
        raise IllegalArgument(
            f"org.apache.kafka.common.config.ConfigException: Invalid value {reset} for configuration "
            f"auto.offset.reset: Invalid value `{reset}` for configuration auto.offset.reset. The value must be either "
            "'earliest', 'latest', 'none' or of the format 'by_duration:<PnDTnHnMn.nS.>'."
        )
    days, hours, minutes = (int(found[unit] or 0) for unit in ("days", "hours", "minutes"))
    seconds = float((found["seconds"] or "0").replace(",", "."))
    return ((days * 24 + hours) * 60 + minutes) * 60000 + int(seconds * 1000)


def _start_in_partition(options: Options) -> int | OffsetAt:
    if options.has("from-beginning"):
        return OffsetAt.EARLIEST
    text = options.text("offset")
    if text.lower() in {EARLIEST, LATEST}:
        return OffsetAt[text.upper()]
    try:
        offset = LONG.convert(text, None, None)
    except click.BadParameter:
        offset = -1
    if offset < 0:
        raise UsageProblem(
            f"The provided offset value '{text}' is incorrect. Valid values are 'earliest', 'latest', or a "
            "non-negative long."
        )
    return offset


def _pattern(options: Options) -> re.Pattern[str] | None:
    regex = options.maybe_text("include")
    if regex is None:
        return None
    if not regex:
        raise IllegalArgument("java.lang.IllegalArgumentException: Topic pattern to subscribe to cannot be empty")
    try:
        return java_regex.compile(regex)
    except ValueError as error:
        raise IllegalArgument(f"java.util.regex.PatternSyntaxException: {error}") from error


def _formatter(env: Env, options: Options) -> Formatter:
    if options.text("output") == "json":
        from pykafka_cli.json_lines import JsonFormatter

        return JsonFormatter()
    name = options.text("formatter")
    try:
        formatter_named(name, {})  # its name is checked before its properties are looked at
        if options.has("property") and options.has("formatter-property"):
            raise UsageProblem("Options --property and --formatter-property cannot be specified together.")
        _warn_if_deprecated(env, options, "property", "formatter-property")
        properties = _loaded(options, "formatter-config")
        for role in ("key", "value"):
            deserializer = options.maybe_text(f"{role}-deserializer")
            if deserializer:
                properties[f"{role}.deserializer"] = deserializer
        properties |= parse_key_values(options.texts("formatter-property") + options.texts("property"))
        return formatter_named(name, properties)
    except UnknownClassProblem as problem:
        raise UsageProblem(str(problem)) from problem
    except (FormatterProblem, PropertiesError) as problem:
        raise CommandFailure(str(problem)) from problem
