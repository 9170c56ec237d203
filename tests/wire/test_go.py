"""franz-go, sarama and segmentio's kafka-go against ``pykafka serve``: a program each in ``go/``, built where Go is."""

from __future__ import annotations

import subprocess

import pytest

from pykafka_store.open import open_cluster
from tests.support.packages import go_program, or_skip
from tests.support.served import PATIENCE, Served

pytestmark = pytest.mark.timeout(900)  # the first time they are built


def _steps(served: Served, name: str, *arguments: str) -> list[str]:
    program = or_skip(lambda: go_program(name))
    done = subprocess.run([program, served.address, *arguments], capture_output=True, text=True, timeout=PATIENCE * 2)
    assert done.returncode == 0, (done.stdout, done.stderr)
    return done.stdout.splitlines()


def test_franz_go(served: Served) -> None:
    steps = [
        "create",
        "produce",
        "read alone",
        "seek",
        "offsets",
        "group classic",
        "group consumer",
        "ask",
        "fail",
        "transact",
    ]
    assert _steps(served, "franz") == steps
    with open_cluster(served.directory) as cluster:
        assert [(each.group_id, each.type) for each in cluster.admin().list_groups()] == [
            ("franz-consumer", "Consumer")
        ]


@pytest.mark.parametrize("version", ["2.1.0", "3.6.0", "4.1.0"])
def test_sarama(served: Served, version: str) -> None:
    assert _steps(served, "sarama", version) == ["create", "produce", "read alone", "group", "ask", "fail", "transact"]


def test_segmentio(served: Served) -> None:
    assert _steps(served, "segmentio") == ["create", "produce", "read alone", "group", "fail"]
