"""From topics to a database: the records of topics as rows of tables, each once.

:class:`pykafka_store.sink.sinking.Sink` does it, into a target: SQLite (sqlite_target.py) or PostgreSQL
(postgres_target.py).
"""
