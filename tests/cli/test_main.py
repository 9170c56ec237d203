"""How programs end: exit codes, signals, closed pipes and full disks, in real processes."""

from __future__ import annotations

import errno
import io
import os
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from pykafka_cli import KAFKA_TOOLS, errors, main
from pykafka_cli.env import Env
from pykafka_cli.errors import CommandFailure, Stream
from pykafka_cli.main import run
from pykafka_cli.tool.interrupts import Interrupts
from pykafka_store.errors import InvalidTopicError

SCRIPTS = Path(sysconfig.get_path("scripts"))


def ended(error: BaseException, **environ: str) -> tuple[int, str, str]:
    """The exit code, stdout and stderr of a command that raises this."""

    @click.command()
    def failing() -> None:
        raise error

    stdout, stderr = io.BytesIO(), io.StringIO()
    code = run(lambda: failing, "tool", [], Env(stdin=io.BytesIO(), stdout=stdout, stderr=stderr, environ=environ))
    return code, stdout.getvalue().decode(), stderr.getvalue()


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_failure_is_one_line_on_the_stream_that_kafka_uses(stream: Stream) -> None:
    told = ended(CommandFailure("It failed.", stream))
    assert told == (1, *(("It failed.\n", "") if stream == "stdout" else ("", "It failed.\n")))


def test_an_error_of_the_store_has_kafkas_name() -> None:
    assert ended(InvalidTopicError("no such name")) == (1, "", "InvalidTopicException: no such name\n")


def test_an_error_of_the_system_names_the_file() -> None:
    assert ended(FileNotFoundError(2, "No such file", "/f")) == (1, "", "tool: No such file (/f)\n")


@pytest.mark.parametrize(
    ("error", "told"), [(MemoryError(), "memory"), (RuntimeError("can't start new thread"), "processes")]
)
def test_what_the_machine_does_not_give_is_no_bug(error: Exception, told: str) -> None:
    code, out, err = ended(error)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert told in err
    assert "bug" not in err


