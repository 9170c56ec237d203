"""Who may do what, and how much of it: ACLs, users' credentials, quotas and delegation tokens, as they cross the seam.

A Kafka cluster enforces them. A data directory keeps and shows them, and leaves enforcing to the file system: who may
write its files may do everything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Final, NamedTuple, Protocol

from pykafka_store.errors import StoreError


class ResourceType(IntEnum):
    """What an ACL is about (Kafka's numbers)."""

    UNKNOWN = 0
    ANY = 1
    TOPIC = 2
    GROUP = 3
    CLUSTER = 4
    TRANSACTIONAL_ID = 5
    DELEGATION_TOKEN = 6
    USER = 7


class PatternType(IntEnum):
    """How an ACL's resource name is meant; ANY and MATCH are for filters only."""

    UNKNOWN = 0
    ANY = 1
    MATCH = 2
    LITERAL = 3
    PREFIXED = 4


class AclOperation(IntEnum):
    UNKNOWN = 0
    ANY = 1
    ALL = 2
    READ = 3
    WRITE = 4
    CREATE = 5
    DELETE = 6
    ALTER = 7
    DESCRIBE = 8
    CLUSTER_ACTION = 9
    DESCRIBE_CONFIGS = 10
    ALTER_CONFIGS = 11
    IDEMPOTENT_WRITE = 12
    CREATE_TOKENS = 13
    DESCRIBE_TOKENS = 14
    TWO_PHASE_COMMIT = 15


class AclPermission(IntEnum):
    UNKNOWN = 0
    ANY = 1
    DENY = 2
    ALLOW = 3


CLUSTER_NAME: Final = "kafka-cluster"
"""The name of the one resource of type CLUSTER."""
WILDCARD: Final = "*"
"""As a literal resource name: all of them. As a principal's name or a host, likewise."""


class ResourcePattern(NamedTuple):
    type: ResourceType
    name: str
    pattern: PatternType


class AclEntry(NamedTuple):
    principal: str
    """``User:alice``."""
    host: str
    operation: AclOperation
    permission: AclPermission


class Acl(NamedTuple):
    resource: ResourcePattern
    entry: AclEntry


class AclFilter(NamedTuple):
    """Which ACLs are meant; a name that is None stands for any, as the ANY of the others does."""

    type: ResourceType = ResourceType.ANY
    name: str | None = None
    pattern: PatternType = PatternType.ANY
    principal: str | None = None
    host: str | None = None
    operation: AclOperation = AclOperation.ANY
    permission: AclPermission = AclPermission.ANY

    def matches(self, acl: Acl) -> bool:
        """Source: ResourcePatternFilter#matches, AccessControlEntryFilter#matches."""
        entry = acl.entry
        return (
            self._matches_resource(acl.resource)
            and self.principal in {None, entry.principal}
            and self.host in {None, entry.host}
            and self.operation in {AclOperation.ANY, entry.operation}
            and self.permission in {AclPermission.ANY, entry.permission}
        )

    def _matches_resource(self, resource: ResourcePattern) -> bool:
        if self.type not in {ResourceType.ANY, resource.type}:
            return False
        if self.pattern not in {PatternType.ANY, PatternType.MATCH, resource.pattern}:
            return False
        if self.name is None:
            return True
        if self.pattern is not PatternType.MATCH:
            return self.name == resource.name
        if resource.pattern is PatternType.PREFIXED:
            return self.name.startswith(resource.name)
        return resource.name in {self.name, WILDCARD}


# -------------------------------------------------------------------------------------------------------------- quotas

USER: Final = "user"
CLIENT_ID: Final = "client-id"
IP: Final = "ip"
"""The types that make up a quota's entity, in the order in which they are told."""

QuotaEntity = tuple[tuple[str, str | None], ...]
"""Whose a quota is: (type, name) pairs, sorted by type, each type once. A name that is None is the default of all."""


class QuotaFilter(NamedTuple):
    """A part of the entities that are meant: those with this type, and with ``exact`` the one of this name."""

    type: str
    exact: bool
    name: str | None = None
    """None is the default."""


# ---------------------------------------------------------------------------------------------------- users and tokens


class ScramMechanism(IntEnum):
    UNKNOWN = 0
    SCRAM_SHA_256 = 1
    SCRAM_SHA_512 = 2

    @property
    def label(self) -> str:
        """As it is written: ``SCRAM-SHA-256``."""
        return self.name.replace("_", "-")


class ScramUpsertion(NamedTuple):
    """A credential that a user is to have. The password itself stays where it was typed."""

    user: str
    mechanism: ScramMechanism
    iterations: int
    salt: bytes
    salted_password: bytes
    """Hi(password, salt, iterations) of RFC 5802."""


class ScramDeletion(NamedTuple):
    user: str
    mechanism: ScramMechanism


class ScramCredential(NamedTuple):
    """What a server needs of a user to see whether a client has the password, and from which nobody gets that."""

    salt: bytes
    stored_key: bytes
    server_key: bytes
    iterations: int


class DelegationToken(NamedTuple):
    token_id: str
    hmac: bytes
    owner: str
    """Principals are spelled ``User:alice``."""
    requester: str
    renewers: tuple[str, ...]
    issued_ms: int
    expires_ms: int
    max_ms: int


class AccessAdmin(Protocol):
    """The part of :class:`pykafka_store.api.Admin` that is about access. All methods raise StoreError."""

    def describe_acls(self, wanted: AclFilter) -> list[Acl]:
        """The ACLs that the filter matches. Raises SecurityDisabledError where a cluster has no authorizer."""

    def create_acls(self, acls: Sequence[Acl]) -> list[StoreError | None]:
        """Add ACLs; one that is there already is fine. Each answer is None, or why not."""

    def delete_acls(self, filters: Sequence[AclFilter]) -> list[list[Acl] | StoreError]:
        """Remove what each of the filters matches; the answers are what was removed, or why nothing was."""

    def describe_client_quotas(
        self, filters: Sequence[QuotaFilter], *, strict: bool
    ) -> dict[QuotaEntity, dict[str, float]]:
        """The quotas of the entities that match all filters; with ``strict``, of no other type besides."""

    def alter_client_quotas(
        self, entity: QuotaEntity, changes: Mapping[str, float | None], *, validate_only: bool = False
    ) -> None:
        """Give an entity quotas, or with None take them away, all of it or nothing. Raises InvalidRequestError."""

    def describe_user_scram_credentials(
        self, users: Sequence[str] = ()
    ) -> dict[str, dict[ScramMechanism, int] | StoreError]:
        """Users, by default all who have a credential: mechanism -> iterations, or why not (ResourceNotFoundError,
        DuplicateResourceError).
        """

    def alter_user_scram_credentials(
        self, upsertions: Sequence[ScramUpsertion], deletions: Sequence[ScramDeletion] = ()
    ) -> dict[str, StoreError | None]:
        """Give users credentials and take some away; a user's answer is None, or why nothing of it was done
        (DuplicateResourceError, UnacceptableCredentialError, ResourceNotFoundError).
        """

    def configured_client_metrics(self) -> list[str]:
        """The subscriptions to clients' metrics that settings were made for, sorted."""

    def create_delegation_token(
        self, renewers: Sequence[str] = (), *, owner: str | None = None, max_lifetime_ms: int = -1
    ) -> DelegationToken:
        """A new token, of the asker's own where ``owner`` is None. Raises InvalidPrincipalTypeError; a cluster may
        refuse: DelegationTokenAuthDisabledError, DelegationTokenRequestNotAllowedError.
        """

    def renew_delegation_token(self, hmac: bytes, period_ms: int = -1) -> int:
        """When it will expire now. Raises DelegationTokenNotFoundError, DelegationTokenExpiredError."""

    def expire_delegation_token(self, hmac: bytes, period_ms: int = -1) -> int:
        """When it will expire; with a negative period it is gone at once. Raises as ``renew_delegation_token``."""

    def describe_delegation_tokens(self, owners: Sequence[str] | None = None) -> list[DelegationToken]:
        """The tokens that one of these owns, may renew or asked for; for None all that the asker may see."""
