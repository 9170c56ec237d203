"""What clients come in by: a listener's socket, what it is wrapped in, and who may log in."""

from __future__ import annotations

import socket

from pykafka_store.errors import StorageError
from pykafka_store.settings.listeners import Listener
from pykafka_store.wire.gate import Users
from pykafka_store.wire.transport import transports_of

BACKLOG = 128
"""Clients that may wait until they are accepted."""
SEND_BUFFER = 102_400
"""Kafka's default of ``socket.send.buffer.bytes``. It bounds what the system holds for a client that does not read; and
librdkafka, which stops fetching for up to a second once it has 100,000 records, has them sooner where an answer arrives
all at once: kcat took 1.4 x the time that it takes from a broker, and 0.8 x with it; on a faster machine that takes the
pause of fetch.py, too. A small one stalls: a million records took 35 s by 16 KiB and 60 s by 32 KiB, and as long as by
this one by 48 KiB.
"""


def listen_on(host: str, port: int) -> socket.socket:
    """A socket that listens there. Raises StorageError that says why not."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)  # those that it accepts have it, too
        listener.bind((host, port))
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise StorageError(f"can't listen on {host}:{port}: {error.strerror or error}") from error
    return listener


class Door:
    """One listener as it is served."""

    def __init__(self, listener: Listener) -> None:
        """Listens from now on. Raises StorageError, InvalidConfigError."""
        self.wrap = transports_of(listener)
        self.socket = listen_on(listener.host, listener.port)
        port = int(self.socket.getsockname()[1])
        self.listener = listener._replace(port=port, advertised=listener.advertised or (listener.host, port))
        self.advertised = self.listener.advertised or ("", port)
        self.users: Users | None = None
