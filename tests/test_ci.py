"""The developer command, and the suite under whatever starts it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

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
