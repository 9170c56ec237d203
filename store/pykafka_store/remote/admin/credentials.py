"""What users of a Kafka cluster log in with: SCRAM credentials (KIP-554) and delegation tokens (KIP-48)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from pykafka_store.access import DelegationToken, ScramDeletion, ScramMechanism, ScramUpsertion
from pykafka_store.errors import StoreError
from pykafka_store.remote.admin.requests import Requests, wait_until_seen
from pykafka_store.remote.errors import broker_error
from pykafka_store.remote.partitions import outcome


class CredentialAdmin:
    def __init__(self, requests: Requests) -> None:
        self._requests = requests

    # -------------------------------------------------------------------------------------------------------- SCRAM

    def describe_user_scram_credentials(
        self, users: Sequence[str] = ()
    ) -> dict[str, dict[ScramMechanism, int] | StoreError]:
        body = SimpleNamespace(users=[SimpleNamespace(name=each) for each in users] or None)
        answer = self._requests.network.ask_any("describe_user_scram_credentials", body)
        if answer.error_code:
            raise broker_error(answer.error_code, answer.error_message)
        return {each.user: outcome(each) or _iterations(each) for each in answer.results}

    def alter_user_scram_credentials(
        self, upsertions: Sequence[ScramUpsertion], deletions: Sequence[ScramDeletion] = ()
    ) -> dict[str, StoreError | None]:
        self._requests.require_writable()
        body = SimpleNamespace(
            upsertions=[
                SimpleNamespace(
                    name=each.user,
                    mechanism=int(each.mechanism),
                    iterations=each.iterations,
                    salt=each.salt,
                    salted_password=each.salted_password,
                )
                for each in upsertions
            ],
            deletions=[SimpleNamespace(name=each.user, mechanism=int(each.mechanism)) for each in deletions],
        )
        answer = self._requests.network.ask_controller("alter_user_scram_credentials", body)
        answers = {each.user: outcome(each) for each in answer.results}
        changed = {
            **{each.user: (each.mechanism, each.iterations) for each in upsertions if answers.get(each.user) is None},
            **{each.user: (each.mechanism, None) for each in deletions if answers.get(each.user) is None},
        }
        if changed:
            wait_until_seen(lambda: self._in_force(changed))
        return answers

    def _in_force(self, changed: Mapping[str, tuple[ScramMechanism, int | None]]) -> bool:
        found = self.describe_user_scram_credentials(list(changed))
        there = {user: {} if isinstance(some, StoreError) else some for user, some in found.items()}
        return all(there.get(user, {}).get(mechanism) == count for user, (mechanism, count) in changed.items())

    # ------------------------------------------------------------------------------------------------------- tokens

    def create_delegation_token(
        self, renewers: Sequence[str] = (), *, owner: str | None = None, max_lifetime_ms: int = -1
    ) -> DelegationToken:
        self._requests.require_writable()
        kind, name = _parts(owner) if owner is not None else (None, None)
        body = SimpleNamespace(
            owner_principal_type=kind,
            owner_principal_name=name,
            renewers=[_principal(each) for each in renewers],
            max_lifetime=max_lifetime_ms,
        )
        least = 3 if owner is not None else 0
        answer = self._requests.network.ask_controller("create_delegation_token", body, least=least, once=True)
        if answer.error_code:
            raise broker_error(answer.error_code, None)
        token = _token(answer, tuple(renewers))
        wait_until_seen(
            lambda: token.token_id in {each.token_id for each in self.describe_delegation_tokens([token.owner])}
        )
        return token

    def renew_delegation_token(self, hmac: bytes, period_ms: int = -1) -> int:
        body = SimpleNamespace(hmac=hmac, renew_period=period_ms)
        return self._expiry("renew_delegation_token", body)

    def expire_delegation_token(self, hmac: bytes, period_ms: int = -1) -> int:
        body = SimpleNamespace(hmac=hmac, expiry_time_period=period_ms)
        return self._expiry("expire_delegation_token", body)

    def _expiry(self, name: str, body: SimpleNamespace) -> int:
        self._requests.require_writable()
        answer = self._requests.network.ask_controller(name, body)
        if answer.error_code:
            raise broker_error(answer.error_code, None)
        return int(answer.expiry_timestamp)

    def describe_delegation_tokens(self, owners: Sequence[str] | None = None) -> list[DelegationToken]:
        body = SimpleNamespace(owners=None if owners is None else [_principal(each) for each in owners])
        answer = self._requests.network.ask("describe_delegation_token", body)
        if answer.error_code:
            raise broker_error(answer.error_code, None)
        found = (
            _token(each, tuple(f"{by.principal_type}:{by.principal_name}" for by in each.renewers))
            for each in answer.tokens
        )
        return sorted(found, key=lambda token: token.issued_ms)


def _iterations(found: Any) -> dict[ScramMechanism, int]:
    known = {int(each) for each in ScramMechanism}
    return {
        ScramMechanism(each.mechanism if each.mechanism in known else 0): each.iterations
        for each in found.credential_infos
    }


def _parts(principal: str) -> tuple[str, str]:
    kind, _, name = principal.partition(":")
    return kind, name


def _principal(principal: str) -> SimpleNamespace:
    kind, name = _parts(principal)
    return SimpleNamespace(principal_type=kind, principal_name=name)


def _token(found: Any, renewers: tuple[str, ...]) -> DelegationToken:
    owner = f"{found.principal_type}:{found.principal_name}"
    requester = getattr(found, "token_requester_principal_name", "")  # before version 3: the owner
    return DelegationToken(
        found.token_id,
        bytes(found.hmac),
        owner,
        f"{found.token_requester_principal_type}:{requester}" if requester else owner,
        renewers,
        found.issue_timestamp,
        found.expiry_timestamp,
        found.max_timestamp,
    )
