"""What librdkafka and brokers complain of, as the errors of :mod:`pykafka_store.errors`.

A broker's error has a number, which Kafka's clients turn into an exception; librdkafka adds errors of its own, with
negative numbers. No text that leaves here holds a secret of the configuration.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from pykafka_store import errors
from pykafka_store.errors import StoreError

if TYPE_CHECKING:
    from confluent_kafka import KafkaError

# The exceptions of org.apache.kafka.common.protocol.Errors of Kafka 4.3 by number, from 1 on, each without its
# "Exception"; a star marks those that are retriable.
_EXCEPTIONS = re.findall(r"\S+", """
    OffsetOutOfRange CorruptRecord* UnknownTopicOrPartition* InvalidFetchSize LeaderNotAvailable*
    NotLeaderOrFollower* Timeout* BrokerNotAvailable ReplicaNotAvailable* RecordTooLarge ControllerMoved
    OffsetMetadataTooLarge Network* CoordinatorLoadInProgress* CoordinatorNotAvailable* NotCoordinator*
    InvalidTopic RecordBatchTooLarge NotEnoughReplicas* NotEnoughReplicasAfterAppend* InvalidRequiredAcks
    IllegalGeneration InconsistentGroupProtocol InvalidGroupId UnknownMemberId InvalidSessionTimeout
    RebalanceInProgress InvalidCommitOffsetSize TopicAuthorization GroupAuthorization ClusterAuthorization
    InvalidTimestamp UnsupportedSaslMechanism IllegalSaslState UnsupportedVersion TopicExists InvalidPartitions
    InvalidReplicationFactor InvalidReplicaAssignment InvalidConfiguration NotController* InvalidRequest
    UnsupportedForMessageFormat PolicyViolation OutOfOrderSequence DuplicateSequence InvalidProducerEpoch
    InvalidTxnState InvalidPidMapping InvalidTxnTimeout ConcurrentTransactions* TransactionCoordinatorFenced
    TransactionalIdAuthorization SecurityDisabled OperationNotAttempted KafkaStorage* LogDirNotFound
    SaslAuthentication UnknownProducerId ReassignmentInProgress DelegationTokenDisabled DelegationTokenNotFound
    DelegationTokenOwnerMismatch UnsupportedByAuthentication DelegationTokenAuthorization DelegationTokenExpired
    InvalidPrincipalType GroupNotEmpty GroupIdNotFound FetchSessionIdNotFound* InvalidFetchSessionEpoch*
    ListenerNotFound* TopicDeletionDisabled FencedLeaderEpoch* UnknownLeaderEpoch* UnsupportedCompressionType
    StaleBrokerEpoch OffsetNotAvailable* MemberIdRequired PreferredLeaderNotAvailable* GroupMaxSizeReached
    FencedInstanceId EligibleLeadersNotAvailable* ElectionNotNeeded* NoReassignmentInProgress
    GroupSubscribedToTopic InvalidRecord UnstableOffsetCommit* ThrottlingQuotaExceeded* ProducerFenced
    ResourceNotFound DuplicateResource UnacceptableCredential InconsistentVoterSet InvalidUpdateVersion
    FeatureUpdateFailed PrincipalDeserialization SnapshotNotFound PositionOutOfRange UnknownTopicId*
    DuplicateBrokerRegistration BrokerIdNotRegistered InconsistentTopicId* InconsistentClusterId
    TransactionalIdNotFound FetchSessionTopicId* IneligibleReplica NewLeaderElected OffsetMovedToTieredStorage
    FencedMemberEpoch UnreleasedInstanceId UnsupportedAssignor StaleMemberEpoch MismatchedEndpointType
    UnsupportedEndpointType UnknownControllerId UnknownSubscriptionId TelemetryTooLarge InvalidRegistration
    TransactionAbortable InvalidRecordState ShareSessionNotFound* InvalidShareSessionEpoch* FencedStateEpoch
    InvalidVoterKey DuplicateVoter VoterNotFound InvalidRegularExpression RebootstrapRequired
    StreamsInvalidTopology StreamsInvalidTopologyEpoch StreamsTopologyFenced ShareSessionLimitReached*
