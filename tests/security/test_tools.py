"""SECURITY.md, what concerns the tools: code, terminals, secrets, the network."""

from __future__ import annotations

import ast
import base64
import hashlib
import hmac
import os
import re
import socket
import sys
import sysconfig
from pathlib import Path

import pytest

from pykafka_store.embedded.cluster import EmbeddedCluster
from tests.support.console import Tool, produce
from tests.support.in_process import Done, run

ROOT = Path(__file__).resolve().parents[2]
MODULES = [*(ROOT / "pykafka_cli").rglob("*.py"), *(ROOT / "store").rglob("*.py")]
SCRIPTS = Path(sysconfig.get_path("scripts"))
SECRET = "hunter2-and-more"


def calls() -> list[tuple[str, str]]:
    """(module, what it calls), as far as that has a name."""
    found = []
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call):
                found.append((str(path.relative_to(ROOT)), ast.unparse(node.func)))
    return found


def imports() -> set[tuple[str, str]]:
    """(module, what it imports)"""
    return {
        (str(path.relative_to(ROOT)), alias.name if isinstance(node, ast.Import) else node.module or "")
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }


def test_no_owner_is_changed_and_no_mode_but_of_links() -> None:
    changed = [(path, name) for path, name in calls() if name.split(".")[-1] in {"chmod", "fchmod", "chown", "fchown"}]
    assert changed == [("pykafka_cli/tool/programs.py", "os.chmod")]  # of what link and sandbox write
    assert not [name for _, name in calls() if name.split(".")[-1] in {"setuid", "setgid", "lchown"}]


def test_nothing_is_unpickled_evaluated_or_run() -> None:
    """What runs programs runs those of pykafka itself, or the command that its user gave."""
    able = {
        (path, name) for path, name in imports() if name in {"pickle", "marshal", "shelve", "dill", "yaml", "runpy"}
    }
    assert able == {("pykafka_cli/finding.py", "marshal")}  # byte code of our own modules, as Python reads it
    assert not [(path, name) for path, name in calls() if name in {"eval", "exec", "compile", "__import__"}]
    programs = {path for path, name in calls() if name in {"subprocess.run", "subprocess.Popen", "os.system"}}
    assert {path for path in programs if path.startswith("store")} <= {
        "store/pykafka_store/embedded/disk.py",
        "store/pykafka_store/remote/requests/tls.py",  # openssl, for a PKCS#12 store of its user's
        "store/pykafka_store/sink/command_target.py",  # pykafka sink ... -- COMMAND
    }
    assert len([path for path in programs if path.startswith("pykafka_cli")]) <= 6


def test_sqlite_loads_no_extension() -> None:
    assert not [name for _, name in calls() if "load_extension" in name]


