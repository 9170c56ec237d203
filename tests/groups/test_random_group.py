"""A group under all that can happen to it: joins, leaves, kill -9, SIGSTOP, new partitions, and records meanwhile.

Members are processes that report each change of ownership and each delivery with the machine's monotonic clock, before
they go on. From these reports it is checked afterwards that

- at no instant two live members owned the same partition;
- every record was delivered; and again only where whoever had it before was killed, or frozen for too long;
- within one ownership records came in order, none left out;
- in the end the partitions are spread as the assignor says, and nothing is left of those who died.

The seed is printed; PYKAFKA_GROUP_SEED=N runs all scenarios with that one. The same seed takes the same steps; what the
processes make of them depends on the machine.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import NamedTuple

import pytest

from pykafka_store.api import Cluster
from pykafka_store.embedded.groups.assignors import ASSIGNORS, Subscriber
from tests.groups.fleet import Event, Fleet, Member, Partition
from tests.store.helpers import AT_ONCE

MEMBERS = 16
PARTITIONS = 64
TOPICS = ("a", "b", "c")
SESSION = 2.0


class Scenario(NamedTuple):
    name: str
    strategy: str
    assignor: str
    steps: int
    rough: bool
    """Whether members are killed and frozen, too."""


SCENARIOS = [
    Scenario("gentle", "CooperativeStickyAssignor", "cooperative-sticky", 250, rough=False),
    Scenario("rough-range", "RangeAssignor", "range", 250, rough=True),
    Scenario("rough-sticky", "CooperativeStickyAssignor", "cooperative-sticky", 250, rough=True),
]


class Account(NamedTuple):
    """All that is known in the end: what the members told, and what was done to them."""

    members: list[Member]
    killed: dict[Member, float]
    frozen: dict[Member, list[tuple[float, float]]]
    """When a member was frozen, and when it had polled again after that (infinite: never)."""
    sent: Counter[Partition]


class Ownership(NamedTuple):
    """That a member owned a partition: from its report of it to its report of the end, or to its death or freezing."""

    partition: Partition
    start: float
    end: float
    member: Member


class Delivery(NamedTuple):
    """That a member was given the records ``first`` to ``last``."""

    at: float
    member: Member
    first: int
    last: int


class Run:
    """The steps of one scenario, and what was done to whom."""

    def __init__(self, fleet: Fleet, cluster: Cluster, scenario: Scenario, rng: random.Random) -> None:
        self.fleet = fleet
        self.admin = cluster.admin()
        self.producer = cluster.producer(AT_ONCE)
        self.scenario = scenario
        self.rng = rng
        self.counts = dict.fromkeys(TOPICS, 4)
        self.sent: Counter[Partition] = Counter()
        self.done: Counter[str] = Counter()
        self.account = Account(fleet.members, {}, {}, self.sent)
        self._leaving: list[Member] = []
        self._asleep: dict[Member, tuple[float, float]] = {}
        """Who is frozen: since when, until when."""
        self._waking: dict[Member, tuple[float, int]] = {}
        """Who was woken: frozen when, and how many polls it had reported before."""
        for topic in TOPICS:
            self.admin.create_topic(topic, partitions=self.counts[topic])
        self.config = {
            "partition.assignment.strategy": scenario.strategy,
            "session.timeout.ms": str(int(SESSION * 1000)) if scenario.rough else "45000",
            "heartbeat.interval.ms": "100",
            "auto.commit.interval.ms": "100",
        }

    # ---------------------------------------------------------------------------------------------------- the steps

    def go(self) -> None:
        weights = {self.join: 5, self.leave: 3, self.add_partitions: 1, self.produce: 8}
        if self.scenario.rough:
            weights |= {self.kill: 2, self.freeze: 3}
        for _ in range(MEMBERS // 2):
            self.join()
        for _ in range(self.scenario.steps):
            self.rng.choices([*weights], [*weights.values()])[0]()
            self.wake(time.monotonic())
            self.fleet.listen(self.rng.uniform(0, 0.1))
        self.wake(float("inf"))
        self.join()
        self.fleet.until(self.settled, "all members are awake, at rest, and have read everything", 60)
        self.producer.close()

    def awake(self) -> list[Member]:
        return [member for member in self.fleet.alive if member not in self._asleep and member not in self._waking]

    def count(self, step: str) -> None:
        self.done[step] += 1

    def join(self) -> None:
        if len(self.fleet.alive) < MEMBERS:
            self.count("join")
            self.fleet.start(*TOPICS, config=self.config, poll=self.rng.choice([0.0, 0.01, 0.2]), max_records=50)

    def leave(self) -> None:
        joined = [member for member in self.awake() if member.of("joined")]
        if len(joined) > 2:
            self.count("leave")
            member = self.rng.choice(joined)
            (member.close if self.rng.random() < 0.5 else member.terminate)()
            self._leaving.append(member)

    def kill(self) -> None:
        if len(self.fleet.alive) > 2:
            self.count("kill")
            member = self.rng.choice(self.fleet.alive)
            for since, _ in (of.pop(member) for of in (self._asleep, self._waking) if member in of):
                self.account.frozen.setdefault(member, []).append((since, float("inf")))
            self.account.killed.setdefault(member, member.kill())

    def freeze(self) -> None:
        if len(self.awake()) > 2 and len(self._asleep) < 3:
            self.count("freeze")
            member = self.rng.choice(self.awake())
            at = member.freeze()
            self._asleep[member] = at, at + self.rng.choice([0.2, SESSION * 1.5, SESSION * 1.5])

    def wake(self, now: float) -> None:
        for member, (frozen, until) in [*self._asleep.items()]:
            if now >= until:
                del self._asleep[member]
                self._waking[member] = frozen, len(member.of("polled"))
                member.order("ping")
                member.thaw()
        # Awake is who has polled once more: by then it knows what it lost.
        for member, (frozen, polls) in [*self._waking.items()]:
            proof = member.of("polled", "closed")[polls:]
            if proof or not member.alive:
                del self._waking[member]
                self.account.frozen.setdefault(member, []).append((frozen, proof[0].at if proof else float("inf")))

    def add_partitions(self) -> None:
        topic = self.rng.choice(TOPICS)
        more = self.rng.randint(2, 6)
        if sum(self.counts.values()) + more <= PARTITIONS:
            self.count("add partitions")
            self.counts[topic] += more
            self.admin.create_partitions(topic, self.counts[topic])

    def produce(self) -> None:
        self.count("produce")
        for _ in range(self.rng.randint(1, 6)):
            topic = self.rng.choice(TOPICS)
            number = self.rng.randrange(self.counts[topic])
            count = self.rng.randint(1, 120)
            self.producer.send(topic, [b"x"] * count, partitions=number)
            self.sent[topic, number] += count
        self.producer.flush()

    def settled(self) -> bool:
        self.wake(float("inf"))
        if self._waking or any(member.alive for member in self._leaving):
            return False
        every = [(topic, number) for topic in TOPICS for number in range(self.counts[topic])]
        owners = Counter(partition for member in self.fleet.alive for partition in member.owned)
        if owners != Counter(every):
            return False
        read: Counter[Partition] = Counter()
        for member in self.fleet.members:
            for run in member.delivered:
                read[run.partition] = max(read[run.partition], run.last + 1)
        if read != self.sent:
            return False
        # Asked last: describing a group takes its dead out, which the members shall do themselves.
        found = self.admin.describe_group("g")
        self.fleet.listen()
        owned = sorted(sorted(member.owned) for member in self.fleet.alive)
        described = sorted(sorted(map(tuple, each.assignment)) for each in found.members)
        return found.state == "Stable" and described == owned

    # ------------------------------------------------------------------------------------------------------ the end

    def check_the_final_assignment(self) -> None:
        found = self.admin.describe_group("g")
        assert found.assignor == self.scenario.assignor
        described = {each.member_id: list(each.assignment) for each in found.members}
        subscribers = [
            Subscriber(id, False, frozenset(TOPICS), tuple(assignment)) for id, assignment in described.items()
        ]
        # For a sticky assignor this says that there is nothing left to be moved.
        assert ASSIGNORS[self.scenario.assignor](subscribers, self.counts) == described

    def check_that_nothing_is_left_behind(self) -> None:
        (leases,) = (self.fleet.directory / "groups").iterdir()
        assert len(list(leases.iterdir())) == len(self.fleet.alive)
        for member in self.fleet.alive:
            member.close()
        self.fleet.until(lambda: not self.fleet.alive, "all have closed")
        assert list(leases.iterdir()) == []
        found = self.admin.describe_group("g")
        assert (found.state, found.members) == ("Empty", ())
        committed = {tuple(each): at.offset for each, at in self.admin.group_offsets("g").items()}
        assert {partition: at for partition, at in committed.items() if at} == dict(self.sent)


# ----------------------------------------------------------------------------------------------------------- the checks


LATE = 1.0
"""Seconds after a member woke in which it may still be expired: whoever judged it did so while it was frozen."""


def naps(account: Account, member: Member) -> list[tuple[float, float]]:
    """When a member was frozen, and when it knew what had become of it."""
    lost = [event.at for event in member.of("lost")]
    return [
        (asleep, max([awake, *(at for at in lost if awake < at < awake + LATE)]))
        for asleep, awake in account.frozen.get(member, [])
    ]


def ownerships(account: Account) -> list[Ownership]:
    """The members' own accounts, cut short by their death. The times in which they were frozen are left out."""
    found = []
    for member in account.members:
        since: dict[Partition, float] = {}
        spans: list[tuple[Partition, float, float]] = []
        for event in member.of("assigned", "revoked", "lost"):
            for partition in map(tuple, event.data):
                if event.what == "assigned":
                    assert partition not in since, f"{member} was given {partition} twice"
                    since[partition] = event.at
                else:
                    spans.append((partition, since.pop(partition), event.at))
        killed = account.killed.get(member)
        assert killed is not None or member.alive or not since, f"{member} ended, and did not give up {sorted(since)}"
        spans += [(partition, start, killed or float("inf")) for partition, start in since.items()]
        for partition, start, end in spans:
            begin = start
            for asleep, awake in naps(account, member):
                if begin < asleep < end:
                    found.append(Ownership(partition, begin, asleep, member))
                if asleep < end and begin < awake:
                    begin = awake
            if begin < end:
                found.append(Ownership(partition, begin, end, member))
    return found


