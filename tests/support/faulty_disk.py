"""Disks that fail: one whose n-th verb goes wrong, and one that forgets at a power cut what was not synced."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

from pykafka_store.embedded.disk import Disk
from pykafka_store.errors import StorageError

T = TypeVar("T")
SECTOR = 512
"""Bytes that reach the disk together or not at all."""


class Verb(NamedTuple):
    name: str
    path: str


class FaultyDisk(Disk):
    """The real disk, but for one verb: the ``fail_at``-th (from 0) goes wrong, and all after it if ``stays_dead``.

    ``how`` is ``error`` (nothing happened), ``short`` (a write was cut short, unless it only overwrites within a
    sector; anything else as ``error``) or ``late`` (it happened, and the error comes all the same).
    """

    def __init__(
        self, fail_at: int = -1, *, how: str = "error", number: int = errno.EIO, stays_dead: bool = False
    ) -> None:
        self.fail_at = fail_at
        self.how = how
        self.number = number
        self.stays_dead = stays_dead
        self.done: list[Verb] = []
        """Every verb so far, the failed ones included."""
        self.failed: list[Verb] = []

    def heal(self) -> None:
        self.fail_at = -1

    def _turn(self, name: str, path: str) -> bool:
        """Count a verb; True if it is to go wrong."""
        number = len(self.done)
        self.done.append(Verb(name, path))
        wrong = number == self.fail_at or (self.stays_dead and 0 <= self.fail_at <= number)
        if wrong:
            self.failed.append(Verb(name, path))
        return wrong

    def _error(self, path: str) -> StorageError:
        return StorageError(f"{path}: {os.strerror(self.number)}")

    def _do(self, name: str, path: str, verb: Callable[[], T]) -> T:
        if not self._turn(name, path):
            return verb()
        if self.how == "late":
            verb()
        raise self._error(path)

    def open(self, path: str, flags: int = os.O_RDONLY) -> int:
        if self._turn("open", path):
            if self.how == "late" and flags & os.O_CREAT:
                os.close(super().open(path, flags))
            raise self._error(path)
        return super().open(path, flags)

    def read_at(self, descriptor: int, count: int, position: int, path: str = "") -> bytes:
        return self._do("read_at", path, lambda: super(FaultyDisk, self).read_at(descriptor, count, position, path))

    def write_at(self, descriptor: int, pieces: Sequence[bytes], position: int, path: str = "") -> int:
        if self._turn("write_at", path):
            data = b"".join(pieces)
            size = {"error": 0, "short": len(data) // 2, "late": len(data)}[self.how]
            if (
                self.how == "short"
                and position % SECTOR + len(data) <= SECTOR
                and self._overwrites(descriptor, position, data)
            ):
                size = 0
            super().write_at(descriptor, [data[:size]], position, path)
            raise self._error(path)
        return super().write_at(descriptor, pieces, position, path)

    def _overwrites(self, descriptor: int, position: int, data: bytes) -> bool:
        return position + len(data) <= self.size(descriptor)

    def truncate(self, descriptor: int, size: int, path: str = "") -> None:
        self._do("truncate", path, lambda: super(FaultyDisk, self).truncate(descriptor, size, path))

    def sync(self, descriptor: int, path: str = "") -> None:
        self._do("sync", path, lambda: None)

    def sync_directory(self, path: str) -> None:
        self._do("sync_directory", path, lambda: None)

    def rename(self, old: str, new: str) -> None:
        self._do("rename", old, lambda: super(FaultyDisk, self).rename(old, new))

    def remove(self, path: str) -> None:
        self._do("remove", path, lambda: super(FaultyDisk, self).remove(path))

    def list(self, path: str) -> list[str]:
        return self._do("list", path, lambda: super(FaultyDisk, self).list(path))

    def make_directory(self, path: str, *, parents: bool = True) -> None:
        self._do("make_directory", path, lambda: super(FaultyDisk, self).make_directory(path, parents=parents))


class Killed(BaseException):
    """The process is gone in the middle of a verb; nothing of it runs any more."""


class _File:
    """What the disk itself has of a file, and what was done to the file since."""

    def __init__(self) -> None:
        self.durable = b""
        self.since: list[tuple[int, bytes | None]] = []
        """(position, bytes) written, or (size, None) truncated, in order."""


class _Directory:
    def __init__(self) -> None:
        self.durable: dict[str, _File | None] = {}
        """name -> its file, None for a directory."""
        self.since: list[tuple[str, _File | None, bool]] = []
        """(name, file, made or removed), in order."""


class ForgetfulDisk(Disk):
    """The real disk, which remembers what of it a power cut would leave, as store/DESIGN.md assumes it of disks.

    What was synced stays. Of what was written since, each sector may have come through or not, whatever the order; of
    the names made and removed in a directory since it was synced, the first few have. A truncation may be forgotten.
    """

    def __init__(self, kill_at: int = -1, *, durable_root: str = "") -> None:
        """``kill_at``: the verb (of those that change something) in which the process dies."""
        self.kill_at = kill_at
        self.verbs = 0
        self._open_files: dict[int, _File] = {}
        self._files: dict[int, _File] = {}
        """By inode number; a new file takes the place of a removed one."""
        self._directories: dict[str, _Directory] = {durable_root: _Directory()}

    def _verb(self) -> None:
        if self.verbs == self.kill_at:
            raise Killed
        self.verbs += 1

    def open(self, path: str, flags: int = os.O_RDONLY) -> int:
        new = bool(flags & os.O_CREAT) and not os.path.exists(path)
        if new:
            self._verb()
        descriptor = super().open(path, flags)
        inode = os.fstat(descriptor).st_ino
        if os.path.isdir(path):
            return descriptor
        if new:
            self._files[inode] = _File()
            self._named(path, self._files[inode], made=True)
        elif flags & os.O_TRUNC:
            self._files[inode].since.append((0, None))
        self._open_files[descriptor] = self._files[inode]
        return descriptor

    def _named(self, path: str, file: _File | None, *, made: bool) -> None:
        parent, name = os.path.split(path)
        self._directories[parent].since.append((name, file, made))

    def close(self, descriptor: int) -> None:
        self._open_files.pop(descriptor, None)
        super().close(descriptor)

    def create_file(self, path: str, data: bytes = b"") -> None:
        descriptor = self.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        try:
            if data:
                self.write_at(descriptor, [data], 0, path)
        finally:
            self.close(descriptor)

    def write_at(self, descriptor: int, pieces: Sequence[bytes], position: int, path: str = "") -> int:
        self._verb()
        data = b"".join(pieces)
        if data:
            self._open_files[descriptor].since.append((position, data))
        return super().write_at(descriptor, pieces, position, path)

    def truncate(self, descriptor: int, size: int, path: str = "") -> None:
        self._verb()
        self._open_files[descriptor].since.append((size, None))
        super().truncate(descriptor, size, path)

    def sync(self, descriptor: int, path: str = "") -> None:
        self._verb()
        file = self._open_files[descriptor]
        file.durable = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
        file.since.clear()

    def sync_directory(self, path: str) -> None:
        self._verb()
        directory = self._directories[path]
        for name, file, made in directory.since:
            directory.durable.pop(name, None)
            if made:
                directory.durable[name] = file
        directory.since.clear()

    def rename(self, old: str, new: str) -> None:
        raise NotImplementedError("a partition's log renames nothing")

    def remove(self, path: str) -> None:
        self._verb()
        if os.path.exists(path):
            self._named(path, None, made=False)
        super().remove(path)

    def make_directory(self, path: str, *, parents: bool = True) -> None:
        if not os.path.isdir(path):
            self._verb()
            self._named(path, None, made=True)
            self._directories[path] = _Directory()
        super().make_directory(path, parents=parents)

    def close_all(self) -> None:
        """As the kernel does for a process that is gone."""
        for descriptor in list(self._open_files):
            self.close(descriptor)

    # ---------------------------------------------------------------------------------------------------- the power cut

    def after_power_cut(self, path: str, chance: random.Random) -> dict[str, bytes]:
        """The files of a directory as the next boot finds them."""
        directory = self._directories[path]
        names = dict(directory.durable)
        for name, file, made in directory.since[: chance.randint(0, len(directory.since))]:
            names.pop(name, None)
            if made:
                names[name] = file
        return {name: _left_of(file, chance) for name, file in names.items() if file is not None}


def _left_of(file: _File, chance: random.Random) -> bytes:
    """A file's bytes after a power cut: what was synced, and of what was done since whatever chance has it."""
    data = bytearray(file.durable)
    fate = chance.choice(("nothing", "everything", "some", "some"))
    for position, written in file.since if fate != "nothing" else ():
        if written is None:
            if fate == "everything" or chance.random() < 0.5:
                del data[position:]
                data.extend(bytes(position - len(data)))
            continue
        start = position
        while start < position + len(written):
            stop = min(start - start % SECTOR + SECTOR, position + len(written))
            if fate == "everything" or chance.random() < 0.7:
                data.extend(bytes(max(0, stop - len(data))))
                data[start:stop] = written[start - position : stop - position]
            start = stop
    return bytes(data)
