"""Records -> the batches that are appended: how large, how compressed, and what becomes of one that is too large."""

from __future__ import annotations

from collections.abc import Iterator
from operator import itemgetter

from pykafka_store.embedded.clients.outgoing import OutgoingRecords, cut_runs
from pykafka_store.format import compression as codecs
from pykafka_store.format.batch import HEADER_SIZE, NO_PRODUCER, EncodedBatch, batch_of, encode_batch
from pykafka_store.settings.client_configs import ClientConfig
from pykafka_store.settings.configs import TopicConfig

_CODECS = ("none", "gzip", "snappy", "lz4", "zstd")

Batched = tuple[EncodedBatch, OutgoingRecords]
"""A batch, and its records, or the first of them: what is told of one that can't be appended."""


class Batching:
    """A producer's settings of batches."""

    def __init__(self, settings: ClientConfig, batch_size: int) -> None:
        """``batch_size`` in bytes."""
        self._batch_size = batch_size
        self._codec = settings.choice("compression.type", "none", _CODECS)
        self._levels = {
            name: settings.number(f"compression.{name}.level", -1 if name == "gzip" else 0)
            for name in ("gzip", "lz4", "zstd")
            if settings.is_given(f"compression.{name}.level")
        }

    def by_key(
        self, config: TopicConfig, records: OutgoingRecords, partitions: int
    ) -> list[tuple[int, list[Batched]]] | None:
        """Each partition's batches, where the keys choose, or there is one, in a single loop over the records.

        In the order of their first records. None where that can't be done, or a batch has become too large for the
        topic: ``batches`` makes smaller ones of it.
        """
        encoded = records.encoded(partitions, self._limit(config))
        if encoded is None or not isinstance(records.timestamps, int):
            return None
        codec, level = self._compression(config)
        found: list[tuple[int, int, list[Batched]]] = []
        for partition, payloads in enumerate(encoded):
            batches: list[Batched] = []
            for payload, count, first in payloads:
                batch = batch_of(payload, count, records.timestamps, codec, level)
                if is_too_large(batch, config):
                    return None
                batches.append((batch, records.slice(first, first + 1)))
            if batches:
                found.append((payloads[0][2], partition, batches))
        return [(partition, batches) for _, partition, batches in sorted(found, key=itemgetter(0))]

    def batches(self, config: TopicConfig, records: OutgoingRecords) -> Iterator[Batched]:
        """The batches of records that go to one partition. A batch of one record may be too large for the topic: see
        ``is_too_large``.
        """
        for start, stop, _ in cut_runs(records.lengths, self._limit(config)):
            yield from self._encoded(config, records.slice(start, stop))

    def _encoded(self, config: TopicConfig, records: OutgoingRecords) -> Iterator[Batched]:
        """One batch, or several where one would be over the topic's max.message.bytes, as the Java producer splits."""
        codec, level = self._compression(config)
        batch = encode_batch(
            records.values,
            keys=records.keys,
            blocks=records.blocks,
            timestamps=records.timestamps,
            lengths=records.lengths if records.keys is None and records.blocks is None else None,
            codec=codec,
            level=level,
            producer=NO_PRODUCER if records.origin is None else records.origin.producer(),
        )
        if not is_too_large(batch, config) or batch.record_count == 1:
            yield batch, records
            return
        middle = batch.record_count // 2
        yield from self._encoded(config, records.slice(0, middle))
        yield from self._encoded(config, records.slice(middle, batch.record_count))

    def _limit(self, config: TopicConfig) -> int:
        """Bytes of a batch: what was asked for, within what the topic takes and a fraction of its segments."""
        fitting = max(16384, config.segment_bytes // 8)
        return max(1, min(self._batch_size, fitting, config.segment_bytes, config.max_message_bytes) - HEADER_SIZE)

    def _compression(self, config: TopicConfig) -> tuple[int, int | None]:
        """The codec's number and its level, None for its default. A topic may have its own."""
        name = self._codec if config.compression_type == "producer" else config.compression_type
        level = self._levels.get(name)
        if level is None and config.compression_type != "producer":
            level = {
                "gzip": config.compression_gzip_level,
                "lz4": config.compression_lz4_level,
                "zstd": config.compression_zstd_level,
            }.get(name)
        return codecs.codec(name), level


def is_too_large(batch: EncodedBatch, config: TopicConfig) -> bool:
    """Whether the topic can't take the batch."""
    return batch.size > min(config.max_message_bytes, config.segment_bytes)
