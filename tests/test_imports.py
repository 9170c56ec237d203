"""What a command costs before it does anything: the modules it imports."""

from __future__ import annotations

import compileall
import importlib.util
import marshal
import os
import pkgutil
import py_compile
import shutil
import signal
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest

import pykafka_cli
import pykafka_store
from pykafka_cli import KAFKA_TOOLS
from pykafka_cli.main import load_command
from pykafka_cli.tool.options import KafkaCommand
from pykafka_store.compiled import COMPILED

ROOT = Path(__file__).resolve().parent.parent

HEAVY = {
    "asyncio", "confluent_kafka", "cramjam", "dataclasses", "filelock", "google_crc32c", "json", "logging",
    "dis", "sqlite_utils", "subprocess", "tabulate", "tempfile", "unittest", "urllib", "urllib.parse",
}  # fmt: skip
"""Modules that take milliseconds and that listing topics has no use for."""

MODULES = 103
"""Those that ``kafka-topics --list`` may import, ours and click's and the standard library's: 100 when this was
written, half of them for click alone.
"""

CONSOLE_MODULES = 152
"""Likewise the console tools: 150 where they are compiled."""


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
from pykafka_cli import start
getattr(start, sys.argv[0].replace("-", "_"))()
"""
"""Runs a program and prints, as it leaves, what it has imported."""


def modules_of(environ: dict[str, str], *words: str) -> set[str]:
    """The modules that a command line imports."""
    done = subprocess.run([sys.executable, "-c", REPORTING, *words], env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.splitlines()[-1].removeprefix("MODULES ").split())


def bare_modules(environ: dict[str, str]) -> set[str]:
    """Those that Python has imported before it runs anything."""
    code = "import sys; print(*sys.modules)"
    bare = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True)
    return set(bare.stdout.split())


def test_listing_topics_imports_no_more_than_it_needs(environ: dict[str, str]) -> None:
    modules = modules_of(environ, "kafka-topics", "--list")
    assert "pykafka_cli.commands.topics" in modules  # the report was understood
    assert modules & HEAVY == set()


def test_a_lock_is_taken_without_an_import_that_costs_more_than_the_start(environ: dict[str, str]) -> None:
    modules = modules_of(environ, "kafka-topics", "--create", "--topic", "locked")
    assert "pykafka_store.embedded.admin.topics" in modules
    assert modules & {"filelock", "logging", "traceback", "pathlib"} == set()


def test_the_console_tools_import_no_more_than_they_need(environ: dict[str, str]) -> None:
    for words in (["kafka-console-producer"], ["kafka-console-consumer", "--exit-at-end"]):
        modules = modules_of(environ, *words, "--topic", "orders")
        assert modules & HEAVY == set()
        assert modules & {"_hashlib", "pathlib", "random", "signal", "zlib"} == set()
        assert len(modules - bare_modules(environ)) <= CONSOLE_MODULES, sorted(modules)


def test_a_program_is_imported_without_a_look_for_garbage(environ: dict[str, str]) -> None:
    code = """
import gc, os, sys
from pykafka_cli import start
assert gc.isenabled()  # whoever imports it starts no program yet
early = []
gc.callbacks.append(lambda phase, info: "pykafka_cli.commands.topics" in sys.modules or early.append(phase))
leave = os._exit
def report(code):
    print(early, gc.isenabled(), gc.get_freeze_count() > 1000, file=sys.stderr)
    leave(code)
os._exit = report
sys.argv = ["kafka-topics", "--list"]
gc.collect()
early.clear()
start.kafka_topics()
"""
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (0, "[] True True")


@pytest.mark.parametrize("module", ["pykafka_cli.later", "pykafka_cli.main", "pykafka_cli.env"])
def test_a_program_struck_by_ctrl_c_while_it_is_imported_says_nothing(environ: dict[str, str], module: str) -> None:
    code = """
import signal, sys
from pykafka_cli import start

class Strikes:
    def find_spec(self, name, path, target=None):
        if name == sys.argv[1]:
            signal.raise_signal(signal.SIGINT)

sys.meta_path.insert(0, Strikes())
start.kafka_topics()
"""
    done = subprocess.run([sys.executable, "-c", code, module], env=environ, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


def test_hardly_anything_is_imported_before_ctrl_c_is_quiet(environ: dict[str, str]) -> None:
    code = (
        "import sys; known = {*sys.modules}; from pykafka_cli.start import kafka_topics; print(*{*sys.modules} - known)"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) <= {"pykafka_cli", "pykafka_cli.start", "__future__"}


def test_a_program_struck_by_ctrl_c_when_it_is_done_says_nothing(environ: dict[str, str]) -> None:
    code = """
