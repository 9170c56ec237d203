"""What librdkafka and brokers complain of, as the errors of :mod:`pykafka_store.errors`.

A broker's error has a number, which Kafka's clients turn into an exception; librdkafka adds errors of its own, with
negative numbers. No text that leaves here holds a secret of the configuration.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable

from confluent_kafka import KafkaError

from pykafka_store import errors
from pykafka_store.errors import StoreError

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
    14: "The coordinator is loading and hence can't process requests.",
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
    40: "Configuration is invalid.",
    41: "This is not the correct controller for this cluster.",
    47: "Producer attempted to produce with an old epoch.",
    48: "The producer attempted a transactional operation in an invalid state.",
    49: "The producer attempted to use a producer id which is not currently assigned to its transactional id.",
    50: "The transaction timeout is larger than the maximum value allowed by the broker (as configured by "
    "transaction.max.timeout.ms).",
    51: "The producer attempted to update a transaction while another concurrent operation on the same "
    "transaction was ongoing.",
    52: "Indicates that the transaction coordinator sending a WriteTxnMarker is no longer the current "
    "coordinator for a given producer.",
    53: "Transactional Id authorization failed.",
    54: "Security features are disabled.",
    56: "Disk error when trying to access log file on the disk.",
    57: "The user-specified log directory is not found in the broker config.",
    58: "SASL Authentication failed.",
    60: "A partition reassignment is in progress.",
    61: "Delegation Token feature is not enabled.",
    62: "Delegation Token is not found on server.",
    63: "Specified Principal is not valid Owner/Renewer.",
    64: "Delegation Token requests are not allowed on PLAINTEXT/1-way SSL channels and on delegation token "
    "authenticated channels.",
    65: "Delegation Token authorization failed.",
    66: "Delegation Token is expired.",
    67: "Supplied principalType is not supported.",
    68: "The group is not empty.",
    69: "The group id does not exist.",
    80: "The preferred leader was not available.",
    83: "Eligible topic partition leaders are not available.",
    84: "Leader election not needed for topic partition.",
    85: "No partition reassignment is in progress.",
    86: "Deleting offsets of a topic is forbidden while the consumer group is actively subscribed to it.",
    90: "There is a newer producer with the same transactionalId which fences the current one.",
    91: "A request illegally referred to a resource that does not exist.",
    92: "A request illegally referred to the same resource twice.",
    93: "Requested credential would not meet criteria for acceptability.",
    94: "Indicates that the either the sender or recipient of a voter-only request is not one of the expected voters.",
    95: "The given update version was invalid.",
    96: "Unable to update finalized features due to an unexpected server error.",
    102: "The given broker ID was not registered.",
    104: "The clusterId in the request does not match that found on the server.",
    105: "The transactionalId could not be found.",
    114: "The request was sent to an endpoint of the wrong type.",
    115: "This endpoint type is not supported yet.",
    116: "This controller ID is not known.",
    125: "The voter key doesn't match the receiving replica's key.",
    126: "The voter is already part of the set of voters.",
    127: "The voter is not part of the set of voters.",
    128: "The regular expression is not valid.",
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
CLOSED = "it closes the connection: security.protocol may have to be SSL or SASL_SSL, or it is no Kafka broker"
"""What it may mean that the other side takes a connection and says nothing."""
_HOPELESS = {"_AUTHENTICATION", "_SSL"}
"""Errors that do not get better by trying again, although librdkafka does try."""
_TLS_ALERT = 0x150303
"""How the answer of a listener begins that wants TLS."""
_FENCED = "Another process has begun to send with the same transactional.id, and goes on from here"

_CLASSES: dict[str, type[StoreError]] = {
    kind.kafka_name: kind
    for kind in (getattr(errors, name) for name in dir(errors))
    if isinstance(kind, type) and issubclass(kind, StoreError) and kind is not StoreError
}


def error_of(code: int, name: str, text: str) -> StoreError:
    """The error of a number, librdkafka's name for it, and its text."""
    if code > 0 and text.startswith("Broker: "):  # librdkafka's words for the number, for lack of a broker's
        text = _TEXTS.get(code, text.removeprefix("Broker: "))
    return _class(code, name)(_one_line(text))


