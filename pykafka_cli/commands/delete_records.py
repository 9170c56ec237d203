"""``kafka-delete-records``: make the records of partitions before an offset go.

Source: org.apache.kafka.tools.DeleteRecordsCommand and org.apache.kafka.server.util.json of Kafka 4.3.
"""

from __future__ import annotations

from collections.abc import Iterable

import click

from pykafka_cli.admin_config import check_admin_config
from pykafka_cli.env import Env
from pykafka_cli.java_json import (
    LONG_MAX,
    JsonError,
    as_array,
    as_object,
    as_string,
    as_whole,
    field,
    parse,
    read_text,
)
from pykafka_cli.kafka_log import exception_line
from pykafka_cli.options import (
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
from pykafka_store.errors import OffsetOutOfRangeError, StoreError
from pykafka_store.model import TopicPartition

VERSION = 1


@click.command(
    "delete-records",
    cls=KafkaCommand,
    no_arguments="This tool helps to delete records of the given partitions down to the specified offset.",
    epilog=examples(
        "kafka-delete-records --offset-json-file offsets.json",
        """echo '{"partitions":[{"topic":"orders","partition":0,"offset":-1}]}' > offsets.json""",
    ),
)
@connection_options
@click.option(
    "--offset-json-file",
    metavar="FILE",
    type=FILE,
    help='The JSON file with an offset for each partition: {"partitions": [{"topic": "foo", "partition": 1, "offset": '
    '1}], "version": 1}. Records before the offset go; -1 stands for the high watermark, so all go.',
)
@click.option(
    "--command-config",
    metavar="FILE",
    type=FILE,
    help="Property file of the admin client. A data directory needs none of its settings.",
)
def delete_records(env: Env, options: Options) -> None:
    """This tool helps to delete records of the given partitions down to the specified offset."""
    if not options.has("offset-json-file"):
        raise UsageProblem('Missing required argument "[offset-json-file]"')
    try:
        check_admin_config(env, options)
        path = options.text("offset-json-file")
        with open_cluster(env, options) as cluster:
            offsets = _unique(_parse(_read(path)))
            env.out("Executing records delete operation")
            answers = cluster.admin().delete_records(offsets)
            env.out("Records delete operation completed:")
            for partition in offsets:  # Kafka's order changes from run to run
                answer = answers[partition]
                if isinstance(answer, int):
                    env.out(f"partition: {partition}\tlow_watermark: {answer}")
                else:
                    env.error_reported = True
                    env.out(f"partition: {partition}\terror: {_error_text(answer)}")
    except (StoreError, OptionProblem, PropertiesError, JsonError) as error:
        raise CommandFailure(str(error)) from None


def _error_text(error: Exception) -> str:
    if isinstance(error, OffsetOutOfRangeError):  # the broker's class, not the consumer's of the same name
        return f"org.apache.kafka.common.errors.OffsetOutOfRangeException: {error}"
    return exception_line(error) if isinstance(error, StoreError) else str(error)


def _read(path: str) -> str:
    try:
        return read_text(path)
    except OSError:
        raise CommandFailure(f"Unable to read file {path}") from None


def _unique(offsets: Iterable[tuple[TopicPartition, int]]) -> dict[TopicPartition, int]:
    found: dict[TopicPartition, int] = {}
    twice: dict[TopicPartition, None] = {}
    for partition, offset in offsets:
        if partition in found:
            twice[partition] = None
        found[partition] = offset
    if twice:
        raise CommandFailure(f"Offset json file contains duplicate topic partitions: {','.join(map(str, twice))}")
    return found


# -------------------------------------------------------------------------------------------------------- the JSON file


def _parse(text: str) -> list[tuple[TopicPartition, int]]:
    """The offsets in the file's order. Raises JsonError with Kafka's texts, the first that Kafka meets."""
    fields = as_object(parse(text))
    version = as_whole(fields["version"]) if "version" in fields else VERSION
    if version != VERSION:
        raise JsonError(f"Not supported version field value {version}")
    if "partitions" not in fields:
        raise JsonError("Missing partitions field")
    found = []
    for entry in map(as_object, as_array(fields["partitions"])):
        topic = as_string(field(entry, "topic"))
        partition = as_whole(field(entry, "partition"))
        found.append((TopicPartition(topic, partition), as_whole(field(entry, "offset"), "Long", LONG_MAX)))
    return found
