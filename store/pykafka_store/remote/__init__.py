"""The cluster engine: a real Kafka cluster through confluent-kafka (librdkafka)."""

from pykafka_store.errors import EngineUnavailableError

try:
    import confluent_kafka  # noqa: F401 - whoever imports a module of this package learns here what is missing
except ImportError as error:
    raise EngineUnavailableError(
        "A Kafka cluster needs confluent-kafka: pip install 'pykafka-toolkit[cluster]'"
    ) from error
