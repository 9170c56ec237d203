"""A signal's exception may come out of any instruction at which CPython looks for signals: whatever it strikes, a lock
is let go of, here and for other processes, and none is in the way of a later one.
"""

from __future__ import annotations

import dis
import fcntl
import gc
import os
import random
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import pykafka_store.embedded.turns  # noqa: F401
from pykafka_store.embedded.clock import Clock
from pykafka_store.embedded.disk import Disk
from pykafka_store.embedded.groups.leases import Lease
from pykafka_store.embedded.locks import Locks, SharedLocks
from pykafka_store.holding import holding

TOPIC_ID = "0123456789abcdefghijkA"
LOOKS = {"CALL", "CALL_FUNCTION_EX", "CALL_KW", "JUMP_BACKWARD", "RESUME"}
"""Behind these CPython looks for signals; not between two others, above all not between a call of ``__enter__`` and the
first instruction of the ``with``'s body.
"""

STRUCK = "pykafka_store", "contextlib"
"""Whose code is struck: not that of collectors, whose errors Python ignores, nor of the tests' own."""

Take = Callable[[Locks], AbstractContextManager[object]]

TAKES: dict[str, Take] = {
    "cluster": lambda locks: locks.cluster(),
    "partition": lambda locks: locks.partition(TOPIC_ID, 0),
    "upkeep": lambda locks: locks.upkeep(TOPIC_ID, 0),
}


class Striking:
    """Raise KeyboardInterrupt the ``at``-th time that CPython might."""

    def __init__(self, at: int) -> None:
        self._left = at
        self._behind: dict[FrameType, str] = {}
        self.struck = False

    def __enter__(self) -> Striking:
        sys.settrace(self._trace)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)

    def _trace(self, frame: FrameType, event: str, _argument: Any) -> Any:
        if not any(each in frame.f_code.co_filename for each in STRUCK):
            return None
        frame.f_trace_opcodes = True
        operation = dis.opname[frame.f_code.co_code[frame.f_lasti]]
        if event == "call" and operation == "RESUME":
            self._maybe()
        elif event == "opcode":
            if self._behind.get(frame) in LOOKS:
                self._maybe()
            self._behind[frame] = operation
        elif event in ("exception", "return"):
            self._behind.pop(frame, None)
        return self._trace

    def _maybe(self) -> None:
        self._left -= 1
        if self._left < 0 and not self.struck:
            self.struck = True
            raise KeyboardInterrupt


def strikes(act: Callable[[Striking], None]) -> Iterator[BaseException]:
    """What ``act`` ends in, struck once at each place in turn, until there is none left."""
    at = 0
    while True:
        striking = Striking(at)
        try:
            act(striking)
        except KeyboardInterrupt as error:  # kept, and with it all frames that it came through
            yield error
        assert striking.struck or at > 0
        if not striking.struck:
            return
        at += 1