def check_that_nothing_was_owned_twice(account: Account) -> None:
    spans = sorted(ownerships(account), key=lambda span: (span.partition, span.start))
    for before, after in pairwise(spans):
        if before.partition == after.partition:
            assert before.end <= after.start, (
                f"owned by two at once:\n{before}\n{after}\n{history(account, before.partition)}"
            )


def deliveries(account: Account) -> dict[Partition, list[Delivery]]:
    """In the order in which they were read. Who was frozen with a batch in its hands reports it when it wakes."""
    found: dict[Partition, list[Delivery]] = {}
    for member in account.members:
        for run in member.delivered:
            at = run.at
            given = max(
                event.at for event in member.of("assigned") if list(run.partition) in event.data and event.at < run.at
            )
            for asleep, awake in naps(account, member):
                if given < asleep < run.at < awake:
                    at = asleep
            found.setdefault(run.partition, []).append(Delivery(at, member, run.first, run.last))
    return {partition: sorted(some, key=lambda each: each.at) for partition, some in found.items()}


def check_that_everything_was_delivered(account: Account) -> None:
    """Once; or again, if the member that had it before was killed, or frozen and expired, after that."""
    found = deliveries(account)
    assert {partition: max(each.last for each in some) + 1 for partition, some in found.items()} == dict(account.sent)
    for partition, some in found.items():
        expected = 0
        for number, run in enumerate(some):
            assert run.first <= expected, (
                f"{partition}: nobody had {expected} to {run.first - 1} before {run}\n{history(account, partition)}"
            )
            expected = max(expected, run.last + 1)
            for before in some[:number]:
                if before.first <= run.last and run.first <= before.last:
                    assert was_taken_from(account, before.member, partition, before.at, run.at), (
                        f"{partition} was delivered twice, with nobody to blame:\n{before}\n{run}\n"
                        f"{history(account, partition)}"
                    )


