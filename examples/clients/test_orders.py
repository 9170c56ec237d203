"""The test of an application with pytest: the fixture has a port and a directory for each test.

Run it with ``pytest examples/clients``.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

from pykafka_cli.pytest_plugin import KafkaServer

PROGRAM = Path(__file__).parent / "orders.py"


def test_the_application_sends_what_it_reads(kafka_server: KafkaServer) -> None:
    done = subprocess.run([sys.executable, PROGRAM], env=os.environ, capture_output=True, text=True, check=True)
    assert done.stdout == "tea milk bread\n"
    assert kafka_server.values("orders") == ["tea", "milk", "bread"]
    kafka_server.wait_lag("billing")


def test_commands_see_what_the_application_sees(kafka_server: KafkaServer) -> None:
    kafka_server.seed("orders", [{"item": "tea"}])
    command = "kafka-console-consumer --topic orders --from-beginning --max-messages 1"
    words = [sys.executable, "-m", "pykafka_cli", *command.removeprefix("kafka-").split()]
    assert json.loads(subprocess.run(words, capture_output=True, check=True).stdout) == {"item": "tea"}
