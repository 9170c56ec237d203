"""Records that wait for others: what ends the waiting, what becomes of them, and that nothing is lost on the way."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
from array import array
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from pykafka_store.embedded.cluster import EmbeddedCluster
from pykafka_store.errors import (
    IllegalStateError,
    InvalidRecordError,
    InvalidRequestError,
    RecordTooLargeError,
    StorageError,
    UnknownTopicOrPartitionError,
)
from pykafka_store.model import Delivery, OffsetAt, Record, SendFailure, TopicPartition
from tests.store.helpers import Row, rows
from tests.support.faulty_disk import FaultyDisk

LONG = {"linger.ms": "3600000"}
"""Nothing is appended because of the time."""


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[EmbeddedCluster]:
    with EmbeddedCluster(str(tmp_path / "data")) as cluster:
        cluster.admin().create_topic("t", partitions=3)
        yield cluster


def read(cluster: EmbeddedCluster, topic: str = "t", partitions: int = 3) -> list[Row]:
    with cluster.consumer() as consumer:
        consumer.assign({TopicPartition(topic, number): OffsetAt.EARLIEST for number in range(partitions)})
        found: list[Row] = []
        while runs := consumer.poll():
            found += rows(runs)
    return found


def batches(cluster: EmbeddedCluster, partitions: int = 3) -> list[int]:
    """How many records each batch holds."""
    with cluster.consumer() as consumer:
        consumer.assign({TopicPartition("t", number): OffsetAt.EARLIEST for number in range(partitions)})
        found: list[int] = []
        while runs := consumer.poll():
            found += map(len, runs)
    return found


# --------------------------------------------------------------------------------------------- what ends the waiting


def test_a_record_at_a_time_becomes_one_batch(cluster: EmbeddedCluster) -> None:
    delivered: list[Delivery] = []
    with cluster.producer(LONG, on_delivery=delivered.append) as producer:
        for number in range(100):
            producer.send("t", [b"%d" % number], partitions=1)
        assert (producer.acknowledged, delivered, read(cluster)) == (0, [], [])
        producer.flush()
        assert (producer.acknowledged, delivered) == (100, [Delivery("t", 1, 0, 100)])
    assert [row.value for row in read(cluster)] == [b"%d" % number for number in range(100)]
    assert batches(cluster) == [100]


def test_close_appends_what_waits_and_nothing_is_sent_after_it(cluster: EmbeddedCluster) -> None:
    producer = cluster.producer(LONG)
    producer.send("t", [b"a"])
    producer.close()
    producer.close()
    assert [row.value for row in read(cluster)] == [b"a"]
    with pytest.raises(IllegalStateError, match="Cannot perform operation after producer has been closed"):
        producer.send("t", [b"b"])


def test_an_error_of_the_callers_loses_nothing_that_was_sent_before(cluster: EmbeddedCluster) -> None:
    with pytest.raises(ZeroDivisionError), cluster.producer(LONG) as producer:
        producer.send("t", [b"a"])
        _ = 1 / 0
    assert [row.value for row in read(cluster)] == [b"a"]


def test_a_cluster_that_is_closed_first_loses_nothing(tmp_path: Path) -> None:
    with EmbeddedCluster(str(tmp_path / "data")) as cluster:
        cluster.producer(LONG).send("t", [b"a"])  # and the producer is forgotten
    with EmbeddedCluster(str(tmp_path / "data")) as cluster:
        assert [row.value for row in read(cluster, partitions=1)] == [b"a"]


def test_a_script_that_closes_nothing_loses_nothing(tmp_path: Path) -> None:
    script = """
        import sys
        from pykafka_store import open_cluster
        cluster = open_cluster(sys.argv[1])
        producer = cluster.producer({"linger.ms": "3600000"})
        producer.send("t", [b"a"])
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(tmp_path / "data")], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    with EmbeddedCluster(str(tmp_path / "data")) as cluster:
        assert [row.value for row in read(cluster, partitions=1)] == [b"a"]


