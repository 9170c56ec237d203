"""Requests that wait: for records, for a group. They are attempted again when what they wait for is woken, and answered
at their deadline.

A client that has nothing to do asks the same over and over. So what was answered to its last poll, and that nothing of
it has moved since, is remembered: the same bytes then wait again without being read, and without a look at any log.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Hashable
from typing import cast

from pykafka_store.embedded.serving.members import LOOK_INTERVAL
from pykafka_store.errors import StoreError
from pykafka_store.protocol.writing import Piece
from pykafka_store.watching import POLL_INTERVAL, Watcher, tells
from pykafka_store.wire.broker import Broker, Parked, Poll, when_to_answer
from pykafka_store.wire.connection import Connection
from pykafka_store.wire.protocol import FETCH, PRODUCE, Request, encode

_LONGEST_REPEATED = 1 << 16
"""Bytes of a request that is remembered, and of its answer."""
_FEW = 8
"""Readers that a producer waits for. Each takes a fraction of a millisecond."""
_MOST_IN_A_TURN = 100
"""Requests that are answered at their deadline before others have their turn."""


class _Waiting:
    """A request that waits, or a poll that did so and was answered with nothing."""

    __slots__ = (
        "answer",
        "connection",
        "correlation_id",
        "due",
        "head",
        "parked",
        "patience",
        "request",
        "rest",
        "version",
    )

    def __init__(self, connection: Connection, request: Request, parked: Parked, frame: bytes) -> None:
        self.connection = connection
        self.request = request
        self.parked = parked
        self.head, self.rest = frame[:8], frame[12:]
        """The request's bytes before its correlation id and after it; none where it is not to be remembered."""
        self.correlation_id = frame[8:12]
        self.due: list[_Waiting] | None = None
        """Those that are due together with it; None where it does not wait."""
        self.answer: tuple[bytes, bytes] | None = None
        """What was answered to it, likewise, which holds for as long as nothing of it moves."""
        self.version: object = None
        """The catalogue's, by which it holds."""
        self.patience = 0.0
        """Seconds that it waits, once there is such an answer."""

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
        answer_again: Callable[[Connection, bytes], None],
        fail: Callable[[Connection, Request, Exception], None],
    ) -> None:
        """``answer`` sends what was waited for, ``answer_again`` the bytes of an answer that was given before; ``fail``
        is told of a fault, and closes the connection.
        """
        self._broker = broker
        self._answer = answer
        self._answer_again = answer_again
        self._fail = fail
        self._watcher = watcher
        self._of: dict[Connection, _Waiting] = {}
        self._by_key: dict[Hashable, set[Connection]] = {}
        self._keys: dict[Connection, tuple[Hashable, ...]] = {}
        self._deadlines: list[float] = []
        self._due: dict[float, list[_Waiting]] = {}
        """What is due at each of the deadlines."""
        self._unwatched: set[Connection] = set()
        """Connections whose request waits for what can't be watched, and so is attempted again and again."""
        self._of_groups: set[Connection] = set()
        """Connections whose request waits for what other processes do to a group."""
        self._groups_version: object = None
        """That of the groups' tables, and of the topics, when those were attempted last."""
        self._next_look = 0.0
        self._telling: dict[str, bool] = {}
        """Log directory -> whether a watch tells what other machines append there."""
        self._version: object = None
        """The catalogue's, if it was asked for in this turn."""
        self._waking = False
        """Whether those that were woken are being answered, among which producers may have more to say."""
        self._now = 0.0
        """When this turn began."""
        self._ends: dict[float, list[_Waiting]] = {}
        """How long a poll waits that came again in this turn -> those that are due when it is."""

    def note_appends(self) -> None:
        """What others appended wakes who waits for it: the watcher has something to tell."""
        for key in self._watcher.changed():
            self._broker.wake(key)

    # --------------------------------------------------------------------------------------------------------- waiting

    def park(self, connection: Connection, request: Request, parked: Parked, frame: bytes = b"") -> None:
        """Have a request wait. By its bytes it is known when it comes again."""
        connection.busy = True
        if len(frame) > _LONGEST_REPEATED:
            frame = b""
        waiting = self._of[connection] = _Waiting(connection, request, parked, frame)
        waiting.due = self._due_at(parked.deadline)
        waiting.due.append(waiting)
        if self._wait_for(connection, waiting):
            # What was appended between the first attempt and a watch that began after it was told to nobody.
            self._attempt(connection, waiting, late=False)

    def park_again(self, connection: Connection) -> bool:
        """Whether what comes is the last poll once more, and nothing of it has moved: then it waits, and that is all.
        A hundred clients that have nothing to do come by here two hundred times a second.
        """
        waiting = self._of.get(connection)
        if waiting is None or waiting.due is not None:
            return False
        if self._version is None:
            self._version = self._broker.engine.catalog.version()  # once a turn, whoever asks
        if waiting.version != self._version:
            return False
        number = connection.receive_alike(waiting.head, waiting.rest)
        if number is None:
            return False
        waiting.correlation_id = number
        due = self._ends.get(waiting.patience)
        if due is None:
            due = self._ends[waiting.patience] = self._due_at(when_to_answer(self._now, waiting.patience))
        due.append(waiting)
        waiting.due = due
        connection.busy = True
        return True

    def forget(self, connection: Connection) -> Parked | None:
        """It waits for nothing any more; what it waited for, if it did."""
        waiting = self._of.pop(connection, None)
        connection.busy = False
        if waiting is None:
            return None
        self._forget_keys(connection)
        due, waiting.due = waiting.due, None
        return None if due is None else waiting.parked

    def abandon(self, connection: Connection) -> None:
        """Its client waits for nothing any more."""
        parked = self.forget(connection)
        if parked is not None:
            parked.abandon()

    def _due_at(self, deadline: float) -> list[_Waiting]:
        """Those that are due then."""
        due = self._due.get(deadline)
        if due is None:
            due = self._due[deadline] = []
            heapq.heappush(self._deadlines, deadline)
        return due

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
            key = partition.key
            try:
                path, log_dir = partition.state_path(), partition.log_dir
            except StoreError:  # it is answered at its deadline, and looked at again when it comes again
                waiting.head = b""
                continue
            if not self._watcher.is_watched(key, path):
                began = True
                watched = self._watcher.watch(key, path) and watched
            if not self._tells(log_dir):
                waiting.head = b""  # an append may wake nobody, so each poll looks for itself
        if getattr(parked, "follows_groups", False):
            self._of_groups.add(connection)
        if not watched:
            self._unwatched.add(connection)
            waiting.head = b""
        return began or not watched

    def _tells(self, log_dir: str) -> bool:
        known = self._telling.get(log_dir)
        if known is None:
            known = self._telling[log_dir] = tells(log_dir)
        return known

    def _forget_keys(self, connection: Connection) -> None:
        for key in self._keys.pop(connection, ()):
            those = self._by_key.get(key)
            if those is not None:
                those.discard(connection)
                if not those:
                    del self._by_key[key]
        self._unwatched.discard(connection)
        self._of_groups.discard(connection)

    # ---------------------------------------------------------------------------------------------------------- a turn

    def patience(self, now: float) -> float | None:
        """Seconds until something is due; None where nothing will be."""
        if self._unwatched or self._of_groups:
            return POLL_INTERVAL
        return max(0.0, self._deadlines[0] - now) if self._deadlines else None

    def begin_turn(self, now: float) -> None:
        """Time has gone by."""
        self._version = None
        self._now = now
        self._ends.clear()

    def end_turn(self, now: float) -> None:
        """Attempt what waits for something that came, or has waited long enough."""
        for connection in [*self._unwatched, *self._to_look_at_groups(now)]:
            self._attempt(connection, self._of[connection], late=False)
        while self._deadlines and self._deadlines[0] <= now:
            deadline = self._deadlines[0]
            due = self._due[deadline]
            some = due[:_MOST_IN_A_TURN]
            del due[:_MOST_IN_A_TURN]
            if not due:
                heapq.heappop(self._deadlines)
                del self._due[deadline]
            for waiting in some:
                if waiting.due is not due:
                    continue
                if waiting.answer is None:
                    self._attempt(waiting.connection, waiting, late=True)
                else:
                    waiting.due, waiting.connection.busy = None, False
                    self._answer_again(waiting.connection, waiting.correlation_id.join(waiting.answer))
            if due:
                break
        self._wake_all()

    def let_readers_first(self, connection: Connection, request: Request) -> None:
        """Answer those that wait for what was just appended before its producer hears of it, where they are few: they
        have it by then as often as from a broker, whose threads answer both at once. Of a producer that has sent more
        already nobody sees that, and readers are answered once for all of it.
        """
        if request.key != PRODUCE or self._waking or not connection.is_idle:
            return
        if sum(len(self._by_key.get(key, ())) for key in self._broker.woken) <= _FEW:
            self._wake_all()

    def _to_look_at_groups(self, now: float) -> list[Connection]:
        """Those that are to look at their group in this turn: where something was written, and as often as members of
        the shell look. A hundred of them would else look at nothing new a hundred times a second each.
        """
        if not self._of_groups:
            return []
        engine = self._broker.engine
        try:
            version = engine.groups.version(), engine.catalog.version()
        except StoreError:  # each of them tells its client
            return list(self._of_groups)
        if version == self._groups_version and now < self._next_look:
            return []
        self._groups_version, self._next_look = version, now + LOOK_INTERVAL
        return list(self._of_groups)

    def _wake_all(self) -> None:
        self._waking = True
        while self._broker.woken:
            woken, self._broker.woken = self._broker.woken, set()
            for key in woken:
                for connection in list(self._by_key.get(key, ())):
                    self._wake(connection)
        self._waking = False

    def _wake(self, connection: Connection) -> None:
        waiting = self._of.get(connection)
        if waiting is None:
            return
        waiting.answer = None
        if waiting.due is not None:
            self._attempt(connection, waiting, late=False)
            if waiting.due is not None and self._wait_for(connection, waiting):
                self._attempt(connection, waiting, late=False)  # a file had gone, and its watch with it
        else:
            self.forget(connection)

    def _attempt(self, connection: Connection, waiting: _Waiting, *, late: bool) -> None:
        if waiting.due is None:
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
            waiting.due, connection.busy = None, False
        else:
            self.forget(connection)
        self._answer(connection, pieces)

    def _is_remembered(self, waiting: _Waiting, pieces: list[bytes | Piece]) -> bool:
        """Whether the answer is kept for a poll that comes again: it has no records, and what changes it wakes it."""
        if waiting.request.key != FETCH or not waiting.head:
            return False
        poll = cast("Poll", waiting.parked)
        if not poll.found_nothing:
            return False
        whole = b"".join(each for each in pieces if isinstance(each, bytes))
        if len(whole) > _LONGEST_REPEATED:
            return False
        waiting.answer = whole[:4], whole[8:]
        waiting.version, waiting.patience = poll.version, poll.patience
        return True
