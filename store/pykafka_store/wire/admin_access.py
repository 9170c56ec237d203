"""DescribeAcls, CreateAcls, DeleteAcls, DescribeClientQuotas, AlterClientQuotas, DescribeUserScramCredentials,
AlterUserScramCredentials. What they say is kept, and enforced by nobody.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Any, TypeVar

from pykafka_store.access import (
    Acl,
    AclEntry,
    AclFilter,
    AclOperation,
    AclPermission,
    PatternType,
    QuotaFilter,
    ResourcePattern,
    ResourceType,
    ScramDeletion,
    ScramMechanism,
    ScramUpsertion,
)
from pykafka_store.errors import InvalidRequestError, StoreError
from pykafka_store.hashing import entity_hash, hash_order, string_hash
from pykafka_store.wire.broker import Broker, code_of
from pykafka_store.wire.protocol import Reply, Request

_EXACT, _DEFAULT, _ANY = range(3)
"""Source: DescribeClientQuotasRequest.MatchType."""
_Number = TypeVar("_Number", bound=IntEnum)


class AccessApi:
    """Answers what the module says."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._told: set[str] = set()

    def _tell(self, what: str) -> None:
        """Tell whoever runs the server, once, that what was just changed is not enforced."""
        if what not in self._told:
            self._told.add(what)
            self._broker.on_notice(f"{what} are kept and shown, not enforced: see SECURITY.md")

    # ----------------------------------------------------------------------------------------------------------- ACLs

    def describe_acls(self, request: Request) -> Reply:
        """Those that a filter matches, by resource."""
        try:
            found = self._broker.admin.describe_acls(_filter(request.body))
        except StoreError as error:
            return Reply(error_code=code_of(error), error_message=str(error), resources=[])
        by_resource: dict[ResourcePattern, list[AclEntry]] = {}
        for acl in found:
            by_resource.setdefault(acl.resource, []).append(acl.entry)
        return Reply(
            resources=[
                Reply(**_resource_fields(resource), acls=[Reply(**_entry_fields(entry)) for entry in entries])
                for resource, entries in by_resource.items()
            ]
        )

    def create_acls(self, request: Request) -> Reply:
        """Each of them, as far as it can be."""
        asked = [
            Acl(
                ResourcePattern(
                    _number(ResourceType, each.resource_type),
                    each.resource_name,
                    _number(PatternType, each.resource_pattern_type),
                ),
                AclEntry(
                    each.principal,
                    each.host,
                    _number(AclOperation, each.operation),
                    _number(AclPermission, each.permission_type),
                ),
            )
            for each in request.body.creations
        ]
        try:
            answers: Sequence[StoreError | None] = self._broker.admin.create_acls(asked)
        except StoreError as error:
            answers = [error] * len(asked)
        if None in answers:
            self._tell("ACLs")
        return Reply(results=[Reply(**_outcome(error)) for error in answers])

    def delete_acls(self, request: Request) -> Reply:
        """Those that each filter matches."""
        filters = [_filter(each) for each in request.body.filters]
        try:
            answers: Sequence[list[Acl] | StoreError] = self._broker.admin.delete_acls(filters)
        except StoreError as error:
            answers = [error] * len(filters)
        return Reply(
            filter_results=[
                Reply(**_outcome(answer), matching_acls=[])
                if isinstance(answer, StoreError)
                else Reply(
                    matching_acls=[
                        Reply(**_resource_fields(acl.resource), **_entry_fields(acl.entry)) for acl in answer
                    ]
                )
                for answer in answers
            ]
        )

    # --------------------------------------------------------------------------------------------------------- quotas

    def describe_client_quotas(self, request: Request) -> Reply:
        """Of the entities that all components match."""
        try:
            filters = [_quota_filter(each) for each in request.body.components]
            found = self._broker.admin.describe_client_quotas(filters, strict=request.body.strict)
        except StoreError as error:
            return Reply(error_code=code_of(error), error_message=str(error), entries=None)
        return Reply(
            entries=[
                Reply(
                    entity=[Reply(entity_type=kind, entity_name=name) for kind, name in entity],
                    values=[Reply(key=key, value=found[entity][key]) for key in _in_tables(found[entity])],
                )
                for entity in hash_order(found, lambda each: entity_hash(dict(each)))
            ]
        )

    def alter_client_quotas(self, request: Request) -> Reply:
        """An entity each, all of its changes or none."""
        return Reply(
            entries=[self._altered(each, only_check=request.body.validate_only) for each in request.body.entries]
        )

    def _altered(self, asked: Any, *, only_check: bool) -> Reply:
        named = {each.entity_type: each.entity_name for each in asked.entity}
        problem: StoreError | None = None
        try:
            changes = {each.key: None if each.remove else each.value for each in asked.ops}
            if len(changes) != len(asked.ops):
                entries = ", ".join(f"{kind}={'null' if name is None else name}" for kind, name in named.items())
                raise InvalidRequestError(f"Ignoring duplicate entity ClientQuotaEntity(entries={{{entries}}})")
            self._broker.admin.alter_client_quotas(tuple(sorted(named.items())), changes, validate_only=only_check)
            if not only_check:
                self._tell("Quotas")
        except StoreError as error:
            problem = error
        # In the order of a broker's map: "client-id" before "user".
        entity = [Reply(entity_type=kind, entity_name=name) for kind, name in sorted(named.items())]
        return Reply(**_outcome(problem), entity=entity)

    # ---------------------------------------------------------------------------------------------------------- users

    def describe_user_scram_credentials(self, request: Request) -> Reply:
        """How many iterations each user's credentials have; of all users where none is named."""
        users = [each.name for each in request.body.users or ()]
        try:
            found = self._broker.admin.describe_user_scram_credentials(users)
        except StoreError as error:
            return Reply(error_code=code_of(error), error_message=str(error), results=[])
        return Reply(
            results=[
                Reply(**_outcome(answer), user=user, credential_infos=[])
                if isinstance(answer, StoreError)
                else Reply(
                    user=user,
                    credential_infos=[
                        Reply(mechanism=mechanism.value, iterations=count) for mechanism, count in answer.items()
                    ],
                )
                for user, answer in found.items()
            ]
        )

    def alter_user_scram_credentials(self, request: Request) -> Reply:
        """A user each."""
        body = request.body
        upsertions = [
            ScramUpsertion(
                each.name, _number(ScramMechanism, each.mechanism), each.iterations, each.salt, each.salted_password
            )
            for each in body.upsertions
        ]
        deletions = [ScramDeletion(each.name, _number(ScramMechanism, each.mechanism)) for each in body.deletions]
        try:
            answers = self._broker.admin.alter_user_scram_credentials(upsertions, deletions)
        except StoreError as error:
            users = [*(each.user for each in deletions), *(each.user for each in upsertions)]
            answers = dict.fromkeys(users, error)
        return Reply(results=[Reply(**_outcome(error), user=user) for user, error in answers.items()])


