"""Every topic config of Kafka's either takes effect or is told not to: COMPAT.md's table against what can be seen.

Of each config that is said to take effect, two topics that differ in nothing else behave differently.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from pykafka_store.embedded.cluster import EmbeddedCluster
from pykafka_store.errors import InvalidConfigError
from pykafka_store.format.batch import BatchHeader, split_batches
from pykafka_store.format.state import PublishedState, parse_state
from pykafka_store.model import SendFailure
from pykafka_store.settings import configs
from pykafka_store.settings.configs import SETTINGS
from tests.store.helpers import AT_ONCE

COMPAT = Path(__file__).parents[2] / "COMPAT.md"
HOUR = 3_600_000


def told() -> dict[str, str]:
    """Config -> its state in COMPAT.md's table of topic configs."""
    section = COMPAT.read_text("utf-8").partition("\n## Topic configs\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`[^|]*) \| ([^|]*) \|", section, re.MULTILINE)
    return {name: state for names, state in rows for name in re.findall(r"`([^`]+)`", names)}


class Topic:
    """A topic of one partition with these settings, on as many brokers as asked for, in a directory of its own."""

    def __init__(self, path: Path, settings: dict[str, str], brokers: int = 1) -> None:
        self.cluster = EmbeddedCluster(str(path))
        for _ in range(1, brokers):
            self.cluster.add_broker()
        self.cluster.admin().create_topic("t", assignments=[list(range(brokers))], configs=settings)
        self.directory = path / "brokers" / "0" / "t-0"
        self.refused: list[SendFailure] = []

    def send(
        self, values: Sequence[bytes | None], keys: Sequence[bytes] | None = None, at: int | None = None, **client: str
    ) -> None:
        """One batch."""
        with self.cluster.producer({**AT_ONCE, "retries": "0", **client}, on_failure=self.refused.append) as producer:
            producer.send("t", values, keys=keys, timestamps=at)

    def fill(self, batches: int, size: int = 1000, at: int | None = None, step: int = 0) -> None:
        for number in range(batches):
            self.send([b"%d" % number + b"x" * size], [b"k"], None if at is None else at + number * step)

    def keep(self) -> None:
        self.cluster.maintain()

    def logs(self) -> list[Path]:
        return sorted(self.directory.glob("*.log"))

    def headers(self) -> list[BatchHeader]:
        return [batch.header for log in self.logs() for batch in split_batches(log.read_bytes())]

    def size(self) -> int:
        return sum(log.stat().st_size for log in self.logs())

    def records(self) -> int:
        return sum(header.record_count for header in self.headers())

    def state(self) -> PublishedState:
        return parse_state((self.directory / "published-state").read_bytes())


def now() -> int:
    return int(time.time() * 1000)


def segments(topic: Topic) -> Any:
    topic.fill(30, 60_000, now() - HOUR, 60_000)
    return len(topic.logs()) > 1


def jitter(topic: Topic) -> Any:
    topic.fill(120, 10, now() - 2 * HOUR, 60_000)
    return len(topic.logs())  # half an hour each is four; a random part of it four in one case of a hundred thousand


def small_index(topic: Topic) -> Any:
    topic.fill(30)
    return len(topic.logs()) > 1


def index_entries(topic: Topic) -> Any:
    topic.fill(10)
    return topic.state().index_entries > 5


def synced(topic: Topic) -> Any:
    topic.fill(5)
    with topic.cluster.producer(AT_ONCE) as producer:
        producer.send("t", [b"last"])
        return topic.state().recovery_point


def retained(topic: Topic) -> Any:
    topic.fill(10, 1000, now() - HOUR)
    topic.keep()
    return topic.state().log_start_offset


def set_aside(topic: Topic) -> Any:
    retained(topic)
    return len(list(topic.directory.glob("*.deleted"))) > 0


def largest(topic: Topic) -> Any:
    topic.send([b"x" * 5000])
    return [type(failure.error).__name__ for failure in topic.refused]


def codec(topic: Topic) -> Any:
    topic.send([b"x" * 5000])
    return topic.headers()[0].codec


def packed(topic: Topic) -> Any:
    words = [b"%d" % (number * number % 977) for number in range(20_000)]
    topic.send([b" ".join(words)])
    return topic.size()


def stamped(topic: Topic) -> Any:
    topic.send([b"x"], at=1000)
    return topic.headers()[0].max_timestamp > 1000


def too_old(topic: Topic) -> Any:
    topic.send([b"x"], at=now() - 2 * HOUR)
    return [type(failure.error).__name__ for failure in topic.refused]


def too_new(topic: Topic) -> Any:
    topic.send([b"x"], at=now() + 10 * HOUR)
    return [type(failure.error).__name__ for failure in topic.refused]


def compacted(topic: Topic) -> Any:
    topic.fill(20, 1000, now() - HOUR)
    topic.keep()
    return topic.records() < 20


