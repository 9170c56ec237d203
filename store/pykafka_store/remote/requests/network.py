"""A Kafka cluster's nodes, and requests to the one that answers them, within the time limits of ``remote.link``."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple, TypeAlias, TypeVar

from pykafka_store.errors import StoreError, UnsupportedVersionError
from pykafka_store.errors import TimeoutError as RequestTimeoutError
from pykafka_store.nodes import NodeDescription
from pykafka_store.remote import configs
from pykafka_store.remote.errors import Reports, broker_error, error_of, foreign
from pykafka_store.remote.link import API_TIMEOUT, FIRST_ANSWER, UNEASY, Endpoint
from pykafka_store.remote.requests.connection import SOFTWARE, Connection, Foreign, Late, Lost
from pykafka_store.remote.requests.login import log_in
from pykafka_store.remote.requests.tls import context_of

PAGE = 2000
"""Partitions that are described at once; a broker's own limit."""
PAUSE = 0.1
"""Seconds until a node that did not answer is asked again."""
SETUP = 10.0
"""Seconds for a connection to be made; Java's default of ``socket.connection.setup.timeout.ms``."""
REQUEST = 30.0
"""Seconds for one answer; Java's default of ``request.timeout.ms``."""

_NOT_CONTROLLER = 41
_ASK_AGAIN = {14, 15, 16, 51}
"""CoordinatorLoadInProgress, CoordinatorNotAvailable, NotCoordinator, ConcurrentTransactions."""
_OF_CONTROLLERS = 2
"""DescribeCluster's number for the endpoints of controllers; 1 is that of brokers."""

_Answer = TypeVar("_Answer")
_Code: TypeAlias = Callable[[Any], int]


def _code_of(answer: Any) -> int:
    return int(getattr(answer, "error_code", 0))


class Nodes(NamedTuple):
    """Who belongs to the cluster."""

    cluster_id: str
    controller: int
    """The broker, or the controller, that decides; -1 where nobody knows."""
    by_id: Mapping[int, NodeDescription]


