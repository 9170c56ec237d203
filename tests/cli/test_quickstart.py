"""``pykafka quickstart`` shows what is true, and says so if it is not."""

from __future__ import annotations

import os
import re
import subprocess
import sysconfig
from pathlib import Path

SCRIPTS = sysconfig.get_path("scripts")


def quickstart(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [f"{SCRIPTS}/pykafka", "quickstart", *arguments], env={**os.environ, **environ}, capture_output=True, text=True
    )


def test_what_it_shows_is_there_and_fits_the_screen(tmp_path: Path) -> None:
    done = quickstart(TMPDIR=str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    (directory,) = tmp_path.iterdir()
    lines = done.stdout.replace(str(directory), "/tmp/pykafka-12345678").splitlines()
    assert [line for line in lines if len(line.expandtabs()) > 80] == []
    shown = {path: int(size) for size, path in re.findall(r"^ +([0-9]+)  (\S+)$", done.stdout, re.MULTILINE)}
    assert shown == {
        str(path.relative_to(directory)): path.stat().st_size for path in directory.rglob("*") if path.is_file()
    }
    assert f"  $ export PYKAFKA_DATA_DIR={directory}\n" in done.stdout


def test_the_next_commands_work_as_shown(tmp_path: Path) -> None:
    done = quickstart("--dir", str(tmp_path / "first logs"))
    assert (done.returncode, done.stderr) == (0, "")
    export = re.search(r"^  (export PYKAFKA_DATA_DIR.*)$", done.stdout, re.MULTILINE)
    dump_log = re.search(r"^  (pykafka dump-log .*\n.*)$", done.stdout, re.MULTILINE)
    remove = re.search(r"^To remove it: (.*)$", done.stdout, re.MULTILINE)
    assert export and dump_log and remove
    script = f"PATH={SCRIPTS}:$PATH\n{export[1]}\n{dump_log[1]}\n{remove[1]}"
    ran = subprocess.run(["sh", "-e", "-c", script], capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "key: anna payload: tea" in ran.stdout
    assert not (tmp_path / "first logs").exists()


def test_a_directory_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    done = quickstart("--dir", str(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    assert "is not empty" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_command_that_fails_makes_it_fail(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = quickstart("--dir", str(tmp_path / "file" / "below"))
    assert done.returncode == 1
    assert "that command failed with exit code 1" in done.stderr
    assert "All of it worked" not in done.stdout


def test_where_pykafka_is_not_on_the_path_the_next_lines_put_it_there(tmp_path: Path) -> None:
    outside = os.pathsep.join(part for part in os.environ["PATH"].split(os.pathsep) if part != SCRIPTS)
    done = quickstart("--dir", str(tmp_path / "logs"), PATH=outside)
    following = done.stdout.partition("Next:")[2]
    (line,) = re.findall(r"^  (export PATH=.*)$", following, re.MULTILINE)
    ran = subprocess.run(["sh", "-c", f"{line}\npykafka --version"], capture_output=True, env={"PATH": "/usr/bin:/bin"})
    assert (ran.returncode, ran.stderr) == (0, b"")
    done = quickstart("--dir", str(tmp_path / "more"), PATH=f"{SCRIPTS}:{outside}")
    assert "export PATH" not in done.stdout
