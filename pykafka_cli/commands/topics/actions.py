"""What ``kafka-topics`` does, and how it reads the values of its options.

Source: org.apache.kafka.tools.TopicCommand of Kafka 4.3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from pykafka_cli.env import Env
from pykafka_cli.errors import Refusal
from pykafka_cli.output.topic_results import DescribedTopics, ListedTopics
from pykafka_cli.tool.frame import duplicates
from pykafka_cli.tool.options import Options
from pykafka_store.errors import (
    InvalidReplicaAssignmentError,
    InvalidRequestError,
    InvalidTopicError,
    StoreError,
    TopicExistsError,
    UnknownTopicOrPartitionError,
)
from pykafka_store.model import INTERNAL_TOPICS, OFFSETS_TOPIC, ZERO_TOPIC_ID

if TYPE_CHECKING:
    from pykafka_cli.output.forms import Result
    from pykafka_store.api import Admin
    from pykafka_store.model import PartitionDescription, TopicDescription, TopicListing

PARTITION_REPORTS = (
    "under-replicated-partitions",
    "under-min-isr-partitions",
    "at-min-isr-partitions",
    "unavailable-partitions",
)
"""The options that have only those partitions described which the report is about."""

_Item = TypeVar("_Item")


def run(env: Env, options: Options, admin: Admin) -> Result | None:
    """Do the one action that the options name. Returns the topics that it lists or describes, else None."""
    if options.has("list"):
        return ListedTopics(_matching(options, admin))
    if options.has("describe"):
        return _describe(env, options, admin)
    if options.has("create"):
        _create(env, options, admin)
    elif options.has("alter"):
        _alter(env, options, admin)
    else:
        _delete(env, options, admin)
    return None


# ------------------------------------------------------------------------------------------------------ the actions


def _create(env: Env, options: Options, admin: Admin) -> None:
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
        raise Refusal("The replication factor must be between 1 and 32767 inclusive")
    if partitions is not None and partitions < 1:
        raise Refusal("The partitions must be greater than 0")
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
    except InvalidReplicaAssignmentError:
        from pykafka_cli.output.hints import suggest_broker

        suggest_broker(env, admin)
        raise
    except TopicExistsError:
        if options.has("if-not-exists"):
            return
        raise
    env.out(f"Created topic {name}.")


def _alter(env: Env, options: Options, admin: Admin) -> None:
    options.text("topic")
    if changes_by_zookeeper(options):
        _alter_configs(env, options, admin)
        if not options.has("partitions"):
            return
    count = options.integer("partitions")
    assignments = _assignments(options)
    _overrides(env, options)
    names = _existing(env, options, admin)

    def alter(topic: TopicDescription) -> None:
        # The list names the brokers of all partitions; those that exist keep theirs.
        added = None if assignments is None else assignments[len(topic.partitions) :]
        with _leaving_views(env, options, topic.name):
            admin.create_partitions(topic.name, count, added)

    if names:
        _try_each(admin.describe_topics(names), alter)


def changes_by_zookeeper(options: Options) -> bool:
    """Whether ``--alter`` changes settings as well, which it did for who named ZooKeeper (until Kafka 2.8)."""
    return (
        options.has("alter") and "zookeeper" in options.old and (options.has("config") or options.has("delete-config"))
    )


def _alter_configs(env: Env, options: Options, admin: Admin) -> None:
    """Source: kafka.admin.TopicCommand.ZookeeperTopicService#alterTopic of Kafka 2.4."""
    from pykafka_store.model import ConfigResource

    changes = _overrides(env, options)
    deletions = [name.strip() for name in options.texts("delete-config")]
    for name in _existing(env, options, admin):
        env.out(
            "WARNING: Altering topic configuration from this script has been deprecated and may be removed in future "
            "releases.\n         Going forward, please use kafka-configs.sh for this functionality"
        )
        admin.incremental_alter_configs(ConfigResource("topic", name), changes, deletions)
        env.out(f"Updated config for topic {name}.")


def _delete(env: Env, options: Options, admin: Admin) -> None:
    from pykafka_cli.output.progress import shown_while

    def delete(name: str) -> None:
        try:
            # A slow disk takes a while for thousands of partitions.
            with _leaving_views(env, options, name), shown_while(env, f"kafka-topics: deleting {name}"):
                admin.delete_topic(name)
        except UnknownTopicOrPartitionError:  # another process was faster
            if not options.has("if-exists"):
                raise

    _try_each(_existing(env, options, admin), delete)


@contextmanager
def _leaving_views(env: Env, options: Options, name: str) -> Iterator[None]:
    """A pattern that happens to match what a directory only shows of its groups is meant for the topics."""
    try:
        yield
    except InvalidRequestError as error:
        if name != OFFSETS_TOPIC or options.text("topic") == name:
            raise
        env.err(f"WARNING: left as it is: {error}")


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


