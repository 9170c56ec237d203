"""ACLs of a data directory: kept and shown, enforced by nobody (SECURITY.md).

Source of checks and texts: org.apache.kafka.controller.AclControlManager, kafka.server.AclApis of Kafka 4.3.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from pykafka_store.access import (
    CLUSTER_NAME,
    Acl,
    AclEntry,
    AclFilter,
    AclOperation,
    AclPermission,
    PatternType,
    ResourcePattern,
    ResourceType,
)
from pykafka_store.embedded.engine import Engine
from pykafka_store.errors import InvalidRequestError, StoreError

_KIND = "acl"
"""The catalogue's type of settings: the name is the resource, the key the entry, and the value is empty."""


class AclAdmin:
    """See :class:`pykafka_store.access.AccessAdmin`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def describe_acls(self, wanted: AclFilter) -> list[Acl]:
        _check_filter(wanted)
        return [acl for acl in self._all() if wanted.matches(acl)]

    def create_acls(self, acls: Sequence[Acl]) -> list[StoreError | None]:
        self._engine.require_writable()
        answers: list[StoreError | None] = [_problem(acl) for acl in acls]
        with self._engine.catalog.transaction():
            for acl, problem in zip(acls, answers, strict=True):
                if problem is None:
                    self._engine.catalog.change_entity_configs(_KIND, *_packed(acl), ())
        return answers

    def delete_acls(self, filters: Sequence[AclFilter]) -> list[list[Acl] | StoreError]:
        """What two filters match is in both answers, as a broker has it."""
        self._engine.require_writable()
        answers: list[list[Acl] | StoreError] = []
        with self._engine.catalog.transaction():
            there = self._all()
            for wanted in filters:
                try:
                    _check_filter(wanted)
                except InvalidRequestError as error:
                    answers.append(error)
                    continue
                answers.append([acl for acl in there if wanted.matches(acl)])
            for acl in {acl for found in answers if isinstance(found, list) for acl in found}:
                name, entry = _packed(acl)
                self._engine.catalog.change_entity_configs(_KIND, name, {}, entry)
        return answers

    def _all(self) -> list[Acl]:
        found = (
            _unpacked(name, key) for name, entries in self._engine.catalog.configs(_KIND).items() for key in entries
        )
        return sorted(found)


def _packed(acl: Acl) -> tuple[str, dict[str, str]]:
    resource, entry = acl
    name = json.dumps([resource.type.name, resource.pattern.name, resource.name])
    return name, {json.dumps([entry.principal, entry.host, entry.operation.name, entry.permission.name]): ""}


def _unpacked(name: str, key: str) -> Acl:
    kind, pattern, resource = json.loads(name)
    principal, host, operation, permission = json.loads(key)
    return Acl(
        ResourcePattern(ResourceType[kind], resource, PatternType[pattern]),
        AclEntry(principal, host, AclOperation[operation], AclPermission[permission]),
    )


def _problem(acl: Acl) -> InvalidRequestError | None:
    resource, entry = acl
    if resource.type in {ResourceType.UNKNOWN, ResourceType.ANY}:
        return InvalidRequestError(f"Invalid resourceType {resource.type.name}")
    if resource.pattern not in {PatternType.LITERAL, PatternType.PREFIXED}:
        return InvalidRequestError(f"Invalid patternType {resource.pattern.name}")
    if entry.operation in {AclOperation.UNKNOWN, AclOperation.ANY}:
        return InvalidRequestError(f"Invalid operation {entry.operation.name}")
    if entry.permission not in {AclPermission.DENY, AclPermission.ALLOW}:
        return InvalidRequestError(f"Invalid permissionType {entry.permission.name}")
    if resource.type is ResourceType.CLUSTER and resource.name != CLUSTER_NAME:
        return InvalidRequestError(f"The only valid name for the CLUSTER resource is {CLUSTER_NAME}")
    if ":" not in entry.principal:
        return InvalidRequestError(
            f"Could not parse principal from `{entry.principal}` (no colon is present separating the principal type "
            "from the principal name)"
        )
    if not resource.name:
        return InvalidRequestError("Invalid empty resource name")
    return None


def _check_filter(wanted: AclFilter) -> None:
    if ResourceType.UNKNOWN is wanted.type or PatternType.UNKNOWN is wanted.pattern:
        raise InvalidRequestError("Unknown patternFilter.")
    if AclOperation.UNKNOWN is wanted.operation or AclPermission.UNKNOWN is wanted.permission:
        raise InvalidRequestError("Unknown entryFilter.")
