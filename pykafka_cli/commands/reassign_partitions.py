"""``kafka-reassign-partitions``: move partitions to other brokers, and replicas to other log directories.

Source: org.apache.kafka.tools.reassign.ReassignPartitionsCommand of Kafka 4.3 (KIP-455, KIP-73, KIP-113).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import click

from pykafka_cli.admin_config import check_admin_config
from pykafka_cli.env import Env
from pykafka_cli.java_json import JsonError, as_array, as_object, as_string, as_whole, field, parse, read_text, written
from pykafka_cli.kafka_log import exception_line
from pykafka_cli.options import (
    LONG,
    CommandFailure,
    KafkaCommand,
    OptionProblem,
    Options,
    UsageProblem,
    connection_options,
    examples,
    open_cluster,
)
from pykafka_cli.params import FILE
from pykafka_cli.properties import PropertiesError
from pykafka_store.api import Admin, open_data_directory
from pykafka_store.errors import (
    InvalidReplicationFactorError,
    NoReassignmentInProgressError,
    StoreError,
    UnknownTopicOrPartitionError,
)
from pykafka_store.model import ConfigResource, TopicPartition
from pykafka_store.placement import striped

ACTIONS = ("generate", "execute", "verify", "cancel", "list")
REQUIRED = {
    "generate": ("topics-to-move-json-file", "broker-list"),
    "execute": ("reassignment-json-file",),
    "verify": ("reassignment-json-file",),
    "cancel": ("reassignment-json-file",),
    "list": (),
}
CONNECTION = ("bootstrap-server", "data-dir", "command-config")
PERMITTED = {
    "generate": ("disable-rack-aware",),
    "execute": ("additional", "throttle", "replica-alter-log-dirs-throttle", "timeout"),
    "verify": ("preserve-throttles",),
    "cancel": ("preserve-throttles", "timeout"),
    "list": (),
}
VERSION = 1
ANY_LOG_DIR = "any"

LEADER_RATE = "leader.replication.throttled.rate"
FOLLOWER_RATE = "follower.replication.throttled.rate"
LOG_DIR_RATE = "replica.alter.log.dirs.io.max.bytes.per.second"
LEADER_REPLICAS = "leader.replication.throttled.replicas"
FOLLOWER_REPLICAS = "follower.replication.throttled.replicas"


class _Replica(NamedTuple):
    """One copy of a partition; printed as Kafka's TopicPartitionReplica."""

    broker: int
    partition: TopicPartition

    def __str__(self) -> str:
        return f"{self.partition}-{self.broker}"


class _Wanted(NamedTuple):
    """What a ``--reassignment-json-file`` asks for, in its order and not yet checked."""

    partitions: list[tuple[TopicPartition, list[int]]]
    log_dirs: dict[_Replica, str]


class _Refusal(Exception):  # noqa: N818 - what Kafka calls an AdminCommandFailedException
    """What the tool itself has against what is asked, printed after ``Error: ``."""


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
@click.option(
    "--bootstrap-controller", metavar="HOST:PORT", help="Not for a data directory, which has no controller to ask."
)
@click.option(
    "--command-config",
    metavar="FILE",
    type=FILE,
    help="Property file of the admin client. A data directory needs none of its settings.",
)
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
@click.option("--preserve-throttles", is_flag=True, help="With --verify and --cancel: leave the throttles as they are.")
def reassign_partitions(env: Env, options: Options) -> None:
    """This tool helps to move topic partitions between replicas."""
    action = _checked_action(options)
    try:
        check_admin_config(env, options)
        with open_cluster(env, options) as cluster:
            admin = cluster.admin()
            match action:
                case "generate":
                    _generate(env, options, admin)
                case "execute":
                    _execute(env, options, admin)
                case "verify":
                    _verify(env, options, admin)
                case "cancel":
                    _cancel(env, options, admin)
                case _:
                    _list(env, admin)
    except (_Refusal, JsonError, OptionProblem, PropertiesError) as error:
        raise CommandFailure(f"Error: {error}", "stdout") from None
    except StoreError as error:
        raise CommandFailure(f"Error: {exception_line(error)}", "stdout") from None


