"""What a consumer gets from logs that are damaged or go away: good records first, then the error, nothing skipped."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import google_crc32c
import pytest

from pykafka_store.embedded.cluster import EmbeddedCluster
from pykafka_store.embedded.replication.reader import PartitionReader, open_reader
from pykafka_store.errors import CorruptRecordError, StoreError, UnknownTopicOrPartitionError
from pykafka_store.format.batch import Batch, crc_of, split_batches
from pykafka_store.model import OffsetAt, Records, TopicPartition
from tests.store.helpers import AT_ONCE, rows

HERE = TopicPartition("t", 0)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[EmbeddedCluster]:
    with EmbeddedCluster(str(tmp_path / "data")) as cluster:
        cluster.admin().create_topic("t", partitions=3)
        yield cluster


def log_file(cluster: EmbeddedCluster, partition: int = 0) -> Path:
    return Path(cluster.directory) / "brokers" / "0" / f"t-{partition}" / f"{0:020d}.log"


def send(cluster: EmbeddedCluster, *values: bytes, partition: int = 0) -> None:
    with cluster.producer(AT_ONCE) as producer:
        producer.send("t", values, partitions=partition)


def spoil(path: Path, number: int, *, crc: bool) -> int:
    """Change the records of a batch; with ``crc`` the sum is made right again. Returns its base offset."""
    batches = list(split_batches(path.read_bytes()))
    spoilt = bytearray(batches[number].data)
    spoilt[61] ^= 0xFF
    if crc:
        spoilt[17:21] = crc_of(bytes(spoilt)).to_bytes(4, "big")
    path.write_bytes(b"".join(bytes(spoilt) if i == number else batch.data for i, batch in enumerate(batches)))
    return batches[number].header.base_offset


def claim(cluster: EmbeddedCluster, number: int, delta: int, segment: str) -> None:
    """Three batches of a record; the one of that number says that its last offset lies so far behind its first."""
    cluster.admin().create_topic("t", configs={"internal.segment.bytes": segment})
    for value in (b"a", b"b", b"c"):
        send(cluster, value)
    logs = sorted(log_file(cluster).parent.glob("*.log"))
    path, at = (logs[0], number) if len(logs) == 1 else (logs[number], 0)
    batches = [bytearray(each.data) for each in split_batches(path.read_bytes())]
    struct.pack_into(">i", batches[at], 23, delta)
    struct.pack_into(">I", batches[at], 17, crc_of(bytes(batches[at])))
    path.write_bytes(b"".join(batches))


@pytest.mark.parametrize("crc", [False, True])
def test_the_records_before_damage_come_first_and_then_the_error_as_often_as_one_asks(
    cluster: EmbeddedCluster, crc: bool
) -> None:
    """Whether the sum is wrong, or right over records that can't be: the error names partition, offset and file."""
    for values in ((b"a", b"b"), (b"c",), (b"d",)):
        send(cluster, *values)
    send(cluster, b"other", partition=1)
    damaged = spoil(log_file(cluster), 1, crc=crc)
    with cluster.consumer() as consumer:
        consumer.assign({HERE: 0, TopicPartition("t", 1): 0, TopicPartition("t", 2): 0})
        got = []
        for _ in range(4):
            try:
                got += [(run.partition, row.offset, row.value) for run in consumer.poll() for row in rows([run])]
            except StoreError as error:
                assert isinstance(error, CorruptRecordError)
                assert f"t-0 at offset {damaged}" in str(error)
                assert str(log_file(cluster)) in str(error)
        assert sorted(got) == [(0, 0, b"a"), (0, 1, b"b"), (1, 0, b"other")]
        assert consumer.position(HERE) == damaged
        with pytest.raises(CorruptRecordError):
            consumer.poll()
        consumer.seek(HERE, damaged + 1)
        assert [row.value for row in rows(consumer.poll())] == [b"d"]


