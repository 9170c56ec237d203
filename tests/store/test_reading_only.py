"""Who may only read a directory sees what its owner does to it, for as long as both live."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pykafka_store.embedded.cluster import EmbeddedCluster
from pykafka_store.model import TopicPartition
from tests.crash.forks import Forks
from tests.support.console import PATIENCE

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@pytest.fixture
def shared() -> Iterator[Path]:
    """A data directory that other users may look into and not change."""
    path = Path(tempfile.mkdtemp(prefix="pykafka-shared-"))
    path.chmod(0o755)
    mask = os.umask(0o022)
    yield path / "d"
    os.umask(mask)
    shutil.rmtree(path)


@pytest.fixture
def forks(tmp_path: Path) -> Iterator[Forks]:
    with Forks(tmp_path / "errors") as forks:
        yield forks
    forks.check_complaints()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _known(tmp_path: Path) -> str:
    """Another directory like it, with all that is looked for."""
    directory = str(tmp_path / "known")
    with EmbeddedCluster(directory) as cluster:
        _send(cluster, "a", b"known")
        cluster.admin().alter_group_offsets("g", {TopicPartition("a", 0): 1})
    return directory


def _send(cluster: EmbeddedCluster, topic: str, *values: bytes, partition: int = 0) -> None:
    with cluster.producer() as producer:
        producer.send(topic, list(values), partitions=partition)


@pytest.mark.parametrize("owner_stays", [False, True])
@pytest.mark.parametrize("brokers", [1, 2])
def test_a_follower_sees_new_topics_and_partitions_and_topics_made_again(
    shared: Path, forks: Forks, tmp_path: Path, brokers: int, owner_stays: bool
) -> None:
    """Whether there is a live write-ahead log beside the catalogue when it begins, or none."""
    said = tmp_path / "said"
    with EmbeddedCluster(str(shared)) as owner:
        for _ in range(brokers - 1):
            owner.add_broker()
        _send(owner, "a", b"1")
    owner = EmbeddedCluster(str(shared))
    if not owner_stays:
        owner.close()
    forks.start("follower_without_rights", str(shared), _known(tmp_path), str(said))

    def sees(line: str) -> None:
        until(lambda: line in said.read_text().splitlines() or bool(forks.complaints()))
        forks.check_complaints()

    until(said.exists)
    sees("a-0 1")
    for round_ in range(3):
        topic = f"new{round_}"
        if not owner_stays:
            owner = EmbeddedCluster(str(shared))
        _send(owner, topic, b"first")
        sees(f"{topic}-0 first")
        owner.admin().create_partitions(topic, 3)
        _send(owner, topic, b"third", partition=2)
        sees(f"{topic}-2 third")
        owner.admin().delete_topic(topic)
        _send(owner, topic, b"again")
        sees(f"{topic}-0 again")
        if not owner_stays:
            owner.close()
    if owner_stays:
        owner.close()
    lines = said.read_text().splitlines()
    assert len(lines) == len(set(lines))


@pytest.mark.parametrize("way", ["topic", "group"])
def test_wait_waits_in_a_directory_that_may_only_be_read(shared: Path, forks: Forks, tmp_path: Path, way: str) -> None:
    said = tmp_path / "said"
    with EmbeddedCluster(str(shared)) as owner:
        owner.admin().create_topic("b")
    words = {
        "topic": ("--topic", "a", "--records", "1"),
        "group": ("--group", "g"),
    }[way]
    waiter = forks.start("waiter_without_rights", str(shared), _known(tmp_path), str(said), *words, "--timeout", "60s")
    until(said.exists)
    with EmbeddedCluster(str(shared)) as owner:
        _send(owner, "a", b"1")
        owner.admin().alter_group_offsets("g", {TopicPartition("a", 0): 1})
    assert forks.wait(waiter) == 0
    assert json.loads(said.read_text().splitlines()[-1]) == ["", "", 0]


READ_ONLY = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && shift && exec "$@"'


@pytest.fixture
def mounted_read_only(shared: Path) -> list[str]:
    """The words before a command that finds the directory on a file system which is mounted read-only."""
    EmbeddedCluster(str(shared)).close()
    words = ["unshare", "--mount", "sh", "-c", READ_ONLY, "sh", str(shared)]
    if shutil.which("unshare") is None or subprocess.run([*words, "true"], capture_output=True).returncode != 0:
        pytest.skip("nothing can be mounted here")
    return words


@pytest.mark.parametrize("tool", ["topics --create --topic t", "doctor --repair"])
def test_a_directory_on_a_file_system_that_is_mounted_read_only_is_not_said_to_lack_permissions(
    shared: Path, mounted_read_only: list[str], tool: str
) -> None:
    command = [*mounted_read_only, sys.executable, "-m", "pykafka_cli", *tool.split()]
    done = subprocess.run(command, env={**os.environ, "PYKAFKA_DATA_DIR": str(shared)}, capture_output=True, text=True)
    assert done.returncode == 1
    assert f"{shared} may only be read here: its file system is mounted read-only" in done.stderr