def broker_error(code: int, text: str | None) -> StoreError:
    """The error of a broker's number, with its text; Kafka's text for the number where it sent none."""
    unknown = "The server experienced an unexpected error when processing the request."
    return _class(code, "")(_one_line(text or _TEXTS.get(code, unknown)))


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
    """What librdkafka reports beside its answers, and errors as a user may see them: with a cause, without a secret."""

    def __init__(self, address: str, secrets: Iterable[str], *, debug: bool = False) -> None:
        self.address = address
        self._debug = debug
        self._secrets = sorted((secret for secret in secrets if len(secret) > 2), key=len, reverse=True)
        self._cause: str | None = None
        """Why the last broker that was tried did not answer."""
        self._hung_up = False
        """Whether the other side took a connection and closed it without a word of Kafka's."""
        self.hopeless: StoreError | None = None
        """The error that waiting does not mend: wrong credentials, a certificate that is not trusted."""

    def heard(self, error: KafkaError) -> None:
        """librdkafka's error callback: mostly a connection failed, and librdkafka goes on trying by itself."""
        name = error.name()
        if name == "_ALL_BROKERS_DOWN":
            return
        self._cause = self.clean(_cause(error.str()))
        if name in _HOPELESS or error.fatal():
            self.hopeless = error_of(error.code(), name, f"{self.address}: {self._cause}")

    def log(self, _level: int, _form: str, kind: str, _client: str, text: str) -> None:
        """librdkafka's own lines; it takes this object for a logger. They are shown only with ``PYKAFKA_DEBUG``:
        what matters of them comes as errors as well, but for connections that the other side closes.
        """
        if self._debug:
            sys.stderr.write(f"{kind}: {self.clean(text)}\n")
        if kind == "FAIL" and "Disconnected" in text and "APIVERSION" in text:
            self._hung_up = True

    def error(self, error: KafkaError) -> StoreError:
        text = _FENCED if error.name() == "_FENCED" else self.clean(error.str())
        made = error_of(error.code(), error.name(), text)
        if isinstance(made, errors.TimeoutError) and self._cause is not None:
            return errors.TimeoutError(f"{made} ({self._cause})")
        return made

    def no_answer(self, seconds: float) -> StoreError:
        """The error for a cluster that did not answer in time."""
        return errors.TimeoutError(f"{self.address} did not answer within {seconds:g} s{self._because()}")

    def waiting(self, seconds: float) -> str:
        """What is told while it does not answer: why, and how long it may take."""
        return f"{self.address} does not answer, which is waited for up to {seconds:g} s{self._because()}"

    def _because(self) -> str:
        cause = CLOSED if self._cause is None and self._hung_up else self._cause
        return f": {cause}" if cause else ""

    def clean(self, text: str) -> str:
        """A text in which every secret is masked, on one line."""
        for secret in self._secrets:
            text = text.replace(secret, "[hidden]")
        return _one_line(text)


def _cause(text: str) -> str:
    """librdkafka's report of a broken connection without its name for the thread and the time it took."""
    found = re.fullmatch(r"(?:\S+/(?:bootstrap|\d+): )?(.*?)(?: \(after .*)?", text, re.DOTALL)
    assert found is not None
    other = re.search(r"Invalid response size (-?\d+)", found[1])
    return found[1] if other is None else foreign(int(other[1]))


def foreign(size: int) -> str:
    """Which protocol the other side speaks, by the four bytes that were taken for the size of an answer."""
    if size >> 8 == _TLS_ALERT:
        return CLOSED
    http = (size & 0xFFFFFFFF).to_bytes(4, "big") == b"HTTP"
    what = "HTTP, and not Kafka's protocol" if http else "another protocol than Kafka's"
    return f"it speaks {what}: is the port right?"