def history(account: Account, partition: Partition) -> str:
    """All that is known of a partition, in order of time: for a failed check."""
    lines = []
    for member in account.members:
        for event in member.events:
            if (
                list(partition) in event.data
                if event.what in {"assigned", "revoked", "lost"}
                else (event.what == "delivered" and event.data[:2] == list(partition))
            ):
                lines.append(
                    (event.at, f"{member} {event.what} {event.data[2:4] if event.what == 'delivered' else ''}")
                )
        if member in account.killed:
            lines.append((account.killed[member], f"{member} is killed"))
        for asleep, awake in account.frozen.get(member, []):
            lines += [(asleep, f"{member} is frozen"), (awake, f"{member} is awake")]
    return "\n".join(f"{at:.6f} {what}" for at, what in sorted(lines))


def was_taken_from(account: Account, member: Member, partition: Partition, start: float, end: float) -> bool:
    """Whether a member did not give a partition up, but was killed, or was frozen and expired, between two times."""
    if start <= account.killed.get(member, float("inf")) <= end:
        return True
    # What it lost while it was frozen it can tell only later, or never; and if it was about to give it up, it still may
    # say that it did.
    for asleep, awake in naps(account, member):
        if start <= awake and asleep <= end:
            told = [
                event
                for event in member.of("lost", "revoked")
                if list(partition) in event.data and asleep < event.at <= awake
            ]
            if told or member in account.killed:
                return True
    return False


