"""Feature flags of a directory: kept in the catalogue and shown, for nothing in a directory depends on them.

Source of checks and texts: org.apache.kafka.controller.FeatureControlManager of Kafka 4.3.
"""

from __future__ import annotations

from collections.abc import Mapping

from pykafka_store.embedded.engine import Engine
from pykafka_store.errors import InvalidUpdateVersionError, StoreError
from pykafka_store.features import (
    DEPENDENCIES,
    KRAFT_VERSION,
    METADATA_VERSION,
    SUPPORTED,
    FeatureMetadata,
    FeatureUpdate,
    UpgradeType,
)

_KIND, _ALL = "feature", ""
"""Type and name under which the catalogue has the levels that are not the highest, which a new directory's are."""


class FeatureAdmin:
    """See :class:`pykafka_store.operations.FeatureOperations`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def describe_features(self) -> FeatureMetadata:
        return FeatureMetadata(dict(SUPPORTED), self._levels(), self._engine.catalog.changes())

    def _levels(self) -> dict[str, int]:
        stored = self._engine.catalog.configs(_KIND).get(_ALL, {})
        return {name: int(stored.get(name, highest)) for name, (_, highest) in SUPPORTED.items()}

    def update_features(
        self, updates: Mapping[str, FeatureUpdate], *, validate_only: bool = False
    ) -> dict[str, StoreError | None]:
        self._engine.require_writable()
        with self._engine.locks.cluster():
            before = self._levels()
            after = before | {name: update.level for name, update in updates.items()}
            for name, update in updates.items():
                reason = self._refused(name, update, before.get(name, 0), after)
                if reason is not None:
                    error = InvalidUpdateVersionError(
                        "The update failed for all features since the following feature had an error: "
                        f"Invalid update version {update.level} for feature {name}. {reason}"
                        if not reason.startswith("Unsupported")
                        else f"The update failed for all features since the following feature had an error: {reason}"
                    )
                    return dict.fromkeys(updates, error)
            if not validate_only and after != before:
                self.set_features(after)
        return dict.fromkeys(updates)

    def set_features(self, levels: Mapping[str, int]) -> None:
        """All levels, unchecked: those of a new directory, or such as were checked."""
        changes = {name: str(level) for name, level in levels.items() if level != SUPPORTED[name][1]}
        with self._engine.catalog.transaction():
            self._engine.catalog.change_entity_configs(_KIND, _ALL, changes, SUPPORTED.keys() - changes.keys())

    def _refused(self, name: str, update: FeatureUpdate, current: int, after: Mapping[str, int]) -> str | None:
        """Why a feature can't have that level, or None."""
        level, kind = update
        keeper = next(iter(self._engine.brokers.all()))
        if name not in SUPPORTED:
            if level:
                return f"Local controller {keeper} does not support this feature."
            return f"Feature {name} not found."
        lowest, highest = SUPPORTED[name]
        if not lowest <= level <= highest:
            return f"Local controller {keeper} only supports versions {lowest}-{highest}"
        if level < current and kind is UpgradeType.UPGRADE:
            return (
                "Can't downgrade the version of this feature without setting the upgrade type to either safe or unsafe "
                "downgrade."
            )
        if level > current and kind is not UpgradeType.UPGRADE:
            return "Can't downgrade to a newer version."
        if level < current and name == KRAFT_VERSION:
            return "Can't downgrade the version of this feature."
        if level < current and name == METADATA_VERSION:
            return f"Unsupported metadata.version downgrade from {current} to {level}. " + (
                "Unsafe metadata downgrade is not supported in this version."
                if kind is UpgradeType.UNSAFE_DOWNGRADE
                else "Refusing to perform the requested downgrade because it might delete metadata information."
            )
        needed = DEPENDENCIES.get((name, level))
        if needed is not None and after[needed[0]] < needed[1]:
            return f"Feature {name} level {level} depends on {needed[0]} level {needed[1]}"
        return None
