"""Cut it at every byte, flip every byte: a log gives what was acknowledged or says by name what is damaged.

Three situations, by what the published state says. *Same boot*: no power went away, so the state is true and anything
that does not fit it is damage. *Another boot*: after a power cut the bytes decide, and what was never synced may be
gone. *No state*: missing or torn, as after a power cut, or by hand.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from pykafka_store.embedded.log import reader as reader_module
from pykafka_store.embedded.log.by_time import offset_for_timestamp, offset_of_max_timestamp
from pykafka_store.embedded.log.replica_state import mark_deleted
from pykafka_store.errors import (
    CorruptRecordError,
    OffsetOutOfRangeError,
    StorageError,
    StoreError,
    UnknownTopicOrPartitionError,
    UnsupportedVersionError,
)
from pykafka_store.format.batch import split_batches
from pykafka_store.format.checkpoint import format_partition_metadata
from pykafka_store.format.state import SIZE, pack_state, parse_state
from pykafka_store.settings.configs import TopicConfig
from tests.store.helpers import (
    OTHER_BOOT,
    STATE,
    TOPIC,
    Log,
    QuickDisk,
    Row,
    batch,
    of_another_boot,
    reader_decode,
    rows,
)
from tests.support import sweep
from tests.support.faulty_disk import FaultyDisk, Killed

LOG = "00000000000000000000.log"
NEW = batch(b"new", at=5000)
BATCHES = [
    batch(b"zero", b"one", at=1000),
    batch(b"two", None, keys=[b"k", None], headers=[[("h", b"x")], []], at=[1002, 1001]),
    batch(b"four", at=1004),
    batch(b"five" * 9, b"six" * 9, b"seven" * 9, at=1005, codec=4),
    batch(b"eight", at=1008),
]


@pytest.fixture(autouse=True)
def _few_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    """A state that does not check is looked at again for a while, lest it is just being written; not so here."""
    monkeypatch.setattr(reader_module, "_STATE_TRIES", 2)


class Sample:
    """A log as its writer left it: its files, its records, and where its batches begin."""

    def __init__(self, log: Log, states: list[bytes]) -> None:
        self.log = log
        self.files = log.files()
        self.rows = log.read()
        self.states = states
        """The published state after each append."""
        self.starts = [
            (name, found.position, found.header.base_offset)
            for name in sorted(name for name in self.files if name.endswith(".log"))
            for found in split_batches(self.files[name])
        ]
        """(file, position, offset) of each batch."""

    def first_offset_of(self, name: str, position: int) -> int:
        """The first offset of the batch that a byte belongs to."""
        return max(offset for file, at, offset in self.starts if file == name and at <= position)

    def segment(self, offset: int) -> str:
        return next(file for file, _, first in reversed(self.starts) if first <= offset)

    def restored(self, **changed: bytes | None) -> Log:
        """The log with some files replaced, or left out."""
        files = {**self.files, **{key: value for key, value in changed.items() if value is not None}}
        self.log.restore({name: data for name, data in files.items() if changed.get(name, b"") is not None})
        return self.log


def _sample(root: Path, **configs: str) -> Sample:
    log = Log(root, index_interval_bytes="50", **configs).create()
    states = []
    for each in BATCHES:
        log.append(each)
        states.append(log.files()[STATE])
    return Sample(log, states)


@pytest.fixture
def one(tmp_path: Path) -> Sample:
    """All batches in one segment."""
    sample = _sample(tmp_path)
    assert len({name for name, _, _ in sample.starts}) == 1
    assert len(sample.rows) == 9
    return sample


@pytest.fixture
def many(tmp_path: Path) -> Sample:
    """Two or three batches a segment."""
    sample = _sample(tmp_path, internal_segment_bytes="200")
    assert len({name for name, _, _ in sample.starts}) == 3
    return sample


def read_on(log: Log, offset: int = 0) -> tuple[list[Row], StoreError | None]:
    """What comes from an offset on until the end or the first error."""
    found: list[Row] = []
    reader = log.reader()
    try:
        while batches := reader.read(offset, 1):
            found += (row for row in rows(map(reader_decode, batches)) if row.offset >= offset)
            offset = batches[-1].header.last_offset + 1
    except StoreError as error:
        return found, error
    finally:
        reader.close()
    return found, None


def named(error: StoreError | None, offset: int, file: str) -> bool:
    """Whether an error says which partition, which offset and which file."""
    assert isinstance(error, CorruptRecordError | UnsupportedVersionError), error
    text = str(error)
    assert "\n" not in text
    return f"{TOPIC}-0" in text and f"offset {offset}" in text and file in text


def flips(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(position, data with a byte changed) for every byte: all its bits, or one of them; a full sweep has both."""
    for position, byte in enumerate(data):
        for mask in sweep.one_of([0xFF, 1 << position % 8]):
            yield position, data[:position] + bytes([byte ^ mask]) + data[position + 1 :]