def test_linger_ms_ends_the_waiting(cluster: EmbeddedCluster) -> None:
    """Without another call; and what became of the record is told in the caller's thread, from within its next one."""
    told: list[tuple[Delivery, threading.Thread]] = []
    with (
        cluster.producer(
            {"linger.ms": "1"}, on_delivery=lambda delivery: told.append((delivery, threading.current_thread()))
        ) as producer,
        cluster.consumer() as consumer,
    ):
        consumer.subscribe(["t"])
        for number in range(3):
            producer.send("t", [b"%d" % number], partitions=0)
            assert [run.values for run in consumer.poll(30.0)] == [[b"%d" % number]]
        producer.flush()
        assert producer.acknowledged == 3
        assert told == [(Delivery("t", 0, number, 1), threading.current_thread()) for number in range(3)]


def test_by_default_a_record_waits_for_no_more_than_moments(cluster: EmbeddedCluster) -> None:
    with cluster.producer() as producer, cluster.consumer() as consumer:
        consumer.subscribe(["t"])
        producer.send("t", [b"a"])
        assert [run.values for run in consumer.poll(30.0)] == [[b"a"]]


def test_batch_size_ends_the_waiting(cluster: EmbeddedCluster) -> None:
    with cluster.producer({**LONG, "batch.size": "1000"}) as producer:
        for _ in range(9):
            producer.send("t", [b"x" * 100])
        assert producer.acknowledged == 9  # with what a record takes besides its value
        assert len(batches(cluster)) == 2
        producer.send("t", [b"x"])
        assert producer.acknowledged == 9
        producer.send("t", [b"y" * 1000])  # a batch by itself does not wait, nor does what waited before it
        assert producer.acknowledged == 11


def test_buffer_memory_bounds_what_waits(cluster: EmbeddedCluster) -> None:
    cluster.admin().create_topic("u")
    with cluster.producer({**LONG, "buffer.memory": "1000"}) as producer:
        for topic in ("t", "u", "t", "u"):
            producer.send(topic, [b"x" * 300])
        assert producer.acknowledged == 4


def test_linger_ms_0_and_batch_size_0_append_at_once(cluster: EmbeddedCluster) -> None:
    for config in ({"linger.ms": "0"}, {**LONG, "batch.size": "0"}):
        with cluster.producer(config) as producer:
            producer.send("t", [b"a"])
            assert producer.acknowledged == 1


# ---------------------------------------------------------------------------------------------------- what is appended


def test_columns_that_only_some_records_have_are_put_together(cluster: EmbeddedCluster) -> None:
    with cluster.producer(LONG) as producer:
        producer.send("t", [b"a"], partitions=0, timestamps=1_700_000_000_001)
        producer.send(
            "t", [b"b", None], partitions=0, keys=[b"k", None], timestamps=[1_700_000_000_002, 1_700_000_000_003]
        )
        producer.send("t", [b"c"], partitions=0, headers=[[("h", b"1")]], timestamps=1_700_000_000_004)
        producer.send("t", [b"d"], partitions=[0], timestamps=1_700_000_000_005)
    assert read(cluster) == [
        Row(0, 1_700_000_000_001, None, b"a"),
        Row(1, 1_700_000_000_002, b"k", b"b"),
        Row(2, 1_700_000_000_003, None, None),
        Row(3, 1_700_000_000_004, None, b"c", (("h", b"1"),)),
        Row(4, 1_700_000_000_005, None, b"d"),
    ]


def test_keys_and_explicit_partitions_are_those_of_columns(cluster: EmbeddedCluster) -> None:
    keys = [b"k%d" % number for number in range(50)]
    with cluster.producer({"linger.ms": "0"}) as producer:
        producer.send("t", keys, keys=keys)
    at_once = read(cluster)
    cluster.admin().delete_topic("t")
    cluster.admin().create_topic("t", partitions=3)
    with cluster.producer(LONG) as producer:
        for key in keys:
            producer.send("t", [key], keys=[key])
    assert [row.key for row in read(cluster)] == [row.key for row in at_once]


def test_what_waits_is_no_longer_the_callers(cluster: EmbeddedCluster) -> None:
    values: list[bytes | None] = [b"a"]
    headers = [[("h", b"1")]]
    with cluster.producer(LONG) as producer:
        producer.send("t", values, headers=headers)
        values[0] = b"changed"
        headers[0].clear()
    assert [(row.value, row.headers) for row in read(cluster)] == [(b"a", (("h", b"1"),))]


# ---------------------------------------------------------------------------------------------------- what goes wrong