def test_a_line_that_memory_has_no_room_for_is_no_bug(tmp_path: Path) -> None:
    limited = f"ulimit -v 400000; head -c 1000000000 /dev/zero | {SCRIPTS / 'kafka-console-producer'} --topic t"
    settings = "--command-property max.request.size=2000000000"
    environ = {**os.environ, "PYKAFKA_DATA_DIR": str(tmp_path / "data")}
    done = subprocess.run(["bash", "-c", f"{limited} {settings}"], env=environ, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.endswith(
        "kafka-console-producer: out of memory: raise the limit (ulimit -v, or the container's)\n"
    )


def test_an_unforeseen_error_is_one_line_and_70_and_its_traceback_only_on_request() -> None:
    code, out, err = ended(KeyError("lost\nthing"))
    assert (code, out, err.count("\n")) == (70, "", 1)
    assert err.startswith("tool: unexpected KeyError: ")
    code, out, err = ended(KeyError("lost"), PYKAFKA_DEBUG="1")
    assert code == 70
    assert err.startswith("Traceback (most recent call last):\n")


def test_interruptions_have_the_codes_of_the_jvm() -> None:
    assert ended(KeyboardInterrupt()) == (130, "", "")
    gone = BrokenPipeError(errno.EPIPE, "Broken pipe")
    assert ended(gone) == (1, "", "tool: Broken pipe\n")  # some pipe, and not the one that stdout is


def test_kafkas_zero_exits_on_errors_are_ones_if_strict() -> None:
    assert ended(CommandFailure("Odd.", exit_code=0)) == (0, "", "Odd.\n")
    assert ended(CommandFailure("Odd.", exit_code=0), PYKAFKA_STRICT_EXIT="1") == (1, "", "Odd.\n")


# ------------------------------------------------------------------------------------------------------- real processes


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """A world with a topic of a megabyte of records."""
    environ = {**os.environ, "PATH": f"{SCRIPTS}:{os.environ['PATH']}", "PYKAFKA_DATA_DIR": str(tmp_path / "data")}
    script = "kafka-topics --create --topic t && seq 1 150000 | kafka-console-producer --topic t"
    subprocess.run(["bash", "-c", script], env=environ, check=True, capture_output=True)
    return environ


def bash(environ: dict[str, str], script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["bash", "-c", script], env=environ, capture_output=True, text=True, timeout=60)


CONSUME = "kafka-console-consumer --topic t --from-beginning"
DUMP = "kafka-dump-log --print-data-log --files $PYKAFKA_DATA_DIR/brokers/0/t-0/00000000000000000000.log"


@pytest.mark.parametrize("command", [f"{DUMP} 2>&1", "kafka-topics --list", "kafka-topics --help 2>&1"])
def test_a_reader_that_goes_away_is_no_error(environ: dict[str, str], command: str) -> None:
    done = bash(environ, f"{command} | head -n 1 >/dev/null; echo ${{PIPESTATUS[0]}}")
    expected = "1\n" if "--help" in command else "0\n"
    assert (done.stdout, done.stderr) == (expected, "")


def test_an_error_is_reported_by_the_code_although_nobody_reads_it(environ: dict[str, str]) -> None:
    assert bash(environ, "kafka-topics --nonsense 2>&1 | true; exit ${PIPESTATUS[0]}").returncode == 1
    assert bash(environ, "kafka-topics --nonsense 2>&-").returncode == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
@pytest.mark.parametrize("command", [DUMP, "kafka-topics --list", "kafka-topics --version", "pykafka --version"])
def test_a_full_disk_behind_stdout_is_an_error(environ: dict[str, str], command: str) -> None:
    done = bash(environ, f"{command} > /dev/full")
    assert done.returncode == 1
    assert done.stderr.endswith(": No space left on device (stdout)\n")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "command", ["kafka-topics --list", "pykafka doctor", "pykafka mirror --from k --to l --include ."]
)
def test_a_current_directory_that_was_removed_is_named(environ: dict[str, str], command: str) -> None:
    away = "cd ${PYKAFKA_DATA_DIR%/*} && mkdir away && cd away && rmdir ../away && export PYKAFKA_DATA_DIR=k"
    done = bash(environ, f"{away} && {command}")
    assert done.returncode == 1
    assert done.stderr.endswith(": the current directory has been removed: cd to one that is there\n")
    assert done.stderr.count("\n") == 1


def test_a_closed_stdout_or_stdin_is_no_error(environ: dict[str, str]) -> None:
    assert bash(environ, "kafka-topics --list >&-; echo $? >&2").stderr == "0\n"
    assert bash(environ, "kafka-topics --list <&-").stdout == "t\n"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_a_signal_ends_a_consumer_cleanly(environ: dict[str, str], number: signal.Signals, code: int) -> None:
    command = [str(SCRIPTS / "kafka-console-consumer"), "--topic", "t", "--from-beginning"]
    process = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if line == "150000\n":
            break
    process.send_signal(number)
    rest, err = process.communicate(timeout=60)
    assert (process.returncode, rest, err) == (code, "", "Processed a total of 150000 messages\n")