def is_epoch(sample: Sample, name: str, position: int) -> bool:
    """Whether a byte belongs to a leader epoch, which neither the CRC nor the order of offsets covers."""
    start = max(at for file, at, _ in sample.starts if file == name and at <= position)
    return 12 <= position - start < 16


def goes_on(log: Log, before: list[Row]) -> None:
    """The log takes another record where it ends, and holds what it held and that."""
    done = log.append(NEW)
    assert done.error is None
    assert done.base_offset == (before[-1].offset + 1 if before else 0)
    assert log.read() == [*before, Row(done.base_offset, 5000, None, b"new")]


# ---------------------------------------------------------------------------------------------------------- same boot


@pytest.mark.parametrize("sizes", ["one", "many"])
def test_a_flipped_byte_is_an_error_by_name_and_everything_else_is_still_read(
    sizes: str, request: pytest.FixtureRequest
) -> None:
    """Reading from any offset gives the right records up to the damaged batch, then the error; what lies behind it is
    read too where it can be found. New records are taken.
    """
    sample: Sample = request.getfixturevalue(sizes)
    for name in sorted({name for name, _, _ in sample.starts}):
        for position, data in flips(sample.files[name]):
            log = sample.restored(**{name: data})
            damaged = sample.first_offset_of(name, position)
            for _, _, offset in sample.starts:
                found, error = read_on(log, offset)
                assert found == sample.rows[offset : offset + len(found)]
                if error is None:
                    assert len(found) == len(sample.rows) - offset
                    assert offset > damaged or is_epoch(sample, name, position)
                else:
                    assert named(error, offset + len(found), name)
                    assert offset + len(found) == max(damaged, offset)
            done = log.append(NEW)
            assert done.base_offset == len(sample.rows)
            try:
                assert log.read(done.base_offset) == [Row(9, 5000, None, b"new")]
            except (CorruptRecordError, UnsupportedVersionError) as error:
                assert named(error, 9, sample.segment(8))
                assert name == sample.segment(8)


def test_a_cut_segment_is_an_error_by_name_and_never_a_shorter_log(one: Sample) -> None:
    """What was acknowledged and is gone is never silently gone: readers say so where it is missing, writers at once."""
    data = one.files[LOG]
    for size in range(len(data)):
        log = one.restored(**{LOG: data[:size]})
        found, error = read_on(log)
        assert found == one.rows[: one.first_offset_of(LOG, size)]
        assert named(error, len(found), LOG)
        with pytest.raises(CorruptRecordError, match=f"{TOPIC}-0: .*{LOG} holds {size} bytes where {len(data)} were"):
            log.append(NEW)
        assert log.files()[LOG] == data[:size], "nothing is changed in a damaged log"


def test_a_cut_sealed_segment_is_an_error_by_name(many: Sample) -> None:
    names = sorted({name for name, _, _ in many.starts})
    for name in names[:-1]:
        data = many.files[name]
        for size in range(len(data)):
            log = many.restored(**{name: data[:size]})
            found, error = read_on(log)
            assert found == many.rows[: many.first_offset_of(name, size)]
            assert isinstance(error, CorruptRecordError)
            assert f"{TOPIC}-0 at offset {len(found)}" in str(error)
            assert log.directory in str(error)
            assert log.append(NEW).base_offset == 9


