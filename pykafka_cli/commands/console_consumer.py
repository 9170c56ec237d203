"""kafka-console-consumer: records -> standard output.

Source: org.apache.kafka.tools.consumer.ConsoleConsumer and ConsoleConsumerOptions of 4.3.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import click

from pykafka_cli.click_types import FILE, TOPIC
from pykafka_cli.console import formatters
from pykafka_cli.console.consume import GroupReading, Plan, Reading, consume, tell_end, unknown_error
from pykafka_cli.console.garbage import collect_rarely
from pykafka_cli.console.printing import Printing
from pykafka_cli.console.records_out import MessageFormatter, UnknownClassProblem
from pykafka_cli.errors import CommandFailure, UsageProblem
from pykafka_cli.output.kafka_log import exception_line
from pykafka_cli.tool import properties
from pykafka_cli.tool.frame import connection_options, directory_named, noticing_topic, open_cluster, require_topic
from pykafka_cli.tool.options import INTEGER, LONG, KafkaCommand, Options, examples
from pykafka_store.errors import InvalidConfigError, StoreError
from pykafka_store.model import OffsetAt
from pykafka_store.settings.client_configs import reset_duration_ms

if TYPE_CHECKING:
    from pykafka_cli.env import Env

DESCRIPTION = "This tool helps to read data from Kafka topics and outputs it to standard output."
EARLIEST, LATEST = "earliest", "latest"
FORMS = ("text", "json")
LEAST_PATIENCE = 1.0
"""Seconds that a cluster has for its first answer, however short --timeout-ms is."""


@click.command(
    "console-consumer",
    cls=KafkaCommand,
    no_arguments=DESCRIPTION,
    epilog=examples(
        "kafka-console-consumer --topic orders --from-beginning",
        "kafka-console-consumer --topic orders --partition 0 --offset 42 --max-messages 1",
        "kafka-console-consumer --include 'logs-.*' --formatter-property print.key=true",
        "kafka-console-consumer --topic orders --tail 10 --exit-at-end",
        "kafka-console-consumer --topic orders --from-time 1h --to-time 10m",
        "kafka-console-consumer --topic orders --group workers",
        "kafka-console-consumer --topic orders --from-beginning --output json --value json | jq .value",
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
@click.option("--formatter", default=formatters.DEFAULT, metavar="CLASS", help="DefaultMessageFormatter, "
    "LoggingMessageFormatter, NoOpMessageFormatter, or for the topics of brokers OffsetsMessageFormatter, "
    "GroupMetadataMessageFormatter or TransactionLogMessageFormatter, of org.apache.kafka.tools.consumer.")  # fmt: skip
@click.option(
    "--formatter-property",
    multiple=True,
    metavar="KEY=VALUE",
    help=f"A property of the formatter: {', '.join(formatters.PROPERTIES)}. May be repeated.",
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
    "--value",
    metavar="|".join(FORMS),
    type=click.Choice(FORMS),
    default="text",
    help="With --output json: text, the default, has each value as a string; json has one that is the text of an "
    "object, a list, a number or a flag as that, so that jq .value.name works. Not one of Kafka's options.",
)
@click.option(
    "--exit-at-end",
    is_flag=True,
    help="Stop at the end that the partitions had at the start. Not one of Kafka's options.",
)
@click.option("--no-auto-create", is_flag=True, help="Refuse a topic, or a directory, that does not exist. "
    "Not one of Kafka's options; PYKAFKA_AUTO_CREATE=0 says it for a whole script.")  # fmt: skip
@click.option(
    "--tail",
    type=LONG,
    metavar="N",
    help="Start with the last N records of each partition. Not one of Kafka's options.",
)
@click.option(
    "--from-time",
    metavar="TIME",
    help="Start with each partition's first record that is not older: milliseconds since the epoch, a date "
    "(2026-01-31T12:00, in UTC where it names no zone), or how long ago (10m, 7d). Not one of Kafka's options.",
)
@click.option(
    "--to-time",
    metavar="TIME",
    help="Stop before each partition's first record that is not older, or at the end that it had at the start. "
    "Not one of Kafka's options.",
)
def console_consumer(env: Env, options: Options) -> None:
    """This tool helps to read data from Kafka topics and outputs it to standard output.

    Exit status: 0 at the end that was asked for, --timeout-ms included; 1 after an error; 130 after Ctrl-C.

    What a script starts in the background (&) has SIGINT ignored by bash: there kill -INT does nothing, and kill -TERM
    ends it as cleanly, with exit status 143.
    """
    env.only_prints = True
    _check(env, options)
    auto_create = env.auto_create and not options.has("no-auto-create")
    config = properties.known_settings(env, "consumer", _consumer_config(options))
    if not auto_create:
        config["allow.auto.create.topics"] = "false"
    try:
        plan = _plan(env, options, config)
    except IllegalArgument as problem:
        raise unknown_error(env, str(problem)) from problem
    formatter = _formatter(env, options)
    in_group = "group.id" in config
    if in_group and (plan.from_ms is not None or plan.to_ms is not None):
        raise UsageProblem("--from-time and --to-time are for reading without a group: a group reads on where it was")
    directory = directory_named(env, options)
    if not plan.wants_records and directory is not None and not os.path.lexists(directory):
        # Who asks for nothing makes nothing.
        tell_end(env, 0, systest_events=options.has("enable-systest-events"))
        return
    # The cluster gets no more time than the records (--timeout-ms), but a moment to be found at all.
    patience = None if plan.timeout is None else max(plan.timeout, LEAST_PATIENCE)
    collect_rarely()
    with open_cluster(env, options, create=auto_create, config=config, patience=patience) as cluster:
        if not auto_create and plan.topic is not None:
            require_topic(env, cluster, plan.topic)
        try:
            # In a group the records that were printed are committed: GroupReading knows them, the consumer does not.
            own = {"enable.auto.commit": "false"} if in_group else {}
            consumer = cluster.consumer(config | own, on_notice=noticing_topic(env, cluster, plan.topic, env.err))
        except StoreError as error:
            raise unknown_error(env, exception_line(error)) from error
        with consumer:
            reading = (GroupReading if in_group else Reading)(env, cluster, consumer, config, plan)
            printing = Printing(env, formatter, options.has("skip-message-on-error"))
            consume(env, reading, printing, systest_events=options.has("enable-systest-events"))


# ------------------------------------------------------------------------------------------------------------ options


class IllegalArgument(ValueError):  # noqa: N818 - Java's name, and no error of ours
    """Kafka's consumer refuses it with an exception; the text is the exception's first line."""


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
    if options.text("value") not in FORMS:
        raise UsageProblem(f"--value is one of {', '.join(FORMS)}, and not {options.text('value')}")
    if options.has("value") and options.text("output") != "json":
        raise UsageProblem("--value is for --output json: as text a value is what its deserializer makes of it")
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
    for name in ("from-beginning", "offset", "tail"):
        if options.has("from-time") and options.has(name):
            raise UsageProblem(f"--from-time and --{name} both say where to start: leave one out")
    if options.has("to-time") and options.has("tail"):
        raise UsageProblem("--tail counts from the end, and can't be used with --to-time")


_FORMATTER_OPTIONS = (
    "formatter", "formatter-property", "property", "formatter-config", "key-deserializer", "value-deserializer",
)  # fmt: skip


def _warn_if_deprecated(env: Env, options: Options, old: str, new: str) -> None:
    if options.has(old):
        env.out(f"Option --{old} is deprecated and will be removed in a future version. Use --{new} instead.")


def _consumer_config(options: Options) -> dict[str, str]:
    """The consumer's settings: an option > a property > a file."""
    from_file = properties.of_files(options, "command-config", "consumer.config")
    from_arguments = properties.of_arguments(options, "command-property", "consumer-property")
    _check_group(options, from_file, from_arguments)
    config = from_file | from_arguments
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


