"""The disk as a seam: the few verbs the engine needs, so that a test can make each of them fail.

What is assumed of a disk stands in store/DESIGN.md. All errors of the operating system leave here as StorageError
with the path and what to do, except FileNotFoundError, which readers expect: a segment may go away under them.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from types import TracebackType

from pykafka_store.errors import NoSpaceError, StorageError

_IOV_MAX = 1000
"""Pieces handed to one pwritev; Linux takes 1024."""


class Disk:
    """The real disk."""

    def open(self, path: str, flags: int = os.O_RDONLY) -> int:
        """A descriptor, close-on-exec. Nothing is written through a symbolic link: who may write to a shared directory
        could else have others overwrite what is theirs. Raises FileNotFoundError, StorageError.
        """
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            flags |= os.O_NOFOLLOW
        with _explained(path):
            return os.open(path, flags | os.O_CLOEXEC, 0o666)

    def close(self, descriptor: int) -> None:
        os.close(descriptor)

    def size(self, descriptor: int) -> int:
        return os.fstat(descriptor).st_size

    def read_at(self, descriptor: int, count: int, position: int, path: str = "") -> bytes:
        """Up to ``count`` bytes; fewer only at the file's end."""
        with _explained(path):
            data = os.pread(descriptor, count, position)
            if len(data) == count or not data:
                return data
            pieces = [data]
            missing = count - len(data)
            while missing:
                data = os.pread(descriptor, missing, position + count - missing)
                if not data:
                    break
                pieces.append(data)
                missing -= len(data)
            return b"".join(pieces)

    def write_at(self, descriptor: int, pieces: Sequence[bytes | memoryview], position: int, path: str = "") -> int:
        """Write all pieces one after the other; returns the position after them.

        Raises StorageError when the disk takes less; some of the bytes may then be there, for the caller to cut back.
        """
        with _explained(path):
            for start in range(0, len(pieces), _IOV_MAX):
                some: Sequence[bytes | memoryview] = pieces[start : start + _IOV_MAX]
                while some:
                    written = os.pwritev(descriptor, some, position)
                    position += written
                    some = _rest(some, written)
        return position

    def send(self, descriptor: int, socket: int, position: int, count: int) -> int:
        """Send a file's bytes to a socket; how many it took. Its errors are the socket's, and are raised as they are:
        BlockingIOError, ConnectionError.
        """
        return os.sendfile(socket, descriptor, position, count)

    def truncate(self, descriptor: int, size: int, path: str = "") -> None:
        with _explained(path):
            os.ftruncate(descriptor, size)

    def sync(self, descriptor: int, path: str = "") -> None:
        """Bring a file's bytes to the disk itself."""
        with _explained(path):
            os.fdatasync(descriptor) if hasattr(os, "fdatasync") else os.fsync(descriptor)

    def sync_directory(self, path: str) -> None:
        """Bring a directory's entries to the disk itself, after files in it were created or renamed."""
        descriptor = self.open(path, os.O_DIRECTORY)
        try:
            with _explained(path):
                os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def replace_file(self, path: str, data: bytes) -> None:
        """Write, sync, rename: the file holds its old bytes or the new ones, never a mixture."""
        temporary = f"{path}.tmp"
        descriptor = self._open_new(temporary)
        try:
            self.write_at(descriptor, [data], 0, temporary)
            self.sync(descriptor, temporary)
        finally:
            os.close(descriptor)
        self.rename(temporary, path)
        self.sync_directory(os.path.dirname(path))

    def create_file(self, path: str, data: bytes = b"") -> None:
        """A new file under a name that nobody looks at yet; not synced."""
        descriptor = self._open_new(path)
        try:
            if data:
                self.write_at(descriptor, [data], 0, path)
        finally:
            os.close(descriptor)

    def _open_new(self, path: str) -> int:
        """A file to write, which this process made. What a killed one left under that name is removed, and whatever
        else lies there: it is not written to.
        """
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        try:
            return self.open(path, flags)
        except StorageError as error:
            if not isinstance(error.__cause__, FileExistsError):
                raise
        self.remove(path)
        return self.open(path, flags)

    def read_file(self, path: str, limit: int = 1 << 20) -> bytes:
        """A small file, whole. Raises FileNotFoundError, and StorageError beyond ``limit`` bytes."""
        descriptor = self.open(path)
        try:
            while True:
                # No more is asked for than there is: a read takes the memory for what it is asked for.
                size = self.size(descriptor)
                data = b"" if size > limit else self.read_at(descriptor, size + 1, 0, path)
                if max(size, len(data)) > limit:
                    raise StorageError(f"{path} is larger than {limit} bytes: not a file of ours")
                if len(data) <= size:
                    return data
        finally:
            os.close(descriptor)

    def rename(self, old: str, new: str) -> None:
        with _explained(old):
            os.rename(old, new)

    def remove(self, path: str) -> None:
        """Remove a file; one that is gone already is fine."""
        try:
            with _explained(path):
                os.unlink(path)
        except FileNotFoundError:
            pass

    def remove_tree(self, path: str) -> None:
        """Remove a directory that has been renamed out of the way, as far as it goes: what stays is upkeep's."""
        try:
            for name in os.listdir(path):  # files, but for what somebody else has put there
                os.unlink(f"{path}/{name}")
            os.rmdir(path)
        except OSError:
            import shutil

            shutil.rmtree(path, ignore_errors=True)

    def is_at(self, descriptor: int, path: str) -> bool:
        """Whether an open file is still the one under that name."""
        try:
            with _explained(path):
                return os.path.samestat(os.fstat(descriptor), os.stat(path))
        except FileNotFoundError:
            return False

    def touch(self, path: str, at_ms: int) -> None:
        """Make ``at_ms`` the time at which the file was last changed. Raises FileNotFoundError, StorageError."""
        with _explained(path):
            os.utime(path, ns=(at_ms * 1_000_000, at_ms * 1_000_000), follow_symlinks=False)

    def touch_open(self, descriptor: int, path: str = "") -> None:
        """Make now the time at which an open file was last changed, whatever has its name by now."""
        with _explained(path):
            os.utime(descriptor)

    def changed_at(self, path: str) -> int:
        """When the file was last changed, in ms since the epoch. Raises FileNotFoundError, StorageError."""
        with _explained(path):
            return os.stat(path).st_mtime_ns // 1_000_000

    def size_of(self, path: str) -> int:
        """Bytes of a file, or of all files below a directory; 0 where there is none."""
        try:
            if not os.path.isdir(path):
                return os.stat(path).st_size
            return sum(
                os.stat(os.path.join(parent, name)).st_size for parent, _, names in os.walk(path) for name in names
            )
        except FileNotFoundError:
            return 0

    def space(self, path: str) -> tuple[int, int]:
        """(total, usable) bytes of the file system that ``path`` lies on."""
        with _explained(path):
            found = os.statvfs(path)
        return found.f_frsize * found.f_blocks, found.f_frsize * found.f_bavail

    def list(self, path: str) -> list[str]:
        with _explained(path):
            return os.listdir(path)

    def make_directory(self, path: str, *, parents: bool = True) -> None:
        """Make a directory; one that exists is fine. ``parents``: and those it lies in, where they are missing.
        Without, a missing one raises FileNotFoundError: where a disk was mounted, nothing is written while it is not.
        """
        with _explained(path):
            while True:
                try:
                    if parents:
                        os.makedirs(path, exist_ok=True)
                    elif not os.path.isdir(path):
                        os.mkdir(path)
                    return
                except FileExistsError:
                    if os.path.lexists(path) and not os.path.isdir(path):
                        raise
                    # It was there, and was removed before makedirs saw what it was.

    def make_new_directory(self, path: str) -> bool:
        """Make a directory in one that exists. False if something of that name is there."""
        with _explained(path):
            try:
                os.mkdir(path)
            except FileExistsError:
                return False
        return True

    def remove_empty_directory(self, path: str) -> bool:
        """Remove a directory if it is empty. False where something is in it, it is gone, or it can't be removed."""
        try:
            with _explained(path):
                os.rmdir(path)
        except (FileNotFoundError, StorageError):
            return False
        return True

    def exists(self, path: str) -> bool:
        return os.path.exists(path)

    def is_missing(self, path: str) -> bool:
        """Whether its directory has no such file. Raises FileNotFoundError where the directory can't be seen: a disk
        may go at any moment, and come back, so that a file which can't be opened need not be missing.
        """
        return os.path.basename(path) not in self.list(os.path.dirname(path))

    def may_read(self, path: str) -> bool:
        """Whether what is in this directory can be looked at."""
        return os.access(path, os.R_OK | os.X_OK)

    def may_write(self, path: str) -> bool:
        """Whether files can be made in this directory."""
        return os.access(path, os.W_OK | os.X_OK)

    def not_writable(self, path: str) -> StorageError:
        """The error for who would change a directory that may only be read."""
        with suppress(OSError):  # it is away: then nothing better is known
            if os.statvfs(path).f_flag & os.ST_RDONLY:
                return StorageError(f"{path} may only be read here: its file system is mounted read-only")
        return StorageError(f"{path} may only be read here: {ADVICE[errno.EACCES]}")


