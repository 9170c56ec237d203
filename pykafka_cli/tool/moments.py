"""Points in time as a person writes them, for options that are not Kafka's.

>>> moment_ms("1700000000000", 0)
1700000000000
>>> moment_ms("2026-01-31", 0) == moment_ms("2026-01-31T01:00+01:00", 0)
True
>>> moment_ms("1h30m", 1_700_000_000_000) == moment_ms("PT1H30M", 1_700_000_000_000)
True
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from pykafka_cli.errors import Refusal
from pykafka_store.settings.durations import DurationError, parse_duration_ms

_BACK = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?", re.ASCII)
_MS = (86_400_000, 3_600_000, 60_000, 1000, 1)
_MAX_LONG = (1 << 63) - 1
_DIGITS = 19
"""Of the largest long: more digits are no time, and Python would be long about reading thousands of them."""


def moment_ms(text: str, now_ms: int) -> int:
    """Milliseconds since the epoch, which a timestamp says itself, a date in words (UTC, where it names no zone), and a
    duration (``10m``, ``1h30m``, ``PT1H``) as so long before ``now_ms``; never before the epoch.

    Raises Refusal for what is none of these.
    """
    text = text.strip()
    unreadable = Refusal(
        f"{text or 'an empty text'} is no point in time: write milliseconds since the epoch, a date such as "
        "2026-01-31 or 2026-01-31T12:00:00Z, or how long ago, such as 10m, 1h30m or 7d"
    )
    if re.fullmatch(r"[0-9]+", text):
        if len(text) > _DIGITS or int(text) > _MAX_LONG:
            raise unreadable
        return int(text)
    if len(text) > 64:
        raise unreadable
    back = _BACK.fullmatch(text)
    if back is not None and text:
        return max(0, now_ms - sum(int(count or 0) * size for count, size in zip(back.groups(), _MS, strict=True)))
    try:
        return max(0, now_ms - parse_duration_ms(text))
    except DurationError:
        pass  # then it is a date, or nothing
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return max(0, (moment - datetime.fromtimestamp(0, UTC)) // timedelta(milliseconds=1))
    except (ValueError, OverflowError):
        raise unreadable from None
