"""A storage engine for Kafka-format logs in a shared directory, usable as a library.

Start at :mod:`pykafka_store.api`: ``open_cluster`` and the protocols behind it.
"""
