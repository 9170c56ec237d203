"""The thread of a producer that appends what has waited for ``linger.ms``, if nothing else did before.

It is there only while a producer is at work: it begins with the first record that waits, and ends when nothing has
waited for a while. It wakes by itself, so that whoever sends pays for no wake-up. What still waits at the interpreter's
end is appended then: a script that forgets to close its producer loses nothing.
"""

from __future__ import annotations

import atexit
import threading
import weakref
from collections.abc import Callable

from pykafka_store.embedded.clock import Clock

IDLE = 1.0
"""Seconds without a record after which the thread ends."""


class Linger:
    """The thread, for one producer. All but ``close`` is called with ``turns`` held."""

    def __init__(
        self,
        turns: threading.RLock,
        clock: Clock,
        seconds: float,
        due: Callable[[], float | None],
        append: Callable[[], None],
        close: Callable[[], None],
    ) -> None:
        """``due`` tells when what waits has waited long enough, by the clock's monotonic seconds; None where nothing
        waits. ``append`` appends what waits, and raises nothing. ``close`` is called at the interpreter's end.
        """
        self._condition = threading.Condition(turns)
        self._clock = clock
        self._pause = min(seconds, IDLE)
        self._due = due
        self._append = append
        self.close = close
        self._thread: threading.Thread | None = None
        self._over = False

    def begin(self) -> None:
        """See that what waits is appended in time."""
        if self._thread is None and not self._over:
            self._thread = threading.Thread(target=self._run, name="producer's linger", daemon=True)
            self._thread.start()
            _at_work.add(self)

    def end(self) -> None:
        """Nothing will wait any more."""
        self._over = True
        self._condition.notify_all()

    def _run(self) -> None:
        idle = 0.0
        with self._condition:
            while not self._over:
                due = self._due()
                if due is None:
                    if idle >= IDLE:
                        break
                    # Who sends now does not wake this thread, which looks again before that is due.
                    idle += self._pause
                    self._condition.wait(self._pause)
                    continue
                idle = 0.0
                left = due - self._clock.monotonic()
                if left > 0:
                    self._condition.wait(left)
                else:
                    self._append()
            self._thread = None
            _at_work.discard(self)


_at_work: weakref.WeakSet[Linger] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    for linger in list(_at_work):
        linger.close()
