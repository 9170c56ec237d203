"""Topic ids, and the names of Kafka's own topics: what every client asks for, without what describes a topic."""

import binascii
import os

OFFSETS_TOPIC = "__consumer_offsets"
TRANSACTIONS_TOPIC = "__transaction_state"
INTERNAL_TOPICS = frozenset({OFFSETS_TOPIC, TRANSACTIONS_TOPIC, "__share_group_state"})

ZERO_TOPIC_ID = "A" * 22


def random_topic_id() -> str:
    """A random version-4-like UUID as Kafka prints it: 22 characters of base64url, never beginning with ``-``.

    Source: org.apache.kafka.common.Uuid#randomUuid.
    """
    while True:
        text = binascii.b2a_base64(os.urandom(16), newline=False).rstrip(b"=").decode()
        text = text.replace("+", "-").replace("/", "_")
        if not text.startswith("-") and text != ZERO_TOPIC_ID:
            return text


def topic_id_bytes(topic_id: str) -> bytes:
    """The sixteen bytes behind Kafka's 22-character spelling. Raises ValueError if it is not one."""
    raw = binascii.a2b_base64(topic_id.replace("-", "+").replace("_", "/") + "==", strict_mode=True)
    if len(raw) != 16:
        raise ValueError(f"Input string `{topic_id}` decoded as {len(raw)} bytes, which is not equal to 16")
    return raw
