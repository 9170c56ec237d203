"""A minute of the storm, from the same seed each time. ``python tests/storm/run.py`` has longer ones, by any seed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

MINUTES = 0.7
SEED = 1


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_storm_loses_doubles_reorders_and_changes_nothing(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    command = [sys.executable, str(Path(__file__).with_name("run.py"))]
    options = ["--minutes", str(MINUTES), "--seed", str(SEED), "--directory", str(tmp_path / "storm")]
    done = subprocess.run([*command, *options], capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
    assert done.stderr == ""
    for line in done.stdout.splitlines():
        record_property("figure", f"storm: {line}")
