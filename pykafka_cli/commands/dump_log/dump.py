"""What ``kafka-dump-log`` prints of segments, indexes and producer state, and what of them does not fit together.

Source of behaviour and texts: org.apache.kafka.tools.DumpLogSegments.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from pykafka_cli.env import Env
from pykafka_cli.errors import CommandFailure
from pykafka_cli.java.text import split
from pykafka_cli.tool.options import Options

if TYPE_CHECKING:
    from pykafka_store.format.batch import Batch, BatchHeader
    from pykafka_store.model import Records

STRING_DECODER = "org.apache.kafka.tools.api.StringDecoder"
NO_LIMIT = 2**31 - 1
"""The default of --max-bytes. Whoever gives another number is not told about bytes that are left over."""
BATCHES_AT_ONCE = 64
"""Batch lines to collect before they are written."""

Decoder = Callable[[bytes], str]
Pairs = dict[str, dict[int, int]]
"""File -> offset -> the other offset; the maps behind Kafka's closing reports."""


def _number(size: int, data: bytes) -> str:
    """IntegerDecoder and LongDecoder: the big-endian number in the first bytes."""
    if len(data) < size:
        raise CommandFailure(f"a field of {len(data)} bytes holds no number of {size}: use another decoder class")
    return str(int.from_bytes(data[:size], "big", signed=True))


DECODERS: dict[str, Decoder] = {
    STRING_DECODER: lambda data: data.decode("utf-8", "replace"),
    "org.apache.kafka.tools.api.IntegerDecoder": lambda data: _number(4, data),
    "org.apache.kafka.tools.api.LongDecoder": lambda data: _number(8, data),
}


