"""``pykafka load``: records from files of JSON lines, each to the topic that its line names."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from pykafka_cli.click_types import TOPIC
from pykafka_cli.console.json_lines import JsonLinesReader
from pykafka_cli.console.produce import Report, Sending
from pykafka_cli.console.records_in import BadLineError, InputRecords
from pykafka_cli.console.stdin import Lines, LineTooLongError
from pykafka_cli.errors import CommandFailure
from pykafka_cli.output.words import counted
from pykafka_cli.tool.connection import Connection
from pykafka_cli.tool.frame import command_config_option, connection_options
from pykafka_cli.tool.options import examples
from pykafka_store.errors import TopicExistsError, UnknownTopicOrPartitionError

if TYPE_CHECKING:
    from pykafka_cli.env import Env
    from pykafka_store.api import Admin

MAX_LINE = 64 << 20
"""Bytes of the longest line that is held. A record's own size is the topic's affair."""
MAX_PARTITIONS = 10_000
"""A line that names a partition beyond these is a misprint sooner than the wish for so large a topic."""


@click.command(
    "load",
    short_help="Append records from files of JSON lines.",
    epilog=examples(
        "pykafka load seed.jsonl",
        "pykafka load tests/seed/*.jsonl",
        "pykafka load --topic copy --any-partition orders.jsonl",
    ),
)
@connection_options
@command_config_option
@click.argument("files", metavar="FILE...", type=click.Path(dir_okay=False, allow_dash=True), nargs=-1, required=True)
@click.option("--topic", type=TOPIC, metavar="TOPIC", help="Where all records go, whatever topics the lines name.")
@click.option(
    "--any-partition", is_flag=True, help="Leave the partitions that the lines name out of account: the key decides."
)
@click.pass_obj
def load(
    env: Env,
    bootstrap_server: str | None,
    data_dir: str | None,
    command_config: str | None,
    files: tuple[str, ...],
    topic: str | None,
    any_partition: bool,
) -> None:
    """Append the records of JSON lines, as kafka-console-consumer --output json writes them; - is standard input.

    {"topic":"orders","key":"anna","value":"tea"} is such a line; topic and value are all that it needs. A topic that is
    missing is made, with as many partitions as its lines name (PYKAFKA_AUTO_CREATE=0: refused). A line that is no
    record ends it, after the records before it are appended.
    """
    settings = Connection(bootstrap_server, data_dir, command_config)
    config = settings.config(env) or {}
    reader = JsonLinesReader(any_partition=any_partition, topics=topic is None)
    loaded: Counter[str] = Counter()
    with env.open_cluster(bootstrap_server, data_dir, create=env.auto_create, config=config) as cluster:
        report = Report(env, lines_name_partitions=not any_partition)
        topics = _Topics(cluster.admin(), create=env.auto_create)
        config = {"allow.auto.create.topics": "false", **config}
        with cluster.producer(config, on_failure=report.failure, on_notice=report.notice) as producer:
            sending = Sending(producer, topic, None, False, report)
            try:
                for path in files:
                    for records in _records(env, path, reader, sending):
                        names = [topic] * len(records.values) if topic is not None else list(records.topics or ())
                        topics.make(names, records)
                        sending.send(records)
                        loaded.update(names)
            finally:
                report.end_progress()
        report.fail_if_any()
    for name, count in sorted(loaded.items()):
        env.out(f"{name}: {counted(count, 'record')}")


def _records(env: Env, path: str, reader: JsonLinesReader, sending: Sending) -> Iterator[InputRecords]:
    """The file's records, some at a time. Raises CommandFailure at a line that is none, after those before it."""
    with _descriptor(env, path) as descriptor:
        lines = Lines(descriptor, MAX_LINE, reader.lines_at_once)
        while True:
            try:
                arrived = lines.read()
            except LineTooLongError as error:
                raise CommandFailure(
                    f"load: {path}: line {error.number} is {error.size} bytes long: at most {MAX_LINE} are read"
                ) from None
            if not arrived:
                return
            try:
                found = reader.records(arrived, lines.first)
            except BadLineError as error:
                if error.before.values:
                    yield error.before
                    sending.flush()
                raise CommandFailure(f"load: {path}: {error}") from None
            yield found
            sending.report.show_progress(lines.bytes_read)


@contextmanager
def _descriptor(env: Env, path: str) -> Iterator[int]:
    if path == "-":
        yield env.stdin.fileno()
        return
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise CommandFailure(f"load: {path} can't be read: {error.strerror}") from error
    try:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise CommandFailure(f"load: {path} is a directory, and no file of JSON lines")
        yield descriptor
    finally:
        os.close(descriptor)


class _Topics:
    """The topics that records go to. One that was missing gets as many partitions as its lines turn out to name; one
    that was there stays as it is.
    """

    def __init__(self, admin: Admin, *, create: bool) -> None:
        self._admin = admin
        self._create = create
        self._there: set[str] = set()
        self._made: dict[str, int] = {}
        """The partitions of the topics that were made here."""

    def make(self, names: list[str], records: InputRecords) -> None:
        """Have all that these records need. Raises UnknownTopicOrPartitionError where a topic may not be made."""
        needed = dict.fromkeys(names, 0)
        for name, partition in zip(names, records.partitions or (), strict=bool(records.partitions)):
            needed[name] = max(needed[name], -1 if partition is None else partition)
        for name, highest in needed.items():
            if name not in self._there:
                self._there.add(name)
                self._look(name)
            if name in self._made and highest >= self._made[name]:
                if highest >= MAX_PARTITIONS:
                    raise CommandFailure(
                        f"load: a line names partition {highest} of topic {name}: make that topic first"
                    )
                self._made[name] = len(self._admin.create_partitions(name, highest + 1).partitions)

    def _look(self, name: str) -> None:
        try:
            self._admin.describe_topics([name])
        except UnknownTopicOrPartitionError:
            if not self._create:
                raise
            try:
                self._made[name] = len(self._admin.create_topic(name).partitions)
            except TopicExistsError:
                return  # another process was faster, and has decided on its partitions
