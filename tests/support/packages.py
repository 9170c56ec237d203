"""What clients of other languages need: packages of their registries, brought once, and programs built of them.

All of it is in ``tests/wire/.cache``, by a hash of what asked for it. Where it can't be had, the reason is told.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from tests.support import apache

WIRE: Final = Path(__file__).resolve().parent.parent / "wire"
CACHE: Final = WIRE / ".cache"
_PATIENCE = 600.0


class NotHereError(Exception):
    """It can't be had on this machine; the message is why."""


def or_skip(brought: Callable[[], Path | str]) -> str:
    """What was brought, as a word of a command line; where it can't be had, the test is skipped and says why."""
    try:
        return str(brought())
    except NotHereError as error:
        pytest.skip(str(error))


def node_modules() -> Path:
    """The folder of the packages that ``kafkajs/package.json`` names."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        raise NotHereError("no node, or no npm")
    asked = WIRE / "kafkajs" / "package.json"
    return _made("node", [asked], lambda aside: _install(asked, aside)) / "node_modules"


def _install(asked: Path, aside: Path) -> None:
    shutil.copy(asked, aside)
    _run(["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts"], aside)


def go_program(name: str) -> Path:
    """The program of ``go/NAME``, built."""
    if shutil.which("go") is None:
        raise NotHereError("no go")
    folder = WIRE / "go"
    sources = [folder / "go.mod", folder / "go.sum", *sorted((folder / name).iterdir())]
    made = _made(f"go-{name}", sources, lambda aside: _run(["go", "build", "-o", f"{aside}/", f"./{name}"], folder))
    return made / name


def java_classes(program: Path) -> Path:
    """The folder of the classes of a program that uses Apache's: to compile them takes longer than to start it."""
    return _made(
        program.stem,
        [program, apache.POM],
        lambda aside: _run(["javac", "-proc:none", "-cp", apache.classpath(), "-d", str(aside), str(program)], aside),
    )


def java_clients(version: str) -> str:
    """The class path of Apache's Java clients of a release, which ``java/pom.xml`` resolves."""
    return class_path(f"java-{version}", WIRE / "java" / "pom.xml", f"-Dkafka.version={version}")


def class_path(name: str, pom: Path, *options: str) -> str:
    """What a pom resolves to."""
    if (reason := apache.available()) is not None or shutil.which("mvn") is None:
        raise NotHereError(reason or "no mvn")

    def resolve(aside: Path) -> None:
        goal = "dependency:build-classpath"
        written = f"-Dmdep.outputFile={aside / 'classpath'}"
        _run(["mvn", "--quiet", "--batch-mode", f"--file={pom}", *options, goal, written], aside)

    while True:
        made = _made(name, [pom], resolve)
        found = (made / "classpath").read_text().strip()
        if all(os.path.exists(jar) for jar in found.split(os.pathsep)):
            return found
        shutil.rmtree(made)  # Maven's own folder was emptied


def _made(name: str, sources: list[Path], make: Callable[[Path], None]) -> Path:
    """A folder that ``make`` has filled, once for these contents. Written aside and moved, as tests run beside each
    other.
    """
    digest = hashlib.sha256()
    for source in sources:
        digest.update(source.read_bytes())
    folder = CACHE / f"{name}-{digest.hexdigest()[:16]}"
    if folder.exists():
        return folder
    CACHE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as aside:
        make(Path(aside))
        try:
            os.rename(shutil.copytree(aside, f"{aside}-whole"), folder)
        except OSError:  # another test was first
            shutil.rmtree(f"{aside}-whole")
    return folder


def _run(command: list[str], folder: Path) -> None:
    """Raises NotHereError with the end of what it told."""
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            env=apache.maven_environment(),  # which the other commands do not know
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
        )
    except subprocess.TimeoutExpired:
        raise NotHereError(f"{' '.join(command)} did not end in {_PATIENCE:.0f} s") from None
    if done.returncode != 0:
        told = (done.stdout + done.stderr).strip().splitlines() or ["nothing was told"]
        raise NotHereError(f"{' '.join(command[:3])} failed: {told[-1]}")
