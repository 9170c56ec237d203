"""SIGINT for what is started here, however this process was started itself."""

from __future__ import annotations

import signal


def take_sigint_back() -> None:
    """End SIGINT's being ignored, if this process inherited that.

    What a shell without job control starts with ``&`` has SIGINT ignored, and so would every tool that a test starts
    there and interrupts. A handler, unlike an ignored signal, ends with exec.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
