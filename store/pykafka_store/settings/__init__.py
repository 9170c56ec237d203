"""Kafka's settings: topics', brokers' and clients'."""
