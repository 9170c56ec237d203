"""ACLs, quotas, users and tokens of a data directory, as the seam answers for them."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterator
from pathlib import Path

import pytest

from pykafka_store import scram
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
)
from pykafka_store.embedded.clock import Clock
from pykafka_store.embedded.cluster import EmbeddedCluster
from pykafka_store.errors import (
    DelegationTokenExpiredError,
    DelegationTokenNotFoundError,
    DuplicateResourceError,
    InvalidPrincipalTypeError,
    InvalidRequestError,
    ResourceNotFoundError,
    StorageError,
    StoreError,
    UnacceptableCredentialError,
)

DAY = 24 * 3600 * 1000


class SetClock(Clock):
    now = 1_000_000_000_000

    def now_ms(self) -> int:
        return self.now


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[EmbeddedCluster]:
    with EmbeddedCluster(str(tmp_path / "data"), clock=SetClock()) as opened:
        yield opened


def acl(
    name: str,
    pattern: PatternType = PatternType.LITERAL,
    principal: str = "User:a",
    kind: ResourceType = ResourceType.TOPIC,
) -> Acl:
    return Acl(ResourcePattern(kind, name, pattern), AclEntry(principal, "*", AclOperation.READ, AclPermission.ALLOW))


def text(error: object) -> str:
    assert isinstance(error, StoreError)
    return f"{type(error).__name__}: {error}"


# ---------------------------------------------------------------------------------------------------------------- ACLs


def test_acls_are_kept_once_and_found_again(cluster: EmbeddedCluster, tmp_path: Path) -> None:
    admin = cluster.admin()
    assert admin.describe_acls(AclFilter()) == []
    wanted = [acl("b"), acl("a"), acl("b"), acl("ü,\"'\n")]
    assert admin.create_acls(wanted) == [None] * 4
    with EmbeddedCluster(str(tmp_path / "data"), read_only=True) as another:
        assert another.admin().describe_acls(AclFilter()) == sorted({*wanted})
        with pytest.raises(StorageError):
            another.admin().create_acls(wanted)
        with pytest.raises(StorageError):
            another.admin().delete_acls([AclFilter()])


def test_one_acl_that_can_not_be_does_not_stop_the_others(cluster: EmbeddedCluster) -> None:
    admin = cluster.admin()
    answers = admin.create_acls(
        [
            acl(""),
            acl("fine"),
            acl("x", PatternType.MATCH),
            acl("x", kind=ResourceType.ANY),
            acl("x")._replace(entry=AclEntry("User:a", "*", AclOperation.ANY, AclPermission.ALLOW)),
            acl("x")._replace(entry=AclEntry("User:a", "*", AclOperation.READ, AclPermission.ANY)),
        ]
    )
    assert [answer and text(answer) for answer in answers] == [
        "InvalidRequestError: Invalid empty resource name",
        None,
        "InvalidRequestError: Invalid patternType MATCH",
        "InvalidRequestError: Invalid resourceType ANY",
        "InvalidRequestError: Invalid operation ANY",
        "InvalidRequestError: Invalid permissionType ANY",
    ]
    assert admin.describe_acls(AclFilter()) == [acl("fine")]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (AclFilter(), "abc abcd abc* * g"),
        (AclFilter(ResourceType.GROUP), "g"),
        (AclFilter(ResourceType.TOPIC, "abc"), "abc abc*"),
        (AclFilter(ResourceType.TOPIC, "abc", PatternType.LITERAL), "abc"),
        (AclFilter(ResourceType.TOPIC, "abc", PatternType.PREFIXED), "abc*"),
        (AclFilter(ResourceType.TOPIC, "abcd", PatternType.MATCH), "abcd abc* *"),
        (AclFilter(ResourceType.TOPIC, "ab", PatternType.MATCH), "*"),
        (AclFilter(name="*"), "*"),
        (AclFilter(principal="User:b"), "g"),
        (AclFilter(host="here"), ""),
        (AclFilter(operation=AclOperation.WRITE), ""),
        (AclFilter(permission=AclPermission.DENY), ""),
    ],
)
def test_a_filter_describes_and_deletes_the_same(cluster: EmbeddedCluster, wanted: AclFilter, found: str) -> None:
    admin = cluster.admin()
    there = {
        "abc": acl("abc"),
        "abcd": acl("abcd"),
        "abc*": acl("abc", PatternType.PREFIXED),
        "*": acl("*"),
        "g": acl("g", principal="User:b", kind=ResourceType.GROUP),
    }
    admin.create_acls(list(there.values()))
    expected = sorted(there[name] for name in found.split())
    assert admin.describe_acls(wanted) == expected
    assert admin.delete_acls([wanted]) == [expected]
    assert admin.describe_acls(AclFilter()) == sorted(set(there.values()) - set(expected))


def test_an_unknown_filter_is_refused_and_the_others_delete(cluster: EmbeddedCluster) -> None:
    admin = cluster.admin()
    admin.create_acls([acl("a"), acl("b")])
    one, other, both = admin.delete_acls(
        [AclFilter(ResourceType.UNKNOWN), AclFilter(name="a"), AclFilter(operation=AclOperation.UNKNOWN)]
    )
    assert text(one) == "InvalidRequestError: Unknown patternFilter."
    assert other == [acl("a")]
    assert text(both) == "InvalidRequestError: Unknown entryFilter."
    with pytest.raises(InvalidRequestError):
        admin.describe_acls(AclFilter(permission=AclPermission.UNKNOWN))
    assert admin.describe_acls(AclFilter()) == [acl("b")]


# -------------------------------------------------------------------------------------------------------------- quotas


def test_quotas_are_found_by_what_their_entity_is_made_of(cluster: EmbeddedCluster) -> None:
    admin = cluster.admin()
    both = (("client-id", "c"), ("user", None))
    admin.alter_client_quotas((("user", "u"),), {"producer_byte_rate": 1024.0, "request_percentage": 0.1})
    admin.alter_client_quotas(both, {"consumer_byte_rate": 1.0})
    admin.alter_client_quotas((("ip", None),), {"connection_creation_rate": 5.0})
    every = {
        (("user", "u"),): {"producer_byte_rate": 1024.0, "request_percentage": 0.1},
        both: {"consumer_byte_rate": 1.0},
        (("ip", None),): {"connection_creation_rate": 5.0},
    }
    assert admin.describe_client_quotas([], strict=False) == every
    assert admin.describe_client_quotas([], strict=True) == {}
    users = [QuotaFilter("user", exact=False)]
    assert set(admin.describe_client_quotas(users, strict=False)) == {(("user", "u"),), both}
    assert set(admin.describe_client_quotas(users, strict=True)) == {(("user", "u"),)}
    assert set(admin.describe_client_quotas([QuotaFilter("user", exact=True)], strict=False)) == {both}
    assert admin.describe_client_quotas([QuotaFilter("user", exact=True, name="v")], strict=False) == {}
    admin.alter_client_quotas(both, {"consumer_byte_rate": None, "producer_byte_rate": None})
    assert set(admin.describe_client_quotas([], strict=False)) == set(every) - {both}


def test_validating_alone_changes_nothing(cluster: EmbeddedCluster) -> None:
    cluster.admin().alter_client_quotas((("user", "u"),), {"producer_byte_rate": 1.0}, validate_only=True)
    assert cluster.admin().describe_client_quotas([], strict=False) == {}


@pytest.mark.parametrize(
    ("entity", "changes", "message"),
    [
        ((), {}, "Invalid empty client quota entity"),
        ((("user", ""),), {}, "Empty user not supported"),
        ((("shoe", "9"),), {}, "Unhandled client quota entity type: shoe"),
        ((("user", "a"),), {"shoe": 1.0}, "Invalid configuration key shoe"),
        ((("user", "a"),), {"connection_creation_rate": 1.0}, "Invalid configuration key connection_creation_rate"),
        ((("user", "a"),), {"producer_byte_rate": 0.0}, "Quota producer_byte_rate must be greater than 0"),
        ((("user", "a"),), {"producer_byte_rate": 0.5}, "producer_byte_rate cannot be a fractional value."),
        (
            (("user", "a"),),
            {"producer_byte_rate": 1e30},
            "Proposed value for producer_byte_rate is too large for a LONG.",
        ),
        (
            (("ip", None),),
            {"connection_creation_rate": 2.0**31},
            "Proposed value for connection_creation_rate is too large for an INT.",
        ),
        ((("ip", "nobody.invalid"),), {}, "nobody.invalid is not a valid IP or resolvable host."),
    ],
)
def test_a_quota_that_can_not_be(
    cluster: EmbeddedCluster, entity: tuple[tuple[str, str | None], ...], changes: dict[str, float | None], message: str
) -> None:
    admin = cluster.admin()
    with pytest.raises(InvalidRequestError) as caught:
        admin.alter_client_quotas(entity, {"request_percentage": 1.0, **changes} if changes else changes)
    assert str(caught.value) == message
    assert admin.describe_client_quotas([], strict=False) == {}


# --------------------------------------------------------------------------------------------------------- credentials


def test_of_a_password_only_what_checks_it_is_kept(cluster: EmbeddedCluster, tmp_path: Path) -> None:
    admin = cluster.admin()
    wanted = scram.upsertion("alice", ScramMechanism.SCRAM_SHA_256, "alice-secret", 4096)
    assert admin.alter_user_scram_credentials([wanted]) == {"alice": None}
    assert admin.describe_user_scram_credentials() == {"alice": {ScramMechanism.SCRAM_SHA_256: 4096}}
    (kept,) = admin.scram_credentials("alice").values()
    salted = hashlib.pbkdf2_hmac("sha256", b"alice-secret", kept.salt, 4096)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    assert kept.stored_key == hashlib.sha256(client_key).digest()
    assert kept.server_key == hmac.digest(salted, b"Server Key", "sha256")
    assert admin.scram_credentials("bob") == {}
    files = [path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file()]
    for secret in (b"alice-secret", salted, client_key):
        assert not any(secret in content or base64.b64encode(secret) in content for content in files)


def test_rfc_5802_and_7677_would_let_it_in() -> None:
    """The examples of RFC 7677: user `user`, password `pencil`."""
    salt = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
    salted = scram.salted(ScramMechanism.SCRAM_SHA_256, b"pencil", salt, 4096)
    server_key = scram.keyed_digest(ScramMechanism.SCRAM_SHA_256, salted, b"Server Key")
    exchange = (
        b"n=user,r=rOprNGfwEbeRWgbNEkqO,"
        b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,"
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    )
    signature = scram.keyed_digest(ScramMechanism.SCRAM_SHA_256, server_key, exchange)
    assert base64.b64encode(signature) == b"6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


def test_credentials_that_can_not_be(cluster: EmbeddedCluster) -> None:
    admin = cluster.admin()
    sha256, sha512 = ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512
    for user, password, message in (("", "x", "Username must not be empty"), ("a", "", "Password must not be empty")):
        with pytest.raises(UnacceptableCredentialError, match=message):
            scram.upsertion(user, sha256, password, 4096)
    twice = [scram.upsertion("twice", each, "x", 4096) for each in (sha256, sha512)]
    few = scram.upsertion("few", sha256, "x", 4096)._replace(iterations=4095)
    many = scram.upsertion("many", sha256, "x", 16385)
    nothing = few._replace(user="unknown", mechanism=ScramMechanism.UNKNOWN)
    answers = admin.alter_user_scram_credentials([*twice, few, many, nothing], [ScramDeletion("gone", sha256)])
    assert {user: error and text(error) for user, error in answers.items()} == {
        "twice": "DuplicateResourceError: A user credential cannot be altered twice in the same request",
        "few": "UnacceptableCredentialError: Too few iterations",
        "many": "UnacceptableCredentialError: Too many iterations",
        "unknown": "UnsupportedSaslMechanismError: Unknown SCRAM mechanism",
        "gone": "ResourceNotFoundError: Attempt to delete a user credential that does not exist",
    }
    assert admin.describe_user_scram_credentials() == {}
    found = admin.describe_user_scram_credentials(["a", "b", "b"])
    assert isinstance(found["a"], ResourceNotFoundError)
    assert isinstance(found["b"], DuplicateResourceError)


def test_a_credential_is_taken_away_alone(cluster: EmbeddedCluster) -> None:
    admin = cluster.admin()
    for mechanism in (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512):
        admin.alter_user_scram_credentials([scram.upsertion("a", mechanism, "x", 5000)])
    assert admin.alter_user_scram_credentials([], [ScramDeletion("a", ScramMechanism.SCRAM_SHA_256)]) == {"a": None}
    assert admin.describe_user_scram_credentials(["a"]) == {"a": {ScramMechanism.SCRAM_SHA_512: 5000}}


# -------------------------------------------------------------------------------------------------------------- tokens


def test_a_token_is_renewed_and_expires(cluster: EmbeddedCluster) -> None:
    admin, clock = cluster.admin(), cluster.engine.clock
    assert isinstance(clock, SetClock)
    token = admin.create_delegation_token(["User:r"], owner="User:o", max_lifetime_ms=2 * DAY)
    begun = clock.now
    assert (token.owner, token.requester, token.renewers) == ("User:o", "User:ANONYMOUS", ("User:r",))
    assert (token.issued_ms, token.expires_ms, token.max_ms) == (begun, begun + DAY, begun + 2 * DAY)
    assert admin.describe_delegation_tokens() == [token]
    assert admin.describe_delegation_tokens(["User:o"]) == [token]
    assert admin.describe_delegation_tokens(["User:r"]) == [token]
    assert admin.describe_delegation_tokens(["User:x"]) == admin.describe_delegation_tokens([]) == []
    assert admin.renew_delegation_token(token.hmac, 5 * DAY) == begun + DAY
    clock.now += DAY
    assert admin.renew_delegation_token(token.hmac) == begun + 2 * DAY
    assert admin.expire_delegation_token(token.hmac, 10) == clock.now + 10
    clock.now += 11
    assert admin.describe_delegation_tokens() == []
    with pytest.raises(DelegationTokenExpiredError):
        admin.renew_delegation_token(token.hmac)
    assert admin.expire_delegation_token(token.hmac, -1) == clock.now
    with pytest.raises(DelegationTokenNotFoundError):
        admin.expire_delegation_token(token.hmac, -1)


def test_a_new_token_has_the_expired_ones_forgotten(cluster: EmbeddedCluster) -> None:
    admin, clock = cluster.admin(), cluster.engine.clock
    assert isinstance(clock, SetClock)
    admin.create_delegation_token()
    clock.now += DAY + 1
    kept = admin.create_delegation_token(max_lifetime_ms=100 * DAY)
    assert kept.max_ms == clock.now + 7 * DAY
    assert list(cluster.engine.catalog.configs("token")) == [kept.token_id]


def test_a_renewer_is_a_user(cluster: EmbeddedCluster) -> None:
    with pytest.raises(InvalidPrincipalTypeError):
        cluster.admin().create_delegation_token(["Group:g"])
