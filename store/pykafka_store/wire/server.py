"""The server: sockets, turns and who has the word. One thread, no more; what takes long is what the disk takes.

A connection has one request in work at a time, so that its answers come in the order of its requests. A request that
waits (a fetch for records, a member for its group) is *parked* (parking.py). Where a listener has a log-in, a
connection is a stranger's until it is through the gate (gate.py).
"""

from __future__ import annotations

import selectors
import socket
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

from pykafka_store.embedded.cluster import EmbeddedCluster
from pykafka_store.errors import InvalidConfigError, InvalidRequestError
from pykafka_store.protocol.writing import Piece
from pykafka_store.settings.listeners import Listener
from pykafka_store.watching import Watcher
from pykafka_store.wire.broker import Broker
from pykafka_store.wire.connection import Connection
from pykafka_store.wire.dispatch import Handlers, handlers_of
from pykafka_store.wire.doors import BACKLOG, Door
from pykafka_store.wire.gate import IS_OVER, PATIENCE, PAUSE, Answer, Gate, Users
from pykafka_store.wire.members import Members
from pykafka_store.wire.metadata import MetadataApi
from pykafka_store.wire.parking import Parking
from pykafka_store.wire.portless import become_server
from pykafka_store.wire.protocol import (
    API_VERSIONS,
    CONSUMER_GROUP_HEARTBEAT,
    FETCH,
    HEADER,
    HEARTBEAT,
    JOIN_GROUP,
    SIZE,
    SYNC_GROUP,
    VERSIONS,
    Reply,
    Request,
    decode,
    encode,
    encode_as,
    software_of,
)
from pykafka_store.wire.waking import Waker

_OF_MEMBERS = {JOIN_GROUP, SYNC_GROUP, HEARTBEAT, CONSUMER_GROUP_HEARTBEAT}
"""The requests by which a member is known to live."""

_READ, _WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
_LONGEST_WAIT = 60.0
_ACCEPT_PAUSE = 0.2
MOST_IDLE = 600.0
"""Seconds until a connection is closed by which nothing comes, goes or is waited for (connections.max.idle.ms)."""
_MOST_IN_A_TURN = 16
"""Requests of one connection that are answered before others have their turn."""
_MOST_STRANGERS = 256
"""Connections whose clients have not logged in yet, at once; of more the oldest is closed."""