@pytest.mark.parametrize(("number", "delta"), [(0, 1), (1, 1), (1, 3), (1, 1000), (2, 1), (2, 1000), (2, 2**31 - 1)])
@pytest.mark.parametrize("segment", ["1000", "80"])
def test_a_batch_that_claims_offsets_beyond_its_own_is_damage(
    tmp_path: Path, number: int, delta: int, segment: str
) -> None:
    """Its sum is right. Whoever believed it would be out of range next, begin anew, and print all of it for ever."""
    with EmbeddedCluster(str(tmp_path / "other")) as cluster:
        claim(cluster, number, delta, segment)
        with cluster.consumer({"auto.offset.reset": "earliest"}) as consumer:
            consumer.assign({HERE: OffsetAt.EARLIEST})
            got = [row.value for row in rows(consumer.poll())] if number else []
            for _ in range(3):
                with pytest.raises(CorruptRecordError, match="t-0 at offset"):
                    got += [row.value for row in rows(consumer.poll())]
        assert got == [b"a", b"b", b"c"][:number]


@pytest.mark.parametrize(("number", "delta"), [(0, 1), (1, 1), (1, 3), (1, 1000), (2, 1), (2, 1000), (2, 2**31 - 1)])
@pytest.mark.parametrize("segment", ["1000", "80"])
@pytest.mark.parametrize("size", [1, 100, 1 << 20])
def test_a_batch_that_claims_offsets_beyond_its_own_is_no_part_of_a_slice(
    tmp_path: Path, number: int, delta: int, segment: str, size: int
) -> None:
    """What `pykafka serve` sends as it lies there ends before it: a client would go on behind what it claims."""
    with EmbeddedCluster(str(tmp_path / "other")) as cluster:
        claim(cluster, number, delta, segment)
        with closing(open_reader(cluster.engine, HERE)) as reader:
            offset = 0
            while offset < number:
                found = reader.slice(offset, size)
                assert found is not None
                with closing(found):
                    batches = list(split_batches(found.read()))
                assert all(batch.is_valid for batch in batches)
                offset = batches[-1].header.last_offset + 1
            assert offset == number
            with pytest.raises(CorruptRecordError, match=f"the batch at offset {number} "):
                reader.slice(offset, size)


@pytest.mark.parametrize("size", ["0", "1", "60", "61", "62", "100", "1000000"])
def test_the_size_of_a_fetch_changes_nothing_of_what_is_read(cluster: EmbeddedCluster, size: str) -> None:
    for number in range(5):
        send(cluster, b"%d" % number, b"x" * 300)
    with cluster.consumer({"max.partition.fetch.bytes": size}) as consumer:
        consumer.assign({HERE: OffsetAt.EARLIEST})
        got = []
        while found := consumer.poll():
            got += rows(found)
    assert [row.offset for row in got] == list(range(10))


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
def test_records_taken_a_few_at_a_time_come_each_once(cluster: EmbeddedCluster, limit: int) -> None:
    for number in range(4):
        send(cluster, *(b"%d" % number for _ in range(5)))
    with cluster.consumer() as consumer:
        consumer.assign({HERE: 3})
        got = []
        while found := consumer.poll(max_records=limit):
            assert sum(map(len, found)) <= limit
            got += rows(found)
            assert consumer.position(HERE) == got[-1].offset + 1
    assert [row.offset for row in got] == list(range(3, 20))


