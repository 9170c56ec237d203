"""What ``--reset-offsets`` plans, and how options name topics and partitions.

Source: org.apache.kafka.tools.OffsetsUtils of Kafka 4.3, and prepareOffsetsToReset of its ConsumerGroupCommand. Checks,
texts and their order are theirs.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import click

from pykafka_cli.env import Env
from pykafka_cli.errors import NoSuchValue, Refusal, UsageProblem
from pykafka_cli.java.text import BEGINS_WITH_MARK, BYTE_ORDER_MARK, is_whole, split, whole
from pykafka_cli.output.kafka_log import exception_line, log_line
from pykafka_cli.tool.options import LONG, Options
from pykafka_store.errors import InvalidTopicError, StoreError, UnknownTopicOrPartitionError, UnsupportedVersionError
from pykafka_store.model import OffsetAt, TopicDescription, TopicPartition

if TYPE_CHECKING:
    from pykafka_store.api import Admin

SCENARIOS = (
    "to-offset", "shift-by", "to-datetime", "by-duration", "to-earliest", "to-latest", "to-current", "from-file",
)  # fmt: skip
LOGGER = "org.apache.kafka.tools.OffsetsUtils"
ONE_GROUP, SEVERAL_GROUPS = "topic,partition,offset", "group,topic,partition,offset"
"""The columns of a plan in a file."""

Offsets = dict[TopicPartition, int]


class GroupFailure(Refusal):
    """The command can't go on, in Kafka's words. ``error`` is the cluster's error behind it, if there is one."""

    def __init__(self, reason: str, error: StoreError | None = None) -> None:
        super().__init__(reason)
        self.error = error

    @classmethod
    def wrapped(cls, error: StoreError) -> GroupFailure:
        """An error of the cluster that Kafka's tool did not expect in that place: it prints Java's wrapping, too."""
        return cls(f"java.util.concurrent.ExecutionException: {exception_line(error)}", error)


