"""KafkaJS against ``pykafka serve``: ``kafkajs/client.js``, where Node is."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.support.packages import WIRE, node_modules, or_skip
from tests.support.served import PATIENCE, Served

pytestmark = pytest.mark.timeout(900)


def test_kafkajs(served: Served) -> None:
    modules = or_skip(node_modules)
    command = ["node", str(WIRE / "kafkajs" / "client.js"), served.address]
    environ = {**os.environ, "NODE_PATH": modules}
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE * 2, env=environ)
    assert done.returncode == 0, (done.stdout, done.stderr)
    assert done.stdout.split() == ["create", "produce", "group", "seek", "ask", "fail", "transact"]
