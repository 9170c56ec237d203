"""What is said of a thing done unasked, by whichever engine did it."""

from __future__ import annotations


def topic_made(name: str, partitions: int) -> str:
    """A topic was made because it was used."""
    return f"Topic {name} did not exist and was created with {partitions} partition{'' if partitions == 1 else 's'}"
