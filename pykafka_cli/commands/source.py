"""``pykafka source``: rows of a database into a topic, each once."""

from __future__ import annotations

from contextlib import ExitStack, closing, suppress
from typing import TYPE_CHECKING

import click

from pykafka_cli.click_types import DURATION, TOPIC
from pykafka_cli.env import Env
from pykafka_cli.errors import CommandFailure
from pykafka_cli.output.progress import TerminalLine
from pykafka_cli.output.words import counted
from pykafka_cli.tool.connection import Connection
from pykafka_cli.tool.databases import is_postgres, names, output_option, retry_option
from pykafka_cli.tool.frame import command_config_option, connection_options
from pykafka_cli.tool.interrupts import Interrupts
from pykafka_cli.tool.options import examples

if TYPE_CHECKING:
    from pykafka_store.api import Cluster
    from pykafka_store.source.destinations import Destination
    from pykafka_store.source.feed import Feed
    from pykafka_store.source.sourcing import SourceReport

SHOW_EVERY = 0.2
"""Seconds between two looks of the progress line."""


@click.command(
    "source",
    short_help="Send rows of a database to a topic, each once.",
    epilog=examples(
        "pykafka source shop.db orders --topic orders --cursor id",
        "pykafka source shop.db users --topic users --changes",
        "pykafka source postgresql://localhost/shop users --topic users --changes --every 200ms",
        "pykafka source shop.db --topic prices --query 'SELECT id, price FROM menu' --key id --exit-at-end",
        "pykafka source shop.db users --topic users --changes --remove",
    ),
)
@connection_options
@command_config_option
@click.argument("database")
@click.argument("table", required=False)
@click.option("--topic", metavar="TOPIC", type=TOPIC, required=True, help="Send to this topic; made if it is missing.")
@click.option(
    "--cursor",
    metavar="COLUMN",
    help="Send new rows, by a number that only grows: SQLite's INTEGER PRIMARY KEY AUTOINCREMENT, an identity or a "
    "serial of PostgreSQL. Refused where rows could be missed.",
)
@click.option(
    "--changes",
    is_flag=True,
    help="Send all rows, then every change, by triggers that are made in the database; a deletion as a null value. "
    "SQLite drops no column that they name: --remove first.",
)
@click.option(
    "--query",
    metavar="SQL",
    help="Send what this gives, for small results: all of it is asked for each time, and those rows are sent that "
    "differ from the topic's last ones of their key; a null value for a key that is gone. Needs --key.",
)
@click.option(
    "--key",
    metavar="COLUMN",
    multiple=True,
    callback=names,
    help="The record's key; repeated, or with commas. With --cursor one column is its text, several are a JSON object. "
    "With --changes and --query, where it has to be unique, it is always an object; --changes has the primary key.",
)
@click.option(
    "--name",
    metavar="NAME",
    help="This source among the topic's: it goes on where the one of this name ended. Default: the table's name.",
)
@click.option(
    "--every",
    metavar="TIME",
    type=DURATION,
    default="1s",
    show_default=True,
    help="How long it waits for more when it has sent all (200ms, 5s).",
)
@click.option("--batch-size", metavar="ROWS", type=click.IntRange(min=1), default=10000, show_default=True,
              help="Rows that are read and sent together at most.")  # fmt: skip
@click.option("--exit-at-end", is_flag=True, help="End when all that is there is sent.")
@click.option(
    "--from",
    "start",
    type=click.Choice(["beginning", "latest"]),
    metavar="beginning|latest",
    default="beginning",
    help="Where the first run begins: latest leaves out the rows that are there.",
)
@click.option(
    "--exactly-once",
    is_flag=True,
    help="Send to a cluster in transactions: after a kill nothing is there twice for consumers with "
    "isolation.level=read_committed. Into a directory it is always so.",
)
@retry_option
@click.option(
    "--remove",
    is_flag=True,
    help="Take the triggers of --changes out of the database, and what they left. The next run makes them anew and "
    "sends all rows.",
)
@output_option
@click.pass_obj
def source(
    env: Env,
    bootstrap_server: str | None,
    data_dir: str | None,
    command_config: str | None,
    database: str,
    table: str | None,
    topic: str,
    cursor: str | None,
    changes: bool,
    query: str | None,
    key: tuple[str, ...],
    name: str | None,
    every: float,
    batch_size: int,
    exit_at_end: bool,
    start: str,
    exactly_once: bool,
    retry: float | None,
    remove: bool,
    output: str,
) -> None:
    """Send rows of TABLE, or their changes, to a topic. DATABASE is a file of SQLite, or postgresql://USER@HOST/NAME.

    A value is a row as a JSON object, and pykafka sink reads it back to the same cells: whole numbers and others, text
    and null as they are; bytes as base64 and PostgreSQL's numeric as text.

    No row is lost or doubled in a directory, whatever is killed and whenever: each batch of the log says up to which
    row it has them, and --changes are deleted from the database when they are there. In a cluster it is so with
    --exactly-once; without, the last batch before a kill may be there twice.

    It goes on until interrupted, or until --exit-at-end ends it. While the database is locked or away it waits.
    """
    from pykafka_store.databases.errors import DatabaseError
    from pykafka_store.source.sourcing import Source, SourceOptions

    if [cursor is not None, changes, query is not None].count(True) != 1:
        raise click.UsageError("say how rows are found, by one of --cursor COLUMN, --changes and --query SQL")
    if (table is None) != (query is not None):
        raise click.UsageError("name the table" if table is None else "--query names its tables itself")
    if query is not None and not key:
        raise click.UsageError("--query needs --key: the columns that tell its rows apart")
    if remove and not changes:
        raise click.UsageError("--remove is for --changes: nothing else is left in a database")
    named = name or table or "query"
    connection = Connection(bootstrap_server, data_dir, command_config)
    progress = _Progress(env)

    def notice(text: str) -> None:
        progress.clear()
        env.err(f"WARNING: source: {text}")

    try:
        with ExitStack() as stack:
            to = _destination(env, connection, stack, exactly_once=exactly_once)
            if remove:
                _remove(env, to.cluster, database, topic, named)
                return
            feed = stack.enter_context(closing(_feed(database, table, cursor, query, key)))
            options = SourceOptions(every, exit_at_end, start == "latest", batch_size, retry)
            runner = Source(to, topic, feed, named, options=options, on_notice=notice)
            with progress, Interrupts(progress.ending) as interrupts:
                report = runner.run(lambda: interrupts.came, progress.show)
    except DatabaseError as error:
        raise CommandFailure(f"source: {error}") from error
    if output == "json":
        import json

        env.out(
            json.dumps({"database": feed.name, "topic": topic, "name": named, **report._asdict()}, ensure_ascii=False)
        )
    else:
        env.err(f"Sent a total of {_words(report)}")
    interrupts.end()


