"""Users of a data directory: their SCRAM credentials and their delegation tokens, kept and shown (SECURITY.md).

Source of checks and texts: ScramControlManager, ScramImage, DelegationTokenControlManager of Kafka 4.3.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Sequence

from pykafka_store import scram
from pykafka_store.access import (
    DelegationToken,
    ScramCredential,
    ScramDeletion,
    ScramMechanism,
    ScramUpsertion,
)
from pykafka_store.embedded.engine import Engine
from pykafka_store.errors import (
    DelegationTokenExpiredError,
    DelegationTokenNotFoundError,
    DuplicateResourceError,
    InvalidPrincipalTypeError,
    ResourceNotFoundError,
    StoreError,
    UnacceptableCredentialError,
    UnsupportedSaslMechanismError,
)
from pykafka_store.model import random_topic_id

_SCRAM = "scram"
"""The catalogue's type of settings: the name is the user, the key the mechanism."""
_TOKEN = "token"  # noqa: S105 - the catalogue's type of settings: the name is the token's id, the key is empty

ANONYMOUS = "User:ANONYMOUS"
"""Who asks, where nobody logs in."""
_DEFAULT_LIFETIME = 7 * 24 * 3600 * 1000
"""delegation.token.max.lifetime.ms"""
_DEFAULT_PERIOD = 24 * 3600 * 1000
"""delegation.token.expiry.time.ms"""
_LAST_MS = 2**63 - 1


