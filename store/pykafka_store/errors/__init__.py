"""What can go wrong, by Kafka's names and numbers (org.apache.kafka.common.protocol.Errors).

``str(error)`` is one line for a person: what, where, and what to do next. ``kafka_name`` is the class name that Apache
Kafka's tools print. ``retriable`` answers the one question a caller must ask.

Those that few commands have a use for are in rooms of their own, imported when the first name of one is asked for here:
to make sixty classes was a thirtieth of a console tool's start.
"""

from typing import TYPE_CHECKING

from pykafka_store.errors.everyday import *  # noqa: F403

if TYPE_CHECKING:  # for type checkers and editors: the same names, as tests/store/test_door.py holds
    from pykafka_store.errors.access import *  # noqa: F403
    from pykafka_store.errors.administration import *  # noqa: F403
    from pykafka_store.errors.groups import *  # noqa: F403
else:
    _ROOMS = {
        "access": """
            DelegationTokenAuthDisabledError DelegationTokenAuthorizationError DelegationTokenExpiredError
            DelegationTokenNotFoundError DelegationTokenOwnerMismatchError DelegationTokenRequestNotAllowedError
            DuplicateResourceError InvalidPrincipalTypeError ResourceNotFoundError SecurityDisabledError
            UnacceptableCredentialError UnsupportedSaslMechanismError
        """,
        "administration": """
            ElectionNotNeededError InvalidReplicationFactorError InvalidUpdateVersionError LogDirNotFoundError
            NoReassignmentInProgressError PolicyViolationError PreferredLeaderNotAvailableError
            TransactionalIdNotFoundError UnknownTopicIdError
        """,
        "groups": """
            FencedInstanceIdError GroupIdNotFoundError GroupNotEmptyError GroupSubscribedToTopicError
            InconsistentGroupProtocolError InvalidRegularExpressionError InvalidSessionTimeoutError
        """,
    }
    """The names of each room."""

    def __getattr__(name):
        from importlib import import_module

        for room, names in _ROOMS.items():
            if name in names.split():
                value = globals()[name] = getattr(import_module(f"{__name__}.{room}"), name)
                return value
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__():
        return sorted({*globals(), *" ".join(_ROOMS.values()).split()})