def test_what_a_broker_would_refuse_is_refused_when_it_is_sent(cluster: EmbeddedCluster) -> None:
    cluster.admin().create_topic("compacted", configs={"cleanup.policy": "compact"})
    failed: list[SendFailure] = []
    with cluster.producer({**LONG, "max.request.size": "500"}, on_failure=failed.append) as producer:
        producer.send("compacted", [b"no key"])
        producer.send("t", [b"x" * 500])
        assert [type(failure.error) for failure in failed] == [InvalidRecordError, RecordTooLargeError]
        with pytest.raises(InvalidRequestError):
            producer.send("t", [b"x"], partitions=3)
    assert (producer.acknowledged, producer.failed) == (0, 2)
    strict = cluster.producer({**LONG, "allow.auto.create.topics": "false"})
    with strict, pytest.raises(UnknownTopicOrPartitionError):
        strict.send("nowhere", [b"x"])


def test_records_that_waited_and_could_not_be_appended_are_told(cluster: EmbeddedCluster) -> None:
    failed: list[SendFailure] = []
    with cluster.producer(LONG, on_failure=failed.append) as producer:
        for _ in range(3):
            producer.send("t", [b"four"], keys=[b"key"], partitions=0)
        cluster.admin().delete_topic("t")
        producer.flush()
        assert [(each.topic, each.partition, each.record_count, each.key_size, each.value_size) for each in failed] == [
            ("t", 0, 3, 3, 4)
        ]
        assert isinstance(failed[0].error, UnknownTopicOrPartitionError)
        assert (producer.acknowledged, producer.failed) == (0, 3)


def test_without_on_failure_the_first_one_is_raised_and_all_is_attempted(cluster: EmbeddedCluster) -> None:
    cluster.admin().create_topic("u")
    with cluster.producer(LONG) as producer:
        producer.send("t", [b"lost"])
        producer.send("u", [b"kept"])
        cluster.admin().delete_topic("t")
        with pytest.raises(UnknownTopicOrPartitionError):
            producer.flush()
        producer.flush()
    assert [row.value for row in read(cluster, "u", 1)] == [b"kept"]


class TellingDisk(FaultyDisk):
    def __init__(self, *, stays_dead: bool) -> None:
        super().__init__(stays_dead=stays_dead)
        self.failed_once = threading.Event()

    def _error(self, path: str) -> StorageError:
        self.failed_once.set()
        return super()._error(path)


def test_what_fails_in_the_thread_is_raised_by_the_next_call(tmp_path: Path) -> None:
    disk = TellingDisk(stays_dead=True)
    with EmbeddedCluster(str(tmp_path / "data"), disk=disk) as cluster:
        cluster.admin().create_topic("t")
        producer = cluster.producer({"linger.ms": "1", "retries": "0"})
        producer.send("t", [b"a"])
        producer.flush()
        disk.fail_at = len(disk.done)
        producer.send("t", [b"b"])
        assert disk.failed_once.wait(30)
        with pytest.raises(StorageError):
            producer.flush()
        disk.heal()
        producer.send("t", [b"c"])
        producer.close()
        assert (producer.acknowledged, producer.failed) == (2, 1)
        assert [row.value for row in read(cluster, partitions=1)] == [b"a", b"c"]


# -------------------------------------------------------------------------------------------------- what is no record


