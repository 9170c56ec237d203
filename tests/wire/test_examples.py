"""The programs of ``examples/clients``, as an application's tests run them: with the address in the environment."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.support import apache
from tests.support.console import values
from tests.support.packages import WIRE, class_path, node_modules, or_skip

pytestmark = pytest.mark.timeout(900)

CLIENTS = Path(__file__).resolve().parents[2] / "examples" / "clients"
ENVIRON = {**os.environ, "PATH": os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]])}


def _orders(tmp_path: Path, command: str, **more: str) -> None:
    """Run a program by ``pykafka serve --exec``: it must print the orders, which are in the directory afterwards."""
    words = ["serve", "--data-dir", str(tmp_path / "data"), "--listen", "127.0.0.1:0", "--exec", command]
    done = subprocess.run(
        [sys.executable, "-m", "pykafka_cli", *words],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600, env={**ENVIRON, **more},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "tea milk bread\n"), done.stderr
    assert values(tmp_path / "data", "orders") == [b"tea", b"milk", b"bread"]


def test_python(tmp_path: Path) -> None:
    _orders(tmp_path, f"exec {sys.executable} {CLIENTS / 'orders.py'}")


def test_python_with_the_fixture_of_pytest(tmp_path: Path) -> None:
    shutil.copy(CLIENTS / "orders.py", tmp_path)
    shutil.copy(CLIENTS / "test_orders.py", tmp_path)
    environ = {**ENVIRON, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""}
    words = ["-q", "-p", "pykafka_cli.pytest_plugin", "-p", "no:cacheprovider", "-W", "error"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words, "test_orders.py"],
        cwd=tmp_path, env=environ, capture_output=True, text=True,
    )  # fmt: skip
    assert "2 passed" in done.stdout, done.stdout + done.stderr


def test_javascript(tmp_path: Path) -> None:
    _orders(tmp_path, f"exec node {CLIENTS / 'orders.js'}", NODE_PATH=or_skip(node_modules))


def test_go(tmp_path: Path) -> None:
    if shutil.which("go") is None:
        pytest.skip("no go")
    program = tmp_path / "orders"
    source = CLIENTS / "orders.go"
    built = subprocess.run(
        ["go", "build", "-o", program, source], cwd=WIRE / "go", capture_output=True, text=True, timeout=600
    )
    if built.returncode != 0 and "dial tcp" in built.stderr:
        pytest.skip("franz-go can't be had here")
    assert built.returncode == 0, built.stderr
    _orders(tmp_path, f"exec {program}")


@pytest.mark.apache
@pytest.mark.parametrize("way", ["property", "environment"])
def test_java(tmp_path: Path, way: str) -> None:
    """The program runs from its source, as ``java FILE`` does it."""
    given = "-Dkafka.bootstrap.servers=$PYKAFKA_BOOTSTRAP" if way == "property" else ""
    flags = " ".join(apache.TOOL_FLAGS)
    _orders(tmp_path, f"exec java {flags} {given} -cp '{apache.classpath()}' {CLIENTS / 'Orders.java'} 2>/dev/null")


@pytest.mark.apache
def test_spring(tmp_path: Path) -> None:
    classpath = or_skip(lambda: class_path("spring", CLIENTS / "spring" / "pom.xml"))
    source = CLIENTS / "spring" / "SpringOrders.java"
    subprocess.run(["javac", "-parameters", "-proc:none", "-cp", classpath, "-d", tmp_path, source], check=True)
    flags = " ".join(apache.TOOL_FLAGS)
    program = f"java {flags} -cp '{tmp_path}:{classpath}' orders.SpringOrders"
    quiet = "--logging.level.root=OFF --spring.main.banner-mode=off"
    _orders(tmp_path, f"exec {program} {quiet} 2>/dev/null")