def _number(kind: type[_Number], number: int) -> _Number:
    """One of Kafka's enumerations; 0 is UNKNOWN in all of them."""
    try:
        return kind(number)
    except ValueError:
        return kind(0)


def _outcome(error: StoreError | None) -> dict[str, Any]:
    if error is None:
        return {"error_code": 0, "error_message": None}
    return {"error_code": code_of(error), "error_message": str(error)}


def _filter(asked: Any) -> AclFilter:
    return AclFilter(
        _number(ResourceType, asked.resource_type_filter),
        asked.resource_name_filter,
        _number(PatternType, asked.pattern_type_filter),
        asked.principal_filter,
        asked.host_filter,
        _number(AclOperation, asked.operation),
        _number(AclPermission, asked.permission_type),
    )


def _resource_fields(resource: ResourcePattern) -> dict[str, Any]:
    return {
        "resource_type": resource.type.value,
        "resource_name": resource.name,
        "pattern_type": resource.pattern.value,
    }


def _entry_fields(entry: AclEntry) -> dict[str, Any]:
    return {
        "principal": entry.principal,
        "host": entry.host,
        "operation": entry.operation.value,
        "permission_type": entry.permission.value,
    }


def _in_tables(values: Mapping[str, float]) -> list[str]:
    """A broker's order: that of ClientQuotaImage's table, which was filled from that of the changes."""
    return hash_order(hash_order(values, string_hash), string_hash, len(values))


def _quota_filter(asked: Any) -> QuotaFilter:
    """Source: ClientQuotasImage#describe. Raises InvalidRequestError."""
    match asked.match_type:
        case kind if kind == _EXACT and asked.match is not None:
            return QuotaFilter(asked.entity_type, exact=True, name=asked.match)
        case kind if kind == _EXACT:
            raise InvalidRequestError("Request specified MATCH_TYPE_EXACT, but set match string to null.")
        case kind if kind in {_DEFAULT, _ANY} and asked.match is not None:
            name = "DEFAULT" if kind == _DEFAULT else "SPECIFIED"
            raise InvalidRequestError(f"Request specified MATCH_TYPE_{name}, but also specified a match string.")
        case kind if kind in {_DEFAULT, _ANY}:
            return QuotaFilter(asked.entity_type, exact=kind == _DEFAULT)
        case kind:
            raise InvalidRequestError(f"Unknown match type {kind}")
