"""What a corpus is made of: frames by source, as ScaMo's Fig. 4."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Page
from matplotlib.patches import Wedge
from numpy.typing import NDArray

from scaling.analysis.axes import (
    LEADER,
    WIDTH_INCHES,
    size_colours,
    spread,
)
from scaling.analysis.figure import Figure
from scaling.analysis.layout import count
from scaling.errors import ScalingError

Array = NDArray[Any]

MOST_WEDGES = 15
"""As many as the paper has; the smallest sources beyond them share one wedge."""

MOST_LETTERS = 20
"""Of the name of a source."""

HEIGHT_INCHES = 3.2
REACH = 1.2
"""Half the height of the figure; this and what follows in radii of the ring."""
HOLE = 0.58
LABELS_AT = 1.22
"""Where labels begin, left and right of the centre."""
LINE = 0.11
"""Distance of labels below one another."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class DataFigure(Figure):
    """A ring of sources by their share of the frames, largest first, clockwise.

    One row of the table per wedge: `source`, `frames`, `share`.
    """

    corpus: str
    """What stands in the middle."""

    def _draw(self, ax: Axes | None) -> Axes:
        if ax is None:
            page = Page(figsize=(WIDTH_INCHES, HEIGHT_INCHES))
            FigureCanvasAgg(page)
            ax = page.add_axes((0, 0, 1, 1))
        _draw(ax, self.table, self.corpus)
        return ax


def data_figure(sources: pd.DataFrame, corpus: str, kind: str = "source") -> DataFigure:
    """Make the figure of a corpus.

    Parameters
    ----------
    sources : DataFrame
        Columns `source`, a name, and `frames`; one row per source.
    corpus : str
        Name of the corpus.
    kind : str
        What the parts are: sources, or splits.

    Raises
    ------
    ScalingError
        If there are no frames.
    """
    table = sources[["source", "frames"]].sort_values(
        "frames", ascending=False, kind="stable", ignore_index=True
    )
    total = int(table["frames"].sum())
    if total <= 0:
        raise ScalingError(
            f"{corpus} has no frames; expected some to show the shares of: leave the "
            "figure out"
        )
    table = _gathered(table)
    return DataFigure(
        name="data",
        title=f"What {corpus} is made of",
        caption=f"How the frames of {corpus} are shared out by {kind}: {total:,} "
        f"frames of {count(len(sources), kind)}.",
        table=table.assign(share=table["frames"] / total),
        corpus=corpus,
    )


def _gathered(table: pd.DataFrame) -> pd.DataFrame:
    """Put the smallest sources into one wedge where there are too many."""
    if len(table) <= MOST_WEDGES:
        return table
    rest = table.iloc[MOST_WEDGES - 1 :]
    others = {"source": f"{len(rest)} others", "frames": rest["frames"].sum()}
    return pd.concat([table.iloc[: MOST_WEDGES - 1], pd.DataFrame([others])])


# --- The drawing --------------------------------------------------------------------


def _draw(ax: Axes, table: pd.DataFrame, corpus: str) -> None:
    ax.set_axis_off()
    ax.set_ylim(-REACH, REACH)
    across = REACH * WIDTH_INCHES / HEIGHT_INCHES
    ax.set_xlim(-across, across)
    # the smaller half of the wedges is put at the left, where labels have most room
    smaller = table["share"].iloc[len(table) // 2 :].sum()
    ends = 180 + 360 * (1 - smaller / 2 - np.cumsum([0, *table["share"]]))
    for colour, start, end in zip(_colours(len(table)), ends, ends[1:], strict=False):
        wedge = Wedge((0, 0), 1, end, start, width=1 - HOLE, facecolor=colour)
        wedge.set(edgecolor="white", linewidth=0.6)
        ax.add_patch(wedge)
    middles = np.radians((ends[:-1] + ends[1:]) / 2)
    rows = zip(table["source"], table["share"], strict=True)
    labels = np.array([_label(*row) for row in rows])
    for side in (-1, 1):
        here = np.where(np.cos(middles) >= 0, 1, -1) == side
        _draw_labels(ax, labels[here], middles[here], side)
    name = textwrap.fill(corpus, 16)
    ax.text(0, 0, name, ha="center", va="center", fontweight="bold")


def _colours(count: int) -> list[str]:
    """Give the first wedge, the largest, the darkest colour."""
    return list(size_colours([str(number) for number in range(count)]).values())[::-1]


def _label(source: str, share: float) -> str:
    percent = f"{100 * share:.1f}" if share >= 0.0005 else "< 0.1"
    return f"{_short(source)}  {percent} %"


def _short(name: str) -> str:
    """Cut a long name in its middle.

    >>> _short("AtelierCircle+CMU-MoCap-10-14")
    'AtelierCir…Cap-10-14'
    """
    return name if len(name) <= MOST_LETTERS else f"{name[:10]}…{name[-9:]}"


def _draw_labels(ax: Axes, labels: Array, angles: Array, side: int) -> None:
    """Write the labels of one side below one another, each joined to its wedge."""
    tips = np.sin(angles)
    heights = spread(tips, LINE, LINE / 2 - REACH, REACH - LINE / 2)
    for label, angle, height in zip(labels, angles, heights, strict=True):
        ax.plot(
            [np.cos(angle), 1.08 * np.cos(angle), side * LABELS_AT],
            [np.sin(angle), 1.08 * np.sin(angle), height],
            color=LEADER,
            linewidth=0.5,
        )
        ax.text(
            side * (LABELS_AT + 0.03),
            height,
            label,
            ha="left" if side > 0 else "right",
            va="center",
        )