def check_that_only_the_frozen_were_expired(account: Account) -> None:
    for member in account.members:
        assert not member.of("failed"), f"{member}: {member.of('failed')}"
        for event in member.of("lost"):
            assert any(asleep < event.at <= awake for asleep, awake in naps(account, member)), (
                f"{member} was expired while it was well, at {event}\n{history(account, tuple(event.data[0]))}"
            )


def check_order_within_an_ownership(account: Account) -> None:
    for member in account.members:
        expected: dict[Partition, int] = {}
        for event in member.of("assigned", "delivered"):
            if event.what == "assigned":
                for partition in map(tuple, event.data):
                    expected.pop(partition, None)
                continue
            topic, number, first, last, *_ = event.data
            assert expected.get((topic, number), first) == first, f"{member}: {topic}-{number} jumps to {first}"
            expected[topic, number] = last + 1


CHECKS = (
    check_that_only_the_frozen_were_expired,
    check_that_nothing_was_owned_twice,
    check_that_everything_was_delivered,
    check_order_within_an_ownership,
)


@pytest.fixture(params=SCENARIOS, ids=lambda scenario: scenario.name)
def scenario(request: pytest.FixtureRequest) -> Scenario:
    found: Scenario = request.param
    return found


@pytest.fixture
def seed(scenario: Scenario) -> Iterator[int]:
    given = os.environ.get("PYKAFKA_GROUP_SEED")
    yield int(given) if given else random.SystemRandom().randrange(1 << 32)


@pytest.mark.slow
def test_a_group_lives_through_everything(fleet: Fleet, cluster: Cluster, scenario: Scenario, seed: int) -> None:
    print(f"PYKAFKA_GROUP_SEED={seed}")
    run = Run(fleet, cluster, scenario, random.Random(seed))
    start = time.monotonic()
    run.go()
    seconds, members = time.monotonic() - start, len(fleet.members)
    print(f"{scenario.name}: {dict(run.done)} in {seconds:.1f} s: {members} members in all,")
    print(f"  {sum(run.counts.values())} partitions, {run.sent.total()} records,")
    print(f"  {len(ownerships(run.account))} ownerships, {sum(len(each.of('lost')) for each in fleet.members)} expired")
    for check in CHECKS:
        check(run.account)
    run.check_the_final_assignment()
    run.check_that_nothing_is_left_behind()


# ------------------------------------------------------------------------------ the checks themselves, on made-up tales


ASSIGNED, REVOKED, LOST = "assigned", "revoked", "lost"


def tale(*events: tuple[float, str, object], alive: bool = True) -> Member:
    """A member that told this, about partition t-0. A delivery's data is (first, last)."""
    member = Member.__new__(Member)
    member.name, member.alive = "made-up", alive
    member.events = [
        Event(at, what, ["t", 0, *data, [], []] if what == "delivered" else [["t", 0]])  # type: ignore[misc]
        for at, what, data in events
    ]
    return member


