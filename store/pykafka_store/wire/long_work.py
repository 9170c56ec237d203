"""Requests over as many topics as a client likes, of each of which a little is done in a turn: nobody's heartbeat waits
for all of it. What was begun is done to its end, as by a broker, whether its client still waits or not.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable

from pykafka_store.wire.protocol import Reply

_SLICE = 0.01
"""Seconds of a turn; at least one topic is dealt with in it."""
_NO_DEADLINE = 60.0
"""Seconds, after which it just goes on waiting."""


class LongRequest:
    """One of them. See :class:`pykafka_store.wire.broker.Parked`."""

    def __init__(self, now: Callable[[], float], steps: Iterable[Reply], whole: Callable[[list[Reply]], Reply]) -> None:
        self.deadline = now() + _NO_DEADLINE
        self.keys: tuple[Hashable, ...] = (self,)
        self._now = now
        self._steps = iter(steps)
        self._whole = whole
        self._done: list[Reply] = []
        self._reply: Reply | None = None
        self._fault: Exception | None = None

    @property
    def is_over(self) -> bool:
        """Whether it has an answer, or failed by a fault of ours."""
        return self._reply is not None or self._fault is not None

    def go_on(self) -> None:
        """Do some of it."""
        end = self._now() + _SLICE
        try:
            for each in self._steps:
                self._done.append(each)
                if self._now() >= end:
                    return
            self._reply = self._whole(self._done)
        except Exception as fault:  # its own client is told, by ``attempt``
            self._fault = fault

    def attempt(self, *, late: bool) -> Reply | None:  # noqa: ARG002 - it takes as long as it takes
        """See :class:`Parked`. Raises what a step raised."""
        if self._fault is not None:
            raise self._fault
        return self._reply

    def abandon(self) -> None:
        """See :class:`Parked`. It is done all the same."""


class LongWork:
    """What the server has of them."""

    def __init__(self, now: Callable[[], float], wake: Callable[[Hashable], None]) -> None:
        self._now = now
        self._wake = wake
        self._waiting: deque[LongRequest] = deque()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def begin(self, steps: Iterable[Reply], whole: Callable[[list[Reply]], Reply]) -> Reply | LongRequest:
        """``whole`` makes the answer of what the steps gave. What takes no longer than a slice is answered at once."""
        request = LongRequest(self._now, steps, whole)
        request.go_on()
        if request.is_over:
            reply = request.attempt(late=False)
            assert reply is not None
            return reply
        self._waiting.append(request)
        return request

    def go_on(self) -> None:
        """Do some of what has waited longest for its turn."""
        request = self._waiting.popleft()
        request.go_on()
        if request.is_over:
            self._wake(request)
        else:
            self._waiting.append(request)
