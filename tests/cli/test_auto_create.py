"""What is made because it is used, a topic or a directory: it can be forbidden, and of a directory it is told."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from pykafka_cli import main
from pykafka_cli.env import Env
from pykafka_store.open import open_cluster
from tests.support.in_process import Done, run

NEVER = {"PYKAFKA_AUTO_CREATE": "0"}
CONSUME = ("kafka-console-consumer", "--from-beginning", "--timeout-ms", "1", "--topic")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A data directory with the topic orders."""
    with open_cluster(tmp_path / "data") as cluster:
        cluster.admin().create_topic("orders")
    return tmp_path / "data"


def topics(directory: Path) -> list[str]:
    return run("kafka-topics", "--list", data_dir=directory).stdout.split()


@pytest.mark.parametrize(("options", "environ"), [(("--no-auto-create",), {}), ((), NEVER)])
def test_a_consumer_refuses_a_topic_that_is_missing(
    directory: Path, options: tuple[str, ...], environ: dict[str, str]
) -> None:
    done = run(*CONSUME, "ordrs", *options, data_dir=directory, environ=environ)
    assert (done.code, done.stdout) == (1, "")
    assert done.stderr == (
        "UnknownTopicOrPartitionException: Topic 'ordrs' does not exist: create it with kafka-topics --create --topic "
        "ordrs\nDid you mean orders?\n"
    )
    assert topics(directory) == ["orders"]
    assert run(*CONSUME, "orders", *options, data_dir=directory, environ=environ).code == 0


def test_the_environment_forbids_it_to_a_producer_too(directory: Path) -> None:
    done = run("kafka-console-producer", "--topic", "ordrs", data_dir=directory, environ=NEVER)
    assert done.code == 1
    assert done.stderr.endswith("Did you mean orders?\n")
    assert topics(directory) == ["orders"]


def test_a_topic_that_is_created_like_one_that_is_there_is_told_of(directory: Path) -> None:
    done = run(*CONSUME, "ordrs", data_dir=directory)
    assert done.stderr.startswith("Topic ordrs did not exist and was created with 1 partition\nDid you mean orders?\n")
    done = run(*CONSUME, "payments", data_dir=directory)
    assert "Did you mean" not in done.stderr


@pytest.mark.parametrize("value", ["no", "2", "off"])
def test_a_flag_that_is_none_is_refused(directory: Path, value: str) -> None:
    done = run(*CONSUME, "ordrs", data_dir=directory, environ={"PYKAFKA_AUTO_CREATE": value})
    assert (done.code, done.stderr) == (1, f"PYKAFKA_AUTO_CREATE is 0 or 1, and not {value}\n")


@pytest.mark.parametrize(
    "tool", ["topics --list", "consumer-groups --list", "console-consumer --topic t", "get-offsets --topic t"]
)
def test_a_directory_that_is_missing_is_refused(tmp_path: Path, tool: str) -> None:
    name, *arguments = tool.split()
    done = run(f"kafka-{name}", *arguments, data_dir=tmp_path / "nowhere", environ=NEVER)
    assert "/nowhere does not exist" in done.stderr + done.stdout
    assert not (tmp_path / "nowhere").exists()


def test_what_creates_a_topic_by_name_makes_the_directory_too(tmp_path: Path) -> None:
    done = run("kafka-topics", "--create", "--topic", "t", data_dir=tmp_path / "new", environ=NEVER)
    assert done == Done("Created topic t.\n", "", 0)


def test_a_mirror_makes_no_directory_where_that_is_forbidden(directory: Path) -> None:
    target = directory.parent / "copy"
    arguments = ("--from", str(directory), "--to", str(target), "--topic", "orders")
    done = run("mirror", *arguments, environ=NEVER)
    assert "/copy does not exist" in done.stderr
    assert not target.exists()
    assert run("mirror", *arguments).stderr == f"Made a new data directory: {target}\n"
    assert run("mirror", *arguments).stderr == ""


def test_a_directory_that_the_command_line_names_and_that_is_made_is_told_of(tmp_path: Path) -> None:
    for option, value in (("--data-dir", tmp_path / "a"), ("--bootstrap-server", f"file:{tmp_path}/b")):
        path = tmp_path / str(value)[-1]
        assert run("kafka-topics", "--list", option, str(value)) == Done(
            "\n", f"Made a new data directory: {path}\n", 0
        )
        assert run("kafka-topics", "--list", option, str(value)) == Done("\n", "", 0)


@pytest.mark.parametrize("terminal", [False, True])
def test_one_of_the_environment_is_told_of_to_a_person_only(tmp_path: Path, terminal: bool) -> None:
    """A script that was written for a broker prints what it prints with one."""
    stderr = io.StringIO()
    stderr.isatty = lambda: terminal  # type: ignore[method-assign]
    environ = {"PYKAFKA_DATA_DIR": str(tmp_path / "d"), "PYKAFKA_EMBED": "h:1"}
    env = Env(stdin=io.BytesIO(), stdout=io.BytesIO(), stderr=stderr, environ=environ)
    arguments = ["--list", "--bootstrap-server", "h:1"]
    assert main.run(lambda: main.load_command("topics"), "kafka-topics", arguments, env) == 0
    assert stderr.getvalue() == (f"Made a new data directory: {tmp_path}/d\n" if terminal else "")
