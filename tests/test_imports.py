"""What a command costs before it does anything: the modules it imports."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from pykafka_cli import KAFKA_TOOLS
from pykafka_cli.main import load_command
from pykafka_cli.options import KafkaCommand

HEAVY = {
    "asyncio", "confluent_kafka", "cramjam", "dataclasses", "filelock", "google_crc32c", "json", "logging",
    "sqlite_utils", "subprocess", "tabulate", "tempfile", "unittest", "urllib", "urllib.parse",
}  # fmt: skip
"""Modules that take milliseconds and that listing topics has no use for."""

MODULES = 120
"""Those that ``kafka-topics --list`` may import, ours and click's and the standard library's: 109 when this was
written, half of them for click alone.
"""


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    environ = {**os.environ, "PYKAFKA_DATA_DIR": str(tmp_path / "data")}
    done = subprocess.run([program("kafka-topics"), "--create", "--topic", "orders"], env=environ, capture_output=True)
    assert done.returncode == 0, done.stderr
    return environ


def program(name: str) -> str:
    return str(Path(sysconfig.get_path("scripts")) / name)


REPORTING = """
import os, sys
leave = os._exit
def report(code):
    print("MODULES", *sys.modules, file=sys.stderr)
    leave(code)
os._exit = report
sys.argv = sys.argv[1:]
from pykafka_cli import main
getattr(main, sys.argv[0].replace("-", "_"))()
"""
"""Runs a program and prints, as it leaves, what it has imported."""


def modules_of(environ: dict[str, str], *words: str) -> set[str]:
    """The modules that a command line imports."""
    done = subprocess.run([sys.executable, "-c", REPORTING, *words], env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.splitlines()[-1].removeprefix("MODULES ").split())


def test_listing_topics_imports_no_more_than_it_needs(environ: dict[str, str]) -> None:
    modules = modules_of(environ, "kafka-topics", "--list")
    assert "pykafka_cli.commands.topics" in modules  # the report was understood
    assert modules & HEAVY == set()


def test_a_command_does_not_import_another(environ: dict[str, str]) -> None:
    for words in (["kafka-topics", "--list"], ["pykafka", "topics", "--list"]):
        commands = {name for name in modules_of(environ, *words) if name.startswith("pykafka_cli.commands.")}
        assert commands == {"pykafka_cli.commands.topics"}


def test_the_version_needs_no_engine(environ: dict[str, str]) -> None:
    for tool in KAFKA_TOOLS:
        if not isinstance(load_command(tool), KafkaCommand):
            continue  # those of argparse4j have no --version
        modules = modules_of(environ, f"kafka-{tool}", "--version")
        assert {name for name in modules if name.startswith("pykafka_store.embedded")} == set()


def test_the_command_line_alone_imports_no_store() -> None:
    code = "import sys, pykafka_cli.main; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules = set(done.stdout.split())
    assert "click" in modules
    assert {name for name in modules if name.startswith("pykafka_store")} == set()


def test_listing_topics_imports_few_modules(environ: dict[str, str]) -> None:
    """What a start costs is its imports, and their number is the same on every machine, however busy: the time, as a
    ratio, is a row of tests/benchmarks/run.py.
    """
    code = "import sys; print(*sys.modules)"
    bare = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True)
    imported = modules_of(environ, "kafka-topics", "--list") - set(bare.stdout.split())
    assert len(imported) <= MODULES, sorted(imported)
