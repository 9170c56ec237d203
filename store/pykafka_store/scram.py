"""What becomes of a password: SCRAM (RFC 5802, RFC 7677) as Kafka does it, which knows no SASLprep.

Source: org.apache.kafka.common.security.scram.internals.ScramFormatter, UserScramCredentialUpsertion.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Mapping
from typing import Final

from pykafka_store.access import ScramCredential, ScramMechanism, ScramUpsertion
from pykafka_store.errors import UnacceptableCredentialError

MIN_ITERATIONS: Final = 4096
MAX_ITERATIONS: Final = 16384
"""A broker accepts no more, so that nobody can have it compute for ever."""

SALT_SIZE: Final = 20

_HASHES: Mapping[ScramMechanism, str] = {
    ScramMechanism.SCRAM_SHA_256: "sha256",
    ScramMechanism.SCRAM_SHA_512: "sha512",
}
MECHANISMS: Mapping[str, ScramMechanism] = {each.label: each for each in _HASHES}
"""By their names: SCRAM-SHA-256, SCRAM-SHA-512."""


def digest(mechanism: ScramMechanism, content: bytes) -> bytes:
    """H() of RFC 5802."""
    return hashlib.new(_HASHES[mechanism], content).digest()


def keyed_digest(mechanism: ScramMechanism, key: bytes, content: bytes) -> bytes:
    """HMAC() of RFC 5802."""
    return hmac.digest(key, content, _HASHES[mechanism])


def salted(mechanism: ScramMechanism, password: bytes, salt: bytes, iterations: int) -> bytes:
    """Hi() of RFC 5802."""
    return hashlib.pbkdf2_hmac(_HASHES[mechanism], password, salt, iterations)


def upsertion(
    user: str, mechanism: ScramMechanism, password: str, iterations: int, salt: bytes | None = None
) -> ScramUpsertion:
    """The credential of a user with this password, by default under a salt of its own. Raises
    UnacceptableCredentialError.
    """
    if not user:
        raise UnacceptableCredentialError("Username must not be empty")
    if not password:
        raise UnacceptableCredentialError("Password must not be empty")
    salt = os.urandom(SALT_SIZE) if salt is None else salt
    hashed = (
        b""
        if iterations > MAX_ITERATIONS
        else salted(mechanism, password.encode("utf-8", "surrogateescape"), salt, iterations)
    )  # no broker takes so many
    return ScramUpsertion(user, mechanism, iterations, salt, hashed)


def credential(wanted: ScramUpsertion) -> ScramCredential:
    """What a server keeps of it. Source: ScramFormatter#storedKey, #serverKey."""
    stored = digest(wanted.mechanism, keyed_digest(wanted.mechanism, wanted.salted_password, b"Client Key"))
    server = keyed_digest(wanted.mechanism, wanted.salted_password, b"Server Key")
    return ScramCredential(wanted.salt, stored, server, wanted.iterations)