def _checked_action(options: Options) -> str:
    """Source: ReassignPartitionsCommand#validateAndParseArgs; an address may be missing here."""
    given = [name for name in ACTIONS if options.has(name)]
    if len(given) != 1:
        listed = ", ".join(f"--{name}" for name in ACTIONS)
        raise UsageProblem(f"Command must include exactly one action: {listed}")
    (action,) = given
    if options.has("bootstrap-server") and options.has("bootstrap-controller"):
        raise UsageProblem("Please don't specify both --bootstrap-server and --bootstrap-controller")
    for name in REQUIRED[action]:
        if not options.has(name):
            raise UsageProblem(f'Missing required argument "[{name}]"')
    allowed = {action, *REQUIRED[action], *PERMITTED[action], *CONNECTION}
    if action in {"list", "cancel"} and options.has("bootstrap-controller"):
        raise CommandFailure(
            "--bootstrap-controller can't be honoured: a data directory has no controller; use --bootstrap-server or "
            "--data-dir"
        )
    for name in options.given:
        if name not in allowed:
            raise UsageProblem(f'Option "[{name}]" can\'t be used with action "[{action}]"')
    return action


# ---------------------------------------------------------------------------------------------------------- the actions


def _generate(env: Env, options: Options, admin: Admin) -> None:
    numbers = _numbers(options.text("broker-list"))
    if twice := _twice(numbers):
        raise _Refusal(f"Broker list contains duplicate entries: {_java_list(twice)}")
    topics = _topics(_read(options.text("topics-to-move-json-file")))
    if double := _twice(topics):
        raise _Refusal(f"List of topics to reassign contains duplicate entries: {_java_list(double)}")
    current = _replicas_of(admin, topics)
    brokers = [broker for broker in admin.live_brokers() if broker in numbers]
    proposed: dict[TopicPartition, list[int]] = {}
    for topic in topics:
        mine = [partition for partition in current if partition.topic == topic]
        try:
            placed = striped(brokers, (), len(mine), len(current[mine[0]]))
        except InvalidReplicationFactorError as error:  # thrown as it is; others come wrapped in an ExecutionException
            raise _Refusal(f"{error}\n{exception_line(error)}\n") from None
        proposed.update(zip(mine, placed, strict=True))
    env.out(f"Current partition replica assignment\n{_as_json(current, _log_dirs(admin))}\n")
    env.out(f"Proposed partition reassignment configuration\n{_as_json(proposed, {})}")


def _execute(env: Env, options: Options, admin: Admin) -> None:
    wanted = _wanted(_read(options.text("reassignment-json-file")))
    proposed = _unique(wanted)
    throttle, log_dir_throttle = options.integer("throttle"), options.integer("replica-alter-log-dirs-throttle")
    options.integer("timeout")
    moving = admin.list_partition_reassignments()
    if moving and not options.has("additional"):
        raise CommandFailure(
            "Cannot execute because there is an existing partition assignment.  Use --additional to override this and "
            "create a new partition assignment in addition to the existing one. The --additional flag can also be used "
            "to change the throttle by resubmitting the current reassignment.",
            "stdout",
        )
    unknown = {broker for replicas in proposed.values() for broker in replicas} - set(admin.live_brokers())
    if unknown:
        raise _Refusal(f"Unknown broker id {min(unknown)}")
    current = _replicas_of(admin, dict.fromkeys(partition.topic for partition in proposed))
    missing = sorted(proposed.keys() - current.keys())
    if missing:
        raise UnknownTopicOrPartitionError(f"Unable to find partition: {', '.join(map(str, missing))}")
    current = {partition: current[partition] for partition in proposed}
    env.out(
        f"Current partition replica assignment\n\n{_as_json(current, _log_dirs(admin))}\n\n"
        "Save this to use as the --reassignment-json-file option during rollback"
    )
    if throttle >= 0 or log_dir_throttle >= 0:
        env.out(
            "Warning: You must run --verify periodically, until the reassignment completes, to ensure the throttle is "
            "removed."
        )
    if throttle >= 0:
        sources = {
            **current,
            **{name: [b for b in move.replicas if b not in move.adding] for name, move in moving.items()},
        }
        _set_throttle(admin, sources, {**{name: move.adding for name, move in moving.items()}, **proposed}, throttle)
        env.out(f"The inter-broker throttle limit was set to {throttle} B/s")
    if log_dir_throttle >= 0:
        for broker in sorted({replica.broker for replica in wanted.log_dirs}):
            admin.incremental_alter_configs(_broker(broker), {LOG_DIR_RATE: str(log_dir_throttle)})
        env.out(f"The replica-alter-dir throttle limit was set to {log_dir_throttle} B/s")
    _begin(admin, proposed)
    env.out(f"Successfully started partition reassignment{_s(proposed)} for {_listed(sorted(proposed))}")
    try:
        _move_log_dirs(env, admin, wanted.log_dirs)
    finally:
        _carry_out(env, options, sorted(proposed))