def _rest(pieces: Sequence[bytes | memoryview], written: int) -> Sequence[bytes | memoryview]:
    """What is left of ``pieces`` after a short write of ``written`` bytes."""
    for index, piece in enumerate(pieces):
        if written < len(piece):
            return [memoryview(piece)[written:], *pieces[index + 1 :]]
        written -= len(piece)
    return []


ADVICE = {
    errno.EROFS: "it can be read, but not changed",
    errno.EACCES: "check its owner and permissions",
    errno.EPERM: "check its owner and permissions",
    errno.ELOOP: "nothing is written through a symbolic link: remove it",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENOLCK: "it can't be locked: a data directory belongs on a local file system that has locks",
}


class _explained:  # noqa: N801 - it is used as a function; a class costs a third of a generator, a hundred times a command
    """Turn the operating system's errors into ours: one line with the path and what to do next."""

    __slots__ = ("_path",)

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not isinstance(error, OSError) or isinstance(error, FileNotFoundError):
            return
        raise failure(self._path, error) from error


def failure(path: str, error: OSError) -> StorageError:
    """What a user is told of an error of the operating system's, at that file unless the error names another."""
    number = error.errno or 0
    path = error.filename or path
    if number in {errno.ENOSPC, errno.EDQUOT}:
        return no_space(path, os.strerror(number))
    advice = ADVICE.get(number)
    return StorageError(f"{path}: {os.strerror(number)}" + (f": {advice}" if advice else ""))


