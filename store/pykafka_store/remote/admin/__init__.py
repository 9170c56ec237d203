"""The Admin of a Kafka cluster, one module a noun.

The broker checks and says what is wrong, in its own words. What librdkafka has no request for is asked through
``remote.requests``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from confluent_kafka.admin import AdminClient

from pykafka_store.remote.admin.acls import AclAdmin
from pykafka_store.remote.admin.brokers import BrokerAdmin
from pykafka_store.remote.admin.configs import ConfigAdmin
from pykafka_store.remote.admin.credentials import CredentialAdmin
from pykafka_store.remote.admin.features import FeatureAdmin
from pykafka_store.remote.admin.groups import GroupAdmin
from pykafka_store.remote.admin.moves import MoveAdmin
from pykafka_store.remote.admin.offsets import OffsetAdmin
from pykafka_store.remote.admin.quorum import QuorumAdmin
from pykafka_store.remote.admin.quotas import QuotaAdmin
from pykafka_store.remote.admin.requests import Requests
from pykafka_store.remote.admin.topics import TopicAdmin
from pykafka_store.remote.admin.transactions import TransactionAdmin
from pykafka_store.remote.link import Link

if TYPE_CHECKING:
    from pykafka_store.remote.requests.network import Network


class RemoteAdmin:
    """See :class:`pykafka_store.api.KafkaAdmin`: each of its methods is the one of the part that has its noun."""

    def __init__(
        self,
        connect: Callable[[], Link[AdminClient]],
        network: Callable[[], Network],
        require_writable: Callable[[], None],
        *,
        of_controllers: bool = False,
    ) -> None:
        requests = Requests(connect, network, require_writable, of_controllers=of_controllers)
        acls = AclAdmin(requests)
        brokers = BrokerAdmin(requests)
        credentials = CredentialAdmin(requests)
        features = FeatureAdmin(requests)
        moves = MoveAdmin(requests)
        quorum = QuorumAdmin(requests)
        quotas = QuotaAdmin(requests)
        transactions = TransactionAdmin(requests)
        configs = ConfigAdmin(requests, brokers)
        topics = TopicAdmin(requests, brokers, configs, moves)
        offsets = OffsetAdmin(requests, topics)
        groups = GroupAdmin(requests, topics)

        self.list_topics = topics.list_topics
        self.describe_topics = topics.describe_topics
        self.create_topic = topics.create_topic
        self.create_partitions = topics.create_partitions
        self.delete_topic = topics.delete_topic

        self.list_offsets = offsets.list_offsets
        self.delete_records = offsets.delete_records

        self.describe_configs = configs.describe_configs
        self.configured_groups = configs.configured_groups
        self.incremental_alter_configs = configs.incremental_alter_configs

        self.list_groups = groups.list_groups
        self.describe_group = groups.describe_group
        self.group_offsets = groups.group_offsets
        self.alter_group_offsets = groups.alter_group_offsets
        self.delete_group_offsets = groups.delete_group_offsets
        self.delete_group = groups.delete_group

        self.cluster_id = brokers.cluster_id
        self.live_brokers = brokers.live_brokers
        self.elect_leaders = brokers.elect_leaders
        self.racks = brokers.racks
        self.nodes = brokers.nodes
        self.api_versions = brokers.api_versions
        self.unregister_broker = brokers.unregister_broker

        self.alter_partition_reassignments = moves.alter_partition_reassignments
        self.list_partition_reassignments = moves.list_partition_reassignments
        self.alter_replica_log_dirs = moves.alter_replica_log_dirs
        self.describe_log_dirs = moves.describe_log_dirs

        self.describe_quorum = quorum.describe_quorum
        self.add_voter = quorum.add_voter
        self.remove_voter = quorum.remove_voter

        self.describe_features = features.describe_features
        self.update_features = features.update_features

        self.list_transactions = transactions.list_transactions
        self.describe_transactions = transactions.describe_transactions
        self.describe_producers = transactions.describe_producers
        self.abort_transaction = transactions.abort_transaction
        self.terminate_transaction = transactions.terminate_transaction

        self.describe_acls = acls.describe_acls
        self.create_acls = acls.create_acls
        self.delete_acls = acls.delete_acls
        self.describe_client_quotas = quotas.describe_client_quotas
        self.alter_client_quotas = quotas.alter_client_quotas
        self.describe_user_scram_credentials = credentials.describe_user_scram_credentials
        self.alter_user_scram_credentials = credentials.alter_user_scram_credentials
        self.configured_client_metrics = configs.configured_client_metrics
        self.create_delegation_token = credentials.create_delegation_token
        self.renew_delegation_token = credentials.renew_delegation_token
        self.expire_delegation_token = credentials.expire_delegation_token
        self.describe_delegation_tokens = credentials.describe_delegation_tokens
