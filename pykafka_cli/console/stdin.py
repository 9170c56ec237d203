"""Standard input as lines, a chunk at a time. ``records_in`` makes records of them.

Bytes pass through unchanged.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select

CHUNK_SIZE = 1 << 20


class LineTooLongError(Exception):
    """A line too long to be held. It was skipped: reading can go on behind it."""

    def __init__(self, number: int, size: int, limit: int) -> None:
        super().__init__(
            f"Line number {number} is {size} bytes long. Lines are read up to {limit} bytes, which follows from "
            "max.request.size."
        )
        self.number = number
        self.size = size


class Lines:
    """The lines of a descriptor, split where BufferedReader.readLine splits: at ``\\n``, ``\\r`` and ``\\r\\n``.

    Works on chunks: ``read`` returns every whole line that has arrived, so that a million lines cost a hundred steps
    and a slow pipe is still served at once. Memory is bounded by a chunk, by ``at_once`` lines, for short lines cost
    by their number, and by ``limit``: a line above that many bytes is never held.
    """

    def __init__(self, descriptor: int, limit: int, at_once: int) -> None:
        self._descriptor = descriptor
        self._limit = limit
        self._at_once = at_once
        self._text = b""
        """Whole lines that were read and not returned yet, each with a ``\\n`` behind it."""
        self._unfinished = bytearray()
        """The beginning of a line whose end has not come."""
        self._skipped = 0
        """Bytes of a line above the limit that were dropped so far; 0 if the line at hand is not one."""
        self._split_line_end = False
        """Whether the last chunk ended in a ``\\r``: a ``\\n`` that follows belongs to it."""
        self._ended = False
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)
        self._closing = select.poll()
        self._closing.register(descriptor, 0)
        """Tells only that the other end has closed a pipe."""
        self.first = 1
        """The number of the first line that the last ``read`` returned, counted from 1."""
        self._next = 1
        self.bytes_read = 0

    def read(self) -> list[bytes]:
        """The next whole lines, as soon as there is one; [] at the end of the input.

        Raises LineTooLongError in place of a line above the limit, once its end has come; the next call goes on.
        """
        self._wait()
        self.first = self._next
        lines = self._text.split(b"\n", self._at_once)
        self._text = lines.pop()
        self._next += len(lines)
        return lines

    def read_text(self) -> bytes:
        """As ``read``, but all the lines that have arrived in one piece, each with a ``\\n`` behind it. Whoever cuts
        them tells ``passed`` how many there were.
        """
        self._wait()
        self.first = self._next
        text, self._text = self._text, b""
        return text

    def passed(self, count: int) -> None:
        """So many lines of a text were records: the number of the next one."""
        self._next += count

    def _wait(self) -> None:
        while not (self._text or self._ended):
            self._receive(self._chunk())

    def more_is_waiting(self) -> bool:
        """Whether ``read`` would return without waiting for the other end of a pipe or a terminal."""
        return bool(self._text or self._ended or self._poll.poll(0))

    def wait_for_more(self) -> None:
        """Wait until ``read`` would return without waiting."""
        self._poll.poll()

    def let_gather(self, seconds: float) -> None:
        """Leave the other end of a pipe so much time to write more, unless it has closed it."""
        self._closing.poll(seconds * 1000)

    def at_line_start(self) -> bool:
        """Whether nothing of the next line has been read yet."""
        return not (self._unfinished or self._skipped or self._text)

    def _chunk(self) -> bytes:
        while True:
            try:
                return os.read(self._descriptor, CHUNK_SIZE)
            except BlockingIOError:  # the descriptor was opened not to wait
                self._poll.poll()

    def _receive(self, chunk: bytes) -> None:
        if not chunk:
            self._end()
            return
        self.bytes_read += len(chunk)
        if self._split_line_end and chunk.startswith(b"\n"):
            chunk = chunk[1:]
        self._split_line_end = chunk.endswith(b"\r")
        if b"\r" in chunk:
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        end = chunk.rfind(b"\n") + 1
        if not end:
            self._keep(chunk)
            return
        refusal, begin = None, 0
        if self._skipped:
            begin = chunk.index(b"\n") + 1
            refusal = self._refusal(chunk[: begin - 1])
        self._text = b"".join((self._unfinished, memoryview(chunk)[begin:end]))
        self._unfinished.clear()
        self._keep(chunk[end:])
        if refusal:
            raise refusal

    def _keep(self, piece: bytes) -> None:
        """Hold the beginning of a line, or just count it if the line is above the limit."""
        if self._skipped:
            self._skipped += len(piece)
            return
        self._unfinished += piece
        if len(self._unfinished) > self._limit:
            self._skipped = len(self._unfinished)
            self._unfinished.clear()

    def _end(self) -> None:
        self._ended = True
        if self._skipped:
            raise self._refusal(b"")
        if self._unfinished:
            self._text = bytes(self._unfinished) + b"\n"
            self._unfinished.clear()

    def _refusal(self, last_piece: bytes) -> LineTooLongError:
        """The end of a line above the limit has come."""
        size, self._skipped = self._skipped + len(last_piece), 0
        number = self._next
        self._next += 1
        return LineTooLongError(number, size, self._limit)


def enlarge_pipe(descriptor: int) -> None:
    """Make a pipe as large as a chunk, where the system lets us: fewer, larger reads. Nothing depends on it."""
    if not hasattr(fcntl, "F_SETPIPE_SZ"):
        return  # not Linux
    # Refused where it is no pipe, or where the user's pipes may not be as large.
    with contextlib.suppress(OSError):
        fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, CHUNK_SIZE)