class OffsetReset:
    """The options of a reset, whose values are read at once, and what they say for one group after the other."""

    def __init__(self, env: Env, options: Options, say: Callable[[str], None]) -> None:
        """``say`` prints a message where the user is to see it. Raises OptionProblem for a value that is no number."""
        self._env = env
        self._options = options
        self._say = say
        to_offsets = [_long("to-offset", text) for text in options.texts("to-offset")]
        self._to_offset = to_offsets[0] if to_offsets else None
        self._by_duration = options.maybe_text("by-duration")
        self._shift_by = options.maybe_integer("shift-by")

    def plan(self, admin: Admin, group: str) -> Offsets:
        """The offsets that a group is to get, sorted."""
        return dict(sorted(self._plan(admin, group).items()))

    def _plan(self, admin: Admin, group: str) -> Offsets:
        has = self._options.has
        scope = self._scope(admin, group)
        _require_existing(admin, scope)
        if self._to_offset is not None:
            return self._within_log(admin, dict.fromkeys(scope, self._to_offset))
        if has("to-earliest"):
            return _ask(admin, scope, OffsetAt.EARLIEST)
        if has("to-latest"):
            return _ask(admin, scope, OffsetAt.LATEST)
        if self._shift_by is not None:
            committed = admin.group_offsets(group)
            for partition in scope:
                if partition not in committed:
                    raise UsageProblem(
                        f"Cannot shift offset for partition {partition} since there is no current committed offset"
                    )
            return self._within_log(admin, {each: committed[each].offset + self._shift_by for each in scope})
        if has("to-datetime") or self._by_duration is not None:
            return self._at(admin, scope, self._timestamp())
        if has("from-file"):
            return self._from_file(admin, group)
        if has("to-current"):
            committed = admin.group_offsets(group)
            uncommitted = _ask(admin, [each for each in scope if each not in committed], OffsetAt.LATEST)
            return {each: committed[each].offset if each in committed else uncommitted[each] for each in scope}
        scenarios = ", ".join(f"[{scenario}]" for scenario in SCENARIOS)
        raise UsageProblem(f"Option '[reset-offsets]' requires one of the following scenarios: [{scenarios}]")

    def _scope(self, admin: Admin, group: str) -> list[TopicPartition]:
        """The partitions that the options name, sorted, each once."""
        if self._options.has("all-topics"):
            return list(admin.group_offsets(group))
        if self._options.has("topic"):
            topics = self._options.texts("topic")
            scope = {partition for topic in topics if ":" in topic for partition in parse_partitions(topic)}
            for name in topics:
                if ":" not in name:
                    try:
                        scope.update(all_partitions(describe_topic(admin, name)))
                    except StoreError as error:
                        raise GroupFailure(str(error), error) from None
            return sorted(scope)
        if not self._options.has("from-file"):
            raise UsageProblem("One of the reset scopes should be defined: --all-topics, --topic.")
        return []

    def _within_log(self, admin: Admin, wanted: Offsets) -> Offsets:
        """The offsets nearest to those wanted that the logs have. Source: OffsetsUtils#checkOffsetsRange."""
        starts, ends = _ask(admin, wanted, OffsetAt.EARLIEST), _ask(admin, wanted, OffsetAt.LATEST)
        found = {}
        for partition, offset in wanted.items():
            found[partition] = max(starts[partition], min(offset, ends[partition]))
            if found[partition] != offset:
                beyond = "higher than latest" if offset > ends[partition] else "lower than earliest"
                warning = (
                    f"New offset ({offset}) is {beyond} offset for topic partition {partition}. "
                    f"Value will be set to {found[partition]}"
                )
                self._env.err(log_line(self._env.clock(), "WARN", warning, LOGGER))
        return found

    def _timestamp(self) -> int:
        """The time that --to-datetime or --by-duration says, in milliseconds."""
        from pykafka_cli.java import time as java_time
        from pykafka_store.settings.durations import DurationError, parse_duration_ms

        try:
            if self._by_duration is None:
                return java_time.parse_date_time(self._options.texts("to-datetime")[0])
            timestamp = int(self._env.clock() * 1000) - parse_duration_ms(self._by_duration)
        except (java_time.TimeError, DurationError) as error:
            raise GroupFailure(str(error)) from None
        if abs(timestamp) > java_time.INSTANT_MAX * 1000:
            raise GroupFailure("Instant exceeds minimum or maximum instant")
        return timestamp

    def _at(self, admin: Admin, partitions: Iterable[TopicPartition], timestamp: int) -> Offsets:
        """The first offset at or after a time, else the end. Source: OffsetsUtils#getLogTimestampOffsets."""
        if timestamp < 0:  # to a broker, numbers below zero are places in the log
            raise GroupFailure.wrapped(UnsupportedVersionError("The version of API is not supported."))
        offsets = _ask(admin, partitions, timestamp)
        too_old = [partition for partition, offset in offsets.items() if offset < 0]
        for topic, number in too_old:
            self._say(f"Warn: Partition {number} from topic {topic} is empty. Falling back to latest known offset.")
        return offsets | _ask(admin, too_old, OffsetAt.LATEST)

    def _from_file(self, admin: Admin, group: str) -> Offsets:
        plans = read_plan(self._options.texts("from-file")[0], self._options.texts("group"))
        if group not in plans:
            self._env.error_reported = True
            self._say(f"Error: No reset plan for group {group} found")
            return {}
        _require_existing(admin, plans[group])
        return self._within_log(admin, plans[group])


def _long(name: str, text: str) -> int:
    try:
        return LONG.convert(text, None, None)
    except click.BadParameter:
        raise NoSuchValue(name, text) from None


def _ask(admin: Admin, partitions: Iterable[TopicPartition], at: int | OffsetAt) -> Offsets:
    offsets = {}
    for partition, answer in admin.list_offsets(dict.fromkeys(partitions, at)).items():
        if isinstance(answer, Exception):
            raise answer
        offsets[partition] = answer
    return offsets


def _require_existing(admin: Admin, partitions: Iterable[TopicPartition]) -> None:
    """Source: OffsetsUtils#checkAllTopicPartitionsValid."""
    leaders: dict[TopicPartition, int | None] = {}
    for topic in sorted({partition.topic for partition in partitions}):
        try:
            described = describe_topic(admin, topic)
        except StoreError as error:
            raise GroupFailure.wrapped(error) from None
        leaders |= {TopicPartition(topic, each.partition): each.leader for each in described.partitions}
    missing = [str(partition) for partition in partitions if partition not in leaders]
    if missing:
        unknown = UnknownTopicOrPartitionError(f'The partitions "{",".join(missing)}" do not exist')
        raise GroupFailure(str(unknown), unknown)
    leaderless = [str(partition) for partition in partitions if leaders[partition] is None]
    if leaderless:
        raise GroupFailure(f'The partitions "{",".join(leaderless)}" have no leader')


