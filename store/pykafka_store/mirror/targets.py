"""Where copies go: a directory, whose log knows where it came from, or a cluster, which can only be told in time."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from typing import NamedTuple, Protocol

from pykafka_store.api import KafkaCluster, Producer, TransactionalProducer
from pykafka_store.directory import Copier, DataDirectory
from pykafka_store.errors import InvalidTimestampError, OffsetOutOfRangeError, RecordTooLargeError, StoreError
from pykafka_store.mirror.copying import Copy
from pykafka_store.mirror.ledger import Entry
from pykafka_store.model import Delivery, Records, SendFailure

SAVE_DIRECTORY = 5.0
SAVE_CLUSTER = 1.0
"""Seconds between entries in the ledger. In a directory each costs a sync, and the log knows by itself; in a cluster
what came since the last one is what a kill may double.
"""

_INT_MAX = str(2**31 - 1)


class DirectoryTarget(NamedTuple):
    cluster: DataDirectory


class ClusterTarget(NamedTuple):
    cluster: KafkaCluster
    lock_directory: str
    """Where this machine's mirrors to clusters keep their locks."""
    exactly_once: bool
    """In transactions, so that consumers that read what is committed see nothing twice."""


Target = DirectoryTarget | ClusterTarget


def explained(error: StoreError, copy: Copy, what: str = "") -> StoreError:
    """What a target said of a copy, with the place, and with what can be done."""
    settings = ""
    if isinstance(error, RecordTooLargeError):
        settings = "max.message.bytes"
    elif isinstance(error, InvalidTimestampError):
        settings = "message.timestamp.before.max.ms or message.timestamp.after.max.ms"
    advice = f"; raise {settings} of topic {copy.target.topic} at the target" if settings else ""
    return type(error)(f"{copy.source}: {what}{str(error).rstrip('.')}{advice}")


class Destination(Protocol):
    save_every: float

    @property
    def producer(self) -> Producer: ...

    def keep_lock(self, name: str) -> bool: ...

    def resume(self, copy: Copy, entry: Entry | None, end: int) -> bool:
        """Set the copy's position, map and floor. False where nothing was copied yet."""

    def send(self, copy: Copy, records: Records) -> None: ...

    def settle(self) -> None:
        """Return when all that was sent is where it is to stay."""

    def conclude(self) -> None:
        """Return when the ledger's entries are, too."""


class ToDirectory:
    save_every = SAVE_DIRECTORY

    def __init__(
        self, directory: DataDirectory, on_delivery: Callable[[Delivery], None], on_notice: Callable[[str], None]
    ) -> None:
        self._directory = directory
        settings = {"max.request.size": _INT_MAX, "allow.auto.create.topics": "false"}
        self.producer: Copier = directory.copier(settings, on_delivery=on_delivery, on_notice=on_notice)
        self._unsynced = False

    def keep_lock(self, name: str) -> bool:
        return self._directory.keep_lock(name)

    def resume(self, copy: Copy, entry: Entry | None, end: int) -> bool:
        if entry is not None and entry.floor > end:
            entry = None  # an older copy of the directory: the log alone counts
        if entry is not None:
            copy.offsets, copy.position, copy.floor = entry.offsets, entry.position, entry.floor
        runs = self._directory.copied(copy.target, copy.name, copy.floor)
        for run in runs:
            copy.offsets.add_batch(run.last_source_offset, run.base_offset, run.length)
        copy.position = max(copy.position, copy.offsets.source_end)
        copy.floor = end
        return entry is not None or bool(runs)

    def send(self, copy: Copy, records: Records) -> None:
        self._unsynced = True
        try:
            self.producer.copy(records, copy.target, copy.name)
        except StoreError as error:
            raise explained(error, copy) from None

    def settle(self) -> None:
        if self._unsynced:
            self.producer.sync()
            self._unsynced = False

    def conclude(self) -> None:
        pass  # what is sent is there


class ToCluster:
    save_every = SAVE_CLUSTER

    def __init__(
        self,
        cluster: KafkaCluster,
        transactional_id: str,
        lock_directory: str,
        on_delivery: Callable[[Delivery], None],
        on_failure: Callable[[SendFailure], None],
    ) -> None:
        """In transactions if there is an id for them, else without."""
        self._lock_directory = lock_directory
        settings = {"enable.idempotence": "true", "acks": "all", "max.request.size": "1000000000"}
        settings |= {"allow.auto.create.topics": "false"}
        self.producer: Producer
        self._transactions: TransactionalProducer | None = None
        if transactional_id:
            self._transactions = cluster.transactional_producer(
                transactional_id, settings, on_delivery=on_delivery, on_failure=on_failure
            )
            self.producer = self._transactions
        else:
            self.producer = cluster.producer(settings, on_delivery=on_delivery, on_failure=on_failure)
        self._locks = ExitStack()

    def keep_lock(self, name: str) -> bool:
        from filelock import FileLock, Timeout

        os.makedirs(self._lock_directory, exist_ok=True)
        lock = FileLock(os.path.join(self._lock_directory, f"{name}.lock"), blocking=False)
        try:
            self._locks.enter_context(lock)
        except Timeout:
            return False
        return True

    def resume(self, copy: Copy, entry: Entry | None, end: int) -> bool:
        if entry is None:
            copy.floor = end
            return False
        if entry.floor > end:
            raise OffsetOutOfRangeError(
                f"{copy.target} at the target ends at offset {end}, and was copied up to {entry.floor}: it lost "
                "records; delete the topic there to copy it anew"
            )
        copy.offsets, copy.position, copy.floor = entry.offsets, entry.position, entry.floor
        return True

    def send(self, copy: Copy, records: Records) -> None:
        if min(records.timestamps) <= 0:
            self.producer.flush()
            index = next(index for index, stamp in enumerate(records.timestamps) if stamp <= 0)
            raise InvalidTimestampError(
                f"{copy.source}: the record at source offset {records.offsets[index]} can't be copied: "
                f"librdkafka can't send the timestamp {records.timestamps[index]}"
            )
        self.producer.send(
            copy.target.topic,
            records.values,
            keys=records.keys,
            headers=records.headers,
            timestamps=records.timestamps,
            partitions=copy.target.partition,
        )

    def settle(self) -> None:
        self.producer.flush()

    def conclude(self) -> None:
        if self._transactions is not None:
            self._transactions.commit()
        else:
            self.producer.flush()

    def close(self) -> None:
        self._locks.close()
