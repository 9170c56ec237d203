"""Settings, and what they belong to."""

from typing import Literal, NamedTuple


class ConfigEntry(NamedTuple):
    """One setting in force. ``source`` is Kafka's name of where the value comes from, DEFAULT_CONFIG for built in."""

    name: str
    value: str
    source: str

    @property
    def is_default(self) -> bool:
        return self.source == "DEFAULT_CONFIG"


class ConfigDescription(NamedTuple):
    """One setting in force, and everything it could come from, the value that counts first."""

    name: str
    value: str
    source: str
    """Kafka's name of where the value comes from: DYNAMIC_TOPIC_CONFIG for one that was set on the topic itself."""
    synonyms: tuple[ConfigEntry, ...] = ()
    sensitive: bool = False
    """Whether the broker keeps the value to itself: it is ``null`` then."""


ConfigKind = Literal["topic", "broker", "group", "broker-logger", "client-metrics"]


class ConfigResource(NamedTuple):
    """What settings belong to."""

    type: ConfigKind
    name: str
    """Of a broker its number, or empty for all brokers."""
