"""Requests that librdkafka does not have, over small connections of our own: Kafka's protocol by ``protocol``, TLS and
SASL by the standard library, with the settings that librdkafka gets. store/DESIGN.md says why.
"""

from pykafka_store.errors import EngineUnavailableError

try:
    import pykafka_store.protocol.schemas  # noqa: F401 - who imports this package learns here what is missing
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] != "kio":
        raise
    raise EngineUnavailableError(
        "This request to a Kafka cluster needs kio: pip install 'pykafka-toolkit[cluster]'"
    ) from None
