"""Feature flags of a cluster (KIP-584): which levels a broker of Kafka 4.3 supports, and which a release brings.

Source: MetadataVersion, Feature and the enumerations of each feature in org.apache.kafka.server.common of 4.3.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import IntEnum
from typing import NamedTuple

METADATA_VERSION = "metadata.version"
KRAFT_VERSION = "kraft.version"

_VERSIONS = {
    "3.3": (3, 3), "3.4": (0, 0), "3.5": (0, 2), "3.6": (0, 2), "3.7": (0, 4), "3.8": (0, 0), "3.9": (0, 0),
    "4.0": (0, 3), "4.1": (0, 1), "4.2": (0, 1), "4.3": (0, 0), "4.4": (0, 0),
}  # fmt: skip
"""Release -> the first and the last number behind its ``IV``."""

_FIRST_LEVEL = 7

METADATA_LEVELS: dict[str, int] = {
    name: level
    for level, name in enumerate(
        (f"{release}-IV{number}" for release, (first, last) in _VERSIONS.items() for number in range(first, last + 1)),
        start=_FIRST_LEVEL,
    )
}
"""Every version of the metadata that 4.3 knows by name, oldest first: ``3.3-IV3`` is 7. The last is not for use yet."""

LATEST = "4.3-IV0"
"""The last that is for use."""

SUPPORTED: dict[str, tuple[int, int]] = {
    METADATA_VERSION: (_FIRST_LEVEL, METADATA_LEVELS[LATEST]),
    KRAFT_VERSION: (0, 1),
    "transaction.version": (0, 2),
    "group.version": (0, 1),
    "eligible.leader.replicas.version": (0, 1),
    "share.version": (0, 1),
    "streams.version": (0, 1),
}
"""Feature -> the lowest and the highest level of a broker of 4.3, in the order in which its tools list them."""

_SINCE = {
    KRAFT_VERSION: ("3.9-IV0", 1),
    "transaction.version": ("4.0-IV2", 2),
    "group.version": ("4.0-IV0", 1),
    "eligible.leader.replicas.version": ("4.1-IV0", 1),
    "share.version": ("4.2-IV0", 1),
    "streams.version": ("4.2-IV1", 1),
}
"""Feature -> the first version of the metadata that brings it, and the level that it brings."""

DEPENDENCIES = {("eligible.leader.replicas.version", 1): (METADATA_VERSION, METADATA_LEVELS["4.0-IV1"])}
"""What a feature's level requires of another feature; of all that there are, this one requires anything."""


class UpgradeType(IntEnum):
    """What a request means to do with a level. Source: FeatureUpdate.UpgradeType."""

    UPGRADE = 1
    SAFE_DOWNGRADE = 2
    UNSAFE_DOWNGRADE = 3


class FeatureUpdate(NamedTuple):
    level: int
    """0 takes the feature out of use."""
    kind: UpgradeType


class FeatureMetadata(NamedTuple):
    supported: Mapping[str, tuple[int, int]]
    """Feature -> the lowest and the highest level that the broker which was asked can work with."""
    finalized: Mapping[str, int]
    """Feature -> the level in force; what is left out has none, as at level 0."""
    epoch: int | None
    """How often the metadata have been changed; None where that is not known."""


def metadata_version(text: str) -> tuple[str, int] | None:
    """(the version's full name, its level) of ``4.3-IV0``, ``4.3`` or ``4.3.1``; None for one that 4.3 does not know.

    A release without its ``IV`` is the last one of it. Source: MetadataVersion#fromVersionString.
    """
    release = ".".join(text.split(".")[:2])
    if release in _VERSIONS and release <= LATEST:
        release += f"-IV{_VERSIONS[release][1]}"
    return (release, METADATA_LEVELS[release]) if release in METADATA_LEVELS else None


def metadata_name(level: int) -> str | None:
    """The name of a version of the metadata; None for a level that 4.3 does not know."""
    return next((name for name, known in METADATA_LEVELS.items() if known == level), None)


def levels_of(metadata_level: int) -> Iterator[tuple[str, int]]:
    """(feature, level) that a version of the metadata brings, metadata.version itself left out."""
    for feature, (first, level) in _SINCE.items():
        yield feature, level if metadata_level >= METADATA_LEVELS[first] else 0
