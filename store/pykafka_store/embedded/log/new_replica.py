"""The files that a replica begins with: its published state when it is made, and the others with its first record.

A topic may have thousands of partitions, and most of what it costs to make one are its files. As long as nothing was
ever appended, the state alone says all there is: whose the directory is, and that its log is empty. So a log that ends
at offset 0 needs no other file, and may have them all the same: one that was cut back, or that an older program made.

The first append makes them under the partition's lock, before it writes a byte of a record, and the segment's log comes
after the small files. A kill in between leaves some of them and the state as it was: whoever comes next makes them anew
where the log is not there, and the log's indexes where they are not.
"""

from __future__ import annotations

from functools import lru_cache

from pykafka_store.embedded.disk import Disk
from pykafka_store.embedded.log.segment import Segment
from pykafka_store.errors import CorruptRecordError
from pykafka_store.format import state as states
from pykafka_store.format.checkpoint import (
    LEADER_EPOCH_FILE,
    PARTITION_METADATA_FILE,
    format_leader_epochs,
    format_partition_metadata,
    parse_leader_epochs,
    topic_id_text,
)
from pykafka_store.format.state import PublishedState, empty_state, pack_state
from pykafka_store.model import topic_id_bytes


def create_replica(disk: Disk, directory: str, topic_id: str, boot_id: bytes) -> None:
    """Make the directory of a new, empty replica; a crash leaves at most one that the catalogue does not know.

    Raises StorageError, FileNotFoundError where the log directory is gone.
    """
    disk.make_directory(directory, parents=False)
    disk.create_file(f"{directory}/{states.FILE_NAME}", _first_state(topic_id, boot_id))


@lru_cache(maxsize=1)
def _first_state(topic_id: str, boot_id: bytes) -> bytes:
    return pack_state(empty_state(topic_id_bytes(topic_id), boot_id))


def needs_no_log(state: PublishedState) -> bool:
    """Whether nothing is missing where the log's files are: it never had a record, or none that was acknowledged."""
    return not state.log_end_offset


def create_log(disk: Disk, directory: str, state: PublishedState) -> None:
    """Make the files of a replica of which only the state is there. Needs the partition's lock."""
    name_owner(disk, directory, state)
    if not _has_epochs(disk, directory):
        epochs = format_leader_epochs([(state.leader_epoch, state.active_base_offset)]).encode()
        disk.create_file(f"{directory}/{LEADER_EPOCH_FILE}", epochs)
    Segment(disk, directory, state.active_base_offset).create()


def name_owner(disk: Disk, directory: str, state: PublishedState) -> None:
    """Have a file beside the state say whose the directory is. Needs the partition's lock."""
    metadata = format_partition_metadata(topic_id_text(state.topic_id)).encode()
    disk.create_file(f"{directory}/{PARTITION_METADATA_FILE}", metadata)


def _has_epochs(disk: Disk, directory: str) -> bool:
    """Whether a leader wrote its epoch before there was a log; a kill may have left a file without an entry."""
    try:
        return bool(parse_leader_epochs(disk.read_file(f"{directory}/{LEADER_EPOCH_FILE}").decode("ascii", "replace")))
    except (FileNotFoundError, CorruptRecordError):
        return False
