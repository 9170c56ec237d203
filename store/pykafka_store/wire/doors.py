"""What clients come in by: a listener's socket, what it is wrapped in, and who may log in."""

from __future__ import annotations

import socket

from pykafka_store.errors import StorageError
from pykafka_store.settings.listeners import Listener
from pykafka_store.wire.gate import Users
from pykafka_store.wire.transport import transports_of

BACKLOG = 128
"""Clients that may wait until they are accepted."""


def listen_on(host: str, port: int) -> socket.socket:
    """A socket that listens there. Raises StorageError that says why not."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
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
