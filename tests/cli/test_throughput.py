"""The performance tools' line on a terminal, and their pictures."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from pykafka_cli import main
from pykafka_cli.env import Env
from pykafka_cli.errors import Refusal
from pykafka_cli.output import throughput
from pykafka_cli.output.throughput import MOST_SLICES, Throughput


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class OwnEnv(Env):
    """A world whose clock goes on by a tenth of a second each time somebody looks."""

    def __init__(self, tmp_path: Path, stderr: io.StringIO) -> None:
        self.printed = io.BytesIO()
        super().__init__(
            stdin=io.BytesIO(),
            stdout=self.printed,
            stderr=stderr,
            environ={"PYKAFKA_DATA_DIR": str(tmp_path / "data")},
            monotonic=map((0.1).__mul__, itertools.count()).__next__,
        )


def run(env: OwnEnv, tool: str, *words: str) -> tuple[int, str]:
    code = main.run(lambda: main.load_command(tool), f"kafka-{tool}", list(words), env)
    return code, env.printed.getvalue().decode()


COMMANDS = {
    "producer-perf-test": ("--num-records", "5000", "--record-size", "10", "--throughput", "-1"),
    "consumer-perf-test": ("--num-records", "5000"),
    "e2e-latency": ("--num-records", "5", "--producer-acks", "1", "--record-size", "10"),
}


@pytest.fixture
def load(tmp_path: Path) -> Iterator[Path]:
    for words in (
        ["topics", "--create", "--topic", "load"],
        ["producer-perf-test", "--topic", "load", *COMMANDS["producer-perf-test"]],
    ):
        assert run(OwnEnv(tmp_path, io.StringIO()), *words)[0] == 0
    yield tmp_path


@pytest.mark.parametrize("tool", COMMANDS)
def test_a_terminal_has_a_line_that_is_gone_in_the_end(tool: str, load: Path) -> None:
    stderr = Terminal()
    code, stdout = run(OwnEnv(load, stderr), tool, "--topic", "load", *COMMANDS[tool])
    assert code == 0
    assert " records, " in stderr.getvalue()
    assert stderr.getvalue().endswith(" \r")
    assert "\r" not in stdout
    quiet = io.StringIO()
    _, same = run(OwnEnv(load, quiet), tool, "--topic", "load", *COMMANDS[tool])
    assert quiet.getvalue() == ""
    assert len(same.splitlines()) == len(stdout.splitlines())


@pytest.mark.parametrize("tool", COMMANDS)
@pytest.mark.parametrize(("name", "magic"), [("p.png", b"\x89PNG"), ("p.SVG", b"<?xml")])
def test_a_picture_is_drawn_and_nothing_else_is_left(tool: str, name: str, magic: bytes, load: Path) -> None:
    pytest.importorskip("matplotlib", reason="no matplotlib (pip install '.[plot]')")
    there = load / "pictures"
    there.mkdir()
    assert (
        run(OwnEnv(load, io.StringIO()), tool, "--topic", "load", "--plot", str(there / name), *COMMANDS[tool])[0] == 0
    )
    assert [path.name for path in there.iterdir()] == [name]
    assert (there / name).read_bytes().startswith(magic)


@pytest.mark.parametrize(
    ("path", "reason"),
    [("p.pdf", "the file's name must end with .png or .svg"), ("no/such/p.png", "no/such is no directory")],
)
def test_what_cant_be_drawn_is_refused_before_anything_is_measured(path: str, reason: str, tmp_path: Path) -> None:
    stderr = io.StringIO()
    code, stdout = run(
        OwnEnv(tmp_path, stderr), "e2e-latency", "--topic", "t", "--plot", path, *COMMANDS["e2e-latency"]
    )
    assert (code, stdout, stderr.getvalue()) == (1, "", f"--plot {path}: {reason}\n")
    assert not (tmp_path / "data").exists()


def test_a_long_run_is_cut_into_no_more_slices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throughput, "_check", lambda path: None)
    found = []
    monkeypatch.setattr(throughput, "_draw", lambda path, title, slices, width: found.append((slices, width)))
    shown = Throughput(OwnEnv(tmp_path, io.StringIO()), "p.png", "title")
    for _ in range(3 * MOST_SLICES):
        shown.add(2, 20, 1.5)
    shown.end()
    ((slices, width),) = found
    assert len(slices) <= MOST_SLICES
    assert sum(each.records for each in slices) == 6 * MOST_SLICES
    assert width * len(slices) >= 3 * MOST_SLICES * 0.1
    assert slices[5].percentile(0.5) == slices[5].percentile(1.0) == 1.5


def test_a_directory_that_goes_away_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib", reason="no matplotlib (pip install '.[plot]')")
    (tmp_path / "gone").mkdir()
    shown = Throughput(OwnEnv(tmp_path, io.StringIO()), str(tmp_path / "gone" / "p.png"), "title")
    shown.add(1, 1, 1.0)
    (tmp_path / "gone").rmdir()
    with pytest.raises(Refusal, match=r"gone/p.png can't be written: No such file or directory"):
        shown.end()
