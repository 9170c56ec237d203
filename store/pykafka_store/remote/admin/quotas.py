"""Quotas of a Kafka cluster's users, clients and addresses (KIP-546)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace

from pykafka_store.access import QuotaEntity, QuotaFilter
from pykafka_store.remote.admin.requests import Requests, wait_until_seen
from pykafka_store.remote.errors import broker_error

_EXACT, _DEFAULT, _ANY = range(3)
"""DescribeClientQuotas' numbers for how a name is meant."""


class QuotaAdmin:
    def __init__(self, requests: Requests) -> None:
        self._requests = requests

    def describe_client_quotas(
        self, filters: Sequence[QuotaFilter], *, strict: bool
    ) -> dict[QuotaEntity, dict[str, float]]:
        components = [
            SimpleNamespace(
                entity_type=each.type,
                match_type=_ANY if not each.exact else _DEFAULT if each.name is None else _EXACT,
                match=each.name if each.exact else None,
            )
            for each in filters
        ]
        body = SimpleNamespace(components=components, strict=strict)
        answer = self._requests.network.ask_any("describe_client_quotas", body)
        if answer.error_code:
            raise broker_error(answer.error_code, answer.error_message)
        return {
            tuple(sorted((part.entity_type, part.entity_name) for part in entry.entity)): {
                each.key: each.value for each in entry.values
            }
            for entry in answer.entries or ()
        }

    def alter_client_quotas(
        self, entity: QuotaEntity, changes: Mapping[str, float | None], *, validate_only: bool = False
    ) -> None:
        self._requests.require_writable()
        entry = SimpleNamespace(
            entity=[SimpleNamespace(entity_type=kind, entity_name=name) for kind, name in entity],
            ops=[
                SimpleNamespace(key=key, value=0.0 if value is None else value, remove=value is None)
                for key, value in changes.items()
            ],
        )
        body = SimpleNamespace(entries=[entry], validate_only=validate_only)
        for each in self._requests.network.ask_controller("alter_client_quotas", body).entries:
            if each.error_code:
                raise broker_error(each.error_code, each.error_message)
        if not validate_only:
            wait_until_seen(lambda: self._in_force(entity, changes))

    def _in_force(self, entity: QuotaEntity, changes: Mapping[str, float | None]) -> bool:
        filters = [QuotaFilter(kind, exact=True, name=name) for kind, name in entity]
        own = self.describe_client_quotas(filters, strict=True).get(tuple(sorted(entity)), {})
        return all(own.get(key) == value for key, value in changes.items())
