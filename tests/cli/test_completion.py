"""The generated completion scripts complete in the shells themselves: options, and the topics of the data directory."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import shutil
import subprocess
import sysconfig
import time
from pathlib import Path

import pytest

COMPLETIONS = Path(__file__).resolve().parent.parent.parent / "completions"


@pytest.fixture(scope="module")
def environ(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A world with three topics, one of which shares no letter with the others' beginning."""
    root = tmp_path_factory.mktemp("completion")
    environ = {
        "PATH": os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]]),
        "HOME": str(root),
        "LC_ALL": "C.UTF-8",
        "TERM": "dumb",
        "PYKAFKA_DATA_DIR": str(root / "data"),
    }
    for topic in ("orders", "order-items", "payments"):
        subprocess.run(["kafka-topics", "--create", "--topic", topic], env=environ, check=True, capture_output=True)
    return environ


def bash(environ: dict[str, str], *words: str) -> list[str]:
    """What bash offers for the last word."""
    program, function = words[0], f"_{words[0].replace('-', '_')}_completion"
    script = f'source "{COMPLETIONS}/bash/{program}"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); {function} "$1"\n'
    done = subprocess.run(
        ["bash", "-c", script + "printf '%s\\n' \"${COMPREPLY[@]}\"", "bash", *words],
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.split()


def test_bash_completes_topics(environ: dict[str, str]) -> None:
    assert bash(environ, "kafka-topics", "--describe", "--topic", "") == ["order-items", "orders", "payments"]
    assert bash(environ, "kafka-topics", "--describe", "--topic", "ord") == ["order-items", "orders"]
    assert bash(environ, "kafka-console-consumer", "--topic", "pa") == ["payments"]
    assert bash(environ, "pykafka", "console-producer", "--topic", "pa") == ["payments"]


def test_bash_completes_topics_of_the_directory_that_the_command_line_names(environ: dict[str, str]) -> None:
    elsewhere = {**environ, "PYKAFKA_DATA_DIR": environ["HOME"] + "/none"}
    named = environ["PYKAFKA_DATA_DIR"]
    assert bash(elsewhere, "kafka-topics", "--data-dir", named, "--topic", "pa") == ["payments"]
    assert bash(elsewhere, "kafka-topics", "--bootstrap-server", f"file:{named}", "--topic", "pa") == ["payments"]
    embedded = {**environ, "PYKAFKA_EMBED": "localhost:9092"}
    assert bash(embedded, "kafka-topics", "--bootstrap-server", "localhost:9092", "--topic", "pa") == ["payments"]


def test_bash_completes_options_and_commands(environ: dict[str, str]) -> None:
    assert bash(environ, "kafka-topics", "--replica-") == ["--replica-assignment"]
    assert bash(environ, "kafka-dump-log", "--files", "x", "--print") == ["--print-data-log"]
    assert bash(environ, "pykafka", "quick") == ["quickstart"]


def test_completion_makes_nothing_and_says_nothing_where_there_is_nothing(environ: dict[str, str]) -> None:
    missing = Path(environ["HOME"]) / "none"
    assert bash({**environ, "PYKAFKA_DATA_DIR": str(missing)}, "kafka-topics", "--topic", "") == []
    assert not missing.exists()
    assert bash(environ, "kafka-topics", "--bootstrap-server", "no-such-host:9092", "--topic", "") == []
    assert bash(environ, "kafka-topics", "--bootstrap-server", "nonsense", "--topic", "") == []


def test_fish_completes_topics_and_options(environ: dict[str, str]) -> None:
    if shutil.which("fish") is None:
        pytest.skip("no fish on this machine")

    def fish(program: str, line: str) -> list[str]:
        script = f'source "{COMPLETIONS}/fish/{program}.fish"; complete --do-complete "{line}"'
        done = subprocess.run(["fish", "-c", script], env=environ, capture_output=True, text=True, check=True)
        return sorted(offer.split("\t")[0] for offer in done.stdout.splitlines() if offer)

    assert fish("kafka-topics", "kafka-topics --describe --topic ord") == ["order-items", "orders"]
    assert fish("kafka-topics", "kafka-topics --replica-") == ["--replica-assignment"]
    assert fish("pykafka", "pykafka topics --topic pa") == ["payments"]


def test_zsh_completes_topics_and_options(environ: dict[str, str]) -> None:
    if shutil.which("zsh") is None:
        pytest.skip("no zsh on this machine")
    home = environ["HOME"]
    Path(home, ".zshrc").write_text(
        f'fpath=("{COMPLETIONS}/zsh" $fpath)\nautoload -Uz compinit\ncompinit -u\nPS1="ready> "\n'
    )
    for keys, completed in (
        ("kafka-topics --describe --topic pay\t", "kafka-topics --describe --topic payments"),
        ("kafka-topics --replica-\t", "kafka-topics --replica-assignment"),
    ):
        assert completed in _typed_in_zsh(environ, keys, until=completed)


def _typed_in_zsh(environ: dict[str, str], keys: str, until: str) -> str:
    """What an interactive zsh shows after these keys, up to what is waited for."""
    process, terminal = pty.fork()
    if process == 0:
        os.execvpe("zsh", ["zsh", "-i"], environ)
    try:
        _shown(terminal, until="ready> ", timeout=60)
        os.write(terminal, keys.encode())
        return _shown(terminal, until=until, timeout=60)
    finally:
        os.kill(process, 9)
        os.waitpid(process, 0)
        os.close(terminal)


def _shown(terminal: int, until: str, timeout: float) -> str:
    text, deadline = "", time.monotonic() + timeout
    waiting = select.poll()  # select() takes no descriptor above 1023, and a long run of tests has those
    waiting.register(terminal, select.POLLIN)
    while until not in text and (left := deadline - time.monotonic()) > 0:
        if waiting.poll(1000 * left):
            with contextlib.suppress(OSError):
                text += os.read(terminal, 65536).decode("utf-8", "replace")
    return text
