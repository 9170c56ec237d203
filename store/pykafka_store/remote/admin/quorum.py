"""Who keeps a Kafka cluster's metadata (KIP-595, KIP-853)."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from pykafka_store.model import ZERO_TOPIC_ID, QuorumDescription, QuorumReplica, topic_id_bytes
from pykafka_store.remote.admin.requests import Requests
from pykafka_store.remote.errors import broker_error

METADATA_TOPIC = "__cluster_metadata"


class QuorumAdmin:
    def __init__(self, requests: Requests) -> None:
        self._requests = requests

    def describe_quorum(self) -> QuorumDescription:
        partition = SimpleNamespace(partition_index=0)
        body = SimpleNamespace(topics=[SimpleNamespace(topic_name=METADATA_TOPIC, partitions=[partition])])
        answer = self._requests.network.ask_controller("describe_quorum", body)
        _check(answer)
        (topic,) = answer.topics
        (found,) = topic.partitions
        _check(found)
        endpoints = {
            node.node_id: tuple(f"{each.name}://{each.host}:{each.port}" for each in node.listeners)
            for node in getattr(answer, "nodes", ())
        }
        return QuorumDescription(
            found.leader_id,
            found.leader_epoch,
            found.high_watermark,
            tuple(_replica(each, endpoints.get(each.replica_id, ())) for each in found.current_voters),
            tuple(_replica(each) for each in found.observers),
        )

    def add_voter(self, voter: int, directory_id: str, endpoints: Mapping[str, tuple[str, int]]) -> None:
        self._requests.require_writable()
        network = self._requests.network
        body = SimpleNamespace(
            cluster_id=None,
            timeout=network.timeout_ms,
            voter_id=voter,
            voter_directory_id=uuid.UUID(bytes=topic_id_bytes(directory_id)),
            listeners=[SimpleNamespace(name=name, host=host, port=port) for name, (host, port) in endpoints.items()],
            ack_when_committed=True,
        )
        _check(network.ask_controller("add_raft_voter", body))

    def remove_voter(self, voter: int, directory_id: str) -> None:
        self._requests.require_writable()
        body = SimpleNamespace(
            cluster_id=None, voter_id=voter, voter_directory_id=uuid.UUID(bytes=topic_id_bytes(directory_id))
        )
        _check(self._requests.network.ask_controller("remove_raft_voter", body))


def _check(answer: Any) -> None:
    if answer.error_code:
        raise broker_error(answer.error_code, getattr(answer, "error_message", None))


def _replica(found: Any, endpoints: tuple[str, ...] = ()) -> QuorumReplica:
    directory = getattr(found, "replica_directory_id", None)
    spelled = (
        ZERO_TOPIC_ID if directory is None else base64.urlsafe_b64encode(directory.bytes).rstrip(b"=").decode("ascii")
    )
    return QuorumReplica(
        found.replica_id,
        spelled,
        found.log_end_offset,
        getattr(found, "last_fetch_timestamp", -1),
        getattr(found, "last_caught_up_timestamp", -1),
        endpoints,
    )
