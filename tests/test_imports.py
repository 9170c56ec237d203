"""What a command costs before it does anything: the modules it imports, and the time of its whole process."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import time
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

LIST_BUDGET = 7.0
"""The whole of ``kafka-topics --list``, in runs of ``python -c pass``. Importing click alone is four of them."""


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


@pytest.mark.slow
def test_listing_topics_starts_in_time(environ: dict[str, str]) -> None:
    """The fastest of many runs, for the machine may be busy. Both take turns, so that they see the same machine."""
    nothing = fastest = float("inf")
    for _ in range(25):
        nothing = min(nothing, seconds([sys.executable, "-c", "pass"], environ))
        fastest = min(fastest, seconds([program("kafka-topics"), "--list"], environ))
    assert fastest / nothing <= LIST_BUDGET, (
        f"{fastest * 1000:.0f} ms against {nothing * 1000:.1f} ms for python -c pass"
    )


def seconds(command: list[str], environ: dict[str, str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, env=environ, capture_output=True, check=True)
    return time.perf_counter() - started
