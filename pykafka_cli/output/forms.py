"""The forms of a result: Kafka's text, a table, or JSON lines.

A command returns a result (``topic_results``, ``group_results``), which knows its own forms; ``show`` prints the one
that ``--output`` asks for. The text is what Apache Kafka's tools print, to the byte. Tables and JSON are pykafka's own.
JSON is one object a line; its fields are part of the interface: a field keeps its name and its meaning, and new ones
may be added.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from pykafka_cli.env import Env

FORMS = ("text", "table", "json")


class Result(Protocol):
    """A value that a command returns, and that can be printed."""

    def text(self) -> Iterator[str]:
        """The lines that Kafka's tool prints."""

    def table(self) -> Iterator[str]:
        """The lines of one table or more."""

    def json(self) -> Iterator[dict[str, Any]]:
        """The objects, one for each line."""


def show(env: Env, result: Result, form: str) -> None:
    """Print a result on stdout in one of FORMS."""
    match form:
        case "text":
            lines = result.text()
        case "table":
            lines = result.table()
        case _:
            lines = map(json_line, result.json())
    for line in lines:
        env.out(line)
        if env.unprinted is not None:
            return  # making the rest of the lines is no work that anybody waits for


def tabulated(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Rows below their headings, in columns as wide as they need to be."""
    from tabulate import tabulate

    return tabulate(rows, headings, tablefmt="plain", disable_numparse=True)


def json_line(fields: dict[str, Any]) -> str:
    """An object on one line, without blanks that JSON does not need."""
    from json import dumps

    return dumps(fields, ensure_ascii=False, separators=(",", ":"))
