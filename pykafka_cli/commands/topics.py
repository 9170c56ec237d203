"""``kafka-topics``: create, list, describe, alter and delete topics.

Source: org.apache.kafka.tools.TopicCommand of Kafka 4.3. Checks, texts and their order are that file's.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NoReturn, TypeVar

import click

from pykafka_cli import render
from pykafka_cli.admin_config import check_admin_config
from pykafka_cli.env import Env
from pykafka_cli.java_regex import InvalidRegexError, TopicFilter, UnsupportedRegexError
from pykafka_cli.options import (
    INTEGER,
    CommandFailure,
    KafkaCommand,
    OptionProblem,
    Options,
    UsageProblem,
    connection_options,
    examples,
    open_cluster,
)
from pykafka_cli.params import FILE, TOPIC
from pykafka_cli.properties import PropertiesError
from pykafka_cli.results import CreatedTopic, DescribedTopics, ListedTopics, Result
from pykafka_store import configs
from pykafka_store.errors import InvalidTopicError, StoreError, TopicExistsError
from pykafka_store.model import ZERO_TOPIC_ID, PartitionDescription, TopicDescription, TopicListing

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from pykafka_store.api import Admin

ACTIONS = ("create", "list", "alter", "describe", "delete")
PARTITION_REPORTS = (
    "under-replicated-partitions",
    "under-min-isr-partitions",
    "at-min-isr-partitions",
    "unavailable-partitions",
)
USE_KAFKA_CONFIGS = " (To alter topic configurations, the kafka-configs tool can be used.)"
LOGGER = "org.apache.kafka.tools.TopicCommand"

_Item = TypeVar("_Item")


class ConfigAssignment(click.ParamType[str]):
    """``name=value`` of a topic config; completes the names and, where there are a few, the values."""

    name = "name=value"

    def shell_complete(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        param: click.Parameter,  # noqa: ARG002
        incomplete: str,
    ) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        name, equals, _value = incomplete.partition("=")
        if not equals:
            return [CompletionItem(f"{known}=") for known in configs.names() if known.startswith(name)]
        setting = configs.SETTINGS.get(name)
        words = ("true", "false") if setting and setting.kind == "BOOLEAN" else setting.words if setting else ()
        return [CompletionItem(f"{name}={word}") for word in words if f"{name}={word}".startswith(incomplete)]


@click.command(
    "topics",
    cls=KafkaCommand,
    no_arguments="Create, delete, describe, or change a topic.",
    bad_options=CommandFailure,
    epilog=examples(
        "kafka-topics --create --topic orders --partitions 3 --config retention.ms=3600000",
        "kafka-topics --list",
        "kafka-topics --describe --topic 'orders|payments'",
        "kafka-topics --describe --output json | jq -r .topicId",
        "kafka-topics --alter --topic orders --partitions 6",
        "kafka-topics --delete --topic orders",
    ),
)
@connection_options
@click.option(
    "--command-config",
    metavar="FILE",
    type=FILE,
    help="Property file of the admin client. A data directory needs none of its settings.",
)
@click.option("--list", is_flag=True, help="List all available topics.")
@click.option("--create", is_flag=True, help="Create a new topic.")
@click.option("--delete", is_flag=True, help="Delete a topic.")
@click.option("--alter", is_flag=True, help="Alter the number of partitions." + USE_KAFKA_CONFIGS)
@click.option("--describe", is_flag=True, help="List details for the given topics.")
@click.option(
    "--topic",
    metavar="TOPIC",
    type=TOPIC,
    help="The topic to create, alter, describe, list or delete. Except with --create, a regular expression that "
    "matches the whole name; a comma separates alternatives.",
)
@click.option("--topic-id", metavar="ID", help="The topic id to describe.")
@click.option(
    "--config",
    metavar="NAME=VALUE",
    type=ConfigAssignment(),
    multiple=True,
    help="A topic configuration override for the topic being created; may be repeated. The names: "
    + ", ".join(configs.names())
    + ".",
)
@click.option("--delete-config", metavar="NAME", help="No longer supported since Kafka 4.0.")
@click.option(
    "--partitions",
    metavar="COUNT",
    type=INTEGER,
    help="The number of partitions of the topic being created or altered; 1 if not supplied with --create. If it is "
    "increased for a topic that has keys, records with the same key may go to another partition than before.",
)
@click.option(
    "--replication-factor",
    metavar="COUNT",
    type=INTEGER,
    help="The number of replicas of each partition of the topic being created; 1 if not supplied.",
)
@click.option(
    "--replica-assignment",
    metavar="ID:ID,ID:ID,...",
    help="The brokers of each partition's replicas for the topic being created or altered: replicas are separated by "
    "colons, partitions by commas.",
)
@click.option(
    "--under-replicated-partitions", is_flag=True, help="When describing, only show under-replicated partitions."
)
@click.option(
    "--unavailable-partitions",
    is_flag=True,
    help="When describing, only show partitions whose leader is not available.",
)
@click.option(
    "--under-min-isr-partitions",
    is_flag=True,
    help="When describing, only show partitions with fewer in-sync replicas than the configured minimum.",
)
@click.option(
    "--at-min-isr-partitions",
    is_flag=True,
    help="When describing, only show partitions with as many in-sync replicas as the configured minimum.",
)
@click.option(
    "--topics-with-overrides", is_flag=True, help="When describing, only show topics that have overridden configs."
)
@click.option("--if-exists", is_flag=True, help="When altering, deleting or describing, do nothing if there is none.")
@click.option("--if-not-exists", is_flag=True, help="When creating, do nothing if the topic exists.")
@click.option("--exclude-internal", is_flag=True, help="When listing or describing, leave out internal topics.")
@click.option(
    "--partition-size-limit-per-response",
    metavar="COUNT",
    type=INTEGER,
    help="The greatest number of partitions in one response of the server. What is printed does not depend on it.",
)
@click.option(
    "--output",
    metavar="|".join(render.FORMS),
    type=click.Choice(render.FORMS),
    default="text",
    show_default=True,
    help="The form of --list and --describe; pykafka's own. json is one object a line.",
)
def topics(env: Env, options: Options) -> None:
    """This tool helps to create, delete, describe, or change a topic."""
    _check(env, options)
    try:
        check_admin_config(env, options)
    except PropertiesError as error:
        raise CommandFailure(str(error)) from None
    with open_cluster(env, options) as cluster:
        try:
            result = run(env, options, cluster.admin())
            if result is not None:
                render.show(env, result, options.text("output"))
        except (StoreError, _Refusal, OptionProblem, InvalidRegexError, UnsupportedRegexError) as error:
            _fail(env, error)


def run(env: Env, options: Options, admin: Admin) -> Result | None:
    """Do the one action that the options name."""
    if options.has("create"):
        return _create(env, options, admin)
    if options.has("list"):
        return ListedTopics(tuple(_matching(options, admin)))
    if options.has("describe"):
        return _describe(options, admin)
    if options.has("alter"):
        _alter(env, options, admin)
    else:
        _delete(options, admin)
    return None


class _Refusal(Exception):  # noqa: N818 - said to the user in Kafka's words
    """The tool itself refuses, before anything is asked of the cluster."""


def _fail(env: Env, error: Exception) -> NoReturn:
    """Kafka prints the message on stdout, and logs the error with its class's name on stderr.

    Only errors of the cluster have a name that a script might look for; the tool's own are logged by Kafka, too, as
    Java exceptions with a stack trace.
    """
    if isinstance(error, StoreError):
        named = f"org.apache.kafka.common.errors.{error.kafka_name}: {error}\n"
        env.err(render.log_line(env, "ERROR", named, LOGGER))
    raise CommandFailure(f"Error while executing topic command : {error}", stream="stdout")


# ------------------------------------------------------------------------------------------------ the command line


def _check(env: Env, options: Options) -> None:
    """Refuse what makes no sense together. Source: TopicCommandOptions#checkArgs, but for the address."""
    if sum(options.has(action) for action in ACTIONS) != 1:
        raise UsageProblem("Command must include exactly one action: --list, --describe, --create, --alter or --delete")
    if options.has("delete-config"):
        env.err(
            "delete-config option is no longer supported and deprecated since version 4.0. "
            "The config will be fully removed in future releases."
        )
    if options.has("describe") and options.has("if-exists"):
        if not options.has("topic") and not options.has("topic-id"):
            raise UsageProblem("--topic or --topic-id is required to describe a topic")
        if options.has("topic") and options.has("topic-id"):
            env.out(
                "Only topic id will be used when both --topic and --topic-id are specified "
                "and topicId is not Uuid.ZERO_UUID"
            )
    if not options.has("list") and not options.has("describe"):
        _require(options, "topic")
    if options.has("alter"):
        if options.has("config"):
            raise UsageProblem(
                'Option combination "[[bootstrap-server], [config]]" can\'t be used with option "[alter]"'
                + USE_KAFKA_CONFIGS
            )
        _require(options, "partitions")

    _only_with(options, "config", "alter", "create")
    _only_with(options, "partitions", "alter", "create")
    _only_with(options, "replication-factor", "create")
    _only_with(options, "replica-assignment", "alter", "create")
    if options.has("create"):
        _not_with(options, "replica-assignment", "partitions", "replication-factor")
    for report in PARTITION_REPORTS:
        _only_with(options, report, "describe")
        _not_with(options, report, "topics-with-overrides")
    _only_with(options, "topics-with-overrides", "describe")
    _only_with(options, "if-exists", "alter", "delete", "describe")
    _only_with(options, "if-not-exists", "create")
    _only_with(options, "exclude-internal", "list", "describe")
    _only_with(options, "output", "list", "describe")
    if options.text("output") not in render.FORMS:
        raise UsageProblem(f"--output must be one of {', '.join(render.FORMS)}, not {options.text('output')}")