def _verify(env: Env, options: Options, admin: Admin) -> None:
    wanted = _wanted(_read(options.text("reassignment-json-file")))
    moving = admin.list_partition_reassignments()
    env.out("Status of partition reassignment:")
    for name, target in sorted(dict(wanted.partitions).items()):
        if name in moving:
            env.out(f"Reassignment of partition {name} is still in progress.")
            continue
        try:
            current = _replicas_of(admin, [name.topic]).get(name, [])
        except UnknownTopicOrPartitionError:
            current = []
        if current == target:
            env.out(f"Reassignment of partition {name} is completed.")
        else:
            env.out(
                f"There is no active reassignment of partition {name}, but replica set is {_listed(current)} rather "
                f"than {_listed(target)}."
            )
    places = _places(admin)
    lines = [_log_dir_state(replica, path, *places.get(replica, (None, None))) for replica, path in _sorted(wanted)]
    env.out("\n".join(lines))
    on_their_way = any(places.get(replica, (None, None))[1] is not None for replica in wanted.log_dirs)
    if not moving and not on_their_way and not options.has("preserve-throttles"):
        _clear_throttles(env, admin, wanted)


def _cancel(env: Env, options: Options, admin: Admin) -> None:
    wanted = _wanted(_read(options.text("reassignment-json-file")))
    options.integer("timeout")
    moving = list(admin.list_partition_reassignments([partition for partition, _ in wanted.partitions]))
    if moving:
        answers = admin.alter_partition_reassignments(dict.fromkeys(moving))
        failed = {name: error for name, error in answers.items() if error is not None}
        if failed:
            listed = "\n".join(f"{name}: {error}" for name, error in sorted(failed.items()))
            raise CommandFailure(f"Error cancelling partition reassignment{_s(failed)} for:\n{listed}", "stdout")
        env.out(f"Successfully cancelled partition reassignment{_s(moving)} for: {_listed(moving)}")
    else:
        env.out("None of the specified partition reassignments are active.")
    places = _places(admin)
    back = {
        replica: here
        for replica, _ in _sorted(wanted)
        for here, future in [places.get(replica, (None, None))]
        if here is not None and future is not None
    }
    if back:
        _move_log_dirs(env, admin, back)
    else:
        env.stdout.write(b"None of the specified partition moves are active.")  # and Kafka ends no line here
    if not options.has("preserve-throttles"):
        _clear_throttles(env, admin, wanted)


def _list(env: Env, admin: Admin) -> None:
    moving = admin.list_partition_reassignments()
    if not moving:
        env.out("No partition reassignments found.")
        return
    env.out("Current partition reassignments:")
    for name, move in moving.items():
        adding = f" adding: {_listed(move.adding)}." if move.adding else ""
        removing = f" removing: {_listed(move.removing)}." if move.removing else ""
        env.out(f"{name}: replicas: {_listed(move.replicas)}.{adding}{removing}")


# ------------------------------------------------------------------------------------------------------------ the moves


def _begin(admin: Admin, proposed: Mapping[TopicPartition, Sequence[int]]) -> None:
    answers = admin.alter_partition_reassignments(proposed)
    failed = [f"{name}: {error}" for name, error in sorted(answers.items()) if error is not None]
    if failed:
        raise CommandFailure("\n".join(["Error reassigning partition(s):", *failed]), "stdout")


