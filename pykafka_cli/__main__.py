"""``python -m pykafka_cli`` is ``pykafka``; with the name of one of Kafka's tools behind it, that tool by that name."""

import sys

from pykafka_cli import KAFKA_TOOLS, start

if len(sys.argv) > 1 and sys.argv[1] in {f"kafka-{tool}" for tool in KAFKA_TOOLS}:
    getattr(start, sys.argv.pop(1).replace("-", "_"))()
start.pykafka()
