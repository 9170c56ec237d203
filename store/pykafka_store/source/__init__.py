"""From a database to a topic: rows, or their changes, as records, each once.

:class:`pykafka_store.source.sourcing.Source` does it, from a feed: rows behind a cursor, changes by triggers, or what a
query says, of SQLite (sqlite_feeds.py) or of PostgreSQL (postgres_feeds.py).
"""
