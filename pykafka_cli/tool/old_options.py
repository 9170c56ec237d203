"""Options and classes that Kafka's tools had and have no more, for who asks for them with PYKAFKA_OLD_OPTIONS=1.

By default they are errors, as in Kafka 4.3. With that variable an old command line does what it did, and one warning
names the spelling of today. Source: the tools of Kafka 0.8 to 3.9, KIP-604, KIP-629, KIP-896.
"""

from __future__ import annotations

from collections.abc import Container
from typing import NamedTuple

VARIABLE = "PYKAFKA_OLD_OPTIONS"


class _Old(NamedTuple):
    takes_argument: bool
    now: str | None
    """Today's name, for the same argument; None where there is nothing to say any more."""
    advice: str


_OPTIONS = {
    "zookeeper": _Old(True, None, "--bootstrap-server"),
    "broker-list": _Old(True, "bootstrap-server", "--bootstrap-server"),
    "whitelist": _Old(True, "include", "--include"),
    "new-consumer": _Old(False, None, "left out"),
    "new-producer": _Old(False, None, "left out"),
    "force": _Old(False, None, "left out"),
    "disable-rack-aware": _Old(False, None, "left out"),
    "delete-consumer-offsets": _Old(False, None, "left out"),
    "csv-reporter-enabled": _Old(False, None, "left out"),
    "metrics-dir": _Old(True, None, "left out"),
    "key-serializer": _Old(True, None, "left out"),
    "value-serializer": _Old(True, None, "left out"),
    "queue-size": _Old(True, None, "--batch-size"),
    "queue-enqueuetimeout-ms": _Old(True, None, "--max-block-ms"),
    "max-wait-ms": _Old(True, None, "left out"),
    "offsets": _Old(True, None, "left out"),
    "authorizer": _Old(True, None, "left out"),
    "authorizer-properties": _Old(True, None, "--bootstrap-server"),
    "zk-tls-config-file": _Old(True, None, "left out"),
}
"""By name, without dashes. A tool that has an option of that name today keeps it."""

_TOOLS = "kafka.tools."
_CLASSES = {
    f"{_TOOLS}DefaultMessageFormatter": "org.apache.kafka.tools.consumer.DefaultMessageFormatter",
    f"{_TOOLS}LoggingMessageFormatter": "org.apache.kafka.tools.consumer.LoggingMessageFormatter",
    f"{_TOOLS}NoOpMessageFormatter": "org.apache.kafka.tools.consumer.NoOpMessageFormatter",
    f"{_TOOLS}ConsoleProducer$LineMessageReader": "org.apache.kafka.tools.LineMessageReader",
    "kafka.coordinator.group.GroupMetadataManager$OffsetsMessageFormatter": (
        "org.apache.kafka.tools.consumer.OffsetsMessageFormatter"
    ),
    "kafka.coordinator.group.GroupMetadataManager$GroupMetadataMessageFormatter": (
        "org.apache.kafka.tools.consumer.GroupMetadataMessageFormatter"
    ),
    "kafka.coordinator.GroupMetadataManager$OffsetsMessageFormatter": (
        "org.apache.kafka.tools.consumer.OffsetsMessageFormatter"
    ),
}


def in_todays_words(words: list[str], declared: Container[str]) -> tuple[list[str], str | None]:
    """The words of a command line, with what is old in them spelled as today, and a line that says what was; None where
    nothing was. ``declared``: the names of the options that the tool has today, without dashes.
    """
    new: list[str] = []
    told: list[str] = []
    rest = iter(words)
    for word in rest:
        name, equals, value = word.removeprefix("--").partition("=")
        old = _OPTIONS.get(name) if word.startswith("--") and name not in declared else None
        if old is None:
            argument = value if equals else word
            if argument in _CLASSES:
                told.append(f"{argument} is {_CLASSES[argument]} now")
                word = f"--{name}={_CLASSES[argument]}" if equals else _CLASSES[argument]  # noqa: PLW2901
            new.append(word)
            continue
        told.append(f"--{name} is {old.advice} now")
        if old.takes_argument and not equals:
            value = next(rest, "")
        if old.now is not None and old.now in declared:
            new += [f"--{old.now}", value]
    return new, f"WARNING: {'; '.join(told)} ({VARIABLE}=1 lets it pass)" if told else None
