"""Signals that strike ``pykafka sandbox``; what it does without them is in tests/scripts/comfort/sandbox."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.support.console import Tool
from tests.support.in_process import run
from tests.support.signals import has_ended

WAITING = "trap 'echo told; exit {code}' {signal}; echo ready; while :; do sleep 0.02; done"


def sandbox(folder: Path, *command: str) -> Tool:
    return Tool(folder / "data", "pykafka", "sandbox", "--dir", str(folder / "here"), "--", *command)


@pytest.mark.parametrize(("code", "kept"), [(0, False), (3, True)])
def test_sigterm_is_passed_on_and_the_command_decides(code: int, kept: bool, tmp_path: Path) -> None:
    command = WAITING.format(code=code, signal="TERM")
    with Tool(
        tmp_path / "data", "pykafka", "sandbox", "--dir", str(tmp_path / "here"), "--", "sh", "-c", command
    ) as tool:
        assert tool.hear() == b"ready\n"
        tool.interrupt(signal.SIGTERM)
        ended, out, err = tool.end()
    assert (ended, out) == (code, b"told\n")
    assert bool(list((tmp_path / "here").iterdir())) is kept
    assert (b"the directory is kept" in err) is kept


def test_ctrl_c_is_the_commands_affair(tmp_path: Path) -> None:
    """A terminal sends it to both; here only the sandbox gets it, and does not leave the command alone."""
    command = WAITING.format(code=5, signal="TERM")
    with Tool(
        tmp_path / "data", "pykafka", "sandbox", "--dir", str(tmp_path / "here"), "--", "sh", "-c", command
    ) as tool:
        assert tool.hear() == b"ready\n"
        tool.interrupt(signal.SIGINT)
        tool.interrupt(signal.SIGTERM)
        assert tool.end()[:2] == (5, b"told\n")


def test_what_is_no_program_is_told(tmp_path: Path) -> None:
    file = tmp_path / "text"
    file.write_bytes(b"\x7fELF no program")
    file.chmod(0o755)
    with sandbox(tmp_path, str(file)) as tool:
        code, out, err = tool.end()
    assert (code, out) == (126, b"")
    assert f"sandbox: {file}: Exec format error".encode() in err


# ------------------------------------------------------------------------------------------ log.dirs of a server's file


def in_sandbox(folder: Path, script: str) -> tuple[int, str, str]:
    """A script in a sandbox: its exit code and output. Its server.properties names ``logs`` in the folder."""
    (folder / "server.properties").write_text(
        f"node.id=1\nlisteners=PLAINTEXT://127.0.0.1:0\nlog.dirs={folder}/a/logs\n"
    )
    script = f"cd {folder}; {script}"
    with sandbox(folder, "sh", "-ec", script) as tool:
        code, out, err = tool.end()
    return code, out.decode(), err.decode()


GUARD = "[ -f a/logs/meta.properties ] || kafka-storage format -t {id} -c server.properties >/dev/null"
CLUSTER_ID = "kafka-cluster cluster-id"


def test_the_logs_are_where_the_file_says_for_as_long_as_the_sandbox_lives(tmp_path: Path) -> None:
    script = f"""
        {GUARD.format(id="first")}
        {GUARD.format(id="never")}
        {CLUSTER_ID}
        rm -rf a/logs
        {GUARD.format(id="second")}
        {CLUSTER_ID}
        rm -r a/logs/*
        {GUARD.format(id="third")}
        kafka-topics --create --topic t
        {CLUSTER_ID}
    """
    assert in_sandbox(tmp_path, script) == (
        0,
        "Cluster ID: first\nCluster ID: second\nCreated topic t.\nCluster ID: third\n",
        "",
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here", "server.properties"]
    assert list((tmp_path / "here").iterdir()) == []


def test_a_script_finds_kafkas_own_directory(tmp_path: Path) -> None:
    """As the quickstart has it, with a directory for the logs that nobody else uses here."""
    script = """
        cd "$KAFKA_HOME"
        sed -i "s|^log.dirs=.*|log.dirs=$OLDPWD/logs|; s|:909[23]|:0|g" config/server.properties
        bin/kafka-storage.sh format --standalone -t quickstart -c config/server.properties >/dev/null
        bin/kafka-topics.sh --create --topic t --bootstrap-server localhost:9092
        seq 3 | bin/kafka-console-producer --topic t --command-config config/producer.properties
        bin/kafka-console-consumer.sh --topic t --from-beginning --max-messages 3 \\
            --bootstrap-server localhost:9092 --command-config config/consumer.properties 2>/dev/null
        bin/kafka-cluster.sh cluster-id --bootstrap-server localhost:9092
        ls "$OLDPWD/logs/meta.properties"
    """
    code, out, err = in_sandbox(tmp_path, script)
    assert (code, err) == (0, "")
    assert out == f"Created topic t.\n1\n2\n3\nCluster ID: quickstart\n{tmp_path}/logs/meta.properties\n"


def test_an_empty_directory_is_used_and_empty_again(tmp_path: Path) -> None:
    code, out, err = in_sandbox(tmp_path, f"mkdir -p a/logs; {GUARD.format(id='own')}; ls a/logs/meta.properties")
    assert (code, out, err) == (0, "a/logs/meta.properties\n", "")
    assert (tmp_path / "a/logs").is_dir()
    assert list((tmp_path / "a/logs").iterdir()) == []


def test_what_is_there_already_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a/logs").mkdir(parents=True)
    (tmp_path / "a/logs/precious").write_text("mine")
    code, out, err = in_sandbox(tmp_path, f"{GUARD.format(id='own')}; {GUARD.format(id='own')} || true; {CLUSTER_ID}")
    assert (code, out) == (0, "Cluster ID: own\n")
    assert err.startswith(f"WARNING: {tmp_path}/a/logs is not this sandbox's to use: its server's logs are in ")
    assert err.count("WARNING") == 1
    assert [path.name for path in (tmp_path / "a/logs").iterdir()] == ["precious"]


def test_two_sandboxes_at_once_do_not_share_a_place(tmp_path: Path) -> None:
    form = "kafka-storage format -t {id} -c server.properties >/dev/null"
    inner = f"env -u PYKAFKA_SANDBOX pykafka sandbox -- sh -ec '{form.format(id='inner')}; {CLUSTER_ID}' 2>/dev/null"
    code, out, err = in_sandbox(tmp_path, f"{form.format(id='outer')}; {inner}; {CLUSTER_ID}")
    assert (code, out, err) == (0, "Cluster ID: inner\nCluster ID: outer\n", "")


def test_where_the_command_fails_the_logs_are_kept_in_the_sandbox(tmp_path: Path) -> None:
    code, _, err = in_sandbox(tmp_path, f"{GUARD.format(id='own')}; kafka-topics --create --topic t; exit 3")
    assert code == 3
    (kept,) = (tmp_path / "here").iterdir()
    assert f"the directory is kept: {kept}\n" in err
    assert not (tmp_path / "a").exists()
    assert run("kafka-topics", "--list", data_dir=kept / "data").stdout == "t\n"


@pytest.mark.parametrize("code", [0, 3])
def test_a_server_serves_what_was_asked_before_it_was_started(code: int, tmp_path: Path) -> None:
    start = "kafka-server-start -daemon server.properties"
    script = f"kafka-topics --create --topic t; {start}; ls -d a/logs/meta.properties; kafka-topics --list; exit {code}"
    ended, out, err = in_sandbox(tmp_path, script)
    assert (ended, out) == (code, "Created topic t.\na/logs/meta.properties\nt\n"), err
    assert not (tmp_path / "a").exists()
    for kept in (tmp_path / "here").iterdir():
        assert run("kafka-topics", "--list", data_dir=kept / "data").stdout == "t\n"


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="no pidfd_open on this system")
def test_a_server_whose_directory_was_removed_is_stopped(tmp_path: Path) -> None:
    script = "kafka-server-start -daemon server.properties; cat a/logs/locks/server.lock; rm -rf a/logs"
    code, out, err = in_sandbox(tmp_path, script)
    assert code == 0, err
    assert has_ended(int(out))
    assert not (tmp_path / "a").exists()


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="no pidfd_open on this system")
def test_every_server_that_was_left_running_is_stopped(tmp_path: Path) -> None:
    start = "kafka-server-start -daemon server.properties --override"
    script = f"for n in 1 2; do {start} log.dirs=$PWD/disk$n; done; cat disk?/locks/server.lock"
    code, out, err = in_sandbox(tmp_path, script)
    assert code == 0, err
    assert [has_ended(int(process)) for process in out.split()] == [True, True]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here", "server.properties"]


PROBE = "kafka-broker-api-versions --bootstrap-server localhost:9092 >/dev/null"


def test_commands_share_what_is_formatted_after_a_mere_probe(tmp_path: Path) -> None:
    code, out, err = in_sandbox(
        tmp_path, f"{PROBE}; {GUARD.format(id='own')}; {CLUSTER_ID}; kafka-topics --create --topic t"
    )
    assert (code, out, err) == (0, "Cluster ID: own\nCreated topic t.\n", "")


def test_a_server_has_its_files_number_and_the_probes_cluster_id(tmp_path: Path) -> None:
    start = "kafka-server-start -daemon server.properties"
    described = "kafka-topics --create --topic t >/dev/null; kafka-topics --describe --topic t"
    code, out, err = in_sandbox(tmp_path, f"{PROBE}; {CLUSTER_ID}; {start}; {CLUSTER_ID}; {described}")
    assert (code, err) == (0, "")
    before, after, _, partition = out.splitlines()
    assert before == after
    assert "Leader: 1\tReplicas: 1\t" in partition


def test_a_directory_that_something_was_done_in_stays(tmp_path: Path) -> None:
    done = "kafka-configs --alter --entity-type users --entity-name ann --add-config consumer_byte_rate=5 2>/dev/null"
    shown = "kafka-configs --describe --entity-type users"
    code, out, err = in_sandbox(tmp_path, f"{done}; {GUARD.format(id='own')}; {shown}")
    assert code == 0
    assert "consumer_byte_rate=5" in out
    assert err.startswith("WARNING: the commands of this environment use ")
