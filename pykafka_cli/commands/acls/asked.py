"""Which ACLs the options of ``kafka-acls`` mean: resources, and the entries that they are to have or to lose.

Source: org.apache.kafka.tools.AclCommand of Kafka 4.3. Checks, texts and their order are that file's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pykafka_cli.errors import Refusal, UsageProblem
from pykafka_cli.tool.frame import not_with
from pykafka_cli.tool.options import Options
from pykafka_store.access import (
    CLUSTER_NAME,
    WILDCARD,
    AclEntry,
    AclOperation,
    AclPermission,
    PatternType,
    ResourcePattern,
    ResourceType,
)

ACTIONS = ("list", "add", "remove")
RESOURCES = {
    "topic": ResourceType.TOPIC,
    "group": ResourceType.GROUP,
    "transactional-id": ResourceType.TRANSACTIONAL_ID,
    "delegation-token": ResourceType.DELEGATION_TOKEN,
    "user-principal": ResourceType.USER,
}
"""The options that name resources; ``--cluster`` is one of its own."""
_CLUSTER = ResourcePattern(ResourceType.CLUSTER, CLUSTER_NAME, PatternType.LITERAL)

_OPERATIONS = {each.name.replace("_", "").lower(): each for each in AclOperation}
_SUPPORTED = {
    ResourceType.TOPIC: "READ WRITE CREATE DESCRIBE DELETE ALTER DESCRIBE_CONFIGS ALTER_CONFIGS",
    ResourceType.GROUP: "READ DESCRIBE DELETE DESCRIBE_CONFIGS ALTER_CONFIGS",
    ResourceType.CLUSTER: "CREATE CLUSTER_ACTION DESCRIBE_CONFIGS ALTER_CONFIGS IDEMPOTENT_WRITE ALTER DESCRIBE",
    ResourceType.TRANSACTIONAL_ID: "DESCRIBE WRITE TWO_PHASE_COMMIT",
    ResourceType.DELEGATION_TOKEN: "DESCRIBE",
    ResourceType.USER: "CREATE_TOKENS DESCRIBE_TOKENS",
}
"""Source: AclEntry#supportedOperations."""

Asked = Mapping[ResourcePattern, frozenset[AclEntry]]
"""Resources, sorted, and their entries; their patterns are those of a filter where ACLs are removed."""


def check_options(options: Options) -> None:
    """Source: AclCommandOptions#checkArgs. Raises UsageProblem."""
    if options.has("bootstrap-server") and options.has("bootstrap-controller"):
        raise UsageProblem("Only one of --bootstrap-server or --bootstrap-controller must be specified")
    if sum(map(options.has, ACTIONS)) != 1:
        raise UsageProblem("Command must include exactly one action: --list, --add, --remove. ")
    not_with(options, "list", "producer", "consumer", "allow-host", "allow-principal", "deny-host", "deny-principal")
    for role in ("producer", "consumer"):
        not_with(options, role, "operation", "deny-principal", "deny-host")
    has = options.has
    if has("principal") and not has("list"):
        raise UsageProblem("The --principal option is only available if --list is set")
    if has("producer") and not has("topic"):
        raise UsageProblem("With --producer you must specify a --topic")
    if has("idempotent") and not has("producer"):
        raise UsageProblem("The --idempotent option is only available if --producer is set")
    of_producers = has("cluster") or has("transactional-id")
    if has("consumer") and not (has("topic") and has("group") and (has("producer") or not of_producers)):
        raise UsageProblem(
            "With --consumer you must specify a --topic and a --group and no --cluster or --transactional-id option "
            "should be specified."
        )


def pattern_type(options: Options) -> PatternType:
    """Raises Refusal."""
    text = options.text("resource-pattern-type")
    found = PatternType.__members__.get(text.upper(), PatternType.UNKNOWN)
    if found is PatternType.UNKNOWN:
        raise Refusal(f"Cannot parse argument '{text}' of option resource-pattern-type")
    return found


