"""What ``pykafka sink`` does with its options: where the rows go, how far it is, and what it says at the end."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Self, cast

import click

from pykafka_cli.env import Env
from pykafka_cli.errors import CommandFailure
from pykafka_cli.output.progress import TerminalLine
from pykafka_cli.output.words import counted
from pykafka_cli.tool.databases import is_postgres

if TYPE_CHECKING:
    from pykafka_store.api import Cluster
    from pykafka_store.sink.options import Convert
    from pykafka_store.sink.report import SinkReport
    from pykafka_store.sink.sinking import Sink
    from pykafka_store.sink.target import Target

SHOW_EVERY = 0.2
"""Seconds between two looks of the progress line."""


def open_target(cluster: Cluster, database: str | None, command: Sequence[str], *, strict: bool) -> Target:
    """A database by its address, or a command. Raises DatabaseError."""
    if strict and (database is None or is_postgres(database)):
        raise click.UsageError("--strict is SQLite's: other databases' columns refuse what is not of their type anyway")
    if database is None:
        from pykafka_store.sink.command_target import CommandTarget

        return CommandTarget(command, cluster.admin())
    if is_postgres(database):
        from pykafka_store.sink.postgres_target import PostgresTarget

        return PostgresTarget(database)
    from pykafka_store.sink.sqlite_target import SqliteTarget

    return SqliteTarget(database, strict=strict)


def load_function(name: str) -> Convert:
    """The user's own function. Raises CommandFailure where the name leads nowhere."""
    import importlib
    import sys

    module, _, function = name.partition(":")
    if not (module and function):
        raise click.UsageError(f"--convert {name} is no function: write MODULE:FUNCTION")
    if os.getcwd() not in sys.path:  # as `python -m` would: a script's own module lies beside it
        sys.path.insert(0, os.getcwd())
    try:
        found = getattr(importlib.import_module(module), function)
    except (Exception, SystemExit) as error:  # the module is the user's: what it raises at its import is no bug of ours
        what = str(error) if isinstance(error, ImportError | AttributeError) else f"{type(error).__name__}: {error}"
        raise CommandFailure(f"sink: --convert {name} can't be loaded: {what}") from error
    if not callable(found):
        raise CommandFailure(f"sink: --convert {name} can't be loaded: it is no function")
    return cast("Convert", found)


def table_of(named: str) -> Callable[[str], str]:
    return lambda topic: named.replace("{topic}", topic)


def default_group(named: str, topics: tuple[str, ...]) -> str:
    if "{topic}" in named:
        if len(set(topics)) != 1:
            raise click.UsageError("several topics go into several tables: name the group of their sinks with --group")
        named = named.replace("{topic}", topics[0])
    return f"sink-{named}"


def pattern(regex: str) -> re.Pattern[str]:
    from pykafka_cli.java import regex as java_regex

    try:
        return java_regex.compile(regex)
    except ValueError as error:
        raise CommandFailure(f"sink: {error}") from None


def tell(env: Env, report: SinkReport, output: str, database: str, group: str, seconds: float) -> None:
    """Say at the end what was done."""
    if report.stopped is not None:
        env.err(
            f"sink: {report.stopped}. What came before it is written; "
            "--errors dead-letter puts such records into a table"
        )
    if report.unwritten:
        env.err(f"sink: {counted(report.unwritten, 'record')} could not be written: the next run reads them again")
    if output == "json":
        import json

        summary = {
            "database": database,
            "group": group,
            "messages": report.messages,
            "dead_letters": report.dead_letters,
            "gaps": [
                {"topic": gap.topic, "partition": gap.partition, "first": first, "last": last}
                for gap, first, last in report.gaps
            ],
            "stopped_at": None
            if report.stopped is None
            else {
                "topic": report.stopped.partition.topic,
                "partition": report.stopped.partition.partition,
                "offset": report.stopped.offset,
                "column": report.stopped.problem.column,
                "reason": report.stopped.problem.reason,
            },
            "unwritten": report.unwritten,
            "seconds": round(seconds, 3),
        }
        env.out(json.dumps(summary, ensure_ascii=False))
        return
    line = f"Processed a total of {counted(report.messages, 'message')}"
    if report.dead_letters:
        line += f", {counted(report.dead_letters, 'dead letter')}"
    env.err(line)


class Progress(TerminalLine):
    """A line on stderr, written over itself: how much, how fast, how much is left. Nothing unless on a terminal."""

    def __init__(self, env: Env) -> None:
        super().__init__(env)
        self._on = env.stderr_is_terminal
        self._monotonic = env.monotonic
        self._started = self._next = env.monotonic()

    def show(self, sink: Sink, report: SinkReport) -> None:
        now = self._monotonic()
        if not self._on or now < self._next:
            return
        self._next = now + SHOW_EVERY
        self.write(progress_line(report, now - self._started, sink.lag()))

    def ending(self) -> None:
        """An end was asked for. What is on its way may take long, to a database that is locked."""
        if self._on:
            with suppress(RuntimeError):  # the signal came in the middle of a write
                self.write("sink: ending; Ctrl-C once more ends it at once")

    def __enter__(self) -> Self:
        self._started = self._monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()


def progress_line(report: SinkReport, seconds: float, lag: int) -> str:
    """How many records were dealt with, how fast, and how many are left."""
    line = f"sink: {report.messages:,} rows, {report.messages / seconds if seconds else 0:,.0f}/s, lag {lag:,}"
    return line + (f", {counted(report.dead_letters, 'dead letter')}" if report.dead_letters else "")