def _check_group(options: Options, *configs: dict[str, str]) -> None:
    """Refuse two groups, and a group that is to read one partition."""
    given = {options.maybe_text("group"), *(config.get("group.id") for config in configs)} - {None}
    if len(given) > 1:
        ids = ", ".join(f"'{group}'" for group in sorted(filter(None, given)))
        raise UsageProblem(
            "The group ids provided in different places (directly using '--group', via '--consumer-property', or via "
            f"'--consumer.config') do not match. Detected group ids: {ids}"
        )
    if given and options.has("partition"):
        raise UsageProblem("Options group and partition cannot be specified together.")


def _plan(env: Env, options: Options, config: dict[str, str]) -> Plan:
    """The plan that the options ask for. Leaves in ``config`` an auto.offset.reset that every engine knows."""
    start: int | OffsetAt | None
    reset = config["auto.offset.reset"]
    try:
        duration_ms = reset_duration_ms(reset)
    except InvalidConfigError as error:
        raise IllegalArgument(f"org.apache.kafka.common.config.ConfigException: {error}") from None
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
    from_ms, to_ms = _period(env, options)
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
        from_ms=from_ms,
        to_ms=to_ms,
    )


def _period(env: Env, options: Options) -> tuple[int | None, int | None]:
    """What --from-time and --to-time say, as of one and the same now."""
    texts = options.maybe_text("from-time"), options.maybe_text("to-time")
    if texts == (None, None):
        return None, None
    from pykafka_cli.tool.moments import moment_ms

    now = int(env.clock() * 1000)
    from_ms, to_ms = (None if text is None else moment_ms(text, now) for text in texts)
    if from_ms is not None and to_ms is not None and from_ms >= to_ms:
        raise UsageProblem(f"--from-time {texts[0]} is not before --to-time {texts[1]}")
    return from_ms, to_ms


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
    from pykafka_cli.java import regex as java_regex

    try:
        return java_regex.compile(regex)
    except ValueError as error:
        raise IllegalArgument(f"java.util.regex.PatternSyntaxException: {error}") from error


def _formatter(env: Env, options: Options) -> MessageFormatter:
    if options.text("output") == "json":
        from pykafka_cli.console.json_lines import JsonLinesFormatter

        return JsonLinesFormatter(values_are_json=options.text("value") == "json")
    name = options.text("formatter")
    try:
        if env.takes_old_options:
            from pykafka_cli.console import old_formatters

            old = old_formatters.named(name, properties.of_arguments(options, "formatter-property", "property"))
            if old is not None:
                return old
        formatters.named(name, {})  # its name is checked before its properties are looked at
        if options.has("property") and options.has("formatter-property"):
            raise UsageProblem("Options --property and --formatter-property cannot be specified together.")
        _warn_if_deprecated(env, options, "property", "formatter-property")
        settings = properties.of_files(options, "formatter-config")
        for role in ("key", "value"):
            deserializer = options.maybe_text(f"{role}-deserializer")
            if deserializer:
                settings[f"{role}.deserializer"] = deserializer
        settings |= properties.of_arguments(options, "formatter-property", "property")
        if name == formatters.DEFAULT:
            unknown = formatters.unknown_properties(settings)
            properties.warn_of_ignored(env, "no property of the formatter", unknown, formatters.PROPERTIES)
        return formatters.named(name, settings)
    except UnknownClassProblem as problem:
        raise UsageProblem(str(problem)) from problem
