"""Questions about groups that no broker can be made to answer badly: its errors, and the ones that get no answer."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import ConsumerGroupState, KafkaError, KafkaException
from confluent_kafka import ConsumerGroupType as Type

from pykafka_store.errors import StoreError
from pykafka_store.errors import TimeoutError as RequestTimeoutError
from pykafka_store.model import GroupListing
from pykafka_store.remote.admin import groups, requests
from pykafka_store.remote.admin.groups import GroupAdmin
from pykafka_store.remote.admin.requests import Requests
from pykafka_store.remote.errors import Reports

COORDINATOR_NOT_AVAILABLE, CLUSTER_AUTHORIZATION_FAILED = 15, 31
LISTED = SimpleNamespace(group_id="g", type=Type.CLASSIC, state=ConsumerGroupState.STABLE)


def admin(*answers: Any, timeout: float = 60.0) -> tuple[GroupAdmin, list[float]]:
    """An admin whose cluster gives these answers to list_consumer_groups, one after the other; None is no answer. And
    the seconds that each question had.
    """
    left, asked = list(answers), []

    def listing(request_timeout: float) -> Future[Any]:
        asked.append(request_timeout)
        future: Future[Any] = Future()
        answer = left.pop(0)
        if isinstance(answer, Exception):
            future.set_exception(answer)
        elif answer is not None:
            future.set_result(answer)
        return future

    client = SimpleNamespace(
        list_consumer_groups=listing,
        poll=lambda _timeout: 0,
        list_topics=lambda timeout: None,
    )
    link: Any = SimpleNamespace(timeout=timeout, reports=Reports("h:1", []), contact=lambda: client)
    return GroupAdmin(Requests(lambda: link, lambda: None, lambda: None), None), asked  # type: ignore[arg-type]


def answer(*errors: Exception | KafkaError) -> Any:
    return SimpleNamespace(valid=[LISTED], errors=list(errors))


@pytest.mark.parametrize("wrapped", [lambda error: error, KafkaException])
def test_a_brokers_error_in_a_listing_is_told_in_kafkas_name(wrapped: Callable[[KafkaError], Any]) -> None:
    asked, _ = admin(answer(wrapped(KafkaError(CLUSTER_AUTHORIZATION_FAILED))))
    with pytest.raises(StoreError) as told:
        asked.list_groups()
    assert told.value.kafka_name == "ClusterAuthorizationException"


def test_a_coordinator_that_is_not_there_yet_is_asked_again() -> None:
    asked, questions = admin(answer(KafkaError(COORDINATOR_NOT_AVAILABLE)), answer())
    assert asked.list_groups() == [GroupListing("g", "Classic", "Stable")]
    assert len(questions) == 2


def test_a_question_without_an_answer_is_asked_again_with_more_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first on a new cluster may be one, and lasted for its whole minute."""
    monkeypatch.setattr(groups, "FIRST_TURN", 0.01)
    monkeypatch.setattr(requests, "GRACE", 0.0)
    timed_out = KafkaException(KafkaError(KafkaError._TIMED_OUT))
    asked, questions = admin(None, timed_out, answer())
    assert asked.list_groups() == [GroupListing("g", "Classic", "Stable")]
    assert questions[0] <= questions[1] <= questions[2]
    asked, _ = admin(*[None] * 100, timeout=0.3)
    with pytest.raises(RequestTimeoutError):
        asked.list_groups()
