"""A producer of copies: its batches say where their records come from (format/copies.py)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from pykafka_store.embedded.clock import Clock
from pykafka_store.embedded.partition import Appended
from pykafka_store.embedded.producer import Columns, EmbeddedProducer, Origin, Topic, Topics
from pykafka_store.errors import StoreError, UnknownTopicOrPartitionError
from pykafka_store.format.batch import EncodedBatch
from pykafka_store.format.copies import producer_id_of
from pykafka_store.model import Delivery, Records, TopicPartition


class EmbeddedCopier(EmbeddedProducer):
    """See :class:`pykafka_store.api.Copier`."""

    def __init__(
        self,
        topics: Topics,
        clock: Clock,
        config: Mapping[str, str] | None,
        on_delivery: Callable[[Delivery], None] | None,
    ) -> None:
        super().__init__(topics, clock, config, on_delivery, None)
        self._unsynced: dict[tuple[str, int], Topic] = {}
        """The topics of what was appended to, by topic id and partition. Their files may be closed by now."""

    def copy(self, records: Records, to: TopicPartition, source: str) -> None:
        """See :meth:`pykafka_store.api.Copier.copy`."""
        count = len(records)
        if not count:
            return
        # What all records share is handed on as such, so that plain ones are encoded without any Python a record.
        keys, headers, stamps = records.keys, records.headers, records.timestamps
        self._send(
            to.topic,
            records.values,
            None if keys.count(None) == count else keys,
            headers if any(headers) else None,
            stamps[0] if stamps.count(stamps[0]) == count else stamps,
            to.partition,
            Origin(producer_id_of(source), records.offsets),
        )

    def _without_refused(
        self, topic: Topic, columns: Columns, partitions: Sequence[int | None] | int | None
    ) -> tuple[Columns, Sequence[int | None] | int | None]:
        """The earliest and the latest time stand for all: records were mostly written at many times."""
        stamps = columns.timestamps
        if not isinstance(stamps, int) and not any(self._time_refusal(topic.config, f(stamps)) for f in (min, max)):
            super()._without_refused(topic, columns._replace(timestamps=min(stamps)), partitions)
            return columns, partitions
        return super()._without_refused(topic, columns, partitions)

    def _append_or_retry(self, topic: Topic, partition: int, batches: Sequence[EncodedBatch]) -> Appended:
        self._unsynced[topic.id, partition] = topic
        return super()._append_or_retry(topic, partition, batches)

    def _fail(self, topic: str, partition: int | None, columns: Columns, error: StoreError) -> None:
        """What is said of one record says which it is at the source: there it can be looked at."""
        if columns.origin is not None and len(columns.values) == 1:
            error = type(error)(f"the record at source offset {columns.origin.offsets[0]} can't be copied: {error}")
        super()._fail(topic, partition, columns, error)

    def sync(self) -> None:
        """See :meth:`pykafka_store.api.Copier.sync`."""
        while self._unsynced:
            key, topic = next(iter(self._unsynced.items()))
            with suppress(UnknownTopicOrPartitionError):  # deleted since: there is nothing left to sync
                self._writer(topic, key[1]).sync()
            del self._unsynced[key]