def test_a_missing_segment_is_an_error_by_name(many: Sample) -> None:
    names = sorted({name for name, _, _ in many.starts})
    for number, name in enumerate(names):
        log = many.restored(**{name: None})
        found, error = read_on(log)
        assert found == many.rows[: int(name[:20])]
        assert isinstance(error, CorruptRecordError)
        assert f"{TOPIC}-0 at offset {len(found)}" in str(error)
        if number == len(names) - 1:
            with pytest.raises(CorruptRecordError, match=f"{name} is missing"):
                log.append(NEW)
        else:
            assert log.append(NEW).base_offset == 9


def test_bytes_after_the_end_are_never_read_and_cut_off_by_the_next_writer(one: Sample) -> None:
    """What a killed writer leaves: any part of the next batch, or all of it, not published."""
    one.log.append(batch(b"never acknowledged", at=9))
    left = one.log.files()[LOG]
    data = one.files[LOG]
    for size in range(len(data), len(left) + 1):
        log = one.restored(**{LOG: left[:size]})
        assert log.read() == one.rows
        assert log.files()[LOG] == left[:size], "readers change nothing"
        goes_on(log, one.rows)


def test_offsets_outside_the_log_are_refused(one: Sample) -> None:
    for offset in (-1, 10, 1 << 62):
        _, error = read_on(one.log, offset)
        assert isinstance(error, OffsetOutOfRangeError)
        assert f"Offset {offset} of {TOPIC}-0" in str(error)
    assert read_on(one.log, 9) == ([], None)


# -------------------------------------------------------------------------------------------- another boot, or no state


def _states(sample: Sample) -> dict[str, bytes | None]:
    """The published states under which only the log's bytes decide."""
    return {
        "another boot": of_another_boot(sample.files[STATE]),
        "an older state of another boot": of_another_boot(sample.states[1]),
        "no state": None,
        "half a state": sample.files[STATE][:70],
    }


@pytest.mark.parametrize("kind", ["another boot", "an older state of another boot", "no state", "half a state"])
def test_after_a_power_cut_the_log_ends_before_the_first_batch_that_is_not_whole(one: Sample, kind: str) -> None:
    """Cut at every byte: readers and the next writer agree on the same prefix, and the log goes on from there."""
    state = _states(one)[kind]
    data = one.files[LOG]
    for size in range(len(data) + 1):
        log = one.restored(**{LOG: data[:size], STATE: state})
        prefix = one.rows[: one.first_offset_of(LOG, size)] if size < len(data) else one.rows
        assert log.read() == prefix
        assert log.files().get(STATE) == state, "readers change nothing"
        goes_on(log, prefix)


@pytest.mark.parametrize("kind", ["another boot", "an older state of another boot", "no state", "half a state"])
def test_after_a_power_cut_zeros_at_the_end_are_no_records(one: Sample, kind: str) -> None:
    """A file's size may reach the disk before its bytes do: zeros, from any byte on."""
    state = _states(one)[kind]
    data = one.files[LOG]
    for size in range(len(data) + 1):
        padded = data[:size] + bytes(len(data) - size + 100)
        same = next((at for at in range(len(data)) if padded[at] != data[at]), len(data))
        log = one.restored(**{LOG: padded, STATE: state})
        prefix = one.rows[: one.first_offset_of(LOG, same)] if same < len(data) else one.rows
        assert log.read() == prefix
        goes_on(log, prefix)


@pytest.mark.parametrize("kind", ["another boot", "no state"])
def test_after_a_power_cut_a_flipped_byte_ends_the_log_before_its_batch(one: Sample, kind: str) -> None:
    state = _states(one)[kind]
    for position, data in flips(one.files[LOG]):
        log = one.restored(**{LOG: data, STATE: state})
        prefix = one.rows[: one.first_offset_of(LOG, position)]
        if is_epoch(one, LOG, position):
            assert log.read() in (prefix, one.rows)
            prefix = log.read()
        assert log.read() == prefix
        goes_on(log, prefix)


