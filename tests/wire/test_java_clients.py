"""Apache's Java clients of several releases against ``pykafka serve``: ``java/Client.java`` with each one's jars."""

from __future__ import annotations

import subprocess

import pytest

from tests.support.apache import TOOL_FLAGS
from tests.support.packages import WIRE, java_clients, or_skip
from tests.support.served import PATIENCE, Served

pytestmark = [pytest.mark.apache, pytest.mark.timeout(900)]

PROGRAM = WIRE / "java" / "Client.java"


@pytest.mark.parametrize(
    ("version", "protocols"),
    [
        ("2.8.2", ["range", "cooperative"]),
        ("3.9.1", ["range", "cooperative"]),
        ("4.3.1", ["range", "cooperative", "consumer"]),
    ],
)
def test_a_client_of_a_release(served: Served, version: str, protocols: list[str]) -> None:
    classpath = or_skip(lambda: java_clients(version))
    command = ["java", *TOOL_FLAGS, "-cp", classpath, str(PROGRAM), served.address, *protocols]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE * 2)
    assert done.returncode == 0, (done.stdout, done.stderr)
    groups = [f"group {each}" for each in protocols]
    assert done.stdout.splitlines() == [
        "create",
        "produce",
        "read alone",
        "seek",
        "offsets",
        *groups,
        "ask",
        "fail",
        "transact",
    ]
