"""Which topics a regular expression on the command line names.

>>> TopicFilter(" 'orders, pay.*' ").allows("payments")
True
"""

from __future__ import annotations

from pykafka_cli.java import regex
from pykafka_store.model import INTERNAL_TOPICS

_UP_TO_SPACE = "".join(map(chr, range(33)))
"""The characters that Java's String.trim takes away."""


class TopicFilter:
    """The topics that ``--topic`` names. Source: org.apache.kafka.tools.filter.TopicFilter.IncludeList.

    Raises InvalidRegexError or UnsupportedRegexError.
    """

    def __init__(self, raw: str) -> None:
        cleaned = raw.strip(_UP_TO_SPACE).replace(",", "|").replace(" ", "")
        self.regex = cleaned.strip("\"'")  # property files may bring quotes
        self.pattern = regex.compile(self.regex)

    def allows(self, topic: str, exclude_internal: bool = False) -> bool:
        """Whether the whole name matches, and the topic is not an internal one that is to be left out."""
        return self.pattern.fullmatch(topic) is not None and not (exclude_internal and topic in INTERNAL_TOPICS)