import signal, sys
from pykafka_cli import env, start
flush = env.Env.flush
strikes = []
def struck(self):
    flush(self)
    strikes.append(1)
    signal.raise_signal(signal.SIGINT)
env.Env.flush = struck
sys.argv = ["kafka-topics", "--list"]
start.kafka_topics()
"""
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True)
    assert done.returncode == 130
    assert "Traceback" not in done.stderr


def test_a_command_does_not_import_another(environ: dict[str, str]) -> None:
    for words in (["kafka-topics", "--list"], ["pykafka", "topics", "--list"]):
        modules = (name.split(".") for name in modules_of(environ, *words))
        commands = {parts[2] for parts in modules if parts[:2] == ["pykafka_cli", "commands"] and len(parts) > 2}
        assert commands == {"topics"}


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
    imported = modules_of(environ, "kafka-topics", "--list") - bare_modules(environ)
    assert len(imported) <= MODULES, sorted(imported)


def test_where_one_hot_module_is_compiled_all_are_and_no_other() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        hook = tomllib.load(file)["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]["custom"]
    hot = {name.removeprefix("store/").removesuffix(".py").replace("/", ".") for name in hook["modules"]}
    names = {
        each.name
        for package in (pykafka_cli, pykafka_store)
        for each in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
        if not each.name.endswith("__main__")
    }
    assert hot <= names
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    compiled = {name for name in names if str(importlib.util.find_spec(name).origin).endswith(suffix)}  # type: ignore[union-attr]
    assert compiled == (hot if COMPILED else set())


def test_a_cluster_needs_confluent_kafka_and_says_how_to_install_it(environ: dict[str, str]) -> None:
    without = "import sys; sys.modules['confluent_kafka'] = None\n"
    command = [sys.executable, "-c", without + REPORTING, "kafka-topics", "--bootstrap-server", "127.0.0.1:1", "--list"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True)
    assert done.returncode == 1
    assert "A Kafka cluster needs confluent-kafka: pip install 'pykafka-toolkit[cluster]'\n" in done.stderr


def test_what_librdkafka_has_no_request_for_needs_kio_and_says_how_to_install_it(environ: dict[str, str]) -> None:
    without = "import sys; sys.modules['kio'] = None\n"
    words = ["kafka-features", "--bootstrap-server", "127.0.0.1:1", "describe"]
    done = subprocess.run(
        [sys.executable, "-c", without + REPORTING, *words], env=environ, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "This request to a Kafka cluster needs kio: pip install 'pykafka-toolkit[cluster]'\n" in done.stderr


def test_a_consumer_without_a_group_imports_nothing_of_groups(environ: dict[str, str]) -> None:
    alone = ["kafka-console-consumer", "--topic", "orders", "--exit-at-end"]
    for words, expected in ((alone, False), ([*alone, "--group", "g"], True)):
        modules = modules_of(environ, *words)
        assert "pykafka_store.embedded.clients.consumer" in modules
        assert any(name.startswith("pykafka_store.embedded.groups") for name in modules) is expected


MODULE = "pykafka_cli.output.words"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The command line's package, elsewhere, with byte code."""
    package = Path(pykafka_cli.__file__).parent
    copied = shutil.copytree(package, tmp_path / "copy" / package.name, ignore=shutil.ignore_patterns("__pycache__"))
    compileall.compile_dir(copied, quiet=2)
    return copied


def found(copy: Path, *options: str, name: str = MODULE) -> str:
    """What a module of ours is that was found quickly: by whom, its files, its path, and a name in it."""
    code = f"""
import sys
sys.path.insert(0, {str(copy.parent)!r})
from pykafka_cli.finding import find_our_modules_quickly
find_our_modules_quickly()
import {name} as module
spec, path = module.__spec__, getattr(module, "__path__", None)
print(type(spec.loader).__module__, module.__file__, module.__cached__, path, getattr(module, "ADDED", None))
"""
    command = [sys.executable, *options, "-c", code]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(command, cwd=copy.parent, env=environ, capture_output=True, text=True, check=True)
    return done.stdout.rstrip()


def files_of(copy: Path) -> tuple[Path, Path]:
    source = copy.parent.joinpath(*MODULE.split(".")).with_suffix(".py")
    return source, Path(importlib.util.cache_from_source(str(source)))


