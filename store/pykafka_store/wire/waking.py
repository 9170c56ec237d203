"""What ends the server's wait for its clients from outside: a signal's handler, or another thread."""

from __future__ import annotations

import signal
import socket
from contextlib import suppress


class Waker:
    """Two ends: what is written to ``descriptor`` makes ``wakee`` readable."""

    def __init__(self) -> None:
        self._waker, self.wakee = socket.socketpair()
        for each in (self._waker, self.wakee):
            each.setblocking(False)
        self.descriptor = self._waker.fileno()
        """For ``signal.set_wakeup_fd`` too."""

    def wake(self) -> None:
        """May be called from a signal's handler, from another thread, and when it is closed."""
        with suppress(OSError):
            self._waker.send(b"\x00")

    def drain(self) -> None:
        """It is awake."""
        with suppress(BlockingIOError):
            self.wakee.recv(4096)

    def close(self) -> None:
        """Signals that come from now on are written to no descriptor: another file may have its number by then."""
        with suppress(ValueError):  # not the main thread, which alone has a say in it
            woken = signal.set_wakeup_fd(-1)
            if woken != self.descriptor:
                signal.set_wakeup_fd(woken)
        self._waker.close()
        self.wakee.close()
