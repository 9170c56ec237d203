"""The programs in ``examples/`` print what README says that they print, and check themselves."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
STORIES = dict(
    re.findall(
        r"^```console\n\$ python (examples/\S+)\n(.*?)^```", (ROOT / "README.md").read_text("utf-8"), re.M | re.S
    )
)


def test_each_story_is_in_the_readme() -> None:
    assert set(STORIES) == {str(path.relative_to(ROOT)) for path in ROOT.glob("examples/*/run.py")}
    assert len(STORIES) == 3


@pytest.mark.timeout(300)
@pytest.mark.parametrize("program", STORIES)
def test_a_story_prints_what_the_readme_says(program: str) -> None:
    done = subprocess.run([sys.executable, ROOT / program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.rstrip("\n") == STORIES[program].rstrip("\n")


@pytest.mark.timeout(300)
def test_the_map_of_the_couriers_is_a_picture(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="no matplotlib (pip install '.[plot]')")
    program = ROOT / "examples" / "couriers" / "run.py"
    words = [sys.executable, program, "--map", tmp_path / "map.png", "--keep", tmp_path / "kept"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "kept" / "couriers.db").exists()
