"""What all of Kafka's tools share: options, connection, errors."""
