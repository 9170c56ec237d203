"""``kafka-run-class``: the tool that one of Kafka's classes is, by its name of today or of the last ten years.

Source: bin/kafka-run-class.sh, and the classes that the scripts beside it name, of Kafka 0.8 to 4.3.
"""

from __future__ import annotations

import os
import sys

import click

from pykafka_cli.env import Env
from pykafka_cli.errors import CommandFailure
from pykafka_cli.tool.absent import INSTEAD_OF_CLASSES
from pykafka_cli.tool.old_classes import OFFSET_CHECKER, OLD_CLASSES, ZOOKEEPER, ZOOKEEPER_SHELL, refusal
from pykafka_cli.tool.options import examples

USAGE = "USAGE: kafka-run-class [-daemon] [-name servicename] [-loggc] classname [opts]"

CLASSES = {
    "org.apache.kafka.tools.TopicCommand": "topics",
    "org.apache.kafka.tools.ConsoleProducer": "console-producer",
    "org.apache.kafka.tools.consumer.ConsoleConsumer": "console-consumer",
    "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand": "consumer-groups",
    "org.apache.kafka.tools.GroupsCommand": "groups",
    "org.apache.kafka.tools.ConfigCommand": "configs",
    "org.apache.kafka.tools.ClientMetricsCommand": "client-metrics",
    "org.apache.kafka.tools.AclCommand": "acls",
    "org.apache.kafka.tools.DelegationTokenCommand": "delegation-tokens",
    "org.apache.kafka.tools.GetOffsetShell": "get-offsets",
    "org.apache.kafka.tools.DeleteRecordsCommand": "delete-records",
    "org.apache.kafka.tools.DumpLogSegments": "dump-log",
    "org.apache.kafka.tools.LeaderElectionCommand": "leader-election",
    "org.apache.kafka.tools.reassign.ReassignPartitionsCommand": "reassign-partitions",
    "org.apache.kafka.tools.LogDirsCommand": "log-dirs",
    "org.apache.kafka.tools.MetadataQuorumCommand": "metadata-quorum",
    "org.apache.kafka.tools.BrokerApiVersionsCommand": "broker-api-versions",
    "org.apache.kafka.tools.ClusterTool": "cluster",
    "org.apache.kafka.tools.FeatureCommand": "features",
    "org.apache.kafka.tools.TransactionsCommand": "transactions",
    "org.apache.kafka.tools.StreamsResetter": "streams-application-reset",
    "org.apache.kafka.tools.ProducerPerformance": "producer-perf-test",
    "org.apache.kafka.tools.ConsumerPerformance": "consumer-perf-test",
    "org.apache.kafka.tools.EndToEndLatency": "e2e-latency",
    "org.apache.kafka.tools.VerifiableProducer": "verifiable-producer",
    "org.apache.kafka.tools.VerifiableConsumer": "verifiable-consumer",
    "kafka.tools.ConsumerPerformance": "consumer-perf-test",
    "kafka.tools.EndToEndLatency": "e2e-latency",
    "kafka.Kafka": "server-start",
    "kafka.admin.TopicCommand": "topics",
    "kafka.tools.ConsoleProducer": "console-producer",
    "kafka.tools.ConsoleConsumer": "console-consumer",
    "kafka.admin.ConsumerGroupCommand": "consumer-groups",
    "kafka.admin.ConfigCommand": "configs",
    "kafka.admin.AclCommand": "acls",
    "kafka.admin.DelegationTokenCommand": "delegation-tokens",
    "kafka.tools.GetOffsetShell": "get-offsets",
    "kafka.admin.DeleteRecordsCommand": "delete-records",
    "kafka.tools.DumpLogSegments": "dump-log",
    "kafka.admin.LeaderElectionCommand": "leader-election",
    "kafka.admin.ReassignPartitionsCommand": "reassign-partitions",
    "kafka.admin.LogDirsCommand": "log-dirs",
    "kafka.admin.BrokerApiVersionsCommand": "broker-api-versions",
    "kafka.tools.ClusterTool": "cluster",
    "kafka.admin.FeatureCommand": "features",
    "kafka.tools.StreamsResetter": "streams-application-reset",
    "kafka.tools.StorageTool": "storage",
}
"""Class -> our tool."""


@click.command(
    "run-class",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False, "help_option_names": []},
    short_help="Run the tool that a class of Kafka's is.",
    epilog=examples("kafka-run-class kafka.tools.GetOffsetShell --bootstrap-server localhost:9092 --topic orders"),
)
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="CLASS [OPTION]...")
@click.pass_obj
def run_class(env: Env, words: tuple[str, ...]) -> None:
    """Run the tool that one of Kafka's classes is, by its name in Kafka 4.3 or an older one.

    A class that is no tool here is refused by its name, with what there is instead.
    """
    rest = list(words)
    daemon = False
    while rest and rest[0] in {"-daemon", "-name", "-loggc"}:
        flag = rest.pop(0)
        daemon = daemon or flag == "-daemon"
        if flag == "-name" and rest:
            rest.pop(0)
    if not rest:
        raise CommandFailure(USAGE, stream="stdout")
    if rest[0] in {"--help", "-h"}:
        env.out(click.get_current_context().get_help())
        return
    name, *options = rest
    tool = CLASSES.get(name)
    old = OLD_CLASSES.get(name)
    if old is not None:
        if not env.takes_old_options:
            raise CommandFailure(refusal(name, old))
        tool, options = old.tool, old.today(options)
        if tool in {OFFSET_CHECKER, ZOOKEEPER, ZOOKEEPER_SHELL}:
            _run_old(env, tool, options)
            return
    if tool is None:
        instead = INSTEAD_OF_CLASSES.get(name, "COMPAT.md lists the tools that there are")
        raise CommandFailure(f"{name} is not here: {instead}")
    if daemon and tool == "server-start":
        options.insert(0, "-daemon")
    os.execv(sys.executable, [sys.executable, "-P", "-m", "pykafka_cli", f"kafka-{tool}", *options])  # noqa: S606 - ourselves


def _run_old(env: Env, tool: str, options: list[str]) -> None:
    """What is no tool of today."""
    from pykafka_cli.tool import offset_checker, zookeeper

    run = {
        OFFSET_CHECKER: offset_checker.check_offsets,
        ZOOKEEPER: zookeeper.pass_over,
        ZOOKEEPER_SHELL: zookeeper.shell,
    }
    run[tool](env, options)
