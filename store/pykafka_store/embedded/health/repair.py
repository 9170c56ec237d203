"""``pykafka doctor --repair``: what :mod:`~pykafka_store.embedded.health.doctor` found, mended where that can be done
without touching an acknowledged record.

Each remedy takes the locks that whoever works on such files takes, and looks again at what it found. Before a file is
removed, overwritten or cut, it is copied to ``repaired/<UTC time>/<its path>`` in the data directory; whole directories
of replicas are renamed to ``….-stray`` where they are. What a kill leaves of a repair is what a kill leaves anyway:
files are replaced by a rename, and the end of a log is found anew by the same recovery that follows a power cut.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing, suppress
from functools import partial

from pykafka_store.embedded.clock import Clock
from pykafka_store.embedded.disk import Disk, boot_id
from pykafka_store.embedded.groups.live_members import live_members
from pykafka_store.embedded.health.doctor import Doctor, OnProgress
from pykafka_store.embedded.health.findings import Found, OnFinding, Place, Remedy
from pykafka_store.embedded.health.segment_walk import epochs_of, has_batches_behind
from pykafka_store.embedded.layout import LOCKS, REPAIRED, format_log_dir, read_meta, set_aside, write_meta
from pykafka_store.embedded.locks import Locks
from pykafka_store.embedded.log.cleaned_segment import finish_interrupted
from pykafka_store.embedded.log.index_builder import IndexBuilder
from pykafka_store.embedded.log.recovery import recover
from pykafka_store.embedded.log.replica import ReplicaLog
from pykafka_store.embedded.log.replica_state import read_state
from pykafka_store.embedded.log.segment import Segment
from pykafka_store.embedded.open import open_engine
from pykafka_store.embedded.partitions import hosted
from pykafka_store.embedded.replication.replicas import PATIENCE_TO_START, Replicas
from pykafka_store.errors import StorageError, StoreError
from pykafka_store.format import state as states
from pykafka_store.format.checkpoint import (
    CLEANER_CHECKPOINT_FILE,
    LEADER_EPOCH_FILE,
    PARTITION_METADATA_FILE,
    format_cleaner_checkpoint,
    format_leader_epochs,
    format_partition_metadata,
)
from pykafka_store.format.names import INDEX_SUFFIX, LOG_SUFFIX, TIME_INDEX_SUFFIX, WRITTEN_SUFFIXES
from pykafka_store.holding import holding
from pykafka_store.model import CheckReport, TopicPartition, random_topic_id, topic_id_bytes

_NO_BOOT = b"\xff" * 16
"""The boot id of no kernel: a state that has it is looked at as after a power cut."""
_UPKEEP_PATIENCE = 60.0
"""Seconds to wait until a pass of upkeep is over."""


def check(directory: str, on_finding: OnFinding, on_progress: OnProgress) -> CheckReport:
    """See :func:`pykafka_store.open.check_data_directory`."""
    return Doctor(directory, Disk(), on_finding, on_progress).run()


def check_and_repair(directory: str, on_finding: OnFinding, on_progress: OnProgress) -> CheckReport:
    """See :func:`pykafka_store.open.check_data_directory`."""
    disk, directory = Disk(), os.path.abspath(os.path.expanduser(directory))
    if disk.exists(directory) and not disk.may_write(directory):
        raise disk.not_writable(directory)
    first = Doctor(directory, disk, None, on_progress)
    before = first.run()
    mendable = [each for each in first.found if each.remedy is not Remedy.NONE]
    if not mendable:
        return _told(before, on_finding)
    repair = _Repair(directory, disk)
    failures = repair.run(mendable)
    second = Doctor(directory, disk, None, on_progress)
    after = second.run()
    left = tuple(
        finding._replace(meaning=f"{finding.meaning} (not repaired: {failures[found.path]})")
        if found.path in failures
        else finding
        for found, finding in zip(second.found, after.findings, strict=True)
    )
    places = {(finding.where, finding.message) for finding in left}
    mended = tuple(each for each in before.findings if each.repairable and (each.where, each.message) not in places)
    return _told(after._replace(findings=left, mended=mended, kept=repair.kept), on_finding)


def _told(report: CheckReport, on_finding: OnFinding) -> CheckReport:
    for finding in report.findings:
        if on_finding is not None:
            on_finding(finding)
    return report


def _copy(path: str, copy: str) -> None:
    """Like shutil.copy2, but runs of zeros take no room: a damaged file may be large and empty."""
    with open(path, "rb") as source, open(copy, "xb") as target:
        while piece := source.read(1 << 20):
            if piece.count(0) == len(piece):
                target.seek(len(piece), os.SEEK_CUR)
            else:
                target.write(piece)
        target.truncate(target.tell())
    shutil.copystat(path, copy)


class _Refused(Exception):  # noqa: N818 - a decision, and why
    """A remedy would touch what may have been acknowledged."""


class _Repair:
    def __init__(self, directory: str, disk: Disk) -> None:
        self._directory = directory
        self._disk = disk
        self._clock = Clock()
        self._locks = Locks(os.path.join(directory, LOCKS), disk, self._clock)
        self._copies = ""
        """Where copies go; nowhere until the first is made."""
        self._kept: dict[str, None] = {}
        self._settled: dict[tuple[str, int], _Refused | None] = {}
        """Partitions whose replicas were compared, and why that was refused."""

    @property
    def kept(self) -> tuple[str, ...]:
        """Where the copies are."""
        return tuple(self._kept)

    def run(self, found: Sequence[Found]) -> dict[str, str]:
        """Apply each remedy, once for each thing; returns path -> why what was found there was not mended."""
        failures: dict[str, str] = {}
        done: set[tuple[object, ...]] = set()
        self._disk.make_directory(os.path.join(self._directory, LOCKS))
        try:
            # What replicas are copied from is mended before they are.
            for each in sorted(found, key=lambda each: each.remedy is Remedy.REMAKE):
                of_replica = each.place is not None and each.remedy not in {Remedy.REMOVE, Remedy.INDEXES}
                thing = each.remedy, each.place if of_replica else each.path
                if thing in done:
                    continue
                done.add(thing)
                try:
                    _REMEDIES[each.remedy](self, each)
                except (StoreError, _Refused, FileNotFoundError) as error:
                    failures[each.path] = str(error)
                if each.place is not None:
                    self._locks.close_partition(each.place.topic_id, each.place.partition)
        finally:
            self._locks.close()
        return failures

    # -------------------------------------------------------------------------------------------------------- copies

    def _keep(self, path: str) -> None:
        """Copy a file, once: the first copy is what was there before the repair."""
        inside = path.startswith(self._directory + os.sep)
        relative = os.path.relpath(path, self._directory) if inside else os.path.join("outside", path.lstrip(os.sep))
        if not self._disk.exists(path):
            return
        if not self._copies:
            self._copies = self._new_directory()
        copy = os.path.join(self._copies, relative)
        if self._disk.exists(copy):
            return
        self._disk.make_directory(os.path.dirname(copy))
        self._kept[self._copies] = None
        try:
            _copy(path, copy)
            descriptor = self._disk.open(copy)
            try:
                self._disk.sync(descriptor, copy)
            finally:
                self._disk.close(descriptor)
        except OSError as error:
            what = f"{error.filename or path}: {error.strerror}"
            raise StorageError(f"{what}: nothing is repaired without a copy") from error

    def _new_directory(self) -> str:
        """For the copies of this repair alone: another one of the same second has its own."""
        parent = os.path.join(self._directory, REPAIRED)
        self._disk.make_directory(parent)
        now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        for name in (now, *(f"{now}-{number}" for number in range(2, 1000))):
            path = os.path.join(parent, name)
            if self._disk.make_new_directory(path):
                return path
        raise StorageError(f"{parent} has too many directories of this second: run it again")

    def _write(self, path: str, data: bytes) -> None:
        self._keep(path)
        self._disk.replace_file(path, data)

    def _set_aside(self, directory: str) -> None:
        """Rename a replica's directory, so that no reader or writer takes it for one, and nothing of it is lost."""
        aside = set_aside(self._disk, directory, "stray")
        self._disk.sync_directory(os.path.dirname(directory))
        self._kept[aside] = None

    # ------------------------------------------------------------------------------------------------- the directory's

    def meta(self, found: Found) -> None:
        """The cluster.id is kept if it can be read; its log directories know it, too."""
        with self._locks.cluster():
            identity = self._cluster_id()
            self._keep(found.path)
            write_meta(self._disk, self._directory, identity)

    def _cluster_id(self) -> str:
        from pykafka_store.embedded.catalog import Catalog

        with closing(Catalog(self._directory)) as catalog:
            paths = [row.path for broker in catalog.brokers().values() for row in broker.log_dirs]
        for path in ("", *paths):
            try:
                found = read_meta(self._disk, os.path.join(self._directory, path)).get("cluster.id", "")
            except (FileNotFoundError, StorageError):
                continue
            if found:
                return found
        return random_topic_id()

    def log_dir(self, found: Found) -> None:
        from pykafka_store.embedded.catalog import Catalog

        path = os.path.dirname(found.path)
        with self._locks.cluster(), closing(Catalog(self._directory)) as catalog:
            for number, broker in catalog.brokers().items():
                for row in broker.log_dirs:
                    if os.path.join(self._directory, row.path) == path:
                        self._keep(found.path)
                        format_log_dir(self._disk, path, self._cluster_id(), number, row.directory_id or "")

    def stray(self, found: Found) -> None:
        """The cluster's lock keeps topics from being made; the check behind us found it unknown under that lock."""
        from pykafka_store.embedded.catalog import Catalog

        with self._locks.cluster():
            with closing(Catalog(self._directory)) as catalog:
                catalog.supersede_unfinished_commit()
            again = Doctor(self._directory, self._disk)
            if again.is_stray(found.path):
                self._set_aside(found.path)

    def dead_members(self, found: Found) -> None:
        """They are taken out as by whoever looks at the groups."""
        self._keep(found.path)
        with closing(open_engine(self._directory, create=False)) as engine:
            for group in engine.groups.group_ids():
                live_members(engine, group)

    # -------------------------------------------------------------------------------------------------- a replica's

    def _settle(self, place: Place) -> None:
        """After a power cut replicas may have lost different parts of what was never synced, and the longest is to
        lead: before any of them is published anew, all are looked at together. Raises _Refused where that would cut
        whole batches.
        """
        key = place.topic_id, place.partition
        if key not in self._settled:
            self._settled[key] = None
            with closing(open_engine(self._directory, create=False)) as engine:
                name = TopicPartition(place.topic, place.partition)
                partition = hosted(engine, name)
                row = partition.row
                if len(row.replicas) > 1:
                    try:
                        with partition.lock():
                            for broker in row.isr or row.elr:
                                with suppress(StoreError, FileNotFoundError):  # it has its own finding
                                    directory = partition.directory(broker)
                                    self._keep_state_and_tail(place._replace(broker=broker, directory=directory))
                        with suppress(StoreError):
                            Replicas(partition).settle()
                    except _Refused as error:
                        self._settled[key] = error
        if (refused := self._settled[key]) is not None:
            raise refused

    @holding
    def _upkeep(self, found: Found) -> Generator[tuple[Place, ReplicaLog], None, None]:
        """The upkeep lock, waited for, and the partition's."""
        place = found.place
        assert place is not None
        self._settle(place)
        deadline = self._clock.monotonic() + _UPKEEP_PATIENCE
        while True:
            with self._locks.upkeep(place.topic_id, place.partition) as ours:
                if ours:
                    with (
                        self._locks.partition(place.topic_id, place.partition, partial(self._require_topic, place)),
                        closing(
                            ReplicaLog(self._disk, place.directory, place.label, place.topic_id, boot_id())
                        ) as replica,
                    ):
                        yield place, replica
                    return
            if self._clock.monotonic() > deadline:
                raise _Refused("another process is at its upkeep: run it again")
            self._clock.sleep(0.01)

    def _require_topic(self, place: Place) -> None:
        from pykafka_store.embedded.catalog import Catalog

        with closing(Catalog(self._directory)) as catalog:
            if catalog.topic_id(place.topic) != place.topic_id:
                raise _Refused("the topic was deleted meanwhile")

    def remove(self, found: Found) -> None:
        """A file that was not written to its end."""
        with self._upkeep(found):
            self._keep(found.path)
            self._disk.remove(found.path)

    def finish(self, found: Found) -> None:
        with self._upkeep(found) as (place, _):
            names = self._disk.list(place.directory)
            bases = [int(name[:20]) for name in names if name.endswith((".cleaned", ".swap")) and name[:20].isdigit()]
            for name in names:  # it may replace any segment from the first of them on
                if bases and name[:20].isdigit() and int(name[:20]) >= min(bases):
                    self._keep(os.path.join(place.directory, name))
            finish_interrupted(self._disk, place.directory)

    def recover(self, found: Found) -> None:
        """Let the log's writer find its end and publish it, which cuts off what was never acknowledged."""
        with self._upkeep(found) as (place, replica):
            self._keep_state_and_tail(place)
            replica.load_locked()

    def _keep_state_and_tail(self, place: Place) -> None:
        """Copies of all that recovery may change. Raises _Refused where it would cut whole batches behind damage."""
        disk, directory = self._disk, place.directory
        state = read_state(disk, directory)
        if state is None or state.boot_id != boot_id():
            now = recover(disk, directory, state, topic_id_bytes(place.topic_id), boot_id(), place.label).state
            path = Segment(disk, directory, now.active_base_offset).path()
            if state is None and has_batches_behind(disk, path, now.end_position, now.log_end_offset):
                raise _Refused(f"whole batches follow the damage at byte {now.end_position} of {path}")
            base, end = now.active_base_offset, now.end_position
        else:
            base, end = state.active_base_offset, state.end_position
        self._keep(os.path.join(directory, states.FILE_NAME))
        active = Segment(disk, directory, base)
        if active.size() > end:
            self._keep(active.path())
        for name in disk.list(directory):
            number = int(name[:20]) if name[:20].isdigit() and name[20:] in WRITTEN_SUFFIXES else -1
            if number > base or (number == base and name[20:] != LOG_SUFFIX):
                self._keep(os.path.join(directory, name))

    def indexes(self, found: Found) -> None:
        """Those of one segment, made anew from its batches, at which nothing is wrong."""
        with self._upkeep(found) as (place, replica):
            self._keep_state_and_tail(place)
            state = replica.load_locked()
            if found.base < state.active_base_offset:
                self._index_sealed(place, found.base)
                return
            # Of the active segment, by the recovery that follows a power cut: everything up to the published end is
            # made to count as synced first, so that it cuts nothing of it.
            state = replica.sync_locked(state, state.synced_at)
            replica.publish_synced(state._replace(boot_id=_NO_BOOT))
            replica.load_locked()

    def _index_sealed(self, place: Place, base: int) -> None:
        segment = Segment(self._disk, place.directory, base)
        builder = IndexBuilder(base)
        with segment.open() as log:
            position, end = 0, log.size()
            while batches := log.batches(position, end):
                for batch in batches:
                    header, position = batch.header, batch.position
                    builder.add(position, header.last_offset, header.max_timestamp, header.record_count)
                    position += header.size
        builder.add_time_entry()
        self._write(segment.path(INDEX_SUFFIX), b"".join(builder.offset_entries))
        self._write(segment.path(TIME_INDEX_SUFFIX), b"".join(builder.time_entries))

    def epochs(self, found: Found) -> None:
        with self._upkeep(found) as (place, replica):
            self._keep_state_and_tail(place)
            entries = epochs_of(self._disk, place.directory, replica.load_locked())
            path = os.path.join(place.directory, LEADER_EPOCH_FILE)
            self._write(path, format_leader_epochs(entries).encode())

    def metadata(self, found: Found) -> None:
        with self._upkeep(found) as (place, _):
            state = read_state(self._disk, place.directory)
            if state is None or state.topic_id != topic_id_bytes(place.topic_id):
                raise _Refused("the state does not say either that this is the topic's directory")
            path = os.path.join(place.directory, PARTITION_METADATA_FILE)
            self._write(path, format_partition_metadata(place.topic_id).encode())

    def cleaner(self, found: Found) -> None:
        with self._upkeep(found) as (place, replica):
            self._keep_state_and_tail(place)
            text = format_cleaner_checkpoint(place.topic, place.partition, replica.load_locked().log_start_offset)
            self._write(os.path.join(place.directory, CLEANER_CHECKPOINT_FILE), text.encode())

    def remake(self, found: Found) -> None:
        """A replica that another one in sync has all of: its directory is set aside, like one that went away, and it
        comes back as such a one does. The whole one leads meanwhile, so that nothing is copied from another.
        """
        place = found.place
        assert place is not None
        with closing(open_engine(self._directory, create=False)) as engine:
            partition = hosted(engine, TopicPartition(place.topic, place.partition))
            replicas = Replicas(partition)
            replicas.lead(found.source)
            with partition.lock():
                if partition.row.leader != found.source:
                    raise _Refused(f"broker {found.source} does not lead any more: run it again")
                if self._disk.exists(place.directory):
                    self._set_aside(place.directory)
            back = replicas.bring_back(PATIENCE_TO_START)
            if back.errors:
                raise back.errors[0]


_REMEDIES: Mapping[Remedy, Callable[[_Repair, Found], None]] = {
    Remedy.META: _Repair.meta,
    Remedy.LOG_DIR: _Repair.log_dir,
    Remedy.STRAY: _Repair.stray,
    Remedy.DEAD_MEMBERS: _Repair.dead_members,
    Remedy.RECOVER: _Repair.recover,
    Remedy.REMOVE: _Repair.remove,
    Remedy.FINISH: _Repair.finish,
    Remedy.INDEXES: _Repair.indexes,
    Remedy.EPOCHS: _Repair.epochs,
    Remedy.METADATA: _Repair.metadata,
    Remedy.CLEANER: _Repair.cleaner,
    Remedy.REMAKE: _Repair.remake,
}
