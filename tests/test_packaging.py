"""What an installation brings: two packages, the programs, the man pages and the completions, and nothing else."""

from __future__ import annotations

import configparser
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from pykafka_cli import KAFKA_TOOLS, KAFKA_VERSION, __version__, main, start

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel without compiled modules, which is one for all machines."""
    return build(tmp_path_factory.mktemp("wheel"), PYKAFKA_PURE="1")


def build(out: Path, **environ: str) -> Path:
    """The wheel, built from the working tree with what is installed here."""
    pytest.importorskip("hatchling", reason="hatchling builds the wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environ})
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = out.glob("*.whl")
    return built


def test_without_a_compiler_the_same_package_is_pure_python(tmp_path: Path) -> None:
    built = build(tmp_path / "out", PYKAFKA_PURE="", PYKAFKA_COMPILE="", CC=str(tmp_path / "no-cc"))
    assert built.name.endswith("-py3-none-any.whl")
    with zipfile.ZipFile(built) as archive:
        archive.extractall(tmp_path / "site")
    said = version_of(tmp_path / "site")
    assert said == f"pykafka {__version__} (pure Python), after Apache Kafka {KAFKA_VERSION}"


def version_of(site: Path) -> str:
    environ = {"PYTHONPATH": str(site), "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-m", "pykafka_cli", "--version"]
    done = subprocess.run(command, env=environ, cwd="/", capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


def test_a_wheel_puts_two_packages_into_site_packages(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    stem = f"pykafka_toolkit-{__version__}"
    assert tops == {"pykafka_cli", "pykafka_store", f"{stem}.dist-info", f"{stem}.data"}
    assert {"pykafka_cli/py.typed", "pykafka_store/py.typed"} <= set(names)
    assert not [name for name in names if "__pycache__" in name or name.endswith((".pyc", ".keep"))]


def test_a_wheel_brings_every_man_page_and_completion(wheel: Path) -> None:
    data = f"pykafka_toolkit-{__version__}.data/data/share"
    places = {
        "man": f"{data}/man/man1",
        "completions/bash": f"{data}/bash-completion/completions",
        "completions/zsh": f"{data}/zsh/site-functions",
        "completions/fish": f"{data}/fish/vendor_completions.d",
    }
    archive = zipfile.ZipFile(wheel)
    for source, place in places.items():
        ours = {path.name: path.read_bytes() for path in (ROOT / source).iterdir() if path.is_file()}
        theirs = {
            Path(name).name: archive.read(name) for name in archive.namelist() if Path(name).parent == Path(place)
        }
        assert ours
        assert theirs == ours


def test_every_program_is_installed_and_starts_what_is_there(wheel: Path) -> None:
    programs = configparser.ConfigParser()
    programs.read_string(
        zipfile.ZipFile(wheel).read(f"pykafka_toolkit-{__version__}.dist-info/entry_points.txt").decode()
    )
    scripts = dict(programs["console_scripts"])
    assert set(scripts) == {"pykafka", *(f"kafka-{name}" for name in KAFKA_TOOLS)}
    for program, target in scripts.items():
        module, function = target.split(":")
        assert module == "pykafka_cli.start"
        assert function == program.replace("-", "_")
        assert callable(getattr(start, function))
        assert callable(getattr(main, function))


def test_the_packages_work_from_a_directory_of_their_own(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    code = (
        "import sys, pykafka_cli, pykafka_store.api; print(pykafka_cli.__file__)\n"
        "print(pykafka_store.__file__, flush=True)\n"
        "from pykafka_cli.main import kafka_topics; sys.argv = ['', '--create', '--topic', 't']; kafka_topics()"
    )
    environ = {"PYTHONPATH": str(site), "PYKAFKA_DATA_DIR": str(tmp_path / "data"), "PATH": "/usr/bin:/bin"}
    done = subprocess.run([sys.executable, "-c", code], env=environ, cwd="/", capture_output=True, text=True)
    assert done.stdout.splitlines() == [
        str(site / "pykafka_cli" / "__init__.py"),
        str(site / "pykafka_store" / "__init__.py"),
        "Created topic t.",
    ]


def test_the_version_is_said_once() -> None:
    declared = [line for line in (ROOT / "pyproject.toml").read_text().splitlines() if line.startswith("version = ")]
    assert declared == [f'version = "{__version__}"']


def test_nothing_is_imported_by_the_name_of_the_source_root() -> None:
    """An editable install puts the repository on the path, so ``import store.…`` would give every module twice."""
    sources = [*(ROOT / "pykafka_cli").rglob("*.py"), *(ROOT / "store").rglob("*.py"), *(ROOT / "tests").rglob("*.py")]
    wrong = [
        path
        for path in sources
        for line in path.read_text("utf-8").splitlines()
        if line.startswith(("import store", "from store"))
    ]
    assert wrong == []
    assert not (ROOT / "store" / "__init__.py").exists()
