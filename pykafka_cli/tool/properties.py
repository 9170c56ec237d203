"""The properties that a tool is given: files that options name, and ``key=value`` arguments of options."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from pykafka_cli.env import Env
from pykafka_cli.tool.options import Options


def parse_key_values(arguments: Iterable[str]) -> dict[str, str]:
    """``key=value`` arguments, split at the first ``=``; without one the value is empty, and a later one wins.

    Source: CommandLineUtils#parseKeyValueArgs.
    """
    pairs = (argument.partition("=") for argument in arguments)
    return {key: value for key, _, value in pairs}


def warn_of_ignored(env: Env, what: str, unknown: Sequence[str], known: Iterable[str]) -> None:
    """Say in one line which names are ``what`` of nothing, and what each of them was probably meant to be.

    Kafka's tools pass all settings on, and who does not know one ignores it: scripts carry settings of Confluent's
    clients, and of tools that are long gone. A misspelt one looks the same, so it is told of.
    """
    if not unknown:
        return
    from pykafka_store.settings.client_configs import shown_name
    from pykafka_store.spelling import nearest

    names = sorted(known)
    told = []
    for name in unknown:
        meant = nearest(name, names)
        told.append(shown_name(name) + ("" if meant is None else f" (did you mean {meant}?)"))
    env.err(f"WARNING: {what}, and ignored: {', '.join(told)}")


def known_settings(env: Env, kind: str, config: Mapping[str, str]) -> dict[str, str]:
    """The settings that Kafka's ``producer`` or ``consumer`` has, of those given; the others are warned of."""
    from pykafka_store.settings.client_configs import client_settings, is_client_setting

    unknown = [name for name in config if not is_client_setting(kind, name)]
    warn_of_ignored(env, f"no setting of Kafka's {kind}", unknown, client_settings(kind) if unknown else ())
    return {name: value for name, value in config.items() if name not in unknown}


def of_files(options: Options, *names: str) -> dict[str, str]:
    """The properties in the files that these options name; a later option wins. Raises PropertiesError."""
    properties: dict[str, str] = {}
    for name in names:
        path = options.maybe_text(name)
        if path is not None:
            from pykafka_cli.java.properties import load_properties  # most command lines name no file

            properties |= load_properties(path)
    return properties


def of_arguments(options: Options, *names: str) -> dict[str, str]:
    """The properties that the arguments of these options are; a later option wins."""
    return parse_key_values(argument for name in names for argument in options.texts(name))
