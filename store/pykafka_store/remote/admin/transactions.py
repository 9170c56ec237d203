"""Transactions of a Kafka cluster, and the producers that its brokers remember (KIP-664, KIP-1073)."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from pykafka_store.errors import StoreError, not_hosted
from pykafka_store.model import TopicPartition
from pykafka_store.remote.admin.requests import Requests
from pykafka_store.remote.errors import broker_error
from pykafka_store.remote.partitions import by_topic, outcome

if TYPE_CHECKING:
    from pykafka_store.transactions import ProducerState, TransactionDescription, TransactionListing

_OF_TRANSACTIONS = 1
"""FindCoordinator's number for the coordinators of transactional ids."""
_LOADING = 14
"""COORDINATOR_LOAD_IN_PROGRESS."""
_UNKNOWN_ID = 105
"""TRANSACTIONAL_ID_NOT_FOUND."""
_NO_ID = "DescribeTransactions request for transactionalId `{}` failed because the ID could not be found"
"""Source: DescribeTransactionsHandler#handleError."""
_NO_LEADER = 5
"""LEADER_NOT_AVAILABLE."""


class TransactionAdmin:
    def __init__(self, requests: Requests) -> None:
        self._requests = requests

    def list_transactions(
        self, *, producer_ids: Collection[int] = (), longer_than_ms: int = -1, pattern: str | None = None
    ) -> dict[int, list[TransactionListing]]:
        from pykafka_store.transactions import TransactionListing

        network = self._requests.network
        body = SimpleNamespace(
            state_filters=(),
            producer_id_filters=tuple(producer_ids),
            duration_filter=longer_than_ms,
            transactional_id_pattern=pattern,
        )
        least = 2 if pattern is not None else 1 if longer_than_ms >= 0 else 0
        deadline = time.monotonic() + network.timeout
        found = {}
        for broker in sorted(network.nodes().by_id):
            answer = network.ask("list_transactions", body, to=broker, least=least)
            while answer.error_code == _LOADING and time.monotonic() < deadline:
                time.sleep(network.pause)
                answer = network.ask("list_transactions", body, to=broker, least=least)
            if answer.error_code:
                raise broker_error(answer.error_code, None)
            found[broker] = [
                TransactionListing(each.transactional_id, each.producer_id, each.transaction_state)
                for each in answer.transaction_states
            ]
        return found

    def describe_transactions(self, ids: Sequence[str]) -> dict[str, TransactionDescription | StoreError]:
        return {each: self._described(each) for each in ids}

    def _described(self, id: str) -> TransactionDescription | StoreError:
        from pykafka_store.transactions import TransactionDescription

        coordinator, answer = self._requests.network.ask_coordinator(
            id,
            "describe_transactions",
            SimpleNamespace(transactional_ids=[id]),
            kind=_OF_TRANSACTIONS,
            code=lambda answer: int(answer.transaction_states[0].error_code),
        )
        (state,) = answer.transaction_states
        if state.error_code:
            return broker_error(state.error_code, _NO_ID.format(id) if state.error_code == _UNKNOWN_ID else None)
        return TransactionDescription(
            coordinator,
            state.producer_id,
            state.producer_epoch,
            state.transaction_state,
            round(1000 * state.transaction_timeout.total_seconds()),
            state.transaction_start_time if state.transaction_start_time >= 0 else None,
            tuple(TopicPartition(topic.topic, number) for topic in state.topics for number in topic.partitions),
        )

    def describe_producers(
        self, partitions: Sequence[TopicPartition], broker: int | None = None
    ) -> dict[TopicPartition, tuple[ProducerState, ...] | StoreError]:
        found: dict[TopicPartition, tuple[ProducerState, ...] | StoreError] = {}
        asked: dict[int, list[TopicPartition]] = {}
        for each in partitions:
            try:
                asked.setdefault(self._leader(each) if broker is None else broker, []).append(each)
            except StoreError as error:
                found[each] = error
        for where, those in asked.items():
            topics = [
                SimpleNamespace(name=name, partition_indexes=numbers) for name, numbers in by_topic(those).items()
            ]
            answer = self._requests.network.ask("describe_producers", SimpleNamespace(topics=topics), to=where)
            for topic in answer.topics:
                for part in topic.partitions:
                    states = tuple(map(_state, part.active_producers))
                    found[TopicPartition(topic.name, part.partition_index)] = outcome(part) or states
        return found

    def _leader(self, partition: TopicPartition) -> int:
        leaders = self._requests.network.leaders(partition.topic)
        if partition.partition not in leaders:
            raise not_hosted()
        leader = leaders[partition.partition]
        if leader < 0:
            raise broker_error(_NO_LEADER, None)
        return leader

    def abort_transaction(
        self, partition: TopicPartition, producer_id: int, producer_epoch: int, coordinator_epoch: int
    ) -> None:
        self._requests.require_writable()
        marker = SimpleNamespace(
            producer_id=producer_id,
            producer_epoch=producer_epoch,
            coordinator_epoch=coordinator_epoch,
            transaction_result=False,
            topics=[SimpleNamespace(name=partition.topic, partition_indexes=[partition.partition])],
            transaction_version=0,
        )
        body = SimpleNamespace(markers=[marker])
        answer = self._requests.network.ask("write_txn_markers", body, to=self._leader(partition))
        for written in answer.markers:
            for topic in written.topics:
                for each in topic.partitions:
                    if each.error_code:
                        raise broker_error(each.error_code, None)

    def terminate_transaction(self, transactional_id: str) -> None:
        self._requests.require_writable()
        network = self._requests.network
        body = SimpleNamespace(
            transactional_id=transactional_id,
            transaction_timeout=network.timeout_ms,
            producer_id=-1,
            producer_epoch=-1,
        )
        _, answer = network.ask_coordinator(transactional_id, "init_producer_id", body, kind=_OF_TRANSACTIONS)
        if answer.error_code:
            raise broker_error(answer.error_code, None)


def _state(found: Any) -> ProducerState:
    from pykafka_store.transactions import ProducerState

    coordinator, start = found.coordinator_epoch, found.current_txn_start_offset
    return ProducerState(
        found.producer_id,
        found.producer_epoch,
        found.last_sequence,
        found.last_timestamp,
        coordinator if coordinator >= 0 else None,
        start if start >= 0 else None,
    )
