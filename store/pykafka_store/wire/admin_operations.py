"""UpdateFeatures, ListTransactions, DescribeTransactions, UnregisterBroker, and the requests of delegation tokens: what
an operator asks besides.
"""

from __future__ import annotations

from pykafka_store.errors import DelegationTokenRequestNotAllowedError, InvalidRequestError, StoreError
from pykafka_store.features import FeatureUpdate, UpgradeType
from pykafka_store.transactions import TransactionDescription
from pykafka_store.wire.broker import Broker, code_of
from pykafka_store.wire.protocol import Reply, Request

_STATES = frozenset(
    {
        "Empty", "Ongoing", "PrepareCommit", "PrepareAbort", "CompleteCommit", "CompleteAbort", "Dead",
        "PrepareEpochFence",
    }
)  # fmt: skip
"""Source: TransactionState."""


class OperationsApi:
    """Answers what the module says."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    # ------------------------------------------------------------------------------------------------------- features

    def update_features(self, request: Request) -> Reply:
        """Levels of feature flags, all or none; up to version 1 each of them has an answer of its own."""
        body = request.body
        try:
            updates = {
                each.feature: FeatureUpdate(each.max_version_level, UpgradeType(getattr(each, "upgrade_type", 1)))
                for each in body.feature_updates
            }
            answers = self._broker.admin.update_features(updates, validate_only=getattr(body, "validate_only", False))
        except ValueError as error:
            return _failure(InvalidRequestError(f"a kind of upgrade that is not there: {error}"))
        except StoreError as error:
            return _failure(error)
        refused = next((error for error in answers.values() if error is not None), None)
        if refused is not None:
            return _failure(refused)
        return Reply(results=[Reply(feature=name) for name in answers])

    # --------------------------------------------------------------------------------------------------- transactions

    def list_transactions(self, request: Request) -> Reply:
        """Those of all coordinators, which are at one address."""
        body = request.body
        try:
            found = self._broker.admin.list_transactions(
                producer_ids=body.producer_id_filters,
                longer_than_ms=getattr(body, "duration_filter", -1),
                pattern=getattr(body, "transactional_id_pattern", None) or None,
            )
        except StoreError as error:
            return Reply(error_code=code_of(error), unknown_state_filters=[], transaction_states=[])
        return Reply(
            unknown_state_filters=[each for each in body.state_filters if each not in _STATES],
            transaction_states=[
                Reply(
                    transactional_id=each.transactional_id, producer_id=each.producer_id, transaction_state=each.state
                )
                for some in found.values()
                for each in some
                if not body.state_filters or each.state in body.state_filters
            ],
        )

    def describe_transactions(self, request: Request) -> Reply:
        """Each transactional id's state, or why there is none."""
        ids = list(request.body.transactional_ids)
        found = self._broker.admin.describe_transactions(ids)
        return Reply(transaction_states=[_transaction(each, found[each]) for each in ids])

    # -------------------------------------------------------------------------------------------------------- brokers

    def unregister_broker(self, request: Request) -> Reply:
        """A broker is forgotten, where it holds no replica."""
        try:
            self._broker.cluster.remove_broker(request.body.broker_id)
        except StoreError as error:
            return _failure(error)
        return Reply()

    # --------------------------------------------------------------------------------------------------------- tokens

    def refuse_token(self, request: Request) -> Reply:  # noqa: ARG002 - whatever is asked of a token
        """As a broker answers whom no SASL let in: tokens are made and described by kafka-delegation-tokens here."""
        return Reply(
            error_code=DelegationTokenRequestNotAllowedError.code,
            principal_type="",
            principal_name="",
            token_requester_principal_type="",
            token_requester_principal_name="",
            issue_timestamp=0,
            expiry_timestamp=0,
            max_timestamp=0,
            token_id="",
            hmac=b"",
            tokens=[],
        )


def _failure(error: StoreError) -> Reply:
    return Reply(error_code=code_of(error), error_message=str(error), results=[])


def _transaction(id: str, found: TransactionDescription | StoreError) -> Reply:
    if isinstance(found, StoreError):
        return Reply(
            error_code=code_of(found),
            transactional_id=id,
            transaction_state="",
            transaction_timeout=0,
            transaction_start_time=0,
            producer_id=-1,
            producer_epoch=-1,
            topics=[],
        )
    topics: dict[str, list[int]] = {}
    for each in found.partitions:
        topics.setdefault(each.topic, []).append(each.partition)
    return Reply(
        transactional_id=id,
        transaction_state=found.state,
        transaction_timeout=found.timeout_ms,
        transaction_start_time=-1 if found.start_time_ms is None else found.start_time_ms,
        producer_id=found.producer_id,
        producer_epoch=found.producer_epoch,
        topics=[Reply(topic=name, partitions=numbers) for name, numbers in topics.items()],
    )
