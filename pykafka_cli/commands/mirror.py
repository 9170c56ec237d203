"""``pykafka mirror``: copy topics between a directory and a cluster, in either direction, or two of a kind."""

from __future__ import annotations

import os
import re
from contextlib import ExitStack, suppress
from functools import partial
from types import TracebackType
from typing import Self

import click

from pykafka_cli.click_types import FILE, GROUP, TOPIC
from pykafka_cli.env import Env
from pykafka_cli.errors import CommandFailure, QuietFailure, Refusal
from pykafka_cli.java import regex as java_regex
from pykafka_cli.output.progress import TerminalLine
from pykafka_cli.output.words import counted, size
from pykafka_cli.tool.admin_config import read_admin_config
from pykafka_cli.tool.frame import failing_as
from pykafka_cli.tool.interrupts import Interrupts
from pykafka_cli.tool.options import examples
from pykafka_store.api import Cluster
from pykafka_store.errors import StoreError
from pykafka_store.mirror.mirroring import Mirror
from pykafka_store.mirror.selection import Selection
from pykafka_store.mirror.targets import ClusterTarget, DirectoryTarget, Target
from pykafka_store.mirror.telling import Progress
from pykafka_store.open import is_cluster_address, open_cluster, open_data_directory, open_kafka_cluster

SHOW_EVERY = 0.2
"""Seconds between two looks of the progress line."""


@click.command(
    "mirror",
    short_help="Copy topics to another directory or cluster.",
    epilog=examples(
        "pykafka mirror --from localhost:9092 --to ./kafka --include '.*'",
        "pykafka mirror --from ./kafka --to localhost:9092 --topic orders --group billing",
        "pykafka mirror --from ./kafka --to ./backup --include 'orders.*' --follow",
    ),
)
@click.option("--from", "source", metavar="ADDRESS", required=True, help="A directory of logs, or HOST:PORT.")
@click.option(
    "--to",
    "target",
    metavar="ADDRESS",
    required=True,
    help="A directory of logs, which is made if it is missing, or HOST:PORT.",
)
@click.option("--topic", "topics", metavar="TOPIC", type=TOPIC, multiple=True, help="Copy this topic. May be repeated.")
@click.option(
    "--include",
    metavar="REGEX",
    help="Copy the topics whose whole name matches this Java regular expression, but for internal ones.",
)
@click.option(
    "--prefix",
    metavar="TEXT",
    default="",
    help="What the names of the topics at the target begin with. Default: nothing.",
)
@click.option(
    "--group",
    "groups",
    metavar="ID",
    type=GROUP,
    multiple=True,
    help="Commit for this group at the target what it has committed at the source, as the offsets are there. May be "
    "repeated.",
)
@click.option("--include-groups", metavar="REGEX", help="Likewise, for all groups whose whole id matches.")
@click.option(
    "--follow",
    is_flag=True,
    help="Go on with records that come, topics that match and partitions that are added, until interrupted.",
)
@click.option(
    "--exactly-once",
    is_flag=True,
    help="Send to a cluster in transactions: after a kill nothing is there twice for consumers with "
    "isolation.level=read_committed. The marks of transactions take offsets. Into a directory it is always so.",
)
@click.option("--from-config", metavar="FILE", type=FILE, help="Property file of the source's client, to log in.")
@click.option("--to-config", metavar="FILE", type=FILE, help="Property file of the target's client, to log in.")
@click.pass_obj
def mirror(
    env: Env,
    source: str,
    target: str,
    topics: tuple[str, ...],
    include: str | None,
    prefix: str,
    groups: tuple[str, ...],
    include_groups: str | None,
    follow: bool,
    exactly_once: bool,
    from_config: str | None,
    to_config: str | None,
) -> None:
    """Copy topics from a directory or a cluster to another, and go on where the last run ended.

    Each record keeps its partition, key, headers, value and timestamp. Topics that are missing at the target are made
    with the source's partitions and settings, and get partitions that the source has more of. What was there at the
    start is copied, unless --follow is given.

    The next run goes on where this one ended, however that was. In a directory no record is ever there twice, not even
    after kill -9; in a cluster those of the last second before a kill may be, without --exactly-once. How far it came
    stands in the target: in the log itself, and in the topic pykafka-mirror-offsets. Records that the source deleted
    before they were copied are an error, and the copying goes on behind them.
    """
    if not topics and include is None:
        raise click.UsageError("say what to copy: --topic TOPIC, or --include REGEX ('.*' for all)")
    wanted = Selection(
        tuple(dict.fromkeys(topics)), _pattern(include), tuple(dict.fromkeys(groups)), _pattern(include_groups), prefix
    )
    origin, goal = _address(env, source), _address(env, target)
    _refuse_same(origin, goal)
    failed = False

    def notice(text: str) -> None:
        progress.clear()
        env.err(f"WARNING: mirror: {text}")

    def error(text: str) -> None:
        nonlocal failed
        failed = True
        progress.clear()
        env.report_error(f"mirror: {text}")

    progress = _Progress(env, follow=follow)
    with ExitStack() as stack:
        config = _config(env, from_config)
        reading: Cluster
        from_directory = None
        if is_cluster_address(origin):
            reading = stack.enter_context(
                open_cluster(origin, create=False, config=config, on_notice=notice, on_waiting=env.on_waiting)
            )
        else:
            reading = from_directory = stack.enter_context(open_data_directory(origin.removeprefix("file:")))
        config = _config(env, to_config)
        into: Target
        if is_cluster_address(goal):
            cluster = stack.enter_context(open_kafka_cluster(goal, config, notice, on_waiting=env.on_waiting))
            into = ClusterTarget(cluster, env.state_directory("mirrors"), exactly_once)
        else:
            made = partial(env.tell_made, named=True)
            directory = open_data_directory(goal.removeprefix("file:"), create=env.auto_create, on_made=made)
            into = DirectoryTarget(stack.enter_context(directory))
        if is_cluster_address(origin) and is_cluster_address(goal):
            cluster_id = into.cluster.admin().cluster_id()
            if reading.admin().cluster_id() == cluster_id:
                raise CommandFailure(f"mirror: --from and --to are the same: {goal} is cluster {cluster_id}, too")
        mirror = stack.enter_context(
            Mirror(reading, into, wanted, source_directory=from_directory, on_notice=notice, on_error=error)
        )
        mirror.prepare(follow=follow)
        with progress, Interrupts(progress.ending) as interrupts:
            mirror.run(lambda: interrupts.came, progress.show)
        for topic in mirror.reports():
            named = topic.source if topic.source == topic.target else f"{topic.source} -> {topic.target}"
            records, partitions = counted(topic.records, "record"), counted(topic.partitions, "partition")
            env.out(f"{named}: {records} of {partitions} copied, {size(topic.size)}")
            if topic.gone:
                notice(f"topic {topic.target}: {counted(topic.gone, 'record')} more came, and the target removed them")
        for group in mirror.group_reports():
            env.out(f"group {group.group}: {counted(group.partitions, 'offset')} committed")
    interrupts.end()
    if failed:
        raise QuietFailure


