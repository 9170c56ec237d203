"""``--add-scram`` of kafka-storage: ``SCRAM-SHA-256=[name=alice,password=secret]``.

Source: org.apache.kafka.metadata.storage.ScramParser of Kafka 4.3, whose errors repeat passwords; these don't.
"""

from __future__ import annotations

import base64
import binascii

from pykafka_cli.errors import Refusal
from pykafka_cli.java.text import is_whole
from pykafka_store import scram
from pykafka_store.access import ScramMechanism, ScramUpsertion


def parse(argument: str) -> ScramUpsertion:
    """Raises Refusal, UnacceptableCredentialError."""
    named, equals, rest = argument.strip().partition("=")
    if not equals:
        raise Refusal("Failed to find equals sign in SCRAM argument '(hidden)'")
    mechanism = scram.MECHANISMS.get(named)
    if mechanism is None:
        raise Refusal(f"The add-scram mechanism {named} is not supported.")
    if not rest.startswith("["):
        raise Refusal("Expected configuration string to start with [")
    if not rest.endswith("]"):
        raise Refusal("Expected configuration string to end with ]")
    return _upsertion(mechanism, dict(_component(each) for each in rest[1:-1].split(",")))


def _component(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise Refusal("No equals sign found in SCRAM component: (hidden)")
    return name, value[1:-1] if len(value) >= 2 and value[0] == value[-1] == '"' else value


def _upsertion(mechanism: ScramMechanism, parts: dict[str, str]) -> ScramUpsertion:
    name = parts.pop("name", None)
    if name is None:
        raise Refusal("You must supply 'name' to add-scram")
    salt = _decoded("salt", parts.pop("salt", None))
    text = parts.pop("iterations", str(scram.MIN_ITERATIONS))
    if not is_whole(text):
        raise Refusal(f"Failed to parse iterations count: {text}")
    password, salted_text = parts.pop("password", None), parts.pop("saltedpassword", None)
    if password is None and salted_text is None:
        raise Refusal("You must supply one of 'password' or 'saltedpassword' to add-scram")
    if password is None and salt is None:
        raise Refusal("You must supply 'salt' with 'saltedpassword' to add-scram")
    salted = None if password is not None else _decoded("saltedPassword", salted_text, hidden=True)
    if parts:
        raise Refusal(f"Unknown SCRAM configurations: {', '.join(sorted(parts))}")
    iterations, shown = int(text), mechanism.name
    if iterations < scram.MIN_ITERATIONS:
        raise Refusal(f"The 'iterations' value must be >= {scram.MIN_ITERATIONS} for add-scram using {shown}")
    if iterations > scram.MAX_ITERATIONS:
        raise Refusal(f"The 'iterations' value must be <= {scram.MAX_ITERATIONS} for add-scram using {shown}")
    if salted is not None and salt is not None:
        return ScramUpsertion(name, mechanism, iterations, salt, salted)
    return scram.upsertion(name, mechanism, password or "", iterations, salt)


def _decoded(what: str, text: str | None, *, hidden: bool = False) -> bytes | None:
    """Raises Refusal."""
    if text is None:
        return None
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Refusal(f"Failed to decode given {what}: {'(hidden)' if hidden else text}") from None
