"""Copying topics from one cluster to another, each a directory or a Kafka cluster.

A :class:`Mirror` copies a :class:`Selection` of topics and groups to a :class:`DirectoryTarget` or a
:class:`ClusterTarget`; ``mirroring`` says what a kill leaves and what the next mirror makes of it.
"""

from pykafka_store.mirror.groups import GroupReport
from pykafka_store.mirror.mirroring import Mirror
from pykafka_store.mirror.selection import Selection
from pykafka_store.mirror.targets import ClusterTarget, DirectoryTarget
from pykafka_store.mirror.telling import Progress, TopicReport

__all__ = ["ClusterTarget", "DirectoryTarget", "GroupReport", "Mirror", "Progress", "Selection", "TopicReport"]
