"""What coordinators write into topics of their own, as JSON: one object a record, without an end of line, as Kafka's
formatters print it.

Source: org.apache.kafka.tools.consumer.CoordinatorRecordMessageFormatter of Kafka 4.3 and those that extend it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from typing import Any

from pykafka_cli.console.records_out import FormatError
from pykafka_store.errors import CorruptRecordError
from pykafka_store.format.coordinator_records import parse_key, parse_value
from pykafka_store.model import Records


class CoordinatorFormatter:
    """Prints the records whose keys are of some types, and passes over the others."""

    def __init__(self, kinds: Collection[int]) -> None:
        self._kinds = kinds

    def format(self, records: Records) -> bytes:
        printed = []
        for kind, fields, value in parsed(records, self._kinds):
            told = None
            if value is not None:
                version, data = value
                told = {"version": version, "data": "unknown" if data is None else data}
            shown = {"key": {"type": kind, "data": fields}, "value": told}
            printed.append(json.dumps(shown, separators=(",", ":"), ensure_ascii=False))
        return "".join(printed).encode("utf-8", "surrogatepass")


_Value = tuple[int, dict[str, Any] | None]


def parsed(records: Records, kinds: Collection[int]) -> Iterator[tuple[int, dict[str, Any], _Value | None]]:
    """The records with keys of these types: the type, the key's fields, and what ``parse_value`` finds in the value,
    None for a tombstone. Raises FormatError.
    """
    for key, value in zip(records.keys, records.values, strict=True):
        try:
            found = None if key is None else parse_key(key)
            if found is not None and found[0] in kinds:
                yield *found, None if value is None else parse_value(found[0], value)
        except CorruptRecordError as error:
            raise FormatError(str(error), "java.nio.BufferUnderflowException") from error
