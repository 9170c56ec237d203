"""The source: rows of a database -> records of a topic, in order, each once, whatever is killed and whenever.

A feed gives changes, each with a position that it has whenever it is read (feed.py). They are sent batch after batch,
each to the partition of its key. How far that came is known by

- **the log itself**, in a directory: the header of each batch says the position of its last record (format/copies.py),
  so each partition knows the last change that it has;
- **a note** (notes.py): all up to a position is there, and by how many partitions the keys behind it are divided. In a
  cluster it is written with each batch, in one transaction with it where that is asked for;
- **the database**, where it keeps changes until it is told to forget them (``--changes``): which is after the note.

What a kill leaves, and what the next source makes of it:

- Killed in a batch: some partitions have their part of it. The changes behind the note are read again, they have the
  positions and the keys that they had, and each partition leaves out those up to its last one. That holds because the
  keys are divided as before: another number of partitions counts only from a note on that says so, behind which no
  record was sent yet (it is synced before the first one is).
- Killed between a batch and its note, or the note and the forgetting: the same, with nothing left to send.
- A power cut takes the end of the log, and what it said with it. The database forgets only what is synced.
- In a cluster: the transaction is there or not, and the note with it. Without transactions a batch that was sent and
  not noted is sent again: at least once.
- Killed in a comparison (``--query``): the state is the topic itself, read anew. What was sent is in it.

Two processes can't be one source: a lock in the directory, and a file's lock on this machine for a cluster, where
the newer one's transactions shut out the older one's besides.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

from pykafka_store.databases.errors import DatabaseUnavailableError
from pykafka_store.databases.patience import Patience
from pykafka_store.errors import StoreError, TopicExistsError, UnknownTopicOrPartitionError
from pykafka_store.model import OffsetAt, Records, TopicDescription, TopicPartition
from pykafka_store.partitioners import partition_for_key
from pykafka_store.source.destinations import Destination
from pykafka_store.source.feed import HIGHEST_POSITION, Change, Feed, Look, Seen, SourceError
from pykafka_store.source.notes import Note, Notes

NAP = 0.05
"""Seconds between two looks whether to stop, or whether what is waited for has happened."""

RETRY_TO_THE_END = 30.0
"""Seconds that a database may be away where the source is to end by itself."""

TELL_AFTER = 5.0
"""Seconds that something is waited for before that is told."""

RUN = 10
"""Rows without a key go to one partition for 2^RUN positions, then to the next: it depends on nothing but those."""

BATCH_ROWS = 10_000

T = TypeVar("T")


class SourceOptions(NamedTuple):
    """Every choice that a source leaves open, with its default."""

    every: float = 1.0
    """Seconds between two looks, where the last one found no more."""
    exit_at_end: bool = False
    from_latest: bool = False
    """Whether rows that are there the first time are left out."""
    batch_size: int = BATCH_ROWS
    retry: float | None = None
    """Seconds that a database may be away; None: for ever, or 30 where it is to end by itself."""


class SourceReport(NamedTuple):
    records: int
    tombstones: int
    """Those of them that say that a row is gone."""


class Source:
    """Sends rows of a database to a topic. Not for use by several threads at once.

    >>> import sqlite3, tempfile
    >>> from contextlib import closing
    >>> from pykafka_store.open import open_data_directory
    >>> from pykafka_store.source.destinations import ToDirectory
    >>> from pykafka_store.source.sqlite_feeds import SqliteCursor
    >>> directory = tempfile.TemporaryDirectory()
    >>> shop = f"{directory.name}/shop.db"
    >>> with closing(sqlite3.connect(shop)) as database, database:
    ...     _ = database.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY AUTOINCREMENT, dish TEXT)")
    ...     _ = database.execute("INSERT INTO orders (dish) VALUES ('soup'), ('cake')")
    >>> with open_data_directory(f"{directory.name}/kafka", create=True) as cluster:
    ...     for run in (1, 2):
    ...         feed = SqliteCursor(shop, "orders", "id")
    ...         source = Source(ToDirectory(cluster), "orders", feed, "shop", options=SourceOptions(exit_at_end=True))
    ...         print(source.run().records, "records")
    ...         feed.close()
    ...     with cluster.consumer() as consumer:
    ...         consumer.assign({TopicPartition("orders", 0): 0})
    ...         print(consumer.poll(1.0)[0].values)
    2 records
    0 records
    [b'{"id":1,"dish":"soup"}', b'{"id":2,"dish":"cake"}']
    >>> directory.cleanup()
    """

    def __init__(
        self,
        to: Destination,
        topic: str,
        feed: Feed,
        name: str,
        *,
        options: SourceOptions | None = None,
        on_notice: Callable[[str], None] | None = None,
    ) -> None:
        """``name``: of this source among those that write the topic; it goes on under it. ``on_notice`` is told in a
        line what a user should know.
        """
        self._to = to
        self._admin = to.cluster.admin()
        self._topic = topic
        self._feed = feed
        self._name = name
        self._options = options or SourceOptions()
        self._notice = on_notice or (lambda _text: None)
        limit = RETRY_TO_THE_END if self._options.exit_at_end else None
        self._patience = Patience(
            feed.name, limit if self._options.retry is None else self._options.retry, self._notice
        )
        self._notes = Notes(to.cluster, topic, name)
        self._known: list[int] = []
        """The last position that each partition has, of those that the keys are divided among."""
        self._position = -1
        """All up to it is in the topic."""
        self._rows: int | None = None
        """How many rows they are, where that is counted."""
        self._noted = -1
        self._records = self._tombstones = 0
        self._producer_name = ""
        self._topic_id = ""

    def report(self) -> SourceReport:
        return SourceReport(self._records, self._tombstones)

    def run(
        self, stop: Callable[[], bool] = lambda: False, on_progress: Callable[[SourceReport], None] | None = None
    ) -> SourceReport:
        """Send until everything is there, if the options say so, or until ``stop`` does.

        Raises SourceError, and what the database and the cluster raise.
        """
        described = self._described_topic()
        self._topic_id = described.topic_id
        place = (self._admin.cluster_id(), self._topic, described.topic_id, self._name)
        name = "/".join(("source", described.topic_id, self._name))
        with self._to.open(name, self._notice):
            note = self._notes.read()
            if note is not None and note.topic_id != described.topic_id:
                self._notice(f"topic {self._topic} was made anew since it was written: all is sent to it again")
                note = None
            prepare = self._patiently(lambda: self._feed.prepare(place, from_latest=self._options.from_latest), stop)
            if prepare is None:
                return self.report()
            for line in prepare:
                self._notice(line)
            self._producer_name = f"{name}/{self._feed.identity}"
            if note is not None and note.identity != self._feed.identity:
                note = None  # its triggers were made anew: these are other changes
            self._begin(note, len(described.partitions), stop)
            self._go_round(stop, on_progress or (lambda _report: None))
            self._note(len(described.partitions))
        return self.report()

    def _described_topic(self) -> TopicDescription:
        """The topic, which is made if it is missing."""
        try:
            return self._admin.describe_topics([self._topic])[0]
        except UnknownTopicOrPartitionError:
            # A comparison needs the newest record of each key, and no other.
            configs = {"cleanup.policy": "compact"} if self._feed.compares else {}
            try:
                self._admin.create_topic(self._topic, configs=configs)
            except TopicExistsError:
                return self._admin.describe_topics([self._topic])[0]
            made = self._admin.describe_topics([self._topic])[0]
            count = len(made.partitions)
            self._notice(f"topic {made.name} did not exist and was created with {count} partition{'s' * (count != 1)}")
            return made

    def _patiently(self, act: Callable[[], T], stop: Callable[[], bool]) -> T | None:
        """What the database answers, however long it is away; None where an end is asked for before."""
        while not stop():
            if not self._patience.may_try(time.monotonic()):
                time.sleep(NAP)
                continue
            try:
                found = act()
            except DatabaseUnavailableError as error:
                self._patience.failed(error)
            else:
                self._patience.succeeded()
                return found
        return None

    # ------------------------------------------------------------------------------------------------ where to go on

    def _begin(self, note: Note | None, partitions: int, stop: Callable[[], bool]) -> None:
        """Find out how far it is, and finish the batch that a kill left half done."""
        divided = partitions if note is None else note.partitions
        floors = [0] * divided if note is None else note.floors
        places = [TopicPartition(self._topic, number) for number in range(divided)]
        self._known = self._to.reached(places, self._producer_name, floors)
        if note is not None:
            self._position, self._rows = note.position, note.rows
            self._noted = note.before
        elif self._options.from_latest and max(self._known) < 0:
            latest = self._patiently(self._feed.latest, stop)
            self._position = -1 if latest is None else latest
        if self._feed.compares:
            self._recall(note, partitions)
        seen = Seen(self._position, self._noted, self._rows)
        found = self._patiently(lambda: [self._feed.check(seen)], stop)
        if found is None:
            return
        self._rows, self._noted = found[0], self._position
        if self._feed.forgets:
            self._patiently(lambda: self._feed.forget(self._position), stop)
        furthest = max(self._known)
        if self._feed.compares:
            self._position = max(self._position, furthest)  # what is there was just read, and is known
        while self._position < furthest and not stop():
            look = self._patiently(lambda: self._feed.look(self._position, self._options.batch_size), stop)
            if look is None:
                return
            some = [change for change in look.changes if change.position <= furthest]
            if not some:
                raise SourceError(
                    f"{self._feed.name} ends at position {self._position}, and topic {self._topic} has what was at "
                    f"{furthest}: the database lost rows, or is another one; name another source with --name"
                )
            self._send(some)
        if self._position >= furthest:
            self._note(partitions, first=note is None or divided != partitions)
            self._known = (self._known + [-1] * partitions)[:partitions]

    def _recall(self, note: Note | None, partitions: int) -> None:
        """Have the feed know what is in the topic, which has to be this source's alone."""
        places = [TopicPartition(self._topic, number) for number in range(partitions)]
        settings = {"auto.offset.reset": "earliest", "isolation.level": "read_committed", "enable.auto.commit": "false"}
        with self._to.cluster.consumer(settings) as consumer:
            ends = consumer.end_offsets(places)
            if note is None and max(self._known) < 0 and any(ends.values()):
                raise SourceError(
                    f"topic {self._topic} has records already, and --query compares with all that is in it: it needs a "
                    "topic of its own"
                )
            consumer.assign(dict.fromkeys(places, OffsetAt.EARLIEST))
            while any(consumer.position(place) < ends[place] for place in places):
                for records in consumer.poll(1.0, max_records=BATCH_ROWS):
                    self._feed.recall(records)

    # -------------------------------------------------------------------------------------------------------- the loop

    def _go_round(self, stop: Callable[[], bool], on_progress: Callable[[SourceReport], None]) -> None:
        next_note = time.monotonic() + self._to.note_every
        next_look = waiting_since = 0.0
        while not stop():
            if time.monotonic() < next_look:
                time.sleep(NAP)
                continue
            look = self._patiently(lambda: self._feed.look(self._position, self._options.batch_size), stop)
            if look is None:
                return
            if look.changes:
                self._send(look.changes)
            now = time.monotonic()
            if self._feed.forgets or now >= next_note or look.is_all:
                self._note(len(self._known), stop=stop)
                next_note = now + self._to.note_every
            on_progress(self.report())
            waiting_since = self._tell_waiting(look, waiting_since, now)
            if look.is_all:
                if self._options.exit_at_end:
                    return
                next_look = now + self._options.every
            elif not look.changes:
                next_look = now + NAP

    def _tell_waiting(self, look: Look, since: float, now: float) -> float:
        """Say once what keeps the source waiting; since when it does, 0 for not at all, infinity for told."""
        if not look.waits_for:
            return 0.0
        if since == 0.0:
            return now
        if now - since >= TELL_AFTER:
            self._notice(f"waiting for {look.waits_for}")
            return float("inf")
        return since

    def _send(self, changes: Sequence[Change]) -> None:
        """Send changes behind all that were sent before, each to its partition, which may have it already."""
        partitions = len(self._known)
        divided: list[list[Change]] = [[] for _ in range(partitions)]
        if partitions == 1:
            divided[0] += changes
        else:
            for change in changes:
                number = (
                    (change.position >> RUN) % partitions
                    if change.key is None
                    else partition_for_key(change.key, partitions)
                )
                divided[number].append(change)
        if not changes[0].position >= 0 or changes[-1].position > HIGHEST_POSITION:
            raise SourceError(
                f"{self._feed.name}: positions are from 0 to 2^46, and this one is "
                f"{changes[0].position if changes[0].position < 0 else changes[-1].position}: use --changes"
            )
        now = int(time.time() * 1000)
        for number, some in enumerate(divided):
            new = [change for change in some if change.position > self._known[number]]
            if not new:
                continue
            records = Records(
                self._topic,
                number,
                offsets=[change.position for change in new],
                timestamps=[now] * len(new),
                keys=[change.key for change in new],
                values=[change.value for change in new],
                headers=[()] * len(new),
            )
            try:
                self._to.send(records, self._producer_name)
            except StoreError as error:
                raise type(error)(
                    f"{self._feed.name}: not all of the rows at positions {new[0].position} to {new[-1].position} got "
                    f"into topic {self._topic}: {str(error).rstrip('.')}"
                ) from error
            self._known[number] = new[-1].position
            self._records += len(new)
            self._tombstones += records.values.count(None)
        self._position = changes[-1].position
        if self._rows is not None:
            self._rows += len(changes)

    def _note(self, partitions: int, *, first: bool = False, stop: Callable[[], bool] = lambda: False) -> None:
        """Bring what was sent to where it is to stay, note that, and have the database forget it."""
        if self._position == self._noted and not first:
            return
        self._to.settle()
        places = [TopicPartition(self._topic, number) for number in range(partitions)]
        ends = self._admin.list_offsets(dict.fromkeys(places, OffsetAt.LATEST))
        floors = []
        for place in places:
            end = ends[place]
            if isinstance(end, Exception):
                raise end
            floors.append(end)
        note = Note(self._topic_id, self._feed.identity, self._noted, self._position, partitions, floors, self._rows)
        self._notes.write(note, self._to.producer)
        self._to.conclude()
        self._noted = self._position
        if self._feed.forgets:
            self._patiently(lambda: self._feed.forget(self._position), stop)
