"""What was probably meant, where a name that a user wrote is nothing's: the last line of what a command says.

The error itself stays as in Kafka's tools. Hints are for people, on stderr; ``Env.hint`` keeps one until the end of
the command.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

from pykafka_store.errors import StoreError
from pykafka_store.spelling import nearest

if TYPE_CHECKING:
    from pykafka_cli.env import Env
    from pykafka_store.api import Admin


def suggest(env: Env, word: str, known: Iterable[str]) -> None:
    """Have the command end with the known name that is most like the word, if one is."""
    meant = nearest(word, known)
    if meant is not None:
        env.hint = f"Did you mean {meant}?"


def suggest_topic(env: Env, admin: Admin, topic: str) -> None:
    """Likewise with the topics that there are."""
    with contextlib.suppress(StoreError):  # the error at hand is the one to tell
        suggest(env, topic, (each.name for each in admin.list_topics() if each.name != topic))


def suggest_group(env: Env, admin: Admin, group: str) -> None:
    """Likewise with the groups that there are."""
    with contextlib.suppress(StoreError):  # as above
        suggest(env, group, (each.group_id for each in admin.list_groups() if each.group_id != group))


def suggest_broker(env: Env, admin: Admin) -> None:
    """The one broker that there is: the first of a directory is 0, and that of Kafka's quickstart 1."""
    with contextlib.suppress(StoreError):  # as above
        brokers = admin.live_brokers()
        if len(brokers) == 1:
            env.hint = f"Did you mean {brokers[0]}?"
