"""Copying topics from one cluster to another, each a directory or a Kafka cluster; begin at ``mirroring``."""
