"""What a server's configuration file sets of the things that a data directory honours.

A broker reads it at its start; here whoever formats a directory, or starts a server on it, writes it into the
catalogue, where every command finds it. Source: AbstractKafkaConfig, ServerLogConfigs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pykafka_store.errors import InvalidConfigError
from pykafka_store.settings.configs import BY_DEFAULT, Setting, check_value
from pykafka_store.settings.dynamic_configs import BROKER_SETTINGS, READ_ONLY
from pykafka_store.settings.server_configs import of_the_file

_UNITS: Final[Mapping[str, tuple[tuple[str, int], ...]]] = {
    "log.retention.ms": (("log.retention.minutes", 60_000), ("log.retention.hours", 3_600_000)),
    "log.roll.ms": (("log.roll.hours", 3_600_000),),
    "log.roll.jitter.ms": (("log.roll.jitter.hours", 3_600_000),),
}
"""Settings in ms, and those in other units that stand in for them, with their ms; the first that is set counts."""


def static_settings(properties: Mapping[str, str]) -> dict[str, str]:
    """Those of a server's properties that a directory honours, checked, times in ms, and those that it shows. Raises
    InvalidConfigError.

    A time that the file has in another unit is there as a default (BY_DEFAULT).
    """
    found = of_the_file(properties)
    for setting in (*BROKER_SETTINGS.values(), *READ_ONLY.values()):
        if setting.name in properties:
            found[setting.name] = check_value(setting, properties[setting.name])
            continue
        for name, unit in _UNITS.get(setting.name, ()):
            if name in properties:
                number = int(check_value(Setting(name, "INT", "0", None), properties[name]))
                found[setting.name + BY_DEFAULT] = str(number * unit if number >= 0 else -1)
                break
    if "0" in {found.get("log.retention.ms"), found.get("log.retention.ms" + BY_DEFAULT)}:
        raise InvalidConfigError("log.retention.ms must be unlimited (-1) or, greater than or equal to 1")
    return found
