"""Replicas on their way: to other brokers (KIP-455), and to other log directories of their broker (KIP-113).

A move is begun and given up in the catalogue. Whoever runs ``reassign`` carries the bytes: `pykafka maintain`, and
kafka-reassign-partitions itself.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from pykafka_store.embedded.admin.elections import named_partition
from pykafka_store.embedded.admin.placement import check_assignments, replica_placer
from pykafka_store.embedded.catalog_rows import PartitionRow
from pykafka_store.embedded.clock import Clock
from pykafka_store.embedded.engine import Engine
from pykafka_store.embedded.partitions import HostedPartition, hosted
from pykafka_store.errors import (
    LogDirNotFoundError,
    NoReassignmentInProgressError,
    StorageError,
    StoreError,
    UnknownTopicOrPartitionError,
    not_hosted,
)
from pykafka_store.model import Reassignment, TopicPartition


class MoveAdmin:
    """See :class:`pykafka_store.api.Admin`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def alter_partition_reassignments(
        self,
        targets: Mapping[TopicPartition, Sequence[int] | None],
        *,
        allow_replication_factor_change: bool = True,
    ) -> dict[TopicPartition, StoreError | None]:
        from pykafka_store.embedded.replication.replicas import Replicas

        self._engine.require_writable()
        answers: dict[TopicPartition, StoreError | None] = {}
        place = replica_placer(self._engine)
        for name, target in targets.items():
            try:
                replicas = Replicas(self._here(name))
                if target is None:
                    replicas.cancel()
                else:
                    with self._engine.locks.cluster():  # else a broker could be removed after it was checked
                        check_assignments(self._engine, [target], len(target))
                        replicas.reassign(
                            [place(broker) for broker in target], as_many=not allow_replication_factor_change
                        )
                answers[name] = None
            except StoreError as error:
                answers[name] = error
        return answers

    def list_partition_reassignments(
        self, partitions: Sequence[TopicPartition] | None = None
    ) -> dict[TopicPartition, Reassignment]:
        return {
            name: Reassignment(row.replicas, row.adding, row.removing)
            for name, row in self._engine.catalog.partitions()
            if (row.adding or row.removing) and (partitions is None or name in partitions)
        }

    def alter_replica_log_dirs(
        self, moves: Mapping[tuple[TopicPartition, int], str]
    ) -> dict[tuple[TopicPartition, int], StoreError | None]:
        self._engine.require_writable()
        answers: dict[tuple[TopicPartition, int], StoreError | None] = {}
        for (name, broker), path in moves.items():
            try:
                self._move(name, broker, path)
                answers[name, broker] = None
            except StoreError as error:
                answers[name, broker] = error
        return answers

    def _move(self, name: TopicPartition, broker: int, path: str) -> None:
        from pykafka_store.embedded.replication.replicas import Replicas

        paths = [os.path.realpath(each) for each in self._engine.brokers.paths(broker)]
        if not os.path.isabs(path) or os.path.realpath(path) not in paths:
            raise LogDirNotFoundError(f"The absolute path {path} is no log directory of broker {broker}")
        Replicas(self._here(name)).move(broker, paths.index(os.path.realpath(path)))

    def reassign(self, partitions: Sequence[TopicPartition] | None = None) -> dict[TopicPartition, StoreError | None]:
        """See :meth:`pykafka_store.directory.DataDirectory.reassign`."""
        from pykafka_store.embedded.replication.replicas import Replicas

        self._engine.require_writable()
        answers: dict[TopicPartition, StoreError | None] = {}
        for name, row in self._engine.catalog.partitions():
            if not _is_moving(row) or (partitions is not None and name not in partitions):
                continue
            throttle = Throttle(self._rate, partial(self._require_moving, name), self._engine.clock)
            try:
                Replicas(hosted(self._engine, name)).advance(throttle.copied)
                answers[name] = None
            except FileNotFoundError as error:
                answers[name] = self._given_up(name) or StorageError(f"{error.filename} is gone")
            except StoreError as error:
                answers[name] = self._given_up(name) or error
        return answers

    def _rate(self, leader: int, broker: int) -> int | None:
        """Bytes a second that may be copied between two brokers, or between two log directories of one."""

        def limit(number: int, name: str) -> list[int]:
            return [int(value) for value, _ in self._engine.broker_configs(number).synonyms(name)[:1]]

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
        """Why there is nothing left to do, if another process gave the move up, or ended it, meanwhile."""
        try:
            if _is_moving(named_partition(self._engine, name).row):
                return None
        except UnknownTopicOrPartitionError as error:
            return error
        return NoReassignmentInProgressError(f"The move of {name} was given up meanwhile.")

    def _here(self, name: TopicPartition) -> HostedPartition:
        try:
            return named_partition(self._engine, name)
        except UnknownTopicOrPartitionError:
            raise not_hosted() from None


def _is_moving(row: PartitionRow) -> bool:
    return bool(row.adding or row.removing or any(host.future_log_dir is not None for host in row.hosts))


class Throttle:
    """Holds the copying of one partition to a rate, over seconds and not over chunks.

    The rate may be changed meanwhile, and the move be given up: both are looked for before each wait, and twice a
    second in a long one.
    """

    LOOK = 0.5

    def __init__(self, rate: Callable[[int, int], int | None], require: Callable[[], None], clock: Clock) -> None:
        """``rate``: bytes a second between two brokers, None for as fast as it goes. ``require`` raises when there is
        nothing left to do.
        """
        self._rate = rate
        self._require = require
        self._clock = clock
        self._now = clock.monotonic()
        """Up to when what was copied has been paid for."""

    def copied(self, leader: int, broker: int, count: int) -> None:
        left = float(count)
        while left > 0:
            self._require()
            rate = self._rate(leader, broker)
            if rate is None:
                self._now = self._clock.monotonic()
                return
            paid = min(left / max(1, rate), self.LOOK)
            self._now = max(self._now, self._clock.monotonic() - self.LOOK) + paid
            left -= paid * max(1, rate)
            self._clock.sleep(max(0.0, self._now - self._clock.monotonic()))
