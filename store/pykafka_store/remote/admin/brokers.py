"""Brokers and controllers of a Kafka cluster: which there are, what they can be asked, and who leads what."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from pykafka_store.errors import ElectionNotNeededError, StoreError
from pykafka_store.model import ElectionType, TopicPartition
from pykafka_store.nodes import ApiVersion, NodeDescription
from pykafka_store.remote.admin.requests import Requests
from pykafka_store.remote.errors import broker_error
from pykafka_store.remote.partitions import by_topic, outcome


class BrokerAdmin:
    def __init__(self, requests: Requests) -> None:
        self._requests = requests

    def cluster_id(self) -> str:
        if self._requests.of_controllers:
            return self._requests.network.nodes().cluster_id
        described = self._requests.answer(self._requests.client.describe_cluster(**self._requests.timeouts))
        return str(described.cluster_id or "")

    def live_brokers(self) -> tuple[int, ...]:
        if self._requests.of_controllers:
            return tuple(sorted(self._requests.network.nodes().by_id))
        described = self._requests.answer(self._requests.client.describe_cluster(**self._requests.timeouts))
        return tuple(sorted(node.id for node in described.nodes))

    def racks(self) -> dict[int, str | None]:
        return {node.id: node.rack for node in self.nodes()}

    def nodes(self, *, fenced: bool = False) -> list[NodeDescription]:
        found = self._requests.network.described(fenced=fenced).by_id
        return [found[id] for id in sorted(found)]

    def api_versions(self) -> dict[NodeDescription, list[ApiVersion] | StoreError]:
        found: dict[NodeDescription, list[ApiVersion] | StoreError] = {}
        for node in self.nodes():
            network = self._requests.network
            try:
                spoken = network.ask("api_versions", network.software, to=node.id).api_keys
            except StoreError as error:
                found[node] = error
            else:
                found[node] = sorted(ApiVersion(each.api_key, each.min_version, each.max_version) for each in spoken)
        return found

    def unregister_broker(self, broker: int) -> None:
        self._requests.require_writable()
        answer = self._requests.network.ask_controller("unregister_broker", SimpleNamespace(broker_id=broker))
        if answer.error_code:
            raise broker_error(answer.error_code, answer.error_message)

    def elect_leaders(
        self, election: ElectionType, partitions: Sequence[TopicPartition] | None = None
    ) -> dict[TopicPartition, StoreError | None]:
        self._requests.require_writable()
        network = self._requests.network
        asked: Any = None
        if partitions is not None:
            asked = [SimpleNamespace(topic=name, partitions=numbers) for name, numbers in by_topic(partitions).items()]
        body = SimpleNamespace(election_type=int(election), topic_partitions=asked, timeout=network.timeout_ms)
        answer = network.ask_controller("elect_leaders", body, least=1 if election == ElectionType.UNCLEAN else 0)
        if getattr(answer, "error_code", 0):
            raise broker_error(answer.error_code, None)
        answers = {
            TopicPartition(topic.topic, each.partition_id): outcome(each)
            for topic in answer.replica_election_results
            for each in topic.partition_result
        }
        if partitions is None:
            return {each: why for each, why in answers.items() if not isinstance(why, ElectionNotNeededError)}
        return {each: answers[each] for each in partitions}
