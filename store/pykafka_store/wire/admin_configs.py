"""DescribeConfigs, AlterConfigs, IncrementalAlterConfigs, ListConfigResources: of topics, brokers, groups
and subscriptions to clients' metrics.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from pykafka_store.errors import InvalidConfigError, InvalidRequestError, StoreError, UnsupportedVersionError
from pykafka_store.model import OFFSETS_TOPIC, ConfigDescription, ConfigEntry, ConfigKind, ConfigResource
from pykafka_store.numbers import whole_number
from pykafka_store.settings.configs import SETTINGS
from pykafka_store.settings.documentation import READ_ONLY, documentation, setting
from pykafka_store.settings.server_configs import UNSET
from pykafka_store.wire.admin_topics import CONFIG_SOURCES
from pykafka_store.wire.broker import Broker, code_of
from pykafka_store.wire.long_work import LongRequest
from pykafka_store.wire.protocol import Reply, Request

_KINDS: dict[int, ConfigKind] = {2: "topic", 4: "broker", 16: "client-metrics", 32: "group"}
"""Source: ConfigResource.Type."""
_TOPIC, _BROKER, _GROUP = 2, 4, 32
_NAMELESS = {
    _TOPIC: "Default topic resources are not allowed.",
    16: "Subscription name can't be empty",
    _GROUP: "Default group resources are not allowed.",
}
"""Why what has no name is not altered. Source: ControllerConfigurationValidator."""
_ORDER = {name: position for position, name in enumerate(SETTINGS)}
_LOGGER = 8
"""A broker's loggers: there are none here whose level could be looked at or changed."""
_SET, _DELETE, _APPEND, _SUBTRACT = range(4)
"""Source: AlterConfigOp.OpType."""
_TYPES = {"BOOLEAN": 1, "STRING": 2, "INT": 3, "SHORT": 4, "LONG": 5, "DOUBLE": 6, "LIST": 7}
"""Source: DescribeConfigsResponse.ConfigType."""


