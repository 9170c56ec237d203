"""The leader's files copied into a replica's directory: what catch_up.py does after it found where the two agree.

The disk of either may go at any verb, and come back at any other. So no file is taken for one that is missing, or for
an empty one, because it can't be seen just now.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import NamedTuple

from pykafka_store.embedded.disk import Disk
from pykafka_store.embedded.log.segment import Segment, list_segments
from pykafka_store.errors import CorruptRecordError
from pykafka_store.format.names import INDEX_SUFFIXES, SNAPSHOT_SUFFIX, segment_file
from pykafka_store.format.state import PublishedState

CHUNK = 1 << 20

_BESIDE = (SNAPSHOT_SUFFIX, *INDEX_SUFFIXES)

OnCopied = Callable[[int], None]


class At(NamedTuple):
    """A place in a log: that byte of that segment, where that offset begins."""

    base: int
    position: int
    offset: int


class Copy:
    """The leader's segments into the replica's directory, from where they agree on."""

    def __init__(self, disk: Disk, leader: str, directory: str, at: At) -> None:
        self._disk = disk
        self._leader = leader
        self._directory = directory
        self.at = at
        self.bytes = 0
        self._sealed: list[int] = []
        """The segments whose indexes are to be looked at again."""

    def go_on(self, theirs: PublishedState, on_copied: OnCopied | None) -> None:
        """Copy up to what ``theirs`` says is published. What is sealed is brought to the disk itself."""
        while True:
            active = self.at.base == theirs.active_base_offset
            self._copy_log(theirs.end_position if active else None, on_copied)
            if active:
                self.at = At(self.at.base, theirs.end_position, theirs.log_end_offset)
                return
            for suffix in _BESIDE:
                self._copy_beside(self.at.base, suffix)
            self._sealed.append(self.at.base)
            bases = list_segments(self._disk, self._leader)
            following = next((base for base in bases if base > self.at.base), theirs.active_base_offset)
            Segment(self._disk, self._directory, following).create()
            self._disk.sync_directory(self._directory)
            self.at = At(following, 0, following)

    def _copy_log(self, end: int | None, on_copied: OnCopied | None) -> None:
        """Copy the segment up to byte ``end``; None: all of it."""
        with self._source().open() as source, self._target().open(flags=os.O_RDWR | os.O_CREAT) as target:
            end = source.size() if end is None else end
            while self.at.position < end:
                data = source.read_at(min(CHUNK, end - self.at.position), self.at.position)
                if not data:
                    raise CorruptRecordError(f"{source.path} ends before byte {end}, which was published")
                target.write_at([data], self.at.position)
                self.at = self.at._replace(position=self.at.position + len(data))
                self.bytes += len(data)
                if on_copied is not None:
                    on_copied(len(data))
            target.sync()

    def _source(self) -> Segment:
        return Segment(self._disk, self._leader, self.at.base)

    def _target(self) -> Segment:
        return Segment(self._disk, self._directory, self.at.base)

    def settle_agreed(self) -> None:
        """Copy the indexes of segments that agree, where they are not as long as the leader's: whoever copied them died
        before ``settle_beside``. The last may be one whose roll is taken back just now.
        """
        agreed = [base for base in list_segments(self._disk, self._leader) if base < self.at.base]
        self._settle(agreed)
        self._sealed = agreed[-1:]

    def settle_beside(self) -> None:
        """Copy again, under the partition's lock, the indexes that are not as long as the leader's: a writer may have
        taken its roll back while they were copied, and rolled once more.
        """
        self._settle(self._sealed)

    def _settle(self, bases: Iterable[int]) -> None:
        for base in bases:
            for suffix in _BESIDE:
                here = (Segment(self._disk, place, base).path(suffix) for place in (self._leader, self._directory))
                if len(set(map(self._disk.size_of, here))) > 1:
                    self._copy_beside(base, suffix)

    def _copy_beside(self, base: int, suffix: str) -> None:
        copy_file(self._disk, self._leader, self._directory, segment_file(base, suffix))


def copy_file(disk: Disk, leader: str, directory: str, name: str) -> None:
    """Have a file of the leader's, or none where it has none. Raises FileNotFoundError where the leader is gone."""
    path = os.path.join(directory, name)
    try:
        data = disk.read_file(os.path.join(leader, name), limit=1 << 30)
    except FileNotFoundError:
        if not disk.is_missing(os.path.join(leader, name)):
            raise
        disk.remove(path)
    else:
        disk.replace_file(path, data)
