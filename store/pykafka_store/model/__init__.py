"""The values that cross the seam: plain, immutable where it costs nothing, and free of any engine.

Units: offsets count records, positions count bytes, timestamps are milliseconds since the epoch.

They are in a room for each noun, imported when the first name of it is asked for here: to make thirty NamedTuples was a
twelfth of what ``kafka-topics --list`` did, which needs one. Their annotations are not put off (PEP 563): NamedTuple
would compile each field's.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # for type checkers and editors: the same names, as tests/store/test_door.py holds
    from pykafka_store.model.brokers import *  # noqa: F403
    from pykafka_store.model.configs import *  # noqa: F403
    from pykafka_store.model.copies import *  # noqa: F403
    from pykafka_store.model.deliveries import *  # noqa: F403
    from pykafka_store.model.descriptions import *  # noqa: F403
    from pykafka_store.model.failures import *  # noqa: F403
    from pykafka_store.model.groups import *  # noqa: F403
    from pykafka_store.model.health import *  # noqa: F403
    from pykafka_store.model.offsets import *  # noqa: F403
    from pykafka_store.model.record import *  # noqa: F403
    from pykafka_store.model.records import *  # noqa: F403
    from pykafka_store.model.topic_ids import *  # noqa: F403
    from pykafka_store.model.topics import *  # noqa: F403
else:
    _NAMES = {
        "brokers": """
            BrokerDescription ElectionType LogDirDescription QuorumDescription QuorumReplica Reassignment ReplicaSize
        """,
        "configs": """
            ConfigDescription ConfigEntry ConfigKind ConfigResource
        """,
        "copies": "CopiedRun",
        "deliveries": """
            Delivery Partitioner UNKNOWN_OFFSET
        """,
        "descriptions": """
            PartitionDescription TopicDescription
        """,
        "failures": "SendFailure",
        "groups": """
            CONSUMER_PROTOCOL CommittedOffset GroupDescription GroupListing MemberDescription
        """,
        "health": """
            CheckReport Finding MaintenanceReport Severity
        """,
        "offsets": "OffsetAt",
        "record": "Record",
        "records": """
            Header NO_SEQUENCE NO_TIMESTAMP Records TimestampType TopicPartition
        """,
        "topic_ids": """
            INTERNAL_TOPICS OFFSETS_TOPIC TRANSACTIONS_TOPIC ZERO_TOPIC_ID random_topic_id topic_id_bytes
        """,
        "topics": "TopicListing",
    }
    """The module of each name."""

    def __getattr__(name):
        if name == "__all__":
            return __dir__()
        from importlib import import_module

        for module, names in _NAMES.items():
            if name in names.split():
                value = globals()[name] = getattr(import_module(f"{__name__}.{module}"), name)
                return value
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__():
        return sorted(" ".join(_NAMES.values()).split())
