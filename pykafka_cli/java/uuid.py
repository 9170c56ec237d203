"""What Java says of a text that is no id. Source: org.apache.kafka.common.Uuid#fromString, java.util.Base64.Decoder."""

from __future__ import annotations

import base64
import re

_LONGEST = 24


def uuid_bytes(text: str) -> bytes:
    """The sixteen bytes of an id of Kafka's. Raises ValueError with Java's message."""
    if len(text) > _LONGEST:
        raise ValueError(f"Input string with prefix `{text[:_LONGEST]}` is too long to be decoded as a base64 UUID")
    if len(text) == 1:
        raise ValueError("Input byte[] should at least have 2 bytes for base64 bytes")
    digits = text.partition("=")[0]
    illegal = re.search(r"[^A-Za-z0-9_-]", digits)
    if illegal is not None:
        raise ValueError(f"Illegal base64 character {ord(illegal.group()):x}")
    padding = text[len(digits) :]
    if padding:
        over = len(digits) % 4
        if over == 0 or (over == 2 and not padding.startswith("==")):
            raise ValueError("Input byte array has wrong 4-byte ending unit")
        if over > 1 and len(digits) + len(padding) > (end := len(digits) + (2 if over == 2 else 1)):
            raise ValueError(f"Input byte array has incorrect ending byte at {end}")
    if len(digits) % 4 == 1:
        raise ValueError("Last unit does not have enough valid bits")
    found = base64.urlsafe_b64decode(digits + "=" * (-len(digits) % 4))
    if len(found) != 16:
        raise ValueError(
            f"Input string `{text}` decoded as {len(found)} bytes, which is not equal to the expected 16 bytes of a "
            "base64-encoded UUID"
        )
    return found
