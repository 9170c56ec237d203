"""The documents of the repository, and what its files say of them: whatever is named is there."""

from __future__ import annotations

import ast
import importlib
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = (".ci", "pykafka_cli", "store", "tests")
"""Where people write; beside them lie what is generated, and what somebody's tools have put into the clone."""


def written() -> list[Path]:
    """All files there, and those at the top, but for hidden ones (caches)."""
    found = [path for path in ROOT.iterdir() if path.is_file() and not path.name.startswith(".")]
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*"):
            inner = path.relative_to(ROOT / folder).parts
            if path.is_file() and not any(part.startswith(".") for part in inner) and "__pycache__" not in inner:
                found.append(path)
    return sorted(found)


DOCUMENTS = [path for path in written() if path.suffix == ".md"]
ELSEWHERE = {"CONFIGURATION.md"}
"""Documents of other projects that ours cite: librdkafka's."""

ROOMS = (ROOT, ROOT / "store", ROOT / "store" / "pykafka_store", ROOT / "pykafka_cli", ROOT / "tests")
"""What a path that a document or a docstring names may be relative to, besides the folder it stands in."""

SUFFIXES = {".py", ".md", ".toml", ".sh", ".xml", ""}


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def texts() -> dict[Path, str]:
    """What people wrote, but for data that tests read."""
    data = ROOT / "tests" / "data"
    wanted = (path for path in written() if path.suffix in SUFFIXES and data not in path.parents)
    return {path: path.read_text("utf-8") for path in wanted}


def exists(cited: str, by: Path) -> bool:
    return any((room / cited).exists() for room in (by.parent, *ROOMS))


def cited_documents(text: str) -> set[str]:
    return set(re.findall(r"(?<![\w/.-])[\w./-]*\w\.md\b", text)) - ELSEWHERE


def cited_headings(text: str) -> set[tuple[str, str]]:
    """What is cited as ``store/DESIGN.md, "Locks"``; the line may break between the two."""
    text = re.sub(r"\n[\s#>]*", " ", text)
    return set(re.findall(r"([\w./-]*\w\.md),? \"([^\"]+)\"", text))


def headings(document: str) -> list[str]:
    return re.findall(r"^#+ (.+)$", document, re.MULTILINE)


