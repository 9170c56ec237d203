"""What a fork must not take along: a child has its parent's descriptors, and with them its locks and its connections.

The kernel drops a lock when the last descriptor of its open file is closed, so a child that lives on would hold locks
and leases of a parent that died. And a connection to SQLite that two processes use damages its file. So in the child
whatever is registered here forsakes what it has, and refuses to work from then on: a child opens its own.
"""

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING

from pykafka_store.errors import StorageError

if TYPE_CHECKING:
    from typing import Protocol

    class Forsaking(Protocol):
        """What belongs to the process that made it."""

        def forsake(self) -> None:
            """Close what may be closed without an effect on the parent, and refuse all work from now on. Called in the
            child, where there is only one thread, and locks between threads are as the others left them.
            """


_kept: weakref.WeakSet[Forsaking] = weakref.WeakSet()


def keep_out_of_forks(thing: Forsaking) -> None:
    """Have ``thing`` forsake what it has in each child that this process forks off, for as long as it lives."""
    _kept.add(thing)


def carried_over(path: str) -> StorageError:
    """The error for the use of something that was opened before a fork."""
    return StorageError(f"{path} was opened before this process was forked off: open the cluster again in it")


def _forsake_all() -> None:
    for thing in list(_kept):
        thing.forsake()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forsake_all)