class Server:
    """Serves a data directory on its doors, from :meth:`run` until :meth:`stop`."""

    def __init__(self, cluster: EmbeddedCluster, doors: Sequence[Door], on_notice: Callable[[str], None]) -> None:
        """``on_notice`` is told a line of what whoever runs the server should know. Raises StorageError where another
        server has the directory.
        """
        become_server(cluster)
        self.address = doors[0].advertised
        """Host and port that clients connect to."""
        self.listeners: Sequence[Listener] = [door.listener for door in doors]
        self._doors = list(doors)
        self._on_notice = on_notice
        self.broker = Broker(cluster, self.address, on_notice)
        self._members = Members(self.broker)
        self._handlers: Handlers = handlers_of(self.broker, self._members)
        self._metadata = MetadataApi(self.broker, self._handlers)
        self._watcher = Watcher()
        self._parking = Parking(self.broker, self._watcher, self._send, self._send_again, self._fail)
        self._selector = selectors.DefaultSelector()
        self._connections: dict[int, Connection] = {}
        self._strangers: OrderedDict[Connection, float] = OrderedDict()
        """Who has to log in, or is amid the handshake of TLS, and until when, oldest first."""
        self._turned_away: deque[tuple[float, Connection, Answer]] = deque()
        """Whose log-in failed, what they are told, and when."""
        self._unfinished: dict[Connection, None] = {}
        """Who has sent more requests than were answered in this turn."""
        self._accept_again: float | None = None
        """When the doors are to be looked at again; None while they are."""
        self._now = cluster.engine.clock.monotonic()
        """When this turn began."""
        self._next_look_for_idle = self._now
        self._next_complaint: dict[str, float] = {}
        self._stopped = False
        """May be so before ``run``."""
        self._waker = Waker()
        self.wakes = self._waker.descriptor
        """See :class:`pykafka_store.api.RunningServer`."""
        for door in doors:
            if door.listener.has_login:
                door.users = Users(door.listener, self.broker.admin.scram_credentials)
                if not door.users.mechanisms:
                    raise InvalidConfigError(f"{door.listener.protocol}: PLAIN alone needs users with passwords")

    # ------------------------------------------------------------------------------------------------------- the loop

    def run(self) -> None:
        """Serve until ``stop``. Raises StorageError where the directory was made anew meanwhile."""
        self._selector.register(self._waker.wakee, _READ, self._waker.drain)
        if self._watcher.descriptor >= 0:
            self._selector.register(self._watcher.descriptor, _READ, self._parking.note_appends)
        self._open_doors()
        try:
            while not self._stopped:
                self._turn()
        finally:
            self._close()

    def stop(self) -> None:
        """End ``run`` soon. May be called from a signal handler, and from another thread."""
        self._stopped = True
        self._waker.wake()

    def _turn(self) -> None:
        events = self._selector.select(self._patience())
        self.broker.engine.catalog.require_in_place()  # else it would acknowledge what nobody finds
        self._now = self.broker.clock.monotonic()
        self._parking.begin_turn(self._now)
        unfinished, self._unfinished = self._unfinished, {}
        park_again = self._parking.park_again
        for key, what in events:
            connection = key.data
            if not isinstance(connection, Connection):
                connection()
            elif what != _READ or not park_again(connection):
                self._serve(connection, what)
        for connection in unfinished:
            if not connection.closed:
                self._go_on(connection)
        if self.broker.long_work:
            self.broker.long_work.go_on()
        self._members.tick()
        now = self.broker.clock.monotonic()
        if self._accept_again is not None and now >= self._accept_again:
            self._accept_again = None
            self._open_doors()
        if self._turned_away or self._strangers:
            self._see_strangers_off(now)
        if now >= self._next_look_for_idle:
            self._close_idle(now)
        self._parking.end_turn(now)

    def _patience(self) -> float:
        """Seconds until something is due."""
        if self._unfinished or self.broker.long_work:
            return 0.0
        now = self.broker.clock.monotonic()
        moments = [self._accept_again, self._members.next_tick(), self._next_look_for_idle]
        if self._turned_away:
            moments.append(self._turned_away[0][0])
        if self._strangers:
            moments.append(next(iter(self._strangers.values())))
        waits = [moment - now for moment in moments if moment is not None]
        parked = self._parking.patience(now)
        return max(0.0, min([_LONGEST_WAIT, *waits, *([] if parked is None else [parked])]))

    def _complain(self, what: str, line: str) -> None:
        """Say something that may happen again and again: once a minute at most."""
        now = self.broker.clock.monotonic()
        if now >= self._next_complaint.get(what, now):
            self._next_complaint[what] = now + _LONGEST_WAIT
            self._on_notice(line)

    # ---------------------------------------------------------------------------------------------------- connections

    def _open_doors(self) -> None:
        for door in self._doors:
            self._selector.register(door.socket, _READ, partial(self._accept, door))

    def _accept(self, door: Door) -> None:
        for _ in range(BACKLOG):
            try:
                client, address = door.socket.accept()
            except BlockingIOError:
                return
            except OSError as error:  # most likely too many files are open: it goes on when some are closed
                self._pause_accepting(f"a connection could not be accepted: {error.strerror or error}")
                return
            try:
                client.setblocking(False)
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                wrapped, transport = door.wrap(client)
            except OSError:  # it is gone already
                client.close()
                continue
            gate = (
                None
                if door.users is None
                else Gate(door.users, self._metadata.api_versions, self.broker.clock.monotonic)
            )
            connection = Connection(wrapped, str(address[0]), transport, door.advertised, gate)
            connection.used_at = self._now
            self._connections[connection.descriptor] = connection
            self._listen_for(connection, _READ)
            if connection.is_stranger:
                self._strangers[connection] = self.broker.clock.monotonic() + PATIENCE
                if len(self._strangers) > _MOST_STRANGERS:
                    self._drop(next(iter(self._strangers)))

    def _pause_accepting(self, why: str) -> None:
        """Accept nobody for a moment, which would be tried again and again."""
        for door in self._doors:
            self._selector.unregister(door.socket)
        self._accept_again = self.broker.clock.monotonic() + _ACCEPT_PAUSE
        self._complain("accept", f"{why} (raise the limit of open files: ulimit -n)")

    def _serve(self, connection: Connection, events: int) -> None:
        if connection.closed:
            return
        connection.used_at = self._now
        try:
            if events & _WRITE:
                connection.flush()
            # By TLS a receive may have waited until something could be sent.
            if (events & _READ or not connection.has_more) and not connection.receive():
                self._end(connection)
                return
            self._go_on(connection)
        except OSError as error:
            if connection.is_stranger:
                self._complain(
                    "handshake", f"{connection.address}: {error.strerror or error}; its connection was closed"
                )
            self._drop(connection)

    def _end(self, connection: Connection) -> None:
        """Its client says no more. What it said before is done: a producer that wants no answer sends and closes."""
        if connection.is_stranger:
            self._drop(connection)
            return
        connection.ended = True
        self._parking.abandon(connection)
        self._go_on(connection)

    def _go_on(self, connection: Connection) -> None:
        """Take the requests that are there, as far as they can be answered, and listen for what comes next."""
        try:
            for _ in range(_MOST_IN_A_TURN):
                if connection.closed or connection.busy or connection.has_more or not connection.has_frame():
                    break
                self._take(connection)
                if connection.ended:
                    self._parking.abandon(connection)
            else:
                self._unfinished[connection] = None
            if connection.ended and not connection.has_more and connection not in self._unfinished:
                self._drop(connection)
            if connection.closed:
                return
            if self._strangers and not connection.is_stranger:
                self._strangers.pop(connection, None)
            # A client that does not read its answers is not read from either.
            wanted = _WRITE if connection.wants_write else 0
            if not connection.is_full and not connection.ended:
                wanted |= _READ
            self._listen_for(connection, wanted)
        except InvalidRequestError as error:
            self._on_notice(f"{connection.address}: {error}; its connection was closed")
            self._drop(connection)
        except OSError:
            self._drop(connection)

    def _listen_for(self, connection: Connection, events: int) -> None:
        before, connection.events = connection.events, events
        if before == events:
            return
        if not events:
            self._selector.unregister(connection.socket)
        elif not before:
            self._selector.register(connection.socket, events, connection)
        else:
            self._selector.modify(connection.socket, events, connection)

    def _close_idle(self, now: float) -> None:
        """Nobody may be there any more, and a machine that is gone says nothing; or a client takes no answer."""
        self._next_look_for_idle = now + MOST_IDLE / 10
        for each in list(self._connections.values()):
            if not each.busy and now - each.used_at > MOST_IDLE:
                self._drop(each)

    def _drop(self, connection: Connection) -> None:
        if connection.closed:
            return
        self._listen_for(connection, 0)
        self._connections.pop(connection.descriptor, None)
        self._unfinished.pop(connection, None)
        self._strangers.pop(connection, None)
        self._parking.abandon(connection)
        self._members.orphan(connection.members)
        connection.close()

    # ------------------------------------------------------------------------------------------------------- the gate

    def _take_from_stranger(self, connection: Connection, gate: Gate, frame: memoryview) -> None:
        try:
            answer = gate.take(frame)
        except InvalidRequestError as error:
            answer = Answer([], str(error))
        connection.software = gate.software
        if answer.problem is not None:
            # Whoever guesses waits for each guess, and nobody else does.
            connection.busy = True
            self._turned_away.append((self.broker.clock.monotonic() + PAUSE, connection, answer))
            return
        connection.send(answer.pieces)

    def _see_strangers_off(self, now: float) -> None:
        while self._turned_away and self._turned_away[0][0] <= now:
            _, connection, answer = self._turned_away.popleft()
            if connection.closed:
                continue
            self._complain("login", f"{connection.address}: {answer.problem}; its connection was closed")
            with suppress(OSError):
                connection.send(answer.pieces)
            self._drop(connection)
        while self._strangers and next(iter(self._strangers.values())) <= now:
            late = next(iter(self._strangers))
            self._complain("late", f"{late.address}: no log-in within {PATIENCE:g} s; its connection was closed")
            self._drop(late)

    # ------------------------------------------------------------------------------------------------------- requests

    def _take(self, connection: Connection) -> None:
        frame = connection.frame()
        request, copy, size = None, b"", len(frame)
        try:
            gate = connection.gate
            if gate is not None and gate.takes(frame):
                self._take_from_stranger(connection, gate, frame)
            elif gate is not None and gate.is_over:
                self._complain("session", f"{connection.address}: {IS_OVER}; its connection was closed")
                self._drop(connection)
            else:
                self._parking.forget(connection)  # something else than the poll that was remembered
                key, version, correlation_id = HEADER.unpack_from(frame)
                low, high = VERSIONS.get(key, (0, -1))
                if key not in self._handlers or not low <= version <= high:
                    self._refuse_version(connection, key, version, correlation_id)
                else:
                    request = decode(frame, connection.advertised, connection.software)
                    if key == API_VERSIONS:
                        connection.software = software_of(request)
                    is_repeated = key == FETCH and (gate is None or gate.session_ends is None)
                    copy = SIZE.pack(size) + bytes(frame) if is_repeated else b""
        finally:
            frame.release()
        connection.drop_frame(size)
        if request is not None:
            self._answer(connection, request, copy)

    def _refuse_version(self, connection: Connection, key: int, version: int, correlation_id: int) -> None:
        """ApiVersions is answered in version 0, whatever came (KIP-511). How another answer would look is not known."""
        if key != API_VERSIONS:
            raise InvalidRequestError(f"request {key} of version {version} is not served here")
        connection.send(encode_as(API_VERSIONS, 0, correlation_id, self._metadata.api_versions(None)))

    def _answer(self, connection: Connection, request: Request, frame: bytes) -> None:
        try:
            answer = self._handlers[request.key](request)
            pieces = encode(request, answer) if isinstance(answer, Reply) else None
        except InvalidRequestError as error:
            self._on_notice(f"{request.said}: {error}; its connection was closed")
            self._drop(connection)
            return
        except Exception as error:  # this client is told by its connection, all others go on
            self._fail(connection, request, error)
            return
        self._note_member(connection, request)
        if pieces is not None:
            self._parking.let_readers_first(connection, request)
            connection.send(pieces)
        elif answer is not None and not isinstance(answer, Reply):
            self._parking.park(connection, request, answer, frame)

    def _fail(self, connection: Connection, request: Request, error: Exception) -> None:
        """A fault of ours."""
        self._on_notice(f"{request.said}: unexpected {type(error).__name__}: {error}")
        self._drop(connection)

    def _note_member(self, connection: Connection, request: Request) -> None:
        """Whose connection this is: that it is gone says that its member is, most likely."""
        if request.key in _OF_MEMBERS:
            group, member = request.body.group_id, getattr(request.body, "member_id", "")
            if self._members.has(group, member):  # and not what anybody calls itself, of which there is no end
                connection.members.add((group, member))

    def _send(self, connection: Connection, pieces: list[bytes | Piece]) -> None:
        """Send what was waited for, and go on."""
        connection.used_at = self._now
        try:
            connection.send(pieces)
        except OSError:
            self._drop(connection)
            return
        if not connection.is_idle:
            self._go_on(connection)

    def _send_again(self, connection: Connection, data: bytes) -> None:
        """As ``_send``, with what was answered before."""
        connection.used_at = self._now
        try:
            if connection.send_one(data):
                return
        except OSError:
            self._drop(connection)
            return
        self._go_on(connection)

    # -------------------------------------------------------------------------------------------------------- closing

    def _close(self) -> None:
        for connection in list(self._connections.values()):
            self._drop(connection)
        for door in self._doors:
            door.socket.close()
        self._waker.close()
        self._watcher.close()
        self._selector.close()
        self._members.close()
        try:
            self.broker.partitions.close()
        finally:
            self.broker.cluster.close()


def start(cluster: EmbeddedCluster, listeners: Sequence[Listener], on_notice: Callable[[str], None]) -> Server:
    """See :func:`pykafka_store.open.serve_data_directory`. The server closes the cluster in the end."""
    doors: list[Door] = []
    try:
        for listener in listeners:
            doors.append(Door(listener))
        return Server(cluster, doors, on_notice)
    except BaseException:
        for door in doors:
            door.socket.close()
        cluster.close()
        raise