def twice_compacted(topic: Topic) -> Any:
    """A clean part of ten thousand bytes, and a dirty one of three segments."""
    for number in range(10):
        topic.send([b"x" * 1000], [b"k%d" % number], now() - HOUR)
    topic.keep()
    topic.fill(3, 1000, now() - HOUR)
    topic.keep()
    return topic.records() < 13


def tombstones(topic: Topic) -> Any:
    topic.send([None], [b"gone"], now() - HOUR)
    for _ in range(3):
        topic.send([b"x" * 1500], [b"other"])
        topic.keep()  # the first pass that meets the tombstone says how long it stays, the next may remove it
    return topic.headers()[0].record_count


def too_few(topic: Topic) -> Any:
    topic.cluster.stop_broker(1)
    topic.send([b"x"], acks="all")
    return [type(failure.error).__name__ for failure in topic.refused]


def unclean(topic: Topic) -> Any:
    topic.send([b"x"])
    topic.cluster.stop_broker(1)
    topic.send([b"y"])
    topic.cluster.stop_broker(0)
    topic.cluster.start_broker(1)
    topic.keep()
    return topic.cluster.admin().describe_topics(["t"])[0].partitions[0].leader


SMALL = {"internal.segment.bytes": "2000"}
COMPACT = {**SMALL, "cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0"}

EFFECTS: dict[str, tuple[Callable[[Topic], Any], dict[str, str], str, str]] = {
    # config: what to see, what else is set, one value, another value
    "segment.bytes": (segments, {}, "1048576", "1073741824"),
    "segment.ms": (segments, {}, "600000", "604800000"),
    "segment.jitter.ms": (jitter, {"segment.ms": str(HOUR // 2)}, str(HOUR // 2), "0"),
    "segment.index.bytes": (small_index, {"index.interval.bytes": "0"}, "80", "10485760"),
    "index.interval.bytes": (index_entries, {}, "0", "4096"),
    "flush.messages": (synced, {}, "1", "1000"),
    "flush.ms": (synced, {}, "0", "100000"),
    "retention.ms": (retained, SMALL, "1000", "-1"),
    "retention.bytes": (retained, SMALL, "3000", "-1"),
    "cleanup.policy": (retained, {**SMALL, "retention.ms": "1000"}, "delete", "compact"),
    "file.delete.delay.ms": (set_aside, {**SMALL, "retention.ms": "1000"}, "0", "60000"),
    "delete.retention.ms": (tombstones, COMPACT, "0", "86400000"),
    "max.message.bytes": (largest, {}, "4000", "6000"),
    "compression.type": (codec, {}, "zstd", "producer"),
    "compression.gzip.level": (packed, {"compression.type": "gzip"}, "1", "9"),
    "compression.lz4.level": (packed, {"compression.type": "lz4"}, "1", "17"),
    "compression.zstd.level": (packed, {"compression.type": "zstd"}, "-100", "22"),
    "message.timestamp.type": (stamped, {}, "LogAppendTime", "CreateTime"),
    "message.timestamp.before.max.ms": (too_old, {}, str(HOUR), str(5 * HOUR)),
    "message.timestamp.after.max.ms": (too_new, {}, str(HOUR), str(50 * HOUR)),
    "min.cleanable.dirty.ratio": (twice_compacted, COMPACT, "0", "0.9"),
    "min.compaction.lag.ms": (compacted, COMPACT, "0", str(5 * HOUR)),
    "max.compaction.lag.ms": (compacted, {**COMPACT, "min.cleanable.dirty.ratio": "1"}, "1000", str(5 * HOUR)),
    "min.insync.replicas": (too_few, {}, "2", "1"),
    "unclean.leader.election.enable": (unclean, {}, "true", "false"),
}


def test_every_config_is_told_of_once() -> None:
    assert sorted(told()) == configs.names()
    assert set(told().values()) == {"takes effect", "accepted without effect", "differs"}


def test_what_is_said_to_take_effect_is_shown_to() -> None:
    assert set(EFFECTS) == {name for name, state in told().items() if state == "takes effect"}


@pytest.mark.parametrize("name", EFFECTS)
def test_it_takes_effect(tmp_path: Path, name: str) -> None:
    look, others, one, two = EFFECTS[name]
    seen = []
    for value in (one, two):
        topic = Topic(tmp_path / value, {**others, name: value}, 2 if look in (too_few, unclean) else 1)
        with topic.cluster:
            seen.append(look(topic))
    assert seen[0] != seen[1]


@pytest.mark.parametrize("name", sorted(name for name, state in told().items() if state != "takes effect"))
def test_what_has_no_effect_is_taken_or_refused(tmp_path: Path, name: str) -> None:
    setting = SETTINGS[name]
    value = {"BOOLEAN": "true", "LONG": "5", "LIST": "0:0"}[setting.kind]
    if told()[name] == "differs":
        with pytest.raises(InvalidConfigError, match="Tiered Storage functionality is disabled"):
            Topic(tmp_path / "d", {name: value})
    else:
        topic = Topic(tmp_path / "d", {name: value})
        with topic.cluster:
            topic.fill(2)
            assert topic.records() == 2
