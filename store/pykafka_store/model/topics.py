"""The topics of a cluster."""

from typing import NamedTuple


class TopicListing(NamedTuple):
    name: str
    topic_id: str
    internal: bool
