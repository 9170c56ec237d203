"""Topic configs as they are described: each with its value, and where that was set.

Not with what is in force (:mod:`pykafka_store.settings.configs`), for which alone most commands have a use.
"""

from collections.abc import Mapping

from pykafka_store.model import ConfigDescription, ConfigEntry
from pykafka_store.settings.configs import FALLBACKS, NOT_SET, SETTINGS, BrokerConfigs, topic_defaults


def entries(overrides: Mapping[str, str], brokers: BrokerConfigs = NOT_SET) -> tuple[ConfigEntry, ...]:
    """What ``kafka-topics --describe`` shows of a topic with these overrides: all but the built-in, in its order."""
    shown = []
    for name, setting in SETTINGS.items():
        if name in overrides:
            shown.append(ConfigEntry(name, overrides[name], "DYNAMIC_TOPIC_CONFIG"))
        elif setting.synonym is not None:
            shown += [ConfigEntry(name, *each) for each in brokers.synonyms(setting.synonym)[:1]]
    return tuple(shown)


def describe(overrides: Mapping[str, str], brokers: BrokerConfigs = NOT_SET) -> tuple[ConfigDescription, ...]:
    """Every setting of a topic with these overrides, sorted by name, each with its synonyms.

    Source: ConfigHelper#describeConfigs. Internal settings are there only where they were set.
    """
    found, defaults = [], topic_defaults(brokers)
    for name in sorted(SETTINGS):
        setting = SETTINGS[name]
        synonyms = []
        if name in overrides:
            synonyms.append(ConfigEntry(name, overrides[name], "DYNAMIC_TOPIC_CONFIG"))
        elif name.startswith("internal."):
            continue
        if setting.synonym is not None:
            set_there = [ConfigEntry(setting.synonym, *each) for each in brokers.synonyms(setting.synonym)]
            synonyms += set_there
            if setting.synonym not in FALLBACKS:
                synonyms.append(ConfigEntry(setting.synonym, setting.default, "DEFAULT_CONFIG"))
            elif set_there:
                synonyms.append(ConfigEntry(*FALLBACKS[setting.synonym], "DEFAULT_CONFIG"))
        value, source = synonyms[0][1:] if synonyms else (defaults.get(name, setting.default), "DEFAULT_CONFIG")
        found.append(ConfigDescription(name, value, source, tuple(synonyms)))
    return tuple(found)