def anchor(heading: str) -> str:
    """As GitHub makes it of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_the_documents_are_found() -> None:
    assert {"README.md", "CONTRIBUTING.md", "COMPAT.md", "store/DESIGN.md", "store/FORMAT.md"} <= set(
        map(name, DOCUMENTS)
    )
    assert len(texts()) > 200


def test_no_file_has_the_marks_of_a_merge() -> None:
    marks = re.compile(r"^(?:<{7}|>{7}) ", re.MULTILINE)
    assert [name(path) for path, text in texts().items() if marks.search(text)] == []


def test_a_citation_is_seen_where_there_is_one() -> None:
    text = 'see store/DESIGN.md, "Locks" and\n# NOTES.md, section 3; a.md-file, x.mdx, CONFIGURATION.md'
    assert cited_documents(text) == {"store/DESIGN.md", "NOTES.md", "a.md"}
    assert cited_headings(text) == {("store/DESIGN.md", "Locks")}
    assert not exists("NOTES.md", ROOT / "README.md")


def test_every_document_that_is_cited_is_here() -> None:
    lost = {
        f"{name(path)}: {cited}"
        for path, text in texts().items()
        if path != Path(__file__)
        for cited in cited_documents(text)
        if not exists(cited, path)
    }
    assert lost == set()


def test_every_chapter_that_is_cited_is_a_heading_there() -> None:
    lost = set()
    for path, text in texts().items():
        for cited, heading in cited_headings(text) if path != Path(__file__) else ():
            places = [room / cited for room in (path.parent, *ROOMS) if (room / cited).exists()]
            if not places or heading not in headings(places[0].read_text("utf-8")):
                lost.add(f'{name(path)}: {cited}, "{heading}"')
    assert lost == set()


def test_chapters_are_cited_by_their_headings() -> None:
    """A number says nothing to who has not the document at hand, and moves when a chapter is added."""
    numbered = re.compile(
        r"\.md,? (?:section |§ ?)?\d|\b(?:DESIGN|STYLE|FORMAT),? (?:section |§ ?)?\d|facts,? section \d"
    )
    wrong = {
        f"{name(path)}: {found.group()}"
        for path, text in texts().items()
        if path != Path(__file__)
        for found in numbered.finditer(text)
    }
    assert wrong == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_a_link_leads_somewhere(document: Path) -> None:
    text = document.read_text("utf-8")
    for link in re.findall(r"\]\((?!https?:)([^)]+)\)", text):
        path, _, fragment = link.partition("#")
        target = (document.parent / path) if path else document
        assert target.exists(), link
        if fragment:
            assert fragment in map(anchor, headings(target.read_text("utf-8"))), link


@pytest.mark.parametrize("document", [path for path in DOCUMENTS if path.name != "CHANGELOG.md"], ids=name)
def test_every_file_that_a_document_names_is_here(document: Path) -> None:
    lost = set()
    for spoken in re.findall(r"`([^`\n]+)`", document.read_text("utf-8")):
        for path in re.findall(r"(?<![\w/.<*-])(?:\.\./)*[a-z][\w./{},-]*\.py\b(?!:)", spoken):
            everywhere = "/" not in path and any(each.name == path for each in texts())
            if not everywhere and not exists(path, document):
                lost.add(path)
    assert lost == set()


def test_every_file_that_our_code_names_is_here() -> None:
    """Docstrings and comments that name a file with its folder: those are what goes stale when one moves."""
    lost = set()
    for path, text in texts().items():
        if path.suffix == ".py" and path != Path(__file__):
            for cited in re.findall(r"(?<![\w/.{}'\"-])((?:[a-z_]+/)+[a-z_]+\.py)\b", text):
                rooms = (*ROOMS, *(ROOT / "store" / "pykafka_store").iterdir())
                if not any((room / cited).exists() for room in (path.parent, path.parent.parent, *rooms)):
                    lost.add(f"{name(path)}: {cited}")
    assert lost == set()


def resolve(dotted: str) -> bool:
    """Whether ``package.module`` or ``package.module.Name.name`` is something."""
    words = dotted.split(".")
    for length in range(len(words), 0, -1):
        try:
            found = importlib.import_module(".".join(words[:length]))
        except ModuleNotFoundError:
            continue
        for each in words[length:]:
            if not hasattr(found, each):
                return False
            found = getattr(found, each)
        return True
    return False


def _defines(body: list[ast.stmt], names: list[str]) -> bool:
    if not names:
        return True
    for each in body:
        if isinstance(each, ast.ClassDef | ast.FunctionDef) and each.name == names[0]:
            return _defines(each.body, names[1:])
        if isinstance(each, ast.Assign | ast.AnnAssign) and len(names) == 1:
            targets = each.targets if isinstance(each, ast.Assign) else [each.target]
            if any(isinstance(target, ast.Name) and target.id == names[0] for target in targets):
                return True
        if isinstance(each, ast.ImportFrom | ast.Import) and any((a.asname or a.name) == names[0] for a in each.names):
            return True
    return False


def test_a_name_is_resolved_only_where_it_is_something() -> None:
    assert resolve("pykafka_store.api")
    assert resolve("pykafka_store.api.Cluster.close")
    assert not resolve("pykafka_store.api.Cluster.nothing")
    assert not resolve("pykafka_store.nothing")


@pytest.mark.parametrize("document", [path for path in DOCUMENTS if path.name != "CHANGELOG.md"], ids=name)
def test_every_module_and_function_that_a_document_names_is_here(document: Path) -> None:
    spoken = re.findall(r"`((?:pykafka_cli|pykafka_store)(?:\.\w+)+)(?:\(.*?\))?`", document.read_text("utf-8"))
    assert [dotted for dotted in spoken if not resolve(dotted)] == []


def test_contributing_names_functions_that_its_modules_have() -> None:
    """``path.py: name, name`` in backticks, as CONTRIBUTING.md's walks write a step."""
    steps = re.findall(r"`([\w/]+\.py): ([\w., ]+)`", (ROOT / "CONTRIBUTING.md").read_text("utf-8"))
    assert len(steps) > 10
    lost = []
    for path, names in steps:
        (file,) = {room / path for room in ROOMS if (room / path).exists()} or {None}
        body = ast.parse(file.read_text("utf-8")).body if file is not None else []
        lost += [f"{path}: {each}" for each in names.split(", ") if not _defines(body, each.split("."))]
    assert lost == []


def test_contributing_has_every_part_of_the_developer_command() -> None:
    usage = re.search(r"usage: \.ci/run \[([a-z| ]+)\]", (ROOT / ".ci" / "run").read_text("utf-8"))
    assert usage is not None
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    assert [part for part in usage.group(1).split(" | ") if f"`.ci/run {part}" not in text] == []


def test_every_room_is_on_the_map() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    packages = [ROOT / "pykafka_cli", ROOT / "store" / "pykafka_store", ROOT / "store" / "pykafka_store" / "embedded"]
    rooms = {path.parent.name for package in packages for path in package.glob("*/__init__.py")}
    assert len(rooms) > 10
    assert sorted(room for room in rooms if f"{room}/" not in text) == []
