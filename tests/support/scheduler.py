"""Processes that take turns where the test says so: the engine's own code under a scheduler.

Each process is a thread with a data directory opened for itself, on a `SteppedDisk` and a `SteppedClock`. It stops at
each verb of its disk, at each statement to SQLite outside of a transaction, at each beginning and end of a transaction,
and where it sleeps. There a `Strategy` decides who goes next, and who is killed, frozen or struck by a signal instead.
Only one of them ever runs, so a history is a list of decisions, and the same decisions give the same history.

What a kill leaves is what the kernel leaves: transactions are rolled back, descriptors closed and with them locks let
go, and nothing else of the process has any effect. Time stands still while anybody can go on, and then moves to when
the first of those that sleep wakes. Hearts beat as it moves, but for those of frozen processes.
"""

from __future__ import annotations

import os
import random
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import SimpleNamespace
from typing import Any, Literal, NamedTuple

import pytest

from pykafka_store.embedded.clock import Clock
from pykafka_store.embedded.disk import Disk

Fault = Literal["kill", "freeze", "signal"]


class Killed(BaseException):
    """The process is gone; what of its thread still runs has no effect."""


class Finding(AssertionError):  # noqa: N818 - it is what a test finds
    """A history in which something was not as promised."""


class Step(NamedTuple):
    """A decision: what was done to whom, and what that process was about to do."""

    what: str
    process: str
    at: str


class Process:
    """One process, from its start to its end."""

    def __init__(self, number: int, name: str, program: Callable[[Process], None], faults: Sequence[Fault]) -> None:
        self.number = number
        self.name = name
        self.program = program
        self.faults = list(faults)
        """What may still be done to it, each once."""
        self.suffered: list[Fault] = []
        self.at = "start"
        self.asleep_until = 0.0
        self.frozen_until = 0.0
        self.waits_for: str | None = None
        self.dead = False
        self.struck = False
        """Whether a signal is on its way to it."""
        self.ended = False
        self.error: BaseException | None = None
        self.descriptors: set[int] = set()
        self.hearts: list[_Heart] = []
        self.unobserved = False
        self.turn = threading.Semaphore(0)

    def __repr__(self) -> str:
        return self.name


_here = threading.local()


def _current() -> Process | None:
    """The process whose thread this is; None for the test itself, and where a process is not to be interrupted."""
    process: Process | None = getattr(_here, "process", None)
    return None if process is None or process.unobserved else process


# ------------------------------------------------------------------------------------------------------------ decisions


class Strategy:
    """Decides by a list of decisions that differ from the usual one: step -> which of its choices. The usual one is 0:
    whoever went last goes on, and else the next in a ring. ``where``: before what there is a choice at all, by the
    beginning of its name.
    """

    def __init__(self, others: Mapping[int, int] | None = None, where: tuple[str, ...] = ("",)) -> None:
        self.others = dict(others or {})
        self.where = where
        self.choices: list[int] = []
        """How many there were, for each step so far."""

    def choose(self, options: Sequence[tuple[str, Process]]) -> int:
        self.choices.append(len(options) if options[0][1].at.startswith(self.where) else 1)
        return self.others.get(len(self.choices) - 1, 0)


