"""``kafka-reassign-partitions``: move partitions to other brokers, and replicas to other log directories.

Source: org.apache.kafka.tools.reassign.ReassignPartitionsCommand of Kafka 4.3 (KIP-455, KIP-73, KIP-113).
"""

from __future__ import annotations

import click

from pykafka_cli.click_types import FILE
from pykafka_cli.commands.reassign_partitions import actions
from pykafka_cli.env import Env
from pykafka_cli.errors import CommandFailure, Refusal, UsageProblem
from pykafka_cli.output.kafka_log import exception_line
from pykafka_cli.tool.frame import (
    CONNECTION,
    CONTROLLER,
    command_config_option,
    connection_options,
    controller_option,
    failing_as,
    one_action,
    opened,
    require,
)
from pykafka_cli.tool.options import LONG, KafkaCommand, Options, examples
from pykafka_store.errors import StoreError

ACTIONS = ("generate", "execute", "verify", "cancel", "list")
REQUIRED = {
    "generate": ("topics-to-move-json-file", "broker-list"),
    "execute": ("reassignment-json-file",),
    "verify": ("reassignment-json-file",),
    "cancel": ("reassignment-json-file",),
    "list": (),
}
"""The options that an action needs."""
PERMITTED = {
    "generate": ("disable-rack-aware",),
    "execute": (
        "additional",
        "throttle",
        "replica-alter-log-dirs-throttle",
        "timeout",
        "disallow-replication-factor-change",
    ),
    "verify": ("preserve-throttles",),
    "cancel": ("preserve-throttles", "timeout"),
    "list": (),
}
"""The options that an action may have beside them, and beside those of the connection."""


@click.command(
    "reassign-partitions",
    cls=KafkaCommand,
    no_arguments="This tool helps to move topic partitions between replicas.",
    bad_options=CommandFailure,
    epilog=examples(
        """echo '{"topics":[{"topic":"orders"}],"version":1}' > topics.json""",
        "kafka-reassign-partitions --generate --topics-to-move-json-file topics.json --broker-list 0,1,2",
        "kafka-reassign-partitions --execute --reassignment-json-file plan.json",
        "kafka-reassign-partitions --verify --reassignment-json-file plan.json",
    ),
)
@connection_options
@click.option("--generate", is_flag=True, help="Propose where the partitions of topics could go. Nothing is moved.")
@click.option(
    "--execute",
    is_flag=True,
    help="Move partitions as --reassignment-json-file says. On a data directory this command moves them, and is over "
    "when they are where they were to go; killed, it leaves moves that 'pykafka maintain' goes on with.",
)
@click.option("--verify", is_flag=True, help="Tell whether the moves are over, and take the throttles away if so.")
@click.option("--cancel", is_flag=True, help="Give up moves that are on.")
@click.option("--list", "list_", is_flag=True, help="List the moves that are on.")
@controller_option
@command_config_option
@click.option(
    "--reassignment-json-file",
    metavar="FILE",
    type=FILE,
    help='The JSON file with the moves: {"partitions": [{"topic": "foo", "partition": 1, "replicas": [1,2,3], '
    '"log_dirs": ["dir1","any","any"]}], "version": 1}. log_dirs may be left out; each is the absolute path of a log '
    "directory of that broker, or any.",
)
@click.option(
    "--topics-to-move-json-file",
    metavar="FILE",
    type=FILE,
    help='With --generate: the JSON file with the topics: {"topics": [{"topic": "foo"}], "version": 1}.',
)
@click.option("--broker-list", metavar="BROKERS", help="With --generate: the brokers to use, by commas: 0,1,2.")
@click.option("--disable-rack-aware", is_flag=True, help="With --generate. A data directory has no racks.")
@click.option(
    "--throttle",
    metavar="BYTES",
    type=LONG,
    default=-1,
    help="With --execute: copy so many bytes a second between brokers. A later --execute --additional changes it.",
)
@click.option(
    "--replica-alter-log-dirs-throttle",
    metavar="BYTES",
    type=LONG,
    default=-1,
    help="With --execute: copy so many bytes a second between log directories of one broker.",
)
@click.option(
    "--timeout",
    metavar="MS",
    type=LONG,
    default=10000,
    help="How long to wait for a move between log directories to begin. On a data directory it begins at once.",
)
@click.option("--additional", is_flag=True, help="With --execute: even if other moves are on.")
@click.option(
    "--disallow-replication-factor-change",
    is_flag=True,
    help="With --execute: refuse a move that changes how many replicas a partition has.",
)
@click.option("--preserve-throttles", is_flag=True, help="With --verify and --cancel: leave the throttles as they are.")
def reassign_partitions(env: Env, options: Options) -> None:
    """This tool helps to move topic partitions between replicas."""
    action = _checked_action(options)
    with failing_as(_failure), opened(env, options) as admin:
        match action:
            case "generate":
                actions.generate(env, options, admin)
            case "execute":
                actions.execute(env, options, admin)
            case "verify":
                actions.verify(env, options, admin)
            case "cancel":
                actions.cancel(env, options, admin)
            case _:
                actions.list_moves(env, admin)


def _failure(error: Refusal | StoreError) -> CommandFailure:
    reason = exception_line(error) if isinstance(error, StoreError) else str(error)
    return CommandFailure(f"Error: {reason}", "stdout")


def _checked_action(options: Options) -> str:
    """Source: ReassignPartitionsCommand#validateAndParseArgs; an address may be missing here."""
    action = one_action(options, ACTIONS)
    if options.has("bootstrap-server") and options.has("bootstrap-controller"):
        raise UsageProblem("Please don't specify both --bootstrap-server and --bootstrap-controller")
    require(options, *REQUIRED[action])
    allowed = {action, *REQUIRED[action], *PERMITTED[action], *CONNECTION}
    if action in {"list", "cancel"}:
        allowed.add(CONTROLLER)
    for name in options.given:
        if name not in allowed:
            raise UsageProblem(f'Option "[{name}]" can\'t be used with action "[{action}]"')
    return action
