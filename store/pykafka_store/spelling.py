"""A name that was probably meant, for one that nothing has."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import islice

LIKE_ENOUGH = 0.75
"""How alike two names must be, from 0 to 1, by difflib.SequenceMatcher: ``tpoic`` and ``topic`` are by 0.8."""
LOOKED_AT = 10_000
"""The most names that are compared, for a comparison takes some 10 µs."""


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The name among those known that is most like a word, whatever the case; None where none is like enough.

    Names that differ in their digits only are no misspellings of each other: orders-1 is there, orders-2 is not.
    """
    from difflib import get_close_matches

    bare = _without_digits(word)
    names = {name.lower(): name for name in islice(known, LOOKED_AT) if name == word or _without_digits(name) != bare}
    found = get_close_matches(word.lower(), names, n=1, cutoff=LIKE_ENOUGH)
    return names[found[0]] if found else None


def _without_digits(name: str) -> str:
    return re.sub(r"[0-9]+", "", name).rstrip("-_.")
