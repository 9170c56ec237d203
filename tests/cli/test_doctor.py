"""pykafka doctor prints what it finds, a line and its meaning each; a summary; and exits 1 if anything is wrong."""

from __future__ import annotations

import os
import subprocess
import sysconfig
from pathlib import Path

import pytest

from pykafka_cli.commands.doctor import summary
from pykafka_store.model import CheckReport, Finding, Severity
from pykafka_store.open import open_cluster
from tests.support import terminal
from tests.support.console import Tool
from tests.support.in_process import run


@pytest.fixture
def data(tmp_path: Path) -> Path:
    directory = tmp_path / "data"
    with open_cluster(directory) as cluster:
        cluster.admin().create_topic("t")
        with cluster.producer() as producer:
            producer.send("t", [b"x" * 100] * 5)
    return directory


def test_nothing_is_wrong(data: Path) -> None:
    size = (data / "brokers" / "0" / "t-0" / f"{0:020d}.log").stat().st_size
    done = run("doctor", data_dir=data)
    assert done == (f"1 partition, 1 replica, {size} bytes read: no problems\n", "", 0)
    assert run("doctor", "--repair", data_dir=data) == done
    assert run("doctor", "--data-dir", str(data)) == done


def test_lines_fit_a_terminal(data: Path) -> None:
    """But for what names a segment of a topic whose name is long."""
    (data / "brokers" / "0" / "t-0" / "published-state").unlink()
    (data / "brokers" / "0" / "t-0" / "partition.metadata").unlink()
    (data / "brokers" / "0" / "lost-0").mkdir()
    (data / "file").touch()
    done = run("doctor", data_dir=data)
    assert (done.code, done.stderr) == (1, "")
    *findings, last = done.stdout.splitlines()
    assert [line.split(":")[0] for line in findings[::2]] == ["warning", "warning", "info", "info"]
    assert all(line.startswith("    ") for line in findings[1::2])
    assert last.endswith(": 2 problems (3 findings for --repair to mend)")
    assert max(map(len, findings)) <= 90

    done = run("doctor", "--repair", data_dir=data)
    assert (done.code, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert [line.split(":")[0] for line in lines if not line.startswith(" ")][2:-1] == ["mended"] * 3 + ["kept"] * 2
    kept = next(line for line in lines if line.startswith("kept: ") and "repaired" in line)
    assert Path(kept.removeprefix("kept: ")).parent == data / "repaired"


def test_beside_a_producer_that_is_killed(data: Path) -> None:
    with Tool(data, "kafka-console-producer", "--topic", "t") as producer:
        producer.say(b"one\n")
        while b"one" not in (data / "brokers" / "0" / "t-0" / f"{0:020d}.log").read_bytes():
            pass
        assert run("doctor", data_dir=data).code == 0
        producer.process.kill()
        producer.process.wait()
        done = run("doctor", data_dir=data)
    assert (done.code, done.stderr) == (0, "")
    assert done.stdout.endswith("no problems\n")


def test_a_reader_that_goes_away_is_no_error(data: Path) -> None:
    (data / "file").touch()
    pykafka = os.path.join(sysconfig.get_path("scripts"), "pykafka")
    command = f"{pykafka} doctor --data-dir {data} | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert (done.stdout, done.stderr, done.returncode) == ("info: file: is no file of ours\n", "", 0)


def test_progress_on_a_terminal_goes_away(data: Path) -> None:
    pykafka = os.path.join(sysconfig.get_path("scripts"), "pykafka")
    code, _, said = terminal.run([pykafka, "doctor", "--data-dir", str(data)])
    assert code == 0
    assert said == terminal.line("doctor: t-0, 0 bytes read") + terminal.GONE


@pytest.mark.parametrize("more", [(), ("--repair",)])
def test_no_data_directory(tmp_path: Path, more: tuple[str, ...]) -> None:
    done = run("doctor", "--data-dir", str(tmp_path), *more)
    assert (done.stdout, done.code) == ("", 1)
    assert done.stderr == (
        f"KafkaStorageException: {tmp_path} is not a pykafka data directory: create a topic in it first "
        "(kafka-topics --create --topic NAME)\n"
    )


def test_the_summary() -> None:
    assert summary(CheckReport(partitions=2, replicas=1, bytes=2_500_000)) == (
        "2 partitions, 1 replica, 2.5 MB read: no problems"
    )
    info = Finding(Severity.INFO, "a", "b", "c", repairable=True)
    error = Finding(Severity.ERROR, "a", "b", "c")
    assert summary(CheckReport((info, error))).endswith("1 problem (1 finding for --repair to mend)")
    assert summary(CheckReport((error,), mended=(info, info))).endswith(": 1 problem, 2 mended")


def test_a_cluster_id_may_be_any_text(tmp_path: Path) -> None:
    """As with Kafka's own tool; it is none that we would choose."""
    data = tmp_path / "own"
    assert run("storage", "format", "-t", "my cluster", "--data-dir", str(data)).code == 0
    assert run("doctor", data_dir=data).code == 0
    (data / "meta.properties").write_text("cluster.id=my cluster\nversion=1\n")
    assert run("doctor", "--repair", data_dir=data).code == 0
    assert run("cluster", "cluster-id", data_dir=data).stdout == "Cluster ID: my cluster\n"
