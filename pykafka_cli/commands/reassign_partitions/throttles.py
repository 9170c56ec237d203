"""The limits on the copying that moves cause: settings of brokers and topics that --execute makes and --verify takes
away.

Source: org.apache.kafka.tools.reassign.ReassignPartitionsCommand of Kafka 4.3 (KIP-73).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from pykafka_cli.commands.reassign_partitions.plan import Moves, by_commas, plural
from pykafka_cli.env import Env
from pykafka_store.errors import BrokerIdNotRegisteredError, TimeoutError
from pykafka_store.model import ConfigResource, TopicPartition

if TYPE_CHECKING:
    from pykafka_store.api import Admin

LEADER_RATE = "leader.replication.throttled.rate"
FOLLOWER_RATE = "follower.replication.throttled.rate"
LOG_DIR_RATE = "replica.alter.log.dirs.io.max.bytes.per.second"
LEADER_REPLICAS = "leader.replication.throttled.replicas"
FOLLOWER_REPLICAS = "follower.replication.throttled.replicas"


def _broker(number: int) -> ConfigResource:
    return ConfigResource("broker", str(number))


def set_throttles(
    admin: Admin,
    sources: Mapping[TopicPartition, Sequence[int]],
    targets: Mapping[TopicPartition, Sequence[int]],
    rate: int,
) -> None:
    """Throttle the copying between these brokers. Source: ReassignPartitionsCommand#modifyReassignmentThrottle."""
    brokers: set[int] = set()
    leaders: dict[str, set[str]] = {}
    followers: dict[str, set[str]] = {}
    for name, target in targets.items():
        new = [broker for broker in target if broker not in sources[name]]
        leaders.setdefault(name.topic, set()).update(f"{name.partition}:{broker}" for broker in sources[name])
        followers.setdefault(name.topic, set()).update(f"{name.partition}:{broker}" for broker in new)
        brokers.update(sources[name], target)
    for topic in sorted(leaders):
        settings = {
            LEADER_REPLICAS: ",".join(sorted(leaders[topic])),
            FOLLOWER_REPLICAS: ",".join(sorted(followers[topic])),
        }
        admin.incremental_alter_configs(ConfigResource("topic", topic), settings)
    for broker in sorted(brokers):
        admin.incremental_alter_configs(_broker(broker), {LEADER_RATE: str(rate), FOLLOWER_RATE: str(rate)})


def set_log_dir_throttle(admin: Admin, brokers: Iterable[int], rate: int) -> None:
    """Throttle the copying between log directories of these brokers, in bytes a second."""
    for broker in sorted(set(brokers)):
        admin.incremental_alter_configs(_broker(broker), {LOG_DIR_RATE: str(rate)})


def clear_throttles(env: Env, admin: Admin, wanted: Moves) -> None:
    """Take all throttles away: of every broker, and of the topics that were moved."""
    brokers = sorted({*admin.live_brokers(), *(broker for _, target in wanted.partitions for broker in target)})
    env.out(f"Clearing broker-level throttles on broker{plural(brokers)} {by_commas(brokers)}")
    for broker in brokers:
        try:
            admin.incremental_alter_configs(_broker(broker), {}, [LEADER_RATE, FOLLOWER_RATE, LOG_DIR_RATE])
        except BrokerIdNotRegisteredError:  # which Kafka's tool looks for for a minute
            raise TimeoutError("Timed out waiting for a node assignment. Call: incrementalAlterConfigs") from None
    topics = sorted({partition.topic for partition, _ in wanted.partitions})
    env.out(f"Clearing topic-level throttles on topic{plural(topics)} {by_commas(topics)}")
    for topic in topics:
        admin.incremental_alter_configs(ConfigResource("topic", topic), {}, [LEADER_REPLICAS, FOLLOWER_REPLICAS])
