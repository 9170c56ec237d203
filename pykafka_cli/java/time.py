"""Times as Kafka's tools read them from the command line, with Java's words for what is none.

>>> parse_date_time("1970-01-01T00:00:01.500+01:00")
-3598500

Periods of time are read by pykafka_store.settings.durations, as a client's setting may be one.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_FIELDS = re.compile(
    r"[ \t]*([0-9]+)-[ \t]*([0-9]+)-[ \t]*([0-9]+)T[ \t]*([0-9]+):[ \t]*([0-9]+):[ \t]*([0-9]+)\.[ \t]*([0-9]+)"
    r"[ \t]*(?:Z|([+-])([0-9]{2})(?::([0-5][0-9]))?)"
)
"""Text behind it is not looked at, as SimpleDateFormat#parse does not: ``+0130`` is one hour."""

_LAST_ZONE, _FIRST_ZONE = timedelta(hours=-13), timedelta(hours=14)

INSTANT_MAX = 31_556_889_864_403_199
"""Seconds since the epoch: java.time.Instant's last, and less its first."""


class TimeError(ValueError):
    """Not a time, in Java's words."""


def parse_date_time(text: str) -> int:
    """``YYYY-MM-DDThh:mm:ss.sss``, and a zone (``Z``, ``+hh``, ``+hh:mm``; UTC without one) -> ms since the epoch.

    Source: org.apache.kafka.common.utils.Utils#getDateTime.
    """
    parts = text.rstrip("T").split("T")
    if len(parts) < 2:
        raise TimeError(
            "java.text.ParseException: Error parsing timestamp. It does not contain a 'T' according to ISO8601 format"
        )
    if not any(sign in parts[1] for sign in "+-Z"):
        text += "Z"
    unparseable = TimeError(f'java.text.ParseException: Unparseable date: "{text}"')
    match = _FIELDS.match(text)
    if match is None:
        raise unparseable
    year, month, day, hour, minute, second, millisecond = map(int, match.groups()[:7])
    ahead = timedelta(hours=int(match[9] or 0), minutes=int(match[10] or 0)) * (-1 if match[8] == "-" else 1)
    if millisecond > 999 or not _LAST_ZONE <= ahead <= _FIRST_ZONE:
        raise unparseable
    try:
        local = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except (ValueError, OverflowError):
        raise unparseable from None
    since_epoch = local - datetime.fromtimestamp(0, UTC) - ahead
    return since_epoch // timedelta(milliseconds=1) + millisecond