def _move_log_dirs(env: Env, admin: Admin, moves: Mapping[_Replica, str]) -> None:
    answers = admin.alter_replica_log_dirs({(each.partition, each.broker): path for each, path in moves.items()})
    for replica, path in sorted(moves.items()):
        error = answers[replica.partition, replica.broker]
        if error is not None:
            env.err(str(error))
            raise _Refusal(f"Failed to alter dir for {replica}")
        env.out(
            f"Successfully started moving log directory to {path} for replica {replica.partition} with broker "
            f"{replica.broker} "
        )


def _carry_out(env: Env, options: Options, partitions: Sequence[TopicPartition]) -> None:
    """On a data directory: move what is to be moved, as there is nobody else who would."""
    address = env.address(options.maybe_text("bootstrap-server"), options.maybe_text("data-dir"))
    if not address.startswith("file:"):
        return
    env.stdout.flush()
    with open_data_directory(address.removeprefix("file:")) as directory:
        for name, error in directory.reassign(partitions).items():
            if isinstance(error, NoReassignmentInProgressError):
                env.err(str(error))
            elif error is not None:
                env.report_error(f"{name}: {error}: 'pykafka maintain' goes on with moves that are on")


def _places(admin: Admin) -> dict[_Replica, tuple[str | None, str | None]]:
    """Where each replica lies, and where it is going."""
    found: dict[_Replica, tuple[str | None, str | None]] = {}
    for broker, log_dirs in admin.describe_log_dirs(admin.live_brokers()).items():
        for log_dir in log_dirs:
            for each in log_dir.replicas:
                replica = _Replica(broker, each.partition)
                here, future = found.get(replica, (None, None))
                found[replica] = (here, log_dir.path) if each.is_future else (log_dir.path, future)
    return found


def _log_dirs(admin: Admin) -> dict[_Replica, str]:
    return {replica: here for replica, (here, _) in _places(admin).items() if here is not None}


def _log_dir_state(replica: _Replica, wanted: str, here: str | None, future: str | None) -> str:
    """Source: ReassignPartitionsCommand#replicaMoveStatesToString."""
    partition, broker = replica.partition, replica.broker
    if here is None:
        return (
            f"Partition {partition} is not found in any live log dir on broker {broker}. There is likely an offline "
            "log directory on the broker."
        )
    if future is None:
        if here == wanted:
            return f"Reassignment of replica {replica} completed successfully."
        return f"Partition {partition} on broker {broker} is not being moved from log dir {here} to {wanted}."
    if future == wanted:
        return f"Reassignment of replica {replica} is still in progress."
    return f"Partition {partition} on broker {broker} is being moved to log dir {future} instead of {wanted}."


def _replicas_of(admin: Admin, topics: Iterable[str]) -> dict[TopicPartition, list[int]]:
    """The replicas of all partitions of topics. Raises UnknownTopicOrPartitionError in this tool's words."""
    found = {}
    for topic in topics:
        try:
            (described,) = admin.describe_topics([topic])
        except UnknownTopicOrPartitionError:
            raise UnknownTopicOrPartitionError(f"Topic {topic} not found.") from None
        found.update({TopicPartition(topic, each.partition): list(each.replicas) for each in described.partitions})
    return found


# -------------------------------------------------------------------------------------------------------- the throttles


def _broker(number: int) -> ConfigResource:
    return ConfigResource("broker", str(number))


