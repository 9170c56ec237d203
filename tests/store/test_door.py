"""The door for Python users: what ``import pykafka_store`` offers, what it costs, and what help() says of it."""

from __future__ import annotations

import ast
import importlib
import pydoc
import subprocess
import sys
from pathlib import Path

import pytest

import pykafka_store

ROOMS = ("access", "api", "directory", "errors", "model", "open")
"""The modules whose public names are the door's. Type checkers see the same: it imports all of them for their eyes."""

OF_LISTENERS = {"Listener", "Login", "Tls"}
"""What ``serve_data_directory`` takes; the rest of their room is for the command line alone."""

FOR_ENGINES = {
    "bootstrap_servers",
    "not_hosted",
    "producer_closed",
    "serve_without_port",
    "set_aside_unused",
    "unprepared",
}
"""What engines and the command line alone have a use for."""


def public_names(room: str) -> set[str]:
    """What a module defines itself and does not hide."""
    file = Path(str(importlib.import_module(f"pykafka_store.{room}").__file__))
    files = file.parent.glob("*.py") if file.name == "__init__.py" else [file]
    names: set[str] = set()
    for node in [node for each in files for node in ast.parse(each.read_text("utf-8")).body]:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names.update(target.id for target in node.targets if isinstance(target, ast.Name))
    return {name for name in names - FOR_ENGINES if not name.startswith("_")}


@pytest.mark.parametrize("room", ROOMS)
def test_every_public_name_of_a_room_is_the_doors_too(room: str) -> None:
    names = public_names(room)
    assert len(names) > 1
    module = importlib.import_module(f"pykafka_store.{room}")
    assert {name for name in names if getattr(pykafka_store, name) is not getattr(module, name)} == set()


def test_it_lists_these_names_and_no_others() -> None:
    modules = {"errors", "inspect", "mirror", "sink", "source"}
    assert set(dir(pykafka_store)) == modules.union(OF_LISTENERS, *map(public_names, ROOMS))
    for name in modules:
        assert getattr(pykafka_store, name) is importlib.import_module(f"pykafka_store.{name}")


def test_a_name_that_is_not_there_is_an_error() -> None:
    with pytest.raises(AttributeError, match="module 'pykafka_store' has no attribute 'open_custer'"):
        pykafka_store.open_custer  # type: ignore[attr-defined]  # noqa: B018
    with pytest.raises(ImportError, match="open_custer"):
        exec("from pykafka_store import open_custer")


def test_its_help_is_a_page() -> None:
    page = pydoc.plain(pydoc.render_doc(pykafka_store)).splitlines()
    contents = page.index("PACKAGE CONTENTS")  # which grows by a line a module, and is pydoc's
    assert 30 < contents <= 45
    assert any("open_cluster(address)" in line for line in page)


def modules_after(code: str) -> set[str]:
    """The modules of ours that are imported once these statements have run."""
    code += "; import sys; print(*(name for name in sys.modules if name.startswith('pykafka_store')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_it_imports_nothing_else() -> None:
    assert modules_after("import pykafka_store") == {"pykafka_store"}
    opened = modules_after("from pykafka_store import open_cluster")
    assert opened == {f"pykafka_store{room}" for room in ("", ".errors", ".errors.everyday", ".open")}


@pytest.mark.parametrize(
    ("code", "complaint"),
    [
        ("from pykafka_store import Consumer, open_cluster\nc: Consumer = open_cluster('d').consumer()\n", ""),
        ("import pykafka_store\nn: int = pykafka_store.StoreError.code\nn = len(pykafka_store.mirror.__name__)\n", ""),
        ("from pykafka_store import open_cluster\nopen_cluster(1)\n", 'incompatible type "int"'),
        ("import pykafka_store\npykafka_store.open_custer\n", 'no attribute "open_custer"'),
    ],
)
def test_a_type_checker_knows_the_names(code: str, complaint: str, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(code)
    root = Path(__file__).resolve().parents[2]
    words = ["--config-file", str(root / "pyproject.toml"), str(program)]
    done = subprocess.run([sys.executable, "-m", "mypy", *words], cwd=root, capture_output=True, text=True)
    assert complaint in done.stdout
    assert (done.returncode == 0) is (not complaint), done.stdout + done.stderr


@pytest.mark.parametrize("room", ["pykafka_store", "pykafka_store.model"])
def test_a_star_brings_every_name(room: str) -> None:
    found: dict[str, object] = {}
    exec(f"from {room} import *", found)
    assert {"TopicPartition", "Records"} <= found.keys()
    assert "TYPE_CHECKING" not in found
