"""All replicas of one partition looked at for ``pykafka doctor``, and compared.

What seems wrong is looked at again before it is reported, with a newer catalogue and the upkeep held off: a replica may
have left the ISR since, a segment been taken away, the topic been deleted.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress

from pykafka_store.embedded.catalog_rows import PartitionRow, ReplicaRow, TopicRow
from pykafka_store.embedded.disk import Disk, boot_id
from pykafka_store.embedded.health.catalogue_check import CATALOGUE_MEANING, CatalogueCheck, Snapshot
from pykafka_store.embedded.health.findings import Findings, Found, Place, Remedy, without_path
from pykafka_store.embedded.health.replica_check import Checked, check_replica, leftovers
from pykafka_store.embedded.locks import SharedLocks
from pykafka_store.embedded.log.replica_state import read_state
from pykafka_store.errors import StorageError, StoreError
from pykafka_store.format.names import partition_directory, segment_file
from pykafka_store.model import Severity
from pykafka_store.settings.configs import TopicConfig

_LOOKS = 3
"""How often a partition is looked at at most."""


class PartitionCheck:
    """The check of the partitions of one data directory, one after the other."""

    def __init__(
        self,
        disk: Disk,
        locks: SharedLocks,
        catalogue: CatalogueCheck,
        findings: Findings,
        on_read: Callable[[int], None],
    ) -> None:
        """``on_read`` is called with the number of bytes of logs that were read."""
        self._disk = disk
        self._locks = locks
        self._catalogue = catalogue
        self._findings = findings
        self._on_read = on_read
        self.ends: dict[tuple[str, int], int] = {}
        """(topic id, partition) -> the leader's log end offset, of those that were checked."""

    def check(self, topic: TopicRow, row: PartitionRow, catalogue: Snapshot) -> None:
        """Look at all replicas of a partition, again if something is wrong, and report it."""
        found = self._look(topic, row, catalogue)
        for _ in range(_LOOKS - 1):
            if all(each.severity is Severity.INFO for each in found):
                break
            with self._locks.upkeep(topic.id, row.partition):
                try:
                    catalogue = self._catalogue.snapshot()
                except StorageError as error:
                    path = self._catalogue.path
                    self._findings.report(Severity.ERROR, path, str(error), CATALOGUE_MEANING)
                    break
                now = catalogue.partition(topic.id, row.partition)
                if now is None:
                    return
                before, row = row, now
                found = self._look(topic, row, catalogue)
            if row == before and self._row_now(topic.id, row.partition) == row:
                break
        for each in found:
            self._findings.add(each)

    def _row_now(self, topic_id: str, partition: int) -> PartitionRow | None:
        with suppress(StorageError):
            return self._catalogue.snapshot().partition(topic_id, partition)
        return None

    def _look(self, topic: TopicRow, row: PartitionRow, catalogue: Snapshot) -> list[Found]:
        counted = row.isr or row.elr
        found: list[Found] = []
        checked: dict[int, Checked] = {}
        committed: int | None = None
        # The leader first: what it has committed by now is at every replica in sync.
        for host in sorted(row.hosts, key=lambda host: host.broker != row.leader):
            place = self._place(topic, row, host, catalogue)
            if place is None:
                continue  # the catalogue's check said so
            if host.broker == row.leader and len(row.hosts) > 1:
                committed = self._committed(place)
            if host.broker not in counted:
                text = f"the replica on broker {host.broker} is not in sync"
                meaning = "pykafka maintain brings it back when its broker can be used"
                found.append(Found(Severity.INFO, place.directory, text, meaning))
            if (host.broker, host.log_dir) in self._catalogue.lost:
                continue
            of_replica = self._look_at(place, committed, checked)
            if host.broker not in counted:  # it is made like the leader's before it counts again
                of_replica = [
                    each for each in of_replica if each.severity is Severity.INFO and each.remedy is Remedy.NONE
                ]
            found += of_replica
        found += _differences(row, committed, checked)
        if row.leader in checked and (state := checked[row.leader].state) is not None:
            self.ends[topic.id, row.partition] = state.log_end_offset
        return _with_help(found, [broker for broker in checked if broker in row.isr])

    def _place(self, topic: TopicRow, row: PartitionRow, host: ReplicaRow, catalogue: Snapshot) -> Place | None:
        """Where a replica lies; None where the catalogue has no such log directory."""
        broker = catalogue.brokers.get(host.broker)
        if broker is None or host.log_dir >= len(broker.log_dirs):
            return None
        log_dir = self._catalogue.log_dir(broker.log_dirs[host.log_dir])
        directory = os.path.join(log_dir, partition_directory(topic.name, row.partition))
        interval = TopicConfig.of(topic.configs).index_interval_bytes
        return Place(topic.name, topic.id, row.partition, host.broker, directory, row.leader_epoch, interval)

    def _committed(self, leader: Place) -> int | None:
        """The leader's high watermark, if it was published under this boot."""
        state = read_state(self._disk, leader.directory)
        return state.high_watermark if state is not None and state.boot_id == boot_id() else None

    def _look_at(self, place: Place, committed: int | None, checked: dict[int, Checked]) -> list[Found]:
        """Check a replica, and have it in ``checked`` if that can be done."""
        directory = place.directory
        try:
            checked[place.broker] = self._replica(place, committed)
        except FileNotFoundError as error:
            path = error.filename or directory if self._disk.exists(directory) else directory
            return [Found(Severity.ERROR, path, "is missing", "its records are lost here", place=place)]
        except StoreError as error:
            text = without_path(directory, error)
            return [Found(Severity.ERROR, directory, text, "check the disk", place=place)]
        return checked[place.broker].found

    def _replica(self, place: Place, committed: int | None) -> Checked:
        checked = check_replica(self._disk, place, boot_id(), committed, self._on_read)
        if checked.leftovers:
            partition = place.topic_id, place.partition
            with self._locks.upkeep(*partition, patience=0) as idle, self._locks.partition(*partition) as free:
                if idle and free:
                    return checked._replace(found=checked.found + leftovers(self._disk, place))
        return checked


