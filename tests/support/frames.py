"""Requests by hand, for tests of what no client would send."""

from __future__ import annotations

import socket
import struct

from tests.support.served import PATIENCE


def connect(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=PATIENCE)


def send(client: socket.socket, frame: bytes) -> None:
    client.sendall(struct.pack(">i", len(frame)) + frame)


def receive(client: socket.socket) -> bytes | None:
    """The next answer without its length; None where the connection is closed."""
    try:
        with client.makefile("rb", buffering=0) as file:
            size = file.read(4)
            if not size:
                return None
            left, data = struct.unpack(">i", size)[0], b""
            while len(data) < left and (some := file.read(left - len(data))):
                data += some
            return data
    except ConnectionError:
        return None


def ask(client: socket.socket, key: int, version: int, body: bytes = b"") -> bytes | None:
    """The answer without its correlation id."""
    send(client, struct.pack(">hhih", key, version, 7, -1) + body)
    answer = receive(client)
    return None if answer is None else answer[4:]


def handshake(client: socket.socket, mechanism: str, version: int = 1) -> int:
    answer = ask(client, 17, version, struct.pack(">h", len(mechanism)) + mechanism.encode())
    assert answer is not None
    return int(struct.unpack_from(">h", answer)[0])


def plain(user: str, password: str) -> bytes:
    return f"\0{user}\0{password}".encode()


def authenticate(client: socket.socket, message: bytes) -> tuple[int, bytes] | None:
    answer = ask(client, 36, 0, struct.pack(">i", len(message)) + message)
    return None if answer is None else (struct.unpack_from(">h", answer)[0], answer)
