"""Lines of a descriptor, as they arrive."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykafka_cli.console.stdin import Lines, LineTooLongError, enlarge_pipe

MIB = 1 << 20


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    for descriptor in (reading, writing):
        try:
            os.close(descriptor)
        except OSError:
            continue  # the test closed it


def read_line(data: bytes) -> list[bytes]:
    """What BufferedReader.readLine makes of all the data, the slow and plain way."""
    parts = re.split(rb"\r\n|\r|\n", data)
    if parts[-1] == b"":
        parts.pop()
    return parts


def lines_in_pieces(pieces: list[bytes], at_once: int = 1000) -> list[bytes]:
    """All lines, when the pieces are read one by one."""
    left = iter(pieces)
    lines, found = Lines(0, MIB, at_once), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "read", lambda descriptor, size: next(left, b""))
        while some := lines.read():
            assert len(some) <= at_once
            found += some
    return found


@given(
    pieces=st.lists(st.text("ab\r\n", min_size=1, max_size=8).map(str.encode), max_size=8),
    at_once=st.integers(1, 4),
)
def test_lines_do_not_depend_on_how_the_bytes_arrive(pieces: list[bytes], at_once: int) -> None:
    assert lines_in_pieces(pieces, at_once=at_once) == read_line(b"".join(pieces))


def test_a_line_end_split_between_two_chunks_ends_one_line() -> None:
    assert lines_in_pieces([b"a\r", b"\nb\r", b"\r\n", b"\r", b"c"]) == [b"a", b"b", b"", b"", b"c"]


def test_a_carriage_return_ends_a_line_at_once(pipe: tuple[int, int]) -> None:
    """The next chunk need not come first to tell whether a newline follows."""
    lines = Lines(pipe[0], MIB, 100)
    os.write(pipe[1], b"a\rb")
    assert lines.read() == [b"a"]
    os.write(pipe[1], b"c\r")
    assert lines.read() == [b"bc"]
    os.write(pipe[1], b"\nd\n")
    assert lines.read() == [b"d"]


def test_a_descriptor_that_does_not_block_is_waited_for(pipe: tuple[int, int]) -> None:
    os.set_blocking(pipe[0], False)
    lines = Lines(pipe[0], MIB, 100)
    writer = threading.Thread(target=os.write, args=(pipe[1], b"late\n"))
    reads: list[int] = []

    def read(descriptor: int, size: int) -> bytes:
        reads.append(descriptor)
        if len(reads) == 1:
            with pytest.raises(BlockingIOError):
                os_read(descriptor, size)
            writer.start()
            raise BlockingIOError
        return os_read(descriptor, size)

    os_read = os.read
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "read", read)
        assert lines.read() == [b"late"]
    writer.join()
    assert len(reads) == 2


def test_bytes_pass_through_unchanged() -> None:
    data = bytes(byte for byte in range(256) if byte not in b"\r\n")
    assert lines_in_pieces([data + b"\n\x85\xe2\x80\xa8\n"]) == [data, b"\x85\xe2\x80\xa8"]


def test_the_first_line_of_a_read_is_numbered(pipe: tuple[int, int]) -> None:
    lines = Lines(pipe[0], MIB, 2)
    os.write(pipe[1], b"1\n2\n3\n4\n5\n6")
    os.close(pipe[1])
    numbered = []
    while some := lines.read():
        numbered.append((lines.first, some))
    assert numbered == [(1, [b"1", b"2"]), (3, [b"3", b"4"]), (5, [b"5"]), (6, [b"6"])]
    assert lines.bytes_read == 11


def test_whether_more_is_waiting(pipe: tuple[int, int]) -> None:
    lines = Lines(pipe[0], MIB, 1)
    os.write(pipe[1], b"a\nb\nc")
    assert lines.more_is_waiting()
    assert (lines.read(), lines.more_is_waiting()) == ([b"a"], True)
    assert (lines.read(), lines.more_is_waiting()) == ([b"b"], False)
    assert not lines.at_line_start()
    os.close(pipe[1])
    assert lines.more_is_waiting()
    assert (lines.read(), lines.read()) == ([b"c"], [])
    assert lines.at_line_start()


def test_nobody_is_left_time_who_has_closed_the_pipe(pipe: tuple[int, int]) -> None:
    lines = Lines(pipe[0], MIB, 1)
    os.write(pipe[1], b"a\nb\n")
    lines.wait_for_more()
    lines.let_gather(0.001)  # what is there already is no reason to stop waiting, nor to wait longer
    os.close(pipe[1])
    lines.let_gather(10 * 60)
    lines.wait_for_more()
    assert [lines.read(), lines.read(), lines.read()] == [[b"a"], [b"b"], []]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""])
def test_a_line_above_the_limit_is_told_and_skipped(pipe: tuple[int, int], end: bytes) -> None:
    lines = Lines(pipe[0], 10, 100)
    os.write(pipe[1], b"a\n")
    assert lines.read() == [b"a"]
    for _ in range(5):
        os.write(pipe[1], b"x" * 100)
        lines._receive(os.read(pipe[0], MIB))
        assert len(lines._unfinished) <= 10
    os.write(pipe[1], b"x" + (end + b"b\n" if end else b""))
    os.close(pipe[1])
    with pytest.raises(
        LineTooLongError, match=r"^Line number 2 is 501 bytes long\. Lines are read up to 10 bytes"
    ) as told:
        lines.read()
    assert (told.value.number, told.value.size) == (2, 501)
    if end:
        assert (lines.read(), lines.first) == ([b"b"], 3)
    assert lines.read() == []


def test_short_lines_are_taken_some_at_a_time(pipe: tuple[int, int]) -> None:
    lines = Lines(pipe[0], MIB, 3)
    os.write(pipe[1], b"\n" * 10)
    os.close(pipe[1])
    sizes = []
    while some := lines.read():
        sizes.append(len(some))
    assert sizes == [3, 3, 3, 1]


def test_enlarging_what_is_no_pipe_does_nothing() -> None:
    with open(os.devnull, "rb") as file:
        enlarge_pipe(file.fileno())
