"""Lines as Kafka's own log prints them on stderr, for what Kafka's console tools tell by logging it.

Sources: config/tools-log4j2.yaml (the layout), org.apache.kafka.clients.producer.internals.ErrorLoggingCallback.
"""

from __future__ import annotations

import time
from typing import Literal

from pykafka_store.errors import StoreError

CONSUMER_LOGGER = "org.apache.kafka.tools.consumer.ConsoleConsumer"
CALLBACK_LOGGER = "org.apache.kafka.clients.producer.internals.ErrorLoggingCallback"

_CLASSES = {
    "InvalidConfigurationException": "org.apache.kafka.common.config.ConfigException",  # its name on the client's side
    "InvalidRecordException": "org.apache.kafka.common.InvalidRecordException",
    "NoOffsetForPartitionException": "org.apache.kafka.clients.consumer.NoOffsetForPartitionException",
    "OffsetOutOfRangeException": "org.apache.kafka.clients.consumer.OffsetOutOfRangeException",
}
"""Exceptions whose class is not the one in org.apache.kafka.common.errors."""


def log_line(seconds: float, level: Literal["ERROR", "WARN", "INFO"], message: str, logger: str) -> str:
    """``[2026-01-31 23:59:59,999] ERROR message (logger)``; the time is local, as in Kafka's log."""
    whole, milliseconds = divmod(int(seconds * 1000), 1000)
    stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(whole))
    return f"[{stamp},{milliseconds:03d}] {level} {message} ({logger})"


def exception_line(error: StoreError) -> str:
    """The first line of what Java prints for an exception: its class, with the package, and its message."""
    name = _CLASSES.get(error.kafka_name, f"org.apache.kafka.common.errors.{error.kafka_name}")
    return f"{name}: {error}"