@pytest.mark.parametrize("number", range(len(BATCHES)))
def test_what_was_synced_is_never_given_up(one: Sample, number: int) -> None:
    """Below the synced position a flipped byte is damage, not a torn tail: the log keeps its end, and readers say so.
    Bytes that are missing there are an error at once.
    """
    _, synced, offset = one.starts[number]
    state = of_another_boot(one.files[STATE], synced_position=synced, recovery_point=offset)
    for position, data in flips(one.files[LOG]):
        log = one.restored(**{LOG: data, STATE: state})
        damaged = one.first_offset_of(LOG, position)
        found, error = read_on(log)
        assert found == one.rows[: len(found)]
        if is_epoch(one, LOG, position):
            continue
        assert len(found) == damaged
        if position < synced:
            assert named(error, damaged, LOG)
            assert log.append(NEW).base_offset == 9
        else:
            assert error is None
            goes_on(log, found)
    data = one.files[LOG]
    for size in range(len(data)):
        log = one.restored(**{LOG: data[:size], STATE: state})
        if size >= synced:
            goes_on(log, one.rows[: one.first_offset_of(LOG, size)])
            continue
        with pytest.raises(CorruptRecordError, match=f"{TOPIC}-0: .*{LOG} holds {size} bytes where {synced} were"):
            log.append(NEW)
        assert log.files()[LOG] == data[:size]


@pytest.mark.parametrize("kind", ["another boot", "an older state of another boot", "no state", "half a state"])
def test_after_a_power_cut_every_segment_is_found_again(many: Sample, kind: str) -> None:
    """The state may be older than the last rolls; a cut or flipped byte in the last segment takes its tail only."""
    state = _states(many)[kind]
    last = many.segment(8)
    data = many.files[last]
    for size in range(len(data) + 1):
        log = many.restored(**{last: data[:size], STATE: state})
        prefix = many.rows if size == len(data) else many.rows[: many.first_offset_of(last, size)]
        assert log.read() == prefix
        goes_on(log, prefix)
    for position, flipped in flips(data):
        log = many.restored(**{last: flipped, STATE: state})
        prefix = many.rows[: many.first_offset_of(last, position)]
        if is_epoch(many, last, position):
            prefix = log.read()
            assert prefix == many.rows[: len(prefix)]
        assert log.read() == prefix
        goes_on(log, prefix)


@pytest.mark.parametrize("kind", ["another boot", "an older state of another boot", "no state", "half a state"])
def test_damage_in_a_sealed_segment_never_takes_a_later_one_with_it(many: Sample, kind: str) -> None:
    """A segment with records proves that the one before it was whole and on the disk: what fails there is no tail."""
    state = _states(many)[kind]
    names = sorted({name for name, _, _ in many.starts})
    for name in names[:-1]:
        for position, data in flips(many.files[name]):
            log = many.restored(**{name: data, STATE: state})
            damaged = many.first_offset_of(name, position)
            found, error = read_on(log)
            assert found == many.rows[: len(found)]
            assert is_epoch(many, name, position) or (len(found) == damaged and named(error, damaged, name))
            assert log.append(NEW).base_offset == 9
            behind = int(names[-1][:20])
            assert log.read(behind)[:-1] == many.rows[behind:]


@pytest.mark.parametrize("stray", [b"", bytes(100)])
@pytest.mark.parametrize("kind", ["same boot", "another boot", "no state"])
def test_a_segment_that_a_dying_writer_left_unpublished_is_no_part_of_the_log(
    one: Sample, kind: str, stray: bytes
) -> None:
    """A roll was cut short after it made the next segment: at the end, or left behind by an older one."""
    for base in (9, 4, 100):
        names = [f"{base:020d}{suffix}" for suffix in (".log", ".index", ".timeindex")]
        state = {"same boot": one.files[STATE], **_states(one)}[kind]
        if stray and base == 9 and kind != "same boot":
            continue  # it is where the log goes on, so its bytes are looked at: zeros are no records
        log = one.restored(**{STATE: state, **dict.fromkeys(names, stray)})
        for offset in range(len(one.rows)):
            assert log.read(offset, 1) == one.rows[offset:]
        goes_on(log, one.rows)
        for _ in range(4):
            log.append(batch(b"x" * 50, at=5000))
        assert [row.offset for row in log.read()] == list(range(14))


