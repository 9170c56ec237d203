"""Logging in to a broker with SASL, by librdkafka's settings: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 and OAUTHBEARER.

Sources: RFC 4616, RFC 5802, RFC 7628; SaslClientAuthenticator, ScramSaslClient and OAuthBearerSaslClient of Kafka 4.3.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import time
from collections.abc import Mapping
from types import SimpleNamespace

from pykafka_store.errors import InvalidConfigError, StoreError
from pykafka_store.remote.errors import broker_error
from pykafka_store.remote.requests.connection import Connection, Lost

MOST_ITERATIONS = 1_000_000
"""Of SCRAM, which the other side names and we have to count: Kafka's own are 4096 to 16384."""
_FAILED = 58
"""SASL_AUTHENTICATION_FAILED."""


def log_in(connection: Connection, settings: Mapping[str, object], deadline: float) -> None:
    """Raises SaslAuthenticationException's StoreError with the broker's words, InvalidConfigError, and Lost."""
    mechanism = str(settings.get("sasl.mechanism") or "GSSAPI")
    exchange = {"PLAIN": _plain, "OAUTHBEARER": _bearer, "SCRAM-SHA-256": _scram, "SCRAM-SHA-512": _scram}
    if mechanism not in exchange:
        raise InvalidConfigError(
            f"sasl.mechanism {mechanism} can't be honoured for this request: there are {', '.join(exchange)}"
        )
    answer = connection.ask("sasl_handshake", SimpleNamespace(mechanism=mechanism), deadline)
    if answer.error_code:
        offered = ", ".join(answer.mechanisms)
        raise broker_error(
            answer.error_code,
            f"Client SASL mechanism '{mechanism}' not enabled in the server, enabled mechanisms are [{offered}]",
        )
    exchange[mechanism](_Exchange(connection, deadline), mechanism, settings)


class _Exchange:
    """Messages to and fro."""

    def __init__(self, connection: Connection, deadline: float) -> None:
        self._connection = connection
        self._deadline = deadline

    def send(self, message: bytes) -> bytes:
        answer = self._connection.ask("sasl_authenticate", SimpleNamespace(auth_bytes=message), self._deadline)
        if answer.error_code:
            raise broker_error(answer.error_code, answer.error_message)
        return bytes(answer.auth_bytes)


def _credentials(settings: Mapping[str, object]) -> tuple[str, str]:
    if "sasl.username" not in settings:
        raise InvalidConfigError("sasl.jaas.config is missing: it says who logs in")
    return str(settings["sasl.username"]), str(settings["sasl.password"])


def _plain(exchange: _Exchange, _mechanism: str, settings: Mapping[str, object]) -> None:
    name, password = _credentials(settings)
    exchange.send(f"\0{name}\0{password}".encode())


def _scram(exchange: _Exchange, mechanism: str, settings: Mapping[str, object]) -> None:
    name, password = _credentials(settings)
    algorithm = mechanism.removeprefix("SCRAM-").replace("-", "").lower()
    nonce = base64.b64encode(os.urandom(24)).decode()
    bare = f"n={name.replace('=', '=3D').replace(',', '=2C')},r={nonce}"
    first = exchange.send(f"n,,{bare}".encode()).decode("utf-8", "replace")
    fields = dict(part.partition("=")[::2] for part in first.split(","))
    try:
        salt, iterations = base64.b64decode(fields["s"], validate=True), int(fields["i"])
    except (KeyError, ValueError):
        raise Lost("it does not speak SCRAM") from None
    if not fields.get("r", "").startswith(nonce) or not 1 <= iterations <= MOST_ITERATIONS:
        raise Lost("it does not speak SCRAM as it should")

    def digest(key: bytes, message: bytes) -> bytes:
        return hmac.digest(key, message, algorithm)

    salted = hashlib.pbkdf2_hmac(algorithm, password.encode(), salt, iterations)
    client_key = digest(salted, b"Client Key")
    without_proof = f"c=biws,r={fields['r']}"
    said = f"{bare},{first},{without_proof}".encode()
    signature = digest(hashlib.new(algorithm, client_key).digest(), said)
    proof = bytes(one ^ other for one, other in zip(client_key, signature, strict=True))
    last = exchange.send(f"{without_proof},p={base64.b64encode(proof).decode()}".encode())
    expected = b"v=" + base64.b64encode(digest(digest(salted, b"Server Key"), said))
    if not hmac.compare_digest(last, expected):  # it does not know the password: another took the broker's place
        raise broker_error(_FAILED, "Invalid server signature in server final message")


def _bearer(exchange: _Exchange, _mechanism: str, settings: Mapping[str, object]) -> None:
    token = _unsecured(settings) if settings.get("enable.sasl.oauthbearer.unsecure.jwt") else _fetched(settings)
    extensions = str(settings.get("sasl.oauthbearer.extensions") or "").replace(",", "\x01")
    more = f"{extensions}\x01" if extensions else ""
    refusal = exchange.send(f"n,,\x01auth=Bearer {token}\x01{more}\x01".encode())
    if refusal:  # RFC 7628: the client answers with one byte, and the server ends it
        exchange.send(b"\x01")
        raise broker_error(_FAILED, refusal.decode("utf-8", "replace"))


def _unsecured(settings: Mapping[str, object]) -> str:
    """A token that nobody signed, for tests only."""
    import json

    principal = str(settings.get("sasl.oauthbearer.config") or "").partition("principal=")[2]
    now = int(time.time())  # whole seconds: a broker counts milliseconds, and believes in no token of the future
    parts = {"alg": "none"}, {"sub": principal, "iat": now, "exp": now + 3600}
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts) + "."


def _fetched(settings: Mapping[str, object]) -> str:
    """A token for the client's credentials, of the provider's endpoint. Source: RFC 6749, 4.4."""
    import json
    import urllib.error
    import urllib.parse
    import urllib.request

    url = str(settings.get("sasl.oauthbearer.token.endpoint.url") or "")
    if not url.startswith(("https://", "http://")):
        raise InvalidConfigError(f"sasl.oauthbearer.token.endpoint.url is an http address, and not {url or 'missing'}")
    client, secret = (str(settings.get(f"sasl.oauthbearer.client.{part}") or "") for part in ("id", "secret"))
    fields = {"grant_type": "client_credentials"}
    if settings.get("sasl.oauthbearer.scope"):
        fields["scope"] = str(settings["sasl.oauthbearer.scope"])
    login = base64.b64encode(f"{client}:{secret}".encode()).decode()
    request = urllib.request.Request(  # noqa: S310 - checked above
        url, urllib.parse.urlencode(fields).encode(), {"Authorization": f"Basic {login}"}
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            token = json.loads(answer.read(1 << 20))["access_token"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _no_token(url, error) from None
    return str(token)


def _no_token(url: str, error: Exception) -> StoreError:
    return broker_error(_FAILED, f"{url} gave no token: {error}")