class Dump:
    """One run: the options, and the mismatches that the report at the end lists."""

    def __init__(self, env: Env, options: Options) -> None:
        self.env = env
        self.options = options
        self.contents = any(map(options.has, ("print-data-log", "key-decoder-class", "value-decoder-class")))
        self.deep = self.contents or options.has("deep-iteration")
        self.metadata = not options.has("skip-record-metadata")
        self.sanity_only = options.has("index-sanity-check")
        self.entries = not options.has("verify-index-only")
        self.wrong_positions: Pairs = {}
        self.wrong_timestamps: dict[str, list[tuple[int, int]]] = {}
        self.unordered_timestamps: dict[str, list[tuple[int, int]]] = {}
        self.unknown_offsets: dict[str, list[tuple[int, int]]] = {}
        self.gaps: Pairs = {}

    def run(self, files: str) -> None:
        from pykafka_store import inspect

        dump_by_suffix = {
            inspect.LOG_SUFFIX: self.log,
            inspect.METADATA_SNAPSHOT_SUFFIX: self.log,
            inspect.OFFSET_INDEX_SUFFIX: self.offset_index,
            inspect.TIME_INDEX_SUFFIX: self.time_index,
            inspect.PRODUCER_SNAPSHOT_SUFFIX: self.producer_snapshot,
            inspect.TRANSACTION_INDEX_SUFFIX: self.transaction_index,
        }
        for name in split(files, ","):
            path = _as_java_prints(name)
            self.env.out(f"Dumping {path}")
            dump = dump_by_suffix.get(re.sub(r"^.*(?=\.)", "", os.path.basename(path)))
            if dump is None:
                self.env.report_error(f"Ignoring unknown file {path}")
            else:
                dump(path)
        self.report()

    def log(self, path: str) -> None:
        from pykafka_store.inspect import SegmentFile

        max_bytes = _byte_count(self.options, "max-bytes")
        decoders = _decoder(self.options, "key-decoder-class"), _decoder(self.options, "value-decoder-class")
        self.env.out(_log_heading(path))
        gaps: dict[int, int] = {}
        previous = -1
        lines: list[str] = []
        with SegmentFile(path) as segment:
            end = min(segment.size, max_bytes)
            valid_bytes = 0
            try:
                for number, batch in enumerate(segment.batches(end=end)):
                    lines.append(_batch_line(batch))
                    if self.deep:
                        records = self.records(batch, path)
                        for offset in records.offsets:
                            if offset != previous + 1:
                                gaps[previous] = offset
                            previous = offset
                        lines += self.record_lines(batch.header, records, *decoders)
                    valid_bytes = batch.position + batch.header.size
                    if len(lines) > BATCHES_AT_ONCE or number == 0:
                        self.write(lines)
            finally:  # batches before the damage are printed before the error is
                self.write(lines)
        if gaps:
            self.gaps[os.path.abspath(path)] = gaps
        if end > valid_bytes and max_bytes == NO_LIMIT:
            self.env.out(f"Found {end - valid_bytes} invalid bytes at the end of {os.path.basename(path)}")

    def write(self, lines: list[str]) -> None:
        if lines:
            self.env.out("\n".join(lines))
            lines.clear()

    def records(self, batch: Batch, path: str) -> Records:
        from pykafka_store.inspect import records_of

        return records_of(batch, path)

    def record_lines(
        self, header: BatchHeader, records: Records, decode_key: Decoder, decode_value: Decoder
    ) -> Iterator[str]:
        from pykafka_store.inspect import sequence_at

        control, time_of = header.is_control, _timestamp_type(header)
        for offset, timestamp, key, value, headers in zip(
            records.offsets, records.timestamps, records.keys, records.values, records.headers, strict=True
        ):
            line = ""
            if self.metadata:
                names = ",".join([name for name, _content in headers]) if headers else ""
                line = (
                    f"| offset: {offset} {time_of}: {timestamp}"
                    f" keySize: {-1 if key is None else len(key)} valueSize: {-1 if value is None else len(value)}"
                    f" sequence: {sequence_at(header, offset)} headerKeys: [{names}]"
                )
                if control:
                    line += _control(key, value)
            if self.contents and not control:
                before = " " if self.metadata else "| "
                if key is not None:
                    line += f"{before}key: {decode_key(key)}"
                    before = " "
                if value is not None:
                    line += f"{before}payload: {decode_value(value)}"
            yield line

    def offset_index(self, path: str) -> None:
        from pykafka_store import inspect

        inspect.check_company(path)
        if inspect.index_is_empty(path):
            self.env.out(f"{path} is empty.")
        elif self.sanity_only:
            self.sanity_check(path)
        else:
            for entry in inspect.offset_index(path, _byte_count(self.options, "max-message-size")):
                if not entry.is_right:
                    self.wrong_positions.setdefault(os.path.abspath(path), {})[entry.offset] = entry.found_offset
                if self.entries:
                    self.env.out(f"offset: {entry.offset} position: {entry.position}")

    def time_index(self, path: str) -> None:
        from pykafka_store import inspect

        inspect.check_company(path)
        if self.sanity_only:
            self.sanity_check(path)
            return
        full_path = os.path.abspath(path)
        previous = -1
        for entry in inspect.time_index(path):
            if entry.found_timestamp is None:
                self.unknown_offsets.setdefault(full_path, []).append((entry.offset, entry.found_offset))
            else:
                if entry.found_timestamp != entry.timestamp:
                    self.wrong_timestamps.setdefault(full_path, []).append((entry.timestamp, entry.found_timestamp))
                if previous >= entry.timestamp:
                    self.unordered_timestamps.setdefault(full_path, []).append((entry.timestamp, previous))
            if self.entries:
                self.env.out(f"timestamp: {entry.timestamp} offset: {entry.offset}")
            previous = entry.timestamp

    def sanity_check(self, path: str) -> None:
        from pykafka_store.inspect import check_index

        check_index(path)
        self.env.out(f"{path} passed sanity check.")

    def producer_snapshot(self, path: str) -> None:
        from pykafka_store.errors import CorruptRecordError
        from pykafka_store.inspect import producer_snapshot

        try:
            entries = producer_snapshot(path)
        except CorruptRecordError as error:
            self.env.report_error(str(error))
            return
        for entry in entries:
            line = (
                f"producerId: {entry.producer_id} producerEpoch: {entry.producer_epoch}"
                f" coordinatorEpoch: {entry.coordinator_epoch}"
                f" currentTxnFirstOffset: {_optional_long(entry.current_txn_first_offset)}"
                f" lastTimestamp: {entry.timestamp}"
            )
            if entry.last_offset >= 0:
                line += (
                    f" firstSequence: {entry.first_sequence} lastSequence: {entry.last_sequence}"
                    f" lastOffset: {entry.last_offset} offsetDelta: {entry.offset_delta} timestamp: {entry.timestamp}"
                )
            self.env.out(line)

    def transaction_index(self, path: str) -> None:
        from pykafka_store.inspect import transaction_index

        for entry in transaction_index(path):
            self.env.out(
                f"version: {entry.version} producerId: {entry.producer_id} firstOffset: {entry.first_offset}"
                f" lastOffset: {entry.last_offset} lastStableOffset: {entry.last_stable_offset}"
            )

    def report(self) -> None:
        """What does not fit together, on stderr; Kafka's tool exits 0 all the same."""
        error = self.env.report_error
        for path, positions in self.wrong_positions.items():
            error(f"Mismatches in :{path}")
            for offset, found in sorted(positions.items(), reverse=True):
                error(f"  Index offset: {offset}, log offset: {found}")
        for path, timestamps in self.wrong_timestamps.items():
            error(f"Found timestamp mismatch in :{path}")
            for timestamp, found in timestamps:
                error(f"  Index timestamp: {timestamp}, log timestamp: {found}")
        for path, timestamps in self.unordered_timestamps.items():
            error(f"Found out of order timestamp in :{path}")
            for timestamp, previous in timestamps:
                error(f"  Index timestamp: {timestamp}, Previously indexed timestamp: {previous}")
        for path, offsets in self.unknown_offsets.items():
            error(f"The following indexed offsets are not found in :{path}")
            for offset, found in offsets:
                error(f"Indexed offset: {offset}, found log offset: {found}")
        for path, gaps in self.gaps.items():
            # Kafka's tool starts counting at 0 in every file, so it reports the start of any later segment. And gaps
            # are what compaction leaves. Neither is an error.
            self.env.err(f"Non-consecutive offsets in {path}")
            for previous, offset in sorted(gaps.items()):
                self.env.err(f"  {previous} is followed by {offset}")


