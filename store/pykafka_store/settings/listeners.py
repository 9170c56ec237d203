"""Where a server listens, by which protocol, and who may come in. Source: KafkaConfig, SslConfigs, SaslConfigs."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from pykafka_store.errors import InvalidConfigError

PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL = "PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"
PROTOCOLS = (PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL)

PLAIN, SCRAM_SHA_256, SCRAM_SHA_512 = "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"
MECHANISMS = (PLAIN, SCRAM_SHA_256, SCRAM_SHA_512)

CLIENT_AUTH = ("none", "requested", "required")
"""What ``ssl.client.auth`` may say: whether clients show a certificate of their own."""

_MOST_USERS_BYTES = 1 << 20


class Tls(NamedTuple):
    """What a server shows of itself, and whom it wants to see. All files are PEM."""

    certificate: str
    """The server's certificate, and those that lead from it to one that clients trust."""
    key: str | None = None
    """Its private key, where that is not in the file of the certificate."""
    password: str | None = None
    """The private key's."""
    trusted: str | None = None
    """The certificates by which clients' certificates are checked."""
    client_auth: str = CLIENT_AUTH[0]
    protocols: tuple[str, ...] = ("TLSv1.2", "TLSv1.3")


class Login(NamedTuple):
    """Who may log in, and how. Users that `kafka-configs` made with SCRAM credentials may, besides these."""

    mechanisms: tuple[str, ...] = MECHANISMS
    passwords: Mapping[str, str] = MappingProxyType({})
    """User -> password. Without any there is no PLAIN, as the directory has no passwords."""
    lifetimes: Mapping[str, int] = MappingProxyType({})
    """Mechanism -> ms after which its clients have to log in again; they never have to where there are none."""


class Listener(NamedTuple):
    """One address that a server listens on."""

    host: str
    port: int
    """0 is any that is free."""
    protocol: str = PLAINTEXT
    advertised: tuple[str, int] | None = None
    """The address that clients who came here are told to use; None for the one that is listened on."""
    tls: Tls | None = None
    """Needed where the protocol is encrypted."""
    login: Login = Login()
    """Counts where the protocol has a log-in."""

    @property
    def has_login(self) -> bool:
        """Whether clients have to log in."""
        return self.protocol in {SASL_PLAINTEXT, SASL_SSL}

    @property
    def is_encrypted(self) -> bool:
        """Whether it speaks TLS."""
        return self.protocol in {SSL, SASL_SSL}


def read_users(path: str) -> dict[str, str]:
    """The ``user:password`` lines of a file that only its owner may read; ``#`` begins a comment line.

    Raises InvalidConfigError, which never has a line of the file in it.
    """
    try:
        with open(path, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if stat.S_IMODE(mode) & 0o077:
                raise InvalidConfigError(
                    f"{path} has passwords and others than its owner may open it: run chmod 600 {path}"
                )
            data = file.read(_MOST_USERS_BYTES + 1)
    except OSError as error:
        raise InvalidConfigError(f"the users of {path} can't be read: {error.strerror or error}") from error
    if len(data) > _MOST_USERS_BYTES:
        raise InvalidConfigError(f"{path} has more than {_MOST_USERS_BYTES} bytes: it is to have a line a user")
    try:
        lines = data.decode().splitlines()
    except UnicodeDecodeError:
        raise InvalidConfigError(f"{path} is no UTF-8 text") from None
    users: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        user, colon, password = line.partition(":")
        if not (user and colon and password):
            raise InvalidConfigError(f"line {number} of {path} is no user: write user:password")
        if user in users:
            raise InvalidConfigError(f"line {number} of {path} names user {user} again")
        users[user] = password
    if not users:
        raise InvalidConfigError(f"{path} names no user: write a line user:password for each")
    return users
