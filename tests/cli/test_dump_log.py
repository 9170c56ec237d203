"""kafka-dump-log: what Apache Kafka's own prints, on its files and on ours, in little memory, while the log grows."""

from __future__ import annotations

import re
import shutil
import subprocess
import sysconfig
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from pykafka_store import inspect
from pykafka_store.errors import CorruptRecordError, UnsupportedVersionError
from pykafka_store.format.batch import Batch
from tests.support.apache_tools import Tools

SEGMENTS = Path(__file__).resolve().parent.parent / "data" / "segments"
DUMP_LOG = str(Path(sysconfig.get_path("scripts")) / "kafka-dump-log")
FIRST = "00000000000000000000.log"


def dump(cwd: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([DUMP_LOG, *arguments], cwd=cwd, capture_output=True)


# -------------------------------------------------------------------------------------- beside Apache Kafka's own tool


def files(directory: Path) -> str:
    """All files of all partition folders, as ``--files`` takes them."""
    kinds = (".log", ".index", ".timeindex", ".snapshot", ".txnindex")
    found = sorted(path for path in directory.rglob("*") if path.suffix in kinds)
    return ",".join(str(path.relative_to(directory)) for path in found)


@pytest.fixture(scope="module")
def beside_kafkas_files() -> Iterator[Tools]:
    with Tools(cwd=SEGMENTS) as tools:
        yield tools


@pytest.mark.apache
@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--print-data-log"],
        ["--deep-iteration"],
        ["--print-data-log", "--skip-record-metadata"],
        ["--index-sanity-check"],
        ["--verify-index-only", "--max-bytes", "700"],
    ],
    ids=" ".join,
)
def test_the_output_on_kafkas_files_is_that_of_kafkas_tool(beside_kafkas_files: Tools, options: list[str]) -> None:
    arguments = ["--files", files(SEGMENTS), *options]
    theirs = beside_kafkas_files.run("kafka-dump-log", *arguments)
    ours = dump(SEGMENTS, *arguments)
    assert ours.stdout.decode() == theirs.stdout.decode()
    assert sorted(ours.stderr.splitlines()) == sorted(theirs.stderr.splitlines())  # theirs is in the order of a HashMap
    assert ours.returncode == theirs.returncode == 0


