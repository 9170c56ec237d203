"""``pykafka doctor``: everything in a data directory looked at, file by file, and told what is wrong.

Nothing is changed: databases are read as copies, and locks are taken shared, for moments, on files that exist, and not
at all in a directory that may only be read. Writers, upkeep, admins and members of groups may be at work meanwhile. So
what seems wrong is looked at again, with a newer copy of the catalogue and upkeep held off, before it is told.
:mod:`pykafka_store.embedded.log.check` looks at replicas, :mod:`pykafka_store.embedded.repair` mends.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from typing import NamedTuple

from pykafka_store.configs import TopicConfig
from pykafka_store.embedded.catalog import FILE_NAME as CATALOG_FILE
from pykafka_store.embedded.catalog import RESERVE_FILE, BrokerRow, Catalog, LogDirRow, PartitionRow, TopicRow
from pykafka_store.embedded.disk import ADVICE, Disk, boot_id
from pykafka_store.embedded.groups.database import FILE_NAME as GROUPS_FILE
from pykafka_store.embedded.groups.leases import group_directory, is_locked, is_overdue, list_leases
from pykafka_store.embedded.log.check import Checked, Found, Place, Remedy, check_replica, leftovers
from pykafka_store.embedded.log.replica import read_state
from pykafka_store.embedded.log.segments import list_segments, segment_path
from pykafka_store.errors import StorageError, StoreError, UnsupportedVersionError
from pykafka_store.format.checkpoint import (
    LAYOUT_VERSION,
    META_PROPERTIES_FILE,
    check_layout,
    parse_properties,
)
from pykafka_store.format.names import parse_partition_directory, partition_directory
from pykafka_store.model import CheckReport, Finding, Severity, TopicPartition, topic_id_bytes

REPAIRED = "repaired"
"""Where a repair keeps copies of what it removes or overwrites."""
_DATABASES = tuple(f"{name}{suffix}" for name in (CATALOG_FILE, GROUPS_FILE) for suffix in ("", "-wal", "-shm"))
_OWN_NAMES = {META_PROPERTIES_FILE, RESERVE_FILE, "locks", "groups", "brokers", REPAIRED, *_DATABASES}
_PATIENCE = 10.0
"""Seconds to wait for a lock before looking without it."""
_LOOKS = 3

_META = "without it nobody opens the directory"
_CATALOG = "it says which topics there are: restore it from a backup; the logs stay as they are"
_GROUPS = "it has the groups and their commits: restore it from a backup, or remove it and commit anew"

OnFinding = Callable[[Finding], None] | None
OnProgress = Callable[[TopicPartition | None, int], None] | None


class Snapshot(NamedTuple):
    """The catalogue at one moment."""

    topics: dict[str, TopicRow]
    """By id."""
    brokers: dict[int, BrokerRow]


class Doctor:
    """One check of one data directory."""

    def __init__(
        self, directory: str, disk: Disk, on_finding: OnFinding = None, on_progress: OnProgress = None
    ) -> None:
        """``on_progress`` is called with the partition that is being looked at, and the bytes read so far."""
        self._directory = os.path.abspath(os.path.expanduser(directory))
        self._disk = disk
        self._on_finding = on_finding
        self._on_progress = on_progress
        self._may_lock = disk.may_write(self._directory)
        self.found: list[Found] = []
        self._findings: list[Finding] = []
        self._bytes = 0
        self._partition: TopicPartition | None = None
        self._lost: set[str] = set()
        """Log directories that can't be read."""
        self._seen: tuple[object, Snapshot] | None = None
        """The catalogue's bytes when it was last looked at, and what they say."""
        self._ends: dict[tuple[str, int], int] = {}
        """(topic id, partition) -> the leader's log end offset."""

    def run(self) -> CheckReport:
        """Look at everything. Raises StorageError for what is no data directory at all, UnsupportedVersionError for
        one of a newer layout.
        """
        self._check_meta()
        usable = self._check_own_directories()
        # The groups first: what is committed is older than the logs that it is held against.
        groups: tuple[bytes | None, bytes | None] = (None, None)
        try:
            groups = self._content(GROUPS_FILE)
        except StorageError as error:
            path = self._path(GROUPS_FILE)
            self._tell(Severity.ERROR, path, _without(path, error), _GROUPS)
        catalogue = self._check_catalogue()
        replicas = 0
        if catalogue is not None:
            self._check_log_dirs(catalogue)
            for topic in sorted(catalogue.topics.values(), key=lambda each: each.name):
                for row in topic.partitions:
                    self._partition = TopicPartition(topic.name, row.partition)
                    self._read(0)
                    replicas += len(row.hosts)
                    self._check_partition(topic, row, catalogue)
            self._check_strays(catalogue)
        if groups[0] is not None and "groups" in usable:
            self._check_groups(groups)
        for name in sorted(set(self._disk.list(self._directory)) - _OWN_NAMES):
            self._tell(Severity.INFO, self._path(name), "is no file of ours", "nobody reads it")
        count = sum(len(topic.partitions) for topic in catalogue.topics.values()) if catalogue else 0
        return CheckReport(tuple(self._findings), count, replicas, self._bytes)

    # ------------------------------------------------------------------------------------------------------- telling

    def _tell(self, severity: Severity, path: str, message: str, meaning: str, remedy: Remedy = Remedy.NONE) -> None:
        if message.endswith(ADVICE[errno.EACCES]):
            meaning = "it may be whole: who runs this may not look into it"
        self._tell_found(Found(severity, path, message, meaning, remedy))

    def _tell_found(self, found: Found) -> None:
        inside = found.path.startswith(self._directory + os.sep)
        where = os.path.relpath(found.path, self._directory) if inside else found.path
        finding = Finding(found.severity, where, found.message, found.meaning, found.remedy is not Remedy.NONE)
        self.found.append(found)
        self._findings.append(finding)
        if self._on_finding is not None:
            self._on_finding(finding)

    def _path(self, *names: str) -> str:
        return os.path.join(self._directory, *names)

    def _read(self, count: int) -> None:
        self._bytes += count
        if self._on_progress is not None:
            self._on_progress(self._partition, self._bytes)

    @contextmanager
    def _shared(self, name: str, patience: float = _PATIENCE) -> Iterator[bool]:
        """Share a lock for a moment, so that no holder of it is at work. False where it is held by somebody still;
        where nobody ever took it, or it may not be touched, it counts as free.
        """
        descriptor = None
        if self._may_lock:
            with suppress(FileNotFoundError, StorageError):
                descriptor = self._disk.open(self._path("locks", f"{name}.lock"))
        if descriptor is None:
            yield True
            return
        try:
            deadline = time.monotonic() + patience
            while not (free := _try_shared(descriptor)) and time.monotonic() < deadline:
                time.sleep(0.0005)
            yield free
        finally:
            os.close(descriptor)

    # ------------------------------------------------------------------------------------------------------ the whole

    def _check_meta(self) -> None:
        path = self._path(META_PROPERTIES_FILE)
        try:
            properties = parse_properties(self._disk.read_file(path).decode("utf-8", "replace"))
        except FileNotFoundError:
            if not self._disk.exists(self._path(CATALOG_FILE)):
                state = "is not a pykafka data directory" if self._disk.exists(self._directory) else "does not exist"
                raise StorageError(
                    f"{self._directory} {state}: create a topic in it first (kafka-topics --create --topic NAME)"
                ) from None
            severity, meaning = Severity.ERROR, _META
            with suppress(StorageError):  # which is told later
                if not self._snapshot().topics:
                    severity = Severity.INFO
                    meaning = "the directory is empty: its making was killed, or goes on"
            self._tell(severity, path, "is missing", meaning, Remedy.META)
            return
        version = properties.get("layout.version", "")
        if version.isascii() and version.isdigit() and int(version) > LAYOUT_VERSION:
            check_layout(properties, path)
        try:
            topic_id_bytes(properties.get("cluster.id", ""))
        except ValueError:
            self._tell(Severity.ERROR, path, "has no cluster.id", _META, Remedy.META)
        else:
            if version != str(LAYOUT_VERSION):
                self._tell(Severity.ERROR, path, "has no layout.version", _META, Remedy.META)

    def _check_own_directories(self) -> set[str]:
        """That nothing else has their names; returns those of which that is so. One that is missing is made again."""
        usable = set()
        for name in ("locks", "groups"):
            path = self._path(name)
            if os.path.lexists(path) and not os.path.isdir(path):
                self._tell(Severity.ERROR, path, "is no directory", "nothing can be written: remove it")
                continue
            usable.add(name)
        for name in self._disk.list(self._path("locks")) if os.path.isdir(self._path("locks")) else ():
            path = self._path("locks", name)
            if os.path.isdir(path):
                self._tell(Severity.ERROR, path, "is a directory", "nobody can take this lock: remove it")
        return usable

    # ---------------------------------------------------------------------------------------------------- databases

    def _content(self, name: str) -> tuple[bytes | None, bytes | None]:
        """A database as it is now, its file and its WAL. Read until they are twice the same, for others may be at
        it.
        """
        before: object = None
        for _ in range(1000):
            now = self._bytes_of(self._path(name)), self._bytes_of(self._path(f"{name}-wal"))
            if now == before:
                return now
            before = now
        raise StorageError(f"{self._path(name)} does not stop changing: run it again")

    def _bytes_of(self, path: str) -> bytes | None:
        try:
            return self._disk.read_file(path, limit=1 << 32)
        except FileNotFoundError:
            return None

    @contextmanager
    def _copy(self, name: str, content: tuple[bytes | None, bytes | None]) -> Iterator[str]:
        """The path of a copy of a database, whole: SQLite itself would write -wal and -shm files beside the original.
        Raises StorageError, and whatever the caller raises, with the original's path for the copy's.
        """
        with tempfile.TemporaryDirectory(prefix="pykafka-doctor-") as scratch:
            copy = os.path.join(scratch, name)
            for path, data in zip((copy, f"{copy}-wal"), content, strict=True):
                if data is not None:
                    with open(path, "wb") as file:
                        file.write(data)
            try:
                _require_whole(copy)
                yield copy
            except (StorageError, UnsupportedVersionError) as error:
                raise type(error)(str(error).replace(copy, self._path(name))) from error

    def _snapshot(self) -> Snapshot:
        """The catalogue as it is now. Raises StorageError where it is damaged, UnsupportedVersionError for one of a
        newer version.
        """
        content = self._content(CATALOG_FILE)
        if self._seen is None or self._seen[0] != content:
            with self._copy(CATALOG_FILE, content) as copy, closing(Catalog(os.path.dirname(copy))) as catalog:
                try:
                    self._seen = content, Snapshot({topic.id: topic for topic in catalog.topics()}, catalog.brokers())
                except KeyError as error:
                    raise StorageError(f"broker {error} has no log directory") from error
        return self._seen[1]

    def _check_catalogue(self) -> Snapshot | None:
        path = self._path(CATALOG_FILE)
        if not self._disk.exists(path):
            self._tell(Severity.ERROR, path, "is missing", _CATALOG)
            return None
        try:
            catalogue = self._snapshot()
        except StorageError as error:
            self._tell(Severity.ERROR, path, _without(path, error), _CATALOG)
            return None
        for topic in catalogue.topics.values():
            for problem in _problems_of(topic, catalogue.brokers):
                self._tell(Severity.ERROR, path, problem, _CATALOG)
        return catalogue

    # ----------------------------------------------------------------------------------------------- log directories

    def _log_dirs(self, catalogue: Snapshot) -> Iterator[tuple[int, BrokerRow, LogDirRow, str]]:
        for number, broker in catalogue.brokers.items():
            for row in broker.log_dirs:
                yield number, broker, row, self._path(row.path)

    def _check_log_dirs(self, catalogue: Snapshot) -> None:
        """Whether they are there, and the brokers'. What is in them is another matter."""
        for number, broker, row, path in self._log_dirs(catalogue):
            severity = Severity.ERROR if broker.running else Severity.INFO
            meaning = f"it is broker {number}'s: mount its disk, and pykafka maintain brings its replicas back"
            try:
                self._disk.list(path)
            except (FileNotFoundError, StorageError) as error:
                self._lost.add(path)
                missing = isinstance(error, FileNotFoundError)
                self._tell(severity, path, "is missing" if missing else _without(path, error), meaning)
                continue
            if row.directory_id is None:
                continue
            meta = os.path.join(path, META_PROPERTIES_FILE)
            data = self._bytes_of(meta)
            said = parse_properties((data or b"").decode("utf-8", "replace")).get("directory.id")
            if said == row.directory_id:
                continue
            inside = {name for name in self._disk.list(path) if parse_partition_directory(name) is not None}
            text = "is missing" if data is None else "does not say this directory's directory.id"
            remedy = Remedy.NONE
            if said is None and inside:  # an empty mount point has no replicas in it
                meaning, remedy = f"without it broker {number} does not use the directory", Remedy.LOG_DIR
            else:
                self._lost.add(path)
            self._tell(severity, meta, text, meaning, remedy)

    def _check_strays(self, catalogue: Snapshot) -> None:
        """Directories that no replica of the catalogue has. Asked twice, for topics come and go."""
        suspects = self._unknown(catalogue)
        if not suspects:
            return
        with self._shared("cluster"), suppress(StorageError):
            again = self._unknown(self._snapshot())
            for path in sorted(suspects & again):
                self._tell_stray(path)

    def is_stray(self, path: str) -> bool:
        """Whether no replica of the catalogue as it is now lies there. Raises StorageError."""
        return path in self._unknown(self._snapshot())

    def _unknown(self, catalogue: Snapshot) -> set[str]:
        known = set()
        for topic in catalogue.topics.values():
            for row in topic.partitions:
                for host in row.hosts:
                    broker = catalogue.brokers.get(host.broker)
                    for position, log_dir in enumerate(broker.log_dirs if broker else ()):
                        if position in {host.log_dir, host.future_log_dir}:
                            name = partition_directory(topic.name, row.partition)
                            known.add(os.path.join(self._path(log_dir.path), name))
        found = set()
        for _, _, _, path in self._log_dirs(catalogue):
            with suppress(FileNotFoundError, StorageError):
                found |= {os.path.join(path, name) for name in self._disk.list(path) if name != META_PROPERTIES_FILE}
        return found - known

    def _tell_stray(self, path: str) -> None:
        name = os.path.basename(path)
        if name.endswith("-delete"):
            self._tell(Severity.INFO, path, "is of a deleted replica", "pykafka maintain removes it")
        elif name.endswith("-stray"):
            meaning = "it may hold records that somebody misses: if not, remove it"
            self._tell(Severity.INFO, path, "was set aside", meaning)
        elif parse_partition_directory(name) is None or not os.path.isdir(path):
            self._tell(Severity.INFO, path, "is no file of ours", "nobody reads it")
        else:
            state = read_state(self._disk, path)
            bases = list_segments(self._disk, path)
            records = not (state and state.deleted) and any(
                self._disk.size_of(segment_path(path, base)) for base in bases
            )
            if records:
                text = "holds records, and no topic of the catalogue is the one"
                meaning = "is the catalogue an older one? --repair renames it to *-stray"
                self._tell(Severity.WARNING, path, text, meaning, Remedy.STRAY)
            else:
                meaning = "the making or deleting of a topic was killed; --repair renames it to *-stray"
                self._tell(Severity.INFO, path, "belongs to no topic, and is empty", meaning, Remedy.STRAY)

    # ---------------------------------------------------------------------------------------------------- partitions

    def _check_partition(self, topic: TopicRow, row: PartitionRow, catalogue: Snapshot) -> None:
        """All replicas of a partition. If something is wrong, they are looked at again, with upkeep held off: a
        replica may have left the ISR since, a segment been taken away, the topic been deleted.
        """
        found = self._look(topic, row, catalogue)
        for _ in range(_LOOKS - 1):
            if all(each.severity is Severity.INFO for each in found):
                break
            with self._shared(f"{topic.id}-{row.partition}.upkeep"):
                try:
                    catalogue = self._snapshot()
                except StorageError as error:
                    self._tell(Severity.ERROR, self._path(CATALOG_FILE), str(error), _CATALOG)
                    break
                now = _row(catalogue, topic.id, row.partition)
                if now is None:
                    return
                before, row = row, now
                found = self._look(topic, row, catalogue)
            if row == before and self._row_now(topic.id, row.partition) == row:
                break
        for each in found:
            self._tell_found(each)

    def _row_now(self, topic_id: str, partition: int) -> PartitionRow | None:
        with suppress(StorageError):
            return _row(self._snapshot(), topic_id, partition)
        return None

    def _look(self, topic: TopicRow, row: PartitionRow, catalogue: Snapshot) -> list[Found]:
        counted = row.isr or row.elr
        interval = TopicConfig.of(topic.configs).index_interval_bytes
        found: list[Found] = []
        checked: dict[int, Checked] = {}
        committed: int | None = None
        # The leader first: what it has committed by now is at every replica in sync.
        for host in sorted(row.hosts, key=lambda host: host.broker != row.leader):
            broker = catalogue.brokers.get(host.broker)
            if broker is None or host.log_dir >= len(broker.log_dirs):
                continue  # the catalogue's check said so
            log_dir = self._path(broker.log_dirs[host.log_dir].path)
            directory = os.path.join(log_dir, partition_directory(topic.name, row.partition))
            place = Place(topic.name, topic.id, row.partition, host.broker, directory, row.leader_epoch, interval)
            if host.broker == row.leader and len(row.hosts) > 1:
                state = read_state(self._disk, directory)
                committed = state.high_watermark if state is not None and state.boot_id == boot_id() else None
            if host.broker not in counted:
                behind = f"the replica on broker {host.broker} is not in sync"
                meaning = "pykafka maintain brings it back when its broker can be used"
                found.append(Found(Severity.INFO, directory, behind, meaning))
            if log_dir in self._lost:
                continue
            told: list[Found] = []
            try:
                checked[host.broker] = self._replica(place, committed)
                told = checked[host.broker].found
            except FileNotFoundError as error:
                gone = not self._disk.exists(directory)
                path = directory if gone else error.filename or directory
                told = [Found(Severity.ERROR, path, "is missing", "its records are lost here", place=place)]
            except StoreError as error:
                told = [Found(Severity.ERROR, directory, _without(directory, error), "check the disk", place=place)]
            if host.broker in counted:
                found += told
            else:  # it is made like the leader's before it counts again
                found += [each for each in told if each.severity is Severity.INFO and each.remedy is Remedy.NONE]
        found += _differences(row, committed, checked)
        if row.leader in checked and (state := checked[row.leader].state) is not None:
            self._ends[topic.id, row.partition] = state.log_end_offset
        return _with_help(found, [broker for broker in checked if broker in row.isr])

    def _replica(self, place: Place, committed: int | None) -> Checked:
        checked = check_replica(self._disk, place, boot_id(), committed, self._read)
        if checked.leftovers:
            lock = f"{place.topic_id}-{place.partition}"
            with self._shared(f"{lock}.upkeep", 0) as idle, self._shared(lock) as free:
                if idle and free:
                    return checked._replace(found=checked.found + leftovers(self._disk, place))
        return checked

    # -------------------------------------------------------------------------------------------------------- groups

    def _check_groups(self, content: tuple[bytes | None, bytes | None]) -> None:
        path = self._path(GROUPS_FILE)
        try:
            with self._copy(GROUPS_FILE, content) as copy, closing(sqlite3.connect(copy)) as connection:
                if not connection.execute("PRAGMA user_version").fetchone()[0]:
                    return  # its making was killed: whoever comes next goes on with it
                ids = [str(row[0]) for row in connection.execute("SELECT id FROM groups ORDER BY id")]
                members = connection.execute(
                    "SELECT group_id, lease, id, instance_id, session_timeout FROM members ORDER BY group_id, id"
                ).fetchall()
                offsets = connection.execute(
                    "SELECT group_id, topic, partition, topic_id, position FROM offsets ORDER BY 1, 2, 3"
                ).fetchall()
        except (StorageError, sqlite3.Error) as error:
            self._tell(Severity.ERROR, path, _without(path, error), _GROUPS)
            return
        for group, topic, partition, topic_id, position in offsets:
            end = self._ends.get((topic_id, partition))
            if end is not None and position > end:
                text = f"group {group} committed offset {position} of {topic}-{partition}, which ends at {end}"
                meaning = "kafka-consumer-groups --reset-offsets puts it right"
                self._tell(Severity.WARNING, path, text, meaning)
        self._check_leases(ids, members)

    def _check_leases(self, ids: Sequence[str], members: Sequence[tuple[str, str, str, str | None, float]]) -> None:
        """Leases of members whose process was killed: whoever looks at the group next takes them out."""
        meaning = "its process was killed; who looks at the group next takes it out"
        leases: dict[str, set[str]] = {group: set() for group in ids}
        for group, lease, member, instance, timeout in members:
            leases.setdefault(group, set()).add(lease)
            path = self._path("groups", group_directory(group), lease)
            if not is_locked(path) and (instance is None or is_overdue(path, timeout)) and self._disk.exists(path):
                text = f"member {member} of group {group} is dead"
                self._tell(Severity.INFO, path, text, meaning, Remedy.DEAD_MEMBERS)
        for group, known in leases.items():
            directory = self._path("groups", group_directory(group))
            for name in sorted(set(list_leases(self._disk, directory)) - known):
                path = os.path.join(directory, name)
                # One that is free now and was free a moment ago is nobody's; who joins holds it before it can be seen.
                if not name.endswith(".joining") and self._disk.exists(path) and not is_locked(path):
                    text = f"is a lease that no member of group {group} has"
                    self._tell(Severity.INFO, path, text, meaning, Remedy.DEAD_MEMBERS)


