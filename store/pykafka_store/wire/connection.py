"""One client's connection: frames in, answers out, one request at a time, as brokers do."""

from __future__ import annotations

import socket
from collections import deque
from typing import cast

from pykafka_store.errors import InvalidRequestError
from pykafka_store.protocol.writing import Piece
from pykafka_store.wire.gate import MAX_FRAME as MAX_STRANGERS_FRAME
from pykafka_store.wire.gate import Gate
from pykafka_store.wire.transport import Sendable, Transport

MAX_FRAME = 100 << 20
"""Bytes of a request (socket.request.max.bytes)."""
_READ_AT_ONCE = 1 << 18
_MOST_PIECES = 64

_buffer = memoryview(bytearray(_READ_AT_ONCE))
"""Where what comes is taken to; one thread serves all connections."""


class Connection:
    """See the module. Nothing here blocks."""

    def __init__(
        self,
        client: socket.socket,
        address: str,
        transport: Transport,
        advertised: tuple[str, int] | None = None,
        gate: Gate | None = None,
    ) -> None:
        """``advertised``: the address of the listener it came by. With a ``gate`` the client has to log in first."""
        self.socket = client
        self.descriptor = client.fileno()
        self.address = address
        self.advertised = advertised
        self.software = ""
        """What its client says that it is (KIP-511)."""
        self.gate = gate
        self._transport = transport
        self._receive_into = transport.receive_into
        self._send_one = transport.send_one
        self._in = bytearray()
        self._out: deque[bytes | Piece] = deque()
        self._done = 0
        """Bytes of the first piece that are sent."""
        self.busy = False
        """Whether a request is being answered: the next one waits."""
        self.closed = False
        self.ended = False
        """Whether its client has said all that it will."""
        self.used_at = 0.0
        """When something came or was sent last, by the monotonic clock."""
        self.events = 0
        """What the server listens for, by selectors' names."""
        self.members: set[tuple[str, str]] = set()
        """(group, member id) of the members that were heard of by this connection."""

    @property
    def is_stranger(self) -> bool:
        """Whether its client has yet to log in, or to end the handshake of TLS."""
        return not self._transport.is_ready or (self.gate is not None and not self.gate.is_open)

    # --------------------------------------------------------------------------------------------------------- frames

    def receive(self) -> bool:
        """Take what has come; False at the end of it. Raises OSError where the connection is broken."""
        try:
            size = self._receive_into(_buffer)
        except BlockingIOError:
            return True
        except ConnectionError:  # its client closed it without reading all answers; what it had sent before is here
            if self.is_stranger:
                raise
            size = 0
        self._in += _buffer[:size]
        return size > 0

    def has_frame(self) -> bool:
        """Whether a whole request is there. Raises InvalidRequestError for a length that can't be."""
        return len(self._in) >= 4 and len(self._in) >= 4 + self._frame_size()

    def _frame_size(self) -> int:
        size = int.from_bytes(self._in[:4], "big", signed=True)
        least, most = (0, MAX_STRANGERS_FRAME) if self.is_stranger else (8, MAX_FRAME)
        if not least <= size <= most:
            raise InvalidRequestError(f"a request of {size} bytes can't be: at most {most} are read")
        return size

    @property
    def is_full(self) -> bool:
        """Whether no more is to be received until what is there is answered."""
        return len(self._in) > 2 * _READ_AT_ONCE and self.has_frame()

    def frame(self) -> memoryview:
        """The first request, without its length; to be released before ``drop_frame``."""
        return memoryview(self._in).toreadonly()[4 : 4 + self._frame_size()]

    def receive_alike(self, head: bytes, rest: bytes) -> bytes | None:
        """As ``receive``, where most likely the same request comes again: its correlation id, if what came are these
        bytes but for that. Whatever else came, an end or a fault as well, is left to ``receive``.
        """
        if self._in:
            return None
        try:
            size = self._receive_into(_buffer)
        except OSError:
            return None
        data = bytes(_buffer[:size])
        at = len(head)
        if size == at + 4 + len(rest) and data.startswith(head) and data.endswith(rest):
            return data[at : at + 4]
        self._in += data
        return None

    def drop_frame(self, size: int) -> None:
        """The first request, of ``size`` bytes, was read."""
        del self._in[: 4 + size]

    # -------------------------------------------------------------------------------------------------------- answers

    def send(self, pieces: list[bytes | Piece]) -> None:
        """Send these after what is yet to be sent. Raises OSError where the connection is broken."""
        self._out.extend(pieces)
        self.flush()

    def send_one(self, data: bytes) -> bool:
        """As ``send``, for a small answer; whether all of it is sent, and nothing came meanwhile."""
        if not self._out:
            try:
                sent = self._send_one(data)
            except BlockingIOError:
                sent = 0
            if sent == len(data):
                return not self._in
            self._done = sent
        self._out.append(data)
        return False

    @property
    def is_idle(self) -> bool:
        """Whether nothing came, nothing is being answered, and nothing waits to be sent."""
        return not (self._in or self.busy or self._out)

    @property
    def has_more(self) -> bool:
        """Whether something waits until the client takes it."""
        return bool(self._out)

    @property
    def wants_write(self) -> bool:
        """Whether it goes on when the client has taken something."""
        return bool(self._out) or self._transport.wants_write

    def flush(self) -> None:
        """Send as much as the client takes. Raises OSError."""
        try:
            while self._out:
                if isinstance(self._out[0], bytes):
                    self._send_bytes()
                else:
                    self._send_piece(cast("Sendable", self._out[0]))
        except BlockingIOError:
            return

    def _send_bytes(self) -> None:
        some: list[bytes | memoryview] = []
        for each in self._out:
            if not isinstance(each, bytes) or len(some) == _MOST_PIECES:
                break
            some.append(each)
        if self._done:
            some[0] = memoryview(cast("bytes", some[0]))[self._done :]
        sent = self._transport.send(some, more=len(some) < len(self._out))
        for each in some:
            if sent < len(each):
                self._done += sent
                return
            sent -= len(each)
            self._out.popleft()
            self._done = 0

    def _send_piece(self, piece: Sendable) -> None:
        while self._done < len(piece):
            sent = self._transport.send_piece(piece, self._done)
            if not sent:
                raise ConnectionError("the log ended before what was promised of it was sent")
            self._done += sent
        piece.close()
        self._out.popleft()
        self._done = 0

    def close(self) -> None:
        """Close it, and what was yet to be sent."""
        self.closed = True
        for each in self._out:
            if not isinstance(each, bytes):
                cast("Sendable", each).close()
        self._out.clear()
        self._transport.close()
        self.socket.close()