class ByChance(Strategy):
    """Decides by a seed: mostly as usual, so that histories get somewhere."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._chance = random.Random(seed)

    def choose(self, options: Sequence[tuple[str, Process]]) -> int:
        self.choices.append(len(options))
        weights = [{"go": 1.0, "wake": 0.1}.get(what, 0.02) for what, _ in options]
        weights[0] = 4.0
        return self._chance.choices(range(len(options)), weights)[0]


def histories(run: Callable[[Strategy], None], bound: int, where: tuple[str, ...] = ("",)) -> int:
    """Run all histories with at most ``bound`` unusual decisions; how many there were. A Finding says which it was."""
    count = 0
    waiting: list[dict[int, int]] = [{}]
    while waiting:
        others = waiting.pop()
        strategy = Strategy(others, where)
        count += 1
        try:
            run(strategy)
        except Finding as finding:
            raise Finding(f"decisions {others}: {finding}") from finding
        if len(others) < bound:
            first = max(others, default=-1) + 1
            waiting += [
                {**others, step: choice}
                for step in range(first, len(strategy.choices))
                for choice in range(1, strategy.choices[step])
            ]
    return count


# ------------------------------------------------------------------------------------------------------------ scheduler


class Scheduler:
    def __init__(self, strategy: Strategy, *, freeze: float = 3.0, most_steps: int = 60_000) -> None:
        """``freeze``: how many seconds a frozen process does not move."""
        self.now = 1000.0
        self.processes: list[Process] = []
        self.steps: list[Step] = []
        self.locks: dict[str, Process] = {}
        """Path of a database -> who is in a transaction that writes it."""
        self.checks: list[Callable[[], None]] = []
        """Called before each decision: what must hold at any time. They raise Finding."""
        self._strategy = strategy
        self._freeze = freeze
        self._most_steps = most_steps
        self._failure: BaseException | None = None
        self._over = threading.Semaphore(0)

    def start(self, name: str, program: Callable[[Process], None], faults: Sequence[Fault] = ()) -> Process:
        process = Process(len(self.processes), name, program, faults)
        self.processes.append(process)
        return process

    def run(self) -> None:
        """From the processes' start to the end of the last. Raises Finding, and whatever else a process ended with."""
        threads = [threading.Thread(target=self._live, args=(each,), daemon=True) for each in self.processes]
        for thread in threads:
            thread.start()
        self._hand_over(None)
        try:
            self._over.acquire()
        except BaseException as error:  # Ctrl-C, or the test's time is over: nobody may go on behind its back
            self._fail(error)
            self._over.acquire()
            raise
        for thread in threads:
            thread.join()
        if self._failure is not None:
            raise Finding(f"{self._failure}\n{self.story()}") from self._failure

    def story(self, last: int = 60) -> str:
        """The last decisions, those in a row for one process by the first and the last of what it was about to do."""
        lines: list[str] = []
        for step in self.steps[-last * 20 :]:
            if step.what == "go" and lines and lines[-1].startswith(f"{step.process} "):
                lines[-1] = lines[-1].partition(" … ")[0] + f" … {step.at}"
            else:
                lines.append(f"{step.process} {'' if step.what == 'go' else f'IS TO {step.what.upper()}: '}{step.at}")
        return "\n".join(lines[-last:])

    def _live(self, process: Process) -> None:
        process.turn.acquire()
        _here.process = process
        try:
            if not process.dead:
                process.program(process)
        except Killed:
            pass
        except BaseException as error:
            process.error = error
        _here.process = None
        for descriptor in process.descriptors:
            with suppress(OSError):
                os.close(descriptor)
        process.hearts.clear()
        process.ended = True
        for path in [path for path, holder in self.locks.items() if holder is process]:
            del self.locks[path]
        if process.error is not None and not process.dead:
            self._fail(process.error)
        self._hand_over(process)

    def _fail(self, error: BaseException) -> None:
        """The history ends here: all processes are dead."""
        self._failure = self._failure or error
        for process in self.processes:
            process.dead = True

    def _hand_over(self, process: Process | None) -> None:
        """Let whoever is next go on, which may be the process itself."""
        chosen = self._next(process)
        if chosen is process and chosen is not None:
            return
        (self._over if chosen is None else chosen.turn).release()
        if process is not None and not process.ended:
            process.turn.acquire()

    def _next(self, process: Process | None) -> Process | None:
        if self._failure is None:
            try:
                for check in self.checks:
                    check()
                if len(self.steps) > self._most_steps:
                    raise Finding(f"after {self._most_steps} steps it has not come to an end")
                chosen = self._decided(process)
                if chosen is not None:
                    return chosen
            except Exception as error:
                self._fail(error)
        return next((each for each in self.processes if not each.ended), None)

    def _decided(self, last: Process | None) -> Process | None:
        while any(not each.ended for each in self.processes):
            ready = [each for each in self.processes if self._is_ready(each)]
            if not ready:
                self._advance(min(self._wakes(each) for each in self.processes if not each.ended))
                continue
            number = -1 if last is None else last.number
            usual = last if last in ready else next((each for each in ready if each.number > number), ready[0])
            assert usual is not None
            options = [("go", usual), *(("go", each) for each in ready if each is not usual)]
            options += [("wake", each) for each in self.processes if self._is_asleep(each)]
            options += [(fault, usual) for fault in usual.faults]
            what, chosen = options[self._strategy.choose(options)]
            self.steps.append(Step(what, chosen.name, chosen.at))
            if what == "wake":
                self._advance(chosen.asleep_until)
            elif what != "go":
                self._do(chosen, what)  # type: ignore[arg-type]  # the rest are faults
            if what != "freeze":
                return chosen
        return None

    def _do(self, process: Process, fault: Fault) -> None:
        process.faults.remove(fault)
        process.suffered.append(fault)
        if fault == "freeze":
            process.frozen_until = self.now + self._freeze
        elif fault == "kill":
            process.dead = True
        else:
            process.struck = True

    def _is_ready(self, process: Process) -> bool:
        if process.ended or max(process.frozen_until, process.asleep_until) > self.now:
            return False
        return process.waits_for is None or self.locks.get(process.waits_for) in {None, process}

    def _is_asleep(self, process: Process) -> bool:
        return not process.ended and process.asleep_until > self.now >= process.frozen_until

    def _wakes(self, process: Process) -> float:
        wakes = max(process.frozen_until, process.asleep_until)
        if wakes <= self.now:  # it waits for a lock, whose holder can't go on before it wakes
            return float("inf")
        return wakes

    def _advance(self, now: float) -> None:
        if now == float("inf"):
            raise Finding("nobody can go on")
        self.now = now
        for process in self.processes:
            if not process.ended and process.frozen_until <= now:
                for heart in process.hearts:
                    heart.beat(now)

    # ----------------------------------------------------------------------------------------- what processes run into

    def point(self, at: str) -> None:
        """Where a process may be interrupted, before it does something."""
        process = _current()
        if process is None:
            return
        if process.dead:
            raise Killed
        process.at = at
        self._hand_over(process)
        self._obey(process)

    def _obey(self, process: Process) -> None:
        if process.dead:
            raise Killed
        if process.struck and process.waits_for is None:
            process.struck = False
            raise KeyboardInterrupt

    def sleep(self, seconds: float) -> None:
        process = _current()
        if process is not None:
            process.asleep_until = self.now + seconds
            self.point("sleep")

    def begin(self, path: str, statement: Callable[[], Any]) -> Any:
        """Begin a transaction when nobody else is in one. A signal that comes in the wait for it comes out of here, as
        SQLite goes on waiting, after it has begun.
        """
        process = _current()
        assert process is not None
        process.waits_for = path
        try:
            self.point(f"begin {os.path.basename(path)}")
            self.locks[path] = process
            result = statement()
        finally:
            process.waits_for = None
        self._obey(process)
        return result

    def end(self, path: str) -> None:
        """A transaction is over, however it ended."""
        self.locks.pop(path, None)

    @contextmanager
    def unobserved(self) -> Iterator[None]:
        """What is done inside is done in one step."""
        process = _current()
        if process is None:
            yield
            return
        process.unobserved = True
        try:
            yield
        finally:
            process.unobserved = False

    # -------------------------------------------------------------------------------------------------------- the seams

    def patch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Put the scheduler where the engine asks for a connection, for a member's heart, and for a lock's turn."""
        from pykafka_store.embedded import locks
        from pykafka_store.embedded.groups import leases, membership

        connect, scheduler = sqlite3.connect, self

        class Connection(SteppedConnection):
            steps = scheduler

        def stepped(*arguments: Any, **options: Any) -> sqlite3.Connection:
            if getattr(_here, "process", None) is not None:
                options["factory"] = Connection
            return connect(*arguments, **options)

        monkeypatch.setattr(sqlite3, "connect", stepped)
        monkeypatch.setattr(leases, "threading", SimpleNamespace(Event=threading.Event, Thread=_Heart))
        numbers = random.Random(0)
        uuids = SimpleNamespace(UUID=membership.uuid.UUID)
        uuids.uuid4 = lambda: uuids.UUID(int=numbers.getrandbits(128))
        monkeypatch.setattr(membership, "uuid", uuids)
        # A thread of the engine's own would wait for a lock in the kernel: here they ask again, and sleep in between.
        monkeypatch.setattr(locks, "SOON", 1 << 30)
        monkeypatch.setattr(locks, "POLL_INTERVAL", 0.02)


class SteppedClock(Clock):
    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler

    def now_ms(self) -> int:
        return 1_700_000_000_000 + int(self._scheduler.now * 1000)

    def monotonic(self) -> float:
        return self._scheduler.now

    def sleep(self, seconds: float) -> None:
        self._scheduler.sleep(seconds)


class SteppedConnection(sqlite3.Connection):
    """One connection to a database that several processes write."""

    steps: Scheduler
    _path = ""
    _held = False

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        process = _current()
        if process is None:
            return super().execute(sql, *parameters)
        if process.dead and sql != "ROLLBACK":
            raise Killed
        if sql == "BEGIN IMMEDIATE":
            self._path = self._path or str(super().execute("PRAGMA database_list").fetchone()[2])
            self._held = True
            try:
                cursor = self.steps.begin(self._path, lambda: super(SteppedConnection, self).execute(sql))
            except BaseException:
                self._let_go()
                raise
            assert isinstance(cursor, sqlite3.Cursor)
            return cursor
        if not self.in_transaction:
            self.steps.point(sql.partition(" WHERE")[0])
        try:
            return super().execute(sql, *parameters)
        finally:
            if self._held and not self.in_transaction:
                self._let_go()
                if sql == "COMMIT":
                    self.steps.point("committed")

    def _let_go(self) -> None:
        if self._held and not self.in_transaction:
            self._held = False
            self.steps.end(self._path)

    def close(self) -> None:
        super().close()
        if self._held:
            self._held = False
            self.steps.end(self._path)


class _Heart:
    """In place of the thread that beats a lease's heart."""

    def __init__(self, *, target: Callable[..., None], **_: Any) -> None:
        self._lease: Any = target.__self__  # type: ignore[attr-defined]  # Lease._beat

    def start(self) -> None:
        process = getattr(_here, "process", None)
        if process is not None:
            process.hearts.append(self)

    def join(self) -> None:
        process = getattr(_here, "process", None)
        if process is not None:
            process.hearts = [each for each in process.hearts if each is not self]

    def beat(self, now: float) -> None:
        at = 1_700_000_000_000_000_000 + int(now * 1_000_000_000)
        os.utime(self._lease._descriptor, ns=(at, at))


