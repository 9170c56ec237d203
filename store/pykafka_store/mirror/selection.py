"""Which topics and groups a mirror is to copy."""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import blake2b
from typing import NamedTuple


class Selection(NamedTuple):
    """What is to be mirrored."""

    topics: Sequence[str] = ()
    pattern: re.Pattern[str] | None = None
    """All topics whose whole name matches, but for internal ones."""
    groups: Sequence[str] = ()
    group_pattern: re.Pattern[str] | None = None
    prefix: str = ""
    """What the topics' names at the target begin with."""

    def digest(self) -> str:
        """What is the same whenever the same topics are selected."""
        words = repr((sorted(self.topics), self.pattern and self.pattern.pattern, self.prefix))
        return blake2b(words.encode(), digest_size=8).hexdigest()
