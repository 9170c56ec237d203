"""What membership of groups meets, and their administration."""

from __future__ import annotations

from pykafka_store.errors.everyday import StoreError


class InconsistentGroupProtocolError(StoreError):
    """The members of a group share no assignor."""

    code, kafka_name = 23, "InconsistentGroupProtocolException"


class InvalidSessionTimeoutError(StoreError):
    code, kafka_name = 26, "InvalidSessionTimeoutException"


class GroupNotEmptyError(StoreError):
    code, kafka_name = 68, "GroupNotEmptyException"


class GroupIdNotFoundError(StoreError):
    code, kafka_name = 69, "GroupIdNotFoundException"


class FencedInstanceIdError(StoreError):
    """Another member joined under the same group.instance.id and took this one's place."""

    code, kafka_name = 82, "FencedInstanceIdException"


class GroupSubscribedToTopicError(StoreError):
    code, kafka_name = 86, "GroupSubscribedToTopicException"


class InvalidRegularExpressionError(StoreError):
    """A pattern of topics' names that takes for ever to match."""

    code, kafka_name = 128, "InvalidRegularExpression"
