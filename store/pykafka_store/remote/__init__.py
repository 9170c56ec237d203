"""The cluster engine: a real Kafka cluster through confluent-kafka (librdkafka). See DESIGN.md, section 8."""
