"""``kafka-broker-api-versions``: what each broker can be asked.

Source: org.apache.kafka.tools.BrokerApiVersionsCommand of Kafka 4.3. Nobody speaks Kafka's protocol to a directory:
what is listed is what the tools here can do with it, under the names and versions of the requests that do it on a
broker.
"""

from __future__ import annotations

from collections.abc import Iterator

import click

from pykafka_cli.admin_config import check_admin_config
from pykafka_cli.env import Env
from pykafka_cli.options import (
    CommandFailure,
    KafkaCommand,
    OptionProblem,
    Options,
    connection_options,
    examples,
)
from pykafka_cli.params import FILE
from pykafka_cli.properties import PropertiesError
from pykafka_store.api import open_data_directory
from pykafka_store.errors import StoreError

APIS = """
Produce 0 0-13 yes, Fetch 1 4-18 yes, ListOffsets 2 1-11 yes, Metadata 3 0-13 yes, OffsetCommit 8 2-10 yes,
OffsetFetch 9 1-10 yes, FindCoordinator 10 0-6 yes, JoinGroup 11 0-9 yes, Heartbeat 12 0-4 yes, LeaveGroup 13 0-5 yes,
SyncGroup 14 0-5 yes, DescribeGroups 15 0-6 yes, ListGroups 16 0-5 yes, SaslHandshake 17 0-1 no,
ApiVersions 18 0-4 yes, CreateTopics 19 2-7 yes, DeleteTopics 20 1-6 yes, DeleteRecords 21 0-2 yes,
InitProducerId 22 0-5 no, OffsetForLeaderEpoch 23 2-4 yes, AddPartitionsToTxn 24 0-5 no, AddOffsetsToTxn 25 0-4 no,
EndTxn 26 0-5 no, WriteTxnMarkers 27 1-2 no, TxnOffsetCommit 28 0-5 no, DescribeAcls 29 1-3 no, CreateAcls 30 1-3 no,
DeleteAcls 31 1-3 no, DescribeConfigs 32 1-4 yes, AlterConfigs 33 0-2 no, AlterReplicaLogDirs 34 1-2 yes,
DescribeLogDirs 35 1-5 yes, SaslAuthenticate 36 0-2 no, CreatePartitions 37 0-3 yes, CreateDelegationToken 38 1-3 no,
RenewDelegationToken 39 1-2 no, ExpireDelegationToken 40 1-2 no, DescribeDelegationToken 41 1-3 no,
DeleteGroups 42 0-2 yes, ElectLeaders 43 0-2 yes, IncrementalAlterConfigs 44 0-1 yes,
AlterPartitionReassignments 45 0-1 yes, ListPartitionReassignments 46 0-0 yes, OffsetDelete 47 0-0 yes,
DescribeClientQuotas 48 0-1 no, AlterClientQuotas 49 0-1 no, DescribeUserScramCredentials 50 0-0 no,
AlterUserScramCredentials 51 0-0 no, DescribeQuorum 55 0-2 yes, UpdateFeatures 57 0-2 no, DescribeCluster 60 0-2 yes,
DescribeProducers 61 0-0 no, UnregisterBroker 64 0-0 yes, DescribeTransactions 65 0-0 no, ListTransactions 66 0-2 no,
ConsumerGroupHeartbeat 68 0-1 yes, ConsumerGroupDescribe 69 0-1 yes, GetTelemetrySubscriptions 71 0-0 no,
PushTelemetry 72 0-0 no, ListConfigResources 74 0-1 yes, DescribeTopicPartitions 75 0-0 yes,
ShareGroupHeartbeat 76 1-1 no, ShareGroupDescribe 77 1-1 no, ShareFetch 78 1-2 no, ShareAcknowledge 79 1-2 no,
AddRaftVoter 80 0-1 no, RemoveRaftVoter 81 0-0 no, InitializeShareGroupState 83 0-0 no, ReadShareGroupState 84 0-0 no,
WriteShareGroupState 85 0-1 no, DeleteShareGroupState 86 0-0 no, ReadShareGroupStateSummary 87 0-1 no,
StreamsGroupHeartbeat 88 0-0 no, StreamsGroupDescribe 89 0-0 no, DescribeShareGroupOffsets 90 0-1 no,
AlterShareGroupOffsets 91 0-0 no, DeleteShareGroupOffsets 92 0-0 no
"""
"""The requests of Kafka 4.3's brokers: name, number, versions, and whether a directory is asked for the same."""


@click.command(
    "broker-api-versions",
    cls=KafkaCommand,
    no_arguments=None,
    bad_options=CommandFailure,
    epilog=examples("kafka-broker-api-versions", "kafka-broker-api-versions | grep ElectLeaders"),
)
@connection_options
@click.option(
    "--command-config",
    metavar="FILE",
    type=FILE,
    help="Property file of the admin client. A data directory needs none of its settings.",
)
def broker_api_versions(env: Env, options: Options) -> None:
    """This tool helps to retrieve broker version information."""
    try:
        check_admin_config(env, options)
        address = env.address(options.maybe_text("bootstrap-server"), options.maybe_text("data-dir"))
        if not address.startswith("file:"):
            raise CommandFailure(
                "librdkafka does not tell what a broker can be asked: use Apache Kafka's kafka-broker-api-versions"
            )
        with open_data_directory(address.removeprefix("file:")) as directory:
            brokers = directory.brokers()
    except (StoreError, OptionProblem, PropertiesError) as error:
        raise CommandFailure(str(error)) from None
    for broker in brokers:
        fenced = "true" if not broker.running or broker.problems else "false"
        env.out(f"{broker.log_dirs[0]} (id: {broker.id} rack: null isFenced: {fenced}) -> (")
        env.out(",\n".join(_lines()))
        env.out(")")


def _lines() -> Iterator[str]:
    """Source: NodeApiVersions#toString."""
    for entry in APIS.replace("\n", " ").split(","):
        name, number, versions, there = entry.split()
        lowest, highest = versions.split("-")
        span = lowest if lowest == highest else f"{lowest} to {highest}"
        yield f"\t{name}({number}): " + (f"{span} [usable: {highest}]" if there == "yes" else "UNSUPPORTED")
