"""Groups under a microscope: the console consumer's own code as several processes, in every order and by chance.

A history is a handful of workers that drain a topic with ``--exit-at-end`` and are scheduled, killed, frozen and
interrupted by `tests/support/scheduler.py`. In each of them

- no record is printed by a process that does not own its partition at that instant, by the tables;
- what is committed never goes back, and never beyond what was printed;
- nothing is printed twice, unless whoever printed it before was killed, or frozen for longer than its session;
- where the last to end came to the end, nothing is left unread and uncommitted;
- nobody ends with an error, and who was not disturbed leaves nothing in the tables.

Faults that no other test could show are put back in here, and have to be found. PYKAFKA_MICROSCOPE_SEEDS says how many
histories are made by chance.
"""

from __future__ import annotations

import io
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

import pytest

from pykafka_cli.console.consume import GroupReading, Plan, consume
from pykafka_cli.env import Env
from pykafka_cli.errors import QuietFailure
from pykafka_store.embedded.clients.member_consumer import MemberConsumer
from pykafka_store.embedded.cluster import EmbeddedCluster
from pykafka_store.embedded.database import Database
from pykafka_store.embedded.groups.leases import Watch, last_beat
from pykafka_store.model import OffsetAt, Records
from tests.support.scheduler import (
    ByChance,
    Fault,
    Finding,
    Process,
    Scheduler,
    SteppedClock,
    SteppedDisk,
    Strategy,
    histories,
)

if TYPE_CHECKING:
    from pykafka_cli.console.printing import Printing

SESSION = 1.0
CONFIG = {
    "group.id": "g",
    "auto.offset.reset": "earliest",
    "session.timeout.ms": str(int(SESSION * 1000)),
    "heartbeat.interval.ms": "100",
    "auto.commit.interval.ms": "50",
    "max.poll.records": "1",
}
TO_THE_END = Plan(
    topic="t",
    pattern=None,
    partition=None,
    start=OffsetAt.EARLIEST,
    duration_ms=None,
    tail=None,
    exit_at_end=True,
    max_messages=-1,
    timeout=None,
)


class Full(NamedTuple):
    """A directory with topic t, which each history begins with."""

    path: Path
    records: tuple[int, ...]
    """How many there are in each of its partitions."""


def filled(path: Path, *records: int) -> Full:
    with EmbeddedCluster(str(path)) as cluster:
        cluster.admin().create_topic("t", partitions=len(records))
        with cluster.producer() as producer:
            for partition, count in enumerate(records):
                producer.send("t", [b"%d" % number for number in range(count)], partitions=partition)
        assert cluster.engine.groups.group_ids() == []  # made, so that no history begins with that
    return Full(path, records)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Full:
    return filled(tmp_path_factory.mktemp("small") / "data", 2, 1, 3)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Full:
    return filled(tmp_path_factory.mktemp("large") / "data", 4, 3, 5, 4)


