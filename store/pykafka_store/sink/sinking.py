"""The sink: records of topics -> rows of a database, each once, whatever is killed and whenever.

How far each partition is written stands in the target, in the transaction of the rows (target.py). So:

- **given a partition**, the sink claims it there, which raises its epoch, and reads on from the target's ``next``;
- **a batch is written** with ``next`` moved as the last statement, under the conditions that the epoch is still this
  sink's and ``next`` still what it was: else nothing of the batch is there, for another sink has claimed it;
- **the group's commits follow**, for whoever describes the group. Nobody reads on from them.

What a kill leaves: before COMMIT nothing, after COMMIT rows and offset together. A sink that was frozen, and lost its
partitions meanwhile, finds its epoch gone when it goes on, and drops what it had. A COMMIT whose answer was lost is not
guessed at: the partitions are claimed anew, and ``next`` tells.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from uuid import uuid4

from pykafka_store.api import Cluster, Consumer
from pykafka_store.databases.errors import DatabaseUnavailableError
from pykafka_store.databases.patience import Patience
from pykafka_store.errors import (
    LeaderNotAvailableError,
    OffsetOutOfRangeError,
    StoreError,
    UnknownTopicOrPartitionError,
)
from pykafka_store.model import OffsetAt, Records, TopicPartition
from pykafka_store.notices import Waiting
from pykafka_store.sink.batches import BadRecord, Writer
from pykafka_store.sink.buffer import Buffer
from pykafka_store.sink.checks import own_client_id, require_letters_table
from pykafka_store.sink.commits import GroupCommits
from pykafka_store.sink.letters import LetterTopic
from pykafka_store.sink.options import SinkOptions, check_options
from pykafka_store.sink.report import SinkReport
from pykafka_store.sink.target import BATCH_BYTES, Claim, FencedError, Group, SinkError, Target

POLL = 0.2
"""Seconds that a poll waits at most, so that a wish to stop is heard."""

RETRY_TO_THE_END = 30.0
"""Seconds that a database may be away where the sink is to end by itself."""


class Sink:
    """Writes topics into a database. Not for use by several threads at once; any number of sinks may share a group.

    >>> import sqlite3, tempfile
    >>> from contextlib import closing
    >>> from pykafka_store import open_cluster
    >>> from pykafka_store.sink.options import SinkOptions
    >>> from pykafka_store.sink.sqlite_target import SqliteTarget
    >>> with tempfile.TemporaryDirectory() as directory, open_cluster(f"{directory}/kafka") as cluster:
    ...     _ = cluster.admin().create_topic("positions")
    ...     with cluster.producer() as producer:
    ...         producer.send("positions", [b'{"courier": "anna", "lat": 52.5}', b'{"courier": "ben", "lat": 48}'])
    ...     with closing(SqliteTarget(f"{directory}/couriers.db")) as target:
    ...         sink = Sink(cluster, ["positions"], target, "couriers", options=SinkOptions(exit_at_end=True))
    ...         print(sink.run().messages, "messages")
    ...     with closing(sqlite3.connect(f"{directory}/couriers.db")) as database:
    ...         database.execute("SELECT * FROM positions").fetchall()
    2 messages
    [('anna', 52.5), ('ben', 48.0)]
    """

    def __init__(
        self,
        cluster: Cluster,
        topics: Sequence[str] | re.Pattern[str],
        target: Target,
        group: str,
        *,
        table: str | Callable[[str], str] | None = None,
        options: SinkOptions | None = None,
        settings: Mapping[str, str] | None = None,
        on_notice: Callable[[str], None] | None = None,
    ) -> None:
        """``topics``: their names, or a pattern for whole names. ``table``: where the rows go, or a function that says
        so of a topic; without it, the table of the topic's name. ``settings``: more of Kafka's for the consumer.
        ``on_notice`` is told in a line what a user should know. Raises SinkError.
        """
        self._cluster = cluster
        self._admin = cluster.admin()
        self._topics = topics
        self._target = target
        self._options = options or SinkOptions()
        check_options(self._options, SinkError)
        self._settings = settings or {}
        self._notice = on_notice or (lambda _text: None)
        self._group = Group(self._admin.cluster_id(), group)
        self._owner = str(uuid4())
        table_of = table if callable(table) else (lambda topic: topic) if table is None else (lambda _topic: str(table))
        self._table_of = table_of
        self._letter_topic: LetterTopic | None = None
        self._writer = Writer(target, self._group, self._options, table_of)
        self._consumer: Consumer
        self._buffer = Buffer()
        self._claims: dict[TopicPartition, Claim] = {}
        self._unclaimed: set[TopicPartition] = set()
        """What the group has given and the target has not."""
        self._ends: dict[TopicPartition, int] = {}
        self._knows_its_share = False
        self._failure: StoreError | None = None
        """What a callback could not do, until the loop raises it."""
        self._messages = 0
        self._gaps: list[tuple[TopicPartition, int, int]] = []
        self._stopped: BadRecord | None = None
        self._unwritten = 0
        self._commits = GroupCommits()
        self._waiting = Waiting(self._notice)
        limit = RETRY_TO_THE_END if self._options.exit_at_end else None
        self._patience = Patience(
            target.name, limit if self._options.retry is None else self._options.retry, self._notice
        )

    def report(self) -> SinkReport:
        return SinkReport(self._messages, self._writer.dead_letters, tuple(self._gaps), self._stopped, self._unwritten)

    def lag(self) -> int:
        """Records between what is written and the ends of the partitions that this sink has."""
        try:
            ends = self._consumer.end_offsets(list(self._claims))
        except (LeaderNotAvailableError, UnknownTopicOrPartitionError):  # who reads them says so, or waits
            return 0
        return sum(max(0, end - self._claims[partition].next) for partition, end in ends.items())

    def run(
        self, stop: Callable[[], bool] = lambda: False, on_progress: Callable[[SinkReport], None] | None = None
    ) -> SinkReport:
        """Write until the options' end is reached, a record stops it, or ``stop`` says so: what was read is written.

        Raises SinkError, and what the cluster raises.
        """
        if not self._prepare(stop):
            return self.report()
        client_id = own_client_id(self._admin, self._group.group, self._target)
        settings = {
            **self._settings,
            "group.id": self._group.group,
            "client.id": client_id,
            "enable.auto.commit": "false",
            "auto.offset.reset": "none",  # a gap is to be told, not jumped over
            "isolation.level": "read_committed",
            "allow.auto.create.topics": "false",
        }
        with ExitStack() as stack:
            if self._options.dead_letter_topic is not None:
                producer = stack.enter_context(self._cluster.producer({"acks": "all"}))
                self._letter_topic = LetterTopic(producer, self._options.dead_letter_topic)
                self._writer = Writer(self._target, self._group, self._options, self._table_of, self._letter_topic)
            consumer = stack.enter_context(self._cluster.consumer(settings, on_notice=self._notice))
            self._consumer = consumer
            consumer.on_rebalance(assigned=self._assigned, revoked=self._revoked, lost=self._forget)
            try:
                if isinstance(self._topics, re.Pattern):
                    consumer.subscribe(pattern=self._topics)
                else:
                    consumer.subscribe(self._topics)
                self._go_round(stop, on_progress or (lambda _report: None))
            except BaseException:
                self._buffer.clear()  # closing gives the partitions up, and must not write once more
                raise
            self._commits.follow(self._consumer, self._claims)
        self._raise_failure()
        return self.report()

    def _prepare(self, stop: Callable[[], bool]) -> bool:
        """Make the sink's own tables, as soon as the database is there; False where an end was asked for before."""
        in_topic = self._options.errors == "stop" or self._options.dead_letter_topic is not None
        letters = None if in_topic else self._options.dead_letters
        while not stop():
            try:
                self._target.prepare(letters)
                if letters is not None:
                    require_letters_table(self._target, letters)
            except DatabaseUnavailableError as error:
                self._patience.failed(error)
                time.sleep(POLL)
            else:
                self._patience.succeeded()
                return True
        return False

    # -------------------------------------------------------------------------------------------------------- the loop

    def _go_round(self, stop: Callable[[], bool], on_progress: Callable[[SinkReport], None]) -> None:
        last_came = time.monotonic()
        while not stop():
            runs = self._poll(last_came)
            now = time.monotonic()
            if self._take(runs, now):
                last_came = now
            self._raise_failure()
            ended = self._has_ended(last_came)
            written = self._patience.may_try(now) and self._claim_and_write(now, everything=ended, waits=bool(runs))
            # Before a member goes at the end of its share, the group must not mean it to have more: others may be
            # gone already, and nobody would read what they had left.
            if written and ended and (self._is_over(last_came) or self._consumer.leave_if_settled()):
                on_progress(self.report())
                return
            if self._stopped is not None:
                return
            on_progress(self.report())
        if not self._patience.is_tried or self._buffer.count:
            self._claim_and_write(time.monotonic(), everything=True)
        self._unwritten = self._buffer.count

    def _poll(self, last_came: float) -> list[Records]:
        options = self._options
        now = time.monotonic()
        wait = POLL
        if self._buffer.since is not None and not self._patience.is_tried:
            wait = min(wait, self._buffer.since + options.linger - now)
        if self._buffer.count >= options.batch_size:
            wait = 0.0  # only what is there by now is for the next batch
        if self._patience.is_tried or self._unclaimed:
            wait = min(wait, self._patience.next_attempt - now)
        if options.timeout is not None:
            wait = min(wait, last_came + options.timeout - now)
        if options.exit_at_end:
            wait = min(wait, 0.02)
        limit = None
        if options.max_messages is not None:
            limit = options.max_messages - self._messages - self._buffer.count
            if limit <= 0:
                time.sleep(max(0.0, min(wait, POLL)))  # only the target is waited for
                return []
        if self._patience.is_tried:
            self._consumer.pause(self._consumer.assignment())  # of what the group has given meanwhile, too
        try:
            return self._consumer.poll(max(0.0, wait), max_records=limit)
        except OffsetOutOfRangeError:
            self._pass_gaps()
            return []

    def _take(self, runs: Sequence[Records], now: float) -> bool:
        """Add what was read to the buffer; whether that was anything."""
        for run in runs:
            partition = TopicPartition(run.topic, run.partition)
            if partition not in self._claims:
                continue  # to be read again, from where the target says, when it is claimed
            if run.offsets[0] < self._buffer.reached(partition):
                raise SinkError(
                    f"{partition} was read from offset {run.offsets[0]} on, and {self._buffer.reached(partition)} was "
                    "expected: nothing of it is written"
                )
            self._buffer.add(partition, run, now)
            self._buffer.reach(partition, run.offsets[-1] + 1)
        for partition in set(self._claims).intersection(self._consumer.assignment()):
            self._buffer.reach(partition, self._consumer.position(partition))
        return bool(runs)

    def _is_over(self, last_came: float) -> bool:
        """Whether --max-messages or --timeout-ms end it, wherever it is."""
        options = self._options
        if options.max_messages is not None and self._messages + self._buffer.count >= options.max_messages:
            return True
        return options.timeout is not None and time.monotonic() - last_came >= options.timeout

    def _has_ended(self, last_came: float) -> bool:
        options = self._options
        if self._is_over(last_came):
            return True
        if not options.exit_at_end or not self._knows_its_share or self._unclaimed:
            return False
        # A partition that is no longer read was deleted meanwhile, or is another member's.
        ours = set(self._ends).intersection(self._consumer.assignment(), self._claims)
        return all(self._consumer.position(partition) >= self._ends[partition] for partition in ours)

    def _claim_and_write(self, now: float, *, everything: bool, waits: bool = False) -> bool:
        """Claim what is not claimed, write what is due; whether all that was to be written is. ``waits``: a batch waits
        for the one behind it, which is coming.
        """
        try:
            if self._unclaimed:
                self._claim()
            self._write_due(now, everything=everything, waits=waits)
        except FencedError as error:
            # The group may say yet that these are another member's, and else they are claimed anew.
            self._notice(f"{error}: what was read is dropped, and read again by whoever has it")
            self._unclaimed |= set(self._claims)
            self._claims.clear()
            self._buffer.clear()
            self._patience.pause()
            return False
        except DatabaseUnavailableError as error:
            self._patience.failed(error)
            return False
        if self._patience.succeeded():
            self._consumer.resume(self._consumer.assignment())
        self._commits.follow(self._consumer, self._claims, now)
        return self._stopped is None

    def _write_due(self, now: float, *, everything: bool, waits: bool) -> None:
        buffer, options = self._buffer, self._options
        due = everything or buffer.size >= BATCH_BYTES
        due = due or (buffer.since is not None and now - buffer.since >= options.linger)
        enough = options.batch_size * (2 if waits and self._target.is_elsewhere else 1)
        while self._stopped is None and (buffer.count >= enough or (due and buffer.has_news())):
            self._write(None)

    def _write(self, only: Sequence[TopicPartition] | None) -> None:
        """Write one batch."""
        most = self._options.batch_size
        taken = self._buffer.take(most, only)
        following = self._buffer.following(taken, most) if only is None and self._target.is_elsewhere else ()
        pieces, bad = self._writer.write(taken, self._claims, following)
        self._messages += sum(piece.records for piece in pieces)
        for piece in pieces:
            self._claims[piece.partition] = self._claims[piece.partition]._replace(next=piece.after)
        self._buffer.done(pieces, time.monotonic())
        if not self._target.keeps_offsets:
            self._commits.follow(self._consumer, self._claims)
        if self._letter_topic is not None:
            self._letter_topic.forget_before(self._claims)
        if bad is not None:
            self._stopped = bad
            self._buffer.clear()

    # ------------------------------------------------------------------------------------------------------ partitions

    def _assigned(self, partitions: Sequence[TopicPartition]) -> None:
        """The consumer's callback: claim what the group gives."""
        try:
            self._knows_its_share = True
            self._unclaimed |= set(partitions)
            for partition in partitions:
                # Just being deleted, or its disk is away: then nothing of it is claimed yet.
                with suppress(UnknownTopicOrPartitionError, LeaderNotAvailableError):
                    self._consumer.seek(partition, OffsetAt.EARLIEST)  # until the target says where
                    if self._options.exit_at_end and partition not in self._ends:
                        self._ends |= self._consumer.end_offsets([partition])
            own_client_id(self._admin, self._group.group, self._target)  # raises where another database has come
            if not self._patience.is_tried:
                self._claim()
        except DatabaseUnavailableError as error:
            self._patience.failed(error)
        except StoreError as error:
            self._failure = error

    def _claim(self) -> None:
        """Claim what the group has given, and read on from where the target is."""
        consumer = self._consumer
        ours = sorted(self._unclaimed.intersection(consumer.assignment()))
        self._unclaimed.intersection_update(ours)
        if not ours:
            return
        topic_ids = self._topic_ids(ours)
        try:
            beginnings, ends = consumer.beginning_offsets(ours), consumer.end_offsets(ours)
            first = ends if self._options.from_latest else beginnings
            starts = {each: (topic_ids.get(each.topic, ""), first[each]) for each in ours}
            claimed = self._target.claim(self._group, starts, self._owner)
            ends = consumer.end_offsets(ours)  # until the claim others may have written what came since the first look
        except UnknownTopicOrPartitionError:
            ends = {}
        except LeaderNotAvailableError as error:
            self._waiting.begin(error)
            self._patience.pause()
            return
        self._waiting.end()
        if not ends or self._topic_ids(ours) != topic_ids:
            self._patience.pause()  # just being deleted: the group says so soon, or that there is another one
            return
        for partition, found in claimed.items():
            claim, topic_id = found, starts[partition][0]
            if claim.topic_id != topic_id:
                self._notice(
                    f"{partition}: topic {partition.topic} was made anew since it was written: its records come after "
                    "those of the old one"
                )
                claim = self._target.restart(self._group, partition, claim, topic_id, beginnings[partition])
                if partition in self._ends:  # that of the old one, where this sink has read it
                    self._ends[partition] = ends[partition]
            if claim.next > ends[partition]:
                raise SinkError(
                    f"{partition} ends at offset {ends[partition]}, and was written up to {claim.next}: it lost "
                    f"records; to go on from its end, delete its row from _pykafka_offsets in {self._target.name}"
                )
            start = max(claim.next, beginnings[partition])
            if start > claim.next:
                self._tell_gap(partition, claim.next, start)
            with suppress(UnknownTopicOrPartitionError):  # just being deleted: nothing is read, and the group says so
                consumer.seek(partition, start)
            if self._options.exit_at_end:
                self._ends.setdefault(partition, ends[partition])
            self._claims[partition] = claim
            self._buffer.begin(partition, start)
            self._unclaimed.discard(partition)
            if self._patience.is_tried:
                consumer.pause([partition])

    def _topic_ids(self, partitions: Sequence[TopicPartition]) -> dict[str, str]:
        topics = {each.topic for each in partitions}
        return {each.name: each.topic_id for each in self._admin.list_topics() if each.name in topics}

    def _pass_gaps(self) -> None:
        """Records were deleted that are not read yet: go on behind them, and say so."""
        consumer = self._consumer
        ours = [partition for partition in consumer.assignment() if partition in self._claims]
        found, beginnings = False, {}
        with suppress(LeaderNotAvailableError, UnknownTopicOrPartitionError):
            beginnings = consumer.beginning_offsets(ours)
        for partition, beginning in beginnings.items():
            position = consumer.position(partition)
            if position < beginning:
                found = True
                self._tell_gap(partition, position, beginning)
                consumer.seek(partition, beginning)
                self._buffer.reach(partition, beginning)
        if not found:
            time.sleep(0.01)  # deleted and asked for at the same time: the next look has both

    def _tell_gap(self, partition: TopicPartition, first: int, then: int) -> None:
        self._gaps.append((partition, first, then - 1))
        self._notice(
            f"{partition}: offsets {first} to {then - 1} were deleted before they were written: going on at {then}"
        )

    def _revoked(self, partitions: Sequence[TopicPartition]) -> None:
        """The consumer's callback: write what was read of these, as long as they are ours."""
        try:
            while self._stopped is None and self._buffer.has_news(partitions):
                self._write([partition for partition in partitions if partition in self._claims])
            self._commits.follow(self._consumer, self._claims)
        except (FencedError, DatabaseUnavailableError):
            pass  # whoever is given them reads them again
        except StoreError as error:
            self._failure = error
        finally:
            self._forget(partitions)

    def _forget(self, partitions: Sequence[TopicPartition]) -> None:
        """The consumer's callback: other members may have these already."""
        self._buffer.drop(partitions)
        for partition in partitions:
            self._claims.pop(partition, None)
            self._unclaimed.discard(partition)
            self._commits.forget(partition)

    def _raise_failure(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
