"""Records -> the bytes that are printed for them: the interface of a formatter, and its errors.

Source: org.apache.kafka.common.MessageFormatter.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from pykafka_cli.errors import Refusal
from pykafka_store.model import Records

Deserialize = Callable[[bytes], bytes]
"""The bytes of a field -> the bytes that are printed for it."""


class FormatterProblem(Refusal):
    """A formatter, deserializer or property that is not known. The text is for a person."""


class UnknownClassProblem(FormatterProblem):
    """No class of that name, here or in Apache Kafka; the text is the name, as Kafka's tool prints it."""


class FormatError(Exception):
    """A record can't be formatted. ``java_class`` is the exception that Kafka throws.

    ``printed`` are the bytes of the record that Kafka has printed by then, for it writes a record in pieces. They are
    set where one record alone was to be formatted.
    """

    def __init__(self, message: str, java_class: str = "org.apache.kafka.common.errors.SerializationException") -> None:
        super().__init__(message)
        self.java_class = java_class
        self.printed = b""


class MessageFormatter(Protocol):
    """Records -> bytes for stdout."""

    def format(self, records: Records) -> bytes:
        """The bytes for a run of records, all or nothing. Raises FormatError."""
