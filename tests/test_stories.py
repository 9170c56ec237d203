"""The programs in ``examples/`` print what README says that they print, and check themselves."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
STORIES = dict(
    re.findall(
        r"^```console\n\$ python (examples/\S+)\n(.*?)^```", (ROOT / "README.md").read_text("utf-8"), re.M | re.S
    )
)
COURIERS = "examples/couriers/run.py"


def test_each_story_is_in_the_readme() -> None:
    assert set(STORIES) == {str(path.relative_to(ROOT)) for path in ROOT.glob("examples/*/run.py")}
    assert len(STORIES) == 3


@pytest.mark.timeout(300)
@pytest.mark.parametrize("program", STORIES)
def test_a_story_prints_what_the_readme_says(program: str, tmp_path: Path) -> None:
    """The couriers' with its map as well, where that can be drawn."""
    picture, kept, more = tmp_path / "map.png", tmp_path / "kept", []
    if program == COURIERS and find_spec("matplotlib") is not None:
        more = ["--map", str(picture), "--keep", str(kept)]
    done = subprocess.run([sys.executable, ROOT / program, *more], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    said = done.stdout
    if more:
        said = said.removesuffix(f"map: {picture}\n")
        assert said != done.stdout
        assert picture.read_bytes().startswith(b"\x89PNG")
        assert (kept / "couriers.db").exists()
    assert said.rstrip("\n") == STORIES[program].rstrip("\n")
