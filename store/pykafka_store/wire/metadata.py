"""ApiVersions, Metadata, DescribeCluster, FindCoordinator: what clients ask before anything else."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pykafka_store import notices
from pykafka_store.embedded.serving.topics import TopicRow, topics_as_led
from pykafka_store.errors import (
    InvalidRequestError,
    InvalidTopicError,
    LeaderNotAvailableError,
    StoreError,
    TopicExistsError,
    UnknownTopicIdError,
    UnknownTopicOrPartitionError,
    UnsupportedVersionError,
)
from pykafka_store.format.names import check_topic_name
from pykafka_store.model import INTERNAL_TOPICS, OFFSETS_TOPIC, topic_id_bytes
from pykafka_store.settings.configs import AUTO_CREATE_TOPICS
from pykafka_store.wire.broker import Broker, code_of
from pykafka_store.wire.protocol import PRODUCE, VERSIONS, Reply, Request

NOT_ASKED = -(1 << 31)
"""Authorized operations, where a request does not ask for them."""
TOPIC_OPERATIONS = sum(1 << operation for operation in (3, 4, 5, 6, 7, 8, 10, 11))
CLUSTER_OPERATIONS = sum(1 << operation for operation in (5, 7, 8, 9, 10, 11, 12))
"""All of them: whoever reaches the port may do everything, as at a broker without an authorizer (AclEntry)."""

_GROUP, _TRANSACTION, _SHARE = 0, 1, 2

_MOST_MADE = 20
"""Topics that one request has made: all others wait meanwhile. Who asks for more asks again, as while a broker's
controller makes them.
"""


class MetadataApi:
    """Answers what the module says."""

    def __init__(self, broker: Broker, served: Iterable[int]) -> None:
        """``served``: the API keys that are advertised."""
        self._broker = broker
        self._served = sorted(served)
        self._described: dict[str, TopicRow] = {}
        self._version: object = None

    # ---------------------------------------------------------------------------------------------------- ApiVersions

    def api_versions(self, request: Request | None) -> Reply:
        """What is served. None stands for a request of a version that is too new: it is answered with what there is,
        in version 0, so that the client can ask again (KIP-511).
        """
        keys = [
            # From Produce 0 on is what a broker says, too: else older librdkafkas do not compress (KAFKA-18659).
            Reply(api_key=key, min_version=0 if key == PRODUCE else VERSIONS[key][0], max_version=VERSIONS[key][1])
            for key in self._served
        ]
        if request is None:
            return Reply(error_code=UnsupportedVersionError.code, api_keys=keys)
        features = self._broker.admin.describe_features()
        # Up to version 3 a least level of 0 is not understood (KAFKA-17011).
        some = [(name, *levels) for name, levels in features.supported.items() if levels[0] > 0 or request.version >= 4]
        return Reply(
            api_keys=keys,
            supported_features=[Reply(name=name, min_version=low, max_version=high) for name, low, high in some],
            finalized_features_epoch=features.epoch,
            finalized_features=[
                Reply(name=name, max_version_level=level, min_version_level=level)
                for name, level in features.finalized.items()
                if level
            ],
            zk_migration_ready=False,
        )

    # ------------------------------------------------------------------------------------------------------- Metadata

    def metadata(self, request: Request) -> Reply:
        """The brokers, and the topics that are asked for; one that is missing is made where the client wants that."""
        body = request.body
        nodes = self._broker.nodes()
        wants_all = body.topics is None or (request.version == 0 and not body.topics)
        described = self._topics()
        if wants_all:
            offsets = self._broker.offsets_row()
            shown = (*described.values(), *([] if offsets is None else [offsets]))
            topics = [self._topic_reply(each, body, nodes) for each in shown]
        elif request.version < 12 and any(each.name is None or getattr(each, "topic_id", None) for each in body.topics):
            # Of these versions the answer has no null for a name. Source: KafkaApis.handleTopicMetadataRequest.
            topics = [_refused(each) for each in body.topics]
        else:
            create = getattr(body, "allow_auto_topic_creation", True) and self._may_make()
            refused = self._make_missing(each.name for each in body.topics) if create else {}
            described = self._topics()
            topics = [self._asked(each, body, nodes, described, refused) for each in body.topics]
        host, port = self._broker.address_for(request)
        return Reply(
            brokers=[Reply(node_id=node, host=host, port=port, rack=None) for node in nodes],
            cluster_id=self._broker.cluster_id,
            controller_id=self._broker.coordinator(),
            topics=topics,
            cluster_authorized_operations=_operations(body, "cluster", CLUSTER_OPERATIONS),
        )

    def _topics(self) -> dict[str, TopicRow]:
        """All topics, described again only when the catalogue moved."""
        version = self._broker.engine.catalog.version()
        if version != self._version:
            self._version, topics = topics_as_led(self._broker.engine)
            self._described = {each.name: each for each in topics}
        return self._described

    def _asked(
        self,
        asked: Any,
        body: Any,
        nodes: Sequence[int],
        described: Mapping[str, TopicRow],
        refused: Mapping[str, StoreError],
    ) -> Reply:
        name, topic_id = asked.name, getattr(asked, "topic_id", None)
        try:
            if name is None or (topic_id is not None and not name):  # Java's client leaves the name empty, not null
                name = self._broker.topic(None, topic_id).name
            found = described.get(name)
            if found is None and name == OFFSETS_TOPIC:
                found = self._broker.offsets_row()
            if found is None:
                check_topic_name(name)
                raise refused.get(name) or UnknownTopicOrPartitionError(f"Topic {name} does not exist")
            return self._topic_reply(found, body, nodes)
        except StoreError as error:
            is_by_id = isinstance(error, UnknownTopicIdError)
            return Reply(
                error_code=code_of(error),
                name=None if is_by_id else name,
                topic_id=topic_id if is_by_id else None,
                is_internal=False,
                partitions=[],
                topic_authorized_operations=NOT_ASKED,
            )

    def _make_missing(self, names: Iterable[str | None]) -> dict[str, StoreError]:
        """Make the topics that are not there, as far as that goes in one request; why one of them is not made."""
        known = self._topics()
        refused: dict[str, StoreError] = {}
        attempts = 0
        for name in dict.fromkeys(name for name in names if name and name not in known):
            try:
                if attempts == _MOST_MADE:
                    raise LeaderNotAvailableError(f"Topic {name} is not made yet: ask again")
                attempts += 1
                self._make(name)
            except StoreError as error:
                refused[name] = error
        return refused

    def _may_make(self) -> bool:
        return self._broker.engine.server_setting(AUTO_CREATE_TOPICS) != "false"

    def _make(self, name: str) -> None:
        """Make a topic as auto.create.topics.enable does. Raises StoreError."""
        check_topic_name(name)
        if name in INTERNAL_TOPICS:
            raise InvalidTopicError(f"{name} is internal")
        try:
            made = self._broker.admin.create_topic(name)
        except TopicExistsError:
            return  # another process was first
        self._broker.on_notice(notices.topic_made(name, len(made.partitions)))

    def _topic_reply(self, topic: TopicRow, body: Any, nodes: Sequence[int]) -> Reply:
        return Reply(
            name=topic.name,
            topic_id=uuid.UUID(bytes=topic_id_bytes(topic.id)),
            is_internal=topic.name in INTERNAL_TOPICS,
            partitions=[
                Reply(
                    error_code=0 if each.leader is not None else LeaderNotAvailableError.code,
                    partition_index=each.partition,
                    leader_id=-1 if each.leader is None else each.leader,
                    leader_epoch=each.leader_epoch,
                    replica_nodes=each.replicas,
                    isr_nodes=each.isr,
                    offline_replicas=[node for node in each.replicas if node not in nodes],
                )
                for each in topic.partitions
            ],
            topic_authorized_operations=_operations(body, "topic", TOPIC_OPERATIONS),
        )

    # -------------------------------------------------------------------------------------------------------- cluster

    def describe_cluster(self, request: Request) -> Reply:
        """The brokers. There is no controller to be asked for (KIP-919)."""
        body = request.body
        wanted = getattr(body, "endpoint_type", 1)
        if wanted != 1:
            code, why = 115, f"Unsupported endpoint type {wanted}"  # UNSUPPORTED_ENDPOINT_TYPE
            if wanted == 2:
                code = 114  # MISMATCHED_ENDPOINT_TYPE
                why = "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER"
            return Reply(
                error_code=code,
                error_message=why,
                endpoint_type=1,
                cluster_id="",
                controller_id=-1,
                brokers=[],
                cluster_authorized_operations=NOT_ASKED,
            )
        host, port = self._broker.address_for(request)
        return Reply(
            endpoint_type=1,
            cluster_id=self._broker.cluster_id,
            controller_id=self._broker.coordinator(),
            brokers=[
                Reply(broker_id=node, host=host, port=port, rack=None, is_fenced=False) for node in self._broker.nodes()
            ],
            cluster_authorized_operations=_operations(body, "cluster", CLUSTER_OPERATIONS),
        )

    def find_coordinator(self, request: Request) -> Reply:
        """Everybody's coordinator is this server, though it begins no transaction; there is none for share groups."""
        body = request.body
        keys = getattr(body, "coordinator_keys", None)
        kind, address = getattr(body, "key_type", _GROUP), self._broker.address_for(request)
        replies = [self._coordinator(key, kind, address) for key in ([body.key] if keys is None else keys)]
        return replies[0] if keys is None else Reply(coordinators=replies)

    def _coordinator(self, key: str, kind: int, address: tuple[str, int]) -> Reply:
        if kind not in {_GROUP, _TRANSACTION}:
            error = UnsupportedVersionError if kind == _SHARE else InvalidRequestError
            return Reply(
                key=key,
                error_code=error.code,
                error_message=f"a data directory has no coordinator of type {kind}",
                node_id=-1,
                host="",
                port=-1,
            )
        host, port = address
        return Reply(key=key, node_id=self._broker.coordinator(), host=host, port=port)


def _operations(body: Any, what: str, all_of_them: int) -> int:
    wanted = getattr(body, f"include_{what}_authorized_operations", False)
    return all_of_them if wanted else NOT_ASKED


def _refused(asked: Any) -> Reply:
    return Reply(
        error_code=InvalidRequestError.code,
        name=asked.name or "",
        topic_id=getattr(asked, "topic_id", None),
        is_internal=False,
        partitions=[],
        topic_authorized_operations=NOT_ASKED,
    )
