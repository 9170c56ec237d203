"""A producer of copies: its batches say where their records come from (format/copies.py)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from pykafka_store.columns import Columns
from pykafka_store.embedded.clients.outgoing import Origin, OutgoingRecords
from pykafka_store.embedded.clients.producer import EmbeddedProducer
from pykafka_store.embedded.clients.topics import Topic
from pykafka_store.embedded.engine import Engine
from pykafka_store.embedded.replication.writer import Appended
from pykafka_store.errors import StoreError, UnknownTopicOrPartitionError
from pykafka_store.format.batch import EncodedBatch
from pykafka_store.format.copies import producer_id_of
from pykafka_store.format.record_loop import header_blocks
from pykafka_store.model import Delivery, Records, TopicPartition


class EmbeddedCopier(EmbeddedProducer):
    """See :class:`pykafka_store.directory.Copier`."""

    def __init__(
        self,
        engine: Engine,
        config: Mapping[str, str] | None = None,
        on_delivery: Callable[[Delivery], None] | None = None,
        on_notice: Callable[[str], None] | None = None,
    ) -> None:
        super().__init__(engine, config, on_delivery, on_notice=on_notice)
        self._unsynced: dict[tuple[str, int], Topic] = {}
        """The topics of what was appended to, by topic id and partition. Their files may be closed by now."""

    def copy(self, records: Records, to: TopicPartition, source: str) -> None:
        """See :meth:`pykafka_store.directory.Copier.copy`."""
        count = len(records)
        if not count:
            return
        # What all records share is handed on as such, so that plain ones are encoded without any Python a record.
        keys, headers, stamps = records.keys, records.headers, records.timestamps
        columns = Columns(
            records.values,
            None if keys.count(None) == count else keys,
            headers if any(headers) else None,
            stamps[0] if stamps.count(stamps[0]) == count else stamps,
            to.partition,
        )
        blocks = None if columns.headers is None else header_blocks(headers)
        self._send(to.topic, columns, blocks, Origin(producer_id_of(source), records.offsets))

    def _without_refused(
        self, topic: Topic, records: OutgoingRecords, partitions: Sequence[int | None] | int | None
    ) -> tuple[OutgoingRecords, Sequence[int | None] | int | None]:
        """The earliest and the latest time stand for all: records were mostly written at many times."""
        stamps = records.timestamps
        if not isinstance(stamps, int) and not any(self._time_refusal(topic.config, f(stamps)) for f in (min, max)):
            super()._without_refused(topic, records.at(min(stamps)), partitions)
            return records, partitions
        return super()._without_refused(topic, records, partitions)

    def _append_or_retry(self, topic: Topic, partition: int, batches: Sequence[EncodedBatch]) -> Appended:
        self._unsynced[topic.id, partition] = topic
        return super()._append_or_retry(topic, partition, batches)

    def _fail(
        self,
        topic: str,
        partition: int | None,
        records: OutgoingRecords,
        error: StoreError,
        count: int | None = None,
    ) -> None:
        """What is said of one record says which it is at the source: there it can be looked at."""
        if records.origin is not None and len(records.values) == 1:
            error = type(error)(f"the record at source offset {records.origin.offsets[0]} can't be copied: {error}")
        super()._fail(topic, partition, records, error, count)

    def sync(self) -> None:
        """See :meth:`pykafka_store.directory.Copier.sync`."""
        while self._unsynced:
            key, topic = next(iter(self._unsynced.items()))
            with suppress(UnknownTopicOrPartitionError):  # deleted since: there is nothing left to sync
                self._writer(topic, key[1]).sync()
            del self._unsynced[key]
