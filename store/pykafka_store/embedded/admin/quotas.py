"""Quotas of a data directory, of users, clients and addresses: kept and shown, enforced by nobody (SECURITY.md).

Source of checks and texts: ClientQuotaControlManager and ClientQuotasImage of Kafka 4.3.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from pykafka_store.access import CLIENT_ID, IP, USER, QuotaEntity, QuotaFilter
from pykafka_store.embedded.engine import Engine
from pykafka_store.errors import InvalidRequestError, UnsupportedVersionError
from pykafka_store.nodes import is_host

_KIND = "quota"
"""The catalogue's type of settings: the name is the entity, as JSON, and the value is a number."""
_TYPES = (CLIENT_ID, IP, USER)

_LONG, _INT = (2**63 - 1, "LONG"), (2**31 - 1, "INT")
_KEYS: Mapping[str, tuple[int, str] | None] = {
    "producer_byte_rate": _LONG,
    "consumer_byte_rate": _LONG,
    "request_percentage": None,
    "controller_mutation_rate": None,
}
"""What users and clients have: the bound of a whole number, or None for any number."""
_KEYS_OF_IPS: Mapping[str, tuple[int, str] | None] = {"connection_creation_rate": _INT}


class QuotaAdmin:
    """See :class:`pykafka_store.access.AccessAdmin`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def describe_client_quotas(
        self, filters: Sequence[QuotaFilter], *, strict: bool
    ) -> dict[QuotaEntity, dict[str, float]]:
        _check_filters(filters)
        found = {}
        for name, values in self._engine.catalog.configs(_KIND).items():
            entity = dict(json.loads(name))
            if strict and len(entity) != len(filters):
                continue
            if all(each.type in entity and (not each.exact or entity[each.type] == each.name) for each in filters):
                found[tuple(sorted(entity.items()))] = {key: float(value) for key, value in values.items()}
        return found

    def alter_client_quotas(
        self, entity: QuotaEntity, changes: Mapping[str, float | None], *, validate_only: bool = False
    ) -> None:
        keys = _keys_of(entity)
        for key, value in sorted(changes.items()):
            if value is not None:
                _check_value(keys, key, value)
        if validate_only:
            return
        self._engine.require_writable()
        name = json.dumps(sorted(entity))
        kept = {key: repr(value) for key, value in changes.items() if value is not None}
        with self._engine.catalog.transaction():
            gone = [key for key in changes if key not in kept]
            self._engine.catalog.change_entity_configs(_KIND, name, kept, gone)


def _keys_of(entity: QuotaEntity) -> Mapping[str, tuple[int, str] | None]:
    """What this entity may have. Raises InvalidRequestError for one that can't be."""
    if not entity:
        raise InvalidRequestError("Invalid empty client quota entity")
    kinds = dict(entity)
    for kind, name in entity:
        if kind not in _TYPES:
            raise InvalidRequestError(f"Unhandled client quota entity type: {kind}")
        if name == "":
            raise InvalidRequestError(f"Empty {kind} not supported")
    if len(kinds) != len(entity):
        raise InvalidRequestError("Invalid client quota entity, an entity type stands there twice")
    if IP not in kinds:
        return _KEYS
    if len(kinds) > 1:
        raise InvalidRequestError(
            "Invalid quota entity combination, IP entity should not be combined with User or ClientId"
        )
    address = kinds[IP]
    if address is not None and not is_host(address):
        raise InvalidRequestError(f"{address} is not a valid IP or resolvable host.")
    return _KEYS_OF_IPS


def _check_value(keys: Mapping[str, tuple[int, str] | None], key: str, value: float) -> None:
    if key not in keys:
        raise InvalidRequestError(f"Invalid configuration key {key}")
    if value <= 0:
        raise InvalidRequestError(f"Quota {key} must be greater than 0")
    bound = keys[key]
    if bound is None:
        return
    if value > bound[0]:
        raise InvalidRequestError(f"Proposed value for {key} is too large for a{'n' * (bound is _INT)} {bound[1]}.")
    if value % 1.0 > 1e-6:
        raise InvalidRequestError(f"{key} cannot be a fractional value.")


def _check_filters(filters: Sequence[QuotaFilter]) -> None:
    named = [each.type for each in filters]
    for kind in named:
        if not kind:
            raise InvalidRequestError("Invalid empty entity type.")
        if named.count(kind) > 1:
            raise InvalidRequestError(f"Entity type {kind} cannot appear more than once in the filter.")
        if kind not in _TYPES:
            raise UnsupportedVersionError(f"Unsupported entity type {kind}")
    if IP in named and len(named) > 1:
        raise InvalidRequestError(
            "Invalid entity filter component combination. IP filter component should not be used with user or "
            "clientId filter component."
        )
