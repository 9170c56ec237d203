"""One connection to a node of a Kafka cluster: requests, one after the other, and their answers.

Nothing that a node says is believed before it was looked at: an answer has a size that is bounded, is read by
``protocol.reading``, which compares every count with the bytes that are there, and carries the number of its question.
"""

from __future__ import annotations

import socket
import struct
import time
from types import SimpleNamespace
from typing import Any

from pykafka_store.errors import UnsupportedVersionError
from pykafka_store.protocol.reading import Cursor
from pykafka_store.protocol.schemas import Question, question
from pykafka_store.protocol.writing import Pieces
from pykafka_store.remote.errors import CLOSED

MOST_BYTES = 256 << 20
"""Of an answer: the log directories of a broker with a hundred thousand replicas are a tenth of it."""

VERSIONS: dict[str, tuple[int, int]] = {
    "add_raft_voter": (0, 1),
    "alter_client_quotas": (0, 1),
    "alter_partition_reassignments": (0, 1),
    "alter_replica_log_dirs": (1, 2),
    "alter_user_scram_credentials": (0, 0),
    "api_versions": (0, 4),
    "create_acls": (1, 3),
    "create_delegation_token": (1, 3),
    "delete_acls": (1, 3),
    "describe_acls": (1, 3),
    "describe_client_quotas": (0, 1),
    "describe_cluster": (0, 2),
    "describe_configs": (1, 4),
    "describe_delegation_token": (1, 3),
    "describe_log_dirs": (1, 5),
    "describe_producers": (0, 0),
    "describe_quorum": (0, 2),
    "describe_topic_partitions": (0, 0),
    "describe_transactions": (0, 0),
    "describe_user_scram_credentials": (0, 0),
    "elect_leaders": (0, 2),
    "expire_delegation_token": (1, 2),
    "find_coordinator": (0, 6),
    "incremental_alter_configs": (0, 1),
    "init_producer_id": (0, 5),
    "list_config_resources": (0, 1),
    "list_offsets": (1, 11),
    "list_partition_reassignments": (0, 0),
    "list_transactions": (0, 2),
    "metadata": (0, 13),
    "offset_delete": (0, 0),
    "remove_raft_voter": (0, 0),
    "renew_delegation_token": (1, 2),
    "sasl_authenticate": (0, 2),
    "sasl_handshake": (0, 1),
    "unregister_broker": (0, 0),
    "update_features": (0, 2),
    "write_txn_markers": (1, 2),
}
"""The versions of requests that are asked here, by kio's names; whoever asks names the fields of all of them."""

SOFTWARE = SimpleNamespace(client_software_name="pykafka", client_software_version="1")
"""What ApiVersions tells a broker of us."""
_API_VERSIONS = 18
_UNSUPPORTED_VERSION = 35
_SIZE = struct.Struct(">i")


class Lost(Exception):  # noqa: N818 - it says what became of the connection
    """The connection does not work, or no longer: why, in words for a person."""


class Late(Lost):
    """There was no answer in time."""


class Foreign(Lost):
    """The other side speaks, and not as a broker does. ``size`` are the first four bytes that it sent."""

    def __init__(self, size: int) -> None:
        super().__init__(f"an answer of {size} bytes")
        self.size = size


class Connection:
    def __init__(self, sock: socket.socket, client_id: str) -> None:
        """``sock`` is connected, and encrypted where that is asked for."""
        self._sock = sock
        self.close = sock.close
        self._client_id = client_id
        self._number = 0
        self._spoken: dict[int, tuple[int, int]] | None = None
        """API key -> least and greatest version that the node has."""

    def greet(self, deadline: float) -> None:
        """Ask for the versions that the node has. Raises Lost."""
        _, newest = VERSIONS["api_versions"]
        answer = self._exchange(question("api_versions", newest), newest, SOFTWARE, deadline)
        if answer.error_code == _UNSUPPORTED_VERSION:  # it answered in version 0, and says what it has
            span = next((each for each in answer.api_keys if each.api_key == _API_VERSIONS), None)
            newest = 0 if span is None else min(newest, span.max_version)
            answer = self._exchange(question("api_versions", newest), newest, SOFTWARE, deadline)
        if answer.error_code:
            raise Lost(f"it refused to tell its versions: error {answer.error_code}")
        self._spoken = {each.api_key: (each.min_version, each.max_version) for each in answer.api_keys}

    def spoken(self) -> dict[int, tuple[int, int]]:
        """API key -> least and greatest version that the node has."""
        assert self._spoken is not None
        return self._spoken

    def ask(self, name: str, body: Any, deadline: float, least: int = 0) -> Any:
        """The answer to a request, in the newest version that both sides have, ``least`` or newer.

        Raises UnsupportedVersionError where there is none, and Lost.
        """
        lowest, highest = VERSIONS[name]
        key = question(name, highest).key
        theirs = self.spoken().get(key)
        version = -1 if theirs is None else min(highest, theirs[1])
        if theirs is None or version < max(lowest, least, theirs[0]):
            spelled = name.upper()
            if theirs is None:
                raise UnsupportedVersionError(f"The node does not support {spelled}")
            raise UnsupportedVersionError(
                f"The node does not support {spelled} with version in range [{max(lowest, least)},{highest}]. The "
                f"supported range is [{theirs[0]},{theirs[1]}]."
            )
        return self._exchange(question(name, version), version, body, deadline)

    def _exchange(self, asked: Question, version: int, body: Any, deadline: float) -> Any:
        self._number += 1
        pieces = Pieces()
        header = SimpleNamespace(
            request_api_key=asked.key,
            request_api_version=version,
            correlation_id=self._number,
            client_id=self._client_id,
        )
        asked.write_header(pieces, header)
        asked.write(pieces, body)
        frame = b"".join(each for each in pieces.all() if isinstance(each, bytes))
        try:
            self._sock.settimeout(_left(deadline))
            self._sock.sendall(_SIZE.pack(len(frame)) + frame)
            (size,) = _SIZE.unpack(self._receive(_SIZE.size, deadline))
            if not 4 <= size <= MOST_BYTES:
                raise Foreign(size)
            data = self._receive(size, deadline)
        except TimeoutError:
            raise Late("it did not answer in time") from None
        except OSError as error:
            raise Lost(f"the connection broke: {error.strerror or error}") from None
        try:
            cursor = Cursor(memoryview(data))
            # A broker that does not have this version of ApiVersions answers in version 0.
            if asked.key == _API_VERSIONS and version > 0 and data[4:6] == _UNSUPPORTED_VERSION.to_bytes(2, "big"):
                asked = question("api_versions", 0)
            header = asked.read_header(cursor)
            if header.correlation_id != self._number:
                raise Lost(f"answer {header.correlation_id} to question {self._number}")
            return asked.read(cursor)
        except (ValueError, OverflowError) as error:  # OverflowError: a duration that no calendar has
            raise Lost(f"its answer does not decode: {error}") from None

    def _receive(self, count: int, deadline: float) -> bytes:
        """That many bytes. What was not received takes no memory: the size may be a lie."""
        parts = []
        while count:
            self._sock.settimeout(_left(deadline))
            part = self._sock.recv(min(count, 1 << 16))
            if not part:
                raise Lost("it closed the connection" if self._spoken is not None else CLOSED)
            parts.append(part)
            count -= len(part)
        return b"".join(parts)


def _left(deadline: float) -> float:
    """Seconds until the deadline. Raises TimeoutError when it is over."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
