"""Contexts that let go of what they hold, whatever a signal strikes.

A handler's exception, Ctrl-C's above all, may come out of any instruction at which CPython looks for signals, and that
is behind each call and at the beginning of each function of Python's: so also at the first step of a context's
``__exit__``, before it has done anything. ``contextlib.contextmanager`` has such an ``__exit__``: struck there, it
never resumes its generator, and what that one holds stays held until somebody collects it.

What is written in C is not struck at its beginning. So a context made by :func:`holding` has the ``__exit__`` of
``io.IOBase``, which is in C and calls ``close``; and that is the ``close`` of the generator, which is in C too and
raises GeneratorExit where the generator waits. What must hold in the generator:

- What lets go stands in a ``finally``, and the first call in that is of a function of C: ``fcntl.flock``, a lock's
  ``release``. What must happen besides stands in a ``finally`` of its own, or in a ``with`` around it.
- What is got stands within the ``try`` already: a signal may come out of a call that has succeeded.
- Errors of the body are not seen in it: this is for what is let go of in one way, however the body ends.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from io import IOBase
from typing import Any, ParamSpec, TypeVar, cast

ParametersT = ParamSpec("ParametersT")
ValueT = TypeVar("ValueT")


class _Held(IOBase):
    """A generator that has got something by its ``yield``, and lets go of it when it is closed."""

    __slots__ = ("_steps", "close")
    closed = True  # for IOBase's destructor, which would close it once more

    def __init__(self, steps: Generator[Any, None, None]) -> None:
        self._steps = steps
        self.close = steps.close  # type: ignore[method-assign]  # no function of Python's comes in between

    def __enter__(self) -> Any:  # what is got: it is no file
        try:
            value = next(self._steps)
        except BaseException:
            self._steps.close()
            raise
        return value


def holding(
    steps: Callable[ParametersT, Generator[ValueT, None, None]],
) -> Callable[ParametersT, AbstractContextManager[ValueT]]:
    """A function of contexts from a generator function, as by ``contextlib.contextmanager``; see above."""

    @functools.wraps(steps)
    def context(*arguments: ParametersT.args, **named: ParametersT.kwargs) -> AbstractContextManager[ValueT]:
        return cast("AbstractContextManager[ValueT]", _Held(steps(*arguments, **named)))

    return context
