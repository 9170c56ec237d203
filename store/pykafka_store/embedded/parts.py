"""How an admin or a cluster is composed: each of its methods is one of a part's, and parts are imported when needed.

Every command opens a cluster, and most use one or two methods of it: so a part's module is imported, and the part made,
when one of its methods is asked for. A part has no state but the engine.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from typing import Protocol

    from pykafka_store.embedded.engine import Engine

    class Whole(Protocol):
        engine: Engine


PartT = TypeVar("PartT")
MethodT = TypeVar("MethodT")


class Method(Generic[PartT, MethodT]):
    """A method of the whole that is one of a part's."""

    def __init__(self, make: Callable[[Engine], PartT], choose: Callable[[PartT], MethodT]) -> None:
        self._make = make
        self._choose = choose

    def __get__(self, whole: Whole, kind: type[Whole]) -> MethodT:
        return self._choose(self._make(whole.engine))


class Part(Generic[PartT]):
    """A part of a whole: ``make`` imports its module."""

    def __init__(self, make: Callable[[Engine], PartT]) -> None:
        self._make = make

    def method(self, choose: Callable[[PartT], MethodT]) -> Method[PartT, MethodT]:
        return Method(self._make, choose)
