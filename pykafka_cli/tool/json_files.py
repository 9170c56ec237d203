"""The parts that the JSON files of several Kafka tools have in common.

Source: the tools' own parsing over org.apache.kafka.server.util.json of Kafka 4.3.
"""

from __future__ import annotations

from typing import Any

from pykafka_cli.errors import Refusal
from pykafka_cli.java.json import JsonError, as_object, as_string, as_whole, field, parse, read_text
from pykafka_store.model import TopicPartition

VERSION = 1
"""The one version that these files have, which may be left out."""


def read_json(path: str) -> Any:
    """The JSON value in a file. Raises Refusal for a file that can't be read, NotJsonError for one without JSON."""
    try:
        text = read_text(path)
    except OSError:
        raise Refusal(f"Unable to read file {path}") from None
    return parse(text)


def versioned(parsed: Any) -> dict[str, Any]:
    """The fields of the whole file. Raises JsonError where it is no object, or of another version."""
    fields = as_object(parsed)
    version = as_whole(fields["version"]) if "version" in fields else VERSION
    if version != VERSION:
        raise JsonError(f"Not supported version field value {version}")
    return fields


def partition_of(entry: dict[str, Any]) -> TopicPartition:
    """The fields ``topic`` and ``partition`` of an entry. Raises JsonError for the first that is not as it must be."""
    topic = as_string(field(entry, "topic"))
    return TopicPartition(topic, as_whole(field(entry, "partition")))
