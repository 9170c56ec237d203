"""Printing for the console consumer: runs of records -> stdout, flushed a poll at a time."""

from __future__ import annotations

import errno
from itertools import chain
from typing import TYPE_CHECKING

from pykafka_cli.console.records_out import FormatError, MessageFormatter
from pykafka_cli.output.kafka_log import CONSUMER_LOGGER, log_line

if TYPE_CHECKING:
    from pykafka_cli.env import Env
    from pykafka_store.model import Records

FORMATTED_AT_ONCE = 1 << 13


class Printing:
    """Runs of records -> stdout, a poll's worth at a time."""

    def __init__(self, env: Env, formatter: MessageFormatter, skip_errors: bool) -> None:
        self._env = env
        self._formatter = formatter
        self._skip_errors = skip_errors
        self.count = 0
        """Records handed to stdout, or skipped because of an error; as in Kafka, before they are written."""

    def print(self, runs: list[Records]) -> None:
        """Write the runs and flush. Raises FormatError, after the records before it are written."""
        texts: list[bytes] = []
        for run in chain.from_iterable(map(_pieces, runs)):
            try:
                texts.append(self._formatter.format(run))
            except FormatError:
                self._write(texts)
                self._print_one_by_one(run)
            else:
                self.count += len(run)
                if len(run) == FORMATTED_AT_ONCE:
                    self._write(texts)
        self._write(texts)
        self._env.flush()

    def check_reader(self) -> None:
        """Raise BrokenPipeError if stdout is a pipe whose other end is closed: ``| head -1`` need not wait for more."""
        if self._env.reader_is_gone():
            raise BrokenPipeError(errno.EPIPE, "standard output was closed")

    def _print_one_by_one(self, run: Records) -> None:
        for index in range(len(run)):
            self.count += 1
            try:
                self._write([self._formatter.format(run.slice(index, index + 1))])
            except FormatError as error:
                self._write([error.printed])
                if not self._skip_errors:
                    raise
                what = "Error processing message, skipping this message: "
                line = log_line(self._env.clock(), "ERROR", what, CONSUMER_LOGGER)
                self._env.report_error(f"{line}\n{error.java_class}: {error}")

    def _write(self, texts: list[bytes]) -> None:
        """Write the texts, and empty the list."""
        self._env.write(b"".join(texts))
        texts.clear()


def _pieces(run: Records) -> list[Records]:
    """A run in pieces small enough for their text: a million records without a value may come at once."""
    if len(run) <= FORMATTED_AT_ONCE:
        return [run]
    starts = range(0, len(run), FORMATTED_AT_ONCE)
    return [run.slice(start, start + FORMATTED_AT_ONCE) for start in starts]