def _pattern(regex: str | None) -> re.Pattern[str] | None:
    if regex is None:
        return None
    with failing_as(_failure):
        return java_regex.compile(regex)


def _address(env: Env, text: str) -> str:
    # Nobody means a directory by scheme://host, so one whose port was forgotten is not made.
    if text.startswith("file:") or is_cluster_address(text) or "://" in text:
        return env.address(text, None)
    return env.address(None, text)


def _refuse_same(source: str, target: str) -> None:
    """Refuse what can't be meant: a directory, or the same words, as both ends."""
    if source == target or (
        not is_cluster_address(source)
        and not is_cluster_address(target)
        and os.path.realpath(source.removeprefix("file:")) == os.path.realpath(target.removeprefix("file:"))
    ):
        raise CommandFailure(f"mirror: --from and --to are the same: {target.removeprefix('file:')}")


def _config(env: Env, path: str | None) -> dict[str, str]:
    if path is None:
        return {}
    with failing_as(_failure):
        return read_admin_config(env, path, address_named=True)


def _failure(error: Refusal | StoreError) -> CommandFailure:
    return CommandFailure(f"mirror: {error}")


class _Progress:
    """A line on stderr, written over itself: how much, how fast, how long still. Nothing unless on a terminal."""

    def __init__(self, env: Env, *, follow: bool) -> None:
        self._env = env
        self._follow = follow
        self._shown = env.stderr_is_terminal
        self._started = self._next = env.monotonic()
        self._line = TerminalLine(env)

    def show(self, progress: Progress) -> None:
        now = self._env.monotonic()
        if not self._shown or now < self._next:
            return
        self._next = now + SHOW_EVERY
        self._line.write(progress_line(progress, now - self._started, follow=self._follow))

    def ending(self) -> None:
        """An end was asked for. What is on its way may take long, to a cluster that does not answer."""
        if self._shown:
            with suppress(RuntimeError):  # the signal came in the middle of a write
                self._line.write("mirror: ending; Ctrl-C once more ends it at once")

    def clear(self) -> None:
        self._line.clear()

    def __enter__(self) -> Self:
        self._started = self._env.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()


def progress_line(progress: Progress, seconds: float, *, follow: bool) -> str:
    """What was copied, how fast, and how long the rest will take at that rate."""
    rate = progress.records / seconds if seconds else 0.0
    line = f"mirror: {progress.records:,} records, {size(progress.size)}, {rate:,.0f} records/s"
    if follow:
        return line
    share = 100 * progress.done // progress.total if progress.total else 100
    line += f", {share} %"
    if progress.done and seconds >= 1:
        line += f", {_time((progress.total - progress.done) * seconds / progress.done)} left"
    return line


def _time(seconds: float) -> str:
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
    return f"{whole // 60}:{whole % 60:02}"