@pytest.mark.parametrize("config", [LONG, {"linger.ms": "0"}])
@pytest.mark.parametrize(
    ("values", "more", "message"),
    [
        (["text"], {}, r"values\[0\] is str, and not bytes.*'tea'.encode\(\)"),
        ([b"a", 1], {}, r"values\[1\] is int, and not bytes, or None for null"),
        (b"x", {}, r"values is bytes, and a column of values is needed: \[value\] for one record"),
        ("x", {}, r"values is str, and a column"),
        ([b"a"], {"keys": ["k"]}, r"keys\[0\] is str"),
        ([b"a"], {"keys": b"k"}, r"keys is bytes, and a column of keys is needed"),
        ([b"a"], {"headers": [[("h", "text")]]}, r"A header is a name and bytes"),
        ([b"a"], {"headers": [[b"h"]]}, r"A header is a name and bytes"),
        ([b"a"], {"headers": [[(b"h", b"")]]}, r"A header is a name and bytes"),
        ([b"a"], {"headers": [None]}, r"A record's headers are a list of them, or \(\), and not None"),
        ((item for item in [b"a"]), {}, r"values is generator, and a column of values is needed"),
        ([array("H", [1, 2])], {}, r"values\[0\] is array, and not bytes"),
        ([b"a", b"b"], {"timestamps": [1.5, 2]}, r"timestamps\[0\] is float, and no whole number"),
        ([b"a"], {"timestamps": [None]}, r"timestamps\[0\] is None, and no whole number"),
        ([b"a"], {"partitions": 0.0}, r"partitions is float, and no whole number"),
    ],
)
def test_what_is_no_column_of_bytes_is_an_error_that_says_so(
    cluster: EmbeddedCluster, config: dict[str, str], values: object, more: dict[str, object], message: str
) -> None:
    with cluster.producer(config) as producer:
        with pytest.raises(TypeError, match=message):
            producer.send("t", values, **more)  # type: ignore[arg-type]
        producer.send("t", [b"good"])
    assert [row.value for row in read(cluster)] == [b"good"]


@pytest.mark.parametrize("config", [{}, {"linger.ms": "0"}])
def test_a_header_whose_name_has_no_bytes_takes_no_other_record_along(
    cluster: EmbeddedCluster, config: dict[str, str]
) -> None:
    with cluster.producer(config) as producer:
        producer.send("t", [b"before"], partitions=0)
        with pytest.raises(ValueError, match="A header's name is text that UTF-8 can say"):
            producer.send("t", [b"bad"], headers=[[("\udc80", b"")]], partitions=0)
    assert [row.value for row in read(cluster)] == [b"before"]


@pytest.mark.parametrize("config", [LONG, {"linger.ms": "0"}])
def test_any_buffer_is_the_bytes_that_it_had_when_it_was_sent(cluster: EmbeddedCluster, config: dict[str, str]) -> None:
    """One that is used again changes no record, and one of wider items than bytes, or with gaps, spoils no batch."""
    buffer = bytearray(b"one")
    wide = memoryview(array("H", [1, 2]))
    with cluster.producer(config) as producer:
        producer.send("t", [buffer], partitions=0)
        buffer[:] = b"the second"
        producer.send("t", [memoryview(buffer)], keys=[buffer], headers=[[("h", buffer)]], partitions=0)
        buffer[:3] = b"THE"
        producer.send("t", [None, bytearray(b"beside null")], keys=[None, wide], partitions=0)
        producer.send("t", [wide, memoryview(b"a-b-")[::2]], headers=[[("h", wide)], ()], partitions=0)
    assert [(row.key, row.value, row.headers) for row in read(cluster)] == [
        (None, b"one", ()),
        (b"the second", b"the second", (("h", b"the second"),)),
        (None, None, ()),
        (wide.tobytes(), b"beside null", ()),
        (None, wide.tobytes(), (("h", wide.tobytes()),)),
        (None, b"ab", ()),
    ]


class _Whole:
    """A whole number that is no int, as numpy's are."""

    def __init__(self, number: int) -> None:
        self._number = number

    def __index__(self) -> int:
        return self._number


@pytest.mark.parametrize("config", [LONG, {"linger.ms": "0"}])
def test_whole_numbers_of_any_kind_are_times_and_partitions(cluster: EmbeddedCluster, config: dict[str, str]) -> None:
    with cluster.producer(config) as producer:
        producer.send("t", [b"a"], timestamps=_Whole(7), partitions=True)  # type: ignore[arg-type]
        producer.send("t", deque([b"b", b"c"]), timestamps=deque([_Whole(8), 9]), partitions=(_Whole(1), None))  # type: ignore[arg-type]
    assert sorted((row.value, row.timestamp) for row in read(cluster)) == [(b"a", 7), (b"b", 8), (b"c", 9)]


@pytest.mark.parametrize("config", [LONG, {"linger.ms": "0"}])
def test_a_time_beyond_64_bits_is_refused_where_the_topic_takes_its_own_too(
    cluster: EmbeddedCluster, config: dict[str, str]
) -> None:
    cluster.admin().create_topic("own", partitions=1, configs={"message.timestamp.type": "LogAppendTime"})
    failed: list[SendFailure] = []
    with cluster.producer(config, on_failure=failed.append) as producer:
        producer.send("own", [b"before"])
        producer.send("own", [b"bad", b"good"], timestamps=[2**63, 5])
    assert [str(failure.error) for failure in failed] == [f"Timestamp {2**63} of message is no number of 64 bits"]
    assert [row.value for row in read(cluster, "own", 1)] == [b"before", b"good"]


