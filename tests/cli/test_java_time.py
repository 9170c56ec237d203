"""Times are read as Kafka's tools read them (tests/data/java_times.tsv is what Java made of these)."""

from __future__ import annotations

from pathlib import Path

import pytest

from pykafka_cli.java.time import INSTANT_MAX, TimeError, parse_date_time
from pykafka_store.settings.durations import DurationError, parse_duration_ms

READ = (Path(__file__).parent.parent / "data" / "java_times.tsv").read_text("utf-8").splitlines()[1:]
BEYOND_TIME = "Instant exceeds minimum or maximum instant"


def cases() -> list[list[str]]:
    split = [line.split("\t") for line in READ]
    assert len(split) > 100
    return split


@pytest.mark.parametrize(("kind", "text", "meaning"), cases())
def test_a_time_is_read_as_java_reads_it(kind: str, text: str, meaning: str) -> None:
    try:
        found = parse_date_time(text) if kind == "date" else parse_duration_ms(text)
    except (TimeError, DurationError) as error:
        assert str(error) == meaning
    else:
        assert meaning == (BEYOND_TIME if abs(found) > INSTANT_MAX * 1000 else str(found))