def _require(options: Options, name: str) -> None:
    if not options.has(name):
        raise UsageProblem(f'Missing required argument "[{name}]"')


def _only_with(options: Options, name: str, *actions: str) -> None:
    _not_with(options, name, *(action for action in ACTIONS if action not in actions))


def _not_with(options: Options, name: str, *others: str) -> None:
    for other in others:
        if options.has(name) and options.has(other):
            raise UsageProblem(f'Option "[{name}]" can\'t be used with option "[{other}]"')


# ------------------------------------------------------------------------------------------------------ the actions


def _create(env: Env, options: Options, admin: Admin) -> CreatedTopic | None:
    name = options.text("topic")
    partitions = options.maybe_integer("partitions")
    replication_factor = options.maybe_integer("replication-factor")
    assignments = _assignments(options)
    overrides = _overrides(env, options)

    if "." in name or "_" in name:
        # Printed before the attempt, so also where the topic exists or can't be made.
        env.out(
            "WARNING: Due to limitations in metric names, topics with a period ('.') or underscore ('_') could "
            "collide. To avoid issues it is best to use either, but not both."
        )
    if replication_factor is not None and not 1 <= replication_factor <= 32767:
        raise _Refusal("The replication factor must be between 1 and 32767 inclusive")
    if partitions is not None and partitions < 1:
        raise _Refusal("The partitions must be greater than 0")
    if not name:
        raise InvalidTopicError("The given topic name '' cannot be represented in a request.")
    try:
        admin.create_topic(
            name,
            partitions=partitions,
            replication_factor=replication_factor,
            assignments=assignments,
            configs=overrides,
        )
    except TopicExistsError:
        if options.has("if-not-exists"):
            return None
        raise
    return CreatedTopic(name)


