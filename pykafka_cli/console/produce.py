"""Producing for the console producer: lines are read, become records and are sent; failures are told on stderr.

Source: org.apache.kafka.tools.ConsoleProducer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pykafka_cli.console.records_in import BadLineError, LineMessageReader
from pykafka_cli.console.stdin import LineTooLongError
from pykafka_cli.errors import CommandFailure
from pykafka_store.errors import InvalidRequestError, InvalidTopicError, RecordTooLargeError, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pykafka_cli.console.records_in import InputRecords, RecordReader
    from pykafka_cli.console.stdin import Lines
    from pykafka_cli.env import Env
    from pykafka_cli.output.progress import TerminalLine
    from pykafka_store.api import Producer
    from pykafka_store.model import SendFailure


_SOON = 0.004
"""Seconds after an append in which the next bytes come, where a pipe brings a few lines again and again."""
_OFTEN = 10
"""Appends after which they came so soon, and since which a pipe is such a one."""
_GATHER = 0.03
"""Seconds that it is left after an append, to bring more."""


def produce(env: Env, lines: Lines, reader: RecordReader, sending: Sending) -> None:
    """Send every line, as many at a time as have arrived, until the input ends.

    An append costs as much as hundreds of lines. So a pipe that goes on to bring a few every other millisecond is left
    some time to bring more; what comes by itself is appended at once.

    Raises BadLineError at a line that is no record, after the records before it are sent.
    """
    takes_text = isinstance(reader, LineMessageReader) and reader.takes_text
    prompt = env.stdin_is_terminal and env.stdout_is_terminal
    flushed: float | None = None
    often = 0
    while True:
        if prompt and lines.at_line_start():
            env.write(b">")
            env.flush()
        if flushed is not None:
            often = gather(lines, env.monotonic, flushed, often)
            flushed = None
        try:
            arrived = lines.read_text() if takes_text else lines.read()
        except LineTooLongError as error:
            sending.refuse(error)
            continue
        if not arrived:
            return
        try:
            for records in _records(reader, arrived, lines.first):
                sending.send(records)
                if takes_text:
                    lines.passed(len(records.values))
        except BadLineError as error:
            sending.send(error.before)
            sending.flush()
            raise
        if not lines.more_is_waiting():
            sending.flush()
            flushed = env.monotonic()
        sending.report.show_progress(lines.bytes_read)


def gather(lines: Lines, monotonic: Callable[[], float], flushed: float, often: int) -> int:
    """Wait for the next bytes; and for more, if they came soon after each of the last ``often`` appends, and these were
    many. ``flushed``: when the last one was. Returns ``often`` for the next time.
    """
    lines.wait_for_more()
    since = monotonic() - flushed
    if since >= _SOON:
        return 0
    if often >= _OFTEN:
        lines.let_gather(_GATHER - since)
    return often + 1


def _records(reader: RecordReader, arrived: bytes | list[bytes], first: int) -> Iterator[InputRecords]:
    """The records of lines, in one text or one by one, of which the first has the number ``first``."""
    if isinstance(arrived, list):
        yield reader.records(arrived, first)
    else:
        assert isinstance(reader, LineMessageReader)  # nobody else takes a text
        yield from reader.records_of(arrived, first)


class Sending:
    """The way of a chunk's records to the producer: all at once, or with ``--sync`` one by one."""

    def __init__(
        self, producer: Producer, topic: str | None, partition: int | None, sync: bool, report: Report
    ) -> None:
        """``topic`` is None where each record names its own."""
        self._producer = producer
        self._topic = topic
        self._partition = partition
        self._sync = sync
        self.report = report

    def send(self, records: InputRecords) -> None:
        """Send the records. With ``--sync``, raise CommandFailure at the first that is refused."""
        if not self._sync:
            self._send(records)
            return
        for index in range(len(records.values)):
            try:
                self._send(records.slice(index, index + 1))
                self.flush()
            except StoreError as error:
                self.report.advise(error)
                raise CommandFailure(_of_a_future(error)) from error

    def _send(self, records: InputRecords) -> None:
        if self._topic is not None:
            self._send_to(self._topic, records)
            return
        by_topic: dict[str, list[int]] = {}
        for index, topic in enumerate(records.topics or ()):
            by_topic.setdefault(topic, []).append(index)
        for topic, indexes in by_topic.items():
            self._send_to(topic, records.pick(indexes))

    def _send_to(self, topic: str, records: InputRecords) -> None:
        try:
            self._producer.send(
                topic,
                records.values,
                keys=records.keys,
                headers=records.headers,
                timestamps=records.timestamps,
                partitions=records.partitions if self._partition is None else self._partition,
            )
        except InvalidTopicError:
            self._refuse_all(topic, records, InvalidTopicError(f"Invalid topics: [{topic}]"))
        self.report.sent += len(records.values)

    def _refuse_all(self, topic: str, records: InputRecords, error: InvalidTopicError) -> None:
        """To Kafka's producer a name that no topic may have is the failure of each record."""
        if self._sync:
            raise error
        for index, value in enumerate(records.values):
            key = records.keys[index] if records.keys else None
            key_size, value_size = (None if field is None else len(field) for field in (key, value))
            self.report.refused(topic, 1, key_size, value_size, error)

    def flush(self) -> None:
        """Wait until the records sent are acknowledged, or refused."""
        self._producer.flush()

    def refuse(self, line: LineTooLongError) -> None:
        """A line too long to be held is a record that is too large."""
        error = RecordTooLargeError(str(line))
        if self._sync:
            raise CommandFailure(_of_a_future(error)) from line
        self.report.sent += 1
        self.report.refused(self._topic or "(unknown)", 1, None, line.size, error)


