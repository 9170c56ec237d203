"""A connection to a Kafka cluster: one client of librdkafka's, and the time limits of what it is asked."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping
from typing import Any, Generic, NamedTuple, TypeVar

import confluent_kafka
from confluent_kafka.admin import AdminClient

from pykafka_store.errors import InvalidConfigError, StoreError, UnknownTopicOrPartitionError
from pykafka_store.remote import configs
from pykafka_store.remote.errors import Reports

FIRST_ANSWER = 10.0
"""Seconds within which a cluster must answer at first, unless ``default.api.timeout.ms`` says otherwise. Kafka's tools
wait for 60: who mistypes an address should not."""

UNEASY = 1.0
"""Seconds after which somebody who watches wants to know what is waited for."""

API_TIMEOUT = 60.0
"""Seconds for a request to a cluster that has answered before; Java's default of ``default.api.timeout.ms``."""

SLICE = 0.2
"""Seconds that one call of librdkafka may take at most, for Python notices Ctrl-C and errors only between calls."""

FIRST_TURN = 2.0
"""Seconds of the first turn of :meth:`Link.patiently`; Ctrl-C is not noticed within a turn."""

CREATION = 5.0
"""Seconds within which a topic that was just created must be known to the broker that is asked."""

_Answer = TypeVar("_Answer")
_Client = TypeVar("_Client", bound=AdminClient | confluent_kafka.Producer | confluent_kafka.Consumer)


class Endpoint(NamedTuple):
    """The cluster that a client connects to."""

    address: str
    """``host:port[,host:port]``."""
    patience: float | None = None
    """Seconds that the cluster has for its first answer at most, where the client's settings leave it more."""
    on_waiting: Callable[[str], None] | None = None
    """Told once, in a sentence, where that answer takes more than UNEASY seconds."""


class Link(Generic[_Client]):
    """One client of librdkafka's: made from Java's settings, asked within time limits, its complaints translated."""

    def __init__(
        self,
        endpoint: Endpoint,
        kind: configs.Kind,
        given: Mapping[str, str],
        make: Callable[[dict[str, Any]], _Client],
        more: Mapping[str, object],
        on_notice: Callable[[str], None] | None = None,
    ) -> None:
        """``more`` are settings in librdkafka's names. Raises InvalidConfigError; connects to nothing yet."""
        translated = configs.translate(kind, given)
        debug = os.environ.get("PYKAFKA_DEBUG") == "1"
        self.reports = Reports(endpoint.address, translated.secrets, debug=debug)
        settings: dict[str, Any] = {
            "bootstrap.servers": endpoint.address,
            "error_cb": self.reports.heard,
            **configs.TUNING,
            **translated.settings,
            **more,
        }
        settings["logger"] = self.reports  # librdkafka would write to stderr by itself
        try:
            self.client = make(settings)
        except (confluent_kafka.KafkaException, ValueError, TypeError) as error:
            raise InvalidConfigError(self.reports.clean(_in_java_names(error, kind))) from None
        if on_notice is not None:
            for line in translated.warnings:
                on_notice(line)
        self.timeout = API_TIMEOUT if translated.timeout is None else translated.timeout
        """Seconds for one request."""
        self._patience = FIRST_ANSWER if translated.timeout is None else translated.timeout
        if endpoint.patience is not None:
            self._patience = min(self._patience, endpoint.patience)
        self._on_waiting = endpoint.on_waiting
        self._answered = False

    def contact(self, patience: float | None = None) -> _Client:
        """The client, once the cluster has answered. Raises TimeoutError, or why it never will."""
        if not self._answered:
            limit = self._patience if patience is None else min(patience, self._patience)
            start = time.monotonic()
            deadline = start + limit
            # The wait is cut into slices, so that Ctrl-C is noticed, and an error that waiting does not mend.
            while not self._knows_cluster(max(0.01, min(SLICE, deadline - time.monotonic()))):
                self.client.poll(0)
                if self.reports.hopeless is not None:
                    raise self.reports.hopeless
                if self._on_waiting is not None and time.monotonic() >= start + UNEASY:
                    self._on_waiting(self.reports.waiting(limit))
                    self._on_waiting = None
                if time.monotonic() >= deadline:
                    raise self.reports.no_answer(limit)
            self._answered = True
        return self.client

    def _knows_cluster(self, timeout: float) -> bool:
        """Whether a broker said within ``timeout`` seconds which cluster it belongs to."""
        try:
            return self.client.cluster_id(timeout=timeout) is not None
        except confluent_kafka.KafkaException:
            return False

    def patiently(self, ask: Callable[[float], _Answer], limit: float | None = None) -> _Answer:
        """The cluster's answer, within ``limit`` seconds, by default those of a request.

        ``ask`` is called with the seconds of its turn, which are few at first and twice as many each time, because
        Ctrl-C is not noticed within a turn. Raises StoreError.
        """
        deadline = time.monotonic() + (self.timeout if limit is None else limit)
        turn = FIRST_TURN
        while True:
            left = deadline - time.monotonic()
            try:
                return ask(max(0.01, min(turn, left)))
            except confluent_kafka.KafkaException as error:
                if turn >= left or error.args[0].name() not in {"_TIMED_OUT", "_TRANSPORT"}:
                    raise self.reports.error(error.args[0]) from None
                turn *= 2

    def topic_partitions(self, name: str) -> int:
        """The number of partitions of a topic. Raises UnknownTopicOrPartitionError, and others.

        A question that comes through a producer's or an admin's connection makes brokers create a topic that is
        missing, where ``auto.create.topics.enable`` lets them; the first answers still say that there is none.
        """
        client = self.contact()
        topic = self.patiently(lambda seconds: client.list_topics(name, timeout=seconds)).topics[name]
        if topic.error is not None and not topic.partitions:
            raise self.reports.error(topic.error)
        return len(topic.partitions)

    def created_topic_partitions(self, name: str, patience: float) -> tuple[int, bool]:
        """The number of partitions of a topic that brokers may have to create, and whether they created it.

        Raises UnknownTopicOrPartitionError where the topic is still missing after ``patience`` seconds.
        """
        deadline = time.monotonic() + min(patience, CREATION)
        created = False
        while True:
            try:
                return self.topic_partitions(name), created
            except StoreError as error:
                if not error.retriable or time.monotonic() >= deadline:
                    raise
                created = isinstance(error, UnknownTopicOrPartitionError) or created
                time.sleep(0.02)


def missing_topic(name: str) -> UnknownTopicOrPartitionError:
    return UnknownTopicOrPartitionError(
        f"Topic {name} does not exist: create it with kafka-topics --create --topic {name}"
    )


def _in_java_names(error: Exception, kind: configs.Kind) -> str:
    """librdkafka's complaint about a setting, with the name under which it was given."""
    text = error.args[0].str() if isinstance(error, confluent_kafka.KafkaException) else str(error)
    named = re.search(r'property "([^"]+)"', text)
    if named is None:
        return str(text)
    java = configs.java_name(kind, named[1])
    return f"{java}: {text}" if java else str(text)
