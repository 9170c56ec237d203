"""What kafka-features and kafka-storage say of feature levels, and of the releases that bring them.

Source: org.apache.kafka.tools.FeatureCommand and kafka.tools.StorageTool of Kafka 4.3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pykafka_cli.errors import Refusal
from pykafka_store.features import (
    DEPENDENCIES,
    LATEST,
    METADATA_LEVELS,
    METADATA_VERSION,
    SUPPORTED,
    levels_of,
    metadata_name,
    metadata_version,
)
from pykafka_store.numbers import whole_number


def known_version(text: str, *, unstable: bool = True) -> tuple[str, int]:
    """(full name, level) of a version of the metadata, without ``unstable`` one that is for use. Raises Refusal, which
    lists them.
    """
    found = metadata_version(text)
    if found is None or (found[1] > METADATA_LEVELS[LATEST] and not unstable):
        known = (name for name, level in METADATA_LEVELS.items() if unstable or level <= METADATA_LEVELS[LATEST])
        raise Refusal(f"Unknown metadata.version '{text}'. Supported metadata.version are: {', '.join(known)}")
    return found


def version_mapping(release: str | None) -> Iterator[str]:
    """The lines of ``version-mapping``. Raises Refusal."""
    text = LATEST if release is None else release
    _, level = known_version(text)
    yield f"{METADATA_VERSION}={level} ({text})"
    for feature, own in levels_of(level):
        yield f"{feature}={own}"


def name_and_level(text: str) -> tuple[str, int]:
    """``feature=level`` in the words of kafka-storage's own lists of features. Raises Refusal."""
    name, equals, level = text.partition("=")
    if not equals or "=" in level:
        raise Refusal(f"Invalid feature format: {text}. Expected format: 'feature=version' (e.g. 'group.version=1')")
    number = whole_number(level.strip(), 16)
    if number is None:
        raise Refusal(f"Invalid version format: {level.strip()} for feature {name.strip()}")
    return name.strip(), number


def feature_level(text: str) -> tuple[str, int]:
    """``feature=level`` in the words of kafka-features and of kafka-storage format. Raises Refusal."""
    name, equals, level = text.partition("=")
    if not equals:
        raise Refusal(f"Can't parse feature=level string {text}: equals sign not found.")
    number = whole_number(level.strip(), 16)
    if number is None:
        raise Refusal(f"Can't parse feature=level string {text}: unable to parse {level.strip()} as a short.")
    return name.strip(), number


def feature_dependencies(features: list[tuple[str, int]], no_level: Callable[[str, int], str]) -> Iterator[str]:
    """The lines of ``feature-dependencies``. Raises Refusal, where a feature has no such level with what ``no_level``
    says of it.
    """
    for feature, level in features:
        if feature == METADATA_VERSION:
            name = metadata_name(level)
            if name is None:
                raise Refusal(f"Unknown metadata.version {level}")
            yield f"{feature}={level} ({name}) has no dependencies."
            continue
        if feature not in SUPPORTED:
            raise Refusal(f"Unknown feature: {feature}")
        if not 0 <= level <= SUPPORTED[feature][1]:
            raise Refusal(no_level(feature, level))
        needed = DEPENDENCIES.get((feature, level))
        if needed is None:
            yield f"{feature}={level} has no dependencies."
        else:
            yield f"{feature}={level} requires:"
            yield f"    {needed[0]}={needed[1]} ({metadata_name(needed[1])})"
