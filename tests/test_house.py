"""The rules of the house that no linter knows, held against every module by its syntax tree."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = {"pykafka_cli": ROOT / "pykafka_cli", "pykafka_store": ROOT / "store" / "pykafka_store"}

MOST_LINES = 450
FEW = 10
"""Methods that only pass on: fewer than these."""

OPEN_TO_ALL = {"_replace", "_asdict", "_fields", "_make", "_exit"}
"""Names that begin with an underscore and are documented for everyone: a named tuple's, and os._exit."""


class Module(NamedTuple):
    name: str
    is_package: bool
    path: Path
    text: str
    tree: ast.Module


@cache
def modules() -> dict[str, Module]:
    found = {}
    for package, directory in PACKAGES.items():
        for path in sorted(directory.rglob("*.py")):
            parts = [package, *path.relative_to(directory).with_suffix("").parts]
            is_package = parts[-1] == "__init__"
            name = ".".join(parts[:-1] if is_package else parts)
            text = path.read_text("utf-8")
            found[name] = Module(name, is_package, path, text, ast.parse(text))
    return found


def module_of(text: str, name: str = "invented", *, is_package: bool = False) -> Module:
    return Module(name, is_package, Path(f"{name}.py"), text, ast.parse(text))


def test_the_modules_are_found() -> None:
    assert len(modules()) > 100
    assert {"pykafka_cli.main", "pykafka_store", "pykafka_store.embedded.log.segment"} <= set(modules())


# --------------------------------------------------------------------------------------------------------------- length


def test_no_module_is_longer_than_one_sitting() -> None:
    lines = {module.name: module.text.count("\n") for module in modules().values()}
    assert {name: count for name, count in lines.items() if count > MOST_LINES} == {}


# -------------------------------------------------------------------------------------------------------------- circles


def imported(module: Module, known: set[str]) -> Iterator[str]:
    """The modules of ours that a module names in an import, wherever that stands: within a function, for types only.

    That an import runs the packages above a module first is left out: a package may offer names of its modules.
    """
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = module.name.split(".")
                above = len(parts) - node.level + module.is_package
                base = ".".join([*parts[:above], *filter(None, [node.module])])
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                if inner in known or base in known:
                    yield inner if inner in known else base


def circle(graph: dict[str, set[str]]) -> list[str]:
    """The modules of a circle, if there is one."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_an_import_is_seen_wherever_it_stands() -> None:
    known = {"a", "a.b", "a.c", "a.d"}
    deferred = module_of("import os\nfrom a import c\ndef f():\n    from .d import g", "a.b")
    assert set(imported(deferred, known)) == {"a.c", "a.d"}
    for_types = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from a.b import x\n    from . import y"
    assert set(imported(module_of(for_types, "a.c"), known)) == {"a.b", "a"}
    package = module_of("from .b import x\nfrom . import c\nimport a.d", "a", is_package=True)
    assert set(imported(package, known)) == {"a.b", "a.c", "a.d"}


def test_a_circle_is_seen_however_long() -> None:
    assert set(circle({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}})) == {"a", "b", "c"}
    assert circle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_there_is_no_circle_of_imports() -> None:
    known = set(modules())
    assert circle({name: set(imported(module, known)) - {name} for name, module in modules().items()}) == []


# ----------------------------------------------------------------------------------------------------------- passing on


def passes_on(method: ast.FunctionDef) -> bool:
    """Whether all that a method does is to call one of the same name, of something it holds, with its own arguments."""
    body = method.body[1:] if ast.get_docstring(method) is not None else method.body
    if len(body) != 1 or not isinstance(body[0], ast.Return | ast.Expr):
        return False
    call = body[0].value
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute) or call.func.attr != method.name:
        return False
    holder: ast.expr = call.func.value
    while isinstance(holder, ast.Attribute | ast.Call) and not _is_super(holder):
        holder = holder.func if isinstance(holder, ast.Call) else holder.value
    mine = [each.arg for each in [*method.args.posonlyargs, *method.args.args, *method.args.kwonlyargs]]
    given = [*call.args, *(keyword.value for keyword in call.keywords)]
    handed = [each.id for each in given if isinstance(each, ast.Name)]
    if not mine or not isinstance(holder, ast.Name) or holder.id != mine[0]:
        return False
    return len(handed) == len(given) and handed == mine[1:]


def _is_super(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "super"


def methods(module: Module) -> Iterator[tuple[str, ast.FunctionDef]]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ClassDef):
            yield from ((f"{node.name}.{each.name}", each) for each in node.body if isinstance(each, ast.FunctionDef))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("return self._part.ask(name, when=when)", True),
        ('"""Documented."""\n        self._part.inner.ask(name, when)', True),
        ("return self._part().ask(name, when)", True),
        ("return self._part.ask(name, None)", False),
        ("return self._part.ask(when, name)", False),
        ("return self._part.answer(name, when)", False),
        ("return super().ask(name, when)", False),
        ("return other.ask(name, when)", False),
        ("return list(self._part.ask(name, when))", False),
        ("self.check()\n        return self._part.ask(name, when)", False),
    ],
)
def test_passing_on_is_told_from_doing(body: str, *, expected: bool) -> None:
    ((_, method),) = methods(module_of(f"class A:\n    def ask(self, name, *, when):\n        {body}\n"))
    assert passes_on(method) is expected


def test_hardly_any_method_only_passes_on() -> None:
    passing = [
        f"{module.name}: {name}"
        for module in modules().values()
        for name, method in methods(module)
        if passes_on(method)
    ]
    assert len(passing) < FEW, passing


# -------------------------------------------------------------------------------------------------------------- privacy


def own_private_names(module: Module) -> set[str]:
    """The private names that a module's own classes and functions define."""
    names = set()
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and _is_self(node.value):
            names.add(node.attr)
    return {name for name in names if name.startswith("_")}


