"""What users, access control lists, quotas and delegation tokens meet."""

from __future__ import annotations

from pykafka_store.errors.everyday import StoreError


class UnsupportedSaslMechanismError(StoreError):
    code, kafka_name = 33, "UnsupportedSaslMechanismException"


class SecurityDisabledError(StoreError):
    """The cluster has no authorizer."""

    code, kafka_name = 54, "SecurityDisabledException"


class DelegationTokenAuthDisabledError(StoreError):
    """The cluster has no secret from which tokens are made."""

    code, kafka_name = 61, "DelegationTokenDisabledException"


class DelegationTokenNotFoundError(StoreError):
    code, kafka_name = 62, "DelegationTokenNotFoundException"


class DelegationTokenOwnerMismatchError(StoreError):
    code, kafka_name = 63, "DelegationTokenOwnerMismatchException"


class DelegationTokenRequestNotAllowedError(StoreError):
    code, kafka_name = 64, "UnsupportedByAuthenticationException"


class DelegationTokenAuthorizationError(StoreError):
    code, kafka_name = 65, "DelegationTokenAuthorizationException"


class DelegationTokenExpiredError(StoreError):
    code, kafka_name = 66, "DelegationTokenExpiredException"


class InvalidPrincipalTypeError(StoreError):
    code, kafka_name = 67, "InvalidPrincipalTypeException"


class ResourceNotFoundError(StoreError):
    code, kafka_name = 91, "ResourceNotFoundException"


class DuplicateResourceError(StoreError):
    code, kafka_name = 92, "DuplicateResourceException"


class UnacceptableCredentialError(StoreError):
    code, kafka_name = 93, "UnacceptableCredentialException"