# ----------------------------------------------------------------------------------------------- topics and partitions


def parse_partitions(text: str) -> list[TopicPartition]:
    """``topic:0,1,2``. Source: OffsetsUtils#parseTopicsWithPartitions."""
    parts = split(text, ":")
    if len(parts) != 2:
        raise UsageProblem(f"Invalid topic arg '{text}', expected topic name and partitions")
    topic, numbers = parts
    found = []
    for number in split(numbers, ","):
        if not is_whole(number):
            raise UsageProblem(f"Invalid partition '{number}' specified in topic arg '{text}''")
        found.append(TopicPartition(topic, whole(number)))
    return found


def describe_topic(admin: Admin, name: str) -> TopicDescription:
    """A topic; where there is none, an error in a broker's words."""
    if not name:
        raise InvalidTopicError("The given topic name '' cannot be represented in a request.")
    if not re.fullmatch(r"[a-zA-Z0-9._-]{1,249}", name) or name in {".", ".."}:
        raise InvalidTopicError("The request attempted to perform an operation on an invalid topic.")
    try:
        return admin.describe_topics([name])[0]
    except UnknownTopicOrPartitionError:
        raise UnknownTopicOrPartitionError("This server does not host this topic-partition.") from None


def all_partitions(topic: TopicDescription) -> list[TopicPartition]:
    return [TopicPartition(topic.name, described.partition) for described in topic.partitions]


# ------------------------------------------------------------------------------------------------------ plans as files


def plan_lines(plans: Mapping[str, Mapping[TopicPartition, int]], *, with_group: bool) -> Iterator[str]:
    """A plan as CSV, without a heading. Source: ConsumerGroupCommand#exportOffsetsToCsv, CsvUtils."""
    for group, offsets in plans.items():
        for (topic, number), offset in offsets.items():
            columns = [_quoted(topic), str(number), str(offset)]
            yield ",".join([_quoted(group), *columns] if with_group else columns)


def _quoted(text: str) -> str:
    """Jackson's CsvEncoder does not look closely: it quotes long texts, and those with some rare characters."""
    if len(text) <= 24 and not any(char < "-" or char == "\\" for char in text):
        return text
    return '"' + text.replace('"', '""') + '"'


def read_plan(path: str, groups: Sequence[str]) -> dict[str, Offsets]:
    """The plan that a file holds: for the one group, if the first line names none, else for each that is named.

    Kafka's tool takes any line and puts 0 where a column is missing; here each must be whole.
    """
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
            lines = file.read().split("\n")
    except OSError:
        raise GroupFailure(f"java.io.IOException: Unable to read file {path}") from None
    if lines[0].startswith(BYTE_ORDER_MARK):
        raise GroupFailure(f"{path} {BEGINS_WITH_MARK}")
    if lines == [""]:  # not so where there is an empty line: that is no plan, for Kafka's tool too
        raise GroupFailure(f"{path} is empty: expected {ONE_GROUP if len(groups) == 1 else SEVERAL_GROUPS}")
    plans: dict[str, Offsets] = {}
    columns = ""
    for number, line in enumerate((line.rstrip("\r") for line in lines), 1):
        if not line:
            continue
        try:
            fields = next(csv.reader([line], strict=True))
        except csv.Error as error:
            raise GroupFailure(f"{path}, line {number}: {error}") from None
        columns = columns or (ONE_GROUP if len(fields) == 3 and len(groups) == 1 else SEVERAL_GROUPS)
        malformed = GroupFailure(f"{path}, line {number}: expected {columns}, with whole numbers, and found {line}")
        if len(fields) != columns.count(",") + 1:
            raise malformed
        *group, topic, partition, offset = fields
        try:
            target = TopicPartition(topic, LONG.convert(partition.strip(), None, None))
            position = LONG.convert(offset.strip(), None, None)
        except click.BadParameter:
            raise malformed from None
        if position < 0:
            raise UsageProblem("Invalid negative offset")
        plans.setdefault(group[0] if group else groups[0], {})[target] = position
    return plans
