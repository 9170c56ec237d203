"""Quotas of users, clients and addresses, and users' SCRAM credentials, of ``kafka-configs``.

Source: ConfigCommand of Kafka 4.3: alterQuotaConfigs, alterUserScramCredentialConfigs, describeQuotaConfigs. Checks,
texts and their order are that file's, and so is the order of Java's hash tables.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from pykafka_cli.commands.configs.entity import Entity
from pykafka_cli.env import Env
from pykafka_cli.errors import Refusal
from pykafka_cli.java.floats import double_text, parsed_double
from pykafka_cli.java.text import whole
from pykafka_cli.tool.unenforced import UNENFORCED
from pykafka_store.access import CLIENT_ID, IP, USER, QuotaEntity, QuotaFilter, ScramDeletion, ScramUpsertion
from pykafka_store.errors import InvalidRequestError, ResourceNotFoundError, StoreError
from pykafka_store.hashing import entity_hash, hash_order, string_hash

if TYPE_CHECKING:
    from pykafka_store.api import Admin

TYPES: Mapping[str, str] = {"users": USER, "clients": CLIENT_ID, "ips": IP}
"""The tool's names of entities' types -> those of quotas."""
QUOTAS = ("producer_byte_rate", "consumer_byte_rate", "request_percentage", "controller_mutation_rate")
_OF_IPS = ("connection_creation_rate",)
_SCRAM = ("SCRAM-SHA-256", "SCRAM-SHA-512")
_Key = TypeVar("_Key")
_TITLES = {USER: "user-principal", CLIENT_ID: "client-id", IP: "ip"}


# ------------------------------------------------------------------------------------------------------------ changing


def alter(
    admin: Admin, entity: Entity, changes: Mapping[str, str], deletions: Sequence[str], *, singly: bool = False
) -> str:
    """Change quotas or credentials; the answer is what a directory makes of them. ``singly``: a request for each
    credential, as two of one user's in a request are refused. Raises Refusal, StoreError.
    """
    _check(entity, changes, deletions)
    if entity.type == "ips" or any(key in QUOTAS for key in (*changes, *deletions)):
        _alter_quotas(admin, entity, changes, deletions)
        return f"Quotas {UNENFORCED}"
    assert entity.name is not None
    if singly:
        for key in (each for each in _SCRAM if each in changes):
            _alter_credentials(admin, entity.name, {key: changes[key]}, ())
        for key in deletions:
            _alter_credentials(admin, entity.name, {}, [key])
    else:
        _alter_credentials(admin, entity.name, changes, deletions)
    return "Credentials count at a SASL listener of pykafka serve alone"


def _check(entity: Entity, changes: Mapping[str, str], deletions: Sequence[str]) -> None:
    """Raises Refusal."""
    added = hash_order(changes, string_hash)
    if entity.type == "ips":
        unknown = [key for key in dict.fromkeys((*added, *deletions)) if key not in _OF_IPS]
        if unknown:
            raise Refusal(
                "Only connection quota configs can be added for 'ips' using --bootstrap-server. Unexpected config "
                f"names: {','.join(unknown)}"
            )
        return
    of_clients = "clients" in entity.types
    who, what = ("clients", "quota") if of_clients else ("users", "quota and SCRAM credential")
    for deed, keys, form in (("added", added, "Set"), ("deleted", deletions, "ArrayBuffer")):
        unknown = [key for key in keys if key not in (*QUOTAS, *_SCRAM)]
        if of_clients:
            unknown += [key for key in keys if key in _SCRAM]
        if unknown:
            raise Refusal(
                f"Only {what} configs can be {deed} for '{who}' using --bootstrap-server. Unexpected config names: "
                f"{form}({', '.join(unknown)})"
            )
    every = {*changes, *deletions}
    if not every.isdisjoint(_SCRAM):
        if "" in entity.names:
            raise Refusal(
                "The use of --entity-default or --user-defaults is not allowed with User SCRAM Credentials using "
                "--bootstrap-server."
            )
        if not every.isdisjoint(QUOTAS):
            raise Refusal(
                "Cannot alter both quota and SCRAM credential configs simultaneously for 'users' using "
                "--bootstrap-server."
            )


def _alter_quotas(admin: Admin, entity: Entity, changes: Mapping[str, str], deletions: Sequence[str]) -> None:
    there = next(iter(admin.describe_client_quotas(_filters(entity), strict=True).values()), {})
    missing = [key for key in deletions if key not in there]
    if missing:
        raise Refusal(f"Invalid config(s): {','.join(missing)}")
    wanted: dict[str, float | None] = {}
    for key, text in changes.items():
        wanted[key] = parsed_double(text)
        if wanted[key] is None:
            raise Refusal(f"Cannot parse quota configuration value for {key}: {text}")
    named = {TYPES[kind]: name or None for kind, name in zip(entity.types, entity.names, strict=True)}
    if not wanted.keys().isdisjoint(deletions):
        order = hash_order(named, string_hash)
        entries = ", ".join(f"{kind}={'null' if named[kind] is None else named[kind]}" for kind in order)
        raise InvalidRequestError(f"Ignoring duplicate entity ClientQuotaEntity(entries={{{entries}}})")
    admin.alter_client_quotas(tuple(sorted(named.items())), wanted | dict.fromkeys(deletions))


def _alter_credentials(admin: Admin, user: str, changes: Mapping[str, str], deletions: Sequence[str]) -> None:
    from pykafka_store import scram

    asked = [(scram.MECHANISMS[key], *_iterations_and_password(key, changes[key])) for key in _SCRAM if key in changes]
    upsertions: list[ScramUpsertion] = [
        scram.upsertion(user, mechanism, password, iterations) for mechanism, iterations, password in asked
    ]
    gone = [ScramDeletion(user, scram.MECHANISMS[key]) for key in deletions]
    for problem in admin.alter_user_scram_credentials(upsertions, gone).values():
        if problem is not None:
            raise problem


def _iterations_and_password(mechanism: str, text: str) -> tuple[int, str]:
    """Raises Refusal, which does not repeat the text, as it may have a password."""
    parts = re.fullmatch(r"(?:iterations=(-?[0-9]*),)?password=(.*)", text)
    if parts is None:
        raise Refusal(f"Invalid credential property {mechanism.replace('-', '_')}=(hidden)")
    iterations = 4096 if parts[1] in {None, "-1"} else whole(parts[1])
    if iterations < 4096:
        raise Refusal(f"Iterations {iterations} is less than the minimum 4096 required for {mechanism}")
    return iterations, parts[2]


# ---------------------------------------------------------------------------------------------------------- describing


def describe(env: Env, admin: Admin, entity: Entity) -> None:
    found = admin.describe_client_quotas(_filters(entity), strict=True)
    for each in _as_shown(found, lambda each: entity_hash(dict(each))):
        values = found[each]
        shown = [f"{key}={double_text(values[key])}" for key in _as_shown(values, string_hash)]
        env.out(f"Quota configs for {_titled(each)} are {', '.join(shown)}")
    if entity.types == ("users",) and "" not in entity.names:
        _describe_credentials(env, admin, entity.names)


def _as_shown(found: Mapping[_Key, object], hash_of: Callable[[_Key], int]) -> list[_Key]:
    """The order of the client's table, which was filled in the order of the broker's."""
    return hash_order(hash_order(found, hash_of), hash_of, len(found))


def _describe_credentials(env: Env, admin: Admin, users: Sequence[str]) -> None:
    found = admin.describe_user_scram_credentials(users)
    for user in hash_order(found, string_hash):
        credentials = found[user]
        if isinstance(credentials, ResourceNotFoundError):
            continue
        if isinstance(credentials, StoreError):
            env.out(
                f"Error retrieving SCRAM credential configs for user-principal '{user}': {credentials.kafka_name}: "
                f"{credentials}"
            )
            continue
        shown = [f"{mechanism.label}=iterations={count}" for mechanism, count in credentials.items()]
        env.out(f"SCRAM credential configs for user-principal '{user}' are {', '.join(shown)}")


def _filters(entity: Entity) -> list[QuotaFilter]:
    """Of types without a name all entities are meant, of an empty name the default."""
    names: Iterable[str | None] = [*entity.names, *[None] * (len(entity.types) - len(entity.names))]
    return [
        QuotaFilter(TYPES[kind], name is not None, name or None) for kind, name in zip(entity.types, names, strict=True)
    ]


def _titled(entity: QuotaEntity) -> str:
    named = dict(entity)
    return ", ".join(
        f"the default {title}" if named[kind] is None else f"{title} '{named[kind]}'"
        for kind, title in _TITLES.items()
        if kind in named
    )
