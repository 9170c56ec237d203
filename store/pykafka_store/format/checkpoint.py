"""The small text files, each rewritten whole: checkpoints, partition.metadata and meta.properties.

Sources: org.apache.kafka.storage.internals.checkpoint (version line, entry count, entries), PartitionMetadataFile,
MetaProperties. Written to a temporary name, synced and renamed by whoever has the disk; here are only the texts.
"""

from __future__ import annotations

import binascii
from collections.abc import Mapping, Sequence

from pykafka_store.errors import CorruptRecordError

LEADER_EPOCH_FILE = "leader-epoch-checkpoint"
PARTITION_METADATA_FILE = "partition.metadata"
META_PROPERTIES_FILE = "meta.properties"
CLEANER_CHECKPOINT_FILE = "cleaner-offset-checkpoint"
"""How far a partition's log is compacted: in each replica's directory. Where there is none, no compaction was there."""


def format_leader_epochs(entries: Sequence[tuple[int, int]]) -> str:
    """(leader epoch, its first offset) pairs, oldest first, as a leader-epoch-checkpoint."""
    return "".join(("0\n", f"{len(entries)}\n", *(f"{epoch} {start}\n" for epoch, start in entries)))


def parse_leader_epochs(text: str) -> list[tuple[int, int]]:
    """The inverse; an empty file has no entries. Raises CorruptRecordError for another version, count or shape."""
    lines = text.split("\n")
    if not text:
        return []
    try:
        version, count = int(lines[0]), int(lines[1])
        entries = [(int(epoch), int(start)) for epoch, start in (line.split() for line in lines[2:] if line)]
    except (ValueError, IndexError) as error:
        raise CorruptRecordError(f"malformed {LEADER_EPOCH_FILE}: {error}") from error
    if version != 0:
        raise CorruptRecordError(f"unrecognized version {version} of {LEADER_EPOCH_FILE}")
    if count != len(entries):
        raise CorruptRecordError(f"{LEADER_EPOCH_FILE} announces {count} entries and has {len(entries)}")
    return entries


def format_cleaner_checkpoint(topic: str, partition: int, offset: int) -> str:
    """The first offset that compaction has not seen, as Kafka's checkpoint of one partition."""
    return f"0\n1\n{topic} {partition} {offset}\n"


def parse_cleaner_checkpoint(text: str) -> int:
    """The inverse. Raises CorruptRecordError."""
    lines = text.split("\n")
    try:
        if lines[:2] != ["0", "1"]:
            raise ValueError(f"version and count are {lines[:2]}")
        return int(lines[2].split(" ")[2])
    except (ValueError, IndexError) as error:
        raise CorruptRecordError(f"malformed {CLEANER_CHECKPOINT_FILE}: {error}") from error


def format_partition_metadata(topic_id: str) -> str:
    return f"version: 0\ntopic_id: {topic_id}"


def topic_id_text(raw: bytes) -> str:
    """Kafka's spelling of a topic id's sixteen bytes."""
    text = binascii.b2a_base64(raw, newline=False).rstrip(b"=").decode()
    return text.replace("+", "-").replace("/", "_")


def parse_partition_metadata(text: str) -> str:
    """The topic id. Raises CorruptRecordError."""
    fields = dict(line.split(": ", 1) for line in text.split("\n") if ": " in line)
    if fields.get("version") != "0" or "topic_id" not in fields:
        raise CorruptRecordError(f"malformed {PARTITION_METADATA_FILE}")
    return fields["topic_id"]


def format_meta_properties(properties: Mapping[str, str], comment: str) -> str:
    """A meta.properties, sorted by key: a Java properties file whose values are ids and numbers."""
    return "".join((f"#{comment}\n", *(f"{key}={properties[key]}\n" for key in sorted(properties))))


def parse_meta_properties(text: str) -> dict[str, str]:
    """The inverse: ``key=value`` lines without escapes, as nothing in them needs any; comments and blank lines are
    skipped. It takes any text, as this file may be damaged; what people write, with all that Java reads of a properties
    file, is for the command line.
    """
    pairs = (line.partition("=") for line in text.splitlines() if line.strip() and line[0] not in "#!")
    return {key.strip(): value.strip() for key, _, value in pairs}
