"""How much of what a fault may strike at a run tries, where there is more of it than a run has time for.

A usual run takes a part, and the run's seed, which pytest-randomly prints, says which; ``PYKAFKA_SWEEP=all`` takes all.
"""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from typing import Final, TypeVar

T = TypeVar("T")

ALL: Final = os.environ.get("PYKAFKA_SWEEP") == "all"


def stride(usual: int) -> int:
    """From one that is tried to the next."""
    return 1 if ALL else usual


def one_of(each: Sequence[T]) -> Sequence[T]:
    """One of several that hardly differ, or all of them."""
    return each if ALL else [random.choice(each)]


def examples(all_of_them: int, usual: int) -> int:
    """How many examples hypothesis makes."""
    return all_of_them if ALL else usual