def test_a_roll_takes_away_what_an_earlier_one_left(many: Sample) -> None:
    stray = f"{100:020d}.log"
    log = many.restored(**{stray: b"left by a writer that died"})
    while log.append(batch(b"x" * 100, at=5000)).base_offset < 12:
        pass
    assert stray not in log.files()
    assert [row.offset for row in log.read()] == list(range(13))


def test_a_lost_segment_after_a_power_cut_is_an_error_if_it_was_synced(many: Sample) -> None:
    last = many.segment(8)
    log = many.restored(**{last: None, STATE: of_another_boot(many.files[STATE])})
    with pytest.raises(CorruptRecordError, match=f"{TOPIC}-0: .*{last} is missing"):
        log.append(NEW)
    assert read_on(log)[1] is not None


def test_a_partition_whose_files_never_reached_the_disk_begins_again_behind_its_old_end(one: Sample) -> None:
    """Its state did: then at least no offset comes twice."""
    names = [name for name in one.files if name.startswith("0000")]
    log = one.restored(**dict.fromkeys(names), **{STATE: of_another_boot(one.files[STATE])})
    assert log.read() == []
    assert log.append(NEW).base_offset == 9
    assert log.read() == [Row(9, 5000, None, b"new")]


def test_an_empty_directory_becomes_an_empty_log(one: Sample) -> None:
    """A topic's directory whose entries were not on the disk yet when the power went."""
    one.log.restore({})
    assert one.log.read() == []
    goes_on(one.log, [])


def test_the_directory_of_another_topic_is_not_taken_for_ones_own(one: Sample) -> None:
    """Deleted and made again under the same name, and its state lost: partition.metadata tells whose it is."""
    other = format_partition_metadata("z" * 21 + "A").encode()
    log = one.restored(**{STATE: None, "partition.metadata": other})
    with pytest.raises(UnknownTopicOrPartitionError, match=f"{TOPIC}-0 is gone"):
        log.append(NEW)
    with pytest.raises(UnknownTopicOrPartitionError, match=f"{TOPIC}-0 is gone"):
        log.read()


def test_a_reader_that_recovers_while_a_writer_comes_by_sees_nothing_that_is_not_acknowledged(one: Sample) -> None:
    """The writer recovers too, writes, and dies before it publishes: what the reader has found may hold that, so it
    looks at the state again before it believes what it found.
    """
    log = one.restored(**{STATE: of_another_boot(one.files[STATE])})

    class Dying(QuickDisk):
        published = 0

        def write_at(self, descriptor: int, pieces: Sequence[bytes], position: int, path: str = "") -> int:
            self.published += path.endswith(STATE)
            if self.published == 2:  # the first was the recovered state
                raise Killed
            return super().write_at(descriptor, pieces, position, path)

    class Interleaved(QuickDisk):
        met = False

        def open(self, path: str, flags: int = os.O_RDONLY) -> int:
            if path.endswith(LOG) and not self.met:
                self.met = True
                with pytest.raises(Killed):
                    log.append(NEW, disk=Dying())
                assert len(log.files()[LOG]) > len(one.files[LOG]), "nothing was written: this tests nothing"
            return super().open(path, flags)

    reader = log.reader(Interleaved())
    try:
        assert reader.state().high_watermark == 9
        assert reader.read(9) == []
    finally:
        reader.close()
    goes_on(log, one.rows)