class SteppedDisk(Disk):
    """The real disk, at which a process may be interrupted before each verb."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler

    def open(self, path: str, flags: int = os.O_RDONLY) -> int:
        self.scheduler.point(f"open {_short(path)}")
        descriptor = super().open(path, flags)
        self._descriptors().add(descriptor)
        return descriptor

    def close(self, descriptor: int) -> None:
        self._descriptors().discard(descriptor)
        super().close(descriptor)

    def _descriptors(self) -> set[int]:
        process: Process | None = getattr(_here, "process", None)
        return process.descriptors if process is not None else set()


def _short(path: object) -> str:
    return os.sep.join(str(path).split(os.sep)[-2:])


def _stepped(name: str) -> Callable[..., Any]:
    real = getattr(Disk, name)

    def verb(self: SteppedDisk, *arguments: Any, **options: Any) -> Any:
        path = next((each for each in [*reversed(arguments), *options.values()] if isinstance(each, str)), "")
        self.scheduler.point(f"{name} {_short(path)}")
        return real(self, *arguments, **options)

    return verb


def _composed(name: str) -> Callable[..., Any]:
    """A verb of several, each of which is a step; the file that it opens in between it closes by itself."""
    real = getattr(Disk, name)

    def verb(self: SteppedDisk, *arguments: Any, **options: Any) -> Any:
        before = set(self._descriptors())
        try:
            return real(self, *arguments, **options)
        finally:
            self._descriptors().intersection_update(before)

    return verb


for _name in (
    "read_at", "write_at", "truncate", "sync", "rename", "remove", "remove_tree", "is_at", "touch", "touch_open",
    "changed_at", "size_of", "list", "make_directory", "make_new_directory", "remove_empty_directory", "exists",
):  # fmt: skip
    setattr(SteppedDisk, _name, _stepped(_name))
for _name in ("sync_directory", "replace_file", "create_file", "read_file"):
    setattr(SteppedDisk, _name, _composed(_name))
