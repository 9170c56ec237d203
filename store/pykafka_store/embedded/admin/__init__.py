"""The Admin of a data directory, one module a noun."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pykafka_store.embedded.engine import Engine
from pykafka_store.embedded.parts import Part

if TYPE_CHECKING:
    from pykafka_store.embedded.admin.acls import AclAdmin
    from pykafka_store.embedded.admin.brokers import BrokerAdmin
    from pykafka_store.embedded.admin.configs import ConfigAdmin
    from pykafka_store.embedded.admin.elections import ElectionAdmin
    from pykafka_store.embedded.admin.features import FeatureAdmin
    from pykafka_store.embedded.admin.groups import GroupAdmin
    from pykafka_store.embedded.admin.log_dirs import LogDirAdmin
    from pykafka_store.embedded.admin.moves import MoveAdmin
    from pykafka_store.embedded.admin.offsets import OffsetAdmin
    from pykafka_store.embedded.admin.quotas import QuotaAdmin
    from pykafka_store.embedded.admin.topics import TopicAdmin
    from pykafka_store.embedded.admin.transactions import TransactionAdmin
    from pykafka_store.embedded.admin.users import UserAdmin


def _topics(engine: Engine) -> TopicAdmin:
    from pykafka_store.embedded.admin.topics import TopicAdmin

    return TopicAdmin(engine)


def _offsets(engine: Engine) -> OffsetAdmin:
    from pykafka_store.embedded.admin.offsets import OffsetAdmin

    return OffsetAdmin(engine)


def _configs(engine: Engine) -> ConfigAdmin:
    from pykafka_store.embedded.admin.configs import ConfigAdmin

    return ConfigAdmin(engine)


def _groups(engine: Engine) -> GroupAdmin:
    from pykafka_store.embedded.admin.groups import GroupAdmin

    return GroupAdmin(engine)


def _brokers(engine: Engine) -> BrokerAdmin:
    from pykafka_store.embedded.admin.brokers import BrokerAdmin

    return BrokerAdmin(engine)


def _elections(engine: Engine) -> ElectionAdmin:
    from pykafka_store.embedded.admin.elections import ElectionAdmin

    return ElectionAdmin(engine)


def _moves(engine: Engine) -> MoveAdmin:
    from pykafka_store.embedded.admin.moves import MoveAdmin

    return MoveAdmin(engine)


def _log_dirs(engine: Engine) -> LogDirAdmin:
    from pykafka_store.embedded.admin.log_dirs import LogDirAdmin

    return LogDirAdmin(engine)


def _features(engine: Engine) -> FeatureAdmin:
    from pykafka_store.embedded.admin.features import FeatureAdmin

    return FeatureAdmin(engine)


def _transactions(engine: Engine) -> TransactionAdmin:
    from pykafka_store.embedded.admin.transactions import TransactionAdmin

    return TransactionAdmin(engine)


def _acls(engine: Engine) -> AclAdmin:
    from pykafka_store.embedded.admin.acls import AclAdmin

    return AclAdmin(engine)


def _quotas(engine: Engine) -> QuotaAdmin:
    from pykafka_store.embedded.admin.quotas import QuotaAdmin

    return QuotaAdmin(engine)


def _users(engine: Engine) -> UserAdmin:
    from pykafka_store.embedded.admin.users import UserAdmin

    return UserAdmin(engine)


class EmbeddedAdmin:
    """See :class:`pykafka_store.api.Admin`."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    _topics = Part(_topics)
    list_topics = _topics.method(lambda part: part.list_topics)
    describe_topics = _topics.method(lambda part: part.describe_topics)
    create_topic = _topics.method(lambda part: part.create_topic)
    create_partitions = _topics.method(lambda part: part.create_partitions)
    delete_topic = _topics.method(lambda part: part.delete_topic)

    _offsets = Part(_offsets)
    list_offsets = _offsets.method(lambda part: part.list_offsets)
    delete_records = _offsets.method(lambda part: part.delete_records)

    _configs = Part(_configs)
    describe_configs = _configs.method(lambda part: part.describe_configs)
    configured_groups = _configs.method(lambda part: part.configured_groups)
    configured_client_metrics = _configs.method(lambda part: part.configured_client_metrics)
    incremental_alter_configs = _configs.method(lambda part: part.incremental_alter_configs)

    _groups = Part(_groups)
    list_groups = _groups.method(lambda part: part.list_groups)
    describe_group = _groups.method(lambda part: part.describe_group)
    group_offsets = _groups.method(lambda part: part.group_offsets)
    alter_group_offsets = _groups.method(lambda part: part.alter_group_offsets)
    delete_group_offsets = _groups.method(lambda part: part.delete_group_offsets)
    delete_group = _groups.method(lambda part: part.delete_group)

    _brokers = Part(_brokers)
    cluster_id = _brokers.method(lambda part: part.cluster_id)
    live_brokers = _brokers.method(lambda part: part.live_brokers)
    racks = _brokers.method(lambda part: part.racks)
    describe_quorum = _brokers.method(lambda part: part.describe_quorum)

    _elections = Part(_elections)
    elect_leaders = _elections.method(lambda part: part.elect_leaders)

    _moves = Part(_moves)
    alter_partition_reassignments = _moves.method(lambda part: part.alter_partition_reassignments)
    list_partition_reassignments = _moves.method(lambda part: part.list_partition_reassignments)
    alter_replica_log_dirs = _moves.method(lambda part: part.alter_replica_log_dirs)

    _log_dirs = Part(_log_dirs)
    describe_log_dirs = _log_dirs.method(lambda part: part.describe_log_dirs)

    _features = Part(_features)
    describe_features = _features.method(lambda part: part.describe_features)
    update_features = _features.method(lambda part: part.update_features)
    set_features = _features.method(lambda part: part.set_features)

    _transactions = Part(_transactions)
    list_transactions = _transactions.method(lambda part: part.list_transactions)
    describe_transactions = _transactions.method(lambda part: part.describe_transactions)
    describe_producers = _transactions.method(lambda part: part.describe_producers)
    abort_transaction = _transactions.method(lambda part: part.abort_transaction)
    terminate_transaction = _transactions.method(lambda part: part.terminate_transaction)

    _acls = Part(_acls)
    describe_acls = _acls.method(lambda part: part.describe_acls)
    create_acls = _acls.method(lambda part: part.create_acls)
    delete_acls = _acls.method(lambda part: part.delete_acls)

    _quotas = Part(_quotas)
    describe_client_quotas = _quotas.method(lambda part: part.describe_client_quotas)
    alter_client_quotas = _quotas.method(lambda part: part.alter_client_quotas)

    _users = Part(_users)
    scram_credentials = _users.method(lambda part: part.scram_credentials)
    describe_user_scram_credentials = _users.method(lambda part: part.describe_user_scram_credentials)
    alter_user_scram_credentials = _users.method(lambda part: part.alter_user_scram_credentials)
    create_delegation_token = _users.method(lambda part: part.create_delegation_token)
    renew_delegation_token = _users.method(lambda part: part.renew_delegation_token)
    expire_delegation_token = _users.method(lambda part: part.expire_delegation_token)
    describe_delegation_tokens = _users.method(lambda part: part.describe_delegation_tokens)