def test_a_writer_that_still_has_the_files_of_a_deleted_partition_open_is_told(one: Sample) -> None:
    """By the mark in the state, or by the id of another topic there, even if it did not look at the catalogue."""
    writer = one.log.writer()
    try:
        writer.append([NEW])
        mark_deleted(one.log.disk, one.log.directory)
        with pytest.raises(UnknownTopicOrPartitionError, match=f"{TOPIC}-0 is gone"):
            writer.append([NEW])
    finally:
        writer.close()
    other = parse_state(one.files[STATE])._replace(topic_id=b"another topic id")
    log = one.restored(**{STATE: pack_state(other)})
    with pytest.raises(UnknownTopicOrPartitionError, match=f"{TOPIC}-0 is gone"):
        log.append(NEW)
    with pytest.raises(UnknownTopicOrPartitionError, match=f"{TOPIC}-0 is gone"):
        log.read()


# ----------------------------------------------------------------------------------------------------- the state's file


def test_a_state_torn_at_any_byte_is_found_again_from_the_log(many: Sample) -> None:
    """Cut short, zeros from there on, or the rest of the state before it: never believed, never missed."""
    state = many.files[STATE]
    for size in range(SIZE):
        for torn in {state[:size], state[:size] + bytes(SIZE - size), state[:size] + many.states[2][size:]}:
            if torn in (state, many.states[2]):
                continue  # a whole one
            log = many.restored(**{STATE: torn})
            assert log.read() == many.rows
            goes_on(log, many.rows)


def test_a_state_with_any_byte_flipped_is_found_again_from_the_log(many: Sample) -> None:
    for position, state in flips(many.files[STATE]):
        log = many.restored(**{STATE: state})
        try:
            assert log.read() == many.rows
            goes_on(log, many.rows)
        except UnsupportedVersionError:
            assert position in (4, 5)
            pytest.fail("a version that only a flipped bit made is damage: the CRC says so")


def test_a_reader_that_follows_notices_the_state_that_a_writer_made_anew(one: Sample) -> None:
    log = one.restored(**{STATE: None})
    reader = log.reader()
    try:
        assert reader.state().high_watermark == 9
        log.append(NEW)
        assert reader.state().high_watermark == 10
        assert rows(map(reader_decode, reader.read(9))) == [Row(9, 5000, None, b"new")]
    finally:
        reader.close()


def test_recovery_happens_once_and_ends_on_the_disk(one: Sample) -> None:
    """What recovery found is synced before anybody builds on it, so that a second power cut brings nothing back."""
    log = one.restored(**{STATE: of_another_boot(one.files[STATE])})
    log.append(NEW)
    state = parse_state(log.files()[STATE])
    assert state.boot_id == log.boot != OTHER_BOOT
    assert state.synced_position == len(one.files[LOG])
    assert state.recovery_point == 9


def test_where_the_system_tells_no_boot_id_every_opening_writer_verifies_the_log(tmp_path: Path) -> None:
    """It may have been another boot: so what is missing at the end is a torn tail. Once it is open, that is over."""
    log = Log(tmp_path, boot=bytes(16)).create()
    writer = log.writer()
    writer.append([batch(b"one", at=1)])
    writer.append([batch(b"two", at=2)])
    data = log.files()[LOG]
    with open(log.path(LOG), "wb") as file:
        file.write(data[:-1])
    with pytest.raises(CorruptRecordError):
        writer.append([NEW])
    writer.close()
    goes_on(log, [Row(0, 1, None, b"one")])


# -------------------------------------------------------------------------------------------------------- the indexes


def _index_files(sample: Sample) -> list[str]:
    found = [name for name in sample.files if name.endswith("index")]
    assert any(name.endswith(".index") and sample.files[name] for name in found)
    assert any(name.endswith(".timeindex") and sample.files[name] for name in found)
    return found


def _damaged_indexes(sample: Sample) -> Iterator[Mapping[str, bytes | None]]:
    for name in _index_files(sample):
        data = sample.files[name]
        yield {name: None}
        yield {name: data + b"\x01"}
        yield {name: data + bytes(96)}
        yield {name: bytes(len(data))}
        yield from ({name: data[:size]} for size in range(len(data)))
        yield from ({name: flipped} for _, flipped in flips(data))