@pytest.fixture
def moment(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Sets how long signals are one wish, and forgets those that came."""

    def is_long(seconds: float) -> None:
        monkeypatch.setattr(errors, "_MOMENT", seconds)
        monkeypatch.setattr(errors._Wish, "at", float("-inf"))

    return is_long


ALL_ENDS = [(signal.SIGTERM, errors.Terminated), (signal.SIGINT, KeyboardInterrupt), (signal.SIGHUP, errors.HungUp)]


@pytest.mark.parametrize(("number", "end"), ALL_ENDS)
def test_a_signal_that_comes_twice_at_once_does_not_strike_the_end_that_it_asked_for(
    number: signal.Signals, end: type[KeyboardInterrupt], moment: Callable[[float], None]
) -> None:
    """``timeout`` signals its command, and then the command's process group: of 40 consumers in a group 7 ended without
    their count line, and without the commit.
    """
    before = signal.signal(number, main.raise_its_end)
    try:
        for seconds, is_struck in ((3600.0, False), (0.0, True)):
            moment(seconds)
            cleaned = False
            with pytest.raises(end):
                try:
                    signal.raise_signal(number)
                finally:
                    signal.raise_signal(number)
                    cleaned = True
            assert cleaned is not is_struck
    finally:
        signal.signal(number, before)


def test_a_signal_that_comes_twice_at_once_asks_for_a_tidy_end_once(moment: Callable[[float], None]) -> None:
    asked = []
    moment(3600.0)
    with pytest.raises(errors.Terminated), Interrupts(lambda: asked.append("an end")) as interrupts:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        assert asked == ["an end"]
        interrupts.end()
    moment(0.0)
    with pytest.raises(errors.Terminated), Interrupts(lambda: asked.append("an end")):
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        asked.append("never")
    assert asked == ["an end", "an end"]


def test_a_program_that_is_told_to_ignore_sigterm_does(environ: dict[str, str]) -> None:
    script = f"trap '' TERM; {CONSUME} --timeout-ms 1500 > /dev/null 2>&1 & sleep 0.7; kill -TERM $!; wait $!; echo $?"
    assert bash(environ, script).stdout == "0\n"


def test_a_program_that_nohup_started_does_not_hear_of_its_terminal(environ: dict[str, str]) -> None:
    script = f"trap '' HUP; {CONSUME} --timeout-ms 1500 > /dev/null 2>&1 & sleep 0.7; kill -HUP $!; wait $!; echo $?"
    assert bash(environ, script).stdout == "0\n"


def test_link_writes_programs_that_work_anywhere_and_spares_what_is_not_ours(
    environ: dict[str, str], tmp_path: Path
) -> None:
    target = tmp_path / "a dir" / "bin"
    done = bash(environ, f"pykafka link '{target}'")
    assert done.returncode == 0
    assert {str(target / f"kafka-{name}.sh") for name in KAFKA_TOOLS} <= set(done.stdout.splitlines())
    (tmp_path / "click.py").write_text("raise SystemExit('a stranger was imported')")
    done = subprocess.run(
        [target / "kafka-topics.sh", "--list"], cwd=tmp_path, env=environ, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "t\n")
    assert bash(environ, f"pykafka link '{target}'").returncode == 0  # ours may be replaced
    (target / "kafka-topics.sh").write_text("mine")
    done = bash(environ, f"pykafka link '{target}'")
    assert done.returncode == 1
    assert "was not written by pykafka link" in done.stderr
    assert (target / "kafka-topics.sh").read_text() == "mine"


def test_python_dash_m_is_the_same_program(environ: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pykafka_cli", "topics", "--list"], env=environ, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "t\n")


def test_unknown_subcommands_are_click_usage_errors(environ: dict[str, str]) -> None:
    done = bash(environ, "pykafka frobnicate")
    assert done.returncode == 2
    assert "No such command 'frobnicate'" in done.stderr


def test_a_command_ends_soon_after_its_signal_even_while_it_writes(environ: dict[str, str]) -> None:
    process = subprocess.Popen(
        ["bash", "-c", f"exec {DUMP}"], env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline()  # it writes; the pipe will be full long before it is done
    process.send_signal(signal.SIGTERM)
    _out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (143, b"")


def test_the_list_of_commands_cuts_no_sentence_short() -> None:
    environ = {**os.environ, "COLUMNS": "80"}
    done = subprocess.run([SCRIPTS / "pykafka", "--help"], env=environ, capture_output=True, text=True, check=True)
    assert "Commands:" in done.stdout
    assert "..." not in done.stdout.partition("Commands:")[2]
    assert max(map(len, done.stdout.splitlines())) <= 80
