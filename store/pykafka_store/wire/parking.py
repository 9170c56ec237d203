"""Requests that wait: for records, for a group. They are attempted again when what they wait for is woken, and answered
at their deadline.

A client that has nothing to do asks the same over and over. So what was answered to its last poll, and that nothing of
it has moved since, is remembered: the same bytes then wait again without being read, and without a look at any log.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Hashable
from typing import cast

from pykafka_store.errors import StoreError
from pykafka_store.protocol.writing import Piece
from pykafka_store.watching import POLL_INTERVAL, Watcher
from pykafka_store.wire.broker import Broker, Parked, Poll
from pykafka_store.wire.connection import Connection
from pykafka_store.wire.protocol import FETCH, Request, encode

_LONGEST_REPEATED = 1 << 16
"""Bytes of a request that is remembered, and of its answer."""


class _Waiting:
    """A request that waits, or a poll that did so and was answered with nothing."""

    __slots__ = ("answer", "correlation_id", "head", "is_parked", "parked", "request", "rest")

    def __init__(self, request: Request, parked: Parked, frame: bytes) -> None:
        self.request = request
        self.parked = parked
        self.head, self.rest = frame[:8], frame[12:]
        """The request's bytes before its correlation id and after it; none where it is not to be remembered."""
        self.correlation_id = frame[8:12]
        self.is_parked = True
        self.answer: tuple[bytes, bytes] | None = None
        """What was answered to it, likewise, which holds for as long as nothing of it moves."""

    def current_request(self) -> Request:
        """The request, as it came last."""
        if not self.correlation_id:
            return self.request
        return self.request._replace(correlation_id=int.from_bytes(self.correlation_id, "big", signed=True))


