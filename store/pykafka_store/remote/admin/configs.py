"""Settings of a Kafka cluster's topics, brokers, groups and the like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from pykafka_store.errors import BrokerIdNotRegisteredError, UnsupportedVersionError
from pykafka_store.model import ConfigDescription, ConfigEntry, ConfigKind, ConfigResource
from pykafka_store.remote.admin.brokers import BrokerAdmin
from pykafka_store.remote.admin.requests import Requests, wait_until_seen
from pykafka_store.remote.errors import broker_error

_SOURCES = {
    1: "DYNAMIC_TOPIC_CONFIG",
    2: "DYNAMIC_BROKER_CONFIG",
    3: "DYNAMIC_DEFAULT_BROKER_CONFIG",
    4: "STATIC_BROKER_CONFIG",
    5: "DEFAULT_CONFIG",
    6: "DYNAMIC_BROKER_LOGGER_CONFIG",
    7: "DYNAMIC_CLIENT_METRICS_CONFIG",
    8: "DYNAMIC_GROUP_CONFIG",
}
"""Kafka's names of where a config's value comes from, by DescribeConfigs' numbers."""
_BEHIND = {3, 4, 5}
"""The sources that a resource's own settings come before."""

_KINDS: Mapping[ConfigKind, int] = {"topic": 2, "broker": 4, "broker-logger": 8, "client-metrics": 16, "group": 32}
"""The numbers that requests have for what settings belong to."""
_SET, _DELETE = 0, 1
"""IncrementalAlterConfigs' numbers for what is done to a setting."""


class ConfigAdmin:
    def __init__(self, requests: Requests, brokers: BrokerAdmin) -> None:
        self._requests = requests
        self._brokers = brokers

    def describe_configs(self, resource: ConfigResource) -> tuple[ConfigDescription, ...]:
        if resource == ConfigResource("group", ""):
            return ()  # a broker refuses the question, and no group can have that id
        (entries,) = self._described([resource])
        return tuple(
            ConfigDescription(
                each.name, _value(each.value), _source(each.config_source), _synonyms(each), bool(each.is_sensitive)
            )
            for each in sorted(entries, key=lambda each: str(each.name))
        )

    def topic_entries(self, topics: Sequence[str]) -> dict[str, tuple[ConfigEntry, ...]]:
        """The settings of topics that are not built in, in the broker's order."""
        if not topics:
            return {}
        found = self._described([ConfigResource("topic", name) for name in topics])
        return {
            name: tuple(
                entry
                for entry in (
                    ConfigEntry(each.name, _value(each.value), _source(each.config_source)) for each in entries
                )
                if not entry.is_default
            )
            for name, entries in zip(topics, found, strict=True)
        }

    def configured_groups(self) -> list[str]:
        try:
            return self._configured("group", least=1)
        except UnsupportedVersionError:  # before Kafka 4.1: only groups that list_groups knows are known
            return []

    def configured_client_metrics(self) -> list[str]:
        return self._configured("client-metrics", least=0)

    def _configured(self, kind: ConfigKind, least: int) -> list[str]:
        body = SimpleNamespace(resource_types=[_KINDS[kind]])  # version 0 has the one kind only
        answer = self._requests.network.ask("list_config_resources", body, least=least)
        if answer.error_code:
            raise broker_error(answer.error_code, None)
        return sorted(each.resource_name for each in answer.config_resources)

    def incremental_alter_configs(
        self, resource: ConfigResource, changes: Mapping[str, str], deletions: Sequence[str] = ()
    ) -> None:
        self._requests.require_writable()
        entries = [SimpleNamespace(name=name, config_operation=_SET, value=each) for name, each in changes.items()]
        entries += [SimpleNamespace(name=name, config_operation=_DELETE, value=None) for name in deletions]
        asked = SimpleNamespace(resource_type=_KINDS[resource.type], resource_name=resource.name, configs=entries)
        body = SimpleNamespace(resources=[asked], validate_only=False)
        answer = self._ask("incremental_alter_configs", body, resource)
        for each in answer.responses:
            if each.error_code:
                raise broker_error(each.error_code, each.error_message)
        wait_until_seen(lambda: self._in_force(resource, changes, deletions))

    def _in_force(self, resource: ConfigResource, changes: Mapping[str, str], deletions: Sequence[str]) -> bool:
        """Whether the broker that answers knows of changes: it may hear of them a moment later. A value that the broker
        spells differently never seems to be in force.
        """
        (entries,) = self._described([resource])
        behind = _BEHIND - {3} if resource == ConfigResource("broker", "") else _BEHIND
        own = {each.name: each.value for each in entries if each.config_source not in behind}
        return all(own.get(name) == value for name, value in changes.items()) and not any(
            name in own for name in deletions
        )

    def _described(self, resources: Sequence[ConfigResource]) -> list[Any]:
        """The settings of each, as the broker describes them; several are asked of one broker."""
        asked = [
            SimpleNamespace(resource_type=_KINDS[each.type], resource_name=each.name, configuration_keys=None)
            for each in resources
        ]
        body = SimpleNamespace(resources=asked, include_synonyms=True, include_documentation=False)
        found = {}
        for each in self._ask("describe_configs", body, resources[0]).results:
            if each.error_code:
                raise broker_error(each.error_code, each.error_message)
            found[each.resource_name] = each.configs
        return [found[each.name] for each in resources]

    def _ask(self, name: str, body: Any, resource: ConfigResource) -> Any:
        """Of the broker that the settings belong to, where they belong to one."""
        network = self._requests.network
        if resource.type not in {"broker", "broker-logger"} or not resource.name:
            return network.ask_any(name, body)
        if int(resource.name) not in network.nodes().by_id and int(resource.name) not in network.nodes(anew=True).by_id:
            raise BrokerIdNotRegisteredError(f"Broker ID {resource.name} is not there")
        return network.ask(name, body, to=int(resource.name))


def _source(number: int) -> str:
    return _SOURCES.get(number, "UNKNOWN")


def _synonyms(entry: Any) -> tuple[ConfigEntry, ...]:
    """Where the value could come from, what counts first in front."""
    return tuple(ConfigEntry(each.name, _value(each.value), _source(each.source)) for each in entry.synonyms)


def _value(value: str | None) -> str:
    return "null" if value is None else value