def _decoder(options: Options, name: str) -> Decoder:
    class_name = options.text(name)
    if class_name not in DECODERS:
        raise CommandFailure(
            f"--{name} {class_name} is a Java class that can't be loaded here: use one of {', '.join(DECODERS)}"
        )
    return DECODERS[class_name]


def _byte_count(options: Options, name: str) -> int:
    count = options.integer(name)
    if count < 0:
        raise CommandFailure(f"--{name} {count} is negative: give a number of bytes")
    return count


def _as_java_prints(path: str) -> str:
    """A path as java.io.File spells it: no doubled and no closing slashes."""
    path = re.sub(r"/+", "/", path)
    return path if path == "/" else path.removesuffix("/")


def _log_heading(path: str) -> str:
    from pykafka_store.inspect import METADATA_SNAPSHOT_SUFFIX, base_offset_of

    name = os.path.basename(path)
    if not name.endswith(METADATA_SNAPSHOT_SUFFIX):
        return f"Log starting offset: {base_offset_of(path)}"
    if name == "bootstrap.checkpoint":
        return "KRaft bootstrap snapshot"
    snapshot = re.fullmatch(r"([0-9]{20})-([0-9]{10})\.checkpoint", name)
    if snapshot is None:
        raise CommandFailure(f"{path} is not named as a KRaft snapshot is: offset, dash and epoch, of 20 and 10 digits")
    return f"Snapshot end offset: {int(snapshot[1])}, epoch: {int(snapshot[2])}"


def _batch_line(batch: Batch) -> str:
    from pykafka_store.format.compression import NAMES
    from pykafka_store.inspect import sequence_at

    header = batch.header
    codec = NAMES[header.codec] if header.codec < len(NAMES) else f"unknown({header.codec})"
    return (
        f"baseOffset: {header.base_offset} lastOffset: {header.last_offset} count: {header.record_count}"
        f" baseSequence: {header.base_sequence} lastSequence: {sequence_at(header, header.last_offset)}"
        f" producerId: {header.producer_id} producerEpoch: {header.producer_epoch}"
        f" partitionLeaderEpoch: {header.leader_epoch} isTransactional: {_boolean(header.is_transactional)}"
        f" isControl: {_boolean(header.is_control)} deleteHorizonMs: {_optional_long(header.delete_horizon_ms)}"
        f" position: {batch.position} {_timestamp_type(header)}: {header.max_timestamp} size: {header.size}"
        f" magic: {header.magic} compresscodec: {codec} crc: {header.crc} isvalid: {_boolean(batch.is_valid)}"
    )


def _control(key: bytes | None, value: bytes | None) -> str:
    from pykafka_store.inspect import control_record

    control = control_record(key, value)
    if control.coordinator_epoch is None:
        return f" controlType: {control.type_name}({control.type_id})"
    return f" endTxnMarker: {control.type_name} coordinatorEpoch: {control.coordinator_epoch}"


def _timestamp_type(header: BatchHeader) -> str:
    from pykafka_store.model import TimestampType

    return "LogAppendTime" if header.timestamp_type is TimestampType.LOG_APPEND_TIME else "CreateTime"


def _boolean(value: bool) -> str:
    return "true" if value else "false"


def _optional_long(value: int | None) -> str:
    return "OptionalLong.empty" if value is None else f"OptionalLong[{value}]"
