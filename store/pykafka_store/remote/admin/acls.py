"""ACLs of a Kafka cluster."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, TypeVar

from pykafka_store.access import (
    Acl,
    AclEntry,
    AclFilter,
    AclOperation,
    AclPermission,
    PatternType,
    ResourcePattern,
    ResourceType,
)
from pykafka_store.errors import StoreError
from pykafka_store.remote.admin.requests import Requests, wait_until_seen
from pykafka_store.remote.errors import broker_error
from pykafka_store.remote.partitions import outcome

_Number = TypeVar("_Number", ResourceType, PatternType, AclOperation, AclPermission)


class AclAdmin:
    def __init__(self, requests: Requests) -> None:
        self._requests = requests

    def describe_acls(self, wanted: AclFilter) -> list[Acl]:
        answer = self._requests.network.ask_any("describe_acls", _filter(wanted))
        if answer.error_code:
            raise broker_error(answer.error_code, answer.error_message)
        return [
            Acl(_pattern(resource, resource.pattern_type), _entry(entry))
            for resource in answer.resources
            for entry in resource.acls
        ]

    def create_acls(self, acls: Sequence[Acl]) -> list[StoreError | None]:
        self._requests.require_writable()
        creations = [
            SimpleNamespace(
                resource_type=int(resource.type),
                resource_name=resource.name,
                resource_pattern_type=int(resource.pattern),
                principal=entry.principal,
                host=entry.host,
                operation=int(entry.operation),
                permission_type=int(entry.permission),
            )
            for resource, entry in acls
        ]
        answer = self._requests.network.ask_controller("create_acls", SimpleNamespace(creations=creations))
        answers = [outcome(each) for each in answer.results]
        made = {acl for acl, error in zip(acls, answers, strict=True) if error is None}
        resources = sorted({acl.resource for acl in made})
        wait_until_seen(
            lambda: made.issubset(acl for each in resources for acl in self.describe_acls(AclFilter(*each)))
        )
        return answers

    def delete_acls(self, filters: Sequence[AclFilter]) -> list[list[Acl] | StoreError]:
        self._requests.require_writable()
        body = SimpleNamespace(filters=[_filter(each) for each in filters])
        answer = self._requests.network.ask_controller("delete_acls", body)
        wait_until_seen(lambda: not any(map(self.describe_acls, filters)))
        return [_deleted(each) for each in answer.filter_results]


def _deleted(result: Any) -> list[Acl] | StoreError:
    """What one filter removed. Of several failures the first is told, as in Kafka's tool."""
    failures = (outcome(each) for each in (result, *result.matching_acls))
    failed = next((error for error in failures if error is not None), None)
    return failed or [Acl(_pattern(each, each.pattern_type), _entry(each)) for each in result.matching_acls]


def _filter(wanted: AclFilter) -> SimpleNamespace:
    return SimpleNamespace(
        resource_type_filter=int(wanted.type),
        resource_name_filter=wanted.name,
        pattern_type_filter=int(wanted.pattern),
        principal_filter=wanted.principal,
        host_filter=wanted.host,
        operation=int(wanted.operation),
        permission_type=int(wanted.permission),
    )


def _pattern(found: Any, pattern: int) -> ResourcePattern:
    return ResourcePattern(_known(ResourceType, found.resource_type), found.resource_name, _known(PatternType, pattern))


def _entry(found: Any) -> AclEntry:
    operation, permission = _known(AclOperation, found.operation), _known(AclPermission, found.permission_type)
    return AclEntry(found.principal, found.host, operation, permission)


def _known(kind: type[_Number], number: int) -> _Number:
    """A number that came later than this code is UNKNOWN, as in Java."""
    return kind(number) if number in {int(each) for each in kind} else kind(0)
