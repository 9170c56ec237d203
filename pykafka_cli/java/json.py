"""The JSON files of Kafka's tools, read as Kafka reads them: what it takes, and what it says of the rest.

Source: org.apache.kafka.server.util.Json and org.apache.kafka.server.util.json of Kafka 4.3, over Jackson.
"""

from __future__ import annotations

import errno
import json
import os
from typing import Any, NoReturn

from pykafka_cli.errors import Refusal

INT_MAX = 2**31 - 1
LONG_MAX = 2**63 - 1


class JsonError(Refusal):
    """What Kafka's JsonMappingException says."""


class NotJsonError(JsonError):
    """The text is no JSON at all."""


_MOST = 128 << 20
"""Characters of a file: a move of a million partitions has fewer."""


def read_text(path: str) -> str:
    """A file of JSON. Raises OSError, also for one without an end (/dev/zero): while it is read no signal is heard."""
    with open(path, encoding="utf-8", errors="replace") as file:
        text = file.read(_MOST + 1)
    if len(text) > _MOST:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), path)
    return text


def parse(text: str) -> Any:
    """The first JSON value of a text: Jackson does not look at what follows it. Raises NotJsonError."""
    try:
        return json.JSONDecoder(parse_constant=_no_constant).raw_decode(text.lstrip(" \t\r\n"))[0]
    except (ValueError, RecursionError):
        raise NotJsonError("The input string is not a valid JSON") from None


def as_object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise JsonError(f"Expected JSON object, received {written(value)}")
    return value


def as_array(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise JsonError(f"Expected JSON array, received {written(value)}")
    return value


def field(fields: dict[str, Any], name: str) -> Any:
    if name not in fields:
        raise JsonError(f"No such field exists: `{name}`")
    return fields[name]


def as_string(value: Any) -> str:
    if not isinstance(value, str):
        raise JsonError(f"Expected `String` value, received {written(value)}")
    return value


def as_whole(value: Any, kind: str = "Integer", most: int = INT_MAX) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not -most - 1 <= value <= most:
        raise JsonError(f"Expected `{kind}` value, received {written(value)}")
    return value


def written(value: Any) -> str:
    """As Jackson's JsonNode#toString."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
