"""The log against a plain list: whatever several producers, readers and rolls do, it is the list."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pykafka_store.embedded.clients.consumer import EmbeddedConsumer
from pykafka_store.embedded.clients.producer import EmbeddedProducer
from pykafka_store.embedded.cluster import EmbeddedCluster
from pykafka_store.embedded.replication.reader import open_reader
from pykafka_store.errors import OffsetOutOfRangeError, UnknownTopicOrPartitionError
from pykafka_store.model import Delivery, Header, OffsetAt, SendFailure, TimestampType, TopicPartition
from tests.store.helpers import AT_ONCE, QuickDisk, Row, rows
from tests.support import sweep

HERE = TopicPartition("t", 0)
NOW = 1_700_000_000_000
_BYTES = st.one_of(st.none(), st.binary(max_size=12), st.sampled_from([b"", b"x" * 64, b"y" * 150]))
_HEADERS: st.SearchStrategy[list[Header]] = st.lists(
    st.tuples(st.text(max_size=3), st.one_of(st.none(), st.binary(max_size=5))), max_size=2
)
_STAMP = st.integers(NOW, NOW + 50)
_ANY = st.integers(0, 5)
"""One of the producers or consumers there are."""
_CODEC = st.sampled_from(["none", "none", "gzip", "snappy", "lz4", "zstd"])


class HeldClock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = NOW

    def now_ms(self) -> int:
        return self.now

    def monotonic(self) -> float:
        return 0.0

    def sleep(self, seconds: float) -> None:
        raise AssertionError("nothing here waits")


class _Producer(NamedTuple):
    cluster: EmbeddedCluster
    producer: EmbeddedProducer
    delivered: list[Delivery]
    failed: list[SendFailure]


class _Consumer(NamedTuple):
    consumer: EmbeddedConsumer
    generation: int
    """Of the topic that it reads."""


class LogMachine(RuleBasedStateMachine):
    """``expected`` is the partition as a list of rows."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.mkdtemp(prefix="pykafka-model-")
        self.clock = HeldClock()
        self.expected: list[Row] = []
        self.opened: list[EmbeddedCluster] = []
        self.generation = 0
        self.append_time = False
        self.cluster = self._cluster()
        self.producers: list[_Producer] = []
        self.consumers: list[_Consumer] = []

    def _cluster(self) -> EmbeddedCluster:
        cluster = EmbeddedCluster(self.directory, disk=QuickDisk(), clock=self.clock)  # type: ignore[arg-type]
        self.opened.append(cluster)
        return cluster

    def teardown(self) -> None:
        for producer in self.producers:
            producer.producer.close()
        for consumer in self.consumers:
            consumer.consumer.close()
        for cluster in self.opened:
            cluster.close()
        shutil.rmtree(self.directory)

    @initialize(
        codecs=st.lists(_CODEC, min_size=2, max_size=3),
        size=st.sampled_from(["1", "200", "100000"]),
        segment=st.sampled_from(["450", "600", "2000"]),
        interval=st.sampled_from(["0", "100", "4096"]),
        append_time=st.booleans(),
    )
    def begin(self, codecs: list[str], size: str, segment: str, interval: str, append_time: bool) -> None:
        self.make_topic(segment, interval, append_time)
        for codec in codecs:
            self.producers.append(self._producer(codec, size))
        self.send_lines(0, 30, 3)

    def make_topic(self, segment: str, interval: str, append_time: bool) -> None:
        self.append_time = append_time
        self.generation += 1
        self.expected = []
        self.cluster.admin().create_topic(
            "t",
            configs={
                "internal.segment.bytes": segment,
                "index.interval.bytes": interval,
                "message.timestamp.type": "LogAppendTime" if append_time else "CreateTime",
                "message.timestamp.after.max.ms": "1000000",
                "retention.ms": "-1",
            },
        )

    # ---------------------------------------------------------------------------------------------------------- writing

    def _producer(self, codec: str, size: str) -> _Producer:
        cluster = self._cluster()
        delivered: list[Delivery] = []
        failed: list[SendFailure] = []
        producer = cluster.producer(
            {**AT_ONCE, "compression.type": codec, "batch.size": size},
            on_delivery=delivered.append,
            on_failure=failed.append,
        )
        return _Producer(cluster, producer, delivered, failed)

    @rule(codec=_CODEC, size=st.sampled_from(["1", "200", "100000"]))
    def another_process_takes_over(self, codec: str, size: str) -> None:
        self.producers.pop(0).producer.close()
        self.producers.append(self._producer(codec, size))

    @rule(milliseconds=st.integers(-5, 20))
    def time_passes(self, milliseconds: int) -> None:
        """Or is set back."""
        self.clock.now += milliseconds

    @rule(who=_ANY, count=st.integers(1, 40), length=st.integers(0, 60))
    def send_lines(self, who: int, count: int, length: int) -> None:
        """What the console sends: values only, all at one time."""
        self._send(who, [b"%d" % i * length for i in range(count)], None, None, None)

    @rule(
        who=_ANY,
        values=st.lists(_BYTES, min_size=1, max_size=6),
        data=st.data(),
        keyed=st.booleans(),
        headed=st.booleans(),
        stamped=st.sampled_from(["no", "one", "each"]),
    )
    def send(
        self, who: int, values: list[bytes | None], data: st.DataObject, keyed: bool, headed: bool, stamped: str
    ) -> None:
        count = len(values)
        keys = data.draw(st.lists(_BYTES, min_size=count, max_size=count)) if keyed else None
        headers = data.draw(st.lists(_HEADERS, min_size=count, max_size=count)) if headed else None
        stamps: Sequence[int] | int | None = None
        if stamped == "one":
            stamps = data.draw(_STAMP)
        elif stamped == "each":
            stamps = data.draw(st.lists(_STAMP, min_size=count, max_size=count))
        self._send(who, values, keys, headers, stamps)

    def _send(
        self,
        number: int,
        values: Sequence[bytes | None],
        keys: list[bytes | None] | None,
        headers: list[list[Header]] | None,
        stamps: Sequence[int] | int | None,
    ) -> None:
        who = self.producers[number % len(self.producers)]
        count = len(values)
        seen = len(who.failed)
        who.delivered.clear()
        who.producer.send("t", values, keys=keys, headers=headers, timestamps=stamps)
        if len(who.failed) > seen:
            # The first send after the topic went away is how this producer learns of it.
            assert all(isinstance(failure.error, UnknownTopicOrPartitionError) for failure in who.failed[seen:])
            assert sum(failure.record_count for failure in who.failed[seen:]) == count
            assert not who.delivered
            return
        before = len(self.expected)
        assert sum(delivery.record_count for delivery in who.delivered) == count
        assert who.delivered[0].base_offset == before
        for i in range(count):
            stamp = self.clock.now if stamps is None else stamps if isinstance(stamps, int) else stamps[i]
            self.expected.append(
                Row(before + i, stamp, keys[i] if keys else None, values[i], tuple(headers[i]) if headers else ())
            )
        if self.append_time:
            # All records of an append carry the time of the append, which never goes back within a segment.
            written = self._read(before)
            assert len({row.timestamp for row in written}) <= count
            assert all(row.timestamp >= self.clock.now for row in written)
            self.expected[before:] = [
                row._replace(timestamp=now.timestamp) for row, now in zip(self.expected[before:], written, strict=True)
            ]

    @precondition(lambda self: len(self.expected) > 60)
    @rule()
    def delete_and_make_again(self) -> None:
        self.cluster.admin().delete_topic("t")
        self.make_topic("450", "0", self.append_time)

    # ---------------------------------------------------------------------------------------------------------- reading

    def _read(self, offset: int, size: int = 1 << 20) -> list[Row]:
        found: list[Row] = []
        with self.cluster.consumer({"max.partition.fetch.bytes": str(size)}) as consumer:
            consumer.assign({HERE: offset})
            while got := consumer.poll():
                assert all(
                    (run.timestamp_type is TimestampType.LOG_APPEND_TIME) == self.append_time for run in got if len(run)
                )
                found += rows(got)
        return found

    @rule(data=st.data(), size=st.sampled_from([1, 100, 400, 1 << 20]))
    def read_from_anywhere(self, data: st.DataObject, size: int) -> None:
        offset = data.draw(st.integers(0, len(self.expected)))
        assert self._read(offset, size) == self.expected[offset:]

    @precondition(lambda self: len(self.consumers) < 3)
    @rule(data=st.data())
    def open_consumer(self, data: st.DataObject) -> None:
        """One that lives on, over rolls and other appends; it ends when the topic does."""
        consumer = self._cluster().consumer()
        consumer.assign({HERE: data.draw(st.integers(0, len(self.expected)))})
        self.consumers.append(_Consumer(consumer, self.generation))

    @precondition(lambda self: self.consumers)
    @rule(who=_ANY, limit=st.sampled_from([1, 3, 1000]))
    def follow(self, who: int, limit: int) -> None:
        consumer, generation = self.consumers[who % len(self.consumers)]
        if generation != self.generation:
            self.consumers.pop(who % len(self.consumers))
            with pytest.raises(UnknownTopicOrPartitionError), consumer:
                for _ in range(100):  # what was read ahead still comes
                    consumer.poll()
            return
        at = consumer.position(HERE)
        found = rows(consumer.poll(max_records=limit))
        assert found == self.expected[at : at + len(found)]
        assert found or at == len(self.expected)
        assert len(found) <= limit

    @rule(timestamp=st.integers(NOW - 10, NOW + 80))
    def ask_by_time(self, timestamp: int) -> None:
        answer = self.cluster.admin().list_offsets({HERE: timestamp})[HERE]
        assert answer == next((row.offset for row in self.expected if row.timestamp >= timestamp), -1)

    @rule()
    def ask_for_the_largest_time(self) -> None:
        answer = self.cluster.admin().list_offsets({HERE: OffsetAt.MAX_TIMESTAMP})[HERE]
        largest = max((row.timestamp for row in self.expected), default=0)
        having = [row.offset for row in self.expected if row.timestamp == largest]
        if self.append_time:
            assert answer in having or (answer == -1 and not having)
        else:
            assert answer == (having[0] if having else -1)

    @rule(beyond=st.integers(1, 1000))
    def read_outside(self, beyond: int) -> None:
        reader = open_reader(self.cluster.engine, HERE)
        try:
            for offset in (-beyond, len(self.expected) + beyond):
                with pytest.raises(OffsetOutOfRangeError):
                    reader.read(offset)
        finally:
            reader.close()

    @invariant()
    def the_ends_are_those_of_the_list(self) -> None:
        if not self.generation:
            return
        asked = self.cluster.admin().list_offsets({HERE: OffsetAt.LATEST})
        assert asked == {HERE: len(self.expected)}
        assert self.cluster.admin().list_offsets({HERE: OffsetAt.EARLIEST}) == {HERE: 0}


TestLog = LogMachine.TestCase
TestLog.settings = settings(
    max_examples=sweep.examples(150, usual=50),
    stateful_step_count=50,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],  # to explain a failure takes minutes
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
