"""Compaction keeps the newest record of each key, whatever the history, whoever reads, and wherever it is killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pykafka_store.embedded.cluster import EmbeddedCluster
from pykafka_store.embedded.disk import Disk
from pykafka_store.embedded.log.cleaned_segment import CleanedSegment
from pykafka_store.embedded.log.compaction import DEDUPE_BUFFER_SIZE, Compacted, cleanable_until
from pykafka_store.embedded.log.reader import LogReader
from pykafka_store.embedded.log.retention import SegmentSpan
from pykafka_store.embedded.log.segment import Segment
from pykafka_store.embedded.partitions import hosted
from pykafka_store.embedded.replication.upkeep import Upkeep, upkeep_of
from pykafka_store.errors import CorruptRecordError
from pykafka_store.format.batch import EncodedBatch, encode_batch, parse_header
from pykafka_store.format.cleaning import empty_batch, filtered_batch, scan_records
from pykafka_store.format.transaction_index import ABORTED_ENTRY
from pykafka_store.model import OffsetAt, TopicPartition
from pykafka_store.open import open_cluster
from pykafka_store.settings.configs import TopicConfig
from tests.store.helpers import AT_ONCE, STATE, TOPIC, Log, Row, batch, of_another_boot, rows
from tests.store.helpers import reader_decode as decoded
from tests.store.test_retention import Killed, StillClock, StoppingDisk, bases
from tests.support import apache
from tests.support.apache_tools import Tools
from tests.support.between import once

P = TopicPartition(TOPIC, 0)
NOW = 1_000_000
SMALL = {"internal_segment_bytes": "300", "cleanup_policy": "compact", "min_cleanable_dirty_ratio": "0.0"}


def compact(log: Log, now: int = NOW, *, disk: Disk | None = None, buffer_size: int = DEDUPE_BUFFER_SIZE) -> Compacted:
    partition = log.partition(disk, StillClock(now))
    return Upkeep(partition, log.directory, buffer_size).run().compacted


def put(log: Log, *pairs: tuple[str, str | None], at: Sequence[int] | int = 1000) -> None:
    """One batch."""
    keys = [key.encode() for key, _ in pairs]
    values = [None if value is None else value.encode() for _, value in pairs]
    log.append(batch(*values, keys=keys, at=at))


def seal(log: Log) -> None:
    """Fill the active segment, so that what came before is sealed."""
    put(log, (f"filler-{log.state().log_end_offset}", "x" * 400))
    put(log, (f"filler-{log.state().log_end_offset}", "x"))


def shown(log: Log) -> list[tuple[int, str, str | None]]:
    """All but the fillers."""
    return [
        (row.offset, row.key.decode(), None if row.value is None else row.value.decode())
        for row in log.read()
        if row.key is not None and not row.key.startswith(b"filler")
    ]


def replayed(found: Sequence[Row]) -> dict[bytes, bytes]:
    """The state that a reader has who applies all records in order."""
    state: dict[bytes, bytes] = {}
    for row in found:
        assert row.key is not None
        if row.value is None:
            state.pop(row.key, None)
        else:
            state[row.key] = row.value
    return state


# ------------------------------------------------------------------------------------------------------------- records


def test_the_newest_of_each_key_stays_at_its_offset(tmp_path: Path) -> None:
    log = Log(tmp_path, **SMALL).create()
    put(log, ("a", "1"), ("b", "1"), ("c", "1"))
    put(log, ("a", "2"), ("b", "2"))
    put(log, ("a", "3"))
    seal(log)
    done = compact(log)
    assert (done.passes, done.records) == (1, 3)
    assert shown(log) == [(2, "c", "1"), (4, "b", "2"), (5, "a", "3")]
    assert log.state().has_gaps
    assert compact(log) == Compacted()
    assert log.append(batch(b"x", keys=[b"k"])).base_offset == 8


def test_headers_and_timestamps_stay(tmp_path: Path) -> None:
    log = Log(tmp_path, **SMALL).create()
    headers = [(("h", b"1"),), (), (("g", None), ("g", b""))]
    for codec in range(5):
        log.append(
            batch(b"1", b"2", b"3", keys=[b"a", b"a", b"b"], headers=headers, at=[1000, 900, 1_000_000], codec=codec)
        )
    seal(log)
    compact(log)
    last = log.read()[:2]
    assert last == [
        Row(13, 900, b"a", b"2", ()),
        Row(14, 1_000_000, b"b", b"3", (("g", None), ("g", b""))),
    ]


def test_records_without_a_key_go(tmp_path: Path) -> None:
    log = Log(tmp_path, **SMALL).create()
    log.append(batch(b"1", b"2", keys=[None, b"a"]))
    log.append(batch(b"plain", b"values"))
    seal(log)
    compact(log)
    assert shown(log) == [(1, "a", "2")]


def test_a_batch_keeps_its_first_and_last_offset_and_its_sequence(tmp_path: Path) -> None:
    log = Log(tmp_path, **SMALL).create()
    log.append(encode_batch([b"1", b"2", b"3"], keys=[b"a", b"b", b"a"], timestamps=5, producer=(7, 1, 40)))
    put(log, ("b", "later"))
    log.append(encode_batch([b"9"], keys=[b"z"], timestamps=5, producer=(7, 1, 43)))
    put(log, ("z", "later"))
    seal(log)
    compact(log)
    reader = log.reader()
    (
        first,
        *_,
    ) = reader.read(0)
    emptied = [each.header for each in reader.read(0) if not each.header.record_count]
    reader.close()
    assert (first.header.base_offset, first.header.last_offset, first.header.record_count) == (0, 2, 1)
    assert (first.header.producer_id, first.header.producer_epoch, first.header.base_sequence) == (7, 1, 40)
    # The last batch of its producer stays for its sequence, without records.
    assert [(each.base_offset, each.base_sequence, each.size) for each in emptied if each.producer_id == 7] == [
        (4, 43, 61)
    ]


def test_long_keys_are_told_apart(tmp_path: Path) -> None:
    log = Log(tmp_path, internal_segment_bytes="3000", cleanup_policy="compact", min_cleanable_dirty_ratio="0").create()
    keys = ["k" * 40 + str(number % 7) for number in range(40)] + ["k" * size for size in (31, 32, 33, 31, 32, 33)]
    for number, key in enumerate(keys):
        put(log, (key, str(number)))
    seal_size = [("f" * 60, "x" * 2900), ("f", "x")]
    for pair in seal_size:
        put(log, pair)
    compact(log)
    want = {key.encode(): str(max(i for i, k in enumerate(keys) if k == key)).encode() for key in keys}
    got = replayed(log.read())
    assert {key: value for key, value in got.items() if key.startswith(b"k")} == want
    assert len(log.read()) == len(want) + 2


# ---------------------------------------------------------------------------------------------------------- tombstones


def test_a_tombstone_stays_until_its_horizon(tmp_path: Path) -> None:
    log = Log(tmp_path, delete_retention_ms="5000", **SMALL).create()
    put(log, ("a", "1"), ("b", "1"), at=[1000, 1003])
    put(log, ("a", None), ("c", "1"), at=[2000, 1990])
    seal(log)
    compact(log, NOW)
    assert shown(log) == [(1, "b", "1"), (2, "a", None), (3, "c", "1")]
    assert [row.timestamp for row in log.read()][:3] == [1003, 2000, 1990]
    reader = log.reader()
    horizons = [each.header.delete_horizon_ms for each in reader.read(0)]
    reader.close()
    assert [horizon for horizon in horizons if horizon is not None] == [NOW + 5000]

    put(log, ("d", "1"))
    seal(log)
    compact(log, NOW + 4999)
    assert (2, "a", None) in shown(log)
    seal(log)
    compact(log, NOW + 5000)
    assert shown(log) == [(1, "b", "1"), (3, "c", "1"), (row_of(log, b"d"), "d", "1")]


def row_of(log: Log, key: bytes) -> int:
    return next(row.offset for row in log.read() if row.key == key)


def test_a_tombstone_of_a_log_that_stamps_records_itself(tmp_path: Path) -> None:
    log = Log(tmp_path, message_timestamp_type="LogAppendTime", delete_retention_ms="0", **SMALL).create()
    put(log, ("a", None), ("b", "1"), at=5)
    seal(log)
    stamp = log.read()[0].timestamp
    assert stamp > 5
    compact(log)
    assert [row.timestamp for row in log.read()[:2]] == [stamp, stamp]


# -------------------------------------------------------------------------------------------------------- transactions


def marker(commit: bool, producer: int) -> EncodedBatch:
    return encode_batch(
        [b"\x00\x00\x00\x00\x00\x00"],
        keys=[b"\x00\x00\x00\x01" if commit else b"\x00\x00\x00\x00"],
        timestamps=5,
        producer=(producer, 0, -1),
        attributes=0x30,
    )


def test_aborted_records_go_and_markers_follow_when_nothing_is_left(tmp_path: Path) -> None:
    log = Log(tmp_path, delete_retention_ms="100", **SMALL).create()

    def write(key: bytes, producer: int) -> None:
        log.append(encode_batch([b"v"], keys=[key], timestamps=5, producer=(producer, 0, 0), attributes=0x10))

    write(b"a", 1)  # 0: will be aborted
    write(b"b", 2)  # 1: will be committed
    log.append(marker(False, 1))  # 2
    log.append(marker(True, 2))  # 3
    with open(log.path(f"{0:020d}.txnindex"), "wb") as file:
        file.write(ABORTED_ENTRY.pack(0, 1, 0, 2, 3))
    seal(log)

    def offsets() -> list[tuple[int, int]]:
        reader = log.reader()
        found = []
        at = reader.state().log_start_offset
        while batches := reader.read(at):
            found += [(each.header.base_offset, each.header.record_count) for each in batches]
            at = batches[-1].header.last_offset + 1
        reader.close()
        return [(offset, count) for offset, count in found if offset < 4]

    compact(log, NOW)
    assert offsets() == [(1, 1), (2, 1), (3, 1)]  # the aborted record is gone, its marker was needed for it
    seal(log)
    compact(log, NOW + 1)
    assert offsets() == [(1, 1), (2, 1), (3, 1)]  # now it has its horizon
    seal(log)
    compact(log, NOW + 200)
    assert offsets() == [(1, 1), (2, 0), (3, 1)]  # its producer's last batch stays, without the marker
    put(log, ("b", "later"))
    seal(log)
    compact(log, NOW + 300)
    assert offsets()[-1] == (3, 1)
    assert shown(log)[0][1:] == ("b", "later") or (1, 1) not in offsets()


# ------------------------------------------------------------------------------------------------------ when, and what


def test_the_ratio_decides(tmp_path: Path) -> None:
    log = Log(tmp_path, **{**SMALL, "min_cleanable_dirty_ratio": "0.5"}).create()
    put(log, ("a", "1"))
    seal(log)
    assert compact(log).passes == 1
    put(log, ("a", "1"))
    log.config = TopicConfig.of({"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "1.0"})
    assert compact(log).passes == 0


def test_the_greatest_lag_decides(tmp_path: Path) -> None:
    configs = {**SMALL, "min_cleanable_dirty_ratio": "1.0"}
    log = Log(tmp_path, max_compaction_lag_ms="5000", **configs).create()
    put(log, ("a", "1"))
    seal(log)
    assert compact(log, 6000).passes == 0
    assert compact(log, 6001).passes == 1


def segment(base: int, timestamp: int) -> SegmentSpan:
    return SegmentSpan(base, base + 10, 100, timestamp.__lt__, lambda: 0)


def test_what_is_young_is_left_alone() -> None:
    segments = [segment(0, 10), segment(10, 30), segment(20, 20), segment(30, 40)]
    for lag, now, expected in [(0, 0, 30), (10, 39, 10), (10, 40, 30), (10, 20, 10), (10, 19, 0), (1, 1, 0)]:
        config = TopicConfig.of({"min.compaction.lag.ms": str(lag)})
        assert cleanable_until(segments, 0, config, now, 40) == expected


def test_what_is_not_stable_yet_is_left_alone() -> None:
    segments = [segment(0, 10), segment(10, 30), segment(20, 20), segment(30, 40)]
    for stable, expected in [(40, 30), (35, 30), (30, 30), (29, 20), (20, 20), (11, 10), (9, 0), (0, 0)]:
        assert cleanable_until(segments, 0, TopicConfig.of({}), 0, stable) == expected


def _with_an_aborted_record(tmp_path: Path, **configs: str) -> Log:
    """The record at offset 0, of which the segment that ends with its marker tells."""
    log = Log(tmp_path, delete_retention_ms="100", **(SMALL | configs)).create()
    log.append(encode_batch([b"v"], keys=[b"a"], timestamps=5, producer=(1, 0, 0), attributes=0x10))
    return log


def _abort(log: Log) -> None:
    at = log.state()
    log.append(marker(False, 1))
    with open(log.path(f"{at.active_base_offset:020d}.txnindex"), "wb") as file:
        file.write(ABORTED_ENTRY.pack(0, 1, 0, at.log_end_offset, at.log_end_offset + 1))


def test_who_reads_as_a_segment_is_replaced_is_told_of_its_aborted_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The transaction index was away from before the segment was replaced until after all else was done."""
    log = _with_an_aborted_record(tmp_path)
    _abort(log)
    seal(log)
    reader, told = log.reader(), list[bool]()
    (first, *_) = reader.read(0)
    came = once(monkeypatch, CleanedSegment, "settle", lambda: told.append(reader.is_aborted(first)))
    compact(log, NOW)
    assert (len(came), told) == (1, [True])
    reader.close()


