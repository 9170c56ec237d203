"""OffsetCommit and OffsetFetch: what groups have committed."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from pykafka_store.embedded.serving.commits import Commit, committed
from pykafka_store.errors import InvalidGroupIdError, StoreError, not_hosted
from pykafka_store.model import CommittedOffset, TopicPartition
from pykafka_store.wire.broker import Broker, code_of, named
from pykafka_store.wire.members import Members
from pykafka_store.wire.protocol import Reply, Request

MAX_METADATA = 4096
"""Characters of a commit's text (offset.metadata.max.bytes)."""


class OffsetMetadataTooLargeError(StoreError):
    code: ClassVar[int] = 12
    kafka_name: ClassVar[str] = "OffsetMetadataTooLarge"


class CommitsApi:
    """Answers what the module says."""

    def __init__(self, broker: Broker, members: Members) -> None:
        self._broker = broker
        self._members = members

    # --------------------------------------------------------------------------------------------------------- commit

    def offset_commit(self, request: Request) -> Reply:
        """Each partition's answer is its own; what can be committed is, in one transaction."""
        commits: dict[TopicPartition, Commit] = {}
        answers: list[tuple[Any, list[tuple[int, int | TopicPartition]]]] = []
        for topic in request.body.topics:
            some: list[tuple[int, int | TopicPartition]] = []
            for asked in topic.partitions:
                try:
                    partition, commit = self._wanted(topic, asked)
                    commits[partition] = commit
                    some.append((asked.partition_index, partition))
                except StoreError as error:
                    some.append((asked.partition_index, code_of(error)))
            answers.append((topic, some))
        code = self._commit(request, commits)
        return Reply(
            topics=[
                Reply(
                    name=named(topic)[0],
                    topic_id=named(topic)[1],
                    partitions=[
                        Reply(partition_index=number, error_code=each if isinstance(each, int) else code)
                        for number, each in some
                    ],
                )
                for topic, some in answers
            ]
        )

    def _wanted(self, topic: Any, asked: Any) -> tuple[TopicPartition, Commit]:
        """Raises StoreError."""
        found = self._broker.topic(*named(topic))
        if found.name not in self._broker.topics():
            raise not_hosted()  # nothing is kept for a view: that it was committed would not be true
        partition = self._broker.partition(found, asked.partition_index)
        text = asked.committed_metadata or ""
        if len(text) > MAX_METADATA:
            raise OffsetMetadataTooLargeError(f"the text of a commit has at most {MAX_METADATA} characters")
        return partition.name, Commit(asked.committed_offset, getattr(asked, "committed_leader_epoch", -1), text)

    def _commit(self, request: Request, commits: dict[TopicPartition, Commit]) -> int:
        """The error code for all of them."""
        try:
            if not request.body.group_id:
                raise InvalidGroupIdError("The group id is empty")
            if commits:
                self._members.commit(request.body, request.version, commits)
        except StoreError as error:
            return code_of(error)
        return 0

    # ---------------------------------------------------------------------------------------------------------- fetch

    def offset_fetch(self, request: Request) -> Reply:
        """What groups have committed: of the partitions that are asked for, or of all."""
        body = request.body
        if request.version >= 8:
            return Reply(groups=[self._group(each, request.version) for each in body.groups])
        found = self._group(body, request.version)
        return Reply(topics=found.topics, error_code=found.error_code)

    def _group(self, asked: Any, version: int) -> Reply:
        member_id, epoch = getattr(asked, "member_id", None), getattr(asked, "member_epoch", -1)
        try:
            if member_id is not None or epoch >= 0:
                self._members.check_reader(asked.group_id, member_id, epoch)
            found = committed(self._broker.engine, asked.group_id)
        except StoreError as error:
            return Reply(group_id=asked.group_id, topics=[], error_code=code_of(error))
        if asked.topics is None or (version < 2 and not asked.topics):
            topics = self._all(found)
        else:
            topics = [self._topic(topic, found, is_by_id=version >= 10) for topic in asked.topics]
        return Reply(group_id=asked.group_id, topics=topics, error_code=0)

    def _all(self, found: dict[TopicPartition, CommittedOffset]) -> list[Reply]:
        by_topic: dict[str, list[Reply]] = {}
        for partition, each in found.items():
            by_topic.setdefault(partition.topic, []).append(_answer(partition.partition, each))
        known = self._broker.topics()
        return [
            Reply(name=name, topic_id=known[name].uuid if name in known else uuid.UUID(int=0), partitions=some)
            for name, some in by_topic.items()
        ]

    def _topic(self, topic: Any, found: dict[TopicPartition, CommittedOffset], *, is_by_id: bool) -> Reply:
        name, id = named(topic)
        code = 0
        if is_by_id:
            try:
                name = self._broker.topic(None, id).name
            except StoreError as error:
                code = code_of(error)
        return Reply(
            name=name,
            topic_id=id,
            partitions=[
                _answer(number, found.get(TopicPartition(name or "", number)), code)
                for number in topic.partition_indexes
            ],
        )


def _answer(partition: int, found: CommittedOffset | None, code: int = 0) -> Reply:
    return Reply(
        partition_index=partition,
        committed_offset=-1 if found is None else found.offset,
        committed_leader_epoch=-1 if found is None else found.leader_epoch,
        metadata="" if found is None else found.metadata,
        error_code=code,
    )
