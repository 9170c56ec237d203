"""Commits as a client of Kafka's protocol makes them: with a text, by a member elsewhere, or by nobody's member."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from pykafka_store.embedded.engine import Engine
from pykafka_store.embedded.groups.live_members import live_members
from pykafka_store.model import CommittedOffset, TopicPartition


class Commit(NamedTuple):
    """What is committed for one partition."""

    offset: int
    leader_epoch: int = -1
    text: str = ""


def commit_without_member(engine: Engine, group: str, commits: Mapping[TopicPartition, Commit]) -> None:
    """Commit for a group that has no members, made if it does not exist. Raises UnknownMemberIdError."""
    live_members(engine, group)  # whose process is gone is in nobody's way
    _commit(engine, group, commits, None, {})


def commit_as_member(
    engine: Engine,
    group: str,
    commits: Mapping[TopicPartition, Commit],
    member_id: str,
    epochs: Mapping[TopicPartition, int],
) -> None:
    """Commit what a member of the engine's owns, under these epochs of owning, and what nobody owns, as Kafka's
    coordinator does not ask. Raises UnknownMemberIdError, IllegalGenerationError.
    """
    _commit(engine, group, commits, member_id, epochs)


def _commit(
    engine: Engine,
    group: str,
    commits: Mapping[TopicPartition, Commit],
    member_id: str | None,
    epochs: Mapping[TopicPartition, int],
) -> None:
    engine.groups.commit(
        group,
        {partition: each.offset for partition, each in commits.items()},
        engine.catalog.topic_ids(),
        engine.clock.now_ms(),
        member_id=member_id,
        epochs=epochs,
        leader_epochs={partition: each.leader_epoch for partition, each in commits.items()},
        texts={partition: each.text for partition, each in commits.items()},
        free_too=member_id is not None,
    )


def committed(engine: Engine, group: str) -> dict[TopicPartition, CommittedOffset]:
    """What the group has committed, sorted."""
    return engine.groups.offsets(group, engine.catalog.topic_ids())