def test_who_reads_as_segments_are_merged_is_told_of_their_aborted_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = _with_an_aborted_record(tmp_path)
    seal(log)
    _abort(log)
    seal(log)
    _, second, *_ = bases(log)
    reader = log.reader()
    (first, *_) = reader.read(0)
    log.config = TopicConfig.of({"internal.segment.bytes": "3000", **{"cleanup.policy": "compact"}})

    def merge() -> None:
        compact(log, NOW)
        assert second not in bases(log)

    came = once(monkeypatch, Segment, "aborted_transactions", merge, behind=True)
    assert reader.is_aborted(first)
    assert came
    reader.close()


def test_who_reads_as_the_oldest_segments_go_takes_no_aborted_record_for_one_that_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = _with_an_aborted_record(tmp_path, cleanup_policy="delete")
    _abort(log)
    seal(log)
    seal(log)
    reader = log.reader()
    (first, *_) = reader.read(0)
    log.config = TopicConfig.of({"retention.bytes": "0", "cleanup.policy": "delete"})
    Upkeep(log.partition(None, StillClock(NOW)), log.directory).run()
    assert log.state().log_start_offset > first.header.last_offset
    assert reader.is_aborted(first)
    reader.close()


def test_a_transaction_that_is_not_ended_takes_no_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log(tmp_path, **SMALL).create()
    for value in ("committed", "open"):
        put(log, ("a", value))
        seal(log)
    at = "pykafka_store.embedded.log.compaction.first_open_transaction"
    monkeypatch.setattr(at, lambda *_what: 1)
    assert compact(log).records == 0
    monkeypatch.setattr(at, lambda *_what: None)
    assert compact(log).records > 0


