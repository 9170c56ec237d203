"""A picture of a table: each ratio that was measured, against the one that is to be reached."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.run import Row

_RATIO = re.compile(r"([\d.]+) ×")
"""At the beginning of what is to be reached and of what was measured, where these are ratios."""


def draw(rows: Sequence[Row], path: Path) -> bool:
    """Draw the rows that are ratios, and say whether there is a picture: there is none without matplotlib."""
    try:
        import matplotlib as mpl
    except ImportError:
        return False
    mpl.use("agg")
    import matplotlib.pyplot as plt

    bars = []
    for row in rows:
        measured, reach = _RATIO.match(row.measured), _RATIO.match(row.reach)
        if measured and reach and row.good is not None:
            share = float(measured[1]) / float(reach[1])
            # Of some rows more is better, as their verdicts show; of one without a verdict nobody can tell.
            bars.append((row.what, share if row.good is (share <= 1) else 1 / share))
    if not bars:
        return False
    figure, axes = plt.subplots(figsize=(10, 1 + 0.32 * len(bars)), layout="constrained")
    names, shares = zip(*reversed(bars), strict=True)
    colours = ["tab:green" if share <= 1 else "tab:red" for share in shares]
    axes.barh(range(len(bars)), shares, color=colours)
    axes.set_yticks(range(len(bars)), names, fontsize=8)
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xlabel("measured, as a share of what is to be reached (less is better)")
    figure.savefig(path, dpi=120)
    return True