class Network:
    """Threads may share it: one asks at a time."""

    software = SOFTWARE
    pause = PAUSE

    def __init__(self, endpoint: Endpoint, given: Mapping[str, str], *, controllers: bool = False) -> None:
        """``given`` are Java's settings; ``controllers``: the address is one of controllers, and they are asked.

        Raises InvalidConfigError. Connects to nothing yet.
        """
        translated = configs.translate("admin", given)
        self._settings = settings = translated.settings
        self.of_controllers = controllers
        self._address = endpoint.address
        self._reports = Reports(endpoint.address, translated.secrets)
        self.timeout = API_TIMEOUT if translated.timeout is None else translated.timeout
        patience = FIRST_ANSWER if translated.timeout is None else translated.timeout
        self.timeout_ms = round(1000 * self.timeout)
        """As requests say it that a broker is to give up by then."""
        self._patience = patience if endpoint.patience is None else min(patience, endpoint.patience)
        self._setup = _seconds(settings, "socket.connection.setup.timeout.ms", SETUP)
        self._request = _seconds(settings, "socket.timeout.ms", REQUEST)
        protocol = str(settings.get("security.protocol") or "PLAINTEXT").upper()
        self._tls = context_of(settings) if protocol in {"SSL", "SASL_SSL"} else None
        self._sasl = protocol.startswith("SASL_")
        self._on_waiting = endpoint.on_waiting
        self._cause = ""
        """Why the last attempt failed."""
        self._answered = False
        self._any: Connection | None = None
        """To the node that answered first."""
        self._to: dict[int, Connection] = {}
        self._nodes: Nodes | None = None
        self._lock = threading.RLock()

    def close(self) -> None:
        with self._lock:
            for each in (*self._to.values(), *([self._any] if self._any is not None else [])):
                each.close()
            self._to, self._any = {}, None

    # ------------------------------------------------------------------------------------------------------- asking

    def ask(self, name: str, body: Any, *, to: int | None = None, least: int = 0, once: bool = False) -> Any:
        """What a node answers, the one with the id ``to`` or any, in version ``least`` of the request or a newer one.

        A node that can't be reached, or that hangs up, is asked again until the time is over: it may have done what it
        was asked for then. So what may not be done twice is asked ``once``. Raises TimeoutError,
        UnsupportedVersionError, and what no waiting mends.
        """

        def attempt(end: float) -> Any:
            connection = self._connection(to, end)
            try:
                return connection.ask(name, body, end, least)
            except Lost as error:
                if not once:
                    raise
                self.close()
                raise RequestTimeoutError(f"{error}; what was asked for may have been done") from None

        with self._lock:
            return self._until_answered(attempt)

    def ask_any(self, name: str, body: Any) -> Any:
        """What any broker answers, or, where controllers are asked, the one that decides."""
        return self.ask_controller(name, body) if self.of_controllers else self.ask(name, body)

    def ask_controller(self, name: str, body: Any, *, least: int = 0, once: bool = False) -> Any:
        """What the node answers that decides. With KRaft any broker passes it on; an older cluster has one broker."""
        deadline = time.monotonic() + self.timeout
        while True:
            controller = self.nodes().controller
            answer = self.ask(name, body, to=None if controller < 0 else controller, least=least, once=once)
            if _code_of(answer) != _NOT_CONTROLLER or time.monotonic() >= deadline:
                return answer
            self._nodes = None
            time.sleep(PAUSE)

    def ask_coordinator(
        self, key: str, name: str, body: Any, *, kind: int = 0, code: _Code = _code_of
    ) -> tuple[int, Any]:
        """Who coordinates a group (``kind`` 0) or a transactional id (1), and what that broker answers. While it is
        being chosen or loaded, or an earlier transaction is ended, it is asked again. ``code`` finds the error in an
        answer.
        """
        deadline = time.monotonic() + self.timeout
        question = SimpleNamespace(key=key, key_type=kind, coordinator_keys=(key,))
        while True:
            found = self.ask("find_coordinator", question)
            found = found.coordinators[0] if hasattr(found, "coordinators") else found
            if not found.error_code:
                answer = self.ask(name, body, to=found.node_id)
                if code(answer) not in _ASK_AGAIN or time.monotonic() >= deadline:
                    return found.node_id, answer
            elif found.error_code not in _ASK_AGAIN or time.monotonic() >= deadline:
                raise broker_error(found.error_code, found.error_message)
            time.sleep(PAUSE)

    def leaders(self, topic: str) -> dict[int, int]:
        """Partition -> the broker that leads it, or -1. Raises UnknownTopicOrPartitionError, and others."""
        (found,) = self._metadata([topic]).topics
        if found.error_code:
            raise broker_error(found.error_code, None)
        return {each.partition_index: each.leader_id for each in found.partitions}

    def topics(self, names: Sequence[str]) -> dict[str, Any]:
        """Topics, each with all its partitions, or with an ``error_code``."""
        found: dict[str, Any] = {}
        asked = [SimpleNamespace(name=name) for name in sorted(names)]
        cursor = None
        while True:
            body = SimpleNamespace(topics=asked, response_partition_limit=PAGE, cursor=cursor)
            try:
                answer = self.ask("describe_topic_partitions", body)
            except UnsupportedVersionError:  # before Kafka 3.8
                return {topic.name: topic for topic in self._metadata(names).topics}
            for topic in answer.topics:
                if topic.name in found:
                    found[topic.name].partitions += topic.partitions
                else:
                    found[topic.name] = topic
            cursor = answer.next_cursor
            if cursor is None:
                return found

    def _metadata(self, topics: Sequence[str]) -> Any:
        body = SimpleNamespace(
            topics=[SimpleNamespace(name=topic, topic_id=None) for topic in topics],
            allow_auto_topic_creation=False,
            include_cluster_authorized_operations=False,
            include_topic_authorized_operations=False,
        )
        return self.ask("metadata", body, least=4)

    def _until_answered(self, ask: Callable[[float], _Answer]) -> _Answer:
        limit = self.timeout if self._answered else self._patience
        if self._answered or self._on_waiting is None:
            return self._within(limit, ask)
        teller = threading.Timer(UNEASY, self._tell_waiting, [self._on_waiting, limit])
        teller.daemon = True
        teller.start()
        try:
            return self._within(limit, ask)
        finally:
            teller.cancel()

    def _tell_waiting(self, tell: Callable[[str], None], seconds: float) -> None:
        self._on_waiting = None
        because = f": {self._cause}" if self._cause else ""
        tell(self._reports.clean(f"{self._reports.waiting(seconds)}{because}"))

    def _within(self, limit: float, ask: Callable[[float], _Answer]) -> _Answer:
        deadline = time.monotonic() + limit
        self._cause = ""
        while True:
            try:
                answer = ask(min(deadline, time.monotonic() + self._request))
            except Lost as error:
                self.close()
                if not self._cause or not isinstance(error, Late):  # the last attempt may be cut short
                    self._cause = foreign(error.size) if isinstance(error, Foreign) else str(error)
                if time.monotonic() + PAUSE >= deadline:
                    raise self._no_answer(limit, self._cause) from None
                time.sleep(PAUSE)
            except UnsupportedVersionError:
                self._answered = True
                raise
            except StoreError as error:
                raise type(error)(self._reports.clean(str(error))) from None
            else:
                self._answered = True
                return answer

    def _no_answer(self, seconds: float, cause: str) -> StoreError:
        said = f"{self._address} did not answer within {seconds:g} s: {cause}"
        return RequestTimeoutError(self._reports.clean(said))

    # ------------------------------------------------------------------------------------------------------ the nodes

    def nodes(self, *, anew: bool = False) -> Nodes:
        """Who belongs to the cluster."""
        if self._nodes is None or anew:
            self._nodes = self.described(fenced=False)
        return self._nodes

    def described(self, *, fenced: bool) -> Nodes:
        """Who belongs to the cluster now; brokers that are registered and do not serve as well if ``fenced``."""
        body = SimpleNamespace(
            include_cluster_authorized_operations=False,
            endpoint_type=_OF_CONTROLLERS if self.of_controllers else 1,
            include_fenced_brokers=fenced,
        )
        try:
            answer = self.ask("describe_cluster", body, least=2 if fenced else 1 if self.of_controllers else 0)
        except UnsupportedVersionError:
            if fenced or self.of_controllers:
                raise
            return self._of_metadata()  # of brokers before Kafka 2.8
        if answer.error_code:
            raise broker_error(answer.error_code, answer.error_message)
        found = (
            NodeDescription(each.broker_id, each.host, each.port, each.rack, bool(getattr(each, "is_fenced", False)))
            for each in answer.brokers
        )
        return Nodes(answer.cluster_id, answer.controller_id, {node.id: node for node in found})

    def _of_metadata(self) -> Nodes:
        answer = self._metadata(())
        found = (NodeDescription(each.node_id, each.host, each.port, each.rack) for each in answer.brokers)
        return Nodes(answer.cluster_id or "", answer.controller_id, {node.id: node for node in found})

    # -------------------------------------------------------------------------------------------------- connecting

    def _connection(self, to: int | None, deadline: float) -> Connection:
        """A connection that works, as far as is known. Raises Lost."""
        if to is None:
            if self._any is None:
                self._any = self._connect_to_any(deadline)
            return self._any
        if to not in self._to:
            node = self.nodes().by_id.get(to) or self.nodes(anew=True).by_id.get(to)
            if node is None:
                raise Lost(f"there is no broker {to}")
            self._to[to] = self._connect(node.host, node.port, deadline)
        return self._to[to]

    def _connect_to_any(self, deadline: float) -> Connection:
        cause = Lost("no server is named")
        for server in self._address.split(","):
            host, _, port = server.rpartition(":")
            try:
                return self._connect(host.strip("[]"), int(port), deadline)
            except Lost as error:
                cause = error
        raise cause

    def _connect(self, host: str, port: int, deadline: float) -> Connection:
        deadline = min(deadline, time.monotonic() + self._setup)
        with self._failures(f"{host}:{port}"):
            sock = socket.create_connection((host, port), max(0.01, deadline - time.monotonic()))
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is not None:
                with self._failures(f"{host}:{port}"):
                    sock = self._tls.wrap_socket(sock, server_hostname=host)
            made = Connection(sock, str(self._settings.get("client.id") or "pykafka"))
            made.greet(deadline)
            if self._sasl:
                self._log_in(made, f"{host}:{port}", deadline)
        except BaseException:
            sock.close()
            raise
        return made

    def _log_in(self, made: Connection, where: str, deadline: float) -> None:
        try:
            log_in(made, self._settings, deadline)
        except StoreError as error:
            if error.code > 0 and where not in str(error):
                raise type(error)(f"{where}: {error}") from None
            raise

    @contextlib.contextmanager
    def _failures(self, where: str) -> Iterator[None]:
        """What the operating system and TLS complain of, as Lost, or as what waiting does not mend."""
        try:
            yield
        except ssl.SSLCertVerificationError as error:
            why = f"certificate verify failed: {error.verify_message}"
            raise _untrusted(f"{where}: SSL handshake failed: {why}") from None
        except ssl.SSLError as error:
            if error.reason in {"WRONG_VERSION_NUMBER", "UNEXPECTED_EOF_WHILE_READING"}:
                raise Lost(f"{where}: SSL handshake failed: it may not speak TLS: is the port right?") from None
            raise _untrusted(f"{where}: SSL handshake failed: {error.reason or error}") from None
        except (OSError, UnicodeError) as error:
            raise Lost(f"{where}: {getattr(error, 'strerror', None) or error or 'no connection in time'}") from None


def _untrusted(text: str) -> StoreError:
    return error_of(0, "_SSL", text)


def _seconds(settings: Mapping[str, object], name: str, default: float) -> float:
    try:
        return int(str(settings[name])) / 1000
    except (KeyError, ValueError):
        return default