class History:
    """One history, and the accounts that are kept of it."""

    def __init__(self, directory: Path, records: Sequence[int], strategy: Strategy) -> None:
        self.directory = directory
        self.records = [*records]
        self.scheduler = Scheduler(strategy)
        self.scheduler.checks.append(self._check_commits)
        self.printed: dict[tuple[int, int], list[Process]] = {}
        """(partition, offset) -> who printed it, in order."""
        self.ended: list[tuple[Process, str]] = []
        """Who ended, and how: ``at the end``, or ``by a signal``."""
        self._members: dict[Process, MemberConsumer] = {}
        self._tables = sqlite3.connect(directory / "groups.db", isolation_level=None, check_same_thread=False)
        self._version = 0
        self._committed: dict[int, int] = {}

    def close(self) -> None:
        self._tables.close()

    # ---------------------------------------------------------------------------------------------------- processes

    def worker(self, faults: Sequence[Fault] = (), *, late: float = 0.0, plan: Plan = TO_THE_END) -> None:
        """A process that begins after so many seconds."""

        def program(process: Process) -> None:
            try:
                self.scheduler.sleep(late)
                self._consume(process, plan)
            except KeyboardInterrupt:
                how = "by a signal"
            else:
                how = "at the end"
            self.ended.append((process, how))

        self.scheduler.start(f"w{len(self.scheduler.processes)}", program, faults)

    def _consume(self, process: Process, plan: Plan) -> None:
        """As `commands/console_consumer.py` does."""
        clock = SteppedClock(self.scheduler)
        errors = io.StringIO()
        env = Env(
            stdin=io.BytesIO(),
            stdout=io.BytesIO(),
            stderr=errors,
            environ={},
            clock=lambda: clock.now_ms() / 1000,
            monotonic=clock.monotonic,
        )
        with self.scheduler.unobserved():
            cluster = EmbeddedCluster(str(self.directory), create=False, disk=SteppedDisk(self.scheduler), clock=clock)
            assert cluster.engine.groups
        with cluster:
            consumer = cluster.consumer(CONFIG | {"enable.auto.commit": "false"})
            assert isinstance(consumer, MemberConsumer)
            self._members[process] = consumer
            with consumer:
                reading = GroupReading(env, cluster, consumer, dict(CONFIG), plan)
                printing = Paper(lambda runs: self._print(process, runs))
                try:
                    consume(env, reading, cast("Printing", printing))
                except QuietFailure:
                    raise Finding(f"{process} fails: {errors.getvalue()}") from None
        if not process.suffered:
            assert errors.getvalue() == f"Processed a total of {printing.count} messages\n"

    # ------------------------------------------------------------------------------------------------- what must hold

    def _print(self, process: Process, runs: Sequence[Records]) -> None:
        if process.dead:
            return
        member = self._members[process]._member
        owners = dict(self._tables.execute("SELECT partition, member_id FROM owners").fetchall())
        for run in runs:
            if member is None or owners.get(run.partition) != member.member_id:
                raise Finding(f"{process} prints of partition {run.partition}, which is not its own: {owners}")
            for offset in run.offsets:
                before = self.printed.setdefault((run.partition, offset), [])
                for other in before:
                    if not {"kill", "freeze"} & {*other.suffered}:
                        raise Finding(f"{process} prints {run.partition}:{offset}, which {other} has printed")
                before.append(process)

    def _check_commits(self) -> None:
        version = self._tables.execute("PRAGMA data_version").fetchone()[0]
        if version == self._version:
            return
        self._version = version
        for partition, position in self._tables.execute("SELECT partition, position FROM offsets").fetchall():
            if position < self._committed.get(partition, 0):
                raise Finding(f"partition {partition} was committed up to {self._committed[partition]}, now {position}")
            if any((partition, offset) not in self.printed for offset in range(position)):
                raise Finding(f"partition {partition} is committed up to {position}, which nobody has printed")
            self._committed[partition] = position

    def check_the_end(self) -> None:
        committed = [self._committed.get(partition, 0) for partition in range(len(self.records))]
        last, how = max((self._gone(process), how) for process, how in self.ended) if self.ended else (0, "")
        killed = [number for number, step in enumerate(self.scheduler.steps) if step.what == "kill"]
        if how == "at the end" and last > max(killed, default=-1) and committed != self.records:
            raise Finding(f"the last to leave was at the end, and the group is at {committed} of {self.records}")
        left = {row[0] for row in self._tables.execute("SELECT lease FROM members").fetchall()}
        if left and not any(each.suffered for each in self.scheduler.processes):
            raise Finding(f"nobody is left, but the tables have {left}")

    def _gone(self, process: Process) -> int:
        """The step in which a process that came to an end began the transaction in which it left."""
        steps = [*enumerate(self.scheduler.steps)]
        begun = [number for number, step in steps if (step.process, step.at) == (process.name, "begin groups.db")]
        return begun[-1] if begun else -1


class Paper:
    """What the console consumer prints on."""

    def __init__(self, printed: Callable[[Sequence[Records]], None]) -> None:
        self.count = 0
        self._printed = printed

    def print(self, runs: Sequence[Records]) -> None:
        self._printed(runs)
        self.count += sum(map(len, runs))

    def check_reader(self) -> None:
        """Nobody goes away."""


@contextmanager
def history(full: Full, strategy: Strategy) -> Iterator[History]:
    """A history over a directory of its own, to which the caller adds the workers: it is run then, and judged."""
    directory = full.path.parent / "now"
    shutil.rmtree(directory, ignore_errors=True)
    shutil.copytree(full.path, directory)
    with closing(History(directory, full.records, strategy)) as made, pytest.MonkeyPatch.context() as patching:
        yield made
        made.scheduler.patch(patching)
        made.scheduler.run()
        try:
            made.check_the_end()
        except Finding as finding:
            raise Finding(f"{finding}\n{made.scheduler.story()}") from finding


