"""``pykafka wait``: until a cluster answers, a topic is there, records have arrived, a group has read them.

For scripts and CI, which would otherwise sleep and hope. It looks again and again and changes nothing: what is waited
for is made by somebody else.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import click

from pykafka_cli.click_types import DURATION, GROUP, TOPIC
from pykafka_cli.env import Env
from pykafka_cli.errors import CommandFailure, QuietFailure
from pykafka_cli.output.hints import suggest
from pykafka_cli.output.progress import TerminalLine
from pykafka_cli.output.words import counted
from pykafka_cli.tool.connection import Connection
from pykafka_cli.tool.frame import command_config_option, connection_options
from pykafka_cli.tool.options import examples
from pykafka_store.errors import StoreError, UnknownTopicOrPartitionError
from pykafka_store.model import OffsetAt, TopicDescription, TopicPartition

if TYPE_CHECKING:
    from pykafka_store.api import Admin, Cluster
    from pykafka_store.watching import Below

SHORTEST_PAUSE = 0.01
LONGEST_PAUSE = 0.05
"""Seconds between two looks at a directory: the first is soon, and one takes a millisecond."""

UNTOLD_PAUSE = 1.0
"""Seconds between two looks at a directory where it is told what is written there: a process that is gone writes
nothing.
"""

CLUSTER_PAUSE = 0.25
"""Seconds between two looks at a cluster, and at most between two attempts to connect."""

ONE_LOOK = 5.0
"""Seconds that a cluster has for an answer, before it is tried anew."""

API_TIMEOUT = "default.api.timeout.ms"
RECONNECT_BACKOFF_AT_FIRST = "reconnect.backoff.ms"
RECONNECT_BACKOFF = "reconnect.backoff.max.ms"


class Wanted(NamedTuple):
    """What must hold, all of it. Without anything: that the cluster answers."""

    topics: Sequence[str]
    partitions: int
    """At least so many, of each topic."""
    records: int
    """At least so many, in each topic."""
    groups: Sequence[str]
    lag: int | None
    stable: bool
    members: int


@click.command(
    "wait",
    short_help="Wait until a topic, its records or a group are there.",
    epilog=examples(
        "pykafka wait --bootstrap-server localhost:9092 --timeout 1m",
        "pykafka wait --topic orders --records 1000",
        "pykafka wait --topic orders --group billing --lag 0",
        "pykafka wait --group billing --stable --members 3 || exit 1",
    ),
)
@connection_options
@command_config_option
@click.option(
    "--topic",
    "topics",
    metavar="TOPIC",
    type=TOPIC,
    multiple=True,
    help="The topic exists, and each of its partitions has a leader. May be repeated.",
)
@click.option(
    "--partitions", metavar="N", type=click.IntRange(min=1), help="With --topic: it has N partitions, or more."
)
@click.option(
    "--records",
    metavar="N",
    type=click.IntRange(min=1),
    help="With --topic: it holds N records, or more: the latest less the earliest offset of its partitions.",
)
@click.option(
    "--group", "groups", metavar="ID", type=GROUP, multiple=True, help="The consumer group exists. May be repeated."
)
@click.option(
    "--lag",
    metavar="N",
    type=click.IntRange(min=0),
    help="With --group: N records, or fewer, are left for it to read: in the topics of --topic, or without them in all "
    "that it has committed or been assigned. Where it has committed nothing, all records count.",
)
@click.option("--stable", is_flag=True, help="With --group: it has members, and each has its partitions.")
@click.option("--members", metavar="N", type=click.IntRange(min=1), help="With --group: it has N members, or more.")
@click.option(
    "--timeout",
    metavar="TIME",
    type=DURATION,
    default="30s",
    show_default=True,
    help="How long to wait (500ms, 30s, 5m, 1h).",
)
@click.option("--quiet", is_flag=True, help="Say nothing at the timeout, and show no progress on a terminal.")
@click.pass_obj
def wait(
    env: Env,
    bootstrap_server: str | None,
    data_dir: str | None,
    command_config: str | None,
    topics: tuple[str, ...],
    partitions: int | None,
    records: int | None,
    groups: tuple[str, ...],
    lag: int | None,
    stable: bool,
    members: int | None,
    timeout: float,
    quiet: bool,
) -> None:
    """Wait until all that is asked for holds, and exit 0; at the timeout say what does not, and exit 1.

    Without --topic and --group it waits until the cluster answers, or the data directory is there. Nothing is created,
    neither a topic nor a directory. What can't get better by waiting, such as a wrong password, is an error at once.
    """
    for name, given, needed in (
        ("--partitions", partitions is not None, "--topic"),
        ("--records", records is not None, "--topic"),
        ("--lag", lag is not None, "--group"),
        ("--stable", stable, "--group"),
        ("--members", members is not None, "--group"),
    ):
        if given and not {"--topic": topics, "--group": groups}[needed]:
            raise click.UsageError(f"{name} needs {needed}")
    wanted = Wanted(topics, partitions or 1, records or 0, groups, lag, stable, members or 0)
    config = Connection(bootstrap_server, data_dir, command_config).config(env) or {}
    progress = _Progress(env, shown=env.stderr_is_terminal and not quiet)
    with progress, _Watch(env, bootstrap_server, data_dir, config) as watch:
        started = env.monotonic()
        deadline = started + timeout
        pause = SHORTEST_PAUSE if watch.is_directory else CLUSTER_PAUSE
        while (lacking := watch.look(wanted, deadline - env.monotonic())) is not None:
            now = env.monotonic()
            if now >= deadline:
                if not quiet:
                    watch.suggest(wanted)
                break
            progress.show(f"wait: {now - started:.0f} s: {lacking}")
            watch.pause(min(pause, deadline - now), deadline - now)
            if watch.is_directory:
                pause = min(pause * 1.5, LONGEST_PAUSE)
    if lacking is not None:
        if quiet:
            raise QuietFailure
        raise CommandFailure(f"wait: after {timeout:g} s: {lacking}")


class _Watch(contextlib.AbstractContextManager["_Watch"]):
    """Looks at the cluster, and bears that it is not there, or goes away."""

    def __init__(self, env: Env, bootstrap_server: str | None, data_dir: str | None, config: Mapping[str, str]) -> None:
        self._env = env
        self._where = (bootstrap_server, data_dir)
        self._config = config
        self._cluster: Cluster | None = None
        self._noticed: set[str] = set()
        self._directory = env.directory(bootstrap_server, data_dir)
        self.is_directory = self._directory is not None
        self._below: Below | None = None
        self._is_told = False
        """Whether what is written in the directory since the last look began is told."""

    def look(self, wanted: Wanted, left: float) -> str | None:
        """What does not hold, or None. Raises what waiting can't mend. ``left``: seconds to the timeout."""
        self._is_told = self._watch()
        try:
            if self._cluster is None:
                self._cluster = self._open(left)
            lacking = what_lacks(self._cluster.admin(), wanted)
        except StoreError as error:
            self._close()
            if not error.retriable:
                raise
            return str(error)
        if self.is_directory:
            self._close()  # another one may have taken its place, and one that may only be read may be read as a copy
        return lacking

    def _watch(self) -> bool:
        if self._directory is None or not os.path.isdir(self._directory):
            return False
        if self._below is None:
            from pykafka_store.watching import Below

            self._below = Below(self._directory)
        return self._below.watch()

    def pause(self, seconds: float, left: float) -> None:
        """Wait ``seconds``; where it is told what is written, until something is, but never less than SHORTEST_PAUSE,
        for a look at a busy directory is not for free.
        """
        if self._below is None or not self._is_told:
            time.sleep(seconds)
            return
        began = time.monotonic()
        self._below.wait(min(UNTOLD_PAUSE, left))
        time.sleep(max(0.0, min(SHORTEST_PAUSE, left) - (time.monotonic() - began)))

    def suggest(self, wanted: Wanted) -> None:
        """Have the command end with what was probably meant by a topic or a group that does not exist."""
        with contextlib.suppress(StoreError):  # that there is no answer is told already
            if self._cluster is None:
                self._cluster = self._open(ONE_LOOK)
            admin = self._cluster.admin()
            topics = [each.name for each in admin.list_topics()]
            groups = [each.group_id for each in admin.list_groups()] if wanted.groups else []
            for names, known in ((wanted.topics, topics), (wanted.groups, groups)):
                for name in names:
                    if name not in known:
                        suggest(self._env, name, known)

    def _open(self, left: float) -> Cluster:
        if self.is_directory:
            return self._env.open_cluster(*self._where, create=False, read_only=True)
        config = dict(self._config)
        if not config.keys() & {RECONNECT_BACKOFF, RECONNECT_BACKOFF_AT_FIRST}:
            config[RECONNECT_BACKOFF] = f"{CLUSTER_PAUSE * 1000:.0f}"
        # The last look goes on to the end, so that its error does not speak of the tenth of a second that was left.
        limit = max(100, round(1000 * (left if left < 2 * ONE_LOOK else ONE_LOOK), -2))
        given = config.setdefault(API_TIMEOUT, f"{limit:.0f}").strip()
        if given.isdecimal() and int(given) > limit:
            config[API_TIMEOUT] = f"{limit:.0f}"
        return self._env.open_cluster(
            *self._where, create=False, read_only=True, config=config, on_notice=self._notice, tell_waiting=False
        )

    def _notice(self, text: str) -> None:
        """Say once what librdkafka does not know, however often the cluster is tried."""
        if text not in self._noticed:
            self._noticed.add(text)
            self._env.err(f"WARNING: {text}")

    def _close(self) -> None:
        cluster, self._cluster = self._cluster, None
        if cluster is not None:
            cluster.close()

    def __exit__(self, *_: object) -> None:
        if self._below is not None:
            self._below.close()
        self._close()