def test_a_batch_is_unfolded_once_however_few_records_a_poll_takes(
    cluster: EmbeddedCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    unfolded: list[int] = []
    decode = PartitionReader.decode

    def counting(reader: PartitionReader, batch: Batch) -> Records:
        unfolded.append(batch.header.base_offset)
        return decode(reader, batch)

    monkeypatch.setattr(PartitionReader, "decode", counting)
    for start in (0, 50):
        send(cluster, *(b"%d" % number for number in range(start, start + 50)))
    with cluster.consumer({"max.poll.records": "7"}) as consumer:
        consumer.assign({HERE: 3})
        got = []
        while found := consumer.poll():
            got += rows(found)
        assert [row.offset for row in got] == list(range(3, 100))
        assert unfolded == [0, 50]
        # Whoever goes elsewhere in the same batch gets what is there.
        consumer.seek(HERE, 60)
        assert [row.offset for row in rows(consumer.poll())] == list(range(60, 67))
        consumer.seek(HERE, 58)
        assert [row.offset for row in rows(consumer.poll(max_records=2))] == [58, 59]


def test_a_topic_deleted_while_it_is_read_is_gone_by_name(cluster: EmbeddedCluster) -> None:
    send(cluster, b"a")
    with cluster.consumer() as consumer:
        consumer.assign({HERE: 0})
        assert len(consumer.poll()) == 1
        cluster.admin().delete_topic("t")
        with pytest.raises(UnknownTopicOrPartitionError, match="t-0 is gone: topic t was deleted"):
            consumer.poll()
        cluster.admin().create_topic("t")
        send(cluster, b"of another topic")
        with pytest.raises(UnknownTopicOrPartitionError):
            consumer.poll()
        consumer.assign({HERE: 0})
        assert [row.value for row in rows(consumer.poll())] == [b"of another topic"]


def test_a_question_by_time_to_a_topic_that_is_going_is_answered_by_name(cluster: EmbeddedCluster) -> None:
    """The directory goes away between looking at the state and looking at the segments."""
    send(cluster, b"a")
    reader = open_reader(cluster.engine, HERE)
    try:
        assert reader.offset_for_timestamp(0) is not None
        directory = log_file(cluster).parent
        directory.rename(directory.with_name("elsewhere"))
        for question in (partial(reader.offset_for_timestamp, 0), reader.offset_of_max_timestamp):
            with pytest.raises(UnknownTopicOrPartitionError, match=r"t-0 is gone: .* does not exist$"):
                question()
        cluster.admin().delete_topic("t")
        with pytest.raises(UnknownTopicOrPartitionError, match="t-0 is gone: topic t was deleted while it was read"):
            reader.offset_for_timestamp(0)
    finally:
        reader.close()


NOBODY = struct.pack(">hIi", 1, google_crc32c.value(bytes(4)), 0)
"""A producer snapshot that tells of no transaction."""


@pytest.mark.parametrize("snapshot", [NOBODY, NOBODY[:-1], b""], ids=["none open", "cut", "empty"])
def test_a_transaction_of_a_brokers_that_nobody_ended_is_not_committed(
    cluster: EmbeddedCluster, snapshot: bytes
) -> None:
    directory = log_file(cluster).parent
    theirs = Path(__file__).resolve().parents[1] / "data" / "segments" / "tx-0"
    data = (theirs / log_file(cluster).name).read_bytes()
    *kept, mark = split_batches(data)
    assert mark.header.is_control
    assert not kept[-1].header.is_control
    end, first = mark.header.base_offset, kept[-1].header.base_offset
    for name in (log_file(cluster).name, f"{0:020d}.txnindex"):
        (directory / name).write_bytes((theirs / name).read_bytes())
    log_file(cluster).write_bytes(data[: -mark.header.size])
    (directory / "published-state").unlink()
    (directory / f"{0:020d}.snapshot").write_bytes(snapshot)

    def read(level: str) -> tuple[int, list[int]]:
        with cluster.consumer({"isolation.level": level}) as consumer:
            consumer.assign({HERE: OffsetAt.EARLIEST})
            (found,) = consumer.end_offsets([HERE]).values()
            offsets = []
            while consumer.position(HERE) < found:
                offsets += [row.offset for row in rows(consumer.poll(1.0))]
            assert consumer.poll(0.0) == []
            return found, offsets

    send(cluster, b"ours, behind it")
    everything_end, everything = read("read_uncommitted")
    assert (everything_end, everything[-1]) == (end + 1, end)
    committed_end, committed = read("read_committed")
    assert committed_end == first
    assert committed == [0, 2, 3, 13]  # 5 to 12 were aborted
