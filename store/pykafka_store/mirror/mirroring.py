"""Mirroring: topics of one cluster, record for record, in another; each a directory or a Kafka cluster.

A partition is copied in order by one process, which holds the pair's lock. How far it came is known by two things:

- **the log itself**, where the target is a directory: the header of each copied batch says the source offset of its
  last record (format/copies.py);
- **the ledger** (ledger.py), a compacted topic at the target, written now and then, with the map of offsets.

What a kill leaves, and what the next mirror makes of it:

- Killed in an append to a directory: a batch is in the log or it is not, and what it says of its source with it. The
  log is read from the ledger's ``floor`` on, and its last copied batch says where to go on.
- Killed in sending to a cluster: a batch is there or not, and nobody can tell. What came after the ledger's entry is
  copied again.
- Killed when the ledger is written: the entry is there or not, and both are true. It is written when what it speaks of
  is synced (a directory) or acknowledged (a cluster).

So in a directory nothing is there twice and nothing is missing; in a cluster nothing is missing, and after a kill some
records may be there twice, at most those of the second before it; in transactions, which hold the ledger's entries as
well, no consumer that reads committed records sees those. Why the log's word is as good:

1. Nobody else writes batches with this producer id: it names the source's partition, and the lock keeps a second
   mirror of the pair away.
2. Copying is in order, so the last such batch of the log is the newest, and all before it was copied.
3. After a power cut the log ends at a last whole batch, and takes what it said of later ones with it. The ledger speaks
   only of what was synced. If it speaks of more than there is, the directory is an older copy: then the log alone
   counts, from its beginning.
4. Retention at the target takes away the oldest batches first, and compaction keeps the last one of every producer
   id. Only if retention took all that was copied since the ledger was last written does it stand behind: then the log
   begins behind the ledger's ``floor`` with none of ours in it, and what is copied again is what retention takes away
   again.

The source is read by transactions that were committed (``read_committed``), control records are not copied, and a
position is a source offset, so gaps mean nothing. Records that the source deleted before they were copied are an error
that is told, and the copying goes on behind them: there is nothing that waiting could bring back.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from types import TracebackType
from typing import Self

from pykafka_store.api import Cluster, Consumer
from pykafka_store.directory import DataDirectory
from pykafka_store.errors import (
    LeaderNotAvailableError,
    OffsetOutOfRangeError,
    StoreError,
    UnknownTopicOrPartitionError,
)
from pykafka_store.mirror.copying import Copy, joined_where_small, progress_of, reports_of, size_of
from pykafka_store.mirror.cycles import Cycles, lock_of_pair
from pykafka_store.mirror.groups import GroupReport, MirroredGroups
from pykafka_store.mirror.ledger import TOPIC as LEDGER_TOPIC
from pykafka_store.mirror.ledger import Ledger
from pykafka_store.mirror.selection import Selection
from pykafka_store.mirror.targets import Destination, DirectoryTarget, Target, ToCluster, ToDirectory, explained
from pykafka_store.mirror.telling import Once, Progress, TopicReport
from pykafka_store.mirror.topics import TargetTopics
from pykafka_store.model import (
    INTERNAL_TOPICS,
    Delivery,
    OffsetAt,
    Records,
    SendFailure,
    TopicDescription,
    TopicPartition,
)
from pykafka_store.notices import Waiting

POLL = 0.2
"""Seconds that a poll waits at most, so that a wish to stop is heard."""

LOOK = 1.0
"""Seconds between looks for new topics and partitions, when following."""

GROUPS = 5.0
"""Seconds between looks at the groups' offsets, when following."""


