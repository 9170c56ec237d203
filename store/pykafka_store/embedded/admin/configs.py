"""Settings of topics, brokers, groups, and of subscriptions to clients' metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pykafka_store.embedded.engine import Engine
from pykafka_store.errors import InvalidRequestError, UnknownTopicOrPartitionError
from pykafka_store.format.names import check_topic_name
from pykafka_store.model import OFFSETS_TOPIC, ConfigDescription, ConfigResource
from pykafka_store.settings import configs as topic_configs
from pykafka_store.settings import topic_descriptions


class ConfigAdmin:
    """See :class:`pykafka_store.api.Admin`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def describe_configs(self, resource: ConfigResource) -> tuple[ConfigDescription, ...]:
        from pykafka_store.settings import dynamic_configs
        from pykafka_store.settings.client_metrics import describe_client_metrics

        match resource.type:
            case "topic":
                check_topic_name(resource.name)
                if resource.name == OFFSETS_TOPIC and self._engine.catalog.topic_id(resource.name) is None:
                    from pykafka_store.embedded.offsets_topic import CONFIGS, leader

                    return topic_descriptions.describe(CONFIGS, self._engine.broker_configs(leader(self._engine)))
                row = self._engine.catalog.require_topic(resource.name)
                return topic_descriptions.describe(row.configs, self._engine.broker_configs(row.first_leader))
            case "broker" if resource.name:
                from pykafka_store.settings.server_configs import describe_server

                broker = self._registered(resource.name)
                configs = self._engine.broker_configs(broker)
                of_server = describe_server(broker, self._engine.brokers.paths(broker), configs.static)
                return tuple(sorted((*dynamic_configs.describe_broker(configs), *of_server)))
            case "broker":
                return dynamic_configs.describe_cluster(self._engine.broker_configs(None).cluster)
            case "client-metrics" if not resource.name:
                raise InvalidRequestError("Client metrics subscription name must not be empty")
            case "client-metrics":
                return describe_client_metrics(self._engine.catalog.configs("client-metrics").get(resource.name, {}))
            case _:
                return dynamic_configs.describe_group(self._engine.catalog.configs("group").get(resource.name, {}))

    def configured_groups(self) -> list[str]:
        return sorted(self._engine.catalog.configs("group"))

    def configured_client_metrics(self) -> list[str]:
        return sorted(self._engine.catalog.configs("client-metrics"))

    def incremental_alter_configs(
        self,
        resource: ConfigResource,
        changes: Mapping[str, str],
        deletions: Sequence[str] = (),
        *,
        only_check: bool = False,
    ) -> None:
        """With ``only_check`` nothing is changed. Source of checks and texts: ControllerApis#incrementalAlterConfigs,
        ConfigurationControlManager.
        """
        from pykafka_store.settings import dynamic_configs
        from pykafka_store.settings.client_metrics import check_client_metrics

        self._engine.require_writable()
        named = [*changes, *deletions]
        if len(set(named)) != len(named):
            raise InvalidRequestError("Error due to duplicate config keys")
        with self._engine.catalog.transaction():
            match resource.type:
                case "topic":
                    self._alter_topic_configs(resource.name, changes, deletions, only_check=only_check)
                    return
                case "broker":
                    name = str(self._registered(resource.name)) if resource.name else ""
                    checked = dynamic_configs.check_broker(name, changes, deletions)
                case "client-metrics":
                    name, checked = resource.name, check_client_metrics(resource.name, changes)
                case _:
                    name, checked = resource.name, dynamic_configs.check_group(changes)
            if not only_check:
                self._engine.catalog.change_entity_configs(resource.type, name, checked, deletions)

    def _alter_topic_configs(
        self, name: str, changes: Mapping[str, str], deletions: Sequence[str], *, only_check: bool
    ) -> None:
        check_topic_name(name)
        row = self._engine.catalog.topic(name)
        if row is None and name == OFFSETS_TOPIC:
            raise InvalidRequestError(f"{name} shows what groups have committed, and can't be changed")
        if row is None:
            raise UnknownTopicOrPartitionError(f"The topic '{name}' does not exist.")
        kept = {key: value for key, value in row.configs.items() if key not in deletions}
        checked = topic_configs.validate({**kept, **changes})
        if not only_check:
            self._engine.catalog.change_configs(row.id, {key: checked[key] for key in changes}, deletions)

    def _registered(self, broker: str) -> int:
        self._engine.brokers.require(int(broker))
        return int(broker)
