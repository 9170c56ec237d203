"""What all databases have in common as targets: the table of offsets, who may move them, and the end of a transaction.

The statements are the same in each, but for how a parameter is marked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from pykafka_store.model import TopicPartition
from pykafka_store.sink.target import OFFSETS_TABLE, Claim, DeadLetter, FencedError, Group, Move


class Executing(Protocol):
    """A connection within a transaction, of sqlite3 or of psycopg."""

    def execute(self, statement: Any, parameters: Any, /) -> Any: ...


class OffsetsTable:
    """The statements about offsets and dead letters, within a transaction of the target's."""

    def __init__(self, mark: str) -> None:
        """``mark``: what stands for a parameter."""
        self._mark = mark
        self._place = f'cluster = {mark} AND "group" = {mark} AND topic = {mark} AND partition = {mark}'

    def claim(
        self,
        connection: Executing,
        group: Group,
        starts: Mapping[TopicPartition, tuple[str, int]],
        owner: str,
    ) -> dict[TopicPartition, Claim]:
        """See :meth:`pykafka_store.sink.target.Target.claim`."""
        mark, claims = self._mark, {}
        for partition, (topic_id, start) in sorted(starts.items()):  # in one order, so that nobody waits in a circle
            place = (*group, *partition)
            connection.execute(
                f"INSERT INTO {OFFSETS_TABLE} VALUES ({', '.join([mark] * 6)}, 0, '') ON CONFLICT DO NOTHING",
                (*place, topic_id, start),
            )
            row = connection.execute(
                f"UPDATE {OFFSETS_TABLE} SET epoch = epoch + 1, owner = {mark} WHERE {self._place} "
                "RETURNING epoch, next, topic_id",
                (owner, *place),
            ).fetchone()
            claims[partition] = Claim(*row)
        return claims

    def restart(
        self, connection: Executing, group: Group, partition: TopicPartition, claim: Claim, topic_id: str, offset: int
    ) -> Claim:
        """See :meth:`pykafka_store.sink.target.Target.restart`."""
        mark = self._mark
        done = connection.execute(
            f"UPDATE {OFFSETS_TABLE} SET topic_id = {mark}, next = {mark} WHERE {self._place} AND epoch = {mark}",
            (topic_id, offset, *group, *partition, claim.epoch),
        )
        if done.rowcount != 1:
            raise FencedError(f"{partition} was claimed by another sink")
        return Claim(claim.epoch, offset, topic_id)

    def conclude(
        self,
        connection: Executing,
        group: Group,
        moves: Sequence[Move],
        letters_table: str | None,
        letters: Sequence[DeadLetter],
    ) -> None:
        """What a transaction ends with, after its rows: dead letters, and last the offsets, if this sink's claims still
        hold: else FencedError, and none of it is. ``letters_table``: its name, quoted.
        """
        mark = self._mark
        for letter in letters:
            assert letters_table is not None
            into = letters_table.replace("%", "%%") if mark == "%s" else letters_table
            connection.execute(f"INSERT INTO {into} VALUES ({', '.join([mark] * len(letter))})", letter)
        for partition, epoch, before, after in sorted(moves):
            done = connection.execute(
                f"UPDATE {OFFSETS_TABLE} SET next = {mark} WHERE {self._place} AND epoch = {mark} AND next = {mark}",
                (after, *group, *partition, epoch, before),
            )
            if done.rowcount != 1:
                raise FencedError(f"{partition} was claimed by another sink")