class UserAdmin:
    """See :class:`pykafka_store.access.AccessAdmin`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    # -------------------------------------------------------------------------------------------------- credentials

    def scram_credentials(self, user: str) -> dict[ScramMechanism, ScramCredential]:
        """What a server needs to log this user in; empty for one that there is not."""
        stored = self._engine.catalog.configs(_SCRAM).get(user, {})
        return {ScramMechanism[key]: _credential(value) for key, value in stored.items()}

    def describe_user_scram_credentials(
        self, users: Sequence[str] = ()
    ) -> dict[str, dict[ScramMechanism, int] | StoreError]:
        stored = self._engine.catalog.configs(_SCRAM)
        found: dict[str, dict[ScramMechanism, int] | StoreError] = {}
        for user in users or sorted(stored):
            if user in found:
                found[user] = DuplicateResourceError(
                    f"Cannot describe SCRAM credentials for the same user twice in a single request: {user}"
                )
            elif user in stored:
                found[user] = {
                    ScramMechanism[key]: _credential(value).iterations for key, value in sorted(stored[user].items())
                }
            else:
                found[user] = ResourceNotFoundError(
                    f"Attempt to describe a user credential that does not exist: {user}"
                )
        return found

    def alter_user_scram_credentials(
        self, upsertions: Sequence[ScramUpsertion], deletions: Sequence[ScramDeletion] = ()
    ) -> dict[str, StoreError | None]:
        """Deletions are looked at first; a user may be named once."""
        self._engine.require_writable()
        answers: dict[str, StoreError | None] = {}
        with self._engine.catalog.transaction():
            stored = self._engine.catalog.configs(_SCRAM)
            asked: list[ScramDeletion | ScramUpsertion] = [*deletions, *upsertions]
            for each in asked:
                problem: StoreError | None
                if each.user in answers:
                    if answers[each.user] is not None:
                        continue
                    problem = DuplicateResourceError("A user credential cannot be altered twice in the same request")
                elif isinstance(each, ScramDeletion):
                    problem = _problem(each) or _missing(each, stored.get(each.user, {}))
                else:
                    problem = _problem(each) or _wrong_iterations(each)
                answers[each.user] = problem
            for deletion in deletions:
                if answers[deletion.user] is None:
                    self._engine.catalog.change_entity_configs(_SCRAM, deletion.user, {}, [deletion.mechanism.name])
            for upsertion in upsertions:
                if answers[upsertion.user] is None:
                    kept = {upsertion.mechanism.name: _packed(scram.credential(upsertion))}
                    self._engine.catalog.change_entity_configs(_SCRAM, upsertion.user, kept, ())
        return answers

    # ------------------------------------------------------------------------------------------------------- tokens

    def create_delegation_token(
        self, renewers: Sequence[str] = (), *, owner: str | None = None, max_lifetime_ms: int = -1
    ) -> DelegationToken:
        """A broker without a secret key refuses this. A directory needs none: its tokens open nothing."""
        self._engine.require_writable()
        for renewer in renewers:
            if not renewer.startswith("User:"):
                raise InvalidPrincipalTypeError("Supplied principalType is not supported.")
        now = self._engine.clock.now_ms()
        lifetime = min(_DEFAULT_LIFETIME, max_lifetime_ms) if max_lifetime_ms > 0 else _DEFAULT_LIFETIME
        token = DelegationToken(
            token_id=random_topic_id(),
            hmac=os.urandom(64),
            owner=owner or ANONYMOUS,
            requester=ANONYMOUS,
            renewers=tuple(renewers),
            issued_ms=now,
            expires_ms=min(now + lifetime, now + _DEFAULT_PERIOD),
            max_ms=now + lifetime,
        )
        with self._engine.catalog.transaction():
            for expired in self._tokens():
                if expired.expires_ms < now:
                    self._forget(expired)
            self._keep(token)
        return token

    def renew_delegation_token(self, hmac: bytes, period_ms: int = -1) -> int:
        period = min(_DEFAULT_PERIOD, period_ms) if period_ms > 0 else _DEFAULT_PERIOD
        return self._expiring(hmac, period)

    def expire_delegation_token(self, hmac: bytes, period_ms: int = -1) -> int:
        if period_ms >= 0:
            return self._expiring(hmac, period_ms)
        self._engine.require_writable()
        with self._engine.catalog.transaction():
            self._forget(self._token(hmac))
        return self._engine.clock.now_ms()

    def _expiring(self, hmac: bytes, period: int) -> int:
        """Have the token expire after a period, and not later than it may live."""
        self._engine.require_writable()
        with self._engine.catalog.transaction():
            token, now = self._token(hmac), self._engine.clock.now_ms()
            if token.expires_ms < now:
                raise DelegationTokenExpiredError("Delegation Token is expired.")
            expiry = min(token.max_ms, now + period, _LAST_MS)
            self._keep(token._replace(expires_ms=expiry))
        return expiry

    def describe_delegation_tokens(self, owners: Sequence[str] | None = None) -> list[DelegationToken]:
        now = self._engine.clock.now_ms()
        found = [token for token in self._tokens() if token.expires_ms >= now]
        if owners is None:
            return found
        return [token for token in found if {token.owner, token.requester, *token.renewers}.intersection(owners)]

    def _tokens(self) -> list[DelegationToken]:
        found = []
        for token_id, stored in self._engine.catalog.configs(_TOKEN).items():
            fields = json.loads(stored[""])
            fields |= {"hmac": base64.b64decode(fields["hmac"]), "renewers": tuple(fields["renewers"])}
            found.append(DelegationToken(token_id=token_id, **fields))
        return sorted(found, key=lambda token: (token.issued_ms, token.token_id))

    def _token(self, hmac: bytes) -> DelegationToken:
        for token in self._tokens():
            if token.hmac == hmac:
                return token
        raise DelegationTokenNotFoundError("Delegation Token is not found on server.")

    def _keep(self, token: DelegationToken) -> None:
        fields = token._asdict() | {"hmac": base64.b64encode(token.hmac).decode()}
        del fields["token_id"]
        self._engine.catalog.change_entity_configs(_TOKEN, token.token_id, {"": json.dumps(fields)}, ())

    def _forget(self, token: DelegationToken) -> None:
        self._engine.catalog.change_entity_configs(_TOKEN, token.token_id, {}, [""])


def _problem(asked: ScramUpsertion | ScramDeletion) -> StoreError | None:
    if not asked.user:
        return UnacceptableCredentialError("Username must not be empty")
    if asked.mechanism is ScramMechanism.UNKNOWN:
        return UnsupportedSaslMechanismError("Unknown SCRAM mechanism")
    return None


def _missing(deletion: ScramDeletion, stored: dict[str, str]) -> StoreError | None:
    if deletion.mechanism.name in stored:
        return None
    return ResourceNotFoundError("Attempt to delete a user credential that does not exist")


def _wrong_iterations(wanted: ScramUpsertion) -> StoreError | None:
    if wanted.iterations < scram.MIN_ITERATIONS:
        return UnacceptableCredentialError("Too few iterations")
    if wanted.iterations > scram.MAX_ITERATIONS:
        return UnacceptableCredentialError("Too many iterations")
    return None


def _packed(credential: ScramCredential) -> str:
    salt, stored_key, server_key = (base64.b64encode(each).decode() for each in credential[:3])
    return json.dumps(
        {"salt": salt, "stored_key": stored_key, "server_key": server_key, "iterations": credential.iterations}
    )


def _credential(text: str) -> ScramCredential:
    fields = json.loads(text)
    salt, stored_key, server_key = (base64.b64decode(fields[each]) for each in ("salt", "stored_key", "server_key"))
    return ScramCredential(salt, stored_key, server_key, fields["iterations"])