def of_workers(full: Full, *workers: tuple[Sequence[Fault], float]) -> Callable[[Strategy], None]:
    """Histories of workers: what may be done to each, and when it begins."""

    def run(strategy: Strategy) -> None:
        with history(full, strategy) as made:
            for faults, late in workers:
                made.worker(faults, late=late)

    return run


# ------------------------------------------------------------------------------------------------------------ histories


ANYTHING: tuple[Fault, ...] = ("kill", "freeze", "signal")
VERBS = (
    "begin", "committed", "sleep", "open g-", "write_at", "rename", "remove", "is_at", "changed_at", "list groups",
)  # fmt: skip
"""Transactions and verbs of the disk, but for those that read the log, of which there are many."""

SEEDS = int(os.environ.get("PYKAFKA_MICROSCOPE_SEEDS", "24"))


@pytest.mark.parametrize("faults", [(), *((fault,) for fault in ANYTHING)], ids=str)
def test_two_workers_in_every_order_with_one_surprise(small: Full, faults: tuple[Fault, ...]) -> None:
    """Wherever it comes: the other goes first, or time passes, or one of them is killed, frozen or interrupted."""
    assert histories(of_workers(small, (faults, 0.0), (faults, 0.05)), 1, VERBS if faults else ("",)) > 50


def test_three_workers_with_two_surprises_before_transactions(small: Full) -> None:
    assert histories(of_workers(small, ((), 0.0), ((), 0.0), ((), 0.1)), 2, ("begin",)) > 100


def by_chance(full: Full, seed: int) -> None:
    """Two to five workers, to each of which anything may happen."""
    late = (0.0, 0.0, 0.1, 0.03, 0.3)[: 2 + seed % 4]
    of_workers(full, *((ANYTHING, seconds) for seconds in late))(ByChance(seed))


@pytest.mark.parametrize("seed", range(SEEDS))
def test_long_histories_by_chance(large: Full, seed: int) -> None:
    by_chance(large, seed)


# ---------------------------------------------------------------------------------------------------- what it must find


def leave_on_a_stale_picture(consumer: MemberConsumer) -> bool:
    """E2 as it was: who was ever given something ends when it is at the end of what it has."""
    return consumer._knows_its_share


@contextmanager
def begin_outside(database: Database) -> Iterator[None]:
    """E4 as it was: BEGIN stands before the try."""
    with database._explained():
        database._connection.execute("BEGIN IMMEDIATE")
        changes = database._connection.total_changes
        try:
            yield
            database._connection.execute("COMMIT")
        except BaseException:
            if database._connection.in_transaction:
                database._connection.execute("ROLLBACK")
            raise
        database._own_commits += database._connection.total_changes != changes


def found_by_chance(run: Callable[[Strategy], None], most: int) -> None:
    for seed in range(most):
        run(ByChance(seed))


def test_it_finds_who_leaves_at_the_end_on_a_stale_picture(large: Full, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MemberConsumer, "leave_if_settled", leave_on_a_stale_picture)
    with pytest.raises(Finding, match="the last to leave was at the end"):
        found_by_chance(of_workers(large, ((), 0.0), ((), 0.0), ((), 0.1)), 600)


def test_it_finds_a_signal_out_of_begin(small: Full, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Database, "transaction", begin_outside)
    with pytest.raises(Finding, match="cannot start a transaction within a transaction"):
        histories(of_workers(small, (("signal",), 0.0), ((), 0.05)), 1)


def watch_by_the_time_before_the_look(watch: Watch, name: str, session_timeout: float, *, static: bool) -> bool:
    """What this found itself: the time in which the watcher was frozen in the middle of its look counted as silence."""
    assert not static
    now = watch._clock.monotonic()
    beat = last_beat(watch._disk, os.path.join(watch._directory, name))
    if beat is None:
        return True
    known = watch._beats.get(name)
    if known is None or known[0] != beat:
        watch._beats[name] = beat, now
        return False
    return now - known[1] >= session_timeout


def test_it_finds_a_watcher_that_takes_its_own_sleep_for_another_s(
    large: Full, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Watch, "is_gone", watch_by_the_time_before_the_look)
    with pytest.raises(Finding):
        found_by_chance(of_workers(large, (("freeze",), 0.0), ((), 0.0)), 600)
