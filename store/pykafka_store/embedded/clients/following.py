"""Waiting for what others write: a consumer that has nothing to read is told of an append, and of changed tables.

Watched are the published state of each partition that is read, which an append overwrites last, and the data directory
itself, in which SQLite's files are. Where too much would have to be watched, or can't be, it is a poll: 1 ms after
something came, growing to 20 ms while nothing does.

No wake-up is lost: ``wait`` returns at once where it has begun to watch something, so that its caller looks once more
before it waits. It also returns after ``LOOK`` without being told anything, and then watches by name again: the file
that has the name may be another by now.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from pykafka_store.embedded.clock import Clock
from pykafka_store.embedded.layout import CATALOG_FILE, GROUPS_FILE

if TYPE_CHECKING:
    from pykafka_store.watching import Watcher

BUSY_POLL = 0.001
IDLE_POLL = 0.020
"""Seconds between looks at the published states: the first right after records came, the second when none have for a
while.
"""

LOOK = 1.0
"""Seconds after which a look is due even if nothing is told."""

_FIRST_ECHO, _LAST_ECHO = 0.002, 10.0
"""Seconds after SQLite's files were written until they are looked at again, and once more, each time eight times as
long: a writer fills the WAL first, of which one is told, and then says so in shared memory, of which nobody is. Only
then is there anything to see, and between the two it may have lost its processor.
"""

_WORTH_WATCHING = 0.05
"""Waits that are shorter than this are slept through."""

_MOST_WATCHED = 1024
"""Partitions: the limit of watches is the user's, for all processes (fs.inotify.max_user_watches, 8192 at least)."""


class Following:
    """The waits of one consumer over a data directory."""

    def __init__(self, root: str, clock: Clock) -> None:
        self._root = root
        self._clock = clock
        self._pause = BUSY_POLL
        self._watcher: Watcher | None = None
        self._paths: frozenset[str] = frozenset()
        """What is watched."""
        self._all_watched = True
        """Whether all that was to be watched could be, the last time that it was tried."""
        self._tried = False
        self._last_look = 0.0
        self._echo = 0.0
        """Seconds until the next look at SQLite's files that somebody wrote; none is due where it is 0."""
        self._echoed = 0.0
        """When they were written, or looked at for the last time since."""
        self.catalogue_moved = self.groups_moved = False
        """Whether SQLite's files were written since somebody set these to False. Where nothing is told they stay so."""

    def came(self) -> None:
        """There was something to read."""
        self._pause = BUSY_POLL

    def wait(self, seconds: float, states: Iterable[str], count: int) -> None:
        """Wait ``seconds``, or less: until something has changed, as far as anybody can tell. ``states`` are the paths
        of the ``count`` published states that matter.
        """
        if seconds < _WORTH_WATCHING or count > _MOST_WATCHED or not self._can_watch():
            self._sleep(seconds)
            return
        now = self._clock.monotonic()
        due = now - self._last_look >= LOOK
        paths = frozenset(states)
        if due or (paths != self._paths and self._all_watched):
            self._last_look = now
            self._all_watched = self._watch(paths)
            if self._all_watched:
                return
        if not self._all_watched:
            self._sleep(seconds)
            return
        assert self._watcher is not None
        until = self._last_look + LOOK
        if self._echo:
            until = min(until, self._echoed + self._echo)
        self._clock.wait(min(seconds, max(0.0, until - now)), self._watcher.descriptor)
        self._note(self._watcher)
        self._look_at_tables_again()

    def _can_watch(self) -> bool:
        if not self._tried:
            self._tried = True
            from pykafka_store.watching import Watcher, tells

            # A clock that a test holds still passes by its sleeps alone.
            if type(self._clock) is Clock and tells(self._root):
                self._watcher = Watcher()
        return self._watcher is not None and self._watcher.descriptor >= 0

    def _watch(self, paths: frozenset[str]) -> bool:
        """Watch these and the data directory; False where one of them can't be."""
        assert self._watcher is not None
        for path in self._paths - paths:
            self._watcher.forget(path)
        self._paths = paths
        return all(self._watcher.watch(path, path) for path in (self._root, *paths))

    def _look_at_tables_again(self) -> None:
        """Where an echo is due."""
        now = self._clock.monotonic()
        if self._echo and now >= self._echoed + self._echo:
            self.catalogue_moved = self.groups_moved = True
            self._echoed = now
            self._echo = self._echo * 8 if self._echo * 8 <= _LAST_ECHO else 0.0

    def _note(self, watcher: Watcher) -> None:
        changed = watcher.changed()
        if any(isinstance(key, tuple) and key[1].startswith((CATALOG_FILE, GROUPS_FILE)) for key in changed):
            self._echo, self._echoed = _FIRST_ECHO, self._clock.monotonic()
        for key in changed:
            if isinstance(key, tuple):
                self.catalogue_moved |= key[1].startswith(CATALOG_FILE)
                self.groups_moved |= key[1].startswith(GROUPS_FILE)
            elif key == self._root:
                self.catalogue_moved = self.groups_moved = True  # more happened than could be noted
        if not changed.isdisjoint(self._paths):
            self._pause = BUSY_POLL
        elif changed:
            self._clock.sleep(BUSY_POLL)  # a busy neighbour is not followed step by step

    def _sleep(self, seconds: float) -> None:
        self._clock.sleep(min(self._pause, seconds))
        self._pause = min(self._pause * 1.5, IDLE_POLL)

    def close(self) -> None:
        if self._watcher is not None:
            self._watcher.close()
