"""What is said of a thing done unasked, by whichever engine did it."""

from __future__ import annotations

from collections.abc import Callable


def topic_made(name: str, partitions: int) -> str:
    """A topic was made because it was used."""
    return f"Topic {name} did not exist and was created with {partitions} partition{'' if partitions == 1 else 's'}"


class Waiting:
    """Tells what is waited for, once until that is over."""

    def __init__(self, on_notice: Callable[[str], None]) -> None:
        self._notice = on_notice
        self.is_on = False

    def begin(self, error: Exception) -> None:
        """Because of this."""
        if not self.is_on:
            self.is_on = True
            self._notice(f"{error}: waiting for it")

    def end(self) -> None:
        self.is_on = False
