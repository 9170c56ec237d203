"""The brokers and controllers of a Kafka cluster, as nodes of a network, and what is a host there."""

from __future__ import annotations

from typing import NamedTuple


class NodeDescription(NamedTuple):
    """A broker of a Kafka cluster, or a controller: where it listens."""

    id: int
    host: str
    port: int
    rack: str | None = None
    fenced: bool = False
    """Whether it is registered and does not serve."""


class ApiVersion(NamedTuple):
    """Which versions of a request a node has."""

    key: int
    least: int
    greatest: int


def is_host(name: str) -> bool:
    """Whether it is an IP address or the name of a host that can be looked up."""
    import socket

    try:
        socket.getaddrinfo(name, None)
    except (OSError, UnicodeError):
        return False
    return True
