"""How the cost of runs is drawn; the table is `cost_figure`'s."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from scaling.analysis.axes import (
    axis_label,
    decade_axis,
    key,
    mark,
    panels,
    size_colours,
)
from scaling.analysis.fit_drawing import set_axis
from scaling.analysis.run_drawing import DOTTED, count_ticks, decimal, sizes_key
from scaling.analysis.table import Quantity

SHAPES = "os^DvPX"
"""A marker for each machine."""


def draw(
    table: pd.DataFrame, size: Quantity, sizes: Sequence[str], ax: Axes | None
) -> Axes:
    """Draw throughput against size, and cost against compute."""
    left, right = panels(1, 2, 3.2, ax)[0]
    spent = "dollars" if "dollars" in table else "seconds"
    machines = sorted(table["machine"].unique())
    shapes = dict(zip(machines, SHAPES * len(machines), strict=False))
    set_axis(left, "x", table[size.symbol], log=True, share=0.1)
    set_axis(left, "y", table["tokens_per_second"], log=True, share=0.1)
    set_axis(right, "x", table["C"], log=True, share=0.1)
    set_axis(right, "y", table[spent], log=True, share=0.1)
    for axes in (left, right):
        decade_axis(axes.yaxis)
    for machine, shape in shapes.items():
        of = table[table["machine"] == machine]
        style = _style(of, sizes, shape)
        left.scatter(of[size.symbol], of["tokens_per_second"], **style)
        right.scatter(of["C"], of[spent], **style)
    _draw_rates(right, table, table[spent].iloc[0] / table["seconds"].iloc[0])
    left.set_xlabel(axis_label(size))
    left.set_ylabel("Tokens per second")
    right.set_xlabel("Run's own compute $C$ (FLOPs)")
    right.set_ylabel("Cost (dollars)" if spent == "dollars" else "Training time (s)")
    sizes_key(right, sizes)
    if any(machines):
        handles = [mark(m or "unknown", "0.2", shape=s) for m, s in shapes.items()]
        key(right, "Machine", handles, top=False)
    first: Axes = left
    return first


def _style(table: pd.DataFrame, sizes: Sequence[str], shape: str) -> dict[str, Any]:
    return {
        "c": table["size"].map(size_colours(sizes)),
        "s": 26,
        "marker": shape,
        "edgecolors": "white",
        "linewidths": 0.5,
        "zorder": 3,
    }


def _draw_rates(ax: Axes, table: pd.DataFrame, per_second: float) -> None:
    """Draw lines of powers of ten of FLOPs per second, each named at an end."""
    (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
    ends = np.array([left, right])
    for rate in count_ticks(left / high * per_second, right / low * per_second):
        cost = ends / rate * per_second
        ax.plot(ends, cost, color="0.45", linestyle=DOTTED, linewidth=0.8, zorder=1)
        # Named where the line leaves the axes at the top, or else where it comes in.
        over, under = high * rate / per_second, low * rate / per_second
        if over < right:
            name, at, shift = f"{decimal(rate)} FLOP/s", (over, high), (0, 3)
        else:
            name, at, shift = decimal(rate), (under, low), (-12, 5)
        how: dict[str, Any] = {"textcoords": "offset points", "ha": "center"}
        ax.annotate(name, at, xytext=shift, color="0.35", **how)
    ax.set_xlim(left, right)
    ax.set_ylim(low, high)
