"""Keeping the replicas of one partition in order: elections, those that fell behind, and moves to other places.

Everything here is done by whoever notices that it is due, as there is no controller: a writer, a reader that finds its
leader gone, ``pykafka maintain``, and the commands that ask for it.

A move to other brokers (KIP-455) is in the catalogue from its beginning to its end: the replicas that are added are not
in sync until they have caught up, those that are removed go when all that stay are in sync, in the transaction that
makes the new list the only one. A kill in between leaves a move that anybody goes on with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import NamedTuple

from pykafka_store.embedded.catalog_rows import IN_SYNC, OUT_OF_SYNC, PartitionRow, ReplicaRow
from pykafka_store.embedded.log.replica_state import read_state
from pykafka_store.embedded.partitions import HostedPartition, owner_of, remove_replica
from pykafka_store.embedded.replication.catch_up import CatchUp
from pykafka_store.embedded.replication.copying import OnCopied
from pykafka_store.embedded.replication.in_sync import with_host, with_sync
from pykafka_store.embedded.replication.leadership import REPLICA_FAILURES, locked_leadership
from pykafka_store.errors import (
    ElectionNotNeededError,
    EligibleLeadersNotAvailableError,
    InvalidReplicaAssignmentError,
    InvalidReplicationFactorError,
    LeaderNotAvailableError,
    NoReassignmentInProgressError,
    PreferredLeaderNotAvailableError,
    StorageError,
    StoreError,
    UnknownTopicOrPartitionError,
)
from pykafka_store.format.state import PublishedState
from pykafka_store.model import ElectionType

PATIENCE = 30.0
"""Seconds to wait for another process at a partition's replicas, where a user asked for them to be moved. Most often
it is a producer at its upkeep.
"""
PATIENCE_TO_START = 1.0
"""The same where a broker is started, or all are looked after."""
BUSY_POLL = 0.005

OnMoved = Callable[[int, int, int], None]
"""Leader, broker of the replica, bytes."""


class BroughtBack(NamedTuple):
    """What became of the replicas that were not in sync."""

    caught_up: int = 0
    behind: int = 0
    busy: int = 0
    """Left to another process."""
    errors: tuple[StoreError, ...] = ()
    """Why a replica whose broker can be used did not come back."""


class Replicas:
    """One partition's. Cheap to make."""

    def __init__(self, partition: HostedPartition) -> None:
        self._partition = partition
        self._disk = partition.engine.disk
        self._clock = partition.engine.clock

    # --------------------------------------------------------------------------------------------------------- leaders

    def settle(self) -> None:
        """Have the partition led by a replica that can be used: nothing to do where it is. Raises
        LeaderNotAvailableError, and what the last replica's directory raises.
        """
        try:
            with locked_leadership(self._partition) as leadership:
                leadership.tidy(leadership.ensure_led())
            return
        except LeaderNotAvailableError:
            if not self._partition.config.unclean_leader_election_enable:
                raise
        self._elect_uncleanly()

    def elect(self, election: ElectionType) -> None:
        """Source of checks and texts: ReplicationControlManager#electLeader. Raises ElectionNotNeededError,
        PreferredLeaderNotAvailableError, EligibleLeadersNotAvailableError.
        """
        try:
            with locked_leadership(self._partition) as leadership:
                led = leadership.ensure_led()
                preferred = led.row.replicas[0]
                if election is ElectionType.UNCLEAN or led.row.leader == preferred:
                    raise ElectionNotNeededError("Leader election not needed for topic partition.")
                if preferred not in led.row.isr:
                    raise PreferredLeaderNotAvailableError("The preferred leader was not available.")
                leadership.elect(led, preferred)
            return
        except LeaderNotAvailableError:
            if election is ElectionType.PREFERRED:
                raise PreferredLeaderNotAvailableError("The preferred leader was not available.") from None
        self._elect_uncleanly()

    def lead(self, broker: int) -> None:
        """Have this replica lead, wherever it stands in the list. Raises PreferredLeaderNotAvailableError if it is not
        in sync, and what ``settle`` raises.
        """
        with locked_leadership(self._partition) as leadership:
            led = leadership.ensure_led()
            if broker not in led.row.isr:
                raise PreferredLeaderNotAvailableError(f"broker {broker} is not in sync by now")
            if led.row.leader != broker:
                leadership.elect(led, broker)

    def _elect_uncleanly(self) -> None:
        with self._partition.upkeep_lock() as ours:
            if not ours:
                raise EligibleLeadersNotAvailableError(
                    f"{self._partition.label}: another process is at its replicas: try again when it is done"
                )
            with locked_leadership(self._partition) as leadership:
                leadership.elect_uncleanly()

    # --------------------------------------------------------------------------------------------------- falling behind

    def bring_back(self, patience: float = 0.0, on_copied: OnCopied | None = None) -> BroughtBack:
        """Bring every replica into sync whose broker can be used; ``patience`` is how long to wait for another process
        at it. Raises LeaderNotAvailableError and what ``settle`` raises.

        Those that are being added are not meant: ``advance`` copies them, and no faster than it may.
        """
        self.settle()
        done = BroughtBack()
        for host in self._partition.row.hosts:
            if host.sync == IN_SYNC or host.change == "adding":
                continue
            if self._partition.trouble(host.broker) is not None:
                done = done._replace(behind=done.behind + 1)
                continue
            try:
                copied = self._follow(host.broker, patience, on_copied=on_copied)
            except REPLICA_FAILURES as error:
                reason = error if isinstance(error, StoreError) else StorageError(str(error))
                done = done._replace(behind=done.behind + 1, errors=(*done.errors, reason))
                continue
            if copied is None:
                done = done._replace(busy=done.busy + 1)
            else:
                done = done._replace(caught_up=done.caught_up + 1)
        return done

    def _follow(
        self, broker: int, patience: float, log_dir: int | None = None, on_copied: OnCopied | None = None
    ) -> int | None:
        """CatchUp.run, with patience for another process at this partition."""
        deadline = self._clock.monotonic() + patience
        while (copied := CatchUp(self._partition).run(broker, log_dir, on_copied)) is None:
            if self._clock.monotonic() >= deadline:
                return None
            self._clock.sleep(BUSY_POLL)
        return copied

    def make_same(self) -> None:
        """Give the replicas of a compacted log the leader's bytes where theirs differ, as long as enough others are in
        sync meanwhile.
        """
        if "compact" not in self._partition.config.cleanup_policy:
            return
        for broker in CatchUp(self._partition).differing():
            with locked_leadership(self._partition) as leadership:
                led = leadership.ensure_led()
                rest = [other for other in led.row.isr if other != broker]
                if led.row.leader == broker or broker not in led.row.isr or len(rest) < led.min_isr:
                    continue
                self._partition.change(with_sync(led.row, rest, led.min_isr))
            CatchUp(self._partition).run(broker)

    def remove_leftovers(self) -> int:
        """Remove what lies where a replica was: it was moved away while its disk could not be reached, or whoever moved
        it was killed. Returns how many directories that were.

        Only if all replicas are in sync, and none of them lacks anything that lies there: the catalogue may be an older
        one that was brought back, and then a leftover may be all that there is.
        """
        if not self._partition.leftovers():
            return 0
        with self._partition.upkeep_lock() as ours:
            if not ours:
                return 0
            with locked_leadership(self._partition) as leadership:
                led = leadership.ensure_led()
                if len(led.all) < len(led.row.replicas):
                    return 0
                spare = [path for path in self._partition.leftovers() if self._has_all_of(led.leader.state, path)]
                for directory in spare:
                    remove_replica(self._disk, directory)
                return len(spare)

    def _has_all_of(self, leader: PublishedState, directory: str) -> bool:
        left = read_state(self._disk, directory)
        return (
            owner_of(self._disk, directory) == self._partition.topic_id
            and left is not None
            and left.leader_epoch <= leader.leader_epoch
            and left.log_end_offset <= leader.log_end_offset
        )

    # ----------------------------------------------------------------------------------------------------------- moves

    def reassign(self, target: Sequence[ReplicaRow], *, as_many: bool = False) -> None:
        """Begin to move to these replicas, in this order; it is over at once where all of them are in sync. Raises
        InvalidReplicationFactorError where they must be ``as_many`` as there are and are not.

        Source: ReplicationControlManager#changePartitionReassignment, PartitionReassignmentReplicas.
        """
        with self._partition.lock():
            row = self._partition.row
            present = sum(host.change != "removing" for host in row.hosts)
            if as_many and len(target) != present:
                raise InvalidReplicationFactorError(
                    f"The replication factor is changed from {present} to {len(target)}"
                )
            hosts = {host.broker: host for host in row.hosts}
            wanted = {host.broker for host in target}
            merged = []
            for new in target:
                host = hosts.get(new.broker)
                if host is None:
                    merged.append(new._replace(sync=OUT_OF_SYNC, change="adding"))
                else:
                    merged.append(host._replace(change="adding" if host.change == "adding" else None))
            merged += [host._replace(change="removing") for host in row.hosts if host.broker not in wanted]
            self._partition.change(row._replace(hosts=tuple(merged)))
        self._complete()

    def cancel(self) -> None:
        """Give up a move that is on. Raises NoReassignmentInProgressError, and InvalidReplicaAssignmentError where only
        replicas that were added are in sync.

        Source: ReplicationControlManager#cancelPartitionReassignment, PartitionReassignmentRevert.
        """
        with locked_leadership(self._partition) as leadership:
            if not _moves_to_other_brokers(self._partition.row):
                raise NoReassignmentInProgressError("No partition reassignment is in progress.")
            with suppress(*REPLICA_FAILURES, LeaderNotAvailableError):  # only to learn which replicas are in sync
                leadership.ensure_led()
            row = self._partition.row
            stay = [host for host in row.hosts if host.change != "adding"]
            if not any(host.sync == IN_SYNC for host in stay):
                if not self._partition.config.unclean_leader_election_enable:
                    topic, number = self._partition.name
                    raise InvalidReplicaAssignmentError(
                        f"Unable to revert partition assignment for {topic}:{number} because it would require an "
                        "unclean leader election."
                    )
                stay[0] = stay[0]._replace(sync=IN_SYNC)
            self._keep(row, stay)

    def move(self, broker: int, log_dir: int) -> None:
        """Begin to move a replica to another log directory of its broker; to the one it is in gives a move up. One that
        is not there yet, as it is being added, is made in that directory.
        """
        with self._partition.lock():
            row = self._partition.row
            host = row.host(broker)
            if host is None:
                raise UnknownTopicOrPartitionError(f"Broker {broker} has no replica of {self._partition.label}")
            new = host._replace(future_log_dir=None if host.log_dir == log_dir else log_dir)
            if host.change == "adding" and not self._disk.exists(self._partition.directory_in(broker, host.log_dir)):
                new = host._replace(log_dir=log_dir, future_log_dir=None)
            self._partition.change(with_host(row, new))
            if host.future_log_dir not in {None, new.future_log_dir}:
                with suppress(*REPLICA_FAILURES):  # no reader knows of it yet
                    remove_replica(self._disk, self._partition.directory_in(broker, host.future_log_dir))

    def advance(self, on_copied: OnMoved | None = None) -> None:
        """Go on with all moves of this partition until they are done, given up, or can't go on.

        ``on_copied`` is called while a replica is copied, with the leader, the replica's broker (the same where it
        moves to another log directory) and the number of bytes. Raises what keeps a move from going on.
        """

        def copied(leader: int | None, broker: int) -> OnCopied | None:
            return None if on_copied is None or leader is None else partial(on_copied, leader, broker)

        for host in self._partition.row.hosts:
            if host.future_log_dir is None:
                continue
            old = self._partition.directory(host.broker)
            on_chunk = copied(host.broker, host.broker)
            if self._follow(host.broker, PATIENCE, host.future_log_dir, on_chunk) is None:
                raise StorageError(f"{self._partition.label}: another process is at its replicas")
            with self._partition.lock():
                if old not in self._partition.directories():  # where another move may be on its way to by now
                    remove_replica(self._disk, old)
        for host in self._partition.row.hosts:
            if host.change != "removing" and host.sync != IN_SYNC and _moves_to_other_brokers(self._partition.row):
                trouble = self._partition.trouble(host.broker)
                if trouble is not None:
                    raise StorageError(f"{self._partition.label}: {trouble}")
                on_chunk = copied(self._partition.row.leader, host.broker)
                if self._follow(host.broker, PATIENCE, on_copied=on_chunk) is None:
                    raise StorageError(f"{self._partition.label}: another process is at its replicas")
        self._complete()

    def _complete(self) -> None:
        """End a move whose replicas are all in sync: those that stay are the only ones."""
        if not _moves_to_other_brokers(self._partition.row):
            return
        with locked_leadership(self._partition) as leadership:
            row = self._partition.row
            stay = [host for host in row.hosts if host.change != "removing"]
            if not all(host.sync == IN_SYNC for host in stay):
                return
            led = leadership.ensure_led()
            stay = [host for host in led.row.hosts if host.change != "removing"]
            if led.row.leader not in {host.broker for host in stay}:
                candidates = [host.broker for host in stay if host.sync == IN_SYNC]
                if not candidates:
                    return
                led = leadership.elect(led, candidates[0])
            if all(host.sync == IN_SYNC for host in led.row.hosts if host.change != "removing"):
                self._keep(led.row, [host for host in led.row.hosts if host.change != "removing"])

    def _keep(self, row: PartitionRow, stay: Sequence[ReplicaRow]) -> None:
        """Make these the partition's replicas; the directories of the others go. Needs the partition's lock."""
        kept = {host.broker for host in stay}
        going = [
            self._partition.directory_in(host.broker, log_dir)
            for host in row.hosts
            for log_dir in host.log_dirs
            if host.broker not in kept
        ]
        leader = row.leader if row.leader in kept else None
        epoch = row.leader_epoch if leader == row.leader else row.leader_epoch + 1
        hosts = tuple(host._replace(change=None) for host in stay)
        self._partition.change(row._replace(hosts=hosts, leader=leader, leader_epoch=epoch))
        for directory in going:
            with suppress(*REPLICA_FAILURES):  # the catalogue does not know it any more: what stays is in no one's way
                remove_replica(self._disk, directory)


def _moves_to_other_brokers(row: PartitionRow) -> bool:
    return bool(row.adding or row.removing)
