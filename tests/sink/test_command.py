"""``pykafka sink ... -- COMMAND``: each batch on its standard input, counted when it exits 0."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from pykafka_store import TopicPartition
from pykafka_store.databases.errors import DatabaseError
from pykafka_store.sink.command_target import CommandTarget
from pykafka_store.sink.options import SinkOptions
from pykafka_store.sink.report import SinkReport
from pykafka_store.sink.sinking import Sink
from tests.sink.conftest import Lab


def run(lab: Lab, words: Sequence[str], **options: object) -> SinkReport:
    target = CommandTarget(words, lab.cluster.admin())
    wanted = SinkOptions(raw=True, exit_at_end=True, retry=0.0)._replace(**options)  # type: ignore[arg-type]
    return Sink(lab.cluster, ["t"], target, "g", options=wanted, on_notice=lab.notices.append).run()


def test_each_batch_is_one_run_and_values_are_lines(lab: Lab, tmp_path: Path) -> None:
    out = tmp_path / "out"
    lab.send(b"one", b"two", b"\xff", b"", b"five")
    report = run(lab, ["sh", "-c", f"cat >> {out}; echo -- >> {out}"], batch_size=2)
    assert (report.messages, report.is_good) == (5, True)
    assert out.read_bytes() == b"one\ntwo\n--\n\xff\n\n--\nfive\n--\n"
    assert lab.committed()[TopicPartition("t", 0)] == 5
    assert run(lab, ["false"]).messages == 0  # nothing is left, so it does not run


def test_a_batch_counts_when_the_command_exits_0(lab: Lab, tmp_path: Path) -> None:
    out = tmp_path / "out"
    lab.send(b"one", b"two", b"three")
    script = f"cat >> {out}; ! grep -q two {out}"
    with pytest.raises(DatabaseError, match="sh exited with 1: its 1 lines do not count"):
        run(lab, ["sh", "-c", script], batch_size=1)
    assert lab.committed()[TopicPartition("t", 0)] == 1
    assert run(lab, ["sh", "-c", f"cat >> {out}"]).messages == 2
    assert out.read_text().split() == ["one", "two", "two", "three"]


def test_a_command_that_fails_is_run_again_where_that_is_wanted(lab: Lab, tmp_path: Path) -> None:
    out = tmp_path / "out"
    lab.send(b"one")
    script = f"cat >> {out}; [ $(wc -l < {out}) = 3 ]"
    assert run(lab, ["sh", "-c", script], retry=30.0).messages == 1
    assert out.read_text().split() == ["one"] * 3
    assert lab.notices[0] == "sh exited with 1: its 1 lines do not count: waiting for it"


def test_what_is_no_line_is_a_bad_record(lab: Lab, tmp_path: Path) -> None:
    lab.cluster.admin().create_topic("dead")
    out = tmp_path / "out"
    lab.send(b"one", None, b"two\nlines", b"four")
    assert str(run(lab, ["sh", "-c", f"cat >> {out}"]).stopped) == "t-0@1: the value is null, which is no line"
    report = run(lab, ["sh", "-c", f"cat >> {out}"], errors="dead-letter", dead_letter_topic="dead")
    assert (report.messages, report.dead_letters) == (3, 2)
    assert out.read_text().split() == ["one", "four"]
    with pytest.raises(DatabaseError, match="a command has no table of dead letters"):
        run(lab, ["cat"], errors="dead-letter")


def test_a_command_that_is_not_there_is_an_error(lab: Lab) -> None:
    """At once, with nothing to be given to it."""
    with pytest.raises(DatabaseError, match="no-such-command can't be run: there is no such program"):
        run(lab, ["no-such-command"])


def test_a_signal_that_ends_the_command_is_named(lab: Lab) -> None:
    lab.send(b"one")
    with pytest.raises(DatabaseError, match="was ended by signal 9"):
        run(lab, [sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"])