def _is_self(node: ast.expr) -> bool:
    return (isinstance(node, ast.Name) and node.id in ("self", "cls")) or _is_super(node)


def foreign_privates(module: Module) -> Iterator[str]:
    """Private names of others that a module imports, or reads of an object that is not ``self``.

    A name that the module defines itself may be read of any variable, for that may hold an object of a class beside
    this one; but not of what another object holds (``self._part._name``), which is somebody else's more often.
    """
    own = own_private_names(module)
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ImportFrom):
            yield from (alias.name for alias in node.names if _is_private(alias.name))
        elif isinstance(node, ast.Attribute) and _is_private(node.attr) and not _is_self(node.value):
            if isinstance(node.value, ast.Name) and node.attr in own:
                continue
            yield f"{ast.unparse(node.value)}.{node.attr}"


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__") and name not in OPEN_TO_ALL


def test_a_foreign_private_name_is_seen() -> None:
    text = """
from pykafka_store.x import _hidden, shown
class A:
    def __init__(self):
        self._mine = 1
        super()._mine
    def __eq__(self, other):
        return other._mine == self._mine and other._theirs and self._part._mine and shown()._inner and row._replace(a=1)
"""
    assert sorted(foreign_privates(module_of(text))) == [
        "_hidden",
        "other._theirs",
        "self._part._mine",
        "shown()._inner",
    ]


def test_nobody_reads_anothers_private_attributes() -> None:
    assert {f"{module.name}: {name}" for module in modules().values() for name in foreign_privates(module)} == set()


# ----------------------------------------------------------------------------------------------------------- complexity


def test_who_is_excused_from_being_simple_says_why() -> None:
    """pyproject.toml sets the limit; ``# noqa: C901 - why this story is one`` excuses a function from it."""
    bare = [
        f"{module.name}:{number}"
        for module in modules().values()
        for number, line in enumerate(module.text.splitlines(), 1)
        if re.search(r"noqa:[^-]*C901", line) and not re.search(r"C901[A-Z0-9, ]* - \w+ \w+", line)
    ]
    assert bare == []


# ----------------------------------------------------------------------------------------------------------- bytes only

OUTSIDE = {"fcntl", "filelock", "io", "os", "pathlib", "random", "shutil", "socket", "sqlite3", "tempfile", "time"}
"""Modules that reach outside of the process: files, locks, the time, chance."""


def reaches_outside(module: Module) -> set[str]:
    """What a module imports or calls that makes it depend on more than its arguments."""
    reached = set()
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            reached |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            reached.add((node.module or "").partition(".")[0])
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "open":
            reached.add("open()")
    return reached & (OUTSIDE | {"open()"})


def test_what_packs_and_parses_opens_no_file_and_asks_for_no_time() -> None:
    assert reaches_outside(module_of("import os.path\nfrom time import time\nopen('x')")) == {"os", "time", "open()"}
    packing = [module for name, module in modules().items() if name.startswith("pykafka_store.format.")]
    assert len(packing) > 8
    assert {module.name: reaches_outside(module) for module in packing if reaches_outside(module)} == {}