class Parking:
    """See the module."""

    def __init__(
        self,
        broker: Broker,
        watcher: Watcher,
        answer: Callable[[Connection, list[bytes | Piece]], None],
        fail: Callable[[Connection, Request, Exception], None],
    ) -> None:
        """``answer`` sends what was waited for; ``fail`` is told of a fault, and closes the connection."""
        self._broker = broker
        self._answer = answer
        self._fail = fail
        self._watcher = watcher
        self._of: dict[Connection, _Waiting] = {}
        self._by_key: dict[Hashable, set[Connection]] = {}
        self._keys: dict[Connection, tuple[Hashable, ...]] = {}
        self._deadlines: list[float] = []
        self._due: dict[float, list[tuple[Connection, Parked]]] = {}
        """What is due at each of the deadlines."""
        self._unwatched: set[Connection] = set()
        """Connections whose request waits for what can't be watched, and so is attempted again and again."""
        self._version: object = None
        """The catalogue's, if it was asked for in this turn."""

    def note_appends(self) -> None:
        """What others appended wakes who waits for it: the watcher has something to tell."""
        for key in self._watcher.changed():
            self._broker.wake(key)

    # --------------------------------------------------------------------------------------------------------- waiting

    def park(self, connection: Connection, request: Request, parked: Parked, frame: bytes = b"") -> None:
        """Have a request wait. By its bytes it is known when it comes again."""
        connection.busy = True
        waiting = self._of[connection] = _Waiting(request, parked, frame if len(frame) <= _LONGEST_REPEATED else b"")
        self._push(connection, parked)
        if self._wait_for(connection, waiting):
            # What was appended between the first attempt and a watch that began after it was told to nobody.
            self._attempt(connection, waiting, late=False)

    def park_again(self, connection: Connection) -> bool:
        """Whether what came is the last poll once more, and nothing of it has moved: then it waits, and that is all."""
        waiting = self._of.get(connection)
        if waiting is None or waiting.is_parked:
            return False
        poll = cast("Poll", waiting.parked)
        number = connection.take_alike(waiting.head, waiting.rest) if poll.version == self._catalogue() else None
        if number is None:
            return False
        waiting.correlation_id = number
        waiting.is_parked = connection.busy = True
        poll.renew()
        self._push(connection, poll)
        return True

    def forget(self, connection: Connection) -> Parked | None:
        """It waits for nothing any more; what it waited for, if it did."""
        self._forget_keys(connection)
        connection.busy = False
        waiting = self._of.pop(connection, None)
        return waiting.parked if waiting is not None and waiting.is_parked else None

    def abandon(self, connection: Connection) -> None:
        """Its client waits for nothing any more."""
        parked = self.forget(connection)
        if parked is not None:
            parked.abandon()

    def _push(self, connection: Connection, parked: Parked) -> None:
        due = self._due.get(parked.deadline)
        if due is None:
            due = self._due[parked.deadline] = []
            heapq.heappush(self._deadlines, parked.deadline)
        due.append((connection, parked))

    def _catalogue(self) -> object:
        """The catalogue's version: once a turn, whoever asks."""
        if self._version is None:
            self._version = self._broker.engine.catalog.version()
        return self._version

    def _wait_for(self, connection: Connection, waiting: _Waiting) -> bool:
        """Have it woken; whether something of it was not watched before."""
        self._forget_keys(connection)
        parked = waiting.parked
        self._keys[connection] = parked.keys
        began = False
        watched = not getattr(parked, "polls", False)
        for key in parked.keys:
            self._by_key.setdefault(key, set()).add(connection)
        for partition in getattr(parked, "partitions", ()):
            key = partition.topic_id, partition.name.partition
            try:
                path = partition.state_path()
            except StoreError:  # it is answered at its deadline, and looked at again when it comes again
                waiting.head = b""
                continue
            if not self._watcher.is_watched(key, path):
                began = True
                watched = self._watcher.watch(key, path) and watched
        if not watched:
            self._unwatched.add(connection)
            waiting.head = b""
        return began or not watched

    def _forget_keys(self, connection: Connection) -> None:
        for key in self._keys.pop(connection, ()):
            those = self._by_key.get(key)
            if those is not None:
                those.discard(connection)
                if not those:
                    del self._by_key[key]
        self._unwatched.discard(connection)

    # ---------------------------------------------------------------------------------------------------------- a turn

    def patience(self, now: float) -> float | None:
        """Seconds until something is due; None where nothing will be."""
        if self._unwatched:
            return POLL_INTERVAL
        return max(0.0, self._deadlines[0] - now) if self._deadlines else None

    def begin_turn(self) -> None:
        """Time has gone by."""
        self._version = None

    def end_turn(self, now: float) -> None:
        """Attempt what waits for something that came, or has waited long enough."""
        for connection in list(self._unwatched):
            self._attempt(connection, self._of[connection], late=False)
        while self._deadlines and self._deadlines[0] <= now:
            deadline = heapq.heappop(self._deadlines)
            for connection, parked in self._due.pop(deadline):
                waiting = self._of.get(connection)
                if waiting is not None and waiting.parked is parked and parked.deadline == deadline:
                    self._attempt(connection, waiting, late=True)
        while self._broker.woken:
            woken, self._broker.woken = self._broker.woken, set()
            for key in woken:
                for connection in list(self._by_key.get(key, ())):
                    self._wake(connection)

    def _wake(self, connection: Connection) -> None:
        waiting = self._of.get(connection)
        if waiting is None:
            return
        waiting.answer = None
        if waiting.is_parked:
            self._attempt(connection, waiting, late=False)
        else:
            self.forget(connection)

    def _attempt(self, connection: Connection, waiting: _Waiting, *, late: bool) -> None:
        if not waiting.is_parked:
            return
        if late and waiting.answer is not None:
            waiting.is_parked = connection.busy = False
            self._answer(connection, [waiting.correlation_id.join(waiting.answer)])
            return
        try:
            reply = waiting.parked.attempt(late=late)
            pieces = None if reply is None else encode(waiting.current_request(), reply)
        except Exception as error:
            self._fail(connection, waiting.request, error)
            return
        if pieces is None:
            return
        if late and self._is_remembered(waiting, pieces):
            waiting.is_parked = connection.busy = False
        else:
            self.forget(connection)
        self._answer(connection, pieces)

    def _is_remembered(self, waiting: _Waiting, pieces: list[bytes | Piece]) -> bool:
        """Whether the answer is kept for a poll that comes again: it has no records, and what changes it wakes it."""
        if waiting.request.key != FETCH or not waiting.head or not cast("Poll", waiting.parked).found_nothing:
            return False
        whole = b"".join(each for each in pieces if isinstance(each, bytes))
        if len(whole) > _LONGEST_REPEATED:
            return False
        waiting.answer = whole[:4], whole[8:]
        return True