def test_partitioner_class_runs_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "chooser_of_a_test.py").write_text("def last(topic, key, value, partitions): return partitions - 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    config = tmp_path / "producer.properties"
    config.write_text("partitioner.class=chooser_of_a_test:last\n")
    done = produce(tmp_path / "d", "x\n", "--topic", "t", "--command-config", str(config))
    assert done.code == 0, done.stderr
    assert "chooser_of_a_test" in sys.modules
    del sys.modules["chooser_of_a_test"]


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("kafka-console-consumer", ["--topic", "t", "--formatter", "evil_module:run"]),
        ("kafka-console-consumer", ["--topic", "t", "--value-deserializer", "evil_module:run"]),
        (
            "kafka-console-consumer",
            ["--topic", "t", "--group", "g", "--command-property", "partition.assignment.strategy=evil_module:run"],
        ),
        ("kafka-console-producer", ["--topic", "t", "--line-reader", "evil_module:run"]),
        ("kafka-console-producer", ["--topic", "t", "--command-property", "partitioner.class=evil_module"]),
    ],
)
def test_no_other_class_name_runs_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tool: str, arguments: list[str]
) -> None:
    (tmp_path / "evil_module.py").write_text("raise SystemExit('it ran')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    produce(tmp_path / "d", "x\n", "--topic", "t")
    if tool == "kafka-console-producer":
        done = produce(tmp_path / "d", "x\n", *arguments)
    else:
        done = run(tool, *arguments, "--from-beginning", "--max-messages", "1", data_dir=tmp_path / "d")
    assert done.code == 1, done
    assert "evil_module" in done.stderr + done.stdout
    assert "it ran" not in done.stderr + done.stdout
    assert "evil_module" not in sys.modules


def test_serve_listens_on_this_machine_alone(tmp_path: Path) -> None:
    pytest.importorskip("kio")
    done = run("serve", "--listen", "0.0.0.0:0", data_dir=tmp_path / "d")
    assert done.code == 1
    assert "--insecure-network" in done.stderr
    with Tool(tmp_path / "d", "pykafka", "serve", "--listen", "127.0.0.1:0") as tool:
        found = re.search(r"127\.0\.0\.1:(\d+)", tool.hear().decode())
        assert found is not None
        with socket.create_connection(("127.0.0.1", int(found[1])), 10):
            pass


# ------------------------------------------------------------------------------------------------------------ terminals


def test_records_are_printed_as_they_are(tmp_path: Path) -> None:
    produce(tmp_path / "d", "\x1b[31mred\n", "--topic", "t")
    done = run(
        "kafka-console-consumer", "--topic", "t", "--from-beginning", "--max-messages", "1", data_dir=tmp_path / "d"
    )
    assert done.stdout == "\x1b[31mred\n"
    (log,) = (tmp_path / "d").rglob("*.log")
    assert "\x1b[31mred" in run("kafka-dump-log", "--print-data-log", "--files", str(log)).stdout


def test_json_escapes_control_characters(tmp_path: Path) -> None:
    every = "".join(map(chr, range(32))).replace("\n", "").replace("\r", "")
    produce(tmp_path / "d", f"{every}:{every}\n", "--topic", "t", "--property", "parse.key=true", "--property",
            "key.separator=:")  # fmt: skip
    arguments = ("--topic", "t", "--from-beginning", "--max-messages", "1", "--output", "json")
    done = run("kafka-console-consumer", *arguments, data_dir=tmp_path / "d")
    assert done.code == 0, done.stderr
    assert not [each for each in done.stdout.rstrip("\n") if each < " "]
    assert "\\u001b" in done.stdout


def test_group_names_are_printed_as_they_are(tmp_path: Path) -> None:
    produce(tmp_path / "d", "x\n", "--topic", "t")
    arguments = ("--topic", "t", "--from-beginning", "--max-messages", "1", "--group", "g\x1b[31m")
    assert run("kafka-console-consumer", *arguments, data_dir=tmp_path / "d").code == 0
    assert "g\x1b[31m" in run("kafka-consumer-groups", "--list", data_dir=tmp_path / "d").stdout


# -------------------------------------------------------------------------------------------------------------- secrets


def properties(path: Path, **more: str) -> Path:
    login = f'org.apache.kafka.common.security.plain.PlainLoginModule required username="u" password="{SECRET}"'
    lines = {
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "PLAIN",
        "sasl.jaas.config": f"{login};",
        "request.timeout.ms": "500",
        "default.api.timeout.ms": "1000",
    } | {name.replace("_", "."): value for name, value in more.items()}
    path.write_text("".join(f"{name}={value}\n" for name, value in lines.items()))
    return path


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"sasl_jaas_config": f'nonsense password="{SECRET}'},
        {"ssl_key_password": SECRET, "security_protocol": "SSL", "ssl_keystore_location": "/nowhere"},
        {"ssl_truststore_password": SECRET, "security_protocol": "SSL", "ssl_truststore_location": "/nowhere"},
        {"sasl_mechanism": "SCRAM-SHA-7"},
    ],
)
def test_no_error_repeats_a_secret(tmp_path: Path, more: dict[str, str]) -> None:
    pytest.importorskip("confluent_kafka")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = f"127.0.0.1:{free.getsockname()[1]}"
        config = properties(tmp_path / "client.properties", **more)
        done = run("kafka-topics", "--bootstrap-server", nobody, "--list", "--command-config", str(config))
    assert done.code != 0
    assert done.code != 70, done.stderr
    assert SECRET not in done.stdout + done.stderr


