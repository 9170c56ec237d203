"""A replica's published state, for who has the replica not open: read it, or mark the replica as deleted."""

from __future__ import annotations

import os
from contextlib import suppress

from pykafka_store.embedded.disk import Disk
from pykafka_store.errors import CorruptRecordError
from pykafka_store.format import state as states
from pykafka_store.format.state import PublishedState, pack_state, parse_state


def read_state(disk: Disk, directory: str) -> PublishedState | None:
    """A replica's state as published; None where there is none that checks."""
    path = os.path.join(directory, states.FILE_NAME)
    for _ in range(100):  # beside a writer a read may see half of what it writes
        with suppress(CorruptRecordError):
            try:
                return parse_state(disk.read_file(path))
            except FileNotFoundError:
                if _is_gone(disk, path):
                    return None
    return None


def _is_gone(disk: Disk, path: str) -> bool:
    try:
        return disk.is_missing(path)
    except FileNotFoundError:
        return True


def never_held_records(disk: Disk, directory: str) -> bool:
    """Whether this is all that a kill amid ``create_replica`` leaves. Raises StorageError, FileNotFoundError."""
    if not {*disk.list(directory)} <= {states.FILE_NAME}:
        return False
    state = read_state(disk, directory)
    return state is None or not state.log_end_offset


def mark_deleted(disk: Disk, directory: str) -> None:
    """Make the state say, to all processes that have this replica open, that it is gone for good. Needs the
    partition's lock.
    """
    path = os.path.join(directory, states.FILE_NAME)
    try:
        descriptor = disk.open(path, os.O_RDWR)
    except FileNotFoundError:
        return
    try:
        state = parse_state(disk.read_at(descriptor, states.SIZE, 0, path))
        disk.write_at(descriptor, [pack_state(state._replace(flags=state.flags | states.DELETED))], 0, path)
    except CorruptRecordError:
        pass  # processes that have it open will find the directory gone
    finally:
        disk.close(descriptor)
