"""What is done to the workers: kills, freezes, faults, clocks that jump, disks that go away, and tools beside them.

All that chance decides comes from the seed. What the processes make of it depends on the machine.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import struct
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.crash.forks import Forks
from tests.storm.faults import Faults
from tests.storm.records import ANY, Name, value_of
from tests.storm.workers import KEYED, SHORT, STEADY, TOPICS, Place

GROUPS = {
    "g-range": "org.apache.kafka.clients.consumer.RangeAssignor",
    "g-sticky": "org.apache.kafka.clients.consumer.CooperativeStickyAssignor",
}
MOST_PARTITIONS = 6
HOURS = 3_600_000


class Crew(NamedTuple):
    """A place among the workers: whoever has it is replaced when it is gone."""

    role: str
    arguments: tuple[object, ...] = ()
    spared: bool = False
    """Whether it is neither killed nor given faults: who only watches, for all that it says to be in one order."""


CREWS = [
    Crew("producer"),
    Crew("producer"),
    Crew("reader"),
    *(Crew("member", group) for group in GROUPS.items() for _ in range(2)),
    Crew("maker", (0,)),
    Crew("observer", (tuple(GROUPS),), spared=True),
]

DURATIONS = [0.05, 0.3, 1.0, 3.0]
"""Of a freeze, in seconds. session.timeout.ms is 2000."""


class Nemesis:
    """``faults``: whether the library is preloaded."""

    def __init__(
        self, place: Place, forks: Forks, chance: random.Random, log_dirs: list[Path], *, faults: bool
    ) -> None:
        self.done: Counter[str] = Counter()
        self.codes: dict[int, int] = {}
        """How the processes ended, by their numbers."""
        self._place = place
        self._forks = forks
        self._chance = chance
        self._log_dirs = log_dirs
        self._faults = faults
        self._numbers = 0
        self._crews: dict[int, Crew] = {}
        """Process id -> its place among the workers. Tools have none."""
        self._alive: dict[int, int] = {}
        """Process id -> its number."""
        self._frozen: dict[int, float] = {}
        """Process id -> when it is to go on."""
        self._away: dict[Path, Path] = {}
        """A log directory that is gone -> where it is meanwhile."""
        self._partitions = dict.fromkeys(TOPICS, 2)

    # ------------------------------------------------------------------------------------------------- the population

    def _start(self, role: str, *arguments: object, faults: Faults | None = None) -> int:
        number, self._numbers = self._numbers, self._numbers + 1
        chosen = self._some_faults() if faults is None else faults
        seed = self._chance.randrange(1 << 30)
        pid = self._forks.start(role, self._place.directory, number, seed, list(chosen), *arguments)
        self._alive[pid] = number
        self.done[role] += 1
        return pid

    def _some_faults(self) -> Faults:
        if not self._faults:
            return Faults()
        chance = self._chance
        return Faults(
            seed=chance.randrange(1 << 30),
            per_million=chance.choice([0, 0, 500, 5000, 30000]),
            kill_at=int(chance.expovariate(1 / 200)) if chance.random() < 0.4 else -1,
        )

    def _fill_crews(self) -> None:
        vacant = Counter(CREWS)
        vacant.subtract(self._crews.values())
        for crew, count in vacant.items():
            for _ in range(count):
                pid = self._start(crew.role, *crew.arguments, faults=Faults() if crew.spared else None)
                self._crews[pid] = crew

    def _reap(self) -> None:
        for pid, code in self._forks.ended():
            self._gone(pid, code)

    def _gone(self, pid: int, code: int) -> None:
        self.codes[self._alive.pop(pid)] = code
        self._crews.pop(pid, None)
        self._frozen.pop(pid, None)
        if code == -signal.SIGKILL:
            self.done["killed"] += 1

    def _victims(self) -> list[int]:
        return [pid for pid in self._alive if pid not in self._crews or not self._crews[pid].spared]

    # ---------------------------------------------------------------------------------------------------- what happens

    def blow(self, until: float) -> None:
        """Have the storm until ``until`` (monotonic seconds)."""
        weights: dict[Callable[[], None], int] = {
            self.kill: 6,
            self.interrupt: 2,
            self.freeze: 5,
            self.start_tool: 14,
            self.lose_disk: 2,
            self.get_disk_back: 4,
            self.jump: 3 if self._faults else 0,
        }
        while time.monotonic() < until:
            self._fill_crews()
            self._chance.choices([*weights], [*weights.values()])[0]()
            time.sleep(self._chance.choice([0.0, 0.02, 0.1, 0.2]))  # what lies between two blows, not a synchronisation
            self._thaw(time.monotonic())
            self._reap()

    def calm(self) -> None:
        """All workers are gone, the disks are there, the clock is right."""
        self._thaw(float("inf"))
        for pid in self._victims()[::2]:
            os.kill(pid, signal.SIGINT)
        time.sleep(0.5)  # some of those end by themselves, which is one more way of ending
        self._reap()
        for pid in [*self._alive]:
            self._gone(pid, *self._forks.kill(pid))
        while self._away:
            self.get_disk_back()
        self._set_clock(0)

    def kill(self) -> None:
        if victims := self._victims():
            pid = self._chance.choice(victims)
            self._gone(pid, *self._forks.kill(pid))

    def interrupt(self) -> None:
        if victims := self._victims():
            self.done["interrupted"] += 1
            os.kill(self._chance.choice(victims), signal.SIGINT)

    def freeze(self) -> None:
        awake = [pid for pid in self._alive if pid not in self._frozen]
        if awake and len(self._frozen) < 3:
            self.done["frozen"] += 1
            pid = self._chance.choice(awake)
            os.kill(pid, signal.SIGSTOP)
            self._frozen[pid] = time.monotonic() + self._chance.choice(DURATIONS)

    def _thaw(self, now: float) -> None:
        for pid in [pid for pid, until in self._frozen.items() if now >= until]:
            del self._frozen[pid]
            os.kill(pid, signal.SIGCONT)

    def jump(self) -> None:
        self.done["clock jumps"] += 1
        self._set_clock(self._chance.choice([0, 1, -1, 5, -5]) * HOURS + self._chance.randrange(-5000, 5000))

    def _set_clock(self, ahead_ms: int) -> None:
        """In place, so that whoever has it mapped follows."""
        with open(self._place.clock, "r+b") as file:
            file.write(struct.pack("=q", ahead_ms))

    def lose_disk(self) -> None:
        """One at most, for a topic of three replicas to have two left."""
        if not self._away:
            self.done["disks lost"] += 1
            path = self._chance.choice(self._log_dirs)
            self._away[path] = path.rename(path.with_name(f"{path.name}.away"))

    def get_disk_back(self) -> None:
        for path, away in [*self._away.items()]:
            shutil.rmtree(path, ignore_errors=True)  # what was made where it belongs meanwhile: a mount would hide that
            away.rename(path)
            del self._away[path]

    # ------------------------------------------------------------------------------------------------------------ tools

    def start_tool(self) -> None:
        if len(self._alive) - len(self._crews) < 2:
            words, stdin = self._words()
            self.done[f"{words[0]}"] += 1
            self._start("tool", words, stdin)

    def run_tool(self, *words: str) -> tuple[int, str, str]:
        """One of the tools, undisturbed, to its end: exit code, stdout and stderr."""
        pid = self._start("tool", list(words), os.devnull, faults=Faults())
        number = self._alive[pid]
        code = self._forks.wait(pid)
        self._gone(pid, code)
        out, err = (Path(path).read_text(errors="surrogateescape") for path in self._place.output(number))
        return code, out, err

    def _file(self, data: bytes) -> str:
        path = f"{self._place.directory}/tools/{self._numbers:06d}.in"
        Path(path).write_bytes(data)
        return path

    def _json(self, partitions: list[dict[str, object]]) -> str:
        return self._file(json.dumps({"version": 1, "partitions": partitions}).encode())

    def _words(self) -> tuple[list[str], str]:
        """A command of some tool, and a file for its standard input."""
        chance = self._chance
        topic = chance.choice(TOPICS)
        partition = chance.randrange(self._partitions[topic])
        what = chance.choice(
            ["produce"] * 3
            + ["consume"] * 2
            + ["mirror"] * 3
            + ["maintain"] * 4
            + ["move"] * 3
            + ["extend", "cancel", "elect", "brokers", "delete", "set", "look", "doctor"]
        )
        if what == "produce":
            names = [Name(f"t{self._numbers}", topic, ANY, i, "-") for i in range(chance.choice([1, 20, 500]))]
            if topic == KEYED:  # which refuses records without a key
                topic, names = STEADY[0], [name._replace(topic=STEADY[0]) for name in names]
            lines = b"".join(value_of(name, chance.choice([0, 80])) + b"\n" for name in names)
            return ["console-producer", "--topic", topic], self._file(lines)
        # One replica is always enough for STEADY[0], so what acks=1 appends to it is shown at once, and stays. With two
        # it would be the leader's word alone while a move has the partition on more brokers than are in sync.
        words = {
            "consume": lambda: [
                *("console-consumer", "--topic", topic, "--from-beginning", "--timeout-ms", "3000"),
                *("--max-messages", str(chance.choice([1, 100, 3000]))),
            ],
            "mirror": lambda: [
                *("mirror", "--from", self._place.data, "--to", self._place.mirrored),
                *("--include", "steady-.*", "--include-groups", "g-.*"),
            ],
            "maintain": lambda: ["maintain"],
            "move": lambda: self._move(topic, partition),
            "cancel": lambda: [*self._move(topic, partition)[:3], "--cancel"],
            "elect": lambda: ["leader-election", "--election-type", "preferred", "--all-topic-partitions"],
            "extend": lambda: self._extend(topic),
            "brokers": lambda: ["brokers", chance.choice(["stop", "start", "start"]), str(chance.randint(1, 2))],
            "delete": lambda: [
                "delete-records",
                "--offset-json-file",
                self._json([{"topic": SHORT, "partition": 0, "offset": chance.choice([-1, 10, 100, 1000])}]),
            ],
            "set": lambda: [
                *("configs", "--alter", "--entity-type", "topics", "--entity-name", topic, "--add-config"),
                chance.choice(
                    [
                        f"flush.messages={chance.choice([1, 10, 1000])}",
                        f"internal.segment.bytes={chance.choice([5000, 20000, 100000])}",
                        f"compression.type={chance.choice(['producer', 'zstd', 'uncompressed'])}",
                        f"min.insync.replicas={chance.choice([1, 2]) if topic != STEADY[0] else 1}",
                    ]
                ),
            ],
            "look": lambda: chance.choice(
                [
                    ["topics", "--describe"],
                    ["topics", "--list"],
                    ["get-offsets"],
                    ["log-dirs", "--describe"],
                    ["consumer-groups", "--describe", "--all-groups"],
                    ["consumer-groups", "--list"],
                    ["configs", "--describe", "--entity-type", "topics", "--entity-name", topic],
                    ["brokers", "list"],
                    ["broker-api-versions"],
                ]
            ),
            "doctor": lambda: ["doctor"],
        }[what]()
        return words, os.devnull

    def _move(self, topic: str, partition: int) -> list[str]:
        replicas = self._chance.sample(range(3), {STEADY[0]: 1, STEADY[1]: 3}.get(topic, 2))
        plan = self._json([{"topic": topic, "partition": partition, "replicas": replicas}])
        return ["reassign-partitions", "--reassignment-json-file", plan, "--execute", "--additional"]

    def _extend(self, topic: str) -> list[str]:
        self._partitions[topic] = min(MOST_PARTITIONS, self._partitions[topic] + 1)
        return ["topics", "--alter", "--topic", topic, "--partitions", str(self._partitions[topic])]
