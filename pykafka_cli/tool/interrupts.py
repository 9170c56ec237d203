"""An end that is asked for by a signal, for the commands of ours that go on until then."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Self

from pykafka_cli.errors import ENDS, heard_ends, is_the_same_wish


class Interrupts:
    """Ctrl-C, SIGTERM and SIGHUP ask for an end, which is a tidy one; asked twice, it is at once."""

    def __init__(self, on_first: Callable[[], object]) -> None:
        self._on_first = on_first
        self._kind: type[KeyboardInterrupt] | None = None
        self._before: dict[int, object] = {}

    @property
    def came(self) -> bool:
        return self._kind is not None

    def __enter__(self) -> Self:
        for number in heard_ends():
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if is_the_same_wish():
            return
        if self._kind is not None:
            raise ENDS[number]
        self._kind = ENDS[number]
        self._on_first()

    def end(self) -> None:
        """Go the way that the interrupt asked for."""
        if self._kind is not None:
            raise self._kind