""")  # fmt: skip
_WITHOUT_SUFFIX = {"OffsetMetadataTooLarge", "InvalidRegularExpression"}

# The texts of the same source, for numbers where a broker sends no text of its own.
_TEXTS = {
    1: "The requested offset is not within the range of offsets maintained by the server.",
    3: "This server does not host this topic-partition.",
    5: "There is no leader for this topic-partition as we are in the middle of a leadership election.",
    7: "The request timed out.",
    10: "The request included a message larger than the max message size the server will accept.",
    15: "The coordinator is not available.",
    16: "This is not the correct coordinator.",
    17: "The request attempted to perform an operation on an invalid topic.",
    19: "Messages are rejected since there are fewer in-sync replicas than required.",
    22: "Specified group generation id is not valid.",
    24: "The group id is invalid.",
    25: "The coordinator is not aware of this member.",
    29: "Topic authorization failed.",
    30: "Group authorization failed.",
    31: "Cluster authorization failed.",
    35: "The version of API is not supported.",
    36: "Topic with this name already exists.",
    41: "This is not the correct controller for this cluster.",
    54: "Security features are disabled.",
    56: "Disk error when trying to access log file on the disk.",
    68: "The group is not empty.",
    69: "The group id does not exist.",
    86: "Deleting offsets of a topic is forbidden while the consumer group is actively subscribed to it.",
}

# librdkafka's own errors (rdkafka.h) that say the same as one of Kafka's: its name, and whether trying again may help.
_LOCAL = {
    "_ALL_BROKERS_DOWN": ("Timeout", True),
    "_ASSIGNMENT_LOST": ("UnknownMemberId", False),
    "_AUTHENTICATION": ("SaslAuthentication", False),
    "_AUTO_OFFSET_RESET": ("OffsetOutOfRange", False),
    "_BAD_COMPRESSION": ("CorruptRecord", False),
    "_BAD_MSG": ("CorruptRecord", False),
    "_FENCED": ("ProducerFenced", False),
    "_INVALID_ARG": ("InvalidRequest", False),
    "_MSG_TIMED_OUT": ("Timeout", True),
    "_NO_OFFSET": ("NoOffsetForPartition", False),
    "_PURGE_INFLIGHT": ("Interrupt", False),
    "_PURGE_QUEUE": ("Interrupt", False),
    "_RESOLVE": ("Timeout", True),
    "_SSL": ("SslAuthentication", False),
    "_TIMED_OUT": ("Timeout", True),
    "_TIMED_OUT_QUEUE": ("Timeout", True),
    "_TRANSPORT": ("Timeout", True),
    "_UNKNOWN_GROUP": ("InvalidGroupId", False),
    "_UNKNOWN_PARTITION": ("UnknownTopicOrPartition", True),
    "_UNKNOWN_TOPIC": ("UnknownTopicOrPartition", True),
    "_UNSUPPORTED_FEATURE": ("UnsupportedVersion", False),
    "_WAIT_COORD": ("CoordinatorNotAvailable", True),
}
_HOPELESS = {"_AUTHENTICATION", "_SSL"}
"""What does not get better by trying again, although librdkafka does try."""

_CLASSES: dict[str, type[StoreError]] = {
    kind.kafka_name: kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, StoreError) and kind is not StoreError
}


def error_of(code: int, name: str, text: str) -> StoreError:
    """The error of a number, librdkafka's name for it, and its text."""
    if code > 0 and text.startswith("Broker: "):  # librdkafka's words for the number, for lack of a broker's
        text = _TEXTS.get(code, text.removeprefix("Broker: "))
    return _class(code, name)(_one_line(text))


def _class(code: int, name: str) -> type[StoreError]:
    if 0 < code <= len(_EXCEPTIONS):
        word = _EXCEPTIONS[code - 1]
        short, retriable = word.rstrip("*"), word.endswith("*")
    elif name in _LOCAL:
        short, retriable = _LOCAL[name]
    else:
        return StoreError
    kafka_name = short if short in _WITHOUT_SUFFIX else f"{short}Exception"
    known = _CLASSES.get(kafka_name)
    if known is None:
        made = {"code": code if code > 0 else -1, "retriable": retriable, "kafka_name": kafka_name}
        known = _CLASSES[kafka_name] = type(f"{short}Error", (StoreError,), made)
    return known


def _one_line(text: str) -> str:
    return re.sub(r"\s*[\r\n]\s*", " ", text)


class Reports:
    """What librdkafka says beside its answers, and errors as a user may see them: with a cause, without a secret."""

    def __init__(self, address: str, secrets: Iterable[str]) -> None:
        self.address = address
        self._secrets = sorted((secret for secret in secrets if len(secret) > 2), key=len, reverse=True)
        self._cause: str | None = None
        """Why the last broker that was tried did not answer."""
        self.hopeless: StoreError | None = None
        """What will not get better by waiting: wrong credentials, a certificate that is not trusted."""

    def heard(self, error: KafkaError) -> None:
        """librdkafka's error callback: a connection failed, mostly. It goes on trying by itself."""
        name = error.name()
        if name == "_ALL_BROKERS_DOWN":
            return
        self._cause = self.clean(_cause(error.str()))
        if name in _HOPELESS or error.fatal():
            self.hopeless = error_of(error.code(), name, f"{self.address}: {self._cause}")

    def error(self, error: KafkaError) -> StoreError:
        made = error_of(error.code(), error.name(), self.clean(error.str()))
        if isinstance(made, errors.TimeoutError) and self._cause is not None:
            return errors.TimeoutError(f"{made} ({self._cause})")
        return made

    def no_answer(self, seconds: float) -> StoreError:
        """For a cluster that did not answer in time."""
        cause = f": {self._cause}" if self._cause is not None else ""
        return errors.TimeoutError(f"{self.address} did not answer within {seconds:g} s{cause}")

    def clean(self, text: str) -> str:
        """A text in which every secret is masked, on one line."""
        for secret in self._secrets:
            text = text.replace(secret, "[hidden]")
        return _one_line(text)


def _cause(text: str) -> str:
    """librdkafka's report of a broken connection without its name for the thread and the time it took."""
    found = re.fullmatch(r"(?:\S+/(?:bootstrap|\d+): )?(.*?)(?: \(after .*)?", text, re.DOTALL)
    assert found is not None
    return found[1]