def _of_a_future(error: StoreError) -> str:
    """The first line of the stack trace with which Kafka's tool ends where it waits for each record."""
    from pykafka_cli.output.kafka_log import exception_line

    return f"java.util.concurrent.ExecutionException: {exception_line(error)}"


class Report:
    """The lines on stderr: failures, notices, and on a terminal how far the work is."""

    _PROGRESS_AFTER = 1.0
    _PROGRESS_EVERY = 0.2

    def __init__(self, env: Env, *, lines_name_partitions: bool = False) -> None:
        self._env = env
        self._lines_name_partitions = lines_name_partitions
        self._started = self._last = env.monotonic()
        self._progress = _progress_line(env)
        self._failed = 0
        self.sent = 0
        """Records handed to the producer, or refused before."""

    def failure(self, failure: SendFailure) -> None:
        """Tell of records that were not acknowledged; reading goes on, as in Kafka's tool. The producer calls this."""
        error = failure.error
        if not isinstance(error, StoreError):
            raise error
        self.refused(failure.topic, failure.record_count, failure.key_size, failure.value_size, error)

    def refused(self, topic: str, count: int, key_size: int | None, value_size: int | None, error: StoreError) -> None:
        """Tell of ``count`` records with one error. Sizes are bytes; None stands for null."""
        from pykafka_cli.output.kafka_log import CALLBACK_LOGGER, exception_line, log_line

        self._failed += count
        self.advise(error)
        key, value = ("null" if size is None else f"{size} bytes" for size in (key_size, value_size))
        what = f"Error when sending message to topic {topic} with key: {key}, value: {value} with error:"
        self.notice(f"{log_line(self._env.clock(), 'ERROR', what, CALLBACK_LOGGER)}\n{exception_line(error)}")

    def advise(self, error: StoreError) -> None:
        """Have the command end with what would help against an error, where an option would."""
        if isinstance(error, InvalidRequestError) and self._lines_name_partitions:
            self._env.hint = "--any-partition leaves the partitions that the lines name out of account."

    def notice(self, text: str) -> None:
        """Write a line to stderr, in the place of the progress."""
        self.end_progress()
        self._env.err(text)

    def show_progress(self, bytes_read: int) -> None:
        """Write the progress, if a person may see it and the work has lasted more than a moment."""
        if self._progress is None:
            return
        now = self._env.monotonic()
        elapsed = now - self._started
        if elapsed < self._PROGRESS_AFTER or now - self._last < self._PROGRESS_EVERY:
            return
        self._last = now
        rate = f"{self.sent / elapsed:,.0f} records/s"
        self._progress.write(f"{self.sent:,} records, {bytes_read / 1e6:,.1f} MB, {rate}")

    def end_progress(self) -> None:
        """Take the progress away."""
        if self._progress is not None:
            self._progress.clear()

    def fail_if_any(self) -> None:
        """Raise CommandFailure if a record was refused."""
        if self._failed:
            raise CommandFailure(f"{self._failed} of {self.sent} records were not acknowledged.")


def _progress_line(env: Env) -> TerminalLine | None:
    """The line for the progress; None where lines are typed, or where stderr is no terminal."""
    if env.stdin_is_terminal or not env.stderr_is_terminal:
        return None
    from pykafka_cli.output.progress import TerminalLine

    return TerminalLine(env)
