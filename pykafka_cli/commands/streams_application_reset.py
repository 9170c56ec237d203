"""``kafka-streams-application-reset``: an application of Kafka Streams begins anew: its group's offsets are reset, its
internal topics deleted.

Source: org.apache.kafka.tools.StreamsResetter of Kafka 4.3, whose texts and order these are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import click

from pykafka_cli.click_types import FILE
from pykafka_cli.env import Env
from pykafka_cli.errors import CommandFailure, OptionProblem, QuietFailure, UsageProblem
from pykafka_cli.java import time as java_time
from pykafka_cli.java.properties import PropertiesError
from pykafka_cli.java.text import split
from pykafka_cli.output.kafka_log import exception_line
from pykafka_cli.tool.frame import connection_options, not_with, opened
from pykafka_cli.tool.options import LONG, KafkaCommand, Options, examples
from pykafka_store.errors import StoreError
from pykafka_store.model import INTERNAL_TOPICS, OffsetAt, TopicPartition
from pykafka_store.numbers import whole_number
from pykafka_store.settings.durations import DurationError, parse_duration_ms

if TYPE_CHECKING:
    from pykafka_store.api import Admin

DESCRIPTION = (
    "This tool helps to quickly reset an application in order to reprocess its data from scratch.\n"
    "It resets the offsets of input topics, and deletes the internal topics that Kafka Streams made."
)
SCENARIOS = ("to-offset", "to-datetime", "by-duration", "to-earliest", "to-latest", "from-file", "shift-by")
INTERNAL = re.compile(
    r".*(-changelog|-repartition|-subscription-registration-topic|-subscription-response-topic"
    r"|.-KTABLE-FK-JOIN-SUBSCRIPTION-(REGISTRATION|RESPONSE)-[0-9]+-topic)",
    re.DOTALL,
)
"""What the internal topics of an application are called, after its id."""

Offsets = dict[TopicPartition, int]


class _Failure(Exception):  # noqa: N818 - it becomes a CommandFailure
    """What went wrong, as Java prints it: a class and its message. ``resetting``: while offsets were being reset."""

    def __init__(self, line: str, *, resetting: bool = False) -> None:
        super().__init__(line)
        self.resetting = resetting


@click.command(
    "streams-application-reset",
    cls=KafkaCommand,
    epilog=examples(
        "kafka-streams-application-reset --application-id wordcount --input-topics lines --dry-run",
        "kafka-streams-application-reset --application-id wordcount --input-topics lines --to-latest",
    ),
)
@connection_options
@click.option("--application-id", metavar="ID", help="The application's id (application.id). Required.")
@click.option(
    "--input-topics", metavar="LIST", multiple=True, help="Input topics, by commas: their offsets are reset, to the "
    "earliest unless another option says where to.",
)  # fmt: skip
@click.option(
    "--intermediate-topics", metavar="LIST", multiple=True, help="Deprecated: topics that are input and output; the "
    "group skips to their end.",
)  # fmt: skip
@click.option(
    "--internal-topics", metavar="LIST", multiple=True, help="Internal topics to delete, by commas, of those that a "
    "dry run without this option lists.",
)  # fmt: skip
@click.option("--to-offset", metavar="OFFSET", type=LONG, help="Reset offsets to a specific offset.")
@click.option("--to-datetime", metavar="TIME", help="Reset offsets to a time: YYYY-MM-DDTHH:mm:SS.sss.")
@click.option("--by-duration", metavar="DURATION", help="Reset offsets to so long ago: PnDTnHnMnS.")
@click.option("--to-earliest", is_flag=True, help="Reset offsets to the earliest offset.")
@click.option("--to-latest", is_flag=True, help="Reset offsets to the latest offset.")
@click.option("--from-file", metavar="FILE", type=FILE, help="Reset offsets to those of a CSV: topic,partition,offset.")
@click.option("--shift-by", metavar="NUMBER", type=LONG, help="Shift the current offsets, forward or back.")
@click.option("--config-file", metavar="FILE", type=FILE, help="Deprecated: the same as --command-config.")
@click.option(
    "--command-config", metavar="FILE", type=FILE, help="Property file of the clients. A directory needs none of it."
)
@click.option("--force", is_flag=True, help="Refused where the group has members: stop them.")
@click.option("--dry-run", is_flag=True, help="Print what would be done, and do nothing.")
def streams_application_reset(env: Env, options: Options) -> None:
    """This tool helps to quickly reset an application in order to reprocess its data from scratch.

    It resets offsets of input topics, and deletes the internal topics that Kafka Streams made, whose names begin with
    the application's id. It deletes no output topics, and no local state: that is KafkaStreams#cleanUp's.
    """
    if not options.has("application-id"):
        raise UsageProblem("Missing required option(s) [application-id]")
    for scenario in SCENARIOS:
        not_with(options, scenario, *(other for other in SCENARIOS if other != scenario))
    if options.has("config-file"):
        env.out(
            "Option --config-file has been deprecated and will be removed in a future version. "
            "Use --command-config instead."
        )
    config = "config-file" if options.has("config-file") else "command-config"
    try:
        with opened(env, options, config_option=config) as admin:
            failed = _Reset(env, options, admin).run()
    except PropertiesError as error:
        raise CommandFailure(f"ERROR: {error.java}") from None
    except _Failure as failure:
        if failure.resetting:
            env.err("ERROR: Resetting offsets failed.")
        raise CommandFailure(f"ERROR: {failure}") from None
    except OptionProblem as problem:
        raise CommandFailure(f"ERROR: {problem.java}: {problem}") from None
    except StoreError as error:
        raise CommandFailure(f"ERROR: java.util.concurrent.ExecutionException: {exception_line(error)}") from None
    if failed:
        raise QuietFailure


class _Reset:
    def __init__(self, env: Env, options: Options, admin: Admin) -> None:
        self._env = env
        self._options = options
        self._admin = admin
        self._group = options.text("application-id")
        self._input, self._intermediate, self._internal = (
            [name for text in options.texts(option) for name in split(text, ",")]
            for option in ("input-topics", "intermediate-topics", "internal-topics")
        )
        self._dry = options.has("dry-run")

    def run(self) -> bool:
        """Whether a topic was missing."""
        self._require_no_members()
        there = [each.name for each in self._admin.list_topics() if each.name not in INTERNAL_TOPICS]
        if self._dry:
            self._env.out(
                "----Dry run displays the actions which will be performed when running Streams Reset Tool----"
            )
        missing = self._reset(set(there))
        self._delete(there)
        return missing

    def _require_no_members(self) -> None:
        if not self._group:
            error = "org.apache.kafka.common.errors.InvalidGroupIdException: The group id is invalid."
            raise _Failure(f"java.util.concurrent.ExecutionException: {error}")
        members = self._admin.describe_group(self._group).members
        if not members:
            return
        listed = ", ".join(
            f"(memberId={each.member_id}, clientId={each.client_id}, host={each.host})" for each in members
        )
        advice = " You can use option '--force' to remove active members from the group."
        if self._options.has("force"):
            advice = " --force can't be honoured: a member's process is stopped where it runs."
        raise _Failure(
            f"java.lang.IllegalStateException: Consumer group '{self._group}' is still active and has following "
            f"members: [{listed}]. Make sure to stop all running application instances before running the reset tool."
            + advice
        )

    # ------------------------------------------------------------------------------------------------------- offsets

    def _reset(self, there: set[str]) -> bool:
        """Source: maybeResetInputAndSeekToEndIntermediateTopicOffsets."""
        out = self._env.out
        if self._options.has("intermediate-topics"):
            out("WARN: `--intermediate-topics` is deprecated and will be removed in a future release")
        if not self._input and not self._intermediate:
            out("No input or intermediate topics specified. Skipping seek.")
            return False
        if self._input:
            out(f"Reset-offsets for input topics [{', '.join(self._input)}]")
        if self._intermediate:
            out(f"Seek-to-end for intermediate topics [{', '.join(self._intermediate)}]")
        missing = False
        for kind, names, gap in (("input", self._input, " "), ("intermediate", self._intermediate, "")):
            lost = [name for name in names if name not in there]
            if lost:
                missing = True
                out(f"Following {kind} topics are not found, skipping them")
                for name in lost:
                    out(f"Topic:{gap}{name}")
        inputs = self._partitions(name for name in self._input if name in there)
        intermediates = self._partitions(
            name for name in self._intermediate if name in there and name not in self._input
        )
        if not inputs and not intermediates:
            return missing
        offsets = self._input_offsets(inputs) if inputs else {}
        if intermediates:
            out(f"Following intermediate topics offsets will be reset to end (for consumer group {self._group})")
            for partition in intermediates:
                out(f"Topic: {partition.topic}")
            offsets |= self._ask(intermediates, OffsetAt.LATEST)
        if not self._dry:
            self._admin.alter_group_offsets(self._group, offsets)
        out("Done.")
        return missing

    def _partitions(self, topics: Iterable[str]) -> list[TopicPartition]:
        names = sorted(set(topics))
        described = self._admin.describe_topics(names) if names else []
        return [TopicPartition(topic.name, each.partition) for topic in described for each in topic.partitions]

    def _input_offsets(self, partitions: Sequence[TopicPartition]) -> Offsets:
        """Where the group is to go on, told on the way."""
        self._env.out(f"Following input topics offsets will be reset to (for consumer group {self._group})")
        offsets = self._wanted(partitions)
        for partition in partitions:
            self._env.out(f"Topic: {partition.topic} Partition: {partition.partition} Offset: {offsets[partition]}")
        return offsets

    def _wanted(self, partitions: Sequence[TopicPartition]) -> Offsets:
        """Source: maybeReset."""
        options = self._options
        to_offset, shift_by = options.maybe_integer("to-offset"), options.maybe_integer("shift-by")
        if to_offset is not None:
            return self._within_log(dict.fromkeys(partitions, to_offset))
        if options.has("to-latest"):
            return self._ask(partitions, OffsetAt.LATEST)
        if shift_by is not None:
            committed = self._admin.group_offsets(self._group)
            ends = self._ask(partitions, OffsetAt.LATEST)
            current = {each: committed[each].offset if each in committed else ends[each] for each in partitions}
            return self._within_log({each: offset + shift_by for each, offset in current.items()})
        if options.has("to-datetime") or options.has("by-duration"):
            return self._at(partitions, self._timestamp())
        if options.has("from-file"):
            return self._from_file(partitions)
        return self._ask(partitions, OffsetAt.EARLIEST)

    def _timestamp(self) -> int:
        text = self._options.maybe_text("by-duration")
        if text is None:
            try:
                return java_time.parse_date_time(self._options.text("to-datetime"))
            except java_time.TimeError as error:
                raise _Failure(str(error), resetting=True) from None
        try:
            return int(self._env.clock() * 1000) - parse_duration_ms(text)
        except DurationError:
            raise _Failure("java.time.format.DateTimeParseException: Text cannot be parsed to a Duration") from None

    def _at(self, partitions: Sequence[TopicPartition], timestamp: int) -> Offsets:
        """Source: resetToDatetime."""
        if timestamp < 0:  # to a broker, numbers below zero are places in the log
            raise _Failure(
                "java.lang.IllegalArgumentException: The target time for partition "
                f"{partitions[0]} is {timestamp}. The target time cannot be negative."
            )
        offsets = self._ask(partitions, timestamp)
        later = [each for each in partitions if offsets[each] < 0]
        for each in later:
            self._env.out(
                f"Partition {each.partition} from topic {each.topic} is empty, without a committed record. "
                "Falling back to latest known offset."
            )
        return offsets | self._ask(later, OffsetAt.LATEST)

    def _from_file(self, partitions: Sequence[TopicPartition]) -> Offsets:
        """Source: parseResetPlan."""
        path = self._options.text("from-file")
        try:
            with open(path, encoding="utf-8", errors="surrogateescape") as file:
                text = file.read()
        except OSError:
            raise _Failure(f"java.io.IOException: Unable to read file {path}", resetting=True) from None
        if not text:
            raise _Failure("java.text.ParseException: Error parsing reset plan CSV file. It is empty,", resetting=True)
        plan: Offsets = {}
        for line in text.splitlines():
            fields = split(line, ",")
            if len(fields) != 3:
                raise _Failure(
                    "java.text.ParseException: Reset plan CSV file is not following the format "
                    "`TOPIC,PARTITION,OFFSET`.",
                    resetting=True,
                )
            number, offset = _number(fields[1], 32), _number(fields[2], 64)
            plan[TopicPartition(fields[0], number)] = offset
        for each in partitions:
            if each not in plan:
                raise _Failure(f"{path} has no line for {each}: each partition of the input topics needs one")
        for each in plan:
            if each not in partitions:
                raise _Failure(f"{path} names {each}, which is no partition of the input topics")
        return self._within_log(plan)

    def _within_log(self, wanted: Offsets) -> Offsets:
        """Source: checkOffsetRange: an offset at the very end, or at the very beginning, is told of as well."""
        starts, ends = self._ask(wanted, OffsetAt.EARLIEST), self._ask(wanted, OffsetAt.LATEST)
        found = {}
        for partition, offset in wanted.items():
            found[partition] = offset
            if offset >= ends[partition]:
                found[partition] = ends[partition]
                self._env.out(
                    f"New offset ({offset}) is higher than latest offset. Value will be set to {ends[partition]}"
                )
            elif offset <= starts[partition]:
                found[partition] = starts[partition]
                self._env.out(
                    f"New offset ({offset}) is lower than earliest offset. Value will be set to {starts[partition]}"
                )
        return found

    def _ask(self, partitions: Iterable[TopicPartition], at: int | OffsetAt) -> Offsets:
        offsets = {}
        for partition, answer in self._admin.list_offsets(dict.fromkeys(partitions, at)).items():
            if isinstance(answer, Exception):
                raise answer
            offsets[partition] = answer
        return offsets

    # --------------------------------------------------------------------------------------------------------- topics

    def _delete(self, there: Sequence[str]) -> None:
        """Source: maybeDeleteInternalTopics."""
        own = [
            name
            for name in there
            if name not in self._input
            and name not in self._intermediate
            and name.startswith(f"{self._group}-")
            and INTERNAL.fullmatch(name)
        ]
        doomed, how = own, "inferred"
        if self._internal:
            if not set(self._internal) <= set(own):
                raise _Failure(
                    "java.lang.IllegalArgumentException: Invalid topic specified in the --internal-topics option. "
                    "Ensure that the topics specified are all internal topics. Do a dry run without the "
                    "--internal-topics option to see the list of all internal topics that can be deleted."
                )
            doomed, how = self._internal, "specified"
        self._env.out(f"Deleting {how} internal topics [{', '.join(doomed)}]")
        if not self._dry:
            self._delete_each(doomed)
        self._env.out("Done.")

    def _delete_each(self, names: Sequence[str]) -> None:
        failed = False
        for name in names:
            try:
                self._admin.delete_topic(name)
            except StoreError as error:
                failed = True
                self._env.err(f"ERROR: deleting topic {name}")
                self._env.err(f"java.util.concurrent.ExecutionException: {exception_line(error)}")
        if failed:
            raise _Failure("java.lang.RuntimeException: Encountered an error deleting one or more topics")


def _number(text: str, bits: int) -> int:
    number = whole_number(text, bits)
    if number is None:
        raise _Failure(f'java.lang.NumberFormatException: For input string: "{text}"')
    return number
