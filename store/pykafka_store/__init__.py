"""Kafka-format logs in a directory that processes share, and Kafka clusters, behind one set of protocols.

An address is ``file:DIR``, a directory's path, or ``host:port[,host:port]``:

    open_cluster(address)          a Cluster; a directory that is missing is made
    open_data_directory(path)      a DataDirectory: brokers, upkeep and copies besides
    open_kafka_cluster(address)    a KafkaCluster: transactions besides
    format_data_directory(path, cluster_id)    makes a directory with an id of one's own
    check_data_directory(path)     a CheckReport of every file; repair=True mends

What they return can be asked for the following, whichever engine answers:

    Cluster.admin()                Admin: topics, configs, offsets, groups, brokers, reassignments
    Cluster.producer(config)       Producer: send, flush
    Cluster.consumer(config)       Consumer: assign or subscribe, poll, seek, commit

The values that go in and out:

    TopicPartition(topic, partition)
    Records                        a run of records by column: values, keys, headers, timestamps, offsets
    OffsetAt                       EARLIEST, LATEST, MAX_TIMESTAMP
    StoreError                     the root of all errors; the others have Kafka's names

Threads share a cluster, its admins and its producers; a consumer is for one at a time, and raises where two are at it.
What a fork carries into a child (multiprocessing's, too) raises StorageError there: a child opens its own.

Four rooms are worth a look of their own: ``pykafka_store.inspect`` (what is in the files of a partition),
``pykafka_store.mirror`` (topics of one cluster, record for record, in another), ``pykafka_store.sink`` (topics into
a database) and ``pykafka_store.source`` (a database into a topic). ``dir(pykafka_store)`` lists all names, and
``help(pykafka_store.Consumer)`` explains one. Each is imported when it is first asked for.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # for type checkers and editors: the same names, as tests/store/test_door.py holds
    from pykafka_store import errors as errors
    from pykafka_store import inspect as inspect
    from pykafka_store import mirror as mirror
    from pykafka_store import sink as sink
    from pykafka_store import source as source
    from pykafka_store.access import *  # noqa: F403
    from pykafka_store.api import *  # noqa: F403
    from pykafka_store.directory import *  # noqa: F403
    from pykafka_store.errors import *  # noqa: F403
    from pykafka_store.model import *  # noqa: F403
    from pykafka_store.open import *  # noqa: F403
    from pykafka_store.settings.listeners import *  # noqa: F403
else:
    # There is no __all__: pydoc would print every class of it in full, which is no page that anybody reads.

    _NAMES = {
        "open": """
            check_data_directory format_data_directory is_cluster_address open_cluster open_data_directory
            open_kafka_cluster serve_data_directory server_of_directory
        """,
        "api": """
            Admin Cluster Consumer KafkaAdmin KafkaCluster Producer RunningServer TransactionalProducer
        """,
        "access": """
            AccessAdmin Acl AclEntry AclFilter AclOperation AclPermission DelegationToken PatternType QuotaEntity
            QuotaFilter ResourcePattern ResourceType ScramCredential ScramDeletion ScramMechanism ScramUpsertion
        """,
        "settings.listeners": """
            Listener Login Tls
        """,
        "directory": """
            Copier DataDirectory
        """,
        "model": """
            BrokerDescription CONSUMER_PROTOCOL CheckReport CommittedOffset ConfigDescription ConfigEntry ConfigKind
            ConfigResource CopiedRun Delivery ElectionType Finding GroupDescription GroupListing Header INTERNAL_TOPICS
            LogDirDescription MaintenanceReport MemberDescription NO_SEQUENCE NO_TIMESTAMP OFFSETS_TOPIC OffsetAt
            PartitionDescription Partitioner QuorumDescription QuorumReplica Reassignment Record Records ReplicaSize
            SendFailure Severity TRANSACTIONS_TOPIC TimestampType TopicDescription TopicListing TopicPartition
            UNKNOWN_OFFSET ZERO_TOPIC_ID random_topic_id topic_id_bytes
        """,
        "errors": """
            BrokerIdNotRegisteredError ConcurrentModificationError CorruptRecordError DelegationTokenAuthDisabledError
            DelegationTokenAuthorizationError DelegationTokenExpiredError DelegationTokenNotFoundError
            DelegationTokenOwnerMismatchError DelegationTokenRequestNotAllowedError DuplicateResourceError
            ElectionNotNeededError EligibleLeadersNotAvailableError EngineUnavailableError FencedInstanceIdError
            GroupIdNotFoundError GroupNotEmptyError GroupSubscribedToTopicError IllegalGenerationError IllegalStateError
            InconsistentGroupProtocolError InvalidConfigError InvalidGroupIdError InvalidPartitionsError
            InvalidPrincipalTypeError InvalidRecordError InvalidRegularExpressionError InvalidReplicaAssignmentError
            InvalidReplicationFactorError InvalidRequestError InvalidSessionTimeoutError InvalidTimestampError
            InvalidTopicError InvalidUpdateVersionError LeaderNotAvailableError LogDirNotFoundError
            NoOffsetForPartitionError NoReassignmentInProgressError NoSpaceError NotEnoughReplicasAfterAppendError
            NotEnoughReplicasError OffsetOutOfRangeError PolicyViolationError PreferredLeaderNotAvailableError
            RecordTooLargeError
            ResourceNotFoundError SecurityDisabledError StorageError StoreError TimeoutError TopicExistsError
            TransactionalIdNotFoundError UnacceptableCredentialError UnknownMemberIdError UnknownTopicIdError
            UnknownTopicOrPartitionError UnsupportedCompressionError UnsupportedSaslMechanismError
            UnsupportedVersionError
        """,
    }
    """The module of each name."""

    _MODULES = ("errors", "inspect", "mirror", "sink", "source")

    def __getattr__(name):
        if name == "__all__":
            return __dir__()
        from importlib import import_module

        if name in _MODULES:
            return import_module(f"{__name__}.{name}")
        for module, names in _NAMES.items():
            if name in names.split():
                value = globals()[name] = getattr(import_module(f"{__name__}.{module}"), name)
                return value
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__():
        return sorted([*_MODULES, *" ".join(_NAMES.values()).split()])
