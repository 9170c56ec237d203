"""Which function answers which request. What is not here is not advertised."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, TypeAlias

from pykafka_store.wire import protocol
from pykafka_store.wire.admin_configs import ConfigsApi
from pykafka_store.wire.admin_groups import GroupAdminApi
from pykafka_store.wire.admin_operations import OperationsApi
from pykafka_store.wire.admin_partitions import PartitionsApi
from pykafka_store.wire.admin_topics import TopicsApi
from pykafka_store.wire.broker import Broker, Parked
from pykafka_store.wire.commits import CommitsApi
from pykafka_store.wire.consumer_groups import ConsumerGroupsApi
from pykafka_store.wire.fetch import FetchApi
from pykafka_store.wire.gate import authenticate_too_late, handshake_too_late
from pykafka_store.wire.groups import GroupsApi
from pykafka_store.wire.members import Members
from pykafka_store.wire.metadata import MetadataApi
from pykafka_store.wire.offsets import OffsetsApi
from pykafka_store.wire.produce import ProduceApi
from pykafka_store.wire.protocol import Reply, Request

if TYPE_CHECKING:
    from pykafka_store.wire.admin_access import AccessApi

Handler: TypeAlias = Callable[[Request], Reply | Parked | None]
"""An answer, or what waits for one, or None where the client wants none."""

Handlers: TypeAlias = dict[int, Handler]


def handlers_of(broker: Broker, members: Members) -> Handlers:
    """API key -> what answers it."""
    handlers: Handlers = {}
    produce, fetch, offsets = ProduceApi(broker), FetchApi(broker), OffsetsApi(broker)
    topics, commits = TopicsApi(broker), CommitsApi(broker, members)
    groups, consumer_groups = GroupsApi(broker, members), ConsumerGroupsApi(broker, members)
    handlers |= {
        protocol.PRODUCE: produce.produce,
        protocol.INIT_PRODUCER_ID: produce.init_producer_id,
        protocol.FETCH: fetch.fetch,
        protocol.LIST_OFFSETS: offsets.list_offsets,
        protocol.OFFSET_FOR_LEADER_EPOCH: offsets.offset_for_leader_epoch,
        protocol.CREATE_TOPICS: topics.create_topics,
        protocol.DELETE_TOPICS: topics.delete_topics,
        protocol.OFFSET_COMMIT: commits.offset_commit,
        protocol.OFFSET_FETCH: commits.offset_fetch,
        protocol.JOIN_GROUP: groups.join,
        protocol.SYNC_GROUP: groups.sync,
        protocol.HEARTBEAT: groups.heartbeat,
        protocol.LEAVE_GROUP: groups.leave,
        protocol.CONSUMER_GROUP_HEARTBEAT: consumer_groups.heartbeat,
    }
    configs, partitions = ConfigsApi(broker), PartitionsApi(broker)
    group_admin = GroupAdminApi(broker, members, groups.self_assigned)
    handlers |= {
        protocol.DESCRIBE_CONFIGS: configs.describe_configs,
        protocol.ALTER_CONFIGS: configs.alter_configs,
        protocol.INCREMENTAL_ALTER_CONFIGS: configs.incremental_alter_configs,
        protocol.LIST_CONFIG_RESOURCES: configs.list_config_resources,
        protocol.LIST_GROUPS: group_admin.list_groups,
        protocol.DESCRIBE_GROUPS: group_admin.describe_groups,
        protocol.CONSUMER_GROUP_DESCRIBE: group_admin.consumer_group_describe,
        protocol.DELETE_GROUPS: group_admin.delete_groups,
        protocol.OFFSET_DELETE: group_admin.offset_delete,
        protocol.CREATE_PARTITIONS: partitions.create_partitions,
        protocol.DELETE_RECORDS: partitions.delete_records,
        protocol.DESCRIBE_TOPIC_PARTITIONS: partitions.describe_topic_partitions,
        protocol.DESCRIBE_PRODUCERS: partitions.describe_producers,
        protocol.ELECT_LEADERS: partitions.elect_leaders,
        protocol.ALTER_PARTITION_REASSIGNMENTS: partitions.alter_partition_reassignments,
        protocol.LIST_PARTITION_REASSIGNMENTS: partitions.list_partition_reassignments,
        protocol.ALTER_REPLICA_LOG_DIRS: partitions.alter_replica_log_dirs,
        protocol.DESCRIBE_LOG_DIRS: partitions.describe_log_dirs,
        protocol.DESCRIBE_QUORUM: partitions.describe_quorum,
    }

    @cache
    def access() -> AccessApi:
        """Imported when it is asked for: it would take a tenth of the server's start."""
        from pykafka_store.wire.admin_access import AccessApi

        return AccessApi(broker)

    handlers |= {
        protocol.DESCRIBE_ACLS: lambda request: access().describe_acls(request),
        protocol.CREATE_ACLS: lambda request: access().create_acls(request),
        protocol.DELETE_ACLS: lambda request: access().delete_acls(request),
        protocol.DESCRIBE_CLIENT_QUOTAS: lambda request: access().describe_client_quotas(request),
        protocol.ALTER_CLIENT_QUOTAS: lambda request: access().alter_client_quotas(request),
        protocol.DESCRIBE_USER_SCRAM: lambda request: access().describe_user_scram_credentials(request),
        protocol.ALTER_USER_SCRAM: lambda request: access().alter_user_scram_credentials(request),
    }
    operations = OperationsApi(broker)
    handlers |= {
        protocol.UPDATE_FEATURES: operations.update_features,
        protocol.LIST_TRANSACTIONS: operations.list_transactions,
        protocol.DESCRIBE_TRANSACTIONS: operations.describe_transactions,
        protocol.UNREGISTER_BROKER: operations.unregister_broker,
        protocol.CREATE_DELEGATION_TOKEN: operations.refuse_token,
        protocol.RENEW_DELEGATION_TOKEN: operations.refuse_token,
        protocol.EXPIRE_DELEGATION_TOKEN: operations.refuse_token,
        protocol.DESCRIBE_DELEGATION_TOKEN: operations.refuse_token,
    }
    metadata = MetadataApi(broker, [*handlers, protocol.API_VERSIONS, *_OF_METADATA, *_OF_THE_GATE])
    handlers[protocol.API_VERSIONS] = metadata.api_versions
    handlers[protocol.METADATA] = metadata.metadata
    handlers[protocol.DESCRIBE_CLUSTER] = metadata.describe_cluster
    handlers[protocol.FIND_COORDINATOR] = metadata.find_coordinator
    handlers[protocol.SASL_HANDSHAKE] = handshake_too_late
    handlers[protocol.SASL_AUTHENTICATE] = authenticate_too_late
    return handlers


_OF_METADATA = (protocol.METADATA, protocol.DESCRIBE_CLUSTER, protocol.FIND_COORDINATOR)
_OF_THE_GATE = (protocol.SASL_HANDSHAKE, protocol.SASL_AUTHENTICATE)
