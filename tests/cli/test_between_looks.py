"""Servers and topics that come and go between two looks of a command."""

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
from pykafka_store.embedded.admin.topics import TopicAdmin
from pykafka_store.embedded.catalog import Catalog
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


def _at_once(server: RunningServer) -> None:
    server.stop()
    server.run()


@pytest.mark.parametrize("stands_in", [False, True])
def test_a_directory_that_a_command_makes_as_its_server_starts_is_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stands_in: bool
) -> None:
    """A script starts its server in the background and goes on: of the two that made the directory one was refused.
    ``stands_in``: commands had another one before, whose name it was to have.
    """
    data, file, other = tmp_path / "data", tmp_path / "server.properties", tmp_path / "other"
    if stands_in:
        with open_cluster(other) as cluster:
            cluster.admin().create_topic("another")
    file.write_text(f"node.id=0\nlisteners=PLAINTEXT://127.0.0.1:0\nlog.dirs={data}\nnum.partitions=3\n")

    def made() -> None:
        with open_cluster(data) as cluster:
            cluster.admin().create_topic("t")

    monkeypatch.setattr(server_start, "serve_until_told", _at_once)
    owner, step = (os, "symlink") if stands_in else (pykafka_store.open, "format_data_directory")
    came = once(monkeypatch, owner, step, made)
    done = run("server-start", str(file), data_dir=other if stands_in else data)
    assert came
    assert (done.stderr != "", done.code) == (stands_in, 0)  # it says which one commands use
    with open_cluster(data) as cluster:
        assert [each.name for each in cluster.admin().list_topics()] == ["t"]
        assert len(cluster.admin().create_topic("u").partitions) == 3


def test_a_topic_that_goes_as_all_are_described_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_cluster(tmp_path) as cluster:
        for name in ("gone", "there"):
            cluster.admin().create_topic(name)
        came = once(monkeypatch, TopicAdmin, "describe_topics", lambda: cluster.admin().delete_topic("gone"))
        done = run("topics", "--describe", data_dir=tmp_path)
    assert came
    assert (done.stderr, done.code) == ("", 0)
    assert {line.split()[1] for line in done.stdout.splitlines()} == {"there"}


@pytest.mark.parametrize("tolerant", [True, False])
def test_a_topic_that_another_deletes_at_once_is_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tolerant: bool
) -> None:
    with open_cluster(tmp_path) as cluster:
        cluster.admin().create_topic("t")
        came = once(monkeypatch, TopicAdmin, "delete_topic", lambda: cluster.admin().delete_topic("t"))
        words = ["--delete", "--topic", "t", *(["--if-exists"] if tolerant else [])]
        done = run("topics", *words, data_dir=tmp_path)
    assert came
    assert done.code == (0 if tolerant else 1)
    assert ("does not exist" in done.stdout + done.stderr) is not tolerant


def test_a_topic_that_goes_as_leaders_are_elected_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_cluster(tmp_path) as cluster:
        for name in ("gone", "there"):
            cluster.admin().create_topic(name)
        came = once(monkeypatch, Catalog, "partitions", lambda: cluster.admin().delete_topic("gone"), behind=True)
        done = run("leader-election", "--all-topic-partitions", "--election-type", "preferred", data_dir=tmp_path)
    assert came
    assert (done.stderr, done.code) == ("", 0)