def _differences(row: PartitionRow, committed: int | None, checked: dict[int, Checked]) -> list[Found]:
    """Replicas in sync hold the same records up to the high watermark, byte for byte. A compacted log's sealed
    segments may not: compaction goes over each replica by itself, and they say the same.
    """
    found: list[Found] = []
    leader = checked.get(row.leader) if row.leader is not None else None
    if leader is None or leader.state is None or committed is None:
        return found
    for broker, theirs in checked.items():
        state = theirs.state
        if broker == row.leader or broker not in row.isr or state is None or not theirs.trusted:
            continue
        place = theirs.place
        if state.log_end_offset < committed:
            text = f"is in sync, and ends at offset {state.log_end_offset} of {committed} that are committed"
            found.append(Found(Severity.ERROR, place.directory, text, "records are lost here", place=place))
        compacted = leader.state.has_gaps or state.has_gaps
        for base, digest in leader.digests.items():
            if compacted and not base == leader.state.active_base_offset == state.active_base_offset:
                continue
            if theirs.digests.get(base, digest) != digest:
                text = f"differs from that of broker {row.leader}, which leads"
                path = os.path.join(place.directory, segment_file(base))
                found.append(Found(Severity.ERROR, path, text, "both are in sync, and must be the same", place=place))
    return found


def _with_help(found: list[Found], in_sync: Sequence[int]) -> list[Found]:
    """Say where what is lost can be had again: from a replica in sync at which nothing is wrong."""
    wrong = {each.place.broker for each in found if each.place is not None and each.severity is Severity.ERROR}
    sound = [broker for broker in in_sync if broker not in wrong]

    def helped(each: Found) -> Found:
        if each.severity is not Severity.ERROR or each.remedy is not Remedy.NONE:
            return each
        if sound:
            meaning = f"{each.meaning}; broker {sound[0]} has it: --repair copies the replica anew"
            return each._replace(meaning=meaning, remedy=Remedy.REMAKE, source=sound[0])
        return each._replace(meaning=f"{each.meaning}: restore it from a backup")

    return [helped(each) for each in found]