def is_free(path: Path) -> bool:
    """For other processes: a lock belongs to an open file, and this is another one."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        return True
    finally:
        os.close(descriptor)


def becomes_free(path: Path) -> bool:
    """A thread that waited in the kernel, and was given up just now, lets go as soon as the lock falls to it."""

    def wait() -> None:
        with path.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)

    waiter = threading.Thread(target=wait, daemon=True)
    waiter.start()
    waiter.join(30)
    return not waiter.is_alive()


def require_free(locks: Locks, directory: Path, free: Callable[[Path], bool] = is_free) -> None:
    """All locks are free for others, and can be taken in their order by this thread and by another one."""
    assert {path.name for path in directory.iterdir() if not free(path)} == set()

    def take_all() -> None:
        with locks.cluster(), locks.upkeep(TOPIC_ID, 0) as ours, locks.partition(TOPIC_ID, 0):
            took.append(ours)

    took: list[object] = []
    take_all()
    other = threading.Thread(target=take_all, daemon=True)
    other.start()
    other.join(30)
    assert took == [True, True]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    path = tmp_path / "locks"
    path.mkdir()
    return path


@pytest.fixture
def swept(directory: Path) -> Iterator[None]:
    """A signal that comes out of an open takes the descriptor's number along: a few of those are nobody's. Not for a
    test with threads that close descriptors themselves.
    """
    yield
    for name in os.listdir("/proc/self/fd") if sys.platform == "linux" else ():
        with suppress(OSError):  # the one with which this is listed
            if os.readlink(f"/proc/self/fd/{name}").startswith(f"{directory}/"):
                os.close(int(name))


@pytest.fixture
def locks(directory: Path) -> Iterator[Locks]:
    locks = Locks(str(directory), Disk(), Clock())
    yield locks
    locks.close()


@pytest.mark.parametrize("kind", TAKES)
def test_a_lock_that_is_struck_is_let_go_of(directory: Path, locks: Locks, kind: str) -> None:
    def act(striking: Striking) -> None:
        with striking, TAKES[kind](locks):
            pass

    struck = 0
    for _error in strikes(act):
        require_free(locks, directory)
        struck += 1
    assert struck > 10


def test_locks_within_locks_are_let_go_of(directory: Path, locks: Locks) -> None:
    """Also where another error is on its way already."""

    def act(striking: Striking) -> None:
        with suppress(ZeroDivisionError), striking, locks.cluster(), locks.partition(TOPIC_ID, 0):
            raise ZeroDivisionError

    for _error in strikes(act):
        require_free(locks, directory)


def test_a_lock_that_is_waited_for_is_let_go_of(directory: Path) -> None:
    """Its holder lets go when the wait in the kernel has begun."""
    path = directory / "cluster.lock"

    class Releasing(Disk):
        def changed_at(self, path: str) -> int:
            while held:
                os.close(held.pop())
            return super().changed_at(path)

    class Hasty(Clock):
        def sleep(self, seconds: float) -> None:
            pass

    held: list[int] = []
    locks = Locks(str(directory), Releasing(), Hasty())

    def act(striking: Striking) -> None:
        held.append(os.open(path, os.O_RDWR | os.O_CREAT))
        fcntl.flock(held[0], fcntl.LOCK_EX)
        with striking, locks.cluster():
            pass

    waited = False
    for error in strikes(act):
        waited = waited or any(frame.name == "_wait_for" for frame in traceback.extract_tb(error.__traceback__))
        while held:  # struck before the wait began
            os.close(held.pop())
        require_free(locks, directory, free=becomes_free)
    locks.close()
    assert waited


@pytest.mark.usefixtures("swept")
def test_a_lock_that_is_shared_is_let_go_of(directory: Path) -> None:
    assert is_free(directory / "cluster.lock")  # it is there
    locks = SharedLocks(str(directory), Disk(), Clock())

    def act(striking: Striking) -> None:
        with striking, locks.cluster() as free:
            assert free

    for _error in strikes(act):
        assert is_free(directory / "cluster.lock")


@pytest.mark.usefixtures("swept")
def test_a_lock_that_is_to_be_kept_is_kept_or_let_go_of(directory: Path) -> None:
    path = directory / "server.lock"

    def act(striking: Striking) -> None:
        with striking:
            assert locks.keep("server")

    locks = Locks(str(directory), Disk(), Clock())
    for _error in strikes(act):
        locks.close()
        assert is_free(path)
        locks = Locks(str(directory), Disk(), Clock())
    locks.close()


def test_signals_at_random_leave_no_lock_held(directory: Path, locks: Locks) -> None:
    """The real thing: it strikes where CPython looks, and not where the tests above believe that it does."""
    chance = random.Random(11)

    def strike(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, strike)
    gc.disable()  # Python ignores what strikes a collector's callback, and hypothesis has one
    try:
        struck = 0
        while struck < 1000:
            with suppress(KeyboardInterrupt):
                signal.setitimer(signal.ITIMER_REAL, chance.uniform(0.00001, 0.0003))
                for _ in range(100_000):
                    with locks.cluster(), locks.upkeep(TOPIC_ID, 0), locks.partition(TOPIC_ID, 0):
                        pass
                raise AssertionError("a signal's exception was lost")
            struck += 1
            if struck % 50 == 0:
                require_free(locks, directory)
            else:
                assert is_free(directory / "cluster.lock")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        gc.enable()


def test_what_is_held_is_told_of_errors_of_its_own(directory: Path) -> None:
    """``holding`` lets go at the end of the body, and as well where what comes before the body fails."""
    said: list[str] = []

    @holding
    def held(*, fails: bool) -> Iterator[str]:
        try:
            if fails:
                raise ZeroDivisionError
            yield "value"
        finally:
            said.append("let go")

    with held(fails=False) as value:
        said.append(value)
    with pytest.raises(ZeroDivisionError), held(fails=True):
        said.append("never")
    with pytest.raises(KeyError), held(fails=False):
        raise KeyError
    assert said == ["value", "let go", "let go", "let go"]


@pytest.mark.usefixtures("swept")
def test_a_lease_that_is_struck_while_it_is_made_or_released_is_not_held(directory: Path) -> None:
    """Whoever is struck at the first step of ``release`` calls it again, as ``close`` does."""

    def act(striking: Striking) -> None:
        lease = None
        try:
            with striking:
                lease = Lease(Disk(), str(directory), "member", 60, 60)
                lease.release()
                lease = None
        finally:
            if lease is not None:
                lease.release()

    for _error in strikes(act):
        assert all(is_free(path) for path in directory.iterdir())
        for path in directory.iterdir():
            path.unlink()