def test_small_neighbours_become_one_segment(tmp_path: Path) -> None:
    log = Log(tmp_path, **SMALL).create()
    for number in range(40):
        put(log, (f"k{number % 3}", "x" * 50))
    before = len(bases(log))
    log.config = TopicConfig.of(
        {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0", "internal.segment.bytes": "2000"}
    )
    compact(log)
    assert len(bases(log)) < before / 2
    assert sorted(row.offset for row in log.read())[-3:] == [37, 38, 39]
    # Every offset can be asked for, in the gaps as well, and each index entry leads where it says.
    everything = log.read()
    for offset in range(40):
        assert log.read(offset) == [row for row in everything if row.offset >= offset]


def test_several_passes_where_the_keys_do_not_fit(tmp_path: Path) -> None:
    log = Log(tmp_path, **{**SMALL, "internal_segment_bytes": "3000"}).create()
    chooser = random.Random(5)
    history = [(f"key-{chooser.randrange(300)}", str(number)) for number in range(2000)]
    for start in range(0, 2000, 10):
        put(log, *history[start : start + 10])
    before = replayed(log.read())
    done = compact(log, buffer_size=20_000)
    assert done.passes > 3
    assert replayed(log.read()) == before
    sealed = [row for row in log.read() if row.offset < bases(log)[-1]]
    assert len({row.key for row in sealed}) == len(sealed)


def test_memory_is_bounded(tmp_path: Path) -> None:
    log = Log(
        tmp_path, internal_segment_bytes="4000000", cleanup_policy="compact", min_cleanable_dirty_ratio="0"
    ).create()
    for start in range(0, 120_000, 1000):
        keys = [b"key-%09d" % number for number in range(start, start + 1000)]
        log.append(batch(*[b"v" * 60] * 1000, keys=keys))
    buffer = 6 << 20
    tracemalloc.start()
    try:
        done = compact(log, buffer_size=buffer)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert done.passes > 1
    assert peak < buffer + (8 << 20)  # besides the map: a megabyte being read, one being written, a batch's columns


COMPACTS = """
import sys
from pathlib import Path
from tests.store.helpers import Log
from tests.store.test_compaction import compact

def peak():  # in KiB, of this program alone: ru_maxrss begins with what the process was before its exec
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])

log = Log(Path(sys.argv[1]), internal_segment_bytes="4000000", cleanup_policy="compact", min_cleanable_dirty_ratio="0")
before = peak()
done = compact(log, buffer_size=int(sys.argv[2]))
print(done.passes, peak() - before)
"""


def test_the_memory_of_a_process_is_bounded(tmp_path: Path) -> None:
    """What the system says that it took, over several passes: their maps are not there at the same time."""
    log = Log(
        tmp_path, internal_segment_bytes="4000000", cleanup_policy="compact", min_cleanable_dirty_ratio="1"
    ).create()
    for start in range(0, 640_000, 4000):
        log.append(batch(*[b"v"] * 4000, keys=[b"key-%012d" % number for number in range(start, start + 4000)]))
    buffer = 32 << 20
    done = subprocess.run(
        [sys.executable, "-c", COMPACTS, str(tmp_path), str(buffer)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    passes, kilobytes = map(int, done.stdout.split())
    assert passes > 2
    assert kilobytes << 10 < buffer + (12 << 20)


def test_damage_is_named_and_nothing_is_compacted(tmp_path: Path) -> None:
    log = Log(tmp_path, **SMALL).create()
    put(log, ("a", "1"))
    put(log, ("a", "2"))
    seal(log)
    files = log.files()
    name = f"{0:020d}.log"
    files[name] = files[name][:-1] + b"?"
    log.restore(files)
    with pytest.raises(CorruptRecordError, match=name):
        compact(log)
    after = log.files()
    assert all(after[key] == files[key] for key in files if key != STATE)
    assert not [key for key in after if key.endswith((".cleaned", ".swap"))]


def test_compact_and_delete(tmp_path: Path) -> None:
    log = Log(tmp_path, retention_ms="5000", file_delete_delay_ms="0", **{**SMALL, "cleanup_policy": "compact,delete"})
    log.create()
    put(log, ("old", "1"), at=1000)
    seal(log)
    put(log, ("new", "1"), at=9000)
    put(log, ("new", "2"), at=9000)
    put(log, ("filler", "x" * 300), at=9000)
    put(log, ("filler", "x"), at=9000)
    compact(log, 10_000)
    assert [(key, value) for _, key, value in shown(log)] == [("new", "2")]
    assert log.state().log_start_offset > 0


# ------------------------------------------------------------------------------------------------------------ property


def history(keys: int, size: int, tombstones: int) -> st.SearchStrategy[list[list[tuple[int, int | None]]]]:
    value = st.one_of(st.integers(0, 99), *[st.none()] * tombstones)
    return st.lists(st.lists(st.tuples(st.integers(0, keys), value), min_size=1, max_size=6), max_size=size)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    history(6, 40, 1),
    st.lists(st.integers(0, 40), max_size=6),
    st.integers(0, 4),
    st.sampled_from([200, 20_000_000]),
    st.integers(0, 3),
)
def test_a_compacted_log_replays_to_the_same_state(
    tmp_path_factory: pytest.TempPathFactory,
    batches: list[list[tuple[int, int | None]]],
    compactions: list[int],
    codec: int,
    buffer_size: int,
    pace: int,
) -> None:
    """Any history, compacted any number of times in its middle; a dict is the model. Readers that began before, and
    stop in the middle of each compaction, end in the same state as well, and see no offset twice and none out of order.
    """
    log = Log(tmp_path_factory.mktemp("log"), delete_retention_ms="1000000", **SMALL).create()
    model: dict[bytes, bytes] = {}
    followers: list[tuple[LogReader, list[Row]]] = []

    def follow(reader: LogReader, seen: list[Row], steps: int) -> None:
        for _ in range(steps):
            at = seen[-1].offset + 1 if seen else 0
            found = reader.read(max(at, positions[reader]), 100)
            if not found:
                return
            positions[reader] = found[-1].header.last_offset + 1
            seen += [row for row in rows(map(decoded, found)) if row.offset >= at]

    positions: dict[LogReader, int] = {}
    now = NOW
    for number, records in enumerate(batches):
        keys = [b"key-%d" % key for key, _ in records]
        values = [None if value is None else b"%d" % value for _, value in records]
        log.append(batch(*values, keys=keys, at=number, codec=codec))
        for key, value in zip(keys, values, strict=True):
            if value is None:
                model.pop(key, None)
            else:
                model[key] = value
        if number % 7 == 3:
            reader = log.reader()
            positions[reader] = 0
            followers.append((reader, []))
        for reader, seen in followers:
            follow(reader, seen, pace)
        if number in compactions:
            compact(log, now, buffer_size=buffer_size)
            now += 10
            found = log.read()
            assert replayed(found) == model
    compact(log, now)
    assert replayed(log.read()) == model
    offsets = [row.offset for row in log.read()]
    assert offsets == sorted(set(offsets))
    for offset in range(0, log.state().log_end_offset, 3):
        assert [row.offset for row in log.read(offset, 1)] == [each for each in offsets if each >= offset]
    for reader, seen in followers:
        follow(reader, seen, 10_000)
        reader.close()
        assert [row.offset for row in seen] == sorted({row.offset for row in seen})
        assert replayed(seen) == model


# ------------------------------------------------------------------------------------------------------------- crashes


def sample(root: Path) -> Log:
    log = Log(root, **SMALL).create()
    chooser = random.Random(3)
    for number in range(30):
        put(log, *((f"k{chooser.randrange(5)}", f"{number}-{i}") for i in range(3)), at=number)
    return log


@pytest.mark.parametrize("power", ["stays", "is cut", "is cut, and the state lost"])
def test_a_kill_at_any_step(tmp_path: Path, power: str) -> None:
    """Readers find a whole log at once; the next pass finishes; what it finishes with is what it would have been."""
    original = sample(tmp_path / "sample")
    before = original.files()
    rows_before = original.read()
    model = replayed(rows_before)
    log = Log(tmp_path / "whole", **SMALL)
    log.restore(before)
    log.config = TopicConfig.of({"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0",
                                 "internal.segment.bytes": "600"})  # fmt: skip
    compact(log)
    finished_rows = log.read()
    assert len(bases(log)) < len(bases(original))
    config = log.config
    steps = 0
    while True:
        log = Log(tmp_path / "copy", **SMALL)
        log.config = config
        log.restore(before)
        old_reader = log.reader()
        started = old_reader.read(0, 1)
        complete = True
        try:
            compact(log, disk=StoppingDisk(steps))
        except Killed:
            complete = False
        if power != "stays":
            files = log.files()
            lost = power.endswith("lost")
            files.update({STATE: b"" if lost else of_another_boot(files[STATE])})
            log.restore(files)
        found = log.read()
        assert replayed(found) == model, steps
        assert found[-3:] == rows_before[-3:]
        for offset in (0, 17, 40, 77):
            # Between two steps, a reader from there may meet records that are replaced already, and never misses one.
            behind = log.read(offset, 1)
            assert {row.key: row for row in behind} == {row.key: row for row in rows_before[offset:]}
            assert [row.offset for row in behind] == sorted({row.offset for row in behind})
        if power == "stays":
            seen = rows(map(decoded, started))
            at = started[-1].header.last_offset + 1
            while more := old_reader.read(at, 1):
                seen += [row for row in rows(map(decoded, more)) if row.offset >= at]
                at = more[-1].header.last_offset + 1
            assert replayed(seen) == model, steps
        old_reader.close()
        compact(log)
        assert log.read() == finished_rows, steps
        assert not [name for name in log.files() if name.endswith((".cleaned", ".swap"))]
        put(log, ("k0", "after"))
        assert log.read()[-1].offset == 90
        if complete:
            break
        steps += 1
    assert steps > 30


# ------------------------------------------------------------------------------------------------------- real processes

COMPACTOR = """
import sys
from pykafka_store.embedded.cluster import EmbeddedCluster
from pykafka_store.model import TopicPartition
cluster = EmbeddedCluster(sys.argv[1])
print("ready", flush=True)
while True:
    for upkeep in upkeep_of(hosted(cluster.engine, TopicPartition("orders", 0))):
        upkeep.run()
"""


@pytest.mark.parametrize("seed", range(3))
def test_compactors_that_are_killed_beside_a_writer_and_a_reader(tmp_path: Path, seed: int) -> None:  # noqa: C901 - one story of kills, in order
    """kill -9, again and again, in the middle of compaction, while a writer appends and readers follow."""
    data = tmp_path / "data"
    chooser = random.Random(seed)
    cluster = EmbeddedCluster(str(data))
    cluster.admin().create_topic(
        TOPIC,
        configs={"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.01", "internal.segment.bytes": "40000"},
    )
    model: dict[bytes, bytes] = {}
    problems: list[str] = []
    stop = threading.Event()

    def read_on(start: float) -> None:
        try:
            with open_cluster(f"file:{data}") as other, other.consumer() as consumer:
                consumer.assign({P: OffsetAt.EARLIEST})
                state: dict[bytes, bytes] = {}
                last = -1
                while True:
                    done = stop.is_set()
                    polled = consumer.poll(0.02, 500)
                    for records in polled:
                        for offset, key, value in zip(records.offsets, records.keys, records.values, strict=True):
                            if offset <= last:
                                problems.append(f"{offset} after {last}")
                            last = offset
                            assert key is not None
                            if value is None:
                                state.pop(key, None)
                            else:
                                state[key] = value
                    if done and not polled:
                        break
                    time.sleep(start)
                if state != model:
                    problems.append(f"{len(state)} keys, {len(model)} expected")
        except BaseException as error:
            problems.append(repr(error))

    readers = [threading.Thread(target=read_on, args=(pause,)) for pause in (0.0, 0.01)]
    for reader in readers:
        reader.start()
    compactor: subprocess.Popen[str] | None = None
    kill_at = 0.0
    end = time.monotonic() + 6
    with cluster.producer(AT_ONCE) as producer:
        while time.monotonic() < end:
            keys = [b"key-%d" % chooser.randrange(400) for _ in range(100)]
            values = [None if chooser.random() < 0.1 else b"%d" % chooser.randrange(10**9) * 4 for _ in keys]
            producer.send(TOPIC, values, keys=keys)
            for key, value in zip(keys, values, strict=True):
                if value is None:
                    model.pop(key, None)
                else:
                    model[key] = value
            if compactor is None:
                compactor = subprocess.Popen(
                    [sys.executable, "-c", COMPACTOR, str(data)], stdout=subprocess.PIPE, text=True
                )
                assert compactor.stdout is not None and compactor.stdout.readline() == "ready\n"
                kill_at = time.monotonic() + chooser.random() * 0.3
            elif time.monotonic() > kill_at:
                compactor.send_signal(signal.SIGKILL)
                compactor.communicate()
                compactor = None
            time.sleep(0.002)
    if compactor is not None:
        compactor.kill()
        compactor.communicate()
    stop.set()
    for reader in readers:
        reader.join(60)
    assert problems == []
    for upkeep in upkeep_of(hosted(cluster.engine, P)):
        upkeep.run()
    directory = data / "brokers" / "0" / f"{TOPIC}-0"
    assert not [name for name in os.listdir(directory) if name.endswith((".cleaned", ".swap"))]
    assert f"{0:020d}.log" in os.listdir(directory)
    state: dict[bytes, bytes] = {}
    count = 0
    with cluster.consumer() as consumer:
        consumer.assign({P: OffsetAt.EARLIEST})
        while polled := consumer.poll(0.05):
            for records in polled:
                count += len(records)
                for key, value in zip(records.keys, records.values, strict=True):
                    assert key is not None
                    if value is None:
                        state.pop(key, None)
                    else:
                        state[key] = value
    ends = cluster.admin().list_offsets({P: OffsetAt.LATEST})[P]
    cluster.close()
    assert state == model
    assert isinstance(ends, int) and count < ends / 2  # compaction was at work


# ----------------------------------------------------------------------------------------------------------- the bytes


def _cases() -> Iterator[tuple[list[bytes | None], list[bytes | None]]]:
    yield [b"v"], [b"k"]
    yield [b"v" * 200, None, b""], [b"k" * 100, b"", None]
    yield [b"v" * 20_000] * 200, [b"k%d" % number for number in range(200)]
    yield [None] * 9000, [b"k" * (number % 150) for number in range(9000)]


@pytest.mark.parametrize("case", range(4))
def test_scanning_and_filtering(case: int) -> None:
    values, keys = list(_cases())[case]
    headers = [(("a", b"b" * 300),)] * len(values)
    stamps = [1000 + (number * 7919) % 1_000_000 for number in range(len(values))]
    for fields in (None, headers):
        encoded = batch(*values, keys=keys, headers=fields, at=stamps)
        raw = b"".join(encoded.placed(500, 3))
        header = parse_header(raw)
        scanned = scan_records(encoded.payload, header.record_count)
        assert scanned.keys == keys
        assert scanned.offset_deltas == list(range(len(values)))
        assert scanned.tombstones == [index for index, value in enumerate(values) if value is None]
        kept = [index for index in range(len(values)) if index % 3 != 1]
        for horizon in (None, 10**12):
            cut = filtered_batch(header, encoded.payload, scanned, kept, horizon)
            assert decoded_rows(cut) == [
                Row(500 + i, stamps[i], keys[i], values[i], tuple(fields[i]) if fields else ()) for i in kept
            ]
            found = parse_header(cut)
            assert (found.base_offset, found.last_offset, found.leader_epoch) == (500, header.last_offset, 3)
            assert found.max_timestamp == max(stamps[i] for i in kept)
            assert found.delete_horizon_ms == horizon
        emptied = parse_header(empty_batch(header))
        assert (emptied.record_count, emptied.size, emptied.last_offset) == (0, 61, header.last_offset)


def decoded_rows(raw: bytes) -> list[Row]:
    from pykafka_store.format.batch import split_batches

    (one,) = split_batches(raw)
    assert one.is_valid
    return rows([decoded(one)])


def test_scanning_refuses_what_can_not_be() -> None:
    payload = batch(b"v" * 100, b"w" * 100, keys=[b"k", b"l"]).payload
    for cut in range(len(payload)):
        with pytest.raises(CorruptRecordError):
            scan_records(payload[:cut], 2)
    with pytest.raises(CorruptRecordError):
        scan_records(payload + b"\x00", 2)
    with pytest.raises(CorruptRecordError):
        scan_records(payload, 3)


# ------------------------------------------------------------------------------------------------ beside Apache Kafka


@pytest.mark.apache
@pytest.mark.slow
def test_apache_kafka_reads_what_compaction_wrote(tmp_path: Path) -> None:
    """Its kafka-dump-log finds every file in order: logs with their records, indexes that fit their logs."""
    log = Log(tmp_path, **{**SMALL, "index_interval_bytes": "100"}).create()
    chooser = random.Random(9)
    for number in range(60):
        pairs = [(f"k{chooser.randrange(60)}", None if chooser.random() < 0.2 else f"{number}") for _ in range(3)]
        keys, values = [key.encode() for key, _ in pairs], [v if v is None else v.encode() for _, v in pairs]
        log.append(batch(*values, keys=keys, at=[number * 10, number * 10 + 3, number * 10 - 3], codec=number % 5))
    log.config = TopicConfig.of({"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0",
                                 "internal.segment.bytes": "1500", "index.interval.bytes": "100",
                                 "delete.retention.ms": "5000"})  # fmt: skip
    compact(log)
    sealed = bases(log)[:-1]
    want = [row.offset for row in log.read() if row.offset < bases(log)[-1]]
    logs = ",".join(log.path(f"{base:020d}.log") for base in sealed)
    with Tools() as tools:
        done = tools.run("kafka-dump-log", "--print-data-log", "--files", logs)
        indexes = {
            suffix: [tools.run("kafka-dump-log", "--files", log.path(f"{base:020d}.{suffix}")) for base in sealed]
            for suffix in ("index", "timeindex")
        }
    assert done.returncode == 0
    text = done.stdout.decode()
    assert "isvalid: false" not in text and "isvalid: true" in text
    found = [int(line.split()[2]) for line in text.splitlines() if line.startswith("| offset: ")]
    assert found == want
    assert f"deleteHorizonMs: OptionalLong[{NOW + 5000}]" in text
    for suffix, dumps in indexes.items():
        for done in dumps:
            assert (done.returncode, done.stderr) == (0, b""), done.stderr.decode()
        entry = b"position: " if suffix == "index" else b"timestamp: "
        assert sum(done.stdout.count(entry) for done in dumps) > len(sealed)


@pytest.mark.apache
@pytest.mark.slow
def test_a_broker_compacts_the_same_records_to_the_same(tmp_path: Path) -> None:
    """A broker's own segments, before and after its cleaner: ours keeps the records that its cleaner keeps."""
    configs = {
        "cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.01", "segment.ms": "600000",
        "internal.segment.bytes": "4000", "file.delete.delay.ms": "60000", "delete.retention.ms": "86400000",
    }  # fmt: skip
    chooser = random.Random(11)
    lines = [f"k{chooser.randrange(12)}:{'NULL' if chooser.random() < 0.2 else number}" for number in range(400)]
    with (
        apache.Broker({"log.cleaner.backoff.ms": "200", "log.cleaner.enable": "true"}) as broker,
        Tools(broker.bootstrap) as tools,
    ):
        arguments = [f"--config={key}={value}" for key, value in configs.items()]
        # Not compacted at first, so that there is a before.
        first = [each for each in arguments if "cleanup.policy" not in each]
        assert tools.run("kafka-topics", "--create", "--topic", "t", *first).returncode == 0
        reading = ["parse.key=true", "key.separator=:", "null.marker=NULL"]
        for start in range(0, 400, 20):
            tools.run(
                "kafka-console-producer", "--topic", "t", *(f"--reader-property={each}" for each in reading),
                input="".join(f"{line}\n" for line in lines[start : start + 20]).encode(),
            )  # fmt: skip
        directory = broker.partition_dir("t")
        before = {path.name: path.read_bytes() for path in directory.iterdir() if path.suffix == ".log"}
        altered = tools.run(
            "kafka-configs", "--alter", "--topic", "t", "--add-config", "cleanup.policy=compact,retention.ms=-1"
        )
        assert altered.returncode == 0, altered.stderr.decode()
        deadline = time.monotonic() + 60
        checkpoint = broker.log_dir / "cleaner-offset-checkpoint"
        active = max(before)
        while not checkpoint.exists() or f"t 0 {int(active[:20])}" not in checkpoint.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.2)
        count = str(apache.record_count(broker.bootstrap, "t"))
        done = tools.run(
            "kafka-console-consumer", "--topic", "t", "--from-beginning", "--max-messages", count,
            "--formatter-property=print.key=true", "--formatter-property=print.offset=true",
        )  # fmt: skip
        theirs = [line for line in done.stdout.decode().splitlines() if line.startswith("Offset:")]
    log = Log(tmp_path, **{key.replace(".", "_"): value for key, value in configs.items()}).create()
    end = len(lines)
    files = log.files()
    files.update(before)
    del files[STATE]
    files[f"{int(active[:20]):020d}.index"] = b""
    files[f"{int(active[:20]):020d}.timeindex"] = b""
    log.restore(files)
    assert log.state().log_end_offset == end
    log.append(batch(b"x", keys=[b"after"]))
    compact(log, int(time.time() * 1000))
    ours = [
        f"Offset:{row.offset}\t{row.key.decode()}\t{'null' if row.value is None else row.value.decode()}"
        for row in log.read()
        if row.key is not None and row.offset < end
    ]
    assert ours == theirs
