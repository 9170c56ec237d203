"""Servers that come and go between two looks of the commands that start, stop and clear away servers."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

import pykafka_store.open
from pykafka_cli.commands import server_start, server_stop
from pykafka_cli.tool.sandbox_places import note_server, running_servers
from pykafka_store.api import RunningServer
from pykafka_store.open import open_cluster
from tests.support.between import once
from tests.support.in_process import run


def test_a_server_that_has_ended_by_itself_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    monkeypatch.setattr(server_stop, "_started", lambda: {ended.pid: "python kafka-server-start"})
    assert run("server-stop", environ={"PYKAFKA_DATA_DIR": ""}) == ("", "", 0)


def test_a_server_that_a_sandbox_looks_for_as_it_is_noted_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flock = fcntl.flock
    looks: list[int] = []

    def look() -> None:
        looks.append(os.open(tmp_path / "servers" / str(os.getpid()), os.O_RDONLY))
        flock(looks[0], fcntl.LOCK_SH)

    def waited_for(descriptor: int, how: int) -> None:
        if how == fcntl.LOCK_EX:  # who waits gets it when the look is over
            flock(looks[0], fcntl.LOCK_UN)
        flock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", waited_for)
    came = once(
        monkeypatch, os, "open", look, behind=True, when=lambda path, *_: os.path.basename(path) == str(os.getpid())
    )
    note_server(str(tmp_path))
    assert came
    os.close(looks[0])
    assert running_servers(str(tmp_path)) == [os.getpid()]


def test_a_directory_that_a_command_makes_as_its_server_starts_is_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A script starts its server in the background and goes on: of the two that made the directory one was refused."""
    data, file = tmp_path / "data", tmp_path / "server.properties"
    file.write_text(f"node.id=0\nlisteners=PLAINTEXT://127.0.0.1:0\nlog.dirs={data}\nnum.partitions=3\n")

    def made() -> None:
        with open_cluster(data) as cluster:
            cluster.admin().create_topic("t")

    def at_once(server: RunningServer) -> None:
        server.stop()
        server.run()

    monkeypatch.setattr(server_start, "serve_until_told", at_once)
    came = once(monkeypatch, pykafka_store.open, "format_data_directory", made)
    done = run("server-start", str(file), data_dir=data)
    assert came
    assert (done.stderr, done.code) == ("", 0)
    with open_cluster(data) as cluster:
        assert [each.name for each in cluster.admin().list_topics()] == ["t"]
        assert len(cluster.admin().create_topic("u").partitions) == 3
