"""Topics as they are led now, without their settings: what clients ask of all of them, all the time."""

from __future__ import annotations

from pykafka_store.embedded.admin.elections import settle_what_changed
from pykafka_store.embedded.catalog_rows import TopicRow
from pykafka_store.embedded.engine import Engine

__all__ = ["TopicRow", "topics_as_led"]


def topics_as_led(engine: Engine) -> tuple[object, list[TopicRow]]:
    """All topics, sorted by name, behind the catalogue's version that they are remembered under: they may be newer,
    never older. Where brokers came or went without a word, leaders are elected before.
    """
    settle_what_changed(engine)
    version = engine.catalog.version()
    return version, engine.catalog.topics()
