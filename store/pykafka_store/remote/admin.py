"""Topics and groups of a Kafka cluster. See :class:`pykafka_store.api.Admin`.

The broker checks and says what is wrong, in its own words. What librdkafka has no request for is refused with the
name of Apache's tool that can do it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicCollection
from confluent_kafka import ElectionType as TheirElection
from confluent_kafka import TopicPartition as TheirPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # they are there, in no __all__
    AlterConfigOpType,
    ConfigResource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
    ResourceType,
)
from confluent_kafka.admin import ConfigEntry as TheirEntry  # type: ignore[attr-defined]

from pykafka_store.errors import (
    BrokerIdNotRegisteredError,
    ElectionNotNeededError,
    GroupIdNotFoundError,
    InvalidConfigError,
    InvalidPartitionsError,
    InvalidReplicaAssignmentError,
    InvalidReplicationFactorError,
    InvalidRequestError,
    PolicyViolationError,
    StoreError,
    UnknownTopicOrPartitionError,
    UnsupportedVersionError,
)
from pykafka_store.errors import TimeoutError as RequestTimeoutError
from pykafka_store.model import (
    ZERO_TOPIC_ID,
    CommittedOffset,
    ConfigDescription,
    ConfigEntry,
    ElectionType,
    GroupDescription,
    GroupListing,
    LogDirDescription,
    MemberDescription,
    OffsetAt,
    PartitionDescription,
    QuorumDescription,
    Reassignment,
    TopicDescription,
    TopicListing,
    TopicPartition,
)
from pykafka_store.model import ConfigResource as OurResource
from pykafka_store.remote.cluster import CREATION, Link, missing_topic

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

_SOURCES = {
    1: "DYNAMIC_TOPIC_CONFIG",
    2: "DYNAMIC_BROKER_CONFIG",
    3: "DYNAMIC_DEFAULT_BROKER_CONFIG",
    4: "STATIC_BROKER_CONFIG",
    5: "DEFAULT_CONFIG",
    8: "DYNAMIC_GROUP_CONFIG",
}
"""Kafka's names of where a config's value comes from, by DescribeConfigs' numbers."""
_OF_TOPIC, _BUILT_IN = 1, 5
_CHANGEABLE = {_OF_TOPIC, 2, 8}
_ORDER = [*(name for number, name in _SOURCES.items() if number != _BUILT_IN), _SOURCES[_BUILT_IN], "UNKNOWN"]
"""What counts first in front."""

_RESOURCES = {"topic": ResourceType.TOPIC, "broker": ResourceType.BROKER, "group": ResourceType.GROUP}

_STATES = {
    "PREPARING_REBALANCING": "PreparingRebalance",
    "COMPLETING_REBALANCING": "CompletingRebalance",
}
"""Kafka's names of group states where they are not librdkafka's in title case."""

_TIERED = {OffsetAt.EARLIEST_LOCAL, OffsetAt.LATEST_TIERED, OffsetAt.EARLIEST_PENDING_UPLOAD}
NO_EPOCH = -1
NEVER_JOINED = 0
"""The epoch of a group that never had a member, only commits."""
SETTLING = 5.0
"""Seconds in which a partition is asked again that can't answer just now."""
TAKING_EFFECT = 0.5
"""Seconds in which a change of settings is looked for."""
STUCK = 1.0
"""Seconds without an answer after which librdkafka is made to look who the brokers are."""
COORDINATOR_MOVES = {14, 15, 16}
"""The errors that say so: CoordinatorLoadInProgress, CoordinatorNotAvailable, NotCoordinator."""
MOST_PARTITIONS = 100_000
"""librdkafka's limit for a request; a broker's is lower."""
MOST_REPLICAS = 10_000
"""librdkafka's limit for brokers."""


_P = ParamSpec("_P")
_T = TypeVar("_T")


class _BrokerGoneError(RequestTimeoutError):
    """The broker that was asked died before it answered."""


