"""What would go round and round: topics of the source that are copies of the target's, by a mirror the other way.

MirrorMaker 2 leaves out topics whose names say that they came from the target (MirrorSourceConnector#isCycle). Names
need not say so here: the ledger does that the other mirror keeps at our source, and the lock that it has there.
"""

from __future__ import annotations

from contextlib import suppress

from pykafka_store.api import Admin, Cluster
from pykafka_store.directory import DataDirectory
from pykafka_store.errors import CorruptRecordError, StoreError
from pykafka_store.mirror.ledger import Ledger
from pykafka_store.model import TopicDescription


def lock_of_pair(cluster_id: str, source_id: str, target_id: str) -> str:
    """The lock at the target of who copies a topic of that cluster to that topic."""
    return f"mirror-{cluster_id}-{source_id}-{target_id}"


class Cycles:
    def __init__(self, source: Cluster, directory: DataDirectory | None, target: Admin) -> None:
        """``directory``: the source, if it is one."""
        self._directory = directory
        self._target = target
        self._target_cluster = target.cluster_id()
        self._ledger = Ledger(source)

    def look(self) -> None:
        """Read what mirrors to our source have written down there."""
        with suppress(CorruptRecordError):  # another's topic of that name
            self._ledger.read()

    def origins(self, topic: TopicDescription) -> list[str]:
        """The topics at the target, of those that are there still, whose records the topic of the source has."""
        found = self._ledger.copied_into(topic.name, topic.topic_id, self._target_cluster)
        there = {each.name: each.topic_id for each in self._target.list_topics()} if found else {}
        return [name for name, topic_id in sorted(found) if there.get(name) == topic_id]

    def require_none(self, topic: TopicDescription, target: TopicDescription) -> None:
        """Raises StoreError for a pair that is copied the other way, now or before."""
        is_now = self._directory is not None and self._directory.lock_is_kept(
            lock_of_pair(self._target_cluster, target.topic_id, topic.topic_id)
        )
        if is_now or target.name in self.origins(topic):
            raise StoreError(
                f"Topic {topic.name} is a mirror's copy of topic {target.name} of this target: both ways, each record "
                "would go round for ever. Copy it with another --prefix, or delete the topic at the target to copy it "
                "anew"
            )
