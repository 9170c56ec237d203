"""The way in: what a client has to say before anything else where a listener has a log-in.

Until it has logged in, three requests are taken of it: ApiVersions once, SaslHandshake, and SaslAuthenticate, or the
bare messages of a client that is older than that (SaslHandshake 0). Anything else, and a log-in that fails, is the end
of its connection: after a pause, so that guessing passwords takes its time.

Whoever is in may log in again, as the same user in the same way (KIP-368): it begins with another SaslHandshake, and
until it ends the client is a stranger. Where sessions end, who has not done so by then is closed at its next request.

Sources: SaslServerAuthenticator, KafkaChannel, KIP-43, KIP-152, KIP-368.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from pykafka_store.errors import InvalidRequestError
from pykafka_store.protocol.writing import Piece
from pykafka_store.settings.listeners import PLAIN, Listener
from pykafka_store.wire.protocol import (
    API_VERSIONS,
    HEADER,
    SASL_AUTHENTICATE,
    SASL_HANDSHAKE,
    SIZE,
    VERSIONS,
    Reply,
    Request,
    decode,
    encode,
    encode_as,
    software_of,
)

if TYPE_CHECKING:
    from pykafka_store.access import ScramCredential, ScramMechanism
    from pykafka_store.wire.sasl import Exchange

MAX_FRAME = 512 << 10
"""Bytes of a request of a client that has not logged in (sasl.server.max.receive.size)."""

PAUSE = 0.1
"""Seconds until a client is told that its log-in failed (connection.failed.authentication.delay.ms)."""

PATIENCE = 30.0
"""Seconds that a client has to log in, its TLS handshake included."""

IS_OVER = "it did not log in again within connections.max.reauth.ms"
"""Why a client is closed whose session is over."""

_AGAIN_AFTER = 1.0
"""Seconds between two log-ins of one connection (KafkaChannel.MIN_REAUTH_INTERVAL_ONE_SECOND_NANOS)."""

_FAILED, _UNSUPPORTED_MECHANISM, _ILLEGAL_STATE, _UNSUPPORTED_VERSION = 58, 33, 34, 35


class Answer(NamedTuple):
    """What is said at the gate."""

    pieces: list[bytes | Piece]
    problem: str | None = None
    """Why the connection is closed after it; None where it goes on."""


class Users:
    """Who may log in on a listener."""

    def __init__(
        self,
        listener: Listener,
        stored: Callable[[str], Mapping[ScramMechanism, ScramCredential]],
        secret: bytes | None = None,
    ) -> None:
        """``stored``: the credentials that the directory has for a user, by mechanism."""
        login = listener.login
        self._passwords = login.passwords
        self.mechanisms = tuple(each for each in login.mechanisms if each != PLAIN or login.passwords)
        self.lifetimes = login.lifetimes
        self._stored = stored
        self._secret = secret or os.urandom(32)
        self._made: dict[tuple[str, str], ScramCredential] = {}

    def exchange(self, mechanism: str) -> Exchange:
        """A new log-in by one of the ``mechanisms``."""
        from pykafka_store.wire.sasl import PlainExchange, ScramExchange  # no server without log-ins needs it

        if mechanism == PLAIN:
            return PlainExchange(self._passwords.get)
        return ScramExchange(mechanism, lambda user: self._credential(mechanism, user), self._secret)

    def _credential(self, mechanism: str, user: str) -> ScramCredential | None:
        """The directory's counts more: it can be changed while the server runs."""
        from pykafka_store.scram import MECHANISMS
        from pykafka_store.wire.sasl import credential_of

        found = self._stored(user).get(MECHANISMS[mechanism])
        if found is None and (password := self._passwords.get(user)) is not None:
            found = self._made.get((mechanism, user))
            if found is None:
                found = self._made[mechanism, user] = credential_of(user, mechanism, password)
        return found


