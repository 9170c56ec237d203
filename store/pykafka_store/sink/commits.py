"""The group's commits, which follow what the target has: for whoever describes the group. Nobody reads on from them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress

from pykafka_store.api import Consumer
from pykafka_store.errors import StoreError
from pykafka_store.model import TopicPartition
from pykafka_store.sink.target import Claim

COMMIT_EVERY = 1.0
"""Seconds between two commits."""


class GroupCommits:
    def __init__(self) -> None:
        self._committed: dict[TopicPartition, int] = {}
        self._next = 0.0

    def follow(self, consumer: Consumer, claims: Mapping[TopicPartition, Claim], now: float | None = None) -> None:
        """Tell the group how far its partitions are written: if it is time by the monotonic clock, or at once."""
        if now is not None and now < self._next:
            return
        new = {each: claim.next for each, claim in claims.items() if self._committed.get(each) != claim.next}
        if not new:
            return
        with suppress(StoreError):  # the target knows better, and the next commit may succeed
            consumer.commit(new)
            self._committed |= new
        self._next = time.monotonic() + COMMIT_EVERY

    def forget(self, partition: TopicPartition) -> None:
        """Somebody else may commit for it from now on."""
        self._committed.pop(partition, None)
