"""A command as a target: each batch on its standard input, a value a line, and what it does with them is its affair.

There is no transaction that the offsets could be in, so they are the group's commits: a batch counts when the command
exits 0, and what was not committed after that, before a kill, is given to it again. At least once, that is.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence

from pykafka_store.api import Admin
from pykafka_store.databases.errors import DatabaseUnavailableError
from pykafka_store.model import TopicPartition
from pykafka_store.sink.target import (
    Claim,
    Column,
    DeadLetter,
    Group,
    Kind,
    Move,
    SinkError,
    TableSchema,
    TableWrite,
)

_SCHEMA = TableSchema({name: Column(name, Kind.ANY) for name in ("key", "value")}, (), ())


class CommandTarget:
    """See :class:`pykafka_store.sink.target.Target`. Needs the option ``raw``: it takes records as they are."""

    keeps_offsets = False
    is_elsewhere = False
    refuses_nul = False
    text_takes_bytes = True
    max_columns = 2

    def __init__(self, words: Sequence[str], admin: Admin) -> None:
        """``admin``: of the cluster that the records come from, which has the group's commits."""
        self.name = words[0]
        self.id = "command"
        """The same for all commands: sinks of one group are taken to run the same one."""
        self._words = list(words)
        self._admin = admin

    def close(self) -> None:
        """See :meth:`pykafka_store.sink.target.Target.close`. Nothing is open between two batches."""

    def prepare(self, dead_letters: str | None) -> None:
        """See :meth:`pykafka_store.sink.target.Target.prepare`."""
        if dead_letters is not None:
            raise SinkError("a command has no table of dead letters: name a topic with --dead-letter-topic")
        if shutil.which(self.name) is None:  # said now, and not when the first records come
            raise SinkError(f"{self.name} can't be run: there is no such program")

    def schema(self, table: str) -> TableSchema | None:  # noqa: ARG002 - the protocol's
        """See :meth:`pykafka_store.sink.target.Target.schema`."""
        return _SCHEMA

    def check_name(self, name: str) -> str | None:
        """See :meth:`pykafka_store.sink.target.Target.check_name`."""
        return None if name in _SCHEMA.columns else "a command gets values, and no columns"

    def create_table(self, table: str, columns: Mapping[str, Kind], pk: Sequence[str], pending: Sequence[str]) -> None:
        """See :meth:`pykafka_store.sink.target.Target.create_table`: there is nothing to make."""

    def add_columns(self, table: str, columns: Mapping[str, Kind]) -> None:
        """See :meth:`pykafka_store.sink.target.Target.add_columns`: there is nothing to make."""

    def index(self, table: str, column: str) -> None:
        """See :meth:`pykafka_store.sink.target.Target.index`: there is nothing to make."""

    def enable_search(self, table: str, columns: Sequence[str]) -> None:
        """See :meth:`pykafka_store.sink.target.Target.enable_search`: there is nothing to make."""

    def same_keys(
        self,
        table: str,  # noqa: ARG002 - the protocol's
        schema: TableSchema,  # noqa: ARG002
        columns: Sequence[str],  # noqa: ARG002
        keys: Sequence[tuple[object, ...]],
    ) -> Sequence[int]:
        """See :meth:`pykafka_store.sink.target.Target.same_keys`: a command has no keys."""
        return range(len(keys))

    def claim(
        self,
        group: Group,
        starts: Mapping[TopicPartition, tuple[str, int]],
        owner: str,  # noqa: ARG002 - the protocol's
    ) -> dict[TopicPartition, Claim]:
        """Where the group is. Nobody can be kept from writing."""
        committed = self._admin.group_offsets(group.group)
        return {
            partition: Claim(0, committed[partition].offset if partition in committed else start, topic_id)
            for partition, (topic_id, start) in starts.items()
        }

    def restart(
        self,
        group: Group,  # noqa: ARG002 - the protocol's
        partition: TopicPartition,  # noqa: ARG002
        claim: Claim,
        topic_id: str,
        offset: int,
    ) -> Claim:
        """See :meth:`pykafka_store.sink.target.Target.restart`."""
        return Claim(claim.epoch, offset, topic_id)

    def write(
        self,
        group: Group,  # noqa: ARG002 - the protocol's
        tables: Sequence[TableWrite],
        moves: Sequence[Move],  # noqa: ARG002 - the group's commits
        dead_letters: Sequence[DeadLetter],
    ) -> None:
        """Run the command once. A null, and a value of several lines, are refused."""
        assert not dead_letters
        lines = []
        for table in tables:
            for statement in table.statements:
                place = statement.columns.index("value")
                for index, row in zip(statement.origin, statement.rows, strict=True):
                    value = row[place]
                    line = value.encode() if isinstance(value, str) else value
                    if not isinstance(line, bytes):
                        table.on_refused(index, "the value is null, which is no line", None)
                    elif b"\n" in line:
                        table.on_refused(index, "the value has several lines", None)
                    else:
                        lines.append(line + b"\n")
        if not lines:
            return
        try:
            # In a process group of its own: Ctrl-C is for the sink, which lets the batch be dealt with.
            done = subprocess.run(self._words, input=b"".join(lines), check=False, process_group=0)
        except OSError as error:
            raise SinkError(f"{self.name} can't be run: {error.strerror}") from error
        if done.returncode != 0:
            how = f"exited with {done.returncode}" if done.returncode > 0 else f"was ended by signal {-done.returncode}"
            raise DatabaseUnavailableError(f"{self.name} {how}: its {len(lines)} lines do not count")
