"""A Kafka cluster behind the seam: hands out admins, producers and consumers that talk to it through librdkafka."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from pykafka_store.errors import (
    EngineUnavailableError,
    InvalidConfigError,
    StoreError,
    UnknownTopicOrPartitionError,
)
from pykafka_store.model import Delivery, SendFailure
from pykafka_store.remote import configs
from pykafka_store.remote.errors import Reports

try:
    import confluent_kafka
    from confluent_kafka.admin import AdminClient
except ImportError as error:
    raise EngineUnavailableError(
        "A Kafka cluster needs confluent-kafka: pip install 'pykafka-toolkit[cluster]'"
    ) from error

if TYPE_CHECKING:
    from pykafka_store.remote.admin import RemoteAdmin
    from pykafka_store.remote.consumer import RemoteConsumer
    from pykafka_store.remote.producer import RemoteProducer
    from pykafka_store.remote.transactions import RemoteTransactionalProducer

FIRST_ANSWER = 10.0
"""Seconds within which a cluster must answer at first, unless ``default.api.timeout.ms`` says otherwise. Kafka's tools
wait for 60: who mistypes an address should not."""

API_TIMEOUT = 60.0
"""Seconds for a request to a cluster that has answered before; Java's default of ``default.api.timeout.ms``."""

SLICE = 0.2
"""Seconds that librdkafka is left alone with a wait at once, for Ctrl-C and errors are noticed in between."""

FIRST_TURN = 2.0
"""Seconds of the first of the turns in which something is waited for that can't be interrupted."""

CREATION = 5.0
"""Seconds for a topic that is made on the way to appear."""

_Answer = TypeVar("_Answer")
_Client = TypeVar("_Client", bound="AdminClient | confluent_kafka.Producer | confluent_kafka.Consumer")


class RemoteCluster:
    """See :class:`pykafka_store.api.Cluster`."""

    def __init__(
        self,
        address: str,
        config: Mapping[str, str] | None = None,
        *,
        read_only: bool = False,
        patience: float | None = None,
        on_notice: Callable[[str], None] | None = None,
    ) -> None:
        self.address = address
        self.read_only = read_only
        self.patience = patience
        self._config = dict(config or {})
        self._admin: Link[AdminClient] | None = None
        if on_notice is not None:
            for line in configs.admin_warnings(self._config):
                on_notice(line)

    def admin(self) -> RemoteAdmin:
        from pykafka_store.remote.admin import RemoteAdmin

        return RemoteAdmin(self.admin_link, self._require_writable)

    def producer(
        self,
        config: Mapping[str, str] | None = None,
        *,
        on_delivery: Callable[[Delivery], None] | None = None,
        on_failure: Callable[[SendFailure], None] | None = None,
        on_notice: Callable[[str], None] | None = None,
    ) -> RemoteProducer:
        from pykafka_store.remote.producer import RemoteProducer

        self._require_writable()
        return RemoteProducer(self, self._connection() | dict(config or {}), on_delivery, on_failure, on_notice)

    def transactional_producer(
        self,
        transactional_id: str,
        config: Mapping[str, str] | None = None,
        *,
        on_delivery: Callable[[Delivery], None] | None = None,
        on_failure: Callable[[SendFailure], None] | None = None,
    ) -> RemoteTransactionalProducer:
        from pykafka_store.remote.transactions import RemoteTransactionalProducer

        self._require_writable()
        config = self._connection() | dict(config or {})
        return RemoteTransactionalProducer(self, transactional_id, config, on_delivery, on_failure)

    def consumer(
        self, config: Mapping[str, str] | None = None, *, on_notice: Callable[[str], None] | None = None
    ) -> RemoteConsumer:
        from pykafka_store.remote.consumer import RemoteConsumer

        return RemoteConsumer(self, self._connection() | dict(config or {}), on_notice)

    def close(self) -> None:
        self._admin = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # ------------------------------------------------------------------------------------------ for the engine's own

    def admin_link(self) -> Link[AdminClient]:
        """The connection for admin requests, made when it is first asked for."""
        if self._admin is None:
            self._admin = Link(self, "admin", self._config, AdminClient, {})
        return self._admin

    def _connection(self) -> dict[str, str]:
        """How to reach the cluster: of its own settings those that a producer and a consumer share."""
        shared = configs.CONNECTION
        return {name: value for name, value in self._config.items() if name in shared}

    def _require_writable(self) -> None:
        if self.read_only:
            raise StoreError(f"{self.address} was opened to read only")


class Link(Generic[_Client]):
    """One client of librdkafka's: made from Java's settings, asked with time limits, its complaints heard."""

    def __init__(
        self,
        cluster: RemoteCluster,
        kind: configs.Kind,
        given: Mapping[str, str],
        make: Callable[[dict[str, Any]], _Client],
        more: Mapping[str, object],
        on_notice: Callable[[str], None] | None = None,
    ) -> None:
        """``more`` are settings in librdkafka's names. Raises InvalidConfigError; connects to nothing yet."""
        translated = configs.translate(kind, given)
        debug = os.environ.get("PYKAFKA_DEBUG") == "1"
        self.reports = Reports(cluster.address, translated.secrets, debug=debug)
        settings: dict[str, Any] = {
            "bootstrap.servers": cluster.address,
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
        if cluster.patience is not None:
            self._patience = min(self._patience, cluster.patience)
        self._answered = False

    def contact(self, patience: float | None = None) -> _Client:
        """The client, once the cluster has answered. Raises TimeoutError, or why it never will."""
        if not self._answered:
            limit = self._patience if patience is None else min(patience, self._patience)
            deadline = time.monotonic() + limit
            # In slices, so that Ctrl-C and what will never get better are noticed.
            while not self._knows_cluster(max(0.01, min(SLICE, deadline - time.monotonic()))):
                self.client.poll(0)
                if self.reports.hopeless is not None:
                    raise self.reports.hopeless
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
        """What librdkafka is told by the cluster within so many seconds, by default those of a request.

        ``ask`` has the seconds for one turn: they are few at first, and twice as many each time, as no Ctrl-C is
        noticed within one. Raises StoreError.
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

        Asked through a producer's or an admin's connection, brokers that may do so create a topic that is missing
        (``auto.create.topics.enable``), and at first still say that there is none.
        """
        client = self.contact()
        found = self.patiently(lambda seconds: client.list_topics(name, timeout=seconds)).topics[name]
        if found.error is not None and not found.partitions:
            raise self.reports.error(found.error)
        return len(found.partitions)

    def created_topic_partitions(self, name: str, patience: float) -> tuple[int, bool]:
        """The number of partitions of a topic that brokers may have to create, and whether they did.

        Raises UnknownTopicOrPartitionError where it is still not there after ``patience`` seconds at most.
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
    found = re.search(r'property "([^"]+)"', text)
    if found is None:
        return str(text)
    java = configs.java_name(kind, found[1])
    return f"{java}: {text}" if java else str(text)
