"""The developer command, and the suite under whatever starts it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def test_an_unknown_part_is_refused_with_those_there_are(tmp_path: Path) -> None:
    done = subprocess.run([ROOT / ".ci" / "run", "tests"], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: .ci/run [lint | types | layers | docs | newcomer | test | compiled | accept]")


def test_the_suite_may_be_started_with_sigint_ignored() -> None:
    """As by ``&`` in a script, where bash ignores it for all that follows: tests that interrupt a tool still can."""
    test = "tests/cli/test_wait.py::test_ctrl_c_ends_it"
    pytest = f"{sys.executable} -m pytest -q -n 0 -p no:cacheprovider {test}"
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        ["bash", "-c", f"trap '' INT; exec {pytest}"],
        cwd=ROOT,
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("where", "passes_the_second_time", "code"),
    [("wire/test_clients.py", True, 0), ("wire/test_clients.py", False, 1), ("storm/test_storm.py", True, 1)],
)
def test_what_failed_passes_alone_or_fails(tmp_path: Path, where: str, passes_the_second_time: bool, code: int) -> None:
    """And is named. A storm gets no other try: what it found by chance is there."""
    test = tmp_path / "tests" / where
    test.parent.mkdir(parents=True)
    test.write_text(
        "from pathlib import Path\n"
        "TRIED = Path(__file__).with_suffix('.tried')\n"
        "def test_sound(): assert True\n"
        "def test_shaky():\n"
        "    again = TRIED.exists()\n"
        "    TRIED.touch()\n"
        f"    assert again and {passes_the_second_time}\n"
    )
    program = tmp_path / ".venv" / "bin" / "pytest"
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m pytest "$@"\n')
    program.chmod(0o755)
    (tmp_path / "README.md").write_text("<!-- test command -->\n```sh\ntrue && .venv/bin/pytest -q -n 1\n```\n")
    (tmp_path / "pyproject.toml").write_text("[tool.pytest.ini_options]\n")
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "run", tmp_path / ".ci" / "run")
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}

    done = subprocess.run([tmp_path / ".ci" / "run", "test"], env=environ, capture_output=True, text=True)

    assert done.returncode == code, done.stdout + done.stderr
    named = f"FLAKY: tests/{where}::test_shaky" in done.stdout.splitlines()
    assert named == (code == 0)
    assert ("once more, alone" in done.stdout) == where.startswith("wire")