class _Progress(contextlib.AbstractContextManager["_Progress"]):
    """One line on a terminal, rewritten in place and gone in the end."""

    def __init__(self, env: Env, *, shown: bool) -> None:
        self._line = TerminalLine(env) if shown else None
        self._text = ""

    def show(self, text: str) -> None:
        if self._line is not None and text != self._text:
            self._text = text
            self._line.write(text)

    def __exit__(self, *_: object) -> None:
        if self._line is not None:
            self._line.clear()


# ------------------------------------------------------------------------------------------------- what does not hold


def what_lacks(admin: Admin, wanted: Wanted) -> str | None:
    """The first condition that does not hold, and how it stands; None if all of them hold."""
    if not admin.live_brokers():
        return "no broker serves"
    partitions = []
    for topic in wanted.topics:
        try:
            (described,) = admin.describe_topics([topic])
        except UnknownTopicOrPartitionError:
            return f"topic {topic} does not exist"
        if (lacking := _of_topic(admin, described, wanted)) is not None:
            return lacking
        partitions += [TopicPartition(topic, each.partition) for each in described.partitions]
    for group in wanted.groups:
        if (lacking := _of_group(admin, group, partitions, wanted)) is not None:
            return lacking
    return None


def _of_topic(admin: Admin, topic: TopicDescription, wanted: Wanted) -> str | None:
    if len(topic.partitions) < wanted.partitions:
        return f"topic {topic.name} has {len(topic.partitions)} of {counted(wanted.partitions, 'partition')}"
    for each in topic.partitions:
        if each.leader is None:
            return f"partition {each.partition} of topic {topic.name} has no leader"
    if wanted.records:
        partitions = [TopicPartition(topic.name, each.partition) for each in topic.partitions]
        held = sum(latest - earliest for earliest, latest in _ends(admin, partitions).values())
        if held < wanted.records:
            return f"topic {topic.name} holds {held} of {counted(wanted.records, 'record')}"
    return None