class Gate:
    """One connection's way in."""

    def __init__(self, users: Users, api_versions: Callable[[Request | None], Reply], now: Callable[[], float]) -> None:
        """``now`` is the monotonic clock, in seconds."""
        self.is_open = False
        """Whether the client has logged in."""
        self.user: str | None = None
        self.session_ends: float | None = None
        """By when the client has to log in again; None where it need not."""
        self._now = now
        self._began_again: float | None = None
        self._came_by = ""
        """The mechanism by which the client logged in."""
        self._users = users
        self._api_versions = api_versions
        self._has_asked = False
        self.software = ""
        """What the client says that it is (KIP-511)."""
        self._exchange: Exchange | None = None
        self._mechanism = ""
        self._is_bare = False
        """Whether the messages of the log-in come without a request around them."""

    @property
    def is_over(self) -> bool:
        """Whether the client has been in for as long as it may."""
        return self.session_ends is not None and self._now() > self.session_ends

    def takes(self, frame: memoryview) -> bool:
        """Whether a request is the gate's to answer: its client is not in, or begins to log in again."""
        if not self.is_open:
            return True
        (key, _, _), now = HEADER.unpack_from(frame), self._now()
        if key != SASL_HANDSHAKE or (self._began_again is not None and now - self._began_again < _AGAIN_AFTER):
            return False
        self._began_again = now
        self.is_open = self._is_bare = False
        self._exchange = None
        return True

    def take(self, frame: memoryview) -> Answer:
        """Answer a request, without its length. Raises InvalidRequestError where the connection is to be closed."""
        if self._is_bare:
            return self._take_bare(bytes(frame))
        if len(frame) < HEADER.size:
            raise InvalidRequestError(f"{len(frame)} bytes are no request")
        key, version, correlation_id = HEADER.unpack_from(frame)
        expected = {API_VERSIONS, SASL_HANDSHAKE} if self._exchange is None else {SASL_AUTHENTICATE}
        if key not in expected or (key == API_VERSIONS and self._has_asked):
            raise InvalidRequestError(f"request {key} came before its client had logged in")
        low, high = VERSIONS[key]
        if not low <= version <= high:
            if key != API_VERSIONS:
                raise InvalidRequestError(f"request {key} of version {version} is not served here")
            return Answer(encode_as(API_VERSIONS, 0, correlation_id, self._api_versions(None)))
        request = decode(frame)
        if key == API_VERSIONS:
            self._has_asked = True
            self.software = software_of(request)
            return Answer(encode(request, self._api_versions(request)))
        return self._handshake(request) if key == SASL_HANDSHAKE else self._authenticate(request)

    def _handshake(self, request: Request) -> Answer:
        mechanism, enabled = request.body.mechanism, self._users.mechanisms
        if mechanism not in enabled:
            problem = f"SASL mechanism {mechanism[:40]!r} is not enabled: {', '.join(enabled) or 'none'}"
            return Answer(encode(request, Reply(error_code=_UNSUPPORTED_MECHANISM, mechanisms=enabled)), problem)
        self._mechanism, self._exchange = mechanism, self._users.exchange(mechanism)
        self._is_bare = request.version == 0
        return Answer(encode(request, Reply(mechanisms=enabled)))

    def _authenticate(self, request: Request) -> Answer:
        from pykafka_store.wire.sasl import LoginFailedError

        try:
            said = self._step(request.body.auth_bytes)
        except LoginFailedError as error:
            reply = Reply(error_code=_FAILED, error_message=str(error), auth_bytes=b"", session_lifetime=0)
            return Answer(encode(request, reply), f"{self._mechanism}: {error}")
        lifetime = self._users.lifetimes.get(self._mechanism, 0) if self.is_open else 0
        return Answer(encode(request, Reply(auth_bytes=said, session_lifetime=lifetime)))

    def _take_bare(self, message: bytes) -> Answer:
        from pykafka_store.wire.sasl import LoginFailedError

        try:
            said = self._step(message)
        except LoginFailedError as error:  # these clients know no error: the end of the connection is the answer
            return Answer([], f"{self._mechanism}: {error}")
        return Answer([SIZE.pack(len(said)) + said])

    def _step(self, message: bytes) -> bytes:
        """Raises LoginFailedError."""
        from pykafka_store.wire.sasl import LoginFailedError

        assert self._exchange is not None
        if self._came_by not in {"", self._mechanism}:
            raise LoginFailedError(
                f"SASL mechanism '{self._mechanism}' requested by client is not supported for re-authentication of "
                f"mechanism '{self._came_by}'"
            )
        said = self._exchange.step(message)
        user = self._exchange.user
        if user is not None:
            if self.user not in {None, user}:
                raise LoginFailedError(
                    f"Cannot change principals during re-authentication from User.{self.user}: User.{user}"
                )
            self.user, self._came_by, self.is_open = user, self._mechanism, True
            lifetime = self._users.lifetimes.get(self._mechanism, 0)
            self.session_ends = self._now() + lifetime / 1000 if lifetime else None
        return said


def handshake_too_late(request: Request) -> Reply:  # noqa: ARG001 - whatever it asks
    """Answers SaslHandshake of a client that is in already, and began to log in again a moment ago, or where nobody
    logs in.
    """
    return Reply(error_code=_ILLEGAL_STATE, mechanisms=[])


def authenticate_too_late(request: Request) -> Reply:  # noqa: ARG001 - whatever it asks
    """Answers SaslAuthenticate of a client that is in already."""
    return Reply(
        error_code=_ILLEGAL_STATE,
        error_message="SaslAuthenticate request received after successful authentication",
        auth_bytes=b"",
        session_lifetime=0,
    )
