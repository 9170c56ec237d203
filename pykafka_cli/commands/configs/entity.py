"""Which entity ``kafka-configs`` is to describe or change: the options that name it, and what of them goes together.

Source: org.apache.kafka.tools.ConfigCommand.ConfigCommandOptions#checkArgs of Kafka 4.3. Checks, texts and their order
are its.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from pykafka_cli.errors import Refusal
from pykafka_cli.java.text import is_whole
from pykafka_cli.tool.frame import not_with, one_action, repeats
from pykafka_cli.tool.options import Options
from pykafka_store.nodes import is_host

ENTITY_TYPES = ("topics", "clients", "users", "brokers", "ips", "client-metrics", "groups", "broker-loggers")
"""In Kafka's order, which its messages show."""
FLAGS = {
    "topic": "topics",
    "client": "clients",
    "user": "users",
    "broker": "brokers",
    "broker-logger": "broker-loggers",
    "ip": "ips",
    "client-metrics": "client-metrics",
    "group": "groups",
}
"""Options that give an entity's type and name at once."""
DEFAULT_FLAGS = {
    "client-defaults": "clients",
    "user-defaults": "users",
    "broker-defaults": "brokers",
    "ip-defaults": "ips",
}
WITH_DEFAULTS = ("users", "clients", "brokers", "ips")
"""The types that have an entity for all others, whose name is empty here."""
NUMBERED = ("brokers", "broker-loggers")
"""The types whose names are brokers' ids."""


class Entity(NamedTuple):
    """The entity to describe or change. ``names`` of several types pair with them; an empty one is the default."""

    types: tuple[str, ...]
    names: tuple[str, ...]

    @property
    def type(self) -> str:
        return self.types[0]

    @property
    def name(self) -> str | None:
        return self.names[0] if self.names else None


class _Asked:
    """What the command line says of entities, not yet checked."""

    def __init__(self, options: Options, words: Sequence[str]) -> None:
        flags = {name: options.maybe_text(name) or "" for name in FLAGS if options.has(name)}
        default_flags = [name for name in DEFAULT_FLAGS if options.has(name)]
        self.options = options
        self.types = (
            *options.texts("entity-type"),
            *(FLAGS[name] for name in flags),
            *(DEFAULT_FLAGS[name] for name in default_flags),
        )
        self.names = (*_names_in_order(options, words), *flags.values(), *("" for _ in default_flags))
        """An empty one is the default."""
        self.by_flags = bool(flags or default_flags)
        """Whether an option such as ``--topic`` or ``--broker-defaults`` gives a type."""

    def has(self, *options: str) -> bool:
        """Whether one of the options is given."""
        return any(map(self.options.has, options))

    @property
    def named(self) -> bool:
        return any(self.names)

    @property
    def may_be_default(self) -> bool:
        """Whether a type has an entity for all others."""
        return any(kind in WITH_DEFAULTS for kind in self.types)


_Rule = tuple[Callable[[_Asked], list[str] | bool], str]
"""What must not be, and the sentence where it is. In that, ``types`` are those that are asked for, ``offenders`` the
words that the rule found, and ``all_types`` and ``all_offenders`` the same by commas.
"""

_RULES: tuple[_Rule, ...] = (
    (lambda asked: repeats(asked.types), "Duplicate entity type(s) specified: {all_offenders}"),
    (
        lambda asked: [kind for kind in asked.types if kind not in ENTITY_TYPES],
        f"Invalid entity type {{offenders[0]}}, the entity type must be one of {', '.join(ENTITY_TYPES)} with a "
        "--bootstrap-server or --bootstrap-controller argument",
    ),
    (lambda asked: not asked.types, "At least one entity type must be specified"),
    (
        lambda asked: len(asked.types) > 1 and set(asked.types) != {"users", "clients"},
        "Only 'users' and 'clients' entity types may be specified together",
    ),
    (
        lambda asked: asked.by_flags and asked.has("entity-type", "entity-name", "entity-default"),
        "--entity-{{type,name,default}} should not be used in conjunction with specific entity flags",
    ),
    (
        lambda asked: asked.has("bootstrap-server") and asked.has("bootstrap-controller"),
        "Only one of --bootstrap-server or --bootstrap-controller can be specified",
    ),
    (  # of these types Kafka's tool asks for the one name
        lambda asked: asked.types[0] in (*NUMBERED, "ips") and len(asked.options.texts("entity-name")) > 1,
        "Found multiple arguments for option entity-name, but you asked for only one",
    ),
    (
        lambda asked: [name for name in asked.names if name and asked.types[0] in NUMBERED and not is_whole(name)],
        "The entity name for {types[0]} must be a valid integer broker id, but it is: {offenders[0]}",
    ),
    (
        lambda asked: [name for name in asked.names if name and "ips" in asked.types and not is_host(name)],
        "The entity name for ips must be a valid IP or resolvable host, but it is: {offenders[0]}",
    ),
)

_RULES_OF_DESCRIBE: tuple[_Rule, ...] = (
    (
        lambda asked: not asked.may_be_default and asked.has("entity-default"),
        "--entity-default must not be specified with --describe of {all_types}",
    ),
    (
        lambda asked: "broker-loggers" in asked.types and not asked.named,
        "An entity name must be specified with --describe of {all_types}",
    ),
    (
        lambda asked: asked.types[0] in ("users", "clients") and len(asked.names) > len(asked.types),
        "More entity names specified than entity types",
    ),
)

_RULES_OF_ALTER: tuple[_Rule, ...] = (
    (
        lambda asked: asked.may_be_default and not asked.names,
        "An entity-name or default entity must be specified with --alter of users, clients, brokers or ips",
    ),
    (
        lambda asked: not asked.may_be_default and not asked.named,
        "An entity name must be specified with --alter of {all_types}",
    ),
    (
        lambda asked: asked.has("add-config") and asked.has("add-config-file"),
        "Only one of --add-config or --add-config-file must be specified",
    ),
    (
        lambda asked: not asked.has("add-config", "add-config-file", "delete-config"),
        "At least one of --add-config, --add-config-file, or --delete-config must be specified with --alter",
    ),
    (  # of several names all but the first would be passed over
        lambda asked: len(asked.names) != len(asked.types),
        "An entity name must be specified for every entity type",
    ),
)


def checked_entity(options: Options, words: Sequence[str]) -> Entity:
    """The entity that the options name. Raises UsageProblem or Refusal for the first rule that they break."""
    action = one_action(options, ("describe", "alter"))
    not_with(options, "describe", "add-config", "delete-config")
    asked = _Asked(options, words)
    for broken, sentence in (*_RULES, *(_RULES_OF_ALTER if action == "alter" else _RULES_OF_DESCRIBE)):
        found = broken(asked)
        if found:
            offenders = found if isinstance(found, list) else []
            raise Refusal(
                sentence.format(
                    types=asked.types,
                    all_types=",".join(asked.types),
                    offenders=offenders,
                    all_offenders=",".join(offenders),
                )
            )
    return Entity(asked.types, asked.names)


def _names_in_order(options: Options, words: Sequence[str]) -> list[str]:
    """The names of ``--entity-name``, and an empty one for each ``--entity-default``, as they stand: they pair with the
    types.
    """
    names = iter(options.texts("entity-name"))
    found = []
    for word in words:
        option = word.lstrip("-").partition("=")[0] if word.startswith("-") else ""
        if option == "entity-default":
            found.append("")
        elif option == "entity-name":
            found += [name for name in [next(names, None)] if name is not None]
    return [*found, *names]