# ------------------------------------------------------------------------------------------------------------ reading


def test_single_records_come_out_of_columns(cluster: EmbeddedCluster) -> None:
    with cluster.producer() as producer:
        producer.send("t", [b"a", None], keys=[b"k", None], headers=[[("h", b"1")], ()], timestamps=7, partitions=2)
    with cluster.consumer() as consumer:
        consumer.assign({TopicPartition("t", 2): OffsetAt.EARLIEST})
        assert [record for records in consumer.poll() for record in records] == [
            Record("t", 2, 0, 7, b"k", b"a", (("h", b"1"),)),
            Record("t", 2, 1, 7, None, None, ()),
        ]


@pytest.mark.parametrize("config", [{}, {"group.id": "g"}])
def test_a_poll_without_a_subscription_says_so(cluster: EmbeddedCluster, config: dict[str, str]) -> None:
    with cluster.consumer(config) as consumer:
        with pytest.raises(IllegalStateError, match="not subscribed to any topics or assigned any partitions"):
            consumer.poll(3600.0)
        consumer.assign({})
        assert consumer.poll() == []


# ------------------------------------------------------------------------------------------------------------- Ctrl-C


def struck(step: int, act: Callable[[], object]) -> bool:
    """Have Ctrl-C strike before the line of that number that ``act`` runs where records wait: whether it did."""
    left = step

    def trace(frame: FrameType, event: str, _arg: object) -> Any:
        nonlocal left
        if not frame.f_code.co_filename.endswith(("lingering.py", "outgoing.py")):
            return None
        if event == "line":
            left -= 1
            if left == 0:
                raise KeyboardInterrupt
        return trace

    sys.settrace(trace)
    try:
        act()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(None)
    return False


@pytest.mark.parametrize("waits_already", [False, True])
def test_ctrl_c_amid_a_send_leaves_each_record_whole_or_out(cluster: EmbeddedCluster, waits_already: bool) -> None:
    headers = [[("h", b"1")], [("h", b"2")], [("h", b"3")]]
    step = 0
    is_struck = True
    while is_struck:
        step += 1
        topic = f"t{step}"
        cluster.admin().create_topic(topic, partitions=3)
        with cluster.producer(LONG) as producer:
            if waits_already:
                producer.send(topic, [b"v0"], timestamps=0)
            is_struck = struck(
                step,
                lambda topic=topic, producer=producer: producer.send(  # type: ignore[misc]
                    topic, [b"v1", b"v2", b"v3"], keys=[b"k1", b"k2", b"k3"], headers=headers, timestamps=[1, 2, 3]
                ),
            )
            producer.send(topic, [b"v4"], timestamps=4)
        found = sorted((row.value, row.key, list(row.headers), row.timestamp) for row in read(cluster, topic))
        whole = [(b"v%d" % n, b"k%d" % n, [("h", b"%d" % n)], n) for n in (1, 2, 3)]
        expected = [*([(b"v0", None, [], 0)] if waits_already else []), (b"v4", None, [], 4)]
        assert found in (sorted(expected), sorted(expected + whole)), step
    assert step > 10


def test_many_small_sends_are_joined_and_stay_in_their_order(cluster: EmbeddedCluster) -> None:
    with cluster.producer(LONG) as producer:
        for number in range(1000):
            key = [b"k"] if number % 3 == 0 else None
            headers = [[("n", b"%d" % number)]] if number % 5 == 0 else None
            producer.send("t", [b"%d" % number], keys=key, headers=headers, timestamps=number, partitions=0)
    found = read(cluster)
    assert [row.value for row in found] == [b"%d" % number for number in range(1000)]
    assert [row.timestamp for row in found] == list(range(1000))
    assert [row.key for row in found] == [b"k" if number % 3 == 0 else None for number in range(1000)]
    assert [len(row.headers) for row in found] == [int(number % 5 == 0) for number in range(1000)]
