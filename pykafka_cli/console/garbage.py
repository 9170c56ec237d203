"""How often Python looks for objects that refer to each other in circles."""

from __future__ import annotations

import gc

_OBJECTS = 1 << 18


def collect_rarely() -> None:
    """Have it look once in a quarter of a million objects, not in 700: a chunk of records is tens of thousands, which
    live and go together, and none of them is in a circle. The looks were a sixth of the time of records with headers.
    """
    gc.set_threshold(_OBJECTS)
