"""``kafka-broker-api-versions``: what each broker can be asked.

Source: org.apache.kafka.tools.BrokerApiVersionsCommand of Kafka 4.3. Nobody speaks Kafka's protocol to a directory:
what is listed is what the tools here can do with it, under the names and versions of the requests that do it on a
broker.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click

from pykafka_cli.env import Env
from pykafka_cli.errors import CommandFailure
from pykafka_cli.output.kafka_log import exception_line
from pykafka_cli.tool.frame import (
    check_admin_config,
    command_config_option,
    connection_options,
    directory_named,
    failing_as,
    one_line,
)
from pykafka_cli.tool.options import KafkaCommand, Options, examples
from pykafka_store.errors import StoreError
from pykafka_store.nodes import ApiVersion

APIS = """
Produce 0 0-13 yes, Fetch 1 4-18 yes, ListOffsets 2 1-11 yes, Metadata 3 0-13 yes, OffsetCommit 8 2-10 yes,
OffsetFetch 9 1-10 yes, FindCoordinator 10 0-6 yes, JoinGroup 11 0-9 yes, Heartbeat 12 0-4 yes, LeaveGroup 13 0-5 yes,
SyncGroup 14 0-5 yes, DescribeGroups 15 0-6 yes, ListGroups 16 0-5 yes, SaslHandshake 17 0-1 no,
ApiVersions 18 0-4 yes, CreateTopics 19 2-7 yes, DeleteTopics 20 1-6 yes, DeleteRecords 21 0-2 yes,
InitProducerId 22 0-5 no, OffsetForLeaderEpoch 23 2-4 yes, AddPartitionsToTxn 24 0-5 no, AddOffsetsToTxn 25 0-4 no,
EndTxn 26 0-5 no, WriteTxnMarkers 27 1-2 no, TxnOffsetCommit 28 0-5 no, DescribeAcls 29 1-3 yes, CreateAcls 30 1-3 yes,
DeleteAcls 31 1-3 yes, DescribeConfigs 32 1-4 yes, AlterConfigs 33 0-2 no, AlterReplicaLogDirs 34 1-2 yes,
DescribeLogDirs 35 1-5 yes, SaslAuthenticate 36 0-2 no, CreatePartitions 37 0-3 yes, CreateDelegationToken 38 1-3 yes,
RenewDelegationToken 39 1-2 yes, ExpireDelegationToken 40 1-2 yes, DescribeDelegationToken 41 1-3 yes,
DeleteGroups 42 0-2 yes, ElectLeaders 43 0-2 yes, IncrementalAlterConfigs 44 0-1 yes,
AlterPartitionReassignments 45 0-1 yes, ListPartitionReassignments 46 0-0 yes, OffsetDelete 47 0-0 yes,
DescribeClientQuotas 48 0-1 yes, AlterClientQuotas 49 0-1 yes, DescribeUserScramCredentials 50 0-0 yes,
AlterUserScramCredentials 51 0-0 yes, DescribeQuorum 55 0-2 yes, UpdateFeatures 57 0-2 no, DescribeCluster 60 0-2 yes,
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

SETTINGS = (
    "bootstrap.servers",
    "client.dns.lookup",
    "default.api.timeout.ms",  # Kafka's tool has none and waits for as long as it takes; a probe wants an answer
    "request.timeout.ms",
    "retry.backoff.ms",
    "security.protocol",
    "socket.connection.setup.timeout.max.ms",
    "socket.connection.setup.timeout.ms",
)
"""What the tool's own small client reads of a file of settings, beside ssl.* and sasl.* (its AdminConfig)."""


@click.command(
    "broker-api-versions",
    cls=KafkaCommand,
    no_arguments=None,
    bad_options=CommandFailure,
    epilog=examples("kafka-broker-api-versions", "kafka-broker-api-versions | grep ElectLeaders"),
)
@connection_options
@command_config_option
def broker_api_versions(env: Env, options: Options) -> None:
    """This tool helps to retrieve broker version information."""
    with failing_as(one_line):
        check_admin_config(env, options, only=SETTINGS)
        path = directory_named(env, options)
        if path is None:
            _ask_cluster(env, options)
            return
        with env.open_data_directory(path) as directory:
            brokers = directory.brokers()
    called = env.node_of(options.maybe_text("bootstrap-server"))
    for broker in brokers:
        fenced = "true" if not broker.running or broker.problems else "false"
        name = broker.log_dirs[0] if called is None else f"{called[0]}:{called[1]}"
        _show(env, f"{name} (id: {broker.id} rack: null isFenced: {fenced})", _of_directory())


def _ask_cluster(env: Env, options: Options) -> None:
    from pykafka_store.open import open_kafka_cluster

    address = env.address(options.maybe_text("bootstrap-server"), options.maybe_text("data-dir"))
    with open_kafka_cluster(address, options.admin_config, on_waiting=env.on_waiting) as cluster:
        for node, found in cluster.admin().api_versions().items():
            fenced = "true" if node.fenced else "false"
            name = f"{node.host}:{node.port} (id: {node.id} rack: {node.rack or 'null'} isFenced: {fenced})"
            if isinstance(found, StoreError):
                env.out(f"{name} -> ERROR: {exception_line(found)}")
            else:
                _show(env, name, found)


def _show(env: Env, node: str, found: Sequence[ApiVersion]) -> None:
    env.out(f"{node} -> (")
    env.out(",\n".join(_lines(found)))
    env.out(")")


def _known() -> dict[int, tuple[ApiVersion, str, bool]]:
    """Number -> the request as a client of Kafka 4.3 has it, its name, and whether a directory can do it."""
    found = {}
    for entry in APIS.replace("\n", " ").split(","):
        name, number, versions, there = entry.split()
        lowest, highest = versions.split("-")
        found[int(number)] = ApiVersion(int(number), int(lowest), int(highest)), name, there == "yes"
    return found


def _of_directory() -> list[ApiVersion]:
    return [version for version, _, there in _known().values() if there]


def _lines(found: Sequence[ApiVersion]) -> Iterator[str]:
    """Source: NodeApiVersions#toString."""
    known = _known()
    theirs = {version.key: version for version in found}
    for key in sorted({*known, *theirs}):
        if key not in theirs:
            yield f"\t{known[key][1]}({key}): UNSUPPORTED"
            continue
        _, least, greatest = theirs[key]
        span = str(least) if least == greatest else f"{least} to {greatest}"
        if key not in known:
            yield f"\tUNKNOWN({key}): {span}"
            continue
        ours, name, _ = known[key]
        if ours.least > greatest:
            usable = "unusable: node too old"
        elif ours.greatest < least:
            usable = "unusable: node too new"
        else:
            usable = f"usable: {min(ours.greatest, greatest)}"
        yield f"\t{name}({key}): {span} [{usable}]"
