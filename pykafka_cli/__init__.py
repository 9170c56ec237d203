"""Kafka's command line tools over a directory of Kafka-format logs, or over a cluster."""

__version__ = "0.1.0"

KAFKA_VERSION = "4.3.1"
"""The Apache Kafka whose tools these are measured against; what ``--version`` of each Kafka tool prints."""

KAFKA_TOOLS = (
    "topics",
    "console-producer",
    "console-consumer",
    "consumer-groups",
    "groups",
    "configs",
    "client-metrics",
    "acls",
    "delegation-tokens",
    "get-offsets",
    "delete-records",
    "dump-log",
    "leader-election",
    "reassign-partitions",
    "log-dirs",
    "metadata-quorum",
    "broker-api-versions",
    "cluster",
    "features",
    "transactions",
    "streams-application-reset",
    "storage",
    "server-start",
    "server-stop",
    "run-class",
    "producer-perf-test",
    "consumer-perf-test",
    "e2e-latency",
    "verifiable-producer",
    "verifiable-consumer",
)
"""The subcommands of ``pykafka`` that are programs of their own too, called ``kafka-`` and the name.

A new one is a name here, its module in ``commands/`` (tool/frame.py shows one), a line in ``[project.scripts]`` of
pyproject.toml, and a section in COMPAT.md.
"""