def account(*members: Member, sent: int = 10, killed: float | None = None, frozen: tuple[float, float] | None = None):  # type: ignore[no-untyped-def]
    """What ``killed`` and ``frozen`` say happened to the first member."""
    return Account(
        [*members],
        {} if killed is None else {members[0]: killed},
        {} if frozen is None else {members[0]: [frozen]},
        Counter({("t", 0): sent}),
    )


WELL = [
    account(tale((1, ASSIGNED, 0), (2, "delivered", (0, 9)))),
    # handed over
    account(
        tale((1, ASSIGNED, 0), (2, "delivered", (0, 4)), (3, REVOKED, 0)),
        tale((3, ASSIGNED, 0), (4, "delivered", (5, 9))),
    ),
    # killed, and what it had not committed comes again
    account(
        tale((1, ASSIGNED, 0), (2, "delivered", (0, 6)), alive=False),
        tale((3.1, ASSIGNED, 0), (4, "delivered", (5, 9))),
        killed=3,
    ),
    # frozen with a batch in its hands, and expired
    account(
        tale((1, ASSIGNED, 0), (2, "delivered", (0, 4)), (6, "delivered", (5, 9)), (6.5, LOST, 0)),
        tale((4, ASSIGNED, 0), (5, "delivered", (2, 9))),
        frozen=(3, 7),
    ),
    # frozen for a short while
    account(tale((1, ASSIGNED, 0), (4, "delivered", (0, 9))), frozen=(2, 3)),
]

WRONG = {
    "owned by two": account(tale((1, ASSIGNED, 0), (2, "delivered", (0, 9)), (4, REVOKED, 0)), tale((3, ASSIGNED, 0))),
    "owned on after death": account(
        tale((1, ASSIGNED, 0), (2, "delivered", (0, 9)), alive=False), tale((2.9, ASSIGNED, 0)), killed=3
    ),
    "owned on after a short freeze": account(
        tale((1, ASSIGNED, 0), (2, "delivered", (0, 9))), tale((8, ASSIGNED, 0)), frozen=(3, 7)
    ),
    "left out": account(tale((1, ASSIGNED, 0), (2, "delivered", (1, 9)))),
    "the last left out": account(tale((1, ASSIGNED, 0), (2, "delivered", (0, 8)))),
    "twice": account(
        tale((1, ASSIGNED, 0), (2, "delivered", (0, 5)), (3, REVOKED, 0)),
        tale((3, ASSIGNED, 0), (4, "delivered", (5, 9))),
    ),
    "twice, and killed later": account(
        tale((1, ASSIGNED, 0), (2, "delivered", (0, 5)), (3, REVOKED, 0), alive=False),
        tale((3, ASSIGNED, 0), (4, "delivered", (5, 9))),
        killed=9,
    ),
    "twice after a short freeze": account(
        tale((1, ASSIGNED, 0), (2, "delivered", (0, 5)), (6, REVOKED, 0)),
        tale((7, ASSIGNED, 0), (8, "delivered", (5, 9))),
        frozen=(3, 4),
    ),
    "out of order": account(
        tale((1, ASSIGNED, 0), (2, "delivered", (0, 5)), (3, "delivered", (8, 9)), (4, "delivered", (6, 7)))
    ),
    "expired while well": account(
        tale((1, ASSIGNED, 0), (2, "delivered", (0, 9)), (3, LOST, 0)), tale((4, ASSIGNED, 0))
    ),
}


def passes(tried: Account) -> bool:
    checks: tuple[Callable[[Account], None], ...] = CHECKS
    try:
        for check in checks:
            check(tried)
    except AssertionError:
        return False
    return True


@pytest.mark.parametrize("tried", WELL, ids=range(len(WELL)))
def test_a_tale_that_is_in_order_passes(tried: Account) -> None:
    assert passes(tried)


@pytest.mark.parametrize("tried", WRONG.values(), ids=WRONG)
def test_a_tale_that_breaks_a_promise_is_found_out(tried: Account) -> None:
    assert not passes(tried)
