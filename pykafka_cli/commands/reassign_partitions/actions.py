"""What ``kafka-reassign-partitions`` does.

Source: org.apache.kafka.tools.reassign.ReassignPartitionsCommand of Kafka 4.3.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence

from pykafka_cli.commands.reassign_partitions.plan import (
    Replica,
    as_json,
    broker_numbers,
    by_commas,
    checked,
    in_brackets,
    plural,
    read_moves,
    read_topics,
)
from pykafka_cli.commands.reassign_partitions.throttles import clear_throttles, set_log_dir_throttle, set_throttles
from pykafka_cli.env import Env
from pykafka_cli.errors import CommandFailure, Refusal
from pykafka_cli.output.kafka_log import exception_line
from pykafka_cli.tool.frame import directory_named, duplicates
from pykafka_cli.tool.options import Options
from pykafka_store.api import Admin
from pykafka_store.errors import (
    InvalidReplicationFactorError,
    NoReassignmentInProgressError,
    UnknownTopicOrPartitionError,
)
from pykafka_store.model import TopicPartition
from pykafka_store.open import open_data_directory
from pykafka_store.placement import rack_aware, striped


def generate(env: Env, options: Options, admin: Admin) -> None:
    numbers = broker_numbers(options.text("broker-list"))
    if twice := duplicates(numbers):
        raise Refusal(f"Broker list contains duplicate entries: {in_brackets(twice)}")
    topics = read_topics(options.text("topics-to-move-json-file"))
    if double := duplicates(topics):
        raise Refusal(f"List of topics to reassign contains duplicate entries: {in_brackets(double)}")
    current = _replicas_of(admin, topics)
    racks = {broker: rack for broker, rack in sorted(admin.racks().items()) if broker in numbers}
    known = {broker: rack for broker, rack in racks.items() if rack is not None}
    if known and len(known) < len(racks) and not options.has("disable-rack-aware"):
        raise Refusal(
            "Not all brokers have rack information. Add --disable-rack-aware in command line to make replica "
            "assignment without rack information."
        )
    aware = bool(known) and not options.has("disable-rack-aware")
    proposed: dict[TopicPartition, list[int]] = {}
    for topic in topics:
        mine = [partition for partition in current if partition.topic == topic]
        try:
            count, factor = len(mine), len(current[mine[0]])
            placed = rack_aware(known, count, factor) if aware else striped(list(racks), (), count, factor)
        except InvalidReplicationFactorError as error:  # thrown as it is; others come wrapped in an ExecutionException
            raise Refusal(f"{error}\n{exception_line(error)}\n") from None
        proposed.update(zip(mine, placed, strict=True))
    env.out(f"Current partition replica assignment\n{as_json(current, _log_dirs(admin))}\n")
    env.out(f"Proposed partition reassignment configuration\n{as_json(proposed, {})}")


def execute(env: Env, options: Options, admin: Admin) -> None:
    wanted = read_moves(options.text("reassignment-json-file"))
    proposed = checked(wanted)
    throttle, log_dir_throttle = options.integer("throttle"), options.integer("replica-alter-log-dirs-throttle")
    timeout = options.integer("timeout")
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
        raise Refusal(f"Unknown broker id {min(unknown)}")
    current = _replicas_of(admin, dict.fromkeys(partition.topic for partition in proposed))
    missing = sorted(proposed.keys() - current.keys())
    if missing:
        raise UnknownTopicOrPartitionError(f"Unable to find partition: {', '.join(map(str, missing))}")
    current = {partition: current[partition] for partition in proposed}
    env.out(
        f"Current partition replica assignment\n\n{as_json(current, _log_dirs(admin))}\n\n"
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
        set_throttles(admin, sources, {**{name: move.adding for name, move in moving.items()}, **proposed}, throttle)
        env.out(f"The inter-broker throttle limit was set to {throttle} B/s")
    if log_dir_throttle >= 0:
        set_log_dir_throttle(admin, (replica.broker for replica in wanted.log_dirs), log_dir_throttle)
        env.out(f"The replica-alter-dir throttle limit was set to {log_dir_throttle} B/s")
    try:
        _begin(admin, proposed, may_change_factor=not options.has("disallow-replication-factor-change"))
        env.out(f"Successfully started partition reassignment{plural(proposed)} for {by_commas(sorted(proposed))}")
        _move_log_dirs(env, admin, wanted.log_dirs, timeout)
    finally:
        _carry_out(env, options, sorted(proposed))


def verify(env: Env, options: Options, admin: Admin) -> None:
    wanted = read_moves(options.text("reassignment-json-file"))
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
                f"There is no active reassignment of partition {name}, but replica set is {by_commas(current)} rather "
                f"than {by_commas(target)}."
            )
    places = _places(admin)
    states = (
        _log_dir_state(replica, path, *places.get(replica, (None, None)))
        for replica, path in sorted(wanted.log_dirs.items())
    )
    env.out("\n".join(states))
    on_their_way = any(places.get(replica, (None, None))[1] is not None for replica in wanted.log_dirs)
    if not moving and not on_their_way and not options.has("preserve-throttles"):
        clear_throttles(env, admin, wanted)


def cancel(env: Env, options: Options, admin: Admin) -> None:
    wanted = read_moves(options.text("reassignment-json-file"))
    timeout = options.integer("timeout")
    moving = list(admin.list_partition_reassignments([partition for partition, _ in wanted.partitions]))
    if moving:
        answers = admin.alter_partition_reassignments(dict.fromkeys(moving))
        failed = {name: error for name, error in answers.items() if error is not None}
        if failed:
            listed = "\n".join(f"{name}: {error}" for name, error in sorted(failed.items()))
            raise CommandFailure(f"Error cancelling partition reassignment{plural(failed)} for:\n{listed}", "stdout")
        env.out(f"Successfully cancelled partition reassignment{plural(moving)} for: {by_commas(moving)}")
    else:
        env.out("None of the specified partition reassignments are active.")
    places = _places(admin)
    back = {
        replica: here
        for replica, _ in sorted(wanted.log_dirs.items())
        for here, future in [places.get(replica, (None, None))]
        if here is not None and future is not None
    }
    if back:
        _move_log_dirs(env, admin, back, timeout)
    else:
        env.write(b"None of the specified partition moves are active.")  # and Kafka ends no line here
    if not options.has("preserve-throttles"):
        clear_throttles(env, admin, wanted)


def list_moves(env: Env, admin: Admin) -> None:
    moving = admin.list_partition_reassignments()
    if not moving:
        env.out("No partition reassignments found.")
        return
    env.out("Current partition reassignments:")
    for name, move in moving.items():
        adding = f" adding: {by_commas(move.adding)}." if move.adding else ""
        removing = f" removing: {by_commas(move.removing)}." if move.removing else ""
        env.out(f"{name}: replicas: {by_commas(move.replicas)}.{adding}{removing}")


# ------------------------------------------------------------------------------------------------------------ the moves


def _begin(admin: Admin, proposed: Mapping[TopicPartition, Sequence[int]], *, may_change_factor: bool) -> None:
    answers = admin.alter_partition_reassignments(proposed, allow_replication_factor_change=may_change_factor)
    failed = [f"{name}: {error}" for name, error in sorted(answers.items()) if error is not None]
    if failed:
        raise CommandFailure("\n".join(["Error reassigning partition(s):", *failed]), "stdout")


def _move_log_dirs(env: Env, admin: Admin, moves: Mapping[Replica, str], timeout_ms: int) -> None:
    """A broker takes the move of a replica that it is still to get once that has begun to come.

    Source: ReassignPartitionsCommand#executeMoves.
    """
    deadline = env.monotonic() + timeout_ms / 1000
    left = dict(moves)
    while left:
        answers = admin.alter_replica_log_dirs({(each.partition, each.broker): path for each, path in left.items()})
        for replica, path in sorted(left.items()):
            error = answers[replica.partition, replica.broker]
            if error is None:
                del left[replica]
                env.out(
                    f"Successfully started moving log directory to {path} for replica {replica.partition} with broker "
                    f"{replica.broker} "
                )
            elif error.kafka_name != "ReplicaNotAvailableException":
                env.err(str(error))
                raise Refusal(f"Failed to alter dir for {replica}")
        if left and env.monotonic() >= deadline:
            listed = by_commas(sorted(left))
            raise Refusal(f"Timed out before log directory move{plural(left)} could be started for: {listed}")
        if left:
            time.sleep(0.1)


def _carry_out(env: Env, options: Options, partitions: Sequence[TopicPartition]) -> None:
    """On a data directory this process moves the partitions itself: there is no broker that would."""
    path = directory_named(env, options)
    if path is None:
        return
    env.flush()
    with open_data_directory(path) as directory:
        for name, error in directory.reassign(partitions).items():
            if isinstance(error, NoReassignmentInProgressError):
                env.err(str(error))
            elif error is not None:
                why = str(error).removeprefix(f"{name}: ")
                env.report_error(f"{name}: {why}: 'pykafka maintain' goes on with moves that are on")


def _places(admin: Admin) -> dict[Replica, tuple[str | None, str | None]]:
    """Where each replica lies, and where it is going."""
    found: dict[Replica, tuple[str | None, str | None]] = {}
    for broker, log_dirs in admin.describe_log_dirs(admin.live_brokers()).items():
        for log_dir in log_dirs:
            for each in log_dir.replicas:
                replica = Replica(broker, each.partition)
                here, future = found.get(replica, (None, None))
                found[replica] = (here, log_dir.path) if each.is_future else (log_dir.path, future)
    return found


def _log_dirs(admin: Admin) -> dict[Replica, str]:
    return {replica: here for replica, (here, _) in _places(admin).items() if here is not None}


def _log_dir_state(replica: Replica, wanted: str, here: str | None, future: str | None) -> str:
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
