"""What each setting is for, in a sentence: for web consoles and clients that ask for it (KIP-569)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pykafka_store.settings.client_metrics import CLIENT_METRICS
from pykafka_store.settings.configs import SETTINGS, Setting
from pykafka_store.settings.dynamic_configs import BROKER_SETTINGS, GROUP_SETTINGS, WITHOUT_EFFECT
from pykafka_store.settings.server_configs import SHOWN

_OF_TOPICS: Final[Mapping[str, str]] = {
    "segment.bytes": "The size in bytes at which a segment of the log is closed and a new one begun.",
    "segment.ms": "The time in milliseconds after which a segment is closed even if it is not full.",
    "segment.jitter.ms": "A random time in milliseconds, at most this long, by which a segment is closed earlier.",
    "segment.index.bytes": "The greatest size in bytes of a segment's index.",
    "flush.messages": "The number of records after which the log is synced to the disk.",
    "flush.ms": "The time in milliseconds after which records are synced to the disk.",
    "retention.bytes": "The size in bytes of a partition above which its oldest segments are deleted; -1 is no limit.",
    "retention.ms": "The age in milliseconds at which a segment is deleted; -1 is no limit.",
    "max.message.bytes": "The greatest size in bytes of a batch of records, as it is stored.",
    "index.interval.bytes": "The bytes of records between two entries of an index.",
    "delete.retention.ms": "The time in milliseconds for which compaction keeps a tombstone.",
    "min.compaction.lag.ms": "The age in milliseconds below which a record is not compacted away.",
    "max.compaction.lag.ms": "The age in milliseconds at which a record must be looked at by compaction.",
    "file.delete.delay.ms": "The time in milliseconds between a segment's removal from the log and that of its file.",
    "min.cleanable.dirty.ratio": "The share of the log that must be new before it is compacted.",
    "cleanup.policy": "What happens to old records: delete, compact (the newest of each key stays), both, or neither.",
    "unclean.leader.election.enable": "Whether a replica that lacks records may lead when no other one can.",
    "min.insync.replicas": "The replicas that must be in sync for a record with acks=all to be taken.",
    "compression.type": "The codec of stored batches: one by name, uncompressed, or producer for what they came with.",
    "compression.gzip.level": "The level of gzip, where compression.type asks for it.",
    "compression.lz4.level": "The level of LZ4, where compression.type asks for it.",
    "compression.zstd.level": "The level of zstd, where compression.type asks for it.",
    "preallocate": "Whether a new segment's file is made at its full size.",
    "message.timestamp.type": "Whether a record keeps its producer's time (CreateTime) or gets that of its append.",
    "message.timestamp.before.max.ms": "How far in the past, in milliseconds, a record's timestamp may lie.",
    "message.timestamp.after.max.ms": "How far in the future, in milliseconds, a record's timestamp may lie.",
    "leader.replication.throttled.replicas": "The replicas (partition:broker, or *) whose leader's sending is slowed.",
    "follower.replication.throttled.replicas": "The replicas (partition:broker, or *) whose copying is slowed.",
    "remote.storage.enable": "Whether old segments are moved to a tiered storage.",
    "local.retention.ms": "The age in milliseconds at which a tiered segment is deleted here; -2: as retention.ms.",
    "local.retention.bytes": "The size in bytes above which tiered segments are deleted here; -2: as retention.bytes.",
    "remote.log.copy.disable": "Whether a topic with a tiered storage stops moving segments there.",
    "remote.log.delete.on.disable": "Whether what was tiered is deleted when tiered storage is turned off.",
}

_OF_OTHERS: Final[Mapping[str, str]] = {
    "leader.replication.throttled.rate": "The bytes a second of a broker's sending to replicas that are throttled.",
    "follower.replication.throttled.rate": "The bytes a second of a broker's copying to replicas that are throttled.",
    "replica.alter.log.dirs.io.max.bytes.per.second": "The bytes a second of moves between a broker's directories.",
    "consumer.heartbeat.interval.ms": "The time in milliseconds between two heartbeats of a member of the group.",
    "consumer.session.timeout.ms": "The time in milliseconds after which a silent member of the group is taken out.",
    "interval.ms": "The time in milliseconds between two pushes of a client's metrics.",
    "match": "Which clients are meant: name=pattern, comma-separated; empty is all of them.",
    "metrics": "The prefixes of the names of the metrics that are wanted, comma-separated; * is all of them.",
}

_READ_ONLY: Final[Mapping[str, tuple[str, str]]] = {
    "num.partitions": ("INT", "The partitions of a topic that is made without saying how many."),
    "default.replication.factor": ("INT", "The replicas of a topic that is made without saying how many."),
    "auto.create.topics.enable": ("BOOLEAN", "Whether a topic is made when a client first names it."),
    "offsets.topic.num.partitions": ("INT", "The partitions of the topic in which groups' commits are shown."),
    "group.min.session.timeout.ms": ("INT", "The shortest session.timeout.ms of a client in a classic group."),
    "group.max.session.timeout.ms": ("INT", "The longest session.timeout.ms of a client in a classic group."),
}
"""Settings of a server's file: their type, and what they are for."""
_OF_SERVERS: Final[Mapping[str, str]] = {
    "node.id": "The broker's number.",
    "log.dirs": "The directories of the broker's partitions.",
    "advertised.listeners": "The addresses that clients are told.",
    "delete.topic.enable": "Whether topics may be deleted.",
}

READ_ONLY = frozenset({*_READ_ONLY, *SHOWN})

_BY_SYNONYM = {each.synonym: each.name for each in SETTINGS.values() if each.synonym is not None}


def documentation(name: str) -> str | None:
    """What a setting of a topic, a broker, a group or a subscription is for; None for one that is not known."""
    if name in _READ_ONLY:
        return _READ_ONLY[name][1]
    if name in SHOWN:
        return _OF_SERVERS.get(name, "What the server's file says of the server; shown here.")
    if name in WITHOUT_EFFECT:
        return "Tunes the process of a broker of Apache Kafka's; kept and shown here, and of no effect."
    return _OF_OTHERS.get(name) or _OF_TOPICS.get(_BY_SYNONYM.get(name, name))


def setting(name: str) -> Setting | None:
    """A setting by its name, whatever has it: what has the same name is of the same kind."""
    for known in (SETTINGS, BROKER_SETTINGS, GROUP_SETTINGS, CLIENT_METRICS, SHOWN):
        if name in known:
            return known[name]
    return Setting(name, _READ_ONLY[name][0], "", None) if name in _READ_ONLY else None
