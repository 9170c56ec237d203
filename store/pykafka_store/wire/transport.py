"""How bytes come from a client and go to it: over its socket as they are, or by TLS. Nothing here blocks.

By TLS all is copied, as the socket can't send from a file what has to be encrypted first. The handshake is a part of
the first receives: a client that dawdles holds up nobody.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Protocol

from pykafka_store.errors import InvalidConfigError
from pykafka_store.protocol.writing import Piece
from pykafka_store.settings.listeners import CLIENT_AUTH, Listener, Tls

if TYPE_CHECKING:
    import ssl

_MORE = getattr(socket, "MSG_MORE", 0)
_RECORD = 1 << 14
"""Bytes that TLS encrypts at once, at most."""
_RECORDS_AT_ONCE = 16


class Sendable(Piece, Protocol):
    """A piece of an answer that lies in a file."""

    def send_to(self, socket: int, done: int) -> int:
        """Send what comes after the first ``done`` bytes; how many the socket took."""

    def part(self, done: int, size: int) -> bytes:
        """At most ``size`` of the bytes after the first ``done``."""

    def close(self) -> None:
        """It is not needed any more."""


class Transport(Protocol):
    """See the module. All raise OSError where the connection is broken, and BlockingIOError where it has to wait."""

    is_ready: bool
    """Whether a handshake that there may be is over."""
    wants_write: bool
    """Whether it waits until the socket takes something, before it can receive."""

    @property
    def receive_into(self) -> Callable[[memoryview], int]:
        """Takes what has come, at most what the buffer holds; 0 at the end of it."""

    @property
    def send_one(self) -> Callable[[bytes], int]:
        """As ``send``, for one piece after which nothing follows."""

    def send(self, some: Sequence[bytes | memoryview], *, more: bool) -> int:
        """How many of the bytes were taken; ``more`` follow at once."""

    def send_piece(self, piece: Sendable, done: int) -> int:
        """As ``send``, for a piece of which the first ``done`` bytes are sent."""

    def close(self) -> None:
        """Nothing is sent and received any more."""


class PlainTransport:
    """See :class:`Transport`."""

    is_ready = True
    wants_write = False

    def __init__(self, client: socket.socket) -> None:
        self._client = client
        self.receive_into = client.recv_into
        """See :class:`Transport`."""
        self.send_one = client.send
        """See :class:`Transport`."""

    def send(self, some: Sequence[bytes | memoryview], *, more: bool) -> int:
        """See :class:`Transport`."""
        return self._client.sendmsg(some, (), _MORE if more else 0)

    def send_piece(self, piece: Sendable, done: int) -> int:
        """See :class:`Transport`."""
        return piece.send_to(self._client.fileno(), done)

    def close(self) -> None:
        """See :class:`Transport`."""


class TlsTransport:
    """See :class:`Transport`."""

    def __init__(self, client: ssl.SSLSocket) -> None:
        self.is_ready = False
        self.wants_write = False
        self._client = client
        self._begun: bytes | None = None
        """What the socket did not take yet: TLS wants to be given the same again."""

    def receive_into(self, buffer: memoryview) -> int:
        """See :class:`Transport`."""
        with self._waiting():
            if not self.is_ready:
                self._client.do_handshake()
                self.is_ready = True
            size = self._client.recv_into(buffer)
        with suppress(BlockingIOError):
            # A record holds little, and has its turn through the loop; of what is there some more are taken at once.
            for _ in range(_RECORDS_AT_ONCE - 1):
                if not 0 < size <= len(buffer) - _RECORD:
                    break
                with self._waiting():
                    size += self._client.recv_into(buffer[size:])
        return size

    def send(self, some: Sequence[bytes | memoryview], *, more: bool) -> int:  # noqa: ARG002 - records are what they are
        """See :class:`Transport`."""
        if self._begun is None:
            taken, size = [], 0
            for each in some:
                taken.append(each[: _RECORD - size])
                size += len(taken[-1])
                if size == _RECORD:
                    break
            self._begun = b"".join(taken)
        return self._send_begun()

    def send_one(self, data: bytes) -> int:
        """See :class:`Transport`."""
        return self.send([data], more=False)

    def send_piece(self, piece: Sendable, done: int) -> int:
        """See :class:`Transport`."""
        if self._begun is None:
            self._begun = piece.part(done, _RECORD)
        return self._send_begun() if self._begun else 0

    def _send_begun(self) -> int:
        with self._waiting():
            sent = self._client.send(self._begun or b"")
        self._begun = None
        return sent

    @contextmanager
    def _waiting(self) -> Iterator[None]:
        """What TLS waits for is what any socket waits for. Nothing is sent by it while it waits for bytes: there is no
        renegotiation.
        """
        import ssl

        try:
            yield
        except ssl.SSLWantReadError as error:
            self.wants_write = False
            raise BlockingIOError from error
        except ssl.SSLWantWriteError as error:
            self.wants_write = True
            raise BlockingIOError from error
        self.wants_write = False

    def close(self) -> None:
        """See :class:`Transport`. The client is told that this is the end, if it takes that now."""
        if self.is_ready and self._begun is None:
            with suppress(OSError, ValueError):
                self._client.unwrap()


def tls_context(tls: Tls) -> ssl.SSLContext:
    """What encrypts a listener's connections. Raises InvalidConfigError that says which file can't be used."""
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    versions = [ssl.TLSVersion.TLSv1_3] if "TLSv1.2" not in tls.protocols else [ssl.TLSVersion.TLSv1_2]
    context.minimum_version = versions[0]
    if "TLSv1.3" not in tls.protocols:
        context.maximum_version = ssl.TLSVersion.TLSv1_2

    def no_question() -> str:  # else a key with a password asks for it at the terminal
        return tls.password or ""

    try:
        with _as_file(tls.certificate) as certificate, _as_file(tls.key) as key:
            context.load_cert_chain(certificate or "", key, no_question)
    except (OSError, ValueError) as error:
        raise InvalidConfigError(
            f"the certificate of {_named(tls.certificate)} and its key can't be used: {_why(error)} (PEM is wanted)"
        ) from error
    if tls.client_auth != CLIENT_AUTH[0]:
        context.verify_mode = ssl.CERT_REQUIRED if tls.client_auth == CLIENT_AUTH[2] else ssl.CERT_OPTIONAL
        try:
            if tls.trusted is None:
                raise InvalidConfigError("clients are to show a certificate, and there are none to check theirs by")
            with _as_file(tls.trusted) as trusted:
                context.load_verify_locations(trusted)
        except OSError as error:
            raise InvalidConfigError(
                f"the trusted certificates of {_named(tls.trusted or '')} can't be used: {_why(error)} (PEM is wanted)"
            ) from error
    return context


def _why(error: Exception) -> str:
    return getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)


def _named(place: str) -> str:
    return "the settings" if "-----BEGIN" in place else place


@contextmanager
def _as_file(place: str | None) -> Iterator[str | None]:
    """A path; PEM text that stands in a setting is in a file of ours meanwhile, which nobody else can open."""
    if place is None or "-----BEGIN" not in place:
        yield place
        return
    import tempfile

    descriptor, path = tempfile.mkstemp(suffix=".pem")
    try:
        with open(descriptor, "w") as file:
            file.write(place)
        yield path
    finally:
        os.unlink(path)


def transports_of(listener: Listener) -> Callable[[socket.socket], tuple[socket.socket, Transport]]:
    """What makes a client's socket that was accepted there one to serve. Raises InvalidConfigError."""
    if not listener.is_encrypted:
        return lambda client: (client, PlainTransport(client))
    if listener.tls is None:
        raise InvalidConfigError(f"{listener.protocol} needs a certificate")
    context = tls_context(listener.tls)

    def encrypted(client: socket.socket) -> tuple[socket.socket, Transport]:
        wrapped = context.wrap_socket(client, server_side=True, do_handshake_on_connect=False)
        return wrapped, TlsTransport(wrapped)

    return encrypted