class Mirror:
    """Mirrors topics, and the offsets that groups committed in them.

    What went wrong and did not stop it is told through ``on_error``, what else a user should know through
    ``on_notice``, each in a line. Not for use by several threads at once.
    """

    def __init__(
        self,
        source: Cluster,
        target: Target,
        selection: Selection,
        *,
        source_directory: DataDirectory | None = None,
        on_notice: Callable[[str], None],
        on_error: Callable[[str], None],
    ) -> None:
        """``source_directory``: the source, if it is a directory. Raises StoreError."""
        self._source = source.admin()
        self._target = target.cluster.admin()
        self._selection = selection
        self._on_notice = on_notice
        self._on_error = on_error
        self._copies: dict[TopicPartition, Copy] = {}
        """By source."""
        self._by_target: dict[TopicPartition, Copy] = {}
        self._ids: dict[str, str] = {}
        """The id of each topic that is mirrored, at the source."""
        self._unread: set[str] = set()
        """Those of them that the look which is on has taken in."""
        self._left_out: dict[str, str] = {}
        """The ids of topics that match and came from the target, by name."""
        self._gone: list[Copy] = []
        """Of topics that were deleted meanwhile."""
        self._is_assigned = False
        """Whether the consumer reads what ``_copies`` says."""
        self._follow = False
        self._waiting = Waiting(on_notice)
        self._tell_once = Once(on_notice)
        self._fail_once = Once(on_error)
        self._exit = ExitStack()
        with ExitStack() as stack:
            settings = {
                "auto.offset.reset": "none",
                "isolation.level": "read_committed",
                "enable.auto.commit": "false",
                "allow.auto.create.topics": "false",
            }
            self._consumer: Consumer = stack.enter_context(source.consumer(settings))
            self._to: Destination
            self._cluster_id = self._source.cluster_id()
            if isinstance(target, DirectoryTarget):
                self._to = ToDirectory(target.cluster, self._delivered, on_notice)
            else:
                named = f"pykafka-mirror-{self._cluster_id}-{selection.digest()}" if target.exactly_once else ""
                cluster = ToCluster(target.cluster, named, target.lock_directory, self._delivered, self._failed)
                stack.callback(cluster.close)
                self._to = cluster
            stack.enter_context(self._to.producer)
            self._ledger = Ledger(target.cluster)
            self._ledger.read()
            self._cycles = Cycles(source, source_directory, self._target)
            self._topics = TargetTopics(self._source, self._target, selection.prefix, on_notice)
            self._groups = MirroredGroups(
                self._source, self._target, selection.groups, selection.group_pattern, on_error
            )
            self._exit = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exit.__exit__(kind, error, trace)

    # -------------------------------------------------------------------------------------------------------- topics

    def prepare(self, *, follow: bool) -> None:
        """Look which topics there are, make them at the target, and find out how far each is copied.

        Raises UnknownTopicOrPartitionError for a named topic that is missing.
        """
        self._follow = follow
        with self._patiently():
            self._look(add=True)
        some = self._copies or self._left_out or self._selection.topics
        if not some and self._selection.pattern is not None:
            self._on_notice(f"no topic at the source matches {self._selection.pattern.pattern}")
        if not self._is_assigned:
            self._assign()

    @contextmanager
    def _patiently(self) -> Iterator[None]:
        """Around a look at what is to be copied: who follows waits for a disk that is away, and looks again."""
        try:
            yield
        except LeaderNotAvailableError as error:
            if not self._follow:
                raise
            self._waiting.begin(error)
        else:
            self._waiting.end()

    def _listed(self) -> dict[str, str]:
        """The source's topics, ids by name."""
        return {each.name: each.topic_id for each in self._source.list_topics()}

    def _new_topics(self, listed: Mapping[str, str]) -> list[TopicDescription]:
        """Selected topics that are not mirrored yet, or with fewer partitions than they have."""
        names = self._selected(listed)
        for name, topic_id in list(self._ids.items()):
            if listed.get(name) != topic_id:
                self._forget(name)
        described = self._source.describe_topics(names) if names else []
        return [each for each in described if TopicPartition(each.name, len(each.partitions) - 1) not in self._copies]

    def _selected(self, listed: Mapping[str, str]) -> list[str]:
        """Those of the source's topics that are selected. Raises UnknownTopicOrPartitionError for a named
        one that is missing, and was never there.
        """
        known = {copy.source.topic for copy in [*self._copies.values(), *self._gone]}
        missing = [name for name in self._selection.topics if name not in listed and name not in known]
        if missing:
            raise UnknownTopicOrPartitionError(f"Topic {missing[0]} does not exist at the source")
        names = [name for name in self._selection.topics if name in listed]
        pattern = self._selection.pattern
        if pattern is not None:
            ours = {*names, *INTERNAL_TOPICS, LEDGER_TOPIC}
            names += [name for name in listed if name not in ours and pattern.fullmatch(name)]
            names = [name for name in names if self._left_out.get(name) != listed[name]]
        return names

    def _forget(self, name: str) -> None:
        """A topic is gone at the source, or another one has its name."""
        if was_read := name not in self._unread:
            self._on_error(f"topic {name} was deleted at the source: what was copied of it stays")
        del self._ids[name]
        self._is_assigned = False
        for copy in [copy for copy in self._copies.values() if copy.source.topic == name]:
            del self._copies[copy.source], self._by_target[copy.target]
            self._gone += [copy] if was_read else []

    def _add(self, topics: Sequence[TopicDescription]) -> None:
        added: list[Copy] = []
        if topics:
            self._cycles.look()
        for topic in topics:
            if topic.name not in self._selection.topics and (origins := self._cycles.origins(topic)):
                self._left_out[topic.name] = topic.topic_id
                self._on_notice(f"topic {topic.name} is left out: it is a copy of {origins[0]} of the target")
                continue
            target = self._topics.ensure(topic)
            if topic.name not in self._ids:
                if not self._to.keep_lock(lock_of_pair(self._cluster_id, topic.topic_id, target.topic_id)):
                    raise StoreError(f"Topic {topic.name} is being mirrored to this target by another process")
                self._cycles.require_none(topic, target)  # with our lock in place, by which a mirror back sees us
                self._unread.add(topic.name)
            self._ids[topic.name] = topic.topic_id
            for number in range(len(topic.partitions)):
                source = TopicPartition(topic.name, number)
                if source not in self._copies:
                    key = (self._cluster_id, topic.name, target.name, number)
                    ids = (topic.topic_id, target.topic_id)
                    added.append(Copy(source, TopicPartition(target.name, number), key, ids))
        if not added:
            return
        sources = [copy.source for copy in added]
        beginnings = self._consumer.beginning_offsets(sources)
        ends = self._consumer.end_offsets(sources)
        target_ends = self._target.list_offsets(dict.fromkeys([copy.target for copy in added], OffsetAt.LATEST))
        for copy in added:
            end = target_ends[copy.target]
            if isinstance(end, Exception):
                raise end
            if self._begin(copy, beginnings[copy.source], ends[copy.source], end):
                copy.started = copy.reading = copy.position
                copy.goal = None if self._follow else ends[copy.source]
                self._copies[copy.source] = self._by_target[copy.target] = copy
                self._is_assigned = False

    def _begin(self, copy: Copy, beginning: int, end: int, target_end: int) -> bool:
        """Find out where a partition's copying goes on; False where it can't."""
        entry = self._ledger.entry(copy.key)
        if entry is not None and entry.source_id != copy.source_id:
            self._tell_once(
                f"topic {copy.source.topic} was made anew at the source since it was copied: the new one's records "
                "come after those of the old one"
            )
            entry = None
        elif entry is not None and entry.target_id != copy.target_id:
            entry = None  # made anew at the target, so all of it is copied
        if not self._to.resume(copy, entry, target_end):
            copy.position = beginning
        elif copy.position > end:
            self._fail_once(
                f"{copy.source} ends at offset {end} at the source, and was copied up to {copy.position}: it lost "
                "records, and is left alone; delete the topic at the target to copy it anew"
            )
            return False
        elif copy.position < beginning:
            self._tell_gap(copy, beginning)
        return True

    def _tell_gap(self, copy: Copy, beginning: int) -> None:
        self._on_error(
            f"{copy.source}: offsets {copy.position} to {beginning - 1} were deleted at the source before they were "
            f"copied: going on at {beginning}"
        )
        copy.position = beginning

    # ------------------------------------------------------------------------------------------------------- copying

    def run(self, stop: Callable[[], bool], on_progress: Callable[[Progress], None]) -> None:
        """Copy until everything is, or until ``stop``; then the groups' offsets. Call ``prepare`` before."""
        try:
            self._run(stop, on_progress)
        except StoreError:
            with suppress(StoreError):
                self.save()  # what came before it: the next mirror is not to copy that again
            raise

    def _run(self, stop: Callable[[], bool], on_progress: Callable[[Progress], None]) -> None:
        now = time.monotonic()
        # What is copied first is written down at once, for a mirror the other way (cycles.py).
        next_save, next_look, next_groups = now, now + LOOK, now + GROUPS
        while not stop() and (self._is_reading or self._awaits_topics):
            for copy, records in self._poll():
                self._send(copy, records)
            self._note_positions()
            on_progress(self._progress())
            now = time.monotonic()
            if now >= next_save:
                self.save()
                next_save = time.monotonic() + self._to.save_every
            if self._follow and now >= next_look:
                with self._patiently():
                    self._look(add=True)
                next_look = time.monotonic() + LOOK
            if self._follow and now >= next_groups:
                self._groups.sync(self._copies)
                next_groups = time.monotonic() + GROUPS
        self.save()
        self._groups.sync(self._copies)

    @property
    def _is_reading(self) -> bool:
        return any(not copy.is_done for copy in self._copies.values())

    @property
    def _awaits_topics(self) -> bool:
        return self._follow and (self._selection.pattern is not None or self._waiting.is_on)

    def _assign(self) -> None:
        """Read the partitions that are not done, each from its ``reading`` on."""
        self._is_assigned = False
        self._consumer.assign({copy.source: copy.reading for copy in self._copies.values() if not copy.is_done})
        self._is_assigned = True

    def _poll(self) -> Iterable[tuple[Copy, Records]]:
        try:
            runs = self._consumer.poll(POLL)
        except (OffsetOutOfRangeError, UnknownTopicOrPartitionError) as error:
            with self._patiently():
                with suppress(UnknownTopicOrPartitionError):  # as well
                    if isinstance(error, OffsetOutOfRangeError):
                        return self._skip_deleted()
                self._look(add=self._follow)  # deleted at the source
            return
        for records in joined_where_small(runs):
            copy = self._copies[TopicPartition(records.topic, records.partition)]
            if copy.goal is not None and records.offsets[-1] >= copy.goal:
                yield copy, records.slice(0, bisect_left(records.offsets, copy.goal))
            else:
                yield copy, records

    def _send(self, copy: Copy, records: Records) -> None:
        if not len(records):
            return
        copy.waiting.append(records.offsets)
        copy.size += size_of(records)
        self._to.send(copy, records)

    def _delivered(self, delivery: Delivery) -> None:
        copy = self._by_target.get(TopicPartition(delivery.topic, delivery.partition))
        if copy is not None and not copy.stuck:  # None: it is the ledger's
            copy.delivered(delivery.base_offset, delivery.record_count)

    def _failed(self, failure: SendFailure) -> None:
        """A refusal by the brokers ends the mirror, which is not to leave anything out: raises it, with its place."""
        copy = self._by_target.get(TopicPartition(failure.topic, failure.partition or 0))
        if copy is None or not copy.waiting:
            raise failure.error
        copy.stuck = True
        assert isinstance(failure.error, StoreError)
        raise explained(failure.error, copy, f"from source offset {copy.waiting[0][0]} on nothing was taken: ")

    def _note_positions(self) -> None:
        """How far the source is read, and where nothing is waiting, copied: beyond the last record there may be marks
        of transactions.
        """
        for source in self._consumer.assignment():
            copy = self._copies.get(source)
            if copy is None or copy.is_done:
                continue
            at = self._consumer.position(source)
            copy.reading = at if copy.goal is None else min(at, copy.goal)
            if copy.is_done:
                self._consumer.pause([source])

    def _skip_deleted(self) -> None:
        """Retention at the source was faster than we are: go on where its log begins now."""
        self._to.settle()
        sources = [copy.source for copy in self._copies.values() if not copy.is_done]
        beginnings = self._consumer.beginning_offsets(sources)
        overtaken = [self._copies[source] for source in sources if self._copies[source].reading < beginnings[source]]
        if not overtaken:
            raise OffsetOutOfRangeError("A source partition ends before what was read of it: it lost records")
        for copy in overtaken:
            copy.position = copy.reading
            self._tell_gap(copy, beginnings[copy.source])
            copy.reading = copy.position
        self._assign()

    def _look(self, *, add: bool) -> None:
        """Follow topics that are gone, and with ``add`` those that were made or grew. Topics may go, and be made anew,
        at any moment of this: then it begins again.
        """
        self._unread.clear()
        while True:
            listed = self._listed()
            try:
                new = self._new_topics(listed)
                if not self._is_assigned:
                    self._assign()  # lets go of what is gone, under whose name there may be another
                if add:
                    self._add(new)
                if self._is_assigned:
                    return
                self._assign()  # by names: once more, to see that they are the topics that were listed
            except UnknownTopicOrPartitionError:
                if self._listed() == listed:
                    raise

    def save(self) -> None:
        """Bring what was copied to where it is to stay, and write down how far that is."""
        self._to.settle()
        for copy in self._copies.values():
            if not copy.waiting and not copy.stuck:
                copy.position = max(copy.position, copy.reading)
        self._ledger.write({copy.key: copy.entry() for copy in self._copies.values()}, self._to.producer)
        self._to.conclude()

    def _progress(self) -> Progress:
        return progress_of([*self._copies.values(), *self._gone])

    # -------------------------------------------------------------------------------------------------------- report

    def reports(self) -> list[TopicReport]:
        """What was copied by this mirror, a topic each."""
        every = [*self._gone, *self._copies.values()]
        landed = [copy.target for copy in every if copy.records]
        return reports_of(every, self._target.list_offsets(dict.fromkeys(landed, OffsetAt.EARLIEST)))

    def group_reports(self) -> list[GroupReport]:
        return self._groups.reports()
