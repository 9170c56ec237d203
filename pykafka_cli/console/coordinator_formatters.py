"""What coordinators write into topics of their own, as JSON: one object a record, without an end of line, as Kafka's
formatters print it.

Source: org.apache.kafka.tools.consumer.CoordinatorRecordMessageFormatter of Kafka 4.3 and those that extend it.
"""

from __future__ import annotations

import json

from pykafka_cli.console.records_out import FormatError
from pykafka_store.errors import CorruptRecordError
from pykafka_store.format.coordinator_records import parse_key, parse_value
from pykafka_store.model import Records


class CoordinatorFormatter:
    """Prints the records whose keys are of one type, and passes over the others."""

    def __init__(self, kind: int) -> None:
        self._kind = kind

    def format(self, records: Records) -> bytes:
        printed = []
        for key, value in zip(records.keys, records.values, strict=True):
            try:
                found = None if key is None else parse_key(key)
                if found is None or found[0] != self._kind:
                    continue
                kind, fields = found
                told = None
                if value is not None:
                    version, data = parse_value(kind, value)
                    told = {"version": version, "data": "unknown" if data is None else data}
            except CorruptRecordError as error:
                raise FormatError(str(error), "java.nio.BufferUnderflowException") from error
            shown = {"key": {"type": kind, "data": fields}, "value": told}
            printed.append(json.dumps(shown, separators=(",", ":"), ensure_ascii=False))
        return "".join(printed).encode("utf-8", "surrogatepass")