def _alter(env: Env, options: Options, admin: Admin) -> None:
    options.text("topic")
    count = options.integer("partitions")
    assignments = _assignments(options)
    _overrides(env, options)
    names = _existing(options, admin)

    def alter(topic: TopicDescription) -> None:
        # The list names the brokers of all partitions; those that exist keep theirs.
        added = None if assignments is None else assignments[len(topic.partitions) :]
        admin.create_partitions(topic.name, count, added)

    if names:
        _try_each(admin.describe_topics(names), alter)


def _delete(options: Options, admin: Admin) -> None:
    _try_each(_existing(options, admin), admin.delete_topic)


def _try_each(items: Sequence[_Item], act: Callable[[_Item], object]) -> None:
    """Act on every item, and only then raise the first error: one topic's failure must not shield the others."""
    first: StoreError | None = None
    for item in items:
        try:
            act(item)
        except StoreError as error:
            first = first or error
    if first is not None:
        raise first


def _describe(options: Options, admin: Admin) -> DescribedTopics:
    topic_id = _topic_id(options)
    if topic_id is None:
        names = _existing(options, admin)
        if names:
            options.maybe_integer("partition-size-limit-per-response")  # must be a number, and changes nothing
        described = admin.describe_topics(names) if names else []
    else:
        exclude_internal = options.has("exclude-internal")
        names = [
            listing.name
            for listing in admin.list_topics()
            if listing.topic_id == topic_id and not (exclude_internal and listing.internal)
        ]
        if not names and not options.has("if-exists"):
            raise _Refusal(f"TopicId '{topic_id}' does not exist as expected")
        # Asked by id, a broker does not say which replicas may be elected (KIP-966).
        described = [_without_elr(topic) for topic in admin.describe_topics(names)] if names else []

    if options.has("topics-with-overrides"):
        return DescribedTopics(tuple(topic for topic in described if topic.configs), show_partitions=False)
    if not any(options.has(report) for report in PARTITION_REPORTS):
        return DescribedTopics(tuple(described))
    live_brokers = admin.live_brokers()
    reported = []
    for topic in described:
        partitions = tuple(part for part in topic.partitions if _is_reported(options, topic, part, live_brokers))
        if partitions:
            reported.append(topic._replace(partitions=partitions))
    return DescribedTopics(tuple(reported), show_topics=False)


