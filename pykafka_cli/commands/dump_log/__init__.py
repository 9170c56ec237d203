"""``kafka-dump-log``: the contents of segments, indexes and producer state, read from the files themselves.

Source of behaviour and texts: org.apache.kafka.tools.DumpLogSegments.
"""

from __future__ import annotations

import click

from pykafka_cli.click_types import FILE
from pykafka_cli.commands.dump_log.dump import DECODERS, NO_LIMIT, STRING_DECODER, Dump
from pykafka_cli.env import Env
from pykafka_cli.errors import CommandFailure
from pykafka_cli.tool.frame import require
from pykafka_cli.tool.options import INTEGER, KafkaCommand, Options, examples

LEFT_OUT = {
    "offsets-decoder": "kafka-consumer-groups --describe shows what groups have committed",
    "transaction-log-decoder": "a directory has no transactions in flight",
    "cluster-metadata-decoder": "kafka-topics --describe and kafka-configs --describe --all show what it holds",
    "remote-log-metadata-decoder": "no log is kept elsewhere",
    "share-group-state-decoder": "there are no share groups",
}
"""Decoders of topics that a data directory does not have, and where it has what they hold."""


@click.command(
    "dump-log",
    cls=KafkaCommand,
    no_arguments="This tool helps to parse a log file and dump its contents to the console, useful for debugging a "
    "seemingly corrupt log segment.",
    bad_options=CommandFailure,
    epilog=examples(
        "kafka-dump-log --files orders-0/00000000000000000000.log --print-data-log",
        "kafka-dump-log --files orders-0/00000000000000000000.index --index-sanity-check",
    ),
)
@click.option("--files", metavar="FILE,...", type=FILE, help="Required: the log and index files to dump, by commas.")
@click.option("--print-data-log", is_flag=True, help="Print each record's key and value. Any decoder implies it.")
@click.option("--deep-iteration", is_flag=True, help="Print a line for each record, not only for each batch.")
@click.option(
    "--skip-record-metadata",
    is_flag=True,
    help="Print keys and values only, without offset, time and sizes, and nothing of control records.",
)
@click.option("--verify-index-only", is_flag=True, help="Compare indexes with their log, but print no entries.")
@click.option(
    "--index-sanity-check",
    is_flag=True,
    help="Only do the check by which a broker decides at its start whether an index must be rebuilt.",
)
@click.option(
    "--max-message-size",
    metavar="BYTES",
    type=INTEGER,
    default=5 * 1024 * 1024,
    show_default=True,
    help="The largest batch to look for where an index points.",
)
@click.option(
    "--max-bytes",
    metavar="BYTES",
    type=INTEGER,
    default=NO_LIMIT,
    show_default=True,
    help="Stop after this many bytes of a log.",
)
@click.option(
    "--key-decoder-class",
    metavar="CLASS",
    type=click.Choice(list(DECODERS)),
    is_flag=False,
    flag_value=STRING_DECODER,
    default=STRING_DECODER,
    help="How to show keys: as the StringDecoder, IntegerDecoder or LongDecoder of org.apache.kafka.tools.api does.",
)
@click.option(
    "--value-decoder-class",
    metavar="CLASS",
    type=click.Choice(list(DECODERS)),
    is_flag=False,
    flag_value=STRING_DECODER,
    default=STRING_DECODER,
    help="How to show values, likewise.",
)
@click.option("--offsets-decoder", is_flag=True, help="Not supported: decode __consumer_offsets.")
@click.option("--transaction-log-decoder", is_flag=True, help="Not supported: decode __transaction_state.")
@click.option("--cluster-metadata-decoder", is_flag=True, help="Not supported: decode __cluster_metadata.")
@click.option("--remote-log-metadata-decoder", is_flag=True, help="Not supported: decode __remote_log_metadata.")
@click.option("--share-group-state-decoder", is_flag=True, help="Not supported: decode __share_group_state.")
def dump_log(env: Env, options: Options) -> None:
    """This tool helps to parse a log file and dump its contents to the console, useful for debugging a seemingly
    corrupt log segment.

    Reads .log, .index, .timeindex, .snapshot, .txnindex and .checkpoint files, of a data directory as of Apache Kafka
    itself. It takes no lock and changes nothing, so a log may be dumped while it is written.
    """
    require(options, "files")
    for name, instead in LEFT_OUT.items():
        if options.has(name):
            raise CommandFailure(
                f"--{name} is not supported, for a data directory has no such topic: {instead}; a broker's is "
                "decoded by Apache Kafka's kafka-dump-log"
            )
    env.only_prints = True
    Dump(env, options).run(options.text("files"))
