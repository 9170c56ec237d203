"""What an operator asks of a directory besides: feature levels, producers, transactions."""

from __future__ import annotations

from pathlib import Path

import pytest

from pykafka_store.embedded.clock import Clock
from pykafka_store.embedded.cluster import EmbeddedCluster
from pykafka_store.errors import InvalidRequestError, StoreError, UnsupportedVersionError
from pykafka_store.features import METADATA_VERSION, SUPPORTED, FeatureUpdate, UpgradeType, metadata_version
from pykafka_store.format.batch import split_batches
from pykafka_store.format.snapshot import snapshot_entries
from pykafka_store.model import OffsetAt, TopicPartition
from pykafka_store.transactions import ProducerState

THEIRS = Path(__file__).resolve().parents[1] / "data" / "segments" / "tx-0"
HERE = TopicPartition("tx", 0)
LOG = f"{0:020d}.log"
(ENTRY,) = snapshot_entries((THEIRS / f"{17:020d}.snapshot").read_bytes(), "")
"""What the broker that wrote the log remembered of its producer at the end."""


class At(Clock):
    def __init__(self, now_ms: int) -> None:
        self._now = now_ms

    def now_ms(self) -> int:
        return self._now


def opened(directory: Path, cut: int = 0, now_ms: int = ENTRY.timestamp) -> EmbeddedCluster:
    """A directory whose one partition is a broker's, without its last ``cut`` bytes."""
    with EmbeddedCluster(str(directory)) as made:
        made.admin().create_topic("tx")
    (replica,) = directory.glob("brokers/*/tx-0")
    data = (THEIRS / LOG).read_bytes()
    (replica / LOG).write_bytes(data[: len(data) - cut])
    (replica / "published-state").unlink()
    return EmbeddedCluster(str(directory), clock=At(now_ms))


def producers(cluster: EmbeddedCluster, broker: int | None = None) -> tuple[ProducerState, ...]:
    found = cluster.admin().describe_producers([HERE], broker)[HERE]
    if isinstance(found, StoreError):
        raise found
    return found


def test_a_producer_is_remembered_as_the_broker_did_that_wrote_the_log(tmp_path: Path) -> None:
    with opened(tmp_path / "data") as cluster:
        (found,) = producers(cluster)
    assert found == ProducerState(
        ENTRY.producer_id, ENTRY.producer_epoch, ENTRY.last_sequence, ENTRY.timestamp, ENTRY.coordinator_epoch, None
    )


def test_it_is_forgotten_after_a_day(tmp_path: Path) -> None:
    with opened(tmp_path / "data", now_ms=ENTRY.timestamp + 86_400_000) as cluster:
        assert producers(cluster) == ()


def test_a_transaction_that_nobody_ended_is_told_for_ever_and_not_aborted(tmp_path: Path) -> None:
    *_, last, mark = split_batches((THEIRS / LOG).read_bytes())
    with opened(tmp_path / "data", cut=mark.header.size, now_ms=ENTRY.timestamp + 10 * 86_400_000) as cluster:
        (found,) = producers(cluster)
        assert found.transaction_start == last.header.base_offset
        assert found.producer_epoch == last.header.producer_epoch
        with pytest.raises(UnsupportedVersionError, match="writes no markers into tx-0"):
            cluster.admin().abort_transaction(HERE, found.producer_id, found.producer_epoch, 0)
        with pytest.raises(InvalidRequestError, match="producer 7 has no transaction open in tx-0"):
            cluster.admin().abort_transaction(HERE, 7, 0, 0)


def test_a_broker_that_has_no_replica_is_not_asked(tmp_path: Path) -> None:
    with opened(tmp_path / "data") as cluster:
        cluster.add_broker(7)
        assert len(producers(cluster, 0)) == 1
        with pytest.raises(StoreError, match="This server does not host this topic-partition"):
            producers(cluster, 7)
        with pytest.raises(StoreError, match="Timed out waiting for a node assignment"):
            producers(cluster, 8)


def test_levels_are_changed_all_or_none_and_stay(tmp_path: Path) -> None:
    down = FeatureUpdate(0, UpgradeType.SAFE_DOWNGRADE)
    with EmbeddedCluster(str(tmp_path / "data")) as cluster:
        admin = cluster.admin()
        new = admin.describe_features()
        assert new.finalized == {name: highest for name, (_, highest) in SUPPORTED.items()}
        answers = admin.update_features({"group.version": down, METADATA_VERSION: down})
        assert [str(each)[-60:] for each in answers.values()] == [
            "metadata.version. Local controller 0 only supports versions 7-30"[-60:]
        ] * 2
        assert admin.update_features({"group.version": down}, validate_only=True) == {"group.version": None}
        assert admin.describe_features() == new
        assert admin.update_features({"group.version": down}) == {"group.version": None}
    with EmbeddedCluster(str(tmp_path / "data"), read_only=True) as cluster:
        after = cluster.admin().describe_features()
    assert after.finalized == new.finalized | {"group.version": 0}
    assert new.epoch is not None and after.epoch == new.epoch + 1


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("3.3-IV3", ("3.3-IV3", 7)), ("3.3", ("3.3-IV3", 7)), ("3.7", ("3.7-IV4", 19)), ("4.3.1", ("4.3-IV0", 30)),
        ("4.4-IV0", ("4.4-IV0", 31)), ("4.4", None), ("3.9-IV1", None), ("4", None), ("", None), ("3.10", None),
    ],
)  # fmt: skip
def test_versions_of_the_metadata_by_name(text: str, found: tuple[str, int] | None) -> None:
    """As Apache's kafka-features version-mapping takes and refuses them."""
    assert metadata_version(text) == found


def test_the_newest_record_is_one_that_is_there(tmp_path: Path) -> None:
    """KIP-734. It was answered by nothing where the newest of all was deleted, or was a mark of a transaction."""
    newest = {HERE: OffsetAt.MAX_TIMESTAMP}
    with opened(tmp_path / "broker") as cluster:
        (found,) = cluster.admin().list_offsets(newest).values()
        assert isinstance(found, int)
        with cluster.consumer() as consumer:
            consumer.assign({HERE: OffsetAt.EARLIEST})
            stamps = {
                offset: stamp
                for run in consumer.poll()
                for offset, stamp in zip(run.offsets, run.timestamps, strict=True)
            }
        assert stamps[found] == max(stamps.values())
    with EmbeddedCluster(str(tmp_path / "ours")) as cluster:
        cluster.admin().create_topic("tx", configs={"retention.ms": "-1"})
        with cluster.producer() as producer:
            producer.send("tx", [b"", b"", b"", b""], timestamps=[5000, 1000, 3000, 2000])
        assert cluster.admin().list_offsets(newest) == {HERE: 0}
        cluster.admin().delete_records({HERE: 1})
        assert cluster.admin().list_offsets(newest) == {HERE: 2}
        cluster.admin().delete_records({HERE: 4})
        assert cluster.admin().list_offsets(newest) == {HERE: -1}
