"""Brokers of a data directory: added, stopped, started, removed, described; elections and moves by name.

A broker is a number and some log directories. There is no process behind it: it runs when the catalogue says so.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

from pykafka_store.configs import BrokerConfigs
from pykafka_store.embedded.catalog import IN_SYNC, Catalog, LogDirRow, PartitionRow, ReplicaRow
from pykafka_store.embedded.disk import Disk
from pykafka_store.embedded.locks import Locks
from pykafka_store.embedded.replication.home import Brokers, format_log_dir
from pykafka_store.embedded.replication.replicas import PATIENCE_TO_START, Replicas
from pykafka_store.errors import (
    BrokerIdNotRegisteredError,
    ElectionNotNeededError,
    InvalidRequestError,
    LogDirNotFoundError,
    NoReassignmentInProgressError,
    StorageError,
    StoreError,
    UnknownTopicOrPartitionError,
)
from pykafka_store.format import state as states
from pykafka_store.format.checkpoint import META_PROPERTIES_FILE, parse_properties
from pykafka_store.format.names import partition_directory
from pykafka_store.format.state import parse_state
from pykafka_store.model import (
    ZERO_TOPIC_ID,
    BrokerDescription,
    ElectionType,
    LogDirDescription,
    QuorumDescription,
    QuorumReplica,
    Reassignment,
    ReplicaSize,
    TopicPartition,
    random_topic_id,
)

INT_MAX = 2**31 - 1


class BrokerAdmin:
    """See :class:`pykafka_store.api.Admin` and :class:`pykafka_store.api.DataDirectory`, whose methods these are."""

    def __init__(
        self,
        root: str,
        catalog: Catalog,
        locks: Locks,
        disk: Disk,
        brokers: Brokers,
        replicas: Callable[[TopicPartition], Replicas],
    ) -> None:
        self._root = root
        self._catalog = catalog
        self._locks = locks
        self._disk = disk
        self._brokers = brokers
        self._replicas = replicas

    # --------------------------------------------------------------------------------------------------------- brokers

    def cluster_id(self) -> str:
        text = self._disk.read_file(os.path.join(self._root, META_PROPERTIES_FILE)).decode("utf-8", "replace")
        return parse_properties(text).get("cluster.id", "")

    def brokers(self) -> list[BrokerDescription]:
        rows = [partition for _, partition in self._partitions()]
        return [self._describe(broker, rows) for broker in self._brokers.all()]

    def _describe(self, broker: int, rows: Sequence[PartitionRow]) -> BrokerDescription:
        row = self._brokers.all()[broker]
        paths = self._brokers.paths(broker)
        return BrokerDescription(
            id=broker,
            log_dirs=tuple(paths),
            running=row.running,
            problems=tuple(problem for path in paths if (problem := self._brokers.problem(path)) is not None),
            replicas=sum(broker in each.replicas for each in rows),
            leaders=sum(broker == each.leader for each in rows),
            in_sync=sum(broker in each.isr for each in rows),
        )

    def _partitions(self) -> Iterator[tuple[TopicPartition, PartitionRow]]:
        for topic in self._catalog.topics():
            for partition in topic.partitions:
                yield TopicPartition(topic.name, partition.partition), partition

    def add_broker(self, broker: int | None = None, log_dirs: Sequence[str] = ()) -> BrokerDescription:
        with self._locks.cluster():
            known = self._brokers.all()
            number = max(known, default=-1) + 1 if broker is None else broker
            if not 0 <= number <= INT_MAX:
                raise InvalidRequestError(f"{number} is no broker id: it must be a number from 0 to {INT_MAX}")
            if number in known:
                raise InvalidRequestError(f"Broker {number} exists already: choose another id")
            paths = [os.path.abspath(os.path.expanduser(path)) for path in log_dirs]
            paths = paths or [os.path.join(self._root, "brokers", str(number))]
            self._require_free(paths)
            rows = [LogDirRow(self._stored(path), random_topic_id()) for path in paths]
            for path, row in zip(paths, rows, strict=True):
                format_log_dir(self._disk, path, self.cluster_id(), number, row)
            with self._catalog.transaction():
                self._catalog.add_broker(number, rows)
            self._catalog.keep_reserve()
        return self._describe(number, [partition for _, partition in self._partitions()])

    def _require_free(self, paths: Sequence[str]) -> None:
        taken = [os.path.realpath(path) for broker in self._brokers.all() for path in self._brokers.paths(broker)]
        inside = os.path.join(os.path.realpath(self._root), "brokers") + os.sep
        for path in paths:
            real = os.path.realpath(path)
            if any(f"{real}/".startswith(f"{other}/") or f"{other}/".startswith(f"{real}/") for other in taken):
                raise InvalidRequestError(f"{path} is a broker's log directory already, or shares one: choose another")
            if f"{os.path.realpath(self._root)}/".startswith(f"{real}/") or (
                real.startswith(os.path.realpath(self._root) + os.sep) and not real.startswith(inside)
            ):
                raise InvalidRequestError(f"{path} is a part of the data directory {self._root}: choose another")
            taken.append(real)
            if self._disk.exists(path) and (others := self._others(path)):
                raise StorageError(f"{path} is not empty ({others[0]} is in it): choose another")

    def _others(self, path: str) -> list[str]:
        """What keeps a directory from being a new broker's. The mark of one that was removed, or whose adding was cut
        short, does not.
        """
        names = sorted(set(self._disk.list(path)) - {"lost+found", f"{META_PROPERTIES_FILE}.tmp"})
        if names != [META_PROPERTIES_FILE]:
            return names
        text = self._disk.read_file(os.path.join(path, META_PROPERTIES_FILE)).decode("utf-8", "replace")
        properties = parse_properties(text)
        taken = {log_dir.directory_id for row in self._brokers.all().values() for log_dir in row.log_dirs}
        ours = properties.get("cluster.id") == self.cluster_id() and properties.get("directory.id") not in taken
        return [] if ours else names

    def _stored(self, path: str) -> str:
        """As it stands in the catalogue: relative where it is below the data directory, so that this can be moved."""
        for one, root in (
            (path, self._root),
            # The data directory, or what leads to it, may be a link. The path itself may be one to another disk.
            (
                os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path)),
                os.path.realpath(self._root),
            ),
        ):
            if one.startswith(root + os.sep):
                return os.path.relpath(one, root)
        return path

    def stop_broker(self, broker: int) -> None:
        self._require(broker)
        self._set_running(broker, running=False)
        self.settle(lambda row: broker in row.isr or row.leader == broker)

    def _set_running(self, broker: int, *, running: bool) -> None:
        def change() -> None:
            with self._catalog.transaction():
                self._catalog.set_running(broker, running=running)

        self._catalog.with_reserve(change)

    def start_broker(self, broker: int) -> None:
        self._require(broker)
        self._set_running(broker, running=True)
        self._catalog.keep_reserve()
        for name, row in list(self._partitions()):
            if broker in row.replicas:
                try:
                    self._replicas(name).bring_back(PATIENCE_TO_START)
                except (StoreError, FileNotFoundError):
                    continue  # another of its replicas is missing as well: kafka-topics --describe says so

    def remove_broker(self, broker: int) -> None:
        self._require(broker)
        with self._locks.cluster():
            described = self._describe(broker, [partition for _, partition in self._partitions()])
            if described.replicas:
                raise InvalidRequestError(
                    f"Broker {broker} holds {described.replicas} replica(s): move them first "
                    "(kafka-reassign-partitions)"
                )
            if len(self._brokers.all()) == 1:
                raise InvalidRequestError(f"Broker {broker} is the only one: a data directory needs a broker")
            with self._catalog.transaction():
                self._catalog.remove_broker(broker)

    def _require(self, broker: int) -> None:
        if broker not in self._brokers.all():
            raise BrokerIdNotRegisteredError(
                f"Broker ID {broker} is not currently registered: pykafka brokers list shows those that are"
            )

    def settle(self, wanted: Callable[[PartitionRow], bool]) -> None:
        """Have the partitions led, and their ISR told, as it is now. Whatever can't be helped stays as it is."""
        for name, row in list(self._partitions()):
            if wanted(row):
                try:
                    self._replicas(name).settle()
                except (StoreError, FileNotFoundError):
                    continue  # leaderless: the catalogue says so by now

    def settle_partition(self, name: TopicPartition) -> None:
        """As above, for one; what can't be helped is raised as a StoreError."""
        try:
            self._replicas(name).settle()
        except FileNotFoundError as error:
            raise StorageError(f"{error.filename} is gone: is its disk mounted?") from error

    def settle_what_changed(self) -> None:
        """Look at brokers that came or went without anybody saying so, before somebody is told how things are."""
        gone = {
            (broker, number)
            for broker, row in self._brokers.all().items()
            for number, path in enumerate(self._brokers.paths(broker))
            if not row.running or self._brokers.problem(path) is not None
        }
        if not gone and not self._catalog.has_leaderless_partitions():
            return
        self.settle(
            lambda row: (
                row.leader is None
                or any(host.sync == IN_SYNC and (host.broker, host.log_dir) in gone for host in row.hosts)
            )
        )

    # ------------------------------------------------------------------------------------------------------- elections

    def elect_leaders(
        self, election: ElectionType, partitions: Sequence[TopicPartition] | None = None
    ) -> dict[TopicPartition, StoreError | None]:
        answers: dict[TopicPartition, StoreError | None] = {}
        for name in partitions if partitions is not None else [name for name, _ in self._partitions()]:
            try:
                self._named(name).elect(election)
                answers[name] = None
            except ElectionNotNeededError as error:
                if partitions is not None:
                    answers[name] = error
            except StoreError as error:
                answers[name] = error
        return answers

    def _named(self, name: TopicPartition) -> Replicas:
        """Source of texts: ReplicationControlManager#electLeader."""
        if self._catalog.topic_id(name.topic) is None:
            raise UnknownTopicOrPartitionError(f"No such topic as {name.topic}")
        try:
            return self._replicas(name)
        except UnknownTopicOrPartitionError:
            raise UnknownTopicOrPartitionError(f"No such partition as {name}") from None

    # ----------------------------------------------------------------------------------------------------------- moves

    def alter_partition_reassignments(
        self,
        targets: Mapping[TopicPartition, Sequence[int] | None],
        check: Callable[[Sequence[Sequence[int]]], None],
    ) -> dict[TopicPartition, StoreError | None]:
        """``check`` raises for a replica list that can't be."""
        answers: dict[TopicPartition, StoreError | None] = {}
        place = self.placer()
        for name, target in targets.items():
            try:
                replicas = self._here(name)
                if target is None:
                    replicas.cancel()
                else:
                    with self._locks.cluster():  # else a broker could be removed after it was checked
                        check([target])
                        replicas.reassign([place(broker) for broker in target])
                answers[name] = None
            except StoreError as error:
                answers[name] = error
        return answers

    def _here(self, name: TopicPartition) -> Replicas:
        try:
            return self._named(name)
        except UnknownTopicOrPartitionError:
            raise UnknownTopicOrPartitionError("This server does not host this topic-partition.") from None

    def placer(self) -> Callable[[int], ReplicaRow]:
        """Makes new replicas on a broker, in the log directory that has the fewest. Source: LogManager#nextLogDirs."""
        counts: dict[int, list[int]] = {}

        def place(broker: int) -> ReplicaRow:
            paths = self._brokers.paths(broker)
            if len(paths) == 1:
                return ReplicaRow(broker)
            if not counts:
                counts.update({each: [0] * len(self._brokers.paths(each)) for each in self._brokers.all()})
                for _, row in self._partitions():
                    for host in row.hosts:
                        counts[host.broker][host.log_dir] += 1
            usable = [number for number, path in enumerate(paths) if self._brokers.problem(path) is None]
            chosen = min(usable or range(len(paths)), key=counts[broker].__getitem__)
            counts[broker][chosen] += 1
            return ReplicaRow(broker, log_dir=chosen)

        return place

    def list_partition_reassignments(
        self, partitions: Sequence[TopicPartition] | None = None
    ) -> dict[TopicPartition, Reassignment]:
        return {
            name: Reassignment(row.replicas, row.adding, row.removing)
            for name, row in self._partitions()
            if (row.adding or row.removing) and (partitions is None or name in partitions)
        }

    def alter_replica_log_dirs(
        self, moves: Mapping[tuple[TopicPartition, int], str]
    ) -> dict[tuple[TopicPartition, int], StoreError | None]:
        answers: dict[tuple[TopicPartition, int], StoreError | None] = {}
        for (name, broker), path in moves.items():
            try:
                self._move(name, broker, path)
                answers[name, broker] = None
            except StoreError as error:
                answers[name, broker] = error
        return answers

    def _move(self, name: TopicPartition, broker: int, path: str) -> None:
        self._require(broker)
        replicas = self._here(name)
        paths = [os.path.realpath(each) for each in self._brokers.paths(broker)]
        if not os.path.isabs(path) or os.path.realpath(path) not in paths:
            raise LogDirNotFoundError(f"The absolute path {path} is no log directory of broker {broker}")
        replicas.move(broker, paths.index(os.path.realpath(path)))

    def reassign(self, partitions: Sequence[TopicPartition] | None) -> dict[TopicPartition, StoreError | None]:
        answers: dict[TopicPartition, StoreError | None] = {}
        for name, row in list(self._partitions()):
            if not _is_moving(row) or (partitions is not None and name not in partitions):
                continue
            throttle = Throttle(self._rate, partial(self._require_moving, name))
            try:
                self._replicas(name).advance(throttle.copied)
                answers[name] = None
            except FileNotFoundError as error:
                answers[name] = self._given_up(name) or StorageError(f"{error.filename} is gone")
            except StoreError as error:
                answers[name] = self._given_up(name) or error
        return answers

    def _rate(self, leader: int, broker: int) -> int | None:
        """Bytes a second that may be copied between two brokers, or between two log directories of one."""
        stored = self._catalog.configs("broker")

        def limit(number: int, name: str) -> list[int]:
            return [int(each.value) for each in BrokerConfigs.of(stored, number).synonyms(name)[:1]]

        if leader == broker:
            limits = limit(broker, "replica.alter.log.dirs.io.max.bytes.per.second")
        else:
            limits = limit(leader, "leader.replication.throttled.rate")
            limits += limit(broker, "follower.replication.throttled.rate")
        return min(limits, default=None)

    def _require_moving(self, name: TopicPartition) -> None:
        error = self._given_up(name)
        if error is not None:
            raise error

    def _given_up(self, name: TopicPartition) -> StoreError | None:
        """Why there is nothing left to do, if somebody else said so meanwhile."""
        try:
            if _is_moving(self._named(name).row):
                return None
        except UnknownTopicOrPartitionError as error:
            return error
        return NoReassignmentInProgressError(f"The move of {name} was given up meanwhile.")

    # ------------------------------------------------------------------------------------------------------- described

    def describe_log_dirs(self, brokers: Sequence[int]) -> dict[int, tuple[LogDirDescription, ...]]:
        rows = list(self._partitions())
        return {
            broker: tuple(
                self._log_dir(broker, number, path, rows) for number, path in enumerate(self._brokers.paths(broker))
            )
            for broker in brokers
            if broker in self._brokers.usable()
        }

    def _log_dir(
        self, broker: int, number: int, path: str, rows: Sequence[tuple[TopicPartition, PartitionRow]]
    ) -> LogDirDescription:
        problem = self._brokers.problem(path)
        if problem is not None:
            return LogDirDescription(path, StorageError(problem), ())
        found = []
        for name, row in rows:
            host = row.host(broker)
            if host is None or number not in {host.log_dir, host.future_log_dir}:
                continue
            directory = os.path.join(path, partition_directory(*name))
            is_future, is_there = number == host.future_log_dir, self._disk.exists(directory)
            if is_there or is_future:
                lag = max(0, self._high_watermark(name, row) - self._log_end(directory))
                found.append(ReplicaSize(name, self._log_size(directory) if is_there else 0, lag, is_future))
        total, usable = self._disk.space(path)
        return LogDirDescription(path, None, tuple(found), total, usable)

    def _log_size(self, directory: str) -> int:
        return sum(
            self._disk.size_of(os.path.join(directory, name))
            for name in self._disk.list(directory)
            if name.endswith(".log")
        )

    def _high_watermark(self, name: TopicPartition, row: PartitionRow) -> int:
        host = row.host(row.leader) if row.leader is not None else None
        if host is None:
            return 0
        path = self._brokers.paths(host.broker)[host.log_dir]
        return self._published(os.path.join(path, partition_directory(*name)))[1]

    def _log_end(self, directory: str) -> int:
        return self._published(directory)[0]

    def _published(self, directory: str) -> tuple[int, int]:
        """(log end offset, high watermark) as last published; zeros where nothing says."""
        try:
            state = parse_state(self._disk.read_file(os.path.join(directory, states.FILE_NAME)))
        except (FileNotFoundError, StoreError):
            return 0, 0
        return state.log_end_offset, state.high_watermark

    def describe_quorum(self) -> QuorumDescription:
        """The catalogue has one keeper, as every process may change it: the first broker stands for it. Its log end
        offset is the number of the catalogue's changes.
        """
        changes = self._catalog.changes()
        first, *others = self._brokers.usable() or list(self._brokers.all())

        def member(broker: int) -> QuorumReplica:
            directory_id = self._brokers.all()[broker].log_dirs[0].directory_id or ZERO_TOPIC_ID
            now = time.time_ns() // 1_000_000
            return QuorumReplica(broker, directory_id, changes, now, now)

        return QuorumDescription(first, 1, changes, (member(first),), tuple(map(member, others)))


def _is_moving(row: PartitionRow) -> bool:
    return bool(row.adding or row.removing or any(host.future_log_dir is not None for host in row.hosts))


class Throttle:
    """Holds the copying of one partition to a rate, over seconds and not over chunks.

    The rate may be changed meanwhile, and the move be given up: both are looked for before each wait, and twice a
    second in a long one.
    """

    LOOK = 0.5

    def __init__(self, rate: Callable[[int, int], int | None], require: Callable[[], None]) -> None:
        """``rate``: bytes a second between two brokers, None for as fast as it goes. ``require`` raises when there is
        nothing left to do.
        """
        self._rate = rate
        self._require = require
        self._now = time.monotonic()
        """Up to when what was copied has been paid for."""

    def copied(self, leader: int, broker: int, count: int) -> None:
        left = float(count)
        while left > 0:
            self._require()
            rate = self._rate(leader, broker)
            if rate is None:
                self._now = time.monotonic()
                return
            paid = min(left / max(1, rate), self.LOOK)
            self._now = max(self._now, time.monotonic() - self.LOOK) + paid
            left -= paid * max(1, rate)
            time.sleep(max(0.0, self._now - time.monotonic()))