def test_what_is_found_quickly_is_as_python_finds_it(copy: Path) -> None:
    source, byte_code = files_of(copy)
    assert found(copy) == f"pykafka_cli.finding {source} {byte_code} None None"
    optimized = byte_code.with_suffix(".opt-1.pyc")
    assert found(copy, "-O") == f"_frozen_importlib_external {source} {optimized} None None"
    package = source.with_name("__init__.py")
    byte_code = Path(importlib.util.cache_from_source(str(package)))
    assert (
        found(copy, name=MODULE.rpartition(".")[0])
        == f"pykafka_cli.finding {package} {byte_code} ['{package.parent}'] None"
    )


@pytest.mark.parametrize("what", ["another size", "another time", "no byte code", "byte code that says no time"])
def test_a_source_that_changed_is_what_runs(copy: Path, what: str) -> None:
    source, byte_code = files_of(copy)
    before = source.stat()
    match what:
        case "another size":
            source.write_text(source.read_text() + "ADDED = 1\n")
            os.utime(source, (before.st_atime, before.st_mtime))
        case "another time":
            source.write_text("ADDED = 1\n".ljust(before.st_size, "#"))
            os.utime(source, (before.st_atime, before.st_mtime + 2))
        case "no byte code":
            byte_code.unlink()
            source.write_text(source.read_text() + "ADDED = 1\n")
        case "byte code that says no time":
            source.write_text(source.read_text() + "ADDED = 1\n")
            mode = py_compile.PycInvalidationMode.CHECKED_HASH
            py_compile.compile(str(source), str(byte_code), invalidation_mode=mode)
    for _ in range(2):  # what was missing is there then, as Python wrote it
        assert found(copy).endswith(" 1")
    assert byte_code.exists()


@pytest.mark.parametrize("left", [10, 16, 17, -1])
def test_byte_code_that_a_full_disk_cut_short_is_made_anew(copy: Path, left: int) -> None:
    """It was the end of every command that imports the module, by a bug of ours, for as long as it lay there."""
    source, byte_code = files_of(copy)
    source.write_text(source.read_text() + "ADDED = 1\n")
    py_compile.compile(str(source))
    whole = byte_code.read_bytes()
    byte_code.write_bytes(whole[:left])
    assert found(copy) == f"pykafka_cli.finding {source} {byte_code} None 1"
    assert found(copy).endswith(" 1")
    again = byte_code.read_bytes()  # the same code: its marks of what was shared in memory may differ
    assert (again[:16], marshal.loads(again[16:])) == (whole[:16], marshal.loads(whole[16:]))


def test_a_type_that_click_only_names_is_the_real_one_when_it_is_used() -> None:
    code = """
import sys
from pykafka_cli.later import put_off_clicks_imports
put_off_clicks_imports()
import click
assert "_uuid" not in sys.modules
number = click.UUID.convert("8a6b1b6e-0c2d-4c1e-9d52-0f3f4f1c2a3b", None, None)
import uuid
assert type(number) is uuid.UUID and click.UUID.convert(number, None, None) is number
from uuid import UUID
assert UUID is uuid.UUID is sys.modules["uuid"].UUID and isinstance(uuid.uuid4(), UUID)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_comes_later_is_the_whole_module_when_it_is_asked_for() -> None:
    code = """
import sys
from pykafka_cli.later import put_off_clicks_imports
put_off_clicks_imports()
import inspect, platform
assert "dis" not in sys.modules and "subprocess" not in sys.modules
assert inspect.cleandoc("one line") == "one line" and "dis" not in sys.modules
from gettext import gettext, ngettext
assert (gettext("one line"), ngettext("one", "many", 2)) == ("one line", "many")
assert "locale" not in sys.modules
lines = ["", "  two\\n    lines", "\\ttabs\\n\\t  and\\n\\n\\t spaces  \\n\\n", " a\\n", "a\\n  b\\n c"]
ours = inspect.cleandoc
cleaned = [ours(text) for text in lines]
assert "dis" not in sys.modules
assert inspect.getdoc(int) and "dis" in sys.modules
assert cleaned == [sys.modules["inspect"].cleandoc(text) for text in lines]
import datetime
assert datetime.datetime(2026, 11, 29, tzinfo=datetime.UTC).isoformat() == "2026-11-29T00:00:00+00:00"
assert datetime.datetime.strptime("2026", "%Y").year == 2026
from inspect import signature
assert str(signature(lambda a, b=1: a)) == "(a, b=1)" and inspect.signature is signature
system = platform.system()
assert platform.machine() and platform.system() == system == sys.modules["platform"].system()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
