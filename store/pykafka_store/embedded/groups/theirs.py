"""Names of assignors by which the members of a group assign each other, where the tables keep those of the engine's.

They are none that the engine has, be the name the same or not. So nobody can join such a group to whom the engine would
have to give something: its members would give that to each other.
"""

from __future__ import annotations

_PREFIX = "theirs:"


def theirs(name: str) -> str:
    """The name that the tables have."""
    return f"{_PREFIX}{name}"


def name_of(assignor: str) -> str:
    """The name that members know an assignor of the tables by, whoever assigns by it."""
    return assignor.removeprefix(_PREFIX)
