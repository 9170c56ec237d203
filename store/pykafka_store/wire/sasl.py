"""Log-ins as bytes: PLAIN (RFC 4616) and SCRAM (RFC 5802, RFC 7677), the server's side of each.

An exchange knows no socket. What is compared is compared in constant time, and a user who is not there is refused at
the last step, as is one with a wrong password.

Sources: PlainSaslServer, ScramSaslServer, ScramMessages, ScramFormatter of Kafka.
"""

from __future__ import annotations

import binascii
import hmac
import os
import re
import secrets
from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Protocol

from pykafka_store import scram
from pykafka_store.access import ScramCredential


class LoginFailedError(Exception):
    """What is told to the client: never which part of it was wrong."""


class Exchange(Protocol):
    """One log-in, message by message."""

    user: str | None
    """Who has logged in; None until then."""

    def step(self, message: bytes) -> bytes:
        """The answer to a client's message. Raises LoginFailedError."""


def credential_of(user: str, mechanism: str, password: str) -> ScramCredential:
    """What SCRAM keeps of a password."""
    return scram.credential(scram.upsertion(user, scram.MECHANISMS[mechanism], password, scram.MIN_ITERATIONS))


class PlainExchange:
    """See :class:`Exchange`."""

    def __init__(self, password_of: Callable[[str], str | None]) -> None:
        self.user: str | None = None
        self._password_of = password_of

    def step(self, message: bytes) -> bytes:
        """The one message: authorization id, user and password."""
        try:
            parts = message.decode().split("\0")
        except UnicodeDecodeError:
            raise LoginFailedError("Invalid SASL/PLAIN response: it is no UTF-8 text") from None
        if len(parts) != 3:
            raise LoginFailedError(f"Invalid SASL/PLAIN response: expected 3 tokens, got {len(parts)}")
        acting_as, user, password = parts
        if not user or not password:
            raise LoginFailedError("Authentication failed: username or password not specified")
        expected = self._password_of(user)
        known = expected if expected is not None else secrets.token_hex()
        same = hmac.compare_digest(known.encode(), password.encode())
        if expected is None or not same:
            raise LoginFailedError("Authentication failed: Invalid username or password")
        if acting_as and acting_as != user:
            raise LoginFailedError(
                "Authentication failed: Client requested an authorization id that is different from username"
            )
        self.user = user
        return b""


_FIRST = re.compile(
    r"n,(?:a=(?P<as>[^,]*))?,(?P<bare>n=(?P<user>[^,]+),r=(?P<nonce>[\x21-\x2b\x2d-\x7e]+)(?:,.*)?)", re.S
)
_FINAL = re.compile(
    r"(?P<unproved>c=(?P<binding>[A-Za-z0-9+/=]+),r=(?P<nonce>[\x21-\x2b\x2d-\x7e]+)(?:,.*)?),p=(?P<proof>[A-Za-z0-9+/=]+)",
    re.S,
)


class ScramExchange:
    """See :class:`Exchange`."""

    def __init__(
        self, mechanism: str, credential_of_user: Callable[[str], ScramCredential | None], secret: bytes
    ) -> None:
        """``secret`` makes up the salts of users who are not there: the same one each time that somebody asks."""
        self.user: str | None = None
        self._mechanism = mechanism
        self._kind = scram.MECHANISMS[mechanism]
        self._find = credential_of_user
        self._secret = secret
        self._claimed = ""
        self._begun = ""
        """The client's first message without its header, and the server's answer to it."""
        self._nonce = ""
        self._header = ""
        self._known = False
        self._credential: ScramCredential | None = None

    def step(self, message: bytes) -> bytes:
        """The first message, then the final one."""
        try:
            text = message.decode()
        except UnicodeDecodeError:
            raise self._failure("it is no UTF-8 text") from None
        if self._credential is None:
            return self._begin(text).encode()
        return self._prove(text, self._credential).encode()

    def _failure(self, why: str) -> LoginFailedError:
        return LoginFailedError(f"Invalid message of SASL mechanism {self._mechanism}: {why}")

    def _begin(self, text: str) -> str:
        first = _FIRST.fullmatch(text)
        if first is None:
            raise self._failure("it is no first message of a client, or asks for a channel binding")
        user = first["user"].replace("=2C", ",").replace("=3D", "=")
        if first["as"] and first["as"] != first["user"]:
            raise LoginFailedError(
                "Authentication failed: Client requested an authorization id that is different from username"
            )
        found = self._find(user)
        self._known = found is not None
        if found is None:
            salt = hmac.digest(self._secret, user.encode(), "sha256")[: scram.SALT_SIZE]
            size = len(scram.digest(self._kind, b""))
            found = ScramCredential(salt, os.urandom(size), os.urandom(size), scram.MIN_ITERATIONS)
        self._claimed, self._credential = user, found
        self._header = text[: len(text) - len(first["bare"])]
        self._nonce = first["nonce"] + secrets.token_urlsafe(24)
        answer = f"r={self._nonce},s={b64encode(found.salt).decode()},i={found.iterations}"
        self._begun = f"{first['bare']},{answer}"
        return answer

    def _prove(self, text: str, known: ScramCredential) -> str:
        final = _FINAL.fullmatch(text)
        if final is None:
            raise self._failure("it is no final message of a client")
        # librdkafka before 2.6.1 puts its own nonce before it once more (librdkafka 4895); a broker lets it.
        if not final["nonce"].endswith(self._nonce):
            raise self._failure("Invalid client nonce in the final client message.")
        try:
            binding, proof = b64decode(final["binding"], validate=True), b64decode(final["proof"], validate=True)
        except binascii.Error:
            raise self._failure("it is no base64") from None
        if binding != self._header.encode():
            raise self._failure("its channel binding is another one than that of the first message")
        signed = f"{self._begun},{final['unproved']}".encode()
        signature = scram.keyed_digest(self._kind, known.stored_key, signed)
        size = len(signature)
        client_key = bytes(a ^ b for a, b in zip(proof.ljust(size, b"\0")[:size], signature, strict=True))
        same = hmac.compare_digest(scram.digest(self._kind, client_key), known.stored_key)
        if not (same and self._known and len(proof) == size):
            raise LoginFailedError(
                "Authentication failed during authentication due to invalid credentials with SASL mechanism "
                f"{self._mechanism}"
            )
        self.user = self._claimed
        return f"v={b64encode(scram.keyed_digest(self._kind, known.server_key, signed)).decode()}"
