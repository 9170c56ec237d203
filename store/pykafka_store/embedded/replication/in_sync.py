"""A partition's row in the catalogue with other replicas in sync: what the rules of Kafka make of it."""

from __future__ import annotations

from collections.abc import Collection

from pykafka_store.embedded.catalog_rows import ELIGIBLE, IN_SYNC, OUT_OF_SYNC, PartitionRow, ReplicaRow
from pykafka_store.settings.configs import TopicConfig


def effective_min_isr(row: PartitionRow, config: TopicConfig) -> int:
    """How many replicas must be in sync before anything new is shown to readers. Source: Partition#effectiveMinIsr."""
    return min(config.min_insync_replicas, len(row.replicas))


def with_sync(row: PartitionRow, in_sync: Collection[int], min_isr: int, short: Collection[int] = ()) -> PartitionRow:
    """The row with another ISR. Who leaves while too few stay is eligible still: nothing is shown to readers that it
    lacks. But not who leaves because it is too ``short``. Sources: PartitionChangeBuilder#maybePopulateTargetElr, and
    what KIP-966 says of a broker that comes back from an unclean shutdown.
    """
    few = len(in_sync) < min_isr

    def sync(broker: int, before: int) -> int:
        if broker in in_sync:
            return IN_SYNC
        return ELIGIBLE if few and before != OUT_OF_SYNC and broker not in short else OUT_OF_SYNC

    return row._replace(
        hosts=tuple(each._replace(sync=sync(each.broker, each.sync)) for each in row.hosts),
        isr_sorted=row.isr_sorted or not set(in_sync) <= {*row.isr},
    )


def with_host(row: PartitionRow, host: ReplicaRow) -> PartitionRow:
    """The row with one replica changed."""
    return row._replace(hosts=tuple(host if each.broker == host.broker else each for each in row.hosts))