@pytest.mark.parametrize("sizes", ["one", "many"])
@pytest.mark.parametrize("kind", ["same boot", "another boot", "no state"])
def test_whatever_happens_to_an_index_every_offset_is_read_right(
    sizes: str, kind: str, request: pytest.FixtureRequest
) -> None:
    sample: Sample = request.getfixturevalue(sizes)
    state = {"same boot": sample.files[STATE], **_states(sample)}[kind]
    for changed in _damaged_indexes(sample):
        log = sample.restored(**{STATE: state, **changed})
        for offset in range(len(sample.rows)):
            assert log.read(offset, 1) == sample.rows[offset:]
        log.append(NEW)
        for offset in range(len(sample.rows)):
            assert log.read(offset, 1)[:-1] == sample.rows[offset:]


def test_what_a_killed_writer_left_in_the_indexes_goes_with_its_batch(one: Sample) -> None:
    """Apache Kafka's tools read an index to its file's end, whatever the published state counts."""
    number = 0
    while True:
        log = one.restored()
        log.config = TopicConfig.of({"index.interval.bytes": "50"})
        dying = FaultyDisk(number, how="late", stays_dead=True)
        with suppress(StorageError):
            log.append(NEW, disk=dying)
        if not dying.failed:
            break
        log.config = TopicConfig.of({"index.interval.bytes": "4096"})
        log.append(batch(b"x", at=5001))
        files = log.files()
        state = parse_state(files[STATE])
        assert len(files[LOG]) == state.end_position
        for suffix, size, entries in ((".index", 8, state.index_entries), (".timeindex", 12, state.time_index_entries)):
            assert len(files[LOG.replace(".log", suffix)]) == size * entries, f"killed after {dying.failed[0]}"
        number += 1
    assert number > 5


def _by_time(log: Log, timestamp: int) -> int | None:
    reader = log.reader()
    try:
        found = offset_for_timestamp(reader, timestamp)
        return None if found is None else found[0]
    finally:
        reader.close()


def _latest(log: Log) -> int | None:
    reader = log.reader()
    try:
        found = offset_of_max_timestamp(reader)
        return None if found is None else found[0]
    finally:
        reader.close()


@pytest.mark.parametrize("kind", ["same boot", "another boot", "no state"])
def test_a_lost_or_damaged_index_changes_no_answer_to_a_question_by_time(many: Sample, kind: str) -> None:
    """But for one that was cut between two entries by hand: nothing in Kafka's format tells that."""
    state = {"same boot": many.files[STATE], **_states(many)}[kind]
    for name in _index_files(many):
        data = many.files[name]
        entry = 12 if name.endswith(".timeindex") else 8
        cut = (data[:size] for size in range(len(data)) if size % entry)
        for damaged in (None, b"", *cut, *(flipped for _, flipped in flips(data))):
            log = many.restored(**{STATE: state, name: damaged})
            for timestamp in range(999, 1010):
                expected = next((row.offset for row in many.rows if row.timestamp >= timestamp), None)
                assert _by_time(log, timestamp) == expected
            assert _latest(log) == 8


def test_the_largest_time_of_a_log_is_known_again_after_a_power_cut(one: Sample) -> None:
    """Also where it stands in the synced part, in no index, while a later and larger one was lost with the tail."""
    wide = Log(Path(one.log.directory).parent / "wide").create()
    wide.append(batch(b"a", at=2000))
    synced = os.path.getsize(wide.path(LOG))
    wide.append(batch(b"b", at=3000))
    files = wide.files()
    files[LOG] = files[LOG][:synced]
    files[STATE] = of_another_boot(files[STATE], synced_position=synced, recovery_point=1)
    wide.restore(files)
    assert wide.state().max_timestamp == 2000
    assert _by_time(wide, 1500) == 0
    assert _latest(wide) == 0
    wide.append(NEW)
    assert _by_time(wide, 1500) == 0


def test_every_file_of_a_partition_may_be_looked_at_without_being_changed(many: Sample) -> None:
    for state in _states(many).values():
        log = many.restored(**{STATE: state})
        before = log.files()
        log.read()
        _by_time(log, 1004)
        _latest(log)
        assert log.files() == before
