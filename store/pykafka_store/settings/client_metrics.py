"""Subscriptions to clients' metrics (KIP-714): what one can say. A data directory keeps them, and asks no client.

Source: org.apache.kafka.server.metrics.ClientMetricsConfigs of Kafka 4.3.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from pykafka_store.errors import InvalidConfigError, InvalidRequestError
from pykafka_store.model import ConfigDescription, ConfigEntry
from pykafka_store.settings.configs import Setting, check_value

CLIENT_METRICS: Final[Mapping[str, Setting]] = {
    "interval.ms": Setting("interval.ms", "INT", "300000", None),
    "match": Setting("match", "LIST", "", None),
    "metrics": Setting("metrics", "LIST", "", None),
}
_SELECTORS = frozenset(
    {
        "client_id", "client_instance_id", "client_software_name", "client_software_version", "client_source_address",
        "client_source_port",
    }
)  # fmt: skip


def check_client_metrics(name: str, changes: Mapping[str, str]) -> dict[str, str]:
    """Raises InvalidRequestError, InvalidConfigError."""
    if not name:
        raise InvalidRequestError("Subscription name can't be empty")
    for key in changes:
        if key not in CLIENT_METRICS:
            raise InvalidRequestError(f"Unknown client metrics configuration: {key}")
    checked = {
        key: check_value(CLIENT_METRICS[key], value) if key == "interval.ms" else _list(key, value)
        for key, value in changes.items()
    }
    if "interval.ms" in checked:
        interval = int(checked["interval.ms"])
        if not 100 <= interval <= 3_600_000:
            raise InvalidRequestError(
                f"Invalid value {interval} for interval.ms, interval must be between 100 and 3600000 (1 hour)"
            )
    for pattern in filter(None, checked.get("match", "").split(",")):
        if not _is_pattern(pattern):
            raise InvalidConfigError(f"Illegal client matching pattern: {pattern}")
    return checked


def _list(name: str, text: str) -> str:
    """A list as a broker describes it: each item once. Raises InvalidConfigError."""
    items = re.split(r"\s*,\s*", text.strip()) if text.strip() else []
    if "" in items:
        raise InvalidConfigError(f"Configuration '{name}' values must not be empty.")
    return ",".join(dict.fromkeys(items))


def _is_pattern(text: str) -> bool:
    """Whether it is a selector and an expression. What only Java takes for an expression is none here."""
    selector, _, expression = text.rstrip("=").partition("=")  # Java's split drops empty parts at the end
    if selector.strip() not in _SELECTORS or not expression or "=" in expression:
        return False
    try:
        re.compile(expression.strip())
    except re.error:
        return False
    return True


def describe_client_metrics(configs: Mapping[str, str]) -> tuple[ConfigDescription, ...]:
    """Every setting of a subscription, sorted by name. One that does not exist has the defaults."""
    return tuple(_described(setting, configs.get(name)) for name, setting in CLIENT_METRICS.items())


def _described(setting: Setting, own: str | None) -> ConfigDescription:
    if own is None:
        return ConfigDescription(setting.name, setting.default, "DEFAULT_CONFIG")
    source = "DYNAMIC_CLIENT_METRICS_CONFIG"
    return ConfigDescription(setting.name, own, source, (ConfigEntry(setting.name, own, source),))