def _set_throttle(
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


def _clear_throttles(env: Env, admin: Admin, wanted: _Wanted) -> None:
    brokers = sorted({*admin.live_brokers(), *(broker for _, target in wanted.partitions for broker in target)})
    env.out(f"Clearing broker-level throttles on broker{_s(brokers)} {_listed(brokers)}")
    for broker in brokers:
        admin.incremental_alter_configs(_broker(broker), {}, [LEADER_RATE, FOLLOWER_RATE, LOG_DIR_RATE])
    topics = sorted({partition.topic for partition, _ in wanted.partitions})
    env.out(f"Clearing topic-level throttles on topic{_s(topics)} {_listed(topics)}")
    for topic in topics:
        admin.incremental_alter_configs(ConfigResource("topic", topic), {}, [LEADER_REPLICAS, FOLLOWER_REPLICAS])


# ------------------------------------------------------------------------------------------------------- the JSON files


def _read(path: str) -> Any:
    try:
        return parse(read_text(path))
    except OSError:
        raise _Refusal(f"Unable to read file {path}") from None


def _versioned(parsed: Any) -> dict[str, Any]:
    fields = as_object(parsed)
    version = as_whole(fields["version"]) if "version" in fields else VERSION
    if version != VERSION:
        raise JsonError(f"Not supported version field value {version}")
    return fields


def _topics(parsed: Any) -> list[str]:
    """``--topics-to-move-json-file``"""
    entries = as_array(_versioned(parsed).get("topics", []))
    return [as_string(field(as_object(entry), "topic")) for entry in entries]


def _wanted(parsed: Any) -> _Wanted:
    """``--reassignment-json-file``. Source: ReassignPartitionsCommand#parsePartitionReassignmentData."""
    wanted = _Wanted([], {})
    for entry in map(as_object, as_array(_versioned(parsed).get("partitions", []))):
        partition = TopicPartition(as_string(field(entry, "topic")), as_whole(field(entry, "partition")))
        replicas = [as_whole(each) for each in _as_list(field(entry, "replicas"))]
        log_dirs = [as_string(each) for each in _as_list(entry.get("log_dirs", [ANY_LOG_DIR] * len(replicas)))]
        if len(replicas) != len(log_dirs):
            raise _Refusal(
                f"Size of replicas list {_java_list(replicas)} is different from size of log dirs list "
                f"{_java_list(log_dirs)} for partition {partition}"
            )
        wanted.partitions.append((partition, replicas))
        for broker, path in zip(replicas, log_dirs, strict=True):
            if path != ANY_LOG_DIR:
                wanted.log_dirs[_Replica(broker, partition)] = path
    return wanted


def _as_list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise JsonError(f"Expected `JSON array` value, received {written(value)}")
    return value


def _unique(wanted: _Wanted) -> dict[TopicPartition, list[int]]:
    """Source: ReassignPartitionsCommand#parseExecuteAssignmentArgs."""
    if not wanted.partitions:
        raise _Refusal("Partition reassignment list cannot be empty")
    if not all(replicas for _, replicas in wanted.partitions):
        raise _Refusal("Partition replica list cannot be empty")
    if double := _twice([partition for partition, _ in wanted.partitions]):
        raise _Refusal(f"Partition reassignment contains duplicate topic partitions: {_listed(double)}")
    twice = [
        f"{partition} contains multiple entries for {_listed(brokers)}"
        for partition, replicas in wanted.partitions
        if (brokers := _twice(replicas))
    ]
    if twice:
        raise _Refusal(f"Partition replica lists may not contain duplicate entries: {'. '.join(twice)}")
    return dict(wanted.partitions)


def _as_json(replicas: Mapping[TopicPartition, Sequence[int]], log_dirs: Mapping[_Replica, str]) -> str:
    return written(
        {
            "version": VERSION,
            "partitions": [
                {
                    "topic": partition.topic,
                    "partition": partition.partition,
                    "replicas": list(brokers),
                    "log_dirs": [log_dirs.get(_Replica(broker, partition), ANY_LOG_DIR) for broker in brokers],
                }
                for partition, brokers in sorted(replicas.items())
            ],
        }
    )


def _numbers(text: str) -> list[int]:
    """``--broker-list``: Java's String.split and Integer.parseInt."""
    words = text.split(",")
    while len(words) > 1 and not words[-1]:
        words.pop()
    for word in words:
        if not word.removeprefix("-").isdigit():
            raise _Refusal(f'For input string: "{word}"')
    return [int(word) for word in words]


# ------------------------------------------------------------------------------------------------------------- spelling


def _twice(values: Sequence[Any]) -> list[Any]:
    return list(dict.fromkeys(value for index, value in enumerate(values) if value in values[:index]))


def _sorted(wanted: _Wanted) -> list[tuple[_Replica, str]]:
    return sorted(wanted.log_dirs.items())


def _s(values: Sequence[Any] | Mapping[Any, Any]) -> str:
    return "" if len(values) == 1 else "s"


def _listed(values: Iterable[object]) -> str:
    return ",".join(map(str, values))


def _java_list(values: Iterable[object]) -> str:
    return f"[{', '.join(map(str, values))}]"
