"""``pykafka sink``: topics into a database, each record once."""

from __future__ import annotations

from contextlib import ExitStack, closing

import click

from pykafka_cli.click_types import DURATION, GROUP, TOPIC
from pykafka_cli.commands.sink.running import (
    Progress,
    default_group,
    load_function,
    open_target,
    pattern,
    table_of,
    tell,
)
from pykafka_cli.console.garbage import collect_rarely
from pykafka_cli.env import Env
from pykafka_cli.errors import CommandFailure, QuietFailure
from pykafka_cli.tool.connection import Connection
from pykafka_cli.tool.databases import names, output_option, retry_option
from pykafka_cli.tool.frame import command_config_option, connection_options
from pykafka_cli.tool.interrupts import Interrupts
from pykafka_cli.tool.options import examples

COMMAND = "pykafka.sink.command"
"""Where a context keeps the words behind ``--``."""


class SinkCommand(click.Command):
    """What stands behind ``--`` is a command, with options of its own."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if "--" in args:
            at = args.index("--")
            ctx.meta[COMMAND] = args[at + 1 :]
            args = args[:at]
        return super().parse_args(ctx, args)


def _types(context: click.Context, parameter: click.Parameter, value: tuple[str, ...]) -> dict[str, str]:
    """COLUMN=TYPE, repeated or with commas."""
    found = {}
    for text in names(context, parameter, value):
        column, _, word = text.rpartition("=")
        if not column or word not in {"timestamp-ms", "base64"}:
            raise click.UsageError(f"--type {text}: write COLUMN=timestamp-ms or COLUMN=base64")
        found[column] = word
    return found


@click.command(
    "sink",
    cls=SinkCommand,
    short_help="Write topics into a database, each record once.",
    epilog=examples(
        "pykafka sink --topic positions couriers.db",
        "pykafka sink --topic orders shop.db orders --pk id --upsert --exit-at-end",
        "pykafka sink --topic users --pk key --upsert --delete --alter users.db",
        "pykafka sink --topic positions postgresql://localhost/shop --errors dead-letter",
        "pykafka sink --topic lines --group mail --batch-size 100 -- ./mail-digest",
        "pykafka sink --include 'shop-.*' --group shop --table '{topic}' shop.db",
    ),
)
@connection_options
@command_config_option
@click.argument("database", required=False, metavar="{DATABASE")
@click.argument("table", required=False, metavar="[TABLE] | -- COMMAND...}")
@click.option(
    "--topic", "topics", metavar="TOPIC", type=TOPIC, multiple=True, help="Write this topic. May be repeated."
)
@click.option(
    "--include",
    metavar="REGEX",
    help="Write the topics whose whole name matches this Java regular expression, new ones too.",
)
@click.option(
    "--table",
    "table_pattern",
    metavar="NAME",
    help="The table, as the second argument; {topic} in it stands for the topic's name. Default: {topic}.",
)
@click.option(
    "--group",
    metavar="ID",
    type=GROUP,
    help="The consumer group, whose sinks share the partitions. Default: sink- and the table's name.",
)
@click.option(
    "--pk",
    metavar="COLUMN",
    multiple=True,
    callback=names,
    help="The columns that tell rows apart; repeated, or with commas. 'key' is the record's key: the fields of a JSON "
    "object, else a column of that name. 'offset' is topic, partition and offset.",
)
@click.option("--insert", "mode", flag_value="insert", help="A row whose key is there is an error. Default.")
@click.option("--upsert", "mode", flag_value="upsert", help="A row whose key is there gets the fields of the record.")
@click.option("--ignore", "mode", flag_value="ignore", help="A row whose key is there stays as it is.")
@click.option("--replace", "mode", flag_value="replace", help="A row whose key is there is replaced.")
@click.option("--delete", is_flag=True, help="A null value deletes the row of its key. Needs --pk key.")
@click.option("--alter", is_flag=True, help="Add a column for a field that has none. A type never changes.")
@click.option("--strict", is_flag=True, help="Make tables of SQLite STRICT: a column refuses what is not of its type.")
@click.option(
    "--type",
    "types",
    metavar="COLUMN=timestamp-ms|base64",
    multiple=True,
    callback=_types,
    help="What a column's values are: milliseconds since 1970, written as the database's time in UTC; or bytes as "
    "base64. Repeated, or with commas.",
)
@click.option("--no-create", is_flag=True, help="The table must be there.")
@click.option(
    "--columns",
    metavar="NAME",
    multiple=True,
    callback=names,
    help="Write these fields only; repeated, or with commas.",
)
@click.option(
    "--flatten", is_flag=True, help='Write {"a": {"b": 1}} to the column a_b. Without it nested values are JSON.'
)
@click.option("--raw", is_flag=True, help="Write columns key and value as they are, JSON or not.")
@click.option(
    "--with",
    "extra",
    metavar="NAME",
    multiple=True,
    callback=names,
    help="Write these of the record too: topic, partition, offset, timestamp, key, headers; repeated, or with commas.",
)
@click.option(
    "--convert",
    metavar="MODULE:FUNCTION",
    help="Make the rows by a Python function: it gets the records of one partition (values, keys, offsets, ...) and "
    "yields for each a dict, or None for none.",
)
@click.option(
    "--index", metavar="COLUMN", multiple=True, callback=names, help="Make an index of it; repeated, or with commas."
)
@click.option(
    "--fts",
    metavar="COLUMN",
    multiple=True,
    callback=names,
    help="Make SQLite's full-text search of these columns; repeated, or with commas.",
)
@click.option(
    "--batch-size",
    metavar="ROWS",
    type=click.IntRange(min=1),
    default=10000,
    show_default=True,
    help="Rows of a transaction at most.",
)
@click.option(
    "--linger",
    metavar="TIME",
    type=DURATION,
    default="1s",
    show_default=True,
    help="How long a row waits for others at most (200ms, 5s).",
)
@click.option(
    "--errors",
    type=click.Choice(["stop", "dead-letter", "null"]),
    metavar="stop|dead-letter|null",
    default="stop",
    show_default=True,
    help="A record that is no row ends it; goes to a table of dead letters; or, where a value does not fit its column, "
    "has NULL there and a note in that table.",
)
@click.option(
    "--dead-letter-table",
    metavar="NAME",
    help="The table of dead letters, in the same database. Default: _pykafka_dead_letters. With it, --errors is "
    "dead-letter.",
)
@click.option(
    "--dead-letter-topic",
    metavar="TOPIC",
    type=TOPIC,
    help="A topic of dead letters instead, with the headers of Kafka Connect's. After a kill some may be there "
    "twice; in the table they are once.",
)
@click.option("--from-beginning", is_flag=True, help="The first run begins at the beginning of the topic. Default.")
@click.option(
    "--from",
    "start",
    type=click.Choice(["beginning", "latest"]),
    metavar="beginning|latest",
    help="Where the first run begins: latest are the records that come from now on.",
)
@click.option("--exit-at-end", is_flag=True, help="End when what was there at the start is written.")
@click.option("--max-messages", metavar="N", type=click.IntRange(min=1), help="End after so many records.")
@click.option("--timeout-ms", metavar="N", type=click.IntRange(min=1), help="End when no record came for so long.")
@retry_option
@output_option
@click.pass_context
def sink(
    context: click.Context,
    bootstrap_server: str | None,
    data_dir: str | None,
    command_config: str | None,
    database: str | None,
    table: str | None,
    topics: tuple[str, ...],
    include: str | None,
    table_pattern: str | None,
    group: str | None,
    pk: tuple[str, ...],
    mode: str | None,
    delete: bool,
    alter: bool,
    strict: bool,
    types: dict[str, str],
    no_create: bool,
    columns: tuple[str, ...],
    flatten: bool,
    raw: bool,
    extra: tuple[str, ...],
    convert: str | None,
    index: tuple[str, ...],
    fts: tuple[str, ...],
    batch_size: int,
    linger: float,
    errors: str,
    dead_letter_table: str | None,
    dead_letter_topic: str | None,
    from_beginning: bool,
    start: str | None,
    exit_at_end: bool,
    max_messages: int | None,
    timeout_ms: int | None,
    retry: float | None,
    output: str,
) -> None:
    """Write topics into DATABASE, each record as a row of TABLE. DATABASE is a file of SQLite, which is made if it is
    missing, or postgresql://USER@HOST/NAME.

    A value is a JSON object, and its fields are the columns. The table is made from the first records if it is missing:
    whole numbers, other numbers and text have columns of their types, objects and arrays are JSON text. A table that is
    there is never changed but by --alter.

    No row is lost or doubled, whatever is killed and whenever: how far each partition is written stands in the
    database, in the table _pykafka_offsets, and moves in the transaction of the rows. Several sinks share a topic's
    partitions. While the database is locked or full the sink waits and tries again.

    With -- COMMAND each batch is the standard input of that command, a value a line, and counts when it exits 0. The
    offsets are the group's then, so that lines may be given to it twice after a kill.

    It goes on until interrupted, or until --exit-at-end, --max-messages or --timeout-ms ends it. It exits 1 if a record
    was no row, or was deleted before it was written.
    """
    from pykafka_store.databases.errors import DatabaseError
    from pykafka_store.sink.options import SinkOptions, check_options
    from pykafka_store.sink.sinking import Sink
    from pykafka_store.sink.target import DEAD_LETTERS_TABLE

    env: Env = context.obj
    command: list[str] = context.meta.get(COMMAND, [])
    if (database is None) == (not command):
        raise click.UsageError("say where to write: DATABASE, or -- COMMAND")
    if command and (
        table or table_pattern or pk or mode or columns or flatten or raw or extra or convert or index or fts or types
    ):
        raise click.UsageError("a command gets the values as they are: what says how rows are made is for databases")
    if bool(topics) == (include is not None):
        raise click.UsageError("say what to write: --topic TOPIC, or --include REGEX")
    if table is not None and table_pattern is not None:
        raise click.UsageError("the table is named twice: as an argument, and by --table")
    if dead_letter_table is not None and dead_letter_topic is not None:
        raise click.UsageError("dead letters go to one place: --dead-letter-table or --dead-letter-topic")
    if dead_letter_topic in topics:
        raise click.UsageError(f"--dead-letter-topic {dead_letter_topic} is written itself: name another one")
    if errors == "stop" and (dead_letter_table is not None or dead_letter_topic is not None):
        errors = "dead-letter"
    if from_beginning and start == "latest":
        raise click.UsageError("--from-beginning and --from latest contradict each other")
    named = table or table_pattern or "{topic}"
    options = SinkOptions(
        pk=pk,
        mode=mode or "insert",  # type: ignore[arg-type]  # one of the flags' values
        delete=delete,
        alter=alter,
        create=not no_create,
        columns=columns,
        flatten=flatten,
        raw=raw or bool(command),
        extra=extra,
        types=types,  # type: ignore[arg-type]  # checked by _types
        convert=None if convert is None else load_function(convert),
        indexes=index,
        fts=fts,
        batch_size=batch_size,
        linger=linger,
        errors=errors,  # type: ignore[arg-type]  # one of the choices
        dead_letters=dead_letter_table or DEAD_LETTERS_TABLE,
        dead_letter_topic=dead_letter_topic,
        from_latest=start == "latest",
        exit_at_end=exit_at_end,
        max_messages=max_messages,
        timeout=None if timeout_ms is None else timeout_ms / 1000,
        retry=0.0 if command and retry is None else retry,
    )
    check_options(options, click.UsageError)
    group = group or default_group(named, topics)
    collect_rarely()
    started = env.monotonic()
    progress = Progress(env)

    def notice(text: str) -> None:
        progress.clear()
        env.err(f"WARNING: sink: {text}")

    connection = Connection(bootstrap_server, data_dir, command_config)
    try:
        with ExitStack() as stack:
            cluster = stack.enter_context(connection.open(env))
            if topics:
                cluster.admin().describe_topics(topics)  # before a database is made for one that is not there
            target = stack.enter_context(closing(open_target(cluster, database, command, strict=strict)))
            runner = Sink(
                cluster,
                topics or pattern(include or ""),
                target,
                group,
                table=table_of(named),
                options=options,
                on_notice=notice,
            )
            with progress, Interrupts(progress.ending) as interrupts:
                report = runner.run(lambda: interrupts.came, lambda report: progress.show(runner, report))
    except DatabaseError as error:
        raise CommandFailure(f"sink: {error}") from error
    tell(env, report, output, target.name, group, env.monotonic() - started)
    interrupts.end()
    if not report.is_good:
        raise QuietFailure
