"""Whether the hot modules are compiled, of which this is one: they are all together or not at all."""

from __future__ import annotations

from typing import Final

COMPILED: Final = not str(__file__).endswith(".py")
"""Where they are, a loop over records is the fastest way, and where they are not, what does without one."""
