"""Brokers of a data directory: described, added, stopped, started, removed.

A broker is a number and some log directories. There is no process behind it: it runs when the catalogue says so.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from pykafka_store.embedded.admin.elections import settle_where
from pykafka_store.embedded.catalog_rows import BrokerRow, LogDirRow, PartitionRow
from pykafka_store.embedded.engine import Engine
from pykafka_store.embedded.layout import BROKERS, META_TEMPORARY, OWNER_FILE, format_log_dir, log_dir_of, read_meta
from pykafka_store.embedded.owner import require_own
from pykafka_store.embedded.partitions import hosted
from pykafka_store.errors import InvalidRequestError, StorageError, StoreError
from pykafka_store.format.checkpoint import META_PROPERTIES_FILE
from pykafka_store.model import (
    ZERO_TOPIC_ID,
    BrokerDescription,
    QuorumDescription,
    QuorumReplica,
    random_topic_id,
)

INT_MAX = 2**31 - 1


class BrokerAdmin:
    """Some of this is :class:`pykafka_store.api.Admin`'s, and what changes brokers
    :class:`pykafka_store.directory.DataDirectory`'s.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def cluster_id(self) -> str:
        return read_meta(self._engine.disk, self._engine.directory).get("cluster.id", "")

    def racks(self) -> dict[int, str | None]:
        return dict.fromkeys(self.live_brokers())

    def live_brokers(self) -> tuple[int, ...]:
        return tuple(self._engine.brokers.usable())

    def describe_quorum(self) -> QuorumDescription:
        """The catalogue has one keeper, as every process may change it: the first broker stands for it. Its log end
        offset is the number of the catalogue's changes.
        """
        changes = self._engine.catalog.changes()
        rows = self._engine.brokers.all()
        first, *others = [broker for broker in self._engine.brokers.usable() if broker in rows] or list(rows)

        def member(broker: int) -> QuorumReplica:
            directory_id = rows[broker].log_dirs[0].directory_id or ZERO_TOPIC_ID
            now = self._engine.clock.now_ms()
            return QuorumReplica(broker, directory_id, changes, now, now)

        return QuorumDescription(first, 1, changes, (member(first),), tuple(map(member, others)))

    def brokers(self) -> list[BrokerDescription]:
        rows = [row for _, row in self._engine.catalog.partitions()]
        return [self._describe(row, rows) for row in self._engine.brokers.all().values()]

    def _describe(self, row: BrokerRow, rows: Sequence[PartitionRow]) -> BrokerDescription:
        broker, paths = row.id, self._engine.brokers.paths_of(row)
        return BrokerDescription(
            id=broker,
            log_dirs=tuple(paths),
            running=row.running,
            problems=tuple(problem for path in paths if (problem := self._engine.brokers.problem(path)) is not None),
            replicas=sum(broker in each.replicas for each in rows),
            leaders=sum(broker == each.leader for each in rows),
            in_sync=sum(broker in each.isr for each in rows),
        )

    def add_broker(self, broker: int | None = None, log_dirs: Sequence[str] = ()) -> BrokerDescription:
        self._engine.require_writable()
        with self._engine.locks.cluster():
            known = self._engine.brokers.all()
            number = max(known, default=-1) + 1 if broker is None else broker
            if not 0 <= number <= INT_MAX:
                raise InvalidRequestError(f"{number} is no broker id: it must be a number from 0 to {INT_MAX}")
            if number in known:
                raise InvalidRequestError(f"Broker {number} exists already: choose another id")
            paths = [os.path.abspath(os.path.expanduser(path)) for path in log_dirs]
            paths = paths or [os.path.join(self._engine.directory, log_dir_of(number))]
            self._require_free(paths)
            rows = [LogDirRow(self._stored(path), random_topic_id()) for path in paths]
            for path, row in zip(paths, rows, strict=True):
                format_log_dir(self._engine.disk, path, self.cluster_id(), number, row.directory_id or "")
            with self._engine.catalog.transaction():
                self._engine.catalog.add_broker(number, rows)
            added = self._engine.brokers.require(number)  # while nobody can remove it
        return self._describe(added, [row for _, row in self._engine.catalog.partitions()])

    def _require_free(self, paths: Sequence[str]) -> None:
        taken = [os.path.realpath(path) for theirs in self._engine.brokers.all_paths().values() for path in theirs]
        inside = os.path.join(os.path.realpath(self._engine.directory), BROKERS) + os.sep
        for path in paths:
            real = os.path.realpath(path)
            if any(f"{real}/".startswith(f"{other}/") or f"{other}/".startswith(f"{real}/") for other in taken):
                raise InvalidRequestError(f"{path} is a broker's log directory already, or shares one: choose another")
            if f"{os.path.realpath(self._engine.directory)}/".startswith(f"{real}/") or (
                real.startswith(os.path.realpath(self._engine.directory) + os.sep) and not real.startswith(inside)
            ):
                raise InvalidRequestError(
                    f"{path} is a part of the data directory {self._engine.directory}: choose another"
                )
            taken.append(real)
            if self._engine.disk.exists(path) and (others := self._others(path)):
                raise StorageError(f"{path} is not empty ({others[0]} is in it): choose another")
            require_own(self._engine.disk, path, self._engine.directory)

    def _others(self, path: str) -> list[str]:
        """What keeps a directory from being a new broker's. The mark of one that was removed, or whose adding was cut
        short, does not.
        """
        names = sorted(set(self._engine.disk.list(path)) - {"lost+found", META_TEMPORARY, OWNER_FILE})
        if names != [META_PROPERTIES_FILE]:
            return names
        meta = read_meta(self._engine.disk, path)
        taken = {log_dir.directory_id for row in self._engine.brokers.all().values() for log_dir in row.log_dirs}
        ours = meta.get("cluster.id") == self.cluster_id() and meta.get("directory.id") not in taken
        return [] if ours else names

    def _stored(self, path: str) -> str:
        """As it stands in the catalogue: relative where it is below the data directory, so that this can be moved.
        Raises InvalidRequestError for one that is not Unicode text, as the catalogue would when it is made already.
        """
        for one, root in (
            (path, self._engine.directory),
            # The data directory, or what leads to it, may be a link. The path itself may be one to another disk.
            (
                os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path)),
                os.path.realpath(self._engine.directory),
            ),
        ):
            if one.startswith(root + os.sep):
                path = os.path.relpath(one, root)
                break
        try:
            path.encode()
        except UnicodeEncodeError:
            raise InvalidRequestError(f"{path!r} is not Unicode text: choose another") from None
        return path

    def stop_broker(self, broker: int) -> None:
        self._engine.require_writable()
        self._engine.brokers.require(broker)
        self._set_running(broker, running=False)
        settle_where(self._engine, lambda row: broker in row.isr or row.leader == broker)

    def _set_running(self, broker: int, *, running: bool) -> None:
        def change() -> None:
            with self._engine.catalog.transaction():
                self._engine.catalog.set_running(broker, running=running)

        self._engine.catalog.with_reserve(change)

    def start_broker(self, broker: int) -> None:
        from pykafka_store.embedded.replication.replicas import PATIENCE_TO_START, Replicas

        self._engine.require_writable()
        self._engine.brokers.require(broker)
        self._set_running(broker, running=True)
        for name, row in self._engine.catalog.partitions():
            if broker in row.replicas:
                try:
                    Replicas(hosted(self._engine, name)).bring_back(PATIENCE_TO_START)
                except (StoreError, FileNotFoundError):
                    continue  # another of its replicas is missing as well: kafka-topics --describe says so

    def remove_broker(self, broker: int) -> None:
        self._engine.require_writable()
        with self._engine.locks.cluster():
            row = self._engine.brokers.require(broker)
            described = self._describe(row, [row for _, row in self._engine.catalog.partitions()])
            if described.replicas:
                raise InvalidRequestError(
                    f"Broker {broker} holds {described.replicas} replica(s): move them first "
                    "(kafka-reassign-partitions)"
                )
            if len(self._engine.brokers.all()) == 1:
                raise InvalidRequestError(f"Broker {broker} is the only one: a data directory needs a broker")
            with self._engine.catalog.transaction():
                self._engine.catalog.remove_broker(broker)
