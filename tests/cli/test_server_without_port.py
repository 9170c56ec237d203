"""kafka-server-start where the extra ``serve`` is not installed: no port, and a server like any other for the rest."""

from __future__ import annotations

import os
import subprocess
import sysconfig
from pathlib import Path

import pytest

from pykafka_store.open import server_of_directory
from tests.support.signals import has_ended

PROGRAMS = sysconfig.get_path("scripts")


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """A world in which kio can't be imported."""
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "kio.py").write_text("raise ModuleNotFoundError(\"No module named 'kio'\", name='kio')\n")
    (tmp_path / "server.properties").write_text(f"node.id=7\nlog.dirs={tmp_path / 'logs'}\n")
    return {
        **os.environ,
        "PATH": f"{PROGRAMS}:{os.environ['PATH']}",
        "PYTHONPATH": str(hidden),
        "PYKAFKA_DATA_DIR": str(tmp_path / "data"),
        "LOG_DIR": str(tmp_path / "out"),
    }


def run(environ: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, env=environ, capture_output=True, text=True, timeout=60)


def test_it_is_found_and_stopped_and_is_alone_in_its_directory(environ: dict[str, str], tmp_path: Path) -> None:
    file = str(tmp_path / "server.properties")
    started = run(environ, "kafka-server-start", "-daemon", file)
    assert (started.returncode, started.stderr) == (0, "")
    try:
        assert "no port is opened" in (tmp_path / "out/kafkaServer.out").read_text()
        assert run(environ, "kafka-topics", "--create", "--topic", "t").stdout == "Created topic t.\n"
        second = run(environ, "kafka-server-start", file)
        assert second.returncode == 1
        assert "is served by another pykafka serve already" in second.stderr
    finally:
        stopped = run(environ, "kafka-server-stop")
    assert (stopped.returncode, stopped.stderr) == (0, "")


def test_it_ends_at_sigterm_as_one_with_a_port(environ: dict[str, str], tmp_path: Path) -> None:
    file = str(tmp_path / "server.properties")
    command = ["kafka-server-start", file]
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert "nodeId=7] Kafka Server started" in server.stdout.readline()
        server.terminate()
        assert server.wait(timeout=30) == 143
    assert server_of_directory(tmp_path / "logs") is None


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="no pidfd_open on this system")
def test_a_sandbox_stops_the_one_that_its_command_left(environ: dict[str, str], tmp_path: Path) -> None:
    found = tmp_path / "found"
    script = f"kafka-server-start.sh -daemon {tmp_path}/server.properties && cat $PYKAFKA_DATA_DIR/locks/server.lock"
    done = run(
        environ, "pykafka", "sandbox", "--dir", str(tmp_path / "here"), "--", "sh", "-c", f"({script}) > {found}"
    )
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "here").iterdir()) == []
    assert has_ended(int(found.read_text()))