def _describe(env: Env, options: Options, admin: Admin) -> DescribedTopics:
    topic_id = _topic_id(options)
    if topic_id is None:
        described = _existing_described(env, options, admin)
        if described:
            options.maybe_integer("partition-size-limit-per-response")  # must be a number, and changes nothing
    else:
        exclude_internal = options.has("exclude-internal")
        names = [
            listing.name
            for listing in admin.list_topics()
            if listing.topic_id == topic_id and not (exclude_internal and listing.internal)
        ]
        if not names and not options.has("if-exists"):
            raise Refusal(f"TopicId '{topic_id}' does not exist as expected")
        # Asked by id, a broker does not say which replicas may be elected (KIP-966).
        described = [_without_elr(topic) for topic in admin.describe_topics(names)] if names else []

    if options.has("topics-with-overrides"):
        return DescribedTopics([topic for topic in described if topic.configs], show_partitions=False)
    if not any(options.has(report) for report in PARTITION_REPORTS):
        return DescribedTopics(described)
    live_brokers = admin.live_brokers()
    reported = []
    for topic in described:
        partitions = tuple(part for part in topic.partitions if _is_reported(options, topic, part, live_brokers))
        if partitions:
            reported.append(topic._replace(partitions=partitions))
    return DescribedTopics(reported, show_topics=False)


def _existing_described(env: Env, options: Options, admin: Admin) -> list[TopicDescription]:
    """What ``_existing`` names, as it is; without those that are gone since they were listed."""
    while True:
        names = _existing(env, options, admin)
        try:
            return admin.describe_topics(names) if names else []
        except UnknownTopicOrPartitionError:
            if {*names} <= {each.name for each in _matching(options, admin)}:
                raise


def _is_reported(
    options: Options, topic: TopicDescription, partition: PartitionDescription, live_brokers: Sequence[int]
) -> bool:
    """Whether one of the reports that were asked for has this partition."""
    from pykafka_store.settings import configs

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
    exclude_internal = options.has("exclude-internal")
    if pattern is None:
        listings = admin.list_topics()
        return [each for each in listings if not (exclude_internal and each.name in INTERNAL_TOPICS)]
    from pykafka_cli.tool.topic_filter import TopicFilter

    topic_filter = TopicFilter(pattern)
    return [each for each in admin.list_topics() if topic_filter.allows(each.name, exclude_internal)]


def _existing(env: Env, options: Options, admin: Admin) -> list[str]:
    """The names that ``--topic`` matches. Refuses where it was to match one and does not."""
    names = [listing.name for listing in _matching(options, admin)]
    pattern = options.maybe_text("topic")
    if pattern and not names and not options.has("if-exists"):
        from pykafka_cli.output.hints import suggest_topic

        suggest_topic(env, admin, pattern)
        raise Refusal(f"Topic '{pattern}' does not exist as expected")
    return names


def _overrides(env: Env, options: Options) -> dict[str, str]:
    """The configs given by ``--config``, checked. Source: TopicCommand#parseTopicConfigsToBeAdded."""
    from pykafka_cli.java.text import split_at
    from pykafka_cli.output.hints import suggest
    from pykafka_cli.output.kafka_log import log_line
    from pykafka_store.settings import configs

    given = {}
    for text in options.texts("config"):
        parts = split_at(text, r"\s*=\s*")  # by whose rules neither "k=" nor "k==" has a value
        if len(parts) != 2:
            raise Refusal(
                'requirement failed: Invalid topic config: all configs to be added must be in the format "key=val".'
            )
        given[parts[0].strip()] = parts[1].strip()
    for name in given:
        if name not in configs.SETTINGS:
            suggest(env, name, configs.names())
    return configs.parse(
        given,
        on_notice=lambda text: env.err(log_line(env.clock(), "WARN", text, "org.apache.kafka.common.config.ConfigDef")),
    )


def _assignments(options: Options) -> list[list[int]] | None:
    """The replica lists of partitions 0, 1, …; None if there are none. Source: TopicCommand#parseReplicaAssignment."""
    text = options.maybe_text("replica-assignment")
    if not text:
        return None
    from pykafka_cli.java.text import split, whole

    assignments: list[list[int]] = []
    for number, part in enumerate(split(text, ",")):
        replicas = [whole(broker.strip()) for broker in split(part, ":")]
        if repeated := sorted(duplicates(replicas)):
            raise Refusal(f"Partition replica lists may not contain duplicate entries: {','.join(map(str, repeated))}")
        assignments.append(replicas)
        if len(replicas) != len(assignments[0]):
            raise Refusal(f"Partition {number} has different replication factor: {replicas}")
    return assignments or None


def _topic_id(options: Options) -> str | None:
    """The id to describe, as a broker spells it; None if there is none, or if it is the zero id."""
    text = options.maybe_text("topic-id")
    if text is None:
        return None
    import base64

    from pykafka_cli.java.uuid import uuid_bytes

    try:
        topic_id = base64.urlsafe_b64encode(uuid_bytes(text)).decode().rstrip("=")
    except ValueError as error:
        raise Refusal(str(error)) from None
    return None if topic_id == ZERO_TOPIC_ID else topic_id
