"""The topics at the target: made as they are at the source, and grown as they grow there."""

from __future__ import annotations

from collections.abc import Callable

from pykafka_store.api import Admin
from pykafka_store.errors import (
    InvalidPartitionsError,
    InvalidRequestError,
    TopicExistsError,
    UnknownTopicOrPartitionError,
)
from pykafka_store.format.names import check_topic_name
from pykafka_store.mirror.ledger import TOPIC as LEDGER_TOPIC
from pykafka_store.mirror.telling import Once
from pykafka_store.model import ConfigResource, TopicDescription
from pykafka_store.settings.configs import SETTINGS

NOT_COPIED_CONFIGS = frozenset(
    {
        "leader.replication.throttled.replicas",
        "follower.replication.throttled.replicas",
        # The records keep the time that they have.
        "message.timestamp.type",
    }
)
"""Settings of a topic that stay behind: they name the source's brokers, or would change records."""

_TIMESTAMP_TYPE = "message.timestamp.type"

REMOVING_CONFIGS = ("cleanup.policy", "retention.bytes", "retention.ms")
"""Settings that say which records are taken away. They may come from brokers, which are others at the target."""


class TargetTopics:
    def __init__(self, source: Admin, target: Admin, prefix: str, on_notice: Callable[[str], None]) -> None:
        """``prefix`` is what their names begin with."""
        self._source = source
        self._admin = target
        self._prefix = prefix
        self._on_notice = on_notice
        self._tell_once = Once(on_notice)

    def ensure(self, topic: TopicDescription) -> TopicDescription:
        """The topic at the target, made or given partitions if need be. Raises InvalidTopicError for a name that none
        can have, InvalidRequestError for one that is taken.
        """
        name = check_topic_name(self._prefix + topic.name)
        if name == LEDGER_TOPIC:
            raise InvalidRequestError(f"{name} at the target is where mirrors keep their offsets: use another prefix")
        admin = self._admin
        count = len(topic.partitions)
        try:
            (found,) = admin.describe_topics([name])
        except UnknownTopicOrPartitionError:
            try:
                found = self._create(topic, name)
            except TopicExistsError:  # another mirror was first
                (found,) = admin.describe_topics([name])
        else:
            self._tell_what_goes(topic.name, name)
        if len(found.partitions) < count:
            self._on_notice(
                f"topic {name} gets {count} partitions instead of {len(found.partitions)}, as at the source"
            )
            try:
                found = admin.create_partitions(name, count)
            except InvalidPartitionsError:
                (found,) = admin.describe_topics([name])
                if len(found.partitions) < count:  # else another mirror was first
                    raise
        if any(each.name == _TIMESTAMP_TYPE and each.value == "LogAppendTime" for each in found.configs):
            self._tell_once(f"topic {name} has {_TIMESTAMP_TYPE}=LogAppendTime: records get the time of their copying")
        return found

    def _create(self, topic: TopicDescription, name: str) -> TopicDescription:
        admin = self._admin
        own = {each.name: each.value for each in topic.configs if each.source == "DYNAMIC_TOPIC_CONFIG"}
        if own.get(_TIMESTAMP_TYPE) == "LogAppendTime":
            self._on_notice(
                f"topic {name} is made without {_TIMESTAMP_TYPE}=LogAppendTime, so that records keep their times"
            )
        replicas = max(1, min(topic.replication_factor, len(admin.live_brokers())))
        if int(own.get("min.insync.replicas", 1)) > replicas:
            self._on_notice(
                f"topic {name} gets min.insync.replicas={replicas} instead of {own['min.insync.replicas']}: "
                "the target has no more brokers"
            )
            own["min.insync.replicas"] = str(replicas)
        configs = {key: value for key, value in own.items() if key not in NOT_COPIED_CONFIGS}
        kept = _removing(self._source, topic.name)
        configs |= {key: value for key, value in kept.items() if value != SETTINGS[key].default}
        made = admin.create_topic(name, partitions=len(topic.partitions), replication_factor=replicas, configs=configs)
        now = _removing(admin, name)
        others = {key: value for key, value in kept.items() if now.get(key) != value}
        if not others:
            return made
        # What is built in at the source is set at the brokers of the target.
        admin.incremental_alter_configs(ConfigResource("topic", name), others)
        return admin.describe_topics([name])[0]

    def _tell_what_goes(self, source: str, target: str) -> None:
        """Tell where a topic that is there already takes away what the source keeps."""
        theirs, ours = _removing(self._source, source), _removing(self._admin, target)
        for key in sorted(theirs.keys() & ours.keys()):
            there, here = theirs[key], ours[key]
            if _keeps_less(key, here, there):
                self._tell_once(
                    f"topic {target} has {key}={here}, and {source} at the source has {there}: "
                    f"the target may take away what the source keeps (kafka-configs --alter --entity-type topics "
                    f"--entity-name {target} --add-config {key}=[{there}] there)"
                )


def _removing(admin: Admin, topic: str) -> dict[str, str]:
    """A topic's settings in force that say what is taken away."""
    described = admin.describe_configs(ConfigResource("topic", topic))
    return {each.name: each.value for each in described if each.name in REMOVING_CONFIGS}


def _keeps_less(name: str, here: str, there: str) -> bool:
    if name == "cleanup.policy":
        return not set(filter(None, here.split(","))) <= set(filter(None, there.split(",")))
    limit, other = int(here), int(there)
    return limit >= 0 and (other < 0 or limit < other)
