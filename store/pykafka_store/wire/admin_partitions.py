"""CreatePartitions, DeleteRecords, DescribeTopicPartitions, ElectLeaders, partition reassignments, DescribeLogDirs,
AlterReplicaLogDirs, DescribeQuorum, DescribeProducers.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Sequence
from typing import Any

from pykafka_store.errors import (
    InvalidRequestError,
    InvalidTopicError,
    LeaderNotAvailableError,
    StoreError,
    not_hosted,
)
from pykafka_store.format.names import check_topic_name
from pykafka_store.model import ElectionType, QuorumReplica, TopicDescription, TopicPartition, topic_id_bytes
from pykafka_store.transactions import ProducerState
from pykafka_store.wire.broker import Broker, code_of
from pykafka_store.wire.long_work import LongRequest
from pykafka_store.wire.metadata import TOPIC_OPERATIONS
from pykafka_store.wire.protocol import Reply, Request

_METADATA_TOPIC = "__cluster_metadata"


class PartitionsApi:
    """Answers what the module says."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    # ----------------------------------------------------------------------------------------------------- partitions

    def create_partitions(self, request: Request) -> Reply | LongRequest:
        """Topics get more partitions, or have their own errors."""
        by_name = {each.name: each for each in request.body.topics}
        times = Counter(each.name for each in request.body.topics)
        grown = (
            self._grown(each, only_check=request.body.validate_only, is_repeated=times[name] > 1)
            for name, each in by_name.items()
        )
        return self._broker.long_work.begin(grown, lambda done: Reply(results=done))

    def _grown(self, asked: Any, *, only_check: bool, is_repeated: bool) -> Reply:
        """Source: ControllerApis.createPartitions."""
        assignments = None if asked.assignments is None else [each.broker_ids for each in asked.assignments]
        try:
            if is_repeated:
                raise InvalidRequestError("Duplicate topic name.")
            self._broker.admin.create_partitions(asked.name, asked.count, assignments, only_check=only_check)
        except StoreError as error:
            return Reply(name=asked.name, error_code=code_of(error), error_message=str(error))
        return Reply(name=asked.name)

    def delete_records(self, request: Request) -> Reply:
        """Records before an offset are gone, a partition each."""
        asked = {
            TopicPartition(topic.name, each.partition_index): each.offset
            for topic in request.body.topics
            for each in topic.partitions
        }
        answers = self._broker.admin.delete_records(asked)
        return Reply(
            topics=[
                Reply(
                    name=topic.name,
                    partitions=[
                        _deleted(each.partition_index, answers[TopicPartition(topic.name, each.partition_index)])
                        for each in topic.partitions
                    ],
                )
                for topic in request.body.topics
            ]
        )

    def describe_topic_partitions(self, request: Request) -> Reply:
        """Topics with their partitions, up to a limit, and where to go on (KIP-966)."""
        body = request.body
        known = {each.name: each for each in self._broker.admin.describe_topics()}
        wanted = sorted({each.name for each in body.topics})
        names = wanted or sorted(known)
        first = 0
        if body.cursor is not None:
            # Source: DescribeTopicPartitionsRequestHandler.
            if body.cursor.partition_index < 0 or (wanted and body.cursor.topic_name not in wanted):
                refused = [_untold(name, InvalidRequestError.code) for name in wanted]
                return Reply(topics=refused, next_cursor=None)
            names = [name for name in names if name >= body.cursor.topic_name]
            first = body.cursor.partition_index
        left = max(1, min(body.response_partition_limit, 2000))
        topics, cursor = [], None
        for name in names:
            start = first if body.cursor is not None and name == body.cursor.topic_name else 0
            topic = known.get(name)
            if topic is None:
                topics.append(_missing(name))
                continue
            if not left:
                cursor = Reply(topic_name=name, partition_index=start)
                break
            some = topic.partitions[start : start + left]
            topics.append(self._topic(topic._replace(partitions=some)))
            left -= len(some)
            if start + len(some) < len(topic.partitions):
                cursor = Reply(topic_name=name, partition_index=start + len(some))
                break
        return Reply(topics=topics, next_cursor=cursor)

    def _topic(self, topic: TopicDescription) -> Reply:
        nodes = self._broker.nodes()
        return Reply(
            name=topic.name,
            topic_id=uuid.UUID(bytes=topic_id_bytes(topic.topic_id)),
            is_internal=topic.internal,
            partitions=[
                Reply(
                    error_code=0 if each.leader is not None else LeaderNotAvailableError.code,
                    partition_index=each.partition,
                    leader_id=-1 if each.leader is None else each.leader,
                    leader_epoch=each.leader_epoch,
                    replica_nodes=each.replicas,
                    isr_nodes=each.isr,
                    eligible_leader_replicas=each.elr or (),
                    last_known_elr=each.last_known_elr or (),
                    offline_replicas=[node for node in each.replicas if node not in nodes],
                )
                for each in topic.partitions
            ],
            topic_authorized_operations=TOPIC_OPERATIONS,
        )

    def describe_producers(self, request: Request) -> Reply:
        """The producers that have appended to a partition of late."""
        asked = [
            TopicPartition(topic.name, number) for topic in request.body.topics for number in topic.partition_indexes
        ]
        return Reply(
            topics=[
                Reply(name=topic, partitions=[_producers(number, each) for number, each in some])
                for topic, some in _by_topic(self._broker.admin.describe_producers(asked))
            ]
        )

    # ---------------------------------------------------------------------------------------------- leaders and moves

    def elect_leaders(self, request: Request) -> Reply:
        """Other leaders, a partition each."""
        body = request.body
        asked = None
        if body.topic_partitions is not None:
            asked = [TopicPartition(each.topic, number) for each in body.topic_partitions for number in each.partitions]
        kind = getattr(body, "election_type", 0)
        try:
            if kind not in set(ElectionType):
                raise InvalidRequestError(f"there is no election of type {kind}")
            answers = self._broker.admin.elect_leaders(ElectionType(kind), asked)
        except StoreError as error:
            return Reply(error_code=code_of(error), replica_election_results=[])
        return Reply(
            replica_election_results=[
                Reply(
                    topic=topic,
                    partition_result=[Reply(partition_id=number, **_error(error)) for number, error in some],
                )
                for topic, some in _by_topic(answers)
            ]
        )

    def alter_partition_reassignments(self, request: Request) -> Reply:
        """Moves begin or are given up, a partition each, and are made at once: there is nobody else who would."""
        asked = {
            TopicPartition(topic.name, each.partition_index): each.replicas
            for topic in request.body.topics
            for each in topic.partitions
        }
        allowed = getattr(request.body, "allow_replication_factor_change", True)  # version 0 has none
        try:
            answers = self._broker.admin.alter_partition_reassignments(asked, allow_replication_factor_change=allowed)
            moving = [partition for partition, error in answers.items() if error is None and asked[partition]]
            self._broker.cluster.reassign(moving)
        except StoreError as error:
            return Reply(error_code=code_of(error), error_message=str(error), responses=[])
        return Reply(
            allow_replication_factor_change=allowed,
            responses=[
                Reply(name=topic, partitions=[Reply(partition_index=number, **_error(error)) for number, error in some])
                for topic, some in _by_topic(answers)
            ],
        )

    def list_partition_reassignments(self, request: Request) -> Reply:
        """The moves that are on."""
        body = request.body
        asked = None
        if body.topics is not None:
            asked = [TopicPartition(each.name, number) for each in body.topics for number in each.partition_indexes]
        found = self._broker.admin.list_partition_reassignments(asked)
        return Reply(
            topics=[
                Reply(
                    name=topic,
                    partitions=[
                        Reply(
                            partition_index=number,
                            replicas=each.replicas,
                            adding_replicas=each.adding,
                            removing_replicas=each.removing,
                        )
                        for number, each in some
                    ],
                )
                for topic, some in _by_topic(found)
            ]
        )

    # --------------------------------------------------------------------------------------------- brokers and quorum

    def alter_replica_log_dirs(self, request: Request) -> Reply:
        """Replicas go to other log directories. Which broker is asked does not show at one address: the first, as in
        ``describe_log_dirs``.
        """
        broker = self._broker.nodes()[0]
        moves = {
            (TopicPartition(topic.name, number), broker): each.path
            for each in request.body.dirs
            for topic in each.topics
            for number in topic.partitions
        }
        answers = self._broker.admin.alter_replica_log_dirs(moves)
        self._broker.cluster.reassign([partition for (partition, _), error in answers.items() if error is None])
        return Reply(
            results=[
                Reply(
                    topic_name=topic,
                    partitions=[
                        Reply(partition_index=number, error_code=0 if error is None else code_of(error))
                        for number, error in some
                    ],
                )
                for topic, some in _by_topic({partition: error for (partition, _), error in answers.items()})
            ]
        )

    def describe_log_dirs(self, request: Request) -> Reply:
        """The log directories of all brokers: they are at one address, and the request does not say which is asked."""
        wanted = None
        if request.body.topics is not None:
            wanted = {(each.topic, number) for each in request.body.topics for number in each.partitions}
        by_broker = self._broker.admin.describe_log_dirs(self._broker.nodes())
        found = [each for broker in sorted(by_broker) for each in by_broker[broker]]
        return Reply(
            results=[
                Reply(
                    error_code=0 if each.error is None else code_of(each.error),
                    log_dir=each.path,
                    topics=[
                        Reply(
                            name=topic,
                            partitions=[
                                Reply(
                                    partition_index=number,
                                    partition_size=replica.size,
                                    offset_lag=replica.offset_lag,
                                    is_future_key=replica.is_future,
                                )
                                for number, replica in some
                            ],
                        )
                        for topic, some in _by_topic(
                            {one.partition: one for one in each.replicas if wanted is None or one.partition in wanted}
                        )
                    ],
                    total_bytes=-1 if each.total_bytes is None else each.total_bytes,
                    usable_bytes=-1 if each.usable_bytes is None else each.usable_bytes,
                    is_cordoned=False,
                )
                for each in found
            ]
        )

    def describe_quorum(self, request: Request) -> Reply:
        """Who keeps the metadata."""
        found = self._broker.admin.describe_quorum()
        host, port = self._broker.address_for(request)
        partition = Reply(
            partition_index=0,
            leader_id=found.leader_id,
            leader_epoch=found.leader_epoch,
            high_watermark=found.high_watermark,
            current_voters=[_replica(each) for each in found.voters],
            observers=[_replica(each) for each in found.observers],
        )
        return Reply(
            topics=[
                Reply(
                    topic_name=topic.topic_name,
                    partitions=[
                        partition
                        if topic.topic_name == _METADATA_TOPIC
                        else Reply(
                            partition_index=each.partition_index,
                            leader_id=-1,
                            leader_epoch=-1,
                            high_watermark=-1,
                            current_voters=[],
                            observers=[],
                            **_error(not_hosted()),
                        )
                        for each in topic.partitions
                    ],
                )
                for topic in request.body.topics
            ],
            nodes=[
                Reply(node_id=each.id, listeners=[Reply(name="CONTROLLER", host=host, port=port)])
                for each in found.voters
            ],
        )


