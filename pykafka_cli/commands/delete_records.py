"""``kafka-delete-records``: make the records of partitions before an offset go.

Source: org.apache.kafka.tools.DeleteRecordsCommand and org.apache.kafka.server.util.json of Kafka 4.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from pykafka_cli.click_types import FILE
from pykafka_cli.env import Env
from pykafka_cli.errors import Refusal
from pykafka_cli.java.json import LONG_MAX, JsonError, as_array, as_object, as_whole, field
from pykafka_cli.output.kafka_log import exception_line
from pykafka_cli.tool.frame import (
    command_config_option,
    connection_options,
    duplicates,
    failing_as,
    one_line,
    opened,
    require,
)
from pykafka_cli.tool.json_files import partition_of, read_json, versioned
from pykafka_cli.tool.options import KafkaCommand, Options, examples
from pykafka_store.errors import OffsetOutOfRangeError, StoreError
from pykafka_store.model import TopicPartition


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
@command_config_option
def delete_records(env: Env, options: Options) -> None:
    """This tool helps to delete records of the given partitions down to the specified offset."""
    require(options, "offset-json-file")
    with failing_as(one_line), opened(env, options) as admin:
        offsets = _unique(_parse(read_json(options.text("offset-json-file"))))
        env.out("Executing records delete operation")
        answers = admin.delete_records(offsets)
        env.out("Records delete operation completed:")
        for partition in offsets:  # Kafka's order changes from run to run
            answer = answers[partition]
            if isinstance(answer, int):
                env.out(f"partition: {partition}\tlow_watermark: {answer}")
            else:
                env.error_reported = True
                env.out(f"partition: {partition}\terror: {_error_text(answer)}")


def _error_text(error: Exception) -> str:
    if isinstance(error, OffsetOutOfRangeError):  # the broker's class, not the consumer's of the same name
        return f"org.apache.kafka.common.errors.OffsetOutOfRangeException: {error}"
    return exception_line(error) if isinstance(error, StoreError) else str(error)


def _unique(offsets: Sequence[tuple[TopicPartition, int]]) -> dict[TopicPartition, int]:
    if twice := duplicates(partition for partition, _ in offsets):
        raise Refusal(f"Offset json file contains duplicate topic partitions: {','.join(map(str, twice))}")
    return dict(offsets)


# -------------------------------------------------------------------------------------------------------- the JSON file


def _parse(parsed: Any) -> list[tuple[TopicPartition, int]]:
    """The offsets in the file's order. Raises JsonError with Kafka's texts, the first that Kafka meets."""
    fields = versioned(parsed)
    if "partitions" not in fields:
        raise JsonError("Missing partitions field")
    return [
        (partition_of(entry), as_whole(field(entry, "offset"), "Long", LONG_MAX))
        for entry in map(as_object, as_array(fields["partitions"]))
    ]