@pytest.fixture(scope="module")
def our_logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Partition folders that our producer wrote: every codec, keys, headers, nulls, several segments with indexes."""
    root = tmp_path_factory.mktemp("ours")
    script = r"""
    set -e
    seq -f 'line %.0f of the plain topic' 1 5000 > lines
    kafka-topics --create --topic plain --config segment.bytes=1048576 --config index.interval.bytes=1000
    for part in 1 2 3; do kafka-console-producer --topic plain --batch-size 700 < lines; done
    for codec in gzip snappy lz4 zstd; do
        kafka-topics --create --topic $codec
        kafka-console-producer --topic $codec --compression-codec $codec < lines
    done
    kafka-topics --create --topic mixed
    printf 'h1:v1,h2:\tk1\tv1\nNULL\tk2\tNULL\nh:\303\251\tNULL\tv\303\251\n:\t\t\n' |
        kafka-console-producer --topic mixed --reader-property parse.key=true \
            --reader-property parse.headers=true --reader-property null.marker=NULL
    kafka-topics --create --topic stamped --config message.timestamp.type=LogAppendTime
    kafka-console-producer --topic stamped < lines
    """
    environ = {"PATH": f"{sysconfig.get_path('scripts')}:/usr/bin:/bin", "PYKAFKA_DATA_DIR": str(root / "data")}
    subprocess.run(["bash", "-c", script], cwd=root, env=environ, check=True)
    return root / "data" / "brokers" / "0"


@pytest.fixture(scope="module")
def beside_our_logs(our_logs: Path) -> Iterator[Tools]:
    with Tools(cwd=our_logs) as tools:
        yield tools


@pytest.mark.apache
@pytest.mark.parametrize("options", [[], ["--print-data-log"], ["--index-sanity-check"]], ids=" ".join)
def test_kafkas_tool_reads_our_files_without_complaint(
    our_logs: Path, beside_our_logs: Tools, options: list[str]
) -> None:
    arguments = ["--files", files(our_logs), *options]
    theirs = beside_our_logs.run("kafka-dump-log", *arguments)
    ours = dump(our_logs, *arguments)
    assert ours.stdout.decode() == theirs.stdout.decode()
    assert sorted(ours.stderr.splitlines()) == sorted(theirs.stderr.splitlines())
    assert ours.returncode == theirs.returncode == 0
    assert b"isvalid: false" not in theirs.stdout
    assert b"invalid bytes" not in theirs.stdout
    complaints = [line for line in theirs.stderr.decode().splitlines() if "Non-consecutive" not in line]
    assert [line for line in complaints if not line.startswith("  -1 is followed by")] == []


# ------------------------------------------------------------------------------------------------------ cut and broken


def test_a_log_cut_at_any_byte_shows_whole_batches_and_counts_the_rest(tmp_path: Path) -> None:
    data = (SEGMENTS / "mix-0" / FIRST).read_bytes()
    ends = [0, 164, 234, 302]
    for size in range(len(data) + 1):
        (tmp_path / FIRST).write_bytes(data[:size])
        with inspect.SegmentFile(str(tmp_path / FIRST)) as segment:
            found = [batch.position + batch.header.size for batch in segment.batches()]
        assert found == [end for end in ends[1:] if end <= size]


@pytest.mark.parametrize(
    ("position", "byte", "error", "message"),
    [
        (16, 1, UnsupportedVersionError, "position 0 has message format v1"),
        (16, 0, UnsupportedVersionError, "position 0 has message format v0"),
        (8, 0xFF, CorruptRecordError, "Found record size -"),
        (11, 40, CorruptRecordError, "has 52 bytes, less than its header"),
    ],
)
def test_impossible_headers_are_named(
    tmp_path: Path, position: int, byte: int, error: type[Exception], message: str
) -> None:
    data = bytearray((SEGMENTS / "mix-0" / FIRST).read_bytes())
    data[position] = byte
    path = tmp_path / FIRST
    path.write_bytes(data)
    with inspect.SegmentFile(str(path)) as segment, pytest.raises(error, match=message) as raised:
        list(segment.batches())
    assert str(path) in str(raised.value)


def test_no_byte_can_make_it_fail_without_a_word(tmp_path: Path) -> None:
    """Any flipped byte: the batch is called invalid, or the error names the file. Nothing else may happen."""
    data = (SEGMENTS / "codec-gzip-0" / FIRST).read_bytes()
    not_summed = {*range(8), *range(12, 16)}  # base offset and leader epoch; no other byte may go unnoticed
    path = tmp_path / FIRST
    for position in range(len(data)):
        broken = bytearray(data)
        broken[position] ^= 0xFF
        path.write_bytes(broken)
        for batch in _batches_or_error(path):
            within = position - batch.position
            assert not batch.is_valid or within not in range(batch.header.size) or within in not_summed
            try:
                inspect.records_of(batch, str(path))
            except CorruptRecordError as error:
                assert str(path) in str(error)


def _batches_or_error(path: Path) -> Iterator[Batch]:
    with inspect.SegmentFile(str(path)) as segment:
        try:
            yield from segment.batches()
        except (CorruptRecordError, UnsupportedVersionError) as error:
            assert str(path) in str(error)


def test_an_index_ends_at_its_preallocated_zeros(tmp_path: Path) -> None:
    for path in (SEGMENTS / "small-0").iterdir():
        shutil.copy(path, tmp_path)
    for suffix in ("index", "timeindex"):
        path = tmp_path / f"00000000000000000144.{suffix}"
        whole = dump(tmp_path, "--files", path.name).stdout
        with path.open("ab") as file:
            file.write(bytes(10 * 24))
        assert dump(tmp_path, "--files", path.name).stdout == whole


def test_sequence_numbers_start_again_after_the_largest() -> None:
    with inspect.SegmentFile(str(SEGMENTS / "mix-0" / FIRST)) as segment:
        header = next(segment.batches()).header._replace(base_sequence=2**31 - 2, base_offset=100)
    assert [inspect.sequence_at(header, offset) for offset in (100, 101, 102, 103)] == [2**31 - 2, 2**31 - 1, 0, 1]
    assert inspect.sequence_at(header._replace(base_sequence=-1), 103) == -1


# ------------------------------------------------------------------------------------------------------ large and live


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    data = (SEGMENTS / "codec-none-0" / FIRST).read_bytes()
    with (tmp_path / FIRST).open("wb") as file:
        for _ in range(10):
            file.write(data * 1000)  # 24 MB
    tracemalloc.start()
    try:
        with inspect.SegmentFile(str(tmp_path / FIRST)) as segment:
            assert sum(batch.is_valid for batch in segment.batches()) == 20_000
        _now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000


def test_a_log_can_be_dumped_while_it_grows_and_is_not_changed(tmp_path: Path) -> None:
    data = (SEGMENTS / "mix-0" / FIRST).read_bytes()
    path = tmp_path / FIRST
    path.write_bytes(data)
    path.chmod(0o444)
    with inspect.SegmentFile(str(path)) as segment:
        batches = segment.batches()
        next(batches)
        path.chmod(0o644)
        with path.open("ab") as file:
            file.write(data)  # after it was opened
        assert len(list(batches)) == 2
    before = path.stat()
    assert dump(tmp_path, "--files", FIRST).returncode == 0
    assert [entry.name for entry in tmp_path.iterdir()] == [FIRST]
    assert (path.stat().st_mtime_ns, path.stat().st_size) == (before.st_mtime_ns, before.st_size)


def test_what_is_dumped_of_our_own_topic_is_what_was_written(tmp_path: Path) -> None:
    environ = {"PATH": f"{sysconfig.get_path('scripts')}:/usr/bin:/bin", "PYKAFKA_DATA_DIR": str(tmp_path / "data")}
    script = "kafka-topics --create --topic t >&2 && seq 1 2000 | kafka-console-producer --topic t"
    subprocess.run(["bash", "-c", script], env=environ, check=True)
    done = dump(tmp_path / "data/brokers/0/t-0", "--files", FIRST, "--print-data-log")
    payloads = re.findall(rb"payload: (.*)", done.stdout)
    assert payloads == [b"%d" % number for number in range(1, 2001)]