def _is_reported(
    options: Options, topic: TopicDescription, partition: PartitionDescription, live_brokers: Sequence[int]
) -> bool:
    """Whether one of the reports that were asked for has this partition."""
    in_sync = len(partition.isr)
    minimum = next(
        (int(entry.value) for entry in topic.configs if entry.name == "min.insync.replicas"),
        int(configs.SETTINGS["min.insync.replicas"].default),
    )
    found = {
        "under-replicated-partitions": in_sync < len(partition.replicas) - len(partition.adding_replicas),
        "unavailable-partitions": partition.leader not in live_brokers,
        "under-min-isr-partitions": partition.leader is None or in_sync < minimum,
        "at-min-isr-partitions": in_sync == minimum,
    }
    return any(options.has(report) and found[report] for report in PARTITION_REPORTS)


def _without_elr(topic: TopicDescription) -> TopicDescription:
    partitions = tuple(part._replace(elr=None, last_known_elr=None) for part in topic.partitions)
    return topic._replace(partitions=partitions)


# --------------------------------------------------------------------------------------------------- topics and values


def _matching(options: Options, admin: Admin) -> list[TopicListing]:
    """The topics that ``--topic`` names, all without it, sorted by name."""
    pattern = options.maybe_text("topic")
    topic_filter = TopicFilter(".*" if pattern is None else pattern)
    exclude_internal = options.has("exclude-internal")
    return [listing for listing in admin.list_topics() if topic_filter.allows(listing.name, exclude_internal)]


def _existing(options: Options, admin: Admin) -> list[str]:
    """The names that ``--topic`` matches. Refuses where it was to match one and does not."""
    names = [listing.name for listing in _matching(options, admin)]
    pattern = options.maybe_text("topic")
    if pattern and not names and not options.has("if-exists"):
        raise _Refusal(f"Topic '{pattern}' does not exist as expected")
    return names


