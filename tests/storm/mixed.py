"""A storm over one group of all kinds of members: ``python tests/storm/mixed.py --seconds N --seed S``.

Two Java consumers (KIP-848 and classic), two of librdkafka's and two of the shell share a group of a data directory
that `pykafka serve` has a port on; one producer appends through the port and one beside it. Members are killed and
frozen at random. Then it is calm until all is read, and the histories are compared: nothing acknowledged is unread,
nothing was read twice unless who read it first was killed or frozen, and no partition had two owners, but for what the
frozen and the dead believe. Exit 0 if nothing is wrong; else 1, and the directory is kept.

With ``--of range`` or ``--of cooperative`` all six are of the classic protocol, three of each client: one of them
leads.
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from pykafka_store.open import open_data_directory
from tests.storm.mixed_workers import GROUP, TOPIC
from tests.support import apache
from tests.support.packages import java_classes
from tests.support.served import Served

HERE = Path(__file__).resolve().parent
PARTITIONS = 12
PATIENCE = 120.0
"""Seconds until all must have been read when it is calm."""

SESSION = 6.0
"""Seconds of those that speak the classic protocol; the others' is 45 s, and no freeze is as long."""

FREEZES = (0.5, 2.0, 9.0)
"""Seconds. Only the last is more than a session, and excuses who was frozen."""

MOST_TOLD = 20

KINDS = ("mixed", "range", "cooperative")
"""What the group is of; by one kind of classic members also who leads them."""


class Line(NamedTuple):
    """Something that one process said."""

    at: int
    what: str
    partition: int
    more: str


class Life:
    """One process of a member, from its start to its end."""

    def __init__(self, name: str, command: list[str], history: Path, environ: dict[str, str] | None = None) -> None:
        self.name = name
        self.history = history
        self.hurt_at: int | None = None
        """When it was killed, or frozen for longer than it may be silent: from then on it may be wrong. All times are
        of the monotonic clock, in ns.
        """
        self.ended_at: int | None = None
        with history.with_suffix(".out").open("wb") as out, history.with_suffix(".err").open("wb") as err:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=environ)

    def kill(self) -> None:
        self.hurt_at = self.hurt_at or time.monotonic_ns()
        self.process.kill()
        self.process.wait()
        self.ended_at = time.monotonic_ns()

    def freeze(self, seconds: float) -> None:
        """Stop it; somebody else has it go on after that time."""
        if seconds > SESSION and "consumer" not in self.name:
            self.hurt_at = self.hurt_at or time.monotonic_ns()
        self.process.send_signal(signal.SIGSTOP)

    def has_joined(self) -> bool:
        """Whether it was given or has read something."""
        files = (self.history, self.history.with_suffix(".out"))
        return any(each.exists() and each.stat().st_size > 0 for each in files)

    def said(self) -> list[Line]:
        """All whole lines of its history. A shell's consumer says what it has read on its standard output."""
        if not self.history.exists():
            return [*self._printed()]
        found = []
        for text in self.history.read_text().splitlines(keepends=True):
            parts = text.rstrip("\n").split(" ", 3)
            if text.endswith("\n") and len(parts) == 4:
                found.append(Line(int(parts[0]), parts[1], int(parts[2]), parts[3]))
        return found

    def _printed(self) -> Iterator[Line]:
        for text in self.history.with_suffix(".out").read_text().splitlines(keepends=True):
            if text.endswith("\n"):  # Partition:1	Offset:2	value
                partition, offset, value = text.rstrip("\n").split("\t")
                yield Line(0, "read", int(partition.split(":")[1]), f"{offset.split(':')[1]} {value}")


