"""Every script that Kafka 4.3 has in its bin/ has an answer: a tool, or a refusal that says what there is instead."""

from __future__ import annotations

import subprocess
import sysconfig
from pathlib import Path

import pytest

from pykafka_cli import KAFKA_TOOLS, main
from pykafka_cli.errors import CommandFailure
from pykafka_cli.tool.absent import INSTEAD_OF_SCRIPTS
from pykafka_cli.tool.home import write_home
from pykafka_cli.tool.programs import write_programs

BIN = {
    "connect-distributed",
    "connect-mirror-maker",
    "connect-plugin-path",
    "connect-standalone",
    "kafka-acls",
    "kafka-broker-api-versions",
    "kafka-client-metrics",
    "kafka-cluster",
    "kafka-configs",
    "kafka-console-consumer",
    "kafka-console-producer",
    "kafka-console-share-consumer",
    "kafka-consumer-groups",
    "kafka-consumer-perf-test",
    "kafka-delegation-tokens",
    "kafka-delete-records",
    "kafka-dump-log",
    "kafka-e2e-latency",
    "kafka-features",
    "kafka-get-offsets",
    "kafka-groups",
    "kafka-jmx",
    "kafka-leader-election",
    "kafka-log-dirs",
    "kafka-metadata-quorum",
    "kafka-metadata-shell",
    "kafka-producer-perf-test",
    "kafka-reassign-partitions",
    "kafka-replica-verification",
    "kafka-run-class",
    "kafka-server-start",
    "kafka-server-stop",
    "kafka-share-consumer-perf-test",
    "kafka-share-groups",
    "kafka-storage",
    "kafka-streams-application-reset",
    "kafka-streams-groups",
    "kafka-topics",
    "kafka-transactions",
    "kafka-verifiable-consumer",
    "kafka-verifiable-producer",
    "kafka-verifiable-share-consumer",
    "trogdor",
}
"""What Kafka 4.3's bin/ holds, without ``.sh``."""


COMPAT = Path(__file__).resolve().parents[2] / "COMPAT.md"


def table() -> dict[str, str]:
    """Script -> its state, by COMPAT.md."""
    section = COMPAT.read_text().partition("## Every script of Kafka's bin/\n")[2].partition("\n## ")[0]
    rows = [line.split("|") for line in section.partition("What scripts of the last ten years")[0].splitlines()]
    return {row[1].strip(" `"): row[2].strip() for row in rows if len(row) == 6 and row[1].startswith(" `")}


def test_the_table_of_scripts_is_complete() -> None:
    assert set(table()) == BIN


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("bin")
    write_programs(str(directory))
    return directory


@pytest.mark.parametrize("name", sorted(BIN))
def test_what_the_table_says_of_a_script_is_so(name: str, programs: Path) -> None:
    """One that is here has a command, which its script starts; one that refuses says what there is instead."""
    tool = name.removeprefix("kafka-")
    state = table()[name]
    if state == "here":
        assert tool in KAFKA_TOOLS
        assert main.load_command(tool).name == tool
        assert f"-m pykafka_cli {name} " in (programs / f"{name}.sh").read_text()
    else:
        assert state == "refuses"
        done = subprocess.run([programs / f"{name}.sh", "--list"], capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == f"{name} is not here: {INSTEAD_OF_SCRIPTS[name]}\n"


def test_every_script_of_kafkas_is_written(tmp_path: Path) -> None:
    """With ``.sh``, as Apache's distribution has them, and without, as Confluent's and Homebrew's do."""
    written = {Path(path).name for path in write_programs(str(tmp_path / "bin"))}
    assert {f"{name}{end}" for name in BIN for end in ("", ".sh")} - written == set()
    assert "pykafka" not in written


def test_a_file_of_somebody_elses_stops_it_before_anything_is_written(tmp_path: Path) -> None:
    (tmp_path / "kafka-topics").write_text("mine")
    with pytest.raises(CommandFailure, match="was not written by pykafka link"):
        write_programs(str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["kafka-topics"]


def test_a_home_has_the_programs_and_settings_that_nobody_has_changed(tmp_path: Path) -> None:
    written = set(write_home(str(tmp_path)))
    settings = {str(tmp_path / "config" / f"{name}.properties") for name in ("server", "producer", "consumer")}
    assert {path for path in written if "/config/" in path} == settings
    assert str(tmp_path / "bin" / "kafka-server-start.sh") in written
    (tmp_path / "config" / "server.properties").write_text("node.id=7\n")
    assert set(write_home(str(tmp_path))) == written - settings
    assert (tmp_path / "config" / "server.properties").read_text() == "node.id=7\n"


def test_a_program_that_pip_installed_stays_as_it_is(tmp_path: Path) -> None:
    installed = Path(sysconfig.get_path("scripts"), "kafka-topics").read_bytes()
    (tmp_path / "kafka-topics").write_bytes(installed)
    write_programs(str(tmp_path))
    assert (tmp_path / "kafka-topics").read_bytes() == installed
    assert (tmp_path / "kafka-topics.sh").exists()


def test_pykafka_is_written_where_it_is_asked_for(tmp_path: Path) -> None:
    write_programs(str(tmp_path), with_pykafka=True)
    assert (tmp_path / "kafka-topics").stat().st_mode & 0o777 == 0o755
    done = subprocess.run([tmp_path / "pykafka", "--version"], capture_output=True, text=True)
    assert done.stdout.startswith("pykafka ")


def test_a_name_without_sh_refuses_as_well(programs: Path) -> None:
    done = subprocess.run([programs / "zookeeper-server-start"], capture_output=True, text=True)
    assert (done.returncode, done.stderr.partition(":")[0]) == (1, "zookeeper-server-start is not here")
