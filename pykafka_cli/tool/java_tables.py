"""Tables in the layout of Kafka's tools."""

from __future__ import annotations

from collections.abc import Iterator, Sequence


def pretty_table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Cells padded to their column, a tab behind each. Source: org.apache.kafka.tools.ToolsUtils#prettyPrintTable."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "".join(f"{cell:<{width}}\t" for cell, width in zip(row, widths, strict=True))