class Mixed:
    """The group and what is done to it."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.random = random.Random(seed)
        self.data = folder / "data"
        self.lives: list[Life] = []
        self.producers: list[Life] = []
        self.stop = folder / "stop"
        self.stop_producing = folder / "stop-producing"
        with open_data_directory(self.data, create=True) as cluster:
            cluster.admin().create_topic(TOPIC, partitions=PARTITIONS)
        self._java = apache.java("Member", classes=java_classes(HERE / "Member.java"))

    def start(self, served: Served, kind: str) -> dict[str, Callable[[], Life]]:
        """What starts a member, by its name; the producers are started. ``kind``: one of ``KINDS``."""
        worker = [sys.executable, str(HERE / "mixed_workers.py")]
        address, stop = served.address, str(self.stop)
        for role, where in (("through_the_port", address), ("beside_the_port", str(self.data))):
            history = self.folder / role
            command = [*worker, role, where, str(PARTITIONS), str(history), str(self.stop_producing)]
            self.producers.append(Life(role, command, history))
        printed = ("--formatter-property", "print.partition=true", "--formatter-property", "print.offset=true")
        shell = [sys.executable, "-m", "pykafka_cli", "console-consumer", "--topic", TOPIC, "--group", GROUP, *printed]
        shell += ["--from-beginning", "--bootstrap-server", f"file:{self.data}"]
        of_shell = {
            "shell-classic": ("--command-property", "session.timeout.ms=6000"),
            "shell-consumer": ("--command-property", "group.protocol=consumer"),
        }

        def member(name: str, command: list[str], *more: str) -> Callable[[], Life]:
            def begin() -> Life:
                history = self.folder / f"{len(self.lives):03d}-{name}"
                words = [history if each == "HISTORY" else each for each in (*command, *more)]
                life = Life(name, [str(each) for each in words], history)
                self.lives.append(life)
                return life

            return begin

        clients = {"java": self._java, "librdkafka": [*worker, "librdkafka"]}
        if kind != "mixed":
            return {
                f"{client}-{kind}-{number}": member(
                    f"{client}-{kind}-{number}", command, address, kind, "HISTORY", stop
                )
                for client, command in clients.items()
                for number in range(3)
            }
        return {
            **{
                f"{client}-{protocol}": member(f"{client}-{protocol}", command, address, protocol, "HISTORY", stop)
                for client, command in clients.items()
                for protocol in ("range", "consumer")
            },
            **{name: member(name, shell, *more) for name, more in of_shell.items()},
        }

    def rage(self, begin: dict[str, Callable[[], Life]], seconds: float) -> None:
        """When all have joined, kill and freeze members for a while; who was killed is started again, and left alone
        until it has joined.
        """
        alive = {name: start() for name, start in begin.items()}
        frozen: dict[str, float] = {}
        deadline = time.monotonic() + PATIENCE
        while not all(life.has_joined() for life in alive.values()):
            if time.monotonic() > deadline:
                raise AssertionError(f"not all have joined: {[*alive]}")
            time.sleep(0.1)
        end = time.monotonic() + seconds
        while (now := time.monotonic()) < end:
            for name in [name for name, until in frozen.items() if until <= now]:
                del frozen[name]
                alive[name].process.send_signal(signal.SIGCONT)
            for name, life in alive.items():
                if life.process.poll() is not None:
                    told = life.history.with_suffix(".err").read_text()
                    raise AssertionError(f"{name} ended by itself: {told[-2000:]}")
            name = self.random.choice([*alive])
            if name not in frozen and len(frozen) < 2 and alive[name].has_joined():
                if self.random.random() < 0.4:
                    alive[name].kill()
                    alive[name] = begin[name]()
                else:
                    for_long = self.random.choice(FREEZES)
                    alive[name].freeze(for_long)
                    frozen[name] = now + for_long
            time.sleep(self.random.uniform(0.3, 2.0))
        for name in frozen:
            alive[name].process.send_signal(signal.SIGCONT)

    def settle(self) -> None:
        """Wait until all that was acknowledged is read, and end everything in good order."""
        self.stop_producing.touch()
        for life in self.producers:
            life.process.wait(PATIENCE)
        deadline = time.monotonic() + PATIENCE
        while self.unread() and time.monotonic() < deadline:
            time.sleep(0.5)
        self.stop.touch()
        for life in self.lives:
            if life.process.poll() is None and life.name.startswith("shell"):
                life.process.send_signal(signal.SIGINT)
        for life in self.lives:
            life.process.wait(PATIENCE)
            life.ended_at = life.ended_at or time.monotonic_ns()

    def close(self) -> None:
        """End what still runs."""
        for life in (*self.lives, *self.producers):
            if life.process.poll() is None:
                life.process.kill()
                life.process.wait()

    # ------------------------------------------------------------------------------------------------------ the model

    def unread(self) -> set[str]:
        """Values that were acknowledged, and that nobody has read."""
        sent = {line.more for life in self.producers for line in life.said() if line.what == "sent"}
        return sent - {line.more.split(" ")[1] for life in self.lives for line in life.said() if line.what == "read"}

    def problems(self) -> Iterator[str]:
        """What is not as it was promised."""
        for value in sorted(self.unread()):
            yield f"{value} was acknowledged and is not read"
        yield from self._twice()
        yield from self._two_owners()
        for life in self.producers:
            if life.process.returncode != 0:
                yield f"{life.name} ended with {life.process.returncode}"

    def _twice(self) -> Iterator[str]:
        readers: dict[tuple[int, str], list[Life]] = {}
        for life in self.lives:
            for line in life.said():
                if line.what == "read":
                    readers.setdefault((line.partition, line.more), []).append(life)
        for (partition, record), lives in sorted(readers.items()):
            if len(lives) > 1 and sum(each.hurt_at is None for each in lives) > 1:
                names = ", ".join(each.history.name for each in lives)
                yield f"{partition}:{record} was read by {names}, of whom more than one were not hurt"
            # Who was frozen for longer than its session lost what it had read and not committed, and may get it again.
            again = next((each for each in lives if lives.count(each) > 1 and each.hurt_at is None), None)
            if again is not None:
                yield f"{partition}:{record} was read twice by one process: {again.history.name}"

    def _two_owners(self) -> Iterator[str]:
        held: list[tuple[int, int, int, Life]] = []
        for life in self.lives:
            began: dict[int, int] = {}
            end = min(each for each in (life.hurt_at, life.ended_at) if each is not None)
            for line in life.said():
                if line.what == "assigned":
                    began[line.partition] = line.at
                elif line.what in {"revoked", "lost"} and line.partition in began:
                    held.append((line.partition, began.pop(line.partition), min(line.at, end), life))
            held += [(partition, start, end, life) for partition, start in began.items()]
        last: dict[int, tuple[int, Life]] = {}
        held = [each for each in held if each[1] < each[2]]
        for partition, start, end, life in sorted(held, key=lambda each: each[:3]):
            until, owner = last.get(partition, (0, life))
            if start < until:
                yield (
                    f"partition {partition} was {owner.history.name}'s until {until} and {life.history.name}'s from "
                    f"{start}, {(until - start) / 1e6:.1f} ms earlier"
                )
            if end > until:
                last[partition] = end, life


def storm(seconds: float, seed: int, folder: Path, kind: str = "mixed") -> tuple[list[str], str]:
    """What is wrong, and a line of what was done."""
    mixed = Mixed(folder, seed)
    try:
        with Served(mixed.data) as served:
            mixed.rage(mixed.start(served, kind), seconds)
            mixed.settle()
            code, told = served.stop()
    finally:
        mixed.close()
    found = [*mixed.problems()]
    if code != 143 or "unexpected" in told:
        found.append(f"the server ended with {code}: {told}")
    sent = sum(len(life.said()) for life in mixed.producers)
    reads = Counter(life.name for life in mixed.lives for line in life.said() if line.what == "read")
    hurt = sum(life.hurt_at is not None for life in mixed.lives)
    who = ", ".join(f"{count} by {name}" for name, count in sorted(reads.items()))
    done = f"{sent} records sent, {reads.total()} read ({who}); {len(mixed.lives)} processes, of which {hurt} were hurt"
    return found, done


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--of", choices=KINDS, default="mixed")
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="pykafka-mixed-"))
    print(f"seed {asked.seed}, in {folder}", flush=True)
    found, done = storm(asked.seconds, asked.seed, folder, asked.of)
    print(done)
    for problem in found[:MOST_TOLD]:
        print(problem)
    if found:
        print(f"{len(found)} problems; the directory is kept")
        return 1
    if "--keep" in sys.argv:
        return 0
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
