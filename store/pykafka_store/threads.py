"""What threads may do with the clients of both engines, as with Java's: a producer serves many of them, one after the
other; a consumer is used by one at a time, and says so where two are at it.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from pykafka_store.errors import ConcurrentModificationError

ClientT = TypeVar("ClientT")


class User:
    """Which thread is using a consumer: a context that another thread may not enter meanwhile."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._thread = threading.current_thread()

    def __enter__(self) -> None:
        here = threading.current_thread()
        if not self._lock.acquire(blocking=False):
            there = self._thread
            raise ConcurrentModificationError(
                "KafkaConsumer is not safe for multi-threaded access. "
                f"currentThread(name: {here.name}, id: {here.ident}) otherThread(name: {there.name}, id: {there.ident})"
            )
        self._thread = here

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def one_thread_at_a_time(kind: type[ClientT]) -> type[ClientT]:
    """A class of consumers whose methods refuse to work while another thread is in one of them. An instance has its
    :class:`User` as ``user``.

    Source: ClassicKafkaConsumer.acquire, its text too.
    """
    return _within(
        kind,
        "user",
        "assign subscribe on_rebalance poll assignment position seek pause resume commit committed beginning_offsets "
        "end_offsets close",
    )


def threads_take_turns(kind: type[ClientT]) -> type[ClientT]:
    """A class of producers whose methods wait while another thread is in one of them. An instance has a
    ``threading.RLock`` as ``turns``: callbacks may send.
    """
    return _within(kind, "turns", "send flush commit close")


def _within(kind: type[ClientT], context: str, names: str) -> type[ClientT]:
    """The class, with those of these methods that it has itself inside of an attribute of the instance."""

    def within(method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def call(client: Any, *arguments: Any, **named: Any) -> Any:
            with getattr(client, context):
                return method(client, *arguments, **named)

        return call

    for name in names.split():
        if name in vars(kind):
            setattr(kind, name, within(vars(kind)[name]))
    return kind