def _replica(replica: QuorumReplica) -> Reply:
    try:
        directory = uuid.UUID(bytes=topic_id_bytes(replica.directory_id))
    except ValueError:
        directory = uuid.UUID(int=0)
    return Reply(
        replica_id=replica.id,
        replica_directory_id=directory,
        log_end_offset=replica.log_end_offset,
        last_fetch_timestamp=replica.last_fetch_ms,
        last_caught_up_timestamp=replica.last_caught_up_ms,
    )


def _deleted(partition: int, answer: int | Exception) -> Reply:
    if isinstance(answer, Exception):
        return Reply(partition_index=partition, low_watermark=-1, error_code=code_of(answer))
    return Reply(partition_index=partition, low_watermark=answer)


def _missing(name: str) -> Reply:
    code = not_hosted().code
    try:
        check_topic_name(name)
    except InvalidTopicError as error:
        code = error.code
    return _untold(name, code)


def _untold(name: str, code: int) -> Reply:
    """A topic of which nothing is told but why."""
    return Reply(
        error_code=code,
        name=name,
        topic_id=None,
        is_internal=False,
        partitions=[],
        topic_authorized_operations=0,
    )


def _producers(partition: int, answer: Sequence[ProducerState] | StoreError) -> Reply:
    if isinstance(answer, StoreError):
        return Reply(partition_index=partition, active_producers=[], **_error(answer))
    return Reply(
        partition_index=partition,
        active_producers=[
            Reply(
                producer_id=each.producer_id,
                producer_epoch=each.producer_epoch,
                last_sequence=each.last_sequence,
                last_timestamp=each.last_timestamp,
                coordinator_epoch=-1 if each.coordinator_epoch is None else each.coordinator_epoch,
                current_txn_start_offset=-1 if each.transaction_start is None else each.transaction_start,
            )
            for each in answer
        ],
    )


def _error(error: Exception | None) -> dict[str, object]:
    """The fields that tell an error, or none."""
    return {
        "error_code": 0 if error is None else code_of(error),
        "error_message": None if error is None else str(error),
    }


def _by_topic(found: Any) -> Sequence[tuple[str, list[tuple[int, Any]]]]:
    """What is known of partitions, by topic."""
    by_topic: dict[str, list[tuple[int, Any]]] = {}
    for partition, each in found.items():
        by_topic.setdefault(partition.topic, []).append((partition.partition, each))
    return list(by_topic.items())
