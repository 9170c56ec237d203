"""``pykafka sandbox``: a command in a world of its own, which is gone when it has done well."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import click

from pykafka_cli.click_types import DIRECTORY
from pykafka_cli.env import Env
from pykafka_cli.errors import CommandFailure, heard_ends, is_the_same_wish
from pykafka_cli.tool.home import write_home
from pykafka_cli.tool.options import examples
from pykafka_cli.tool.sandbox_places import give_back, running_servers
from pykafka_store.open import server_of_directory

NOT_FOUND, NOT_STARTED = 127, 126
"""Exit codes of a command that could not be started, as a shell has them."""

PATIENCE, PAUSE = 10.0, 0.02
"""Seconds that a server has for its end, and between two looks at it."""


@click.command(
    "sandbox",
    short_help="Run a command over a directory of logs of its own.",
    context_settings={"allow_interspersed_args": False},
    epilog=examples(
        "pykafka sandbox -- ./script-that-calls-kafka-topics.sh",
        "pykafka sandbox --seed tests/seed -- pytest -q",
        "pykafka sandbox --keep -- sh -c 'kafka-topics --create --topic t'",
    ),
)
@click.option(
    "--seed",
    metavar="DIR",
    type=click.Path(exists=True, file_okay=False),
    help="What is there at the start: a data directory, whose topics and groups' offsets are copied, or a directory of "
    "JSON lines (*.jsonl), which pykafka load loads.",
)
@click.option("--keep", is_flag=True, help="Keep the directory and name it, however the command ends.")
@click.option("--dir", "parent", metavar="DIR", type=DIRECTORY, help="Where to make it. Default: $TMPDIR, or /tmp.")
@click.argument("command", metavar="[--] COMMAND...", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_obj
def sandbox(env: Env, seed: str | None, keep: bool, parent: str | None, command: tuple[str, ...]) -> None:
    """Run COMMAND in a new directory of logs, and exit as it does.

    The command finds the logs by PYKAFKA_DATA_DIR, kafka-topics.sh, kafka-topics and all the others on its PATH and in
    $KAFKA_HOME/bin, $KAFKA_HOME/config/server.properties, and every address of a broker leads to the directory
    (PYKAFKA_EMBED=*): nothing that it does through these tools reaches a real cluster. What a server.properties names
    as log.dirs is where it says, if nothing is there yet, and else in the sandbox. When the command succeeds, all of it
    is removed; when it fails, all is kept in the directory, which is named. Servers that it started and did not stop
    are stopped.
    """
    if parent is not None:
        os.makedirs(parent, exist_ok=True)
    root = tempfile.mkdtemp(prefix="pykafka-sandbox-", dir=parent and os.path.abspath(parent))
    data = os.path.join(root, "data")
    kept = True
    try:
        write_home(root, with_pykafka=True)
        environ = _environ(env.environ, root, data)
        if seed is not None:
            _sow(env, seed, data, environ)
        code = _run(command, environ)
        _stop_servers(root, data)
        kept = keep or code != 0
        give_back(root, data, keep=kept)
    finally:
        if kept:
            env.err(f"sandbox: the directory is kept: {root}")
        else:
            shutil.rmtree(root)
    if code:
        raise CommandFailure(f"sandbox: {command[0]} ended with exit code {code}", exit_code=code)


def _environ(environ: Mapping[str, str], root: str, data: str) -> dict[str, str]:
    return {
        **environ,
        "KAFKA_HOME": root,
        "PATH": os.pathsep.join([os.path.join(root, "bin"), environ.get("PATH", os.defpath)]),
        "PYKAFKA_DATA_DIR": data,
        "PYKAFKA_EMBED": "*",
        "PYKAFKA_SANDBOX": root,
        "LOG_DIR": os.path.join(root, "logs"),  # where kafka-server-start -daemon writes
    }


def _sow(env: Env, seed: str, data: str, environ: Mapping[str, str]) -> None:
    """Bring in what is there at the start. Raises CommandFailure with what the command that does it says."""
    if os.path.lexists(os.path.join(seed, "meta.properties")):
        # A copy of the files would have a part in the log directories that the original has elsewhere.
        words = [
            "mirror",
            "--from",
            f"file:{seed}",
            "--to",
            f"file:{data}",
            "--include",
            ".*",
            "--include-groups",
            ".*",
        ]
    else:
        files = sorted(str(path) for path in Path(seed).glob("*.jsonl"))
        if not files:
            raise CommandFailure(f"sandbox: {seed} is no data directory, and has no *.jsonl")
        words = ["load", "--", *files]
    done = subprocess.run(
        [sys.executable, "-P", "-m", "pykafka_cli", *words],
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        raise CommandFailure(f"sandbox: --seed {seed}: {done.stderr.strip()}")
    for line in done.stderr.splitlines():
        if "Made a new data directory" not in line:
            env.err(line)


def _run(command: tuple[str, ...], environ: Mapping[str, str]) -> int:
    """The command's exit code, as a shell tells it. Ctrl-C strikes the command as well, which decides what it is worth;
    SIGTERM and SIGHUP strike this process alone, and are passed on as SIGTERM.
    """
    found = shutil.which(command[0], path=environ["PATH"])
    if found is None:
        raise CommandFailure(f"sandbox: {shlex.quote(command[0])} is no command", exit_code=NOT_FOUND)
    processes: list[subprocess.Popen[bytes]] = []
    asked: list[int] = []

    def pass_on(number: int, _frame: object) -> None:
        if is_the_same_wish():
            return
        asked.append(number)
        for process in processes:
            process.terminate()

    # From before the command starts, so that none is left alone by a signal that comes early.
    before = {
        signal.SIGINT: signal.signal(signal.SIGINT, lambda *_: None),
        **{each: signal.signal(each, pass_on) for each in heard_ends() if each != signal.SIGINT},
    }
    try:
        processes.append(subprocess.Popen([found, *command[1:]], env=dict(environ)))
        if asked:
            processes[0].terminate()
        code = processes[0].wait()
    except OSError as error:
        raise CommandFailure(f"sandbox: {found}: {error.strerror}", exit_code=NOT_STARTED) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return code if code >= 0 else 128 - code


def _stop_servers(root: str, data: str) -> None:
    """Stop the servers that the command left running, and see them go. Raises CommandFailure where one stays: then its
    files may not be taken away.
    """
    left = _left_running(root, data)
    for process in left:
        with suppress(ProcessLookupError):  # it has ended just now
            os.kill(process, signal.SIGTERM)
    deadline = time.monotonic() + PATIENCE
    while left := _left_running(root, data):
        if time.monotonic() >= deadline:
            raise CommandFailure(f"sandbox: the server that the command left running does not end: process {left[0]}")
        time.sleep(PAUSE)


def _left_running(root: str, data: str) -> list[int]:
    """Those of kafka-server-start, and that of ``pykafka serve``."""
    is_there = os.path.exists(os.path.join(data, "meta.properties"))
    serving = server_of_directory(data) if is_there else None
    return [*running_servers(root), *([] if serving is None else [serving])]
