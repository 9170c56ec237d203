"""Kafka's protocol as bytes, for whoever speaks it: the server (``wire``) and the client of a cluster (``remote``)."""