def _of_group(admin: Admin, group: str, partitions: Sequence[TopicPartition], wanted: Wanted) -> str | None:
    described = admin.describe_group(group)
    if described.state == "Dead":
        return f"group {group} does not exist"
    if len(described.members) < wanted.members:
        return f"group {group} has {len(described.members)} of {counted(wanted.members, 'member')}"
    if wanted.stable and described.state != "Stable":
        return f"group {group} is {described.state}, not Stable"
    if wanted.lag is not None:
        committed = admin.group_offsets(group)
        assigned = {partition for member in described.members for partition in member.assignment}
        asked = partitions or sorted(assigned | committed.keys())
        if not asked:
            return f"group {group} has committed nothing and been assigned nothing"
        lag = 0
        for partition, (earliest, latest) in _ends(admin, asked).items():
            offset = committed[partition].offset if partition in committed else earliest
            lag += max(0, latest - offset)
        if lag > wanted.lag:
            return f"group {group} has a lag of {lag}, and at most {wanted.lag} is wanted"
    return None


def _ends(admin: Admin, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, tuple[int, int]]:
    """The earliest and the latest offset of each partition, those left out whose topic was deleted meanwhile."""
    latest = admin.list_offsets(dict.fromkeys(partitions, OffsetAt.LATEST))
    earliest = admin.list_offsets(dict.fromkeys(partitions, OffsetAt.EARLIEST))
    ends = {}
    for partition in partitions:
        found = earliest[partition], latest[partition]
        match found:
            case (int(first), int(last)):
                ends[partition] = first, last
            case (UnknownTopicOrPartitionError(), _) | (_, UnknownTopicOrPartitionError()):
                continue  # as kafka-consumer-groups: what the group committed there goes with it
            case (Exception() as error, _) | (_, Exception() as error):
                raise error
    return ends
