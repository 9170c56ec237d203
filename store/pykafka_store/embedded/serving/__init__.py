"""The second seam: what a server of Kafka's protocol needs of a data directory beside :mod:`pykafka_store.api`.

Batches go in and out as they are, commits have texts, and members of groups belong to clients elsewhere.
"""