def _asked_again(look: Callable[_P, _T]) -> Callable[_P, _T]:
    """For what changes nothing: Java's client asks another broker, librdkafka leaves that to us."""

    @wraps(look)
    def ask(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        for _ in range(2):
            with suppress(_BrokerGoneError):
                return look(*args, **kwargs)
        return look(*args, **kwargs)

    return ask


class RemoteAdmin:
    def __init__(self, link: Callable[[], Link[AdminClient]], require_writable: Callable[[], None]) -> None:
        self._connect = link
        self._require_writable = require_writable
        self._coordinated: set[str] = set()
        """Groups that are known to have a coordinator."""

    @property
    def _client(self) -> AdminClient:
        client = self._connect().contact()
        client.poll(0)  # its reports, which would pile up in a process that lives long
        return client

    def _result(self, future: Future[Any]) -> Any:
        """What a request was answered. Raises what the broker said."""
        link = self._connect()
        deadline = time.monotonic() + link.timeout + 5  # librdkafka gives up by itself; a thread may be late
        try:
            while True:
                try:
                    return future.result(min(STUCK, deadline - time.monotonic()))
                except TimeoutError:
                    if time.monotonic() >= deadline:
                        raise
                with suppress(KafkaException):
                    # A broker that died may be what it takes for the controller (any broker is, with KRaft): it waits
                    # for that one to come back, and asks nobody who it is now.
                    self._client.list_topics(timeout=STUCK)
        except KafkaException as error:
            told = link.reports.error(error.args[0])
            raise (_BrokerGoneError(str(told)) if error.args[0].name() == "_TRANSPORT" else told) from None

    @property
    def _timeouts(self) -> dict[str, float]:
        return {"request_timeout": self._connect().timeout}

    # ------------------------------------------------------------------------------------------------------ looking

    def list_topics(self) -> list[TopicListing]:
        link = self._connect()
        names = sorted(link.patiently(lambda seconds: self._client.list_topics(timeout=seconds)).topics)
        listings = []
        for name, future in self._described(names).items():
            try:
                found = self._result(future)
            except UnknownTopicOrPartitionError:
                continue  # deleted meanwhile
            except StoreError:
                listings.append(TopicListing(name, ZERO_TOPIC_ID, internal=False))  # it may be listed, not described
            else:
                listings.append(TopicListing(name, _topic_id(found), bool(found.is_internal)))
        return listings

    def _described(self, names: Sequence[str]) -> dict[str, Future[Any]]:
        if not names:
            return {}
        return dict(self._client.describe_topics(TopicCollection(list(names)), **self._timeouts))

    @_asked_again
    def describe_topics(self, names: Sequence[str] | None = None) -> list[TopicDescription]:
        asked = [listing.name for listing in self.list_topics()] if names is None else list(names)
        found = []
        for name, future in self._described(asked).items():
            try:
                found.append(self._result(future))
            except UnknownTopicOrPartitionError:
                if names is not None:
                    raise missing_topic(name) from None
        configs = self._configs([each.name for each in found])
        described = {each.name: _description(each, configs[each.name]) for each in found}
        return [described[name] for name in asked if name in described]

    def _configs(self, names: Sequence[str]) -> dict[str, tuple[ConfigEntry, ...]]:
        """The entries that are not built in, in the broker's order."""
        return {
            name: tuple(_entry(entry) for entry in entries if not entry.is_default)
            for name, entries in self._described_configs(names).items()
        }

    def _described_configs(self, names: Sequence[str]) -> dict[str, list[TheirEntry]]:
        if not names:
            return {}
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
        answers = self._client.describe_configs(resources, **self._timeouts)
        return {resource.name: list(self._result(future).values()) for resource, future in answers.items()}

    @_asked_again
    def describe_configs(self, resource: OurResource) -> tuple[ConfigDescription, ...]:
        if resource == OurResource("group", ""):
            return ()  # librdkafka does not ask for it, and none can have that id
        (future,) = self._client.describe_configs([self._resource(resource)], **self._timeouts).values()
        entries = sorted(self._result(future).values(), key=lambda each: str(each.name))
        behind: Mapping[str, TheirEntry] = {}
        if any(_source_number(each) == _OF_TOPIC for each in entries):
            broker = self._resource(OurResource("broker", str(self.live_brokers()[0])))
            (future,) = self._client.describe_configs([broker], **self._timeouts).values()
            behind = self._result(future)
        return tuple(
            ConfigDescription(each.name, _value(each), _source(each), _synonyms(each, behind), bool(each.is_sensitive))
            for each in entries
        )

    def configured_groups(self) -> list[str]:
        return []  # librdkafka has no request that lists them: only groups that list_groups knows are known

    def incremental_alter_configs(
        self, resource: OurResource, changes: Mapping[str, str], deletions: Sequence[str] = ()
    ) -> None:
        self._require_writable()
        twice = [setting for setting in deletions if setting in changes or list(deletions).count(setting) > 1]
        if twice:
            raise InvalidRequestError(f"The setting {twice[0]} is named twice")
        if not changes and not deletions:  # librdkafka sends no such request
            self.describe_configs(resource)  # raises where there is no such topic
            return
        if "" in changes or "" in deletions:  # nor such a one
            raise InvalidConfigError(f"Unknown {resource.type} config name: ")
        entries = [TheirEntry(*pair, incremental_operation=AlterConfigOpType.SET) for pair in changes.items()]
        entries += [TheirEntry(each, None, incremental_operation=AlterConfigOpType.DELETE) for each in deletions]
        asked = self._resource(resource, entries)
        for future in self._client.incremental_alter_configs([asked], **self._timeouts).values():
            self._result(future)
        deadline = time.monotonic() + TAKING_EFFECT
        with suppress(StoreError):  # they may be altered, not described
            while time.monotonic() < deadline and not self._in_force(resource, changes, deletions):
                time.sleep(0.02)

    def _in_force(self, resource: OurResource, changes: Mapping[str, str], deletions: Sequence[str]) -> bool:
        """Whether the broker that answers knows of changes: it may hear of them a moment later. Of those whose value it
        spells differently it never seems to.
        """
        (future,) = self._client.describe_configs([self._resource(resource)], **self._timeouts).values()
        own = {name: each.value for name, each in self._result(future).items() if _source_number(each) in _CHANGEABLE}
        return all(own.get(name) == value for name, value in changes.items()) and not any(
            name in own for name in deletions
        )

    def _resource(self, resource: OurResource, entries: list[TheirEntry] | None = None) -> ConfigResource:
        if resource.type == "broker":
            if not resource.name:
                raise _not_in_librdkafka("describe or alter the settings of all brokers", "kafka-configs")
            if int(resource.name) not in self.live_brokers():  # librdkafka would wait for it
                raise BrokerIdNotRegisteredError(f"Broker ID {resource.name} is not there")
        return ConfigResource(_RESOURCES[resource.type], resource.name, incremental_configs=entries)

    def live_brokers(self) -> tuple[int, ...]:
        return tuple(sorted(node.id for node in self._result(self._client.describe_cluster(**self._timeouts)).nodes))

    # ------------------------------------------------------------------------------------------------------- making

    def create_topic(
        self,
        name: str,
        *,
        partitions: int | None = None,
        replication_factor: int | None = None,
        assignments: Sequence[Sequence[int]] | None = None,
        configs: Mapping[str, str] | None = None,
    ) -> TopicDescription:
        self._require_writable()
        # librdkafka refuses some of these itself, in other words than a broker.
        if assignments is not None:
            if not all(assignments):
                raise InvalidReplicaAssignmentError("The manual partition assignment includes an empty replica list.")
            new = NewTopic(name, len(assignments), replica_assignment=list(map(list, assignments)))
        else:
            if partitions is not None and partitions < 1:
                raise InvalidPartitionsError("Number of partitions was set to an invalid non-positive value.")
            if replication_factor is not None and replication_factor < 1:
                raise InvalidReplicationFactorError(
                    "Replication factor must be larger than 0, or -1 to use the default value."
                )
            if replication_factor is not None and replication_factor > MOST_REPLICAS:
                raise InvalidReplicationFactorError(
                    f"Unable to replicate the partition {replication_factor} time(s): The target replication factor of "
                    f"{replication_factor} cannot be reached because only {len(self.live_brokers())} broker(s) are "
                    "registered or some brokers have all their log directories cordoned."
                )
            if partitions is not None and partitions > MOST_PARTITIONS:
                raise PolicyViolationError("Excessively large number of partitions per request.")
            new = NewTopic(
                name,
                num_partitions=-1 if partitions is None else partitions,
                replication_factor=-1 if replication_factor is None else replication_factor,
            )
        new.config = dict(configs or {})
        self._result(self._client.create_topics([new], **self._timeouts)[name])
        return self._once_known(name, 1)

    def create_partitions(
        self, name: str, count: int, assignments: Sequence[Sequence[int]] | None = None
    ) -> TopicDescription:
        self._require_writable()
        if count > MOST_PARTITIONS:
            raise PolicyViolationError("Excessively large number of partitions per request.")
        if count < 1 or assignments is not None:  # librdkafka refuses some itself, in other words than a broker
            current = len(self.describe_topics([name])[0].partitions)
            if count <= current:
                raise InvalidPartitionsError(
                    f"The topic {name} currently has {current} partition(s); {count} would not be an increase."
                )
            if assignments is not None and len(assignments) != count - current:
                raise InvalidReplicaAssignmentError(
                    f"Attempted to add {count - current} additional partition(s), but only {len(assignments)} "
                    "assignment(s) were specified."
                )
        new = NewPartitions(name, count, *([list(map(list, assignments))] if assignments is not None else []))
        self._result(self._client.create_partitions([new], **self._timeouts)[name])
        return self._once_known(name, count)

    def _once_known(self, name: str, partitions: int) -> TopicDescription:
        """The description of what was just made: the broker that answers may hear of it a moment later.

        What was made and may not be described, for lack of a permission, is made all the same: then its
        description is empty.
        """
        deadline = time.monotonic() + CREATION
        while True:
            try:
                found = self.describe_topics([name])[0]
            except UnknownTopicOrPartitionError:
                found = TopicDescription(name, ZERO_TOPIC_ID, internal=False, partitions=(), configs=())
            except StoreError:
                return TopicDescription(name, ZERO_TOPIC_ID, internal=False, partitions=(), configs=())
            if len(found.partitions) >= partitions or time.monotonic() > deadline:
                return found
            time.sleep(0.02)

    def delete_topic(self, name: str) -> None:
        self._require_writable()
        try:
            self._result(self._client.delete_topics([name], **self._timeouts)[name])
        except UnknownTopicOrPartitionError:
            raise missing_topic(name) from None
        deadline = time.monotonic() + CREATION
        with suppress(StoreError):  # it is gone
            while time.monotonic() < deadline:  # the broker that answers may hear of it a moment later
                self._result(self._described([name])[name])
                time.sleep(0.02)

    # ------------------------------------------------------------------------------------------------------ offsets

    def list_offsets(self, at: Mapping[TopicPartition, int | OffsetAt]) -> dict[TopicPartition, int | Exception]:
        """What tiered storage answers for a topic that does not use it is known without asking; for one that does,
        librdkafka has no request.
        """
        answers: dict[TopicPartition, int | Exception] = {}
        asked: dict[TheirPartition, OffsetSpec] = {}
        described = self._leaders({partition.topic for partition in at})
        for partition, when in at.items():
            leaders = described[partition.topic]
            if isinstance(leaders, Exception):
                answers[partition] = leaders
                continue
            if not 0 <= partition.partition < len(leaders):
                answers[partition] = UnknownTopicOrPartitionError("This server does not host this topic-partition.")
                continue
            try:
                found = self._offset_spec(partition.topic, when)
            except StoreError as error:
                answers[partition] = error
                continue
            if isinstance(found, int):
                answers[partition] = found
            else:
                asked[TheirPartition(partition.topic, partition.partition)] = found
        deadline = time.monotonic() + SETTLING
        while asked:
            again = {}
            for theirs, future in self._client.list_offsets(asked, **self._timeouts).items():
                ours = TopicPartition(theirs.topic, theirs.partition)
                try:
                    answers[ours] = self._result(future).offset
                except StoreError as error:
                    answers[ours] = error
                    if error.retriable:
                        again[theirs] = asked[theirs]
            # A topic was just made, or a leader lost: brokers agree on who leads in a moment, and librdkafka does not
            # wait for that.
            asked = again if time.monotonic() < deadline else {}
            if asked:
                time.sleep(0.05)
        return {partition: answers[partition] for partition in at}

    def _leaders(self, topics: set[str]) -> dict[str, list[int | None] | StoreError]:
        """The leader of each partition of each topic, or why they are not known."""
        leaders: dict[str, list[int | None] | StoreError] = {}
        for name, future in self._described(sorted(topics)).items():
            try:
                leaders[name] = [_id(part.leader) for part in self._result(future).partitions]
            except StoreError as error:
                leaders[name] = error
        return leaders

    def _offset_spec(self, topic: str, when: int | OffsetAt) -> OffsetSpec | int:
        """What to ask, or the answer where it is known without asking."""
        if when in _TIERED:
            entries = self._configs([topic])[topic]
            if any(entry.name == "remote.storage.enable" and entry.value == "true" for entry in entries):
                raise UnsupportedVersionError(
                    f"librdkafka can't ask for {OffsetAt(when).name.lower().replace('_', '-')} of a topic in tiered "
                    "storage: use Apache Kafka's kafka-get-offsets"
                )
            return _spec(OffsetAt.EARLIEST) if when == OffsetAt.EARLIEST_LOCAL else -1
        if when < OffsetAt.MAX_TIMESTAMP:
            raise InvalidRequestError(f"{when} is neither a timestamp nor one of ListOffsets' special ones")
        return _spec(when)

    def delete_records(self, before: Mapping[TopicPartition, int]) -> dict[TopicPartition, int | Exception]:
        self._require_writable()
        answers: dict[TopicPartition, int | Exception] = {}
        leaders = self._leaders({partition.topic for partition in before})
        asked = []
        for partition, offset in before.items():
            known = leaders[partition.topic]
            if isinstance(known, StoreError):
                answers[partition] = known
            elif not 0 <= partition.partition < len(known):
                answers[partition] = UnknownTopicOrPartitionError("This server does not host this topic-partition.")
            else:
                asked.append(TheirPartition(*partition, offset))
        for theirs, future in self._client.delete_records(asked, **self._timeouts).items() if asked else ():
            ours = TopicPartition(theirs.topic, theirs.partition)
            try:
                answers[ours] = self._result(future).low_watermark
            except StoreError as error:
                answers[ours] = error
        return {partition: answers[partition] for partition in before}

    # ----------------------------------------------------------------------------------------- brokers and replicas

    def cluster_id(self) -> str:
        found = self._result(self._client.describe_cluster(**self._timeouts))
        return str(found.cluster_id or "")

    def elect_leaders(
        self, election: ElectionType, partitions: Sequence[TopicPartition] | None = None
    ) -> dict[TopicPartition, StoreError | None]:
        self._require_writable()
        answers: dict[TopicPartition, StoreError | None] = {}
        asked = None
        if partitions is not None:
            # librdkafka sends no numbers below zero. This is what a broker says of any that it does not have.
            answers = {
                each: UnknownTopicOrPartitionError(f"No such partition as {each}")
                for each in partitions
                if each.partition < 0
            }
            asked = [TheirPartition(*each) for each in partitions if each not in answers]
            if not asked:
                return answers
        # confluent-kafka 2.16 documents timeouts here, and fails on any: only ours counts.
        future = self._client.elect_leaders(TheirElection[election.name], asked)
        for partition, error in self._result(future).items():
            told = None if error is None else self._connect().reports.error(error)
            if partitions is not None or not isinstance(told, ElectionNotNeededError):
                answers[TopicPartition(partition.topic, partition.partition)] = told
        return answers

    def alter_partition_reassignments(
        self,
        targets: Mapping[TopicPartition, Sequence[int] | None],  # noqa: ARG002 - the seam's
    ) -> dict[TopicPartition, StoreError | None]:
        raise _not_in_librdkafka("move partitions, or to list moves", "kafka-reassign-partitions")

    def list_partition_reassignments(
        self,
        partitions: Sequence[TopicPartition] | None = None,  # noqa: ARG002
    ) -> dict[TopicPartition, Reassignment]:
        raise _not_in_librdkafka("move partitions, or to list moves", "kafka-reassign-partitions")

    def alter_replica_log_dirs(
        self,
        moves: Mapping[tuple[TopicPartition, int], str],  # noqa: ARG002
    ) -> dict[tuple[TopicPartition, int], StoreError | None]:
        raise _not_in_librdkafka("move replicas between log directories", "kafka-reassign-partitions")

    def describe_log_dirs(
        self,
        brokers: Sequence[int],  # noqa: ARG002
    ) -> dict[int, tuple[LogDirDescription, ...]]:
        raise _not_in_librdkafka("describe log directories", "kafka-log-dirs")

    def describe_quorum(self) -> QuorumDescription:
        raise _not_in_librdkafka("describe the metadata quorum", "kafka-metadata-quorum")

    # ------------------------------------------------------------------------------------------------------- groups

    def list_groups(self) -> list[GroupListing]:
        answer = self._settled(lambda: self._client.list_consumer_groups(**self._timeouts))
        for error in answer.errors or ():
            raise self._connect().reports.error(error.args[0])
        return sorted(
            GroupListing(each.group_id, each.type.name.capitalize(), _state(each.state)) for each in answer.valid
        )

    def describe_group(self, group: str) -> GroupDescription:
        try:
            found = self._settled(lambda: self._client.describe_consumer_groups([group], **self._timeouts)[group])
        except GroupIdNotFoundError:
            return GroupDescription(group, "Classic", "Dead", "", -1, NO_EPOCH, ())
        members = [
            MemberDescription(
                each.member_id,
                each.group_instance_id,
                each.client_id,
                each.host,
                tuple(sorted(TopicPartition(part.topic, part.partition) for part in each.assignment.topic_partitions)),
            )
            for each in found.members
        ]
        return GroupDescription(
            group,
            found.type.name.capitalize(),
            _state(found.state),
            found.partition_assignor or "",
            -1 if found.coordinator is None else found.coordinator.id,
            NEVER_JOINED if found.is_simple_consumer_group else NO_EPOCH,
            tuple(members),
        )

    def group_offsets(self, group: str) -> dict[TopicPartition, CommittedOffset]:
        if group not in self._coordinated:
            # Asked for offsets where no coordinator is yet, as in a new cluster, librdkafka crashes the process
            # (confluentinc/librdkafka#5040). This question waits until there is one.
            self.describe_group(group)
            self._coordinated.add(group)
        question = [ConsumerGroupTopicPartitions(group)]
        answer = self._settled(lambda: self._client.list_consumer_group_offsets(question, **self._timeouts)[group])
        found = {}
        for each in answer.topic_partitions:
            if each.error is not None:
                raise self._connect().reports.error(each.error)
            if each.offset >= 0:
                found[TopicPartition(each.topic, each.partition)] = committed(each)
        return dict(sorted(found.items()))

    def alter_group_offsets(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        self._require_writable()
        if not offsets:
            return
        # A broker refuses unknown partitions one by one and takes the others: all or nothing is checked here.
        leaders = self._leaders({partition.topic for partition in offsets})
        for topic, number in offsets:
            known = leaders[topic]
            if isinstance(known, StoreError):
                raise known
            if not 0 <= number < len(known):
                raise UnknownTopicOrPartitionError("This server does not host this topic-partition.")
        wanted = [TheirPartition(topic, number, offset) for (topic, number), offset in offsets.items()]
        request = [ConsumerGroupTopicPartitions(group, wanted)]

        def check(answer: Any) -> None:
            for each in answer.topic_partitions:
                if each.error is not None:
                    raise self._connect().reports.error(each.error)

        self._settled(lambda: self._client.alter_consumer_group_offsets(request, **self._timeouts)[group], check)

    def delete_group_offsets(
        self, group: str, partitions: Sequence[TopicPartition]
    ) -> dict[TopicPartition, Exception | None]:
        raise UnsupportedVersionError(
            f"librdkafka's Python client can't delete offsets of group {group} ({len(partitions)} partitions were "
            "named): use Apache Kafka's kafka-consumer-groups --delete-offsets"
        )

    def delete_group(self, group: str) -> None:
        self._require_writable()
        self._settled(lambda: self._client.delete_consumer_groups([group], **self._timeouts)[group])

    def _settled(self, ask: Callable[[], Future[Any]], check: Callable[[Any], None] | None = None) -> Any:
        """What a group's coordinator answers. One that is being chosen, made or loaded is asked again, as Java's client
        does: in a new cluster the first question is what makes it. ``check`` raises what the answer says in detail.
        """
        deadline = time.monotonic() + self._connect().timeout
        while True:
            try:
                answer = self._result(ask())
                if check is not None:
                    check(answer)
                return answer
            except StoreError as error:
                if error.code not in COORDINATOR_MOVES or time.monotonic() >= deadline:
                    raise
                time.sleep(0.05)


def committed(theirs: TheirPartition) -> CommittedOffset:
    epoch = theirs.leader_epoch
    return CommittedOffset(theirs.offset, -1 if epoch is None else epoch, theirs.metadata or "")


def _id(node: Any) -> int | None:
    return None if node is None or node.id < 0 else int(node.id)


def _spec(when: int) -> OffsetSpec:
    """librdkafka's numbers for the special timestamps are Kafka's."""
    return OffsetSpec(when)  # type: ignore[abstract]  # its constructor picks one of its heirs


_URL_SAFE = str.maketrans("+/", "-_")


def _topic_id(found: Any) -> str:
    """As Kafka spells it: librdkafka does not use the digits that are safe in a URL."""
    spelled: str = str(found.topic_id).translate(_URL_SAFE)
    return spelled


def _source_number(entry: TheirEntry) -> int:
    source: Any = entry.source  # a number, or an enumeration of them
    return int(getattr(source, "value", source))


def _source(entry: TheirEntry) -> str:
    return _SOURCES.get(_source_number(entry), "UNKNOWN")


def _synonyms(entry: TheirEntry, behind: Mapping[str, TheirEntry]) -> tuple[ConfigEntry, ...]:
    """What the value could come from, what counts first in front: the order of the sources' numbers, defaults last.

    librdkafka's client gives one for each name, the last. So of several with one name the first is in the entry
    itself, and what a broker sets ``behind`` a topic's setting is asked of the broker.
    """
    given = {_source(each): _entry(each) for each in entry.synonyms.values()}
    if given and _source(entry) not in given:
        name = entry.name if _source_number(entry) == _OF_TOPIC else next(iter(entry.synonyms))
        given[_source(entry)] = _entry(entry)._replace(name=name)
    for name in entry.synonyms:
        if name in behind and _source_number(behind[name]) != _BUILT_IN:
            given.setdefault(_source(behind[name]), _entry(behind[name]))
    return tuple(sorted(given.values(), key=lambda each: _ORDER.index(each.source)))


def _not_in_librdkafka(what: str, tool: str) -> UnsupportedVersionError:
    return UnsupportedVersionError(f"librdkafka has no request to {what}: use Apache Kafka's {tool}")


def _value(entry: TheirEntry) -> str:
    return "null" if entry.value is None else str(entry.value)


def _entry(entry: TheirEntry) -> ConfigEntry:
    return ConfigEntry(entry.name, _value(entry), _source(entry))


def _state(state: Any) -> str:
    name: str = state.name
    return _STATES.get(name, name.capitalize())


def _description(found: Any, configs: tuple[ConfigEntry, ...]) -> TopicDescription:
    """librdkafka tells neither leader epochs nor reassignments.

    Nor does it tell of eligible leader replicas (KIP-966), but there are none while as many replicas are in sync as
    ``min.insync.replicas`` asks for; otherwise they are unknown, which is None.
    """
    minimum = next((int(entry.value) for entry in configs if entry.name == "min.insync.replicas"), 1)
    partitions = []
    for each in found.partitions:
        in_sync = tuple(node.id for node in each.isr)
        elr = () if len(in_sync) >= minimum else None
        partitions.append(
            PartitionDescription(
                each.id,
                _id(each.leader),
                NO_EPOCH,
                tuple(node.id for node in each.replicas),
                in_sync,
                elr=elr,
                last_known_elr=elr,
            )
        )
    return TopicDescription(found.name, _topic_id(found), bool(found.is_internal), tuple(sorted(partitions)), configs)