NEARLY_FULL = 1 << 18
"""Bytes. What is left of a file system that has less may not be enough for a change of the catalogue."""


def is_nearly_full(path: str) -> bool:
    """Whether the file system that a directory lies on has next to no room, or no room for another file."""
    try:
        found = os.statvfs(path)
    except OSError:
        return False  # whoever goes on to use the directory meets the same error, and tells it
    free = found.f_bavail
    if os.geteuid() == 0:  # which may have what is kept for it, but for what ext4 keeps for itself
        free = max(free, found.f_bfree - found.f_blocks // 40)
    return bool(found.f_blocks and free * found.f_frsize < NEARLY_FULL) or bool(found.f_files and not found.f_ffree)


FEW_FILES = 16
"""Inodes that are left where it is they that are lacking: some file systems keep a few for themselves."""


def no_space(path: str, what: str) -> NoSpaceError:
    """The error for a file that could not be made or could not grow, which is ``what``: how full it is, and what
    helps.
    """
    parent = os.path.dirname(os.path.abspath(path))
    while not os.path.exists(parent):
        parent = os.path.dirname(parent)
    left = ""
    with suppress(OSError):
        found = os.statvfs(parent)
        free, total = found.f_frsize * found.f_bavail, found.f_frsize * found.f_blocks
        left = f" ({free:,} of {total:,} bytes are free)"
        if found.f_files and found.f_ffree < FEW_FILES:
            left = f" ({found.f_ffree:,} of {found.f_files:,} inodes are free: it has no room for more files)"
    return NoSpaceError(
        f"{path}: {what}{left}: make room (a lower retention.bytes and pykafka maintain, kafka-delete-records, "
        "kafka-topics --delete) and run it again; what was acknowledged is safe"
    )


def descriptors() -> int:
    """How many files this process may have open at once, as things stand."""
    import resource

    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


@cache
def boot_id() -> bytes:
    """Sixteen bytes that change when the kernel is booted: bytes written under another boot may never have reached
    the disk.

    All zeros where the system does not tell: logs are then verified by every writer that opens them.
    """
    try:
        with open("/proc/sys/kernel/random/boot_id", "rb") as file:
            return bytes.fromhex(file.read().decode().strip().replace("-", ""))
    except (OSError, ValueError):
        pass
    import subprocess

    try:
        text = subprocess.run(
            ["sysctl", "-n", "kern.bootsessionuuid"], capture_output=True, text=True, check=True
        ).stdout
        return bytes.fromhex(text.strip().replace("-", ""))
    except (OSError, ValueError, subprocess.CalledProcessError):
        return bytes(16)


_NETWORK_FILE_SYSTEMS = frozenset(
    [
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "smbfs",
        "afs",
        "ncpfs",
        "9p",
        "ceph",
        "glusterfs",
        "fuse.glusterfs",
        "fuse.sshfs",
        "fuse.s3fs",
        "lustre",
        "gpfs",
        "beegfs",
    ]
)


def network_file_system(path: str, mounts: Callable[[], str] | None = None) -> str | None:
    """The kind of network file system that ``path`` lies on, or None. (/proc/self/mounts; nothing is known
    elsewhere.)
    """
    try:
        if mounts is not None:
            text = mounts()
        else:
            with open("/proc/self/mounts", encoding="utf-8", errors="surrogateescape") as file:
                text = file.read()
    except OSError:
        return None
    real = os.path.realpath(path)
    best, kind = "", None
    for line in text.splitlines():
        _, mount_point, found, *_ = line.split(" ")
        mount_point = mount_point.replace("\\040", " ")
        inside = real == mount_point or real.startswith(mount_point.rstrip("/") + "/")
        if inside and len(mount_point) >= len(best):
            best, kind = mount_point, found
    return kind if kind in _NETWORK_FILE_SYSTEMS else None


def refuse_network_file_system(root: str) -> None:
    """Raises StorageError for a data directory whose locks can't be trusted, unless the user insists."""
    if os.environ.get("PYKAFKA_ALLOW_NETWORK_FS") == "1":
        return
    kind = network_file_system(root)
    if kind:
        raise StorageError(
            f"{root} lies on a network file system ({kind}), where locks can't be trusted: use a local "
            "disk, or set PYKAFKA_ALLOW_NETWORK_FS=1 if only one host uses it"
        )