def _overrides(env: Env, options: Options) -> dict[str, str]:
    """The configs given by ``--config``, checked. Source: TopicCommand#parseTopicConfigsToBeAdded."""
    given = {}
    for text in options.texts("config"):
        # As Java's split does it: empty parts at the end don't count, so neither "k=" nor "k==" has a value.
        parts = re.split(r"\s*=\s*", text)
        while parts and not parts[-1]:
            parts.pop()
        if len(parts) != 2:
            raise _Refusal(
                'requirement failed: Invalid topic config: all configs to be added must be in the format "key=val".'
            )
        given[parts[0].strip()] = parts[1].strip()
    return configs.parse(
        given,
        on_notice=lambda text: env.err(render.log_line(env, "WARN", text, "org.apache.kafka.common.config.ConfigDef")),
    )


def _assignments(options: Options) -> list[list[int]] | None:
    """The replica lists of partitions 0, 1, …; None if there are none. Source: TopicCommand#parseReplicaAssignment."""
    text = options.maybe_text("replica-assignment")
    if not text:
        return None
    assignments: list[list[int]] = []
    for number, part in enumerate(_split(text, ",")):
        replicas = [_broker_id(broker) for broker in _split(part, ":")]
        repeated = sorted({broker for broker in replicas if replicas.count(broker) > 1})
        if repeated:
            raise _Refusal(f"Partition replica lists may not contain duplicate entries: {','.join(map(str, repeated))}")
        assignments.append(replicas)
        if len(replicas) != len(assignments[0]):
            raise _Refusal(f"Partition {number} has different replication factor: {replicas}")
    return assignments or None


def _split(text: str, separator: str) -> list[str]:
    """Java's String.split: without the empty parts at the end, unless the whole text is empty."""
    parts = text.split(separator)
    while text and parts and not parts[-1]:
        parts.pop()
    return parts


def _broker_id(text: str) -> int:
    trimmed = text.strip()
    if not re.fullmatch(r"[+-]?[0-9]+", trimmed) or not -(2**31) <= int(trimmed) < 2**31:
        raise _Refusal(f'For input string: "{trimmed}"')
    return int(trimmed)


def _topic_id(options: Options) -> str | None:
    """The id to describe, as a broker spells it; None if there is none, or if it is the zero id.

    Source: org.apache.kafka.common.Uuid#fromString, and java.util.Base64's decoder for the words.
    """
    text = options.maybe_text("topic-id")
    if text is None:
        return None
    if len(text) > 24:
        raise _Refusal(f"Input string with prefix `{text[:24]}` is too long to be decoded as a base64 UUID")
    if len(text) == 1:
        raise _Refusal("Input byte[] should at least have 2 bytes for base64 bytes")
    digits = text.partition("=")[0]
    illegal = re.search(r"[^A-Za-z0-9_-]", digits)
    if illegal is not None:
        raise _Refusal(f"Illegal base64 character {ord(illegal.group()):x}")
    padding = text[len(digits) :]
    if padding:
        over = len(digits) % 4
        if over == 0 or (over == 2 and not padding.startswith("==")):
            raise _Refusal("Input byte array has wrong 4-byte ending unit")
        if over > 1 and len(digits) + len(padding) > (end := len(digits) + (2 if over == 2 else 1)):
            raise _Refusal(f"Input byte array has incorrect ending byte at {end}")
    if len(digits) % 4 == 1:
        raise _Refusal("Last unit does not have enough valid bits")
    raw = base64.urlsafe_b64decode(digits + "=" * (-len(digits) % 4))
    if len(raw) != 16:
        raise _Refusal(
            f"Input string `{text}` decoded as {len(raw)} bytes, "
            "which is not equal to the expected 16 bytes of a base64-encoded UUID"
        )
    topic_id = base64.urlsafe_b64encode(raw).decode().rstrip("=")
    return None if topic_id == ZERO_TOPIC_ID else topic_id