def principals(options: Options, option: str) -> list[str]:
    """Sorted. Raises Refusal for one that is no ``Type:name``."""
    found = sorted({text.strip() for text in options.texts(option)})
    for principal in found:
        if ":" not in principal:
            raise Refusal(f"expected a string in format principalType:principalName but got {principal}")
    return found


def resources(options: Options) -> list[ResourcePattern]:
    """The resources that the options name, sorted; their pattern may be a filter's."""
    pattern = pattern_type(options)
    found = {
        ResourcePattern(kind, name if option == "transactional-id" else name.strip(), pattern)
        for option, kind in RESOURCES.items()
        for name in options.texts(option)
    }
    if pattern is PatternType.LITERAL and (options.has("cluster") or options.has("idempotent")):
        found.add(_CLUSTER)
    return sorted(found)


def asked(options: Options) -> Asked:
    """What is to be added or removed. Raises UsageProblem, Refusal."""
    found: dict[ResourcePattern, frozenset[AclEntry]] = {}
    producer, consumer = options.has("producer"), options.has("consumer")
    if not producer and not consumer:
        operations = [_operation(text) for text in options.texts("operation")] or [AclOperation.ALL]
        entries = _entries(options, operations)
        found = dict.fromkeys(_named(options), entries)
    if producer:
        writing = {
            ResourceType.TOPIC: _entries(options, [AclOperation.WRITE, AclOperation.DESCRIBE, AclOperation.CREATE]),
            ResourceType.TRANSACTIONAL_ID: _entries(options, [AclOperation.WRITE, AclOperation.DESCRIBE]),
        }
        found |= {each: writing[each.type] for each in _named(options) if each.type in writing}
        if options.has("idempotent"):
            found[_CLUSTER] = _entries(options, [AclOperation.IDEMPOTENT_WRITE])
    if consumer:
        reading = {
            ResourceType.TOPIC: _entries(options, [AclOperation.READ, AclOperation.DESCRIBE]),
            ResourceType.GROUP: _entries(options, [AclOperation.READ]),
        }
        for each in _named(options):
            if each.type in reading:
                found[each] = found.get(each, frozenset()) | reading[each.type]
    _check_operations(found)
    return dict(sorted(found.items()))


def to_add(options: Options) -> Asked:
    """``asked``, where nothing may be left open. Raises UsageProblem, Refusal."""
    pattern = pattern_type(options)
    if pattern not in {PatternType.LITERAL, PatternType.PREFIXED}:
        raise UsageProblem(f"A '--resource-pattern-type' value of '{pattern.name}' is not valid when adding acls.")
    found = asked(options)
    if not all(found.values()):
        raise UsageProblem("You must specify one of: --allow-principal, --deny-principal when trying to add ACLs.")
    return found


def _named(options: Options) -> list[ResourcePattern]:
    found = resources(options)
    if not found:
        raise UsageProblem(
            "You must provide at least one resource: --topic <topic> or --cluster or --group <group> or "
            "--delegation-token <Delegation Token ID>"
        )
    return found


def _operation(text: str) -> AclOperation:
    """Source: SecurityUtils#operation."""
    return _OPERATIONS.get(text.strip().lower(), AclOperation.UNKNOWN)


def _entries(options: Options, operations: Iterable[AclOperation]) -> frozenset[AclEntry]:
    """Raises Refusal."""
    found = frozenset(
        AclEntry(principal, host, operation, permission)
        for kind, permission in (("allow", AclPermission.ALLOW), ("deny", AclPermission.DENY))
        for principal in principals(options, f"{kind}-principal")
        for host in [text.strip() for text in options.texts(f"{kind}-host")] or [WILDCARD]
        for operation in operations
    )
    if any(entry.operation is AclOperation.ANY for entry in found):
        raise Refusal("operation must not be ANY")
    return found


def _check_operations(found: Mapping[ResourcePattern, frozenset[AclEntry]]) -> None:
    for resource, entries in found.items():
        supported = ["ALL", *_SUPPORTED[resource.type].split()]
        if any(entry.operation.name not in supported for entry in entries):
            raise UsageProblem(f"ResourceType {resource.type.name} only supports operations [{', '.join(supported)}]")