class ConfigsApi:
    """Answers what the module says."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def describe_configs(self, request: Request) -> Reply | LongRequest:
        """Every setting, or those that are asked for, a resource each."""
        described = (self._described(each, request.body) for each in request.body.resources)
        return self._broker.long_work.begin(described, lambda done: Reply(results=done))

    def _described(self, asked: Any, request: Any) -> Reply:
        try:
            if asked.resource_type == _LOGGER:
                self._broker_id(asked)
                found: Sequence[ConfigDescription] = ()
            else:
                if asked.resource_type == _GROUP and not asked.resource_name:
                    raise InvalidRequestError("Group name must not be empty")
                found = self._all(asked)
        except StoreError as error:
            return Reply(
                error_code=code_of(error),
                error_message=str(error),
                resource_type=asked.resource_type,
                resource_name=asked.resource_name,
                configs=[],
            )
        wanted = set(asked.configuration_keys or ())  # an empty list is all of them, as none is
        return Reply(
            resource_type=asked.resource_type,
            resource_name=asked.resource_name,
            configs=[_config(each, request) for each in found if not wanted or each.name in wanted],
        )

    def alter_configs(self, request: Request) -> Reply | LongRequest:
        """All settings of a resource at once: those that are not named go back to their defaults."""
        return self._alter(request, self._replace)

    def incremental_alter_configs(self, request: Request) -> Reply | LongRequest:
        """Some settings of a resource, all of them or none."""
        return self._alter(request, self._change)

    def _alter(self, request: Request, how: Any) -> Reply | LongRequest:
        times = Counter((each.resource_type, each.resource_name) for each in request.body.resources)
        altered = (
            self._altered(each, request, how, is_repeated=times[each.resource_type, each.resource_name] > 1)
            for each in request.body.resources
        )
        return self._broker.long_work.begin(altered, lambda done: Reply(responses=done))

    def _altered(self, asked: Any, request: Request, how: Any, *, is_repeated: bool) -> Reply:
        code, message = 0, None
        try:
            if is_repeated:
                raise InvalidRequestError("Each resource must appear at most once.")
            if not asked.resource_name and asked.resource_type in _NAMELESS:
                raise InvalidRequestError(_NAMELESS[asked.resource_type])
            changes, deletions = how(asked)
            self._broker.admin.incremental_alter_configs(
                self._resource(asked), changes, deletions, only_check=request.body.validate_only
            )
        except StoreError as error:
            code, message = code_of(error), str(error)
        return Reply(
            error_code=code,
            error_message=message,
            resource_type=asked.resource_type,
            resource_name=asked.resource_name,
        )

    def _replace(self, asked: Any) -> tuple[dict[str, str], list[str]]:
        """Changes and deletions. Raises StoreError."""
        wanted = {each.name: each.value or "" for each in asked.configs}
        return wanted, [name for name in self._own(asked) if name not in wanted]

    def _change(self, asked: Any) -> tuple[dict[str, str], list[str]]:
        """Changes and deletions. Raises InvalidRequestError, InvalidConfigError, and what describing raises."""
        if asked.resource_type == _LOGGER:
            self._broker_id(asked)
            if asked.configs:
                raise InvalidConfigError(f"Logger {asked.configs[0].name} does not exist!")
        names = [each.name for each in asked.configs]
        if len(set(names)) != len(names):
            raise InvalidRequestError("Error due to duplicate config keys")
        changes: dict[str, str] = {}
        deletions: list[str] = []
        for each in asked.configs:
            match each.config_operation:
                case operation if operation == _SET and each.value is not None:
                    changes[each.name] = each.value
                case operation if operation == _DELETE:
                    deletions.append(each.name)
                case operation if operation in {_APPEND, _SUBTRACT}:
                    known = setting(each.name)
                    if known is None or known.kind != "LIST":
                        raise InvalidConfigError(
                            f"Can't {'APPEND' if operation == _APPEND else 'SUBTRACT'} to key {each.name} because its "
                            "type is not LIST."
                        )
                    changes[each.name] = self._edited(asked, each)
                case _:
                    raise InvalidRequestError(f"{each.name} can't be altered by operation {each.config_operation}")
        return changes, deletions

    def _edited(self, asked: Any, change: Any) -> str:
        """A list with items appended, or without some. Raises StoreError."""
        before = next((each.value for each in self._all(asked) if each.name == change.name), "")
        items = [item for item in before.split(",") if item]
        named = [item.strip() for item in (change.value or "").split(",") if item.strip()]
        if change.config_operation == _APPEND:
            return ",".join([*items, *(item for item in named if item not in items)])
        return ",".join(item for item in items if item not in named)

    def _broker_id(self, asked: Any) -> int:
        """Raises InvalidRequestError. Source: ConfigHelper.resourceNameToBrokerId."""
        number = whole_number(asked.resource_name, 32)
        if number is None:
            raise InvalidRequestError(f"Broker id must be an integer, but it is: {asked.resource_name}")
        if number not in self._broker.nodes():
            nodes = ", ".join(map(str, self._broker.nodes()))
            raise InvalidRequestError(f"Unexpected broker id, expected {nodes}, but received {asked.resource_name}")
        return number

    def _resource(self, asked: Any) -> ConfigResource:
        """Raises InvalidRequestError."""
        kind = _KINDS.get(asked.resource_type)
        if kind is None:
            raise InvalidRequestError(f"Unknown resource type {asked.resource_type}")
        name = str(self._broker_id(asked)) if kind == "broker" and asked.resource_name else asked.resource_name
        return ConfigResource(kind, name)

    def _all(self, asked: Any) -> Sequence[ConfigDescription]:
        """In a broker's order where that is seen: kafka-topics prints a topic's settings as they come."""
        found = self._broker.admin.describe_configs(self._resource(asked))
        if asked.resource_type == _TOPIC:
            return sorted(found, key=lambda each: _ORDER[each.name])
        return [self._advertised() if each.name == "advertised.listeners" else each for each in found]

    def _advertised(self) -> ConfigDescription:
        """Where the port is, whatever the file says."""
        host, port = self._broker.advertised
        address = ConfigEntry("advertised.listeners", f"PLAINTEXT://{host}:{port}", "STATIC_BROKER_CONFIG")
        return ConfigDescription(*address, (address,))

    def _own(self, asked: Any) -> list[str]:
        """The names of the settings that were set on the resource itself."""
        sources = {"DYNAMIC_TOPIC_CONFIG", "DYNAMIC_GROUP_CONFIG", "DYNAMIC_CLIENT_METRICS_CONFIG"}
        if asked.resource_type == _BROKER:
            sources = {"DYNAMIC_BROKER_CONFIG" if asked.resource_name else "DYNAMIC_DEFAULT_BROKER_CONFIG"}
        return [each.name for each in self._all(asked) if each.source in sources]

    def list_config_resources(self, request: Request) -> Reply:
        """What has settings, or could have; version 0 asks for client metrics alone."""
        all_of_them = {16} if request.version == 0 else {*_KINDS, _LOGGER}
        kinds = set(getattr(request.body, "resource_types", ())) or all_of_them
        if not kinds <= {*_KINDS, _LOGGER}:
            return Reply(error_code=UnsupportedVersionError.code, config_resources=[])
        found: list[tuple[str, int]] = []
        if 2 in kinds:
            found += [(name, 2) for name in self._broker.topics()]
            found += [] if self._broker.offsets_row() is None else [(OFFSETS_TOPIC, 2)]
        if 4 in kinds:
            found += [(str(node), 4) for node in self._broker.nodes()]
        if _LOGGER in kinds:
            found += [(str(node), _LOGGER) for node in self._broker.nodes()]
        if 16 in kinds:
            found += [(name, 16) for name in self._broker.admin.configured_client_metrics()]
        if 32 in kinds:
            found += [(name, 32) for name in self._broker.admin.configured_groups()]
        return Reply(config_resources=[Reply(resource_name=name, resource_type=kind) for name, kind in found])


def _config(found: ConfigDescription, request: Any) -> Reply:
    known = setting(found.name)
    synonyms = found.synonyms if request.include_synonyms else ()
    return Reply(
        name=found.name,
        value=None if found.sensitive or (found.value == UNSET and not found.synonyms) else found.value,
        read_only=found.name in READ_ONLY,
        is_default=found.source == "DEFAULT_CONFIG",
        config_source=CONFIG_SOURCES.get(found.source, 5),
        is_sensitive=found.sensitive,
        synonyms=[
            Reply(name=each.name, value=each.value, source=CONFIG_SOURCES.get(each.source, 5)) for each in synonyms
        ],
        config_type=0 if known is None else _TYPES.get(known.kind, 0),
        documentation=documentation(found.name) if getattr(request, "include_documentation", False) else None,
    )