def set_password(directory: Path, *more: str) -> Done:
    words = ["--alter", "--user", "alice", "--add-config", f"SCRAM-SHA-256=[{''.join(more)}password={SECRET}]"]
    return run("kafka-configs", *words, data_dir=directory)


def test_no_error_repeats_a_scram_password(tmp_path: Path) -> None:
    for done in (
        set_password(tmp_path / "d", "iterations=20000,"),
        set_password(tmp_path / "d", "iterations=5,"),
        set_password(tmp_path / "d", "rounds=5000,"),
        run(
            "kafka-configs",
            "--alter",
            "--user",
            "a",
            "--add-config",
            f"SCRAM-SHA-512={SECRET}",
            data_dir=tmp_path / "d",
        ),
    ):
        assert (done.code, bool(done.stderr)) == (1, True)
        assert SECRET not in done.stdout + done.stderr


def test_of_a_password_only_what_checks_it_is_written(tmp_path: Path) -> None:
    directory = tmp_path / "d"
    assert set_password(directory).code == 0
    with EmbeddedCluster(str(directory)) as cluster:
        (kept,) = cluster.admin().scram_credentials("alice").values()
    salted = hashlib.pbkdf2_hmac("sha256", SECRET.encode(), kept.salt, kept.iterations)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    assert hashlib.sha256(client_key).digest() == kept.stored_key
    written = [path.read_bytes() for path in directory.rglob("*") if path.is_file()]
    assert any(base64.b64encode(kept.stored_key) in content for content in written)
    for secret in (SECRET.encode(), salted, client_key):
        assert not any(secret in content or base64.b64encode(secret) in content for content in written)


def test_a_tokens_hmac_lies_in_the_directory(tmp_path: Path) -> None:
    config, directory = tmp_path / "admin.properties", tmp_path / "d"
    config.touch()
    words = ("--command-config", str(config))
    made = run("kafka-delegation-tokens", "--create", "--max-life-time-period", "-1", *words, data_dir=directory)
    (shown,) = re.findall(r"[A-Za-z0-9+/]{86}==", made.stdout)
    assert any(shown.encode() in path.read_bytes() for path in directory.rglob("*") if path.is_file())


def test_a_secret_in_a_file_is_in_no_argument(tmp_path: Path) -> None:
    if not Path("/proc/self/cmdline").exists():
        pytest.skip("no /proc")
    config = properties(tmp_path / "client.properties")
    produce(tmp_path / "d", "x\n", "--topic", "t")
    words = ["--topic", "t", "--from-beginning", "--command-config", str(config)]
    with Tool(tmp_path / "d", "kafka-console-consumer", *words) as tool:
        assert tool.hear() == b"x\n"
        shown = Path(f"/proc/{tool.process.pid}/cmdline").read_bytes()
        assert b"--command-config" in shown
        assert SECRET.encode() not in shown
    property_ = f"sasl.jaas.config={SECRET}"
    with Tool(tmp_path / "d", "kafka-console-consumer", *words[:3], "--command-property", property_) as tool:
        assert tool.hear() == b"x\n"
        assert SECRET.encode() in Path(f"/proc/{tool.process.pid}/cmdline").read_bytes()


def test_no_secret_is_written_to_the_directory(tmp_path: Path) -> None:
    config = str(properties(tmp_path / "client.properties"))
    directory = tmp_path / "d"
    assert produce(directory, "x\n", "--topic", "t", "--command-config", config).code == 0
    arguments = ("--topic", "t", "--from-beginning", "--max-messages", "1", "--group", "g", "--command-config", config)
    assert run("kafka-console-consumer", *arguments, data_dir=directory).code == 0
    for path in directory.rglob("*"):
        if path.is_file() and os.access(path, os.R_OK):
            assert SECRET.encode() not in path.read_bytes(), path
