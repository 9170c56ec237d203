"""How every admin request is sent, and how its answer is waited for."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from pykafka_store.errors import StoreError
from pykafka_store.errors import TimeoutError as RequestTimeoutError
from pykafka_store.remote.link import Link

if TYPE_CHECKING:  # most commands have no use for it
    from pykafka_store.remote.requests.network import Network

STUCK = 1.0
"""Seconds without an answer after which librdkafka is made to ask anew who the brokers are."""

GRACE = 5.0
"""Seconds that librdkafka has to give up by itself: its thread may be late."""


TAKING_EFFECT = 0.5
"""Seconds in which a change is looked for."""


class BrokerGoneError(RequestTimeoutError):
    """The broker that was asked died before it answered."""


def wait_until_seen(seen: Callable[[], bool]) -> None:
    """After a change: until a broker that is asked knows of it, as it may hear of it a moment later, so that a script's
    next command finds what the last one did.
    """
    deadline = time.monotonic() + TAKING_EFFECT
    with suppress(StoreError):  # whoever may alter something need not be allowed to describe it
        while time.monotonic() < deadline and not seen():
            time.sleep(0.02)


class Requests:
    """The requests of one admin: its client, their time limit, their answers."""

    def __init__(
        self,
        connect: Callable[[], Link[AdminClient]],
        network: Callable[[], Network],
        require_writable: Callable[[], None],
        *,
        of_controllers: bool = False,
    ) -> None:
        """``require_writable`` raises StoreError where the cluster was opened to read only. ``of_controllers``: its
        address is one of controllers, which librdkafka can't talk to.
        """
        self.of_controllers = of_controllers
        self._connect = connect
        self._network = network
        self.require_writable = require_writable

    @property
    def network(self) -> Network:
        """For what librdkafka has no request for. It raises EngineUnavailableError where kio is not installed."""
        return self._network()

    @property
    def link(self) -> Link[AdminClient]:
        return self._connect()

    @property
    def client(self) -> AdminClient:
        """The client of a cluster that has answered. Raises TimeoutError, or why the cluster never will answer."""
        client = self.link.contact()
        client.poll(0)  # serves librdkafka's reports, which would pile up in a process that lives long
        return client

    @property
    def timeouts(self) -> dict[str, float]:
        """The seconds of one request, as a keyword of librdkafka's requests."""
        return {"request_timeout": self.link.timeout}

    def answer(self, future: Future[Any], limit: float | None = None) -> Any:
        """The answer to a request that has ``limit`` seconds, by default those of any. Raises the broker's error, or
        TimeoutError.
        """
        limit = self.link.timeout if limit is None else limit
        deadline = time.monotonic() + limit + GRACE
        try:
            while True:
                try:
                    return future.result(min(STUCK, deadline - time.monotonic()))
                except TimeoutError:
                    if time.monotonic() >= deadline:
                        raise RequestTimeoutError(f"The cluster did not answer within {limit:.0f} s") from None
                with suppress(KafkaException):
                    # librdkafka may take a broker that died for the controller (any broker is one, with KRaft): it then
                    # waits for that broker to come back, and asks no other who the controller is now.
                    self.client.list_topics(timeout=STUCK)
        except KafkaException as error:
            translated = self.link.reports.error(error.args[0])
            raise (BrokerGoneError(str(translated)) if error.args[0].name() == "_TRANSPORT" else translated) from None