def _words(report: SourceReport) -> str:
    line = counted(report.records, "record")
    return line + (f", {counted(report.tombstones, 'deletion')} among them" if report.tombstones else "")


def _destination(env: Env, connection: Connection, stack: ExitStack, *, exactly_once: bool) -> Destination:
    """Where the records go, which is opened for as long as the stack is."""
    from pykafka_store.open import open_data_directory, open_kafka_cluster
    from pykafka_store.source.destinations import ToCluster, ToDirectory

    directory = connection.directory(env)
    if directory is None:
        address = env.address(connection.bootstrap_server, connection.data_dir)
        cluster = stack.enter_context(open_kafka_cluster(address, connection.config(env), on_waiting=env.on_waiting))
        return ToCluster(cluster, env.state_directory("sources"), exactly_once=exactly_once)
    is_named = connection.data_dir is not None or (connection.bootstrap_server or "").startswith("file:")
    opened = open_data_directory(
        directory, create=env.auto_create, on_made=lambda path: env.tell_made(path, named=is_named)
    )
    return ToDirectory(stack.enter_context(opened))


def _feed(database: str, table: str | None, cursor: str | None, query: str | None, key: tuple[str, ...]) -> Feed:
    """What is read, by the options. Raises DatabaseError."""
    if is_postgres(database):
        from pykafka_store.source.postgres_changes import PostgresChanges
        from pykafka_store.source.postgres_feeds import PostgresCursor, PostgresQuery

        if query is not None:
            return PostgresQuery(database, query, key)
        assert table is not None
        return PostgresChanges(database, table, key) if cursor is None else PostgresCursor(database, table, cursor, key)
    from pykafka_store.source.sqlite_changes import SqliteChanges
    from pykafka_store.source.sqlite_feeds import SqliteCursor, SqliteQuery

    if query is not None:
        return SqliteQuery(database, query, key)
    assert table is not None
    return SqliteChanges(database, table, key) if cursor is None else SqliteCursor(database, table, cursor, key)


def _remove(env: Env, cluster: Cluster, database: str, topic: str, name: str) -> None:
    from pykafka_store.source.postgres_changes import remove_postgres_source
    from pykafka_store.source.sqlite_changes import remove_sqlite_source

    remove = remove_postgres_source if is_postgres(database) else remove_sqlite_source
    if not remove(database, cluster.admin().cluster_id(), topic, name):
        raise CommandFailure(f"source: {database} has no changes of source {name} for topic {topic}: see --name")
    env.err(f"Removed the triggers of source {name} for topic {topic}")


class _Progress(TerminalLine):
    """A line on stderr, written over itself: how much, how fast. Nothing unless on a terminal."""

    def __init__(self, env: Env) -> None:
        super().__init__(env)
        self._on = env.stderr_is_terminal
        self._monotonic = env.monotonic
        self._started = self._next = env.monotonic()

    def show(self, report: SourceReport) -> None:
        now = self._monotonic()
        if not self._on or now < self._next:
            return
        self._next = now + SHOW_EVERY
        seconds = now - self._started
        self.write(f"source: {report.records:,} records, {report.records / seconds if seconds else 0:,.0f}/s")

    def ending(self) -> None:
        """An end was asked for."""
        if self._on:
            with suppress(RuntimeError):  # the signal came in the middle of a write
                self.write("source: ending; Ctrl-C once more ends it at once")

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *_error: object) -> None:
        self.clear()
