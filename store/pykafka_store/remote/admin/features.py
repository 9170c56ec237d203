"""Feature flags of a Kafka cluster (KIP-584)."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING

from pykafka_store.errors import StoreError
from pykafka_store.remote.admin.requests import Requests
from pykafka_store.remote.errors import broker_error
from pykafka_store.remote.partitions import outcome

if TYPE_CHECKING:
    from pykafka_store.features import FeatureMetadata, FeatureUpdate


class FeatureAdmin:
    def __init__(self, requests: Requests) -> None:
        self._requests = requests

    def describe_features(self) -> FeatureMetadata:
        from pykafka_store.features import FeatureMetadata

        network = self._requests.network
        answer = network.ask("api_versions", network.software)
        if answer.error_code:
            raise broker_error(answer.error_code, None)
        epoch = getattr(answer, "finalized_features_epoch", -1)
        return FeatureMetadata(
            {each.name: (each.min_version, each.max_version) for each in getattr(answer, "supported_features", ())},
            {each.name: each.max_version_level for each in getattr(answer, "finalized_features", ())},
            epoch if epoch >= 0 else None,
        )

    def update_features(
        self, updates: Mapping[str, FeatureUpdate], *, validate_only: bool = False
    ) -> dict[str, StoreError | None]:
        self._requests.require_writable()
        network = self._requests.network
        asked = [
            SimpleNamespace(
                feature=name,
                max_version_level=update.level,
                upgrade_type=int(update.kind),
                allow_downgrade=update.kind > 1,
            )
            for name, update in updates.items()
        ]
        body = SimpleNamespace(feature_updates=asked, validate_only=validate_only, timeout=network.timeout_ms)
        answer = network.ask_controller("update_features", body, least=1 if validate_only else 0)
        answers: dict[str, StoreError | None] = dict.fromkeys(updates, outcome(answer))
        for each in getattr(answer, "results", ()):  # before version 2
            answers[each.feature] = answers[each.feature] or outcome(each)
        return answers