# ----------------------------------------------------------------------------------------------------------- judgements


def _problems_of(topic: TopicRow, brokers: dict[int, BrokerRow]) -> Iterator[str]:
    """What can't be in the catalogue's rows of a topic."""
    numbers = [row.partition for row in topic.partitions]
    if numbers != list(range(len(numbers))) or not numbers:
        yield f"topic {topic.name} has the partitions {', '.join(map(str, numbers)) or 'of nothing'}"
    for row in topic.partitions:
        name = f"{topic.name}-{row.partition}"
        if not row.hosts:
            yield f"partition {name} has no replicas"
        for host in row.hosts:
            broker = brokers.get(host.broker)
            if broker is None or host.log_dir >= len(broker.log_dirs):
                yield f"a replica of {name} is on broker {host.broker}, log directory {host.log_dir}: there is none"
        if row.leader is not None and row.leader not in row.isr:
            yield f"partition {name} is led by broker {row.leader}, which is not in sync"


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
                path = segment_path(place.directory, base)
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


def _row(catalogue: Snapshot, topic_id: str, partition: int) -> PartitionRow | None:
    topic = catalogue.topics.get(topic_id)
    rows = topic.partitions if topic is not None else ()
    return next((row for row in rows if row.partition == partition), None)


def _require_whole(path: str) -> None:
    """Raises StorageError with what SQLite finds wrong with a database."""
    try:
        with closing(sqlite3.connect(path)) as connection:
            problems = [str(row[0]) for row in connection.execute("PRAGMA quick_check(3)")]
    except sqlite3.Error as error:
        raise StorageError(f"{path}: {error}") from error
    if problems != ["ok"]:
        raise StorageError(f"{path}: {'; '.join(problem.splitlines()[-1] for problem in problems)}")


def _try_shared(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _without(path: str, error: Exception) -> str:
    """An error's text without the path that a finding begins with."""
    return str(error).removeprefix(f"{path}: ").removeprefix(f"{path} ").removeprefix(f"{path}{os.sep}")
