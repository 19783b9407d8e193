"""How isoFLOP profiles and their laws are drawn; the table is `isoflop_figure`'s."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.patches import Patch
from numpy.typing import NDArray

from scaling.analysis.axes import (
    FIT,
    axis_label,
    decade_axis,
    law_text,
    mark,
    mathtext,
    panels,
)
from scaling.analysis.fit_drawing import set_axis
from scaling.analysis.isoflop import BAND
from scaling.analysis.laws import Law
from scaling.analysis.prediction import LEVEL
from scaling.analysis.run_drawing import (
    DASHED,
    Quantities,
    compute_colours,
    decimal,
    name_ends,
)

Array = NDArray[np.float64]
Colours = Mapping[float, str]
INCHES = 3.6
NEAR = Patch(color=FIT, alpha=0.3, linewidth=0, label=f"within {BAND:g} nats")


def draw(
    table: pd.DataFrame,
    size: str,
    quantities: Quantities,
    laws: Mapping[str, Law],
    ax: Axes | None,
) -> Axes:
    """Draw the profiles, and beside them the minima against compute, if they have laws.

    `size` is the symbol and the column of the size.
    """
    budgets = sorted(table["C"].unique())
    colours = dict(zip(budgets, compute_colours(len(budgets)), strict=True))
    minima = table[table["kind"] == "minimum"]
    left, below = _places(len(laws), ax)
    for panel, law in zip(below, laws.values(), strict=True):
        _draw_law(panel, law, minima, colours)
        panel.tick_params(labelbottom=panel is below[-1], which="both")
        panel.set_xlabel(axis_label(quantities["C"]) if panel is below[-1] else "")
    _draw_profiles(left, table.rename(columns={size: "x"}), colours)
    left.set_xlabel(axis_label(quantities[size]))
    left.set_ylabel(axis_label(quantities["L_u"]))
    return left


def _places(laws: int, ax: Axes | None) -> tuple[Axes, NDArray[np.object_]]:
    """Give the axes of the profiles, and one for each law."""
    if not laws:
        return panels(1, 1, INCHES, ax)[0, 0], np.array([])
    left, right = panels(1, 2, INCHES, ax, width_ratios=(1.35, 1))[0]
    return left, panels(laws, 1, INCHES, right, sharex=True)[:, 0]


def _draw_profiles(ax: Axes, table: pd.DataFrame, colours: Colours) -> None:
    set_axis(ax, "x", table["x"], log=True)
    set_axis(ax, "y", table["L_u"], log=False)
    ends = []
    for C, colour in colours.items():
        of = table[table["C"] == C]
        runs = of[of["kind"] == "run"].sort_values("x")
        _draw_profile(ax, runs, of[of["kind"] != "run"].iloc[0], colour)
        ends.append((decimal(C), (runs["x"].iloc[-1], runs["L_u"].iloc[-1]), colour))
    name_ends(ax, ends, "$C$ (FLOPs)")
    kinds = set(table["kind"])
    handles = [NEAR, mark("minimum", FIT, shape="D")] * ("minimum" in kinds)
    handles += [mark("no minimum", FIT, shape="D", hollow=True)] * ("refused" in kinds)
    ax.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(-0.02, 1),
        ncols=3,
        columnspacing=1,
    )


def _draw_profile(
    ax: Axes, runs: pd.DataFrame, best: pd.Series[Any], colour: str
) -> None:
    """Draw one budget: its runs, and the parabola, which its minimum tells."""
    refused = best["kind"] == "refused"
    ax.plot(
        runs["x"],
        runs["L_u"],
        color=colour,
        linestyle="-" if refused else "none",
        linewidth=0.6,
        marker="o",
        markersize=4,
        markeredgecolor="white",
        markeredgewidth=0.5,
    )
    if not refused:
        ax.plot(*_parabola(best, runs["x"].min(), runs["x"].max()), color=colour)
        near = np.column_stack(_parabola(best, best["near_low"], best["near_high"]))
        ax.add_collection(
            LineCollection([near], colors=colour, linewidths=5, alpha=0.3)
        )
        ax.plot([best["low"], best["high"]], [best["L_u"]] * 2, color=colour, lw=1.6)
    face, edge = ("white", colour) if refused else (colour, "white")
    ax.plot(best["x"], best["L_u"], "D", mfc=face, mec=edge, ms=6, zorder=4)


def _parabola(best: pd.Series[Any], low: float, high: float) -> tuple[Array, Array]:
    x = np.geomspace(low, high, 100)
    y = best["L_u"] + best["curvature"] / 2 * np.log(x / best["x"]) ** 2
    return x, np.asarray(y, float)


def _draw_law(ax: Axes, law: Law, minima: pd.DataFrame, colours: Colours) -> None:
    """Draw minima against compute, with their intervals where they have some."""
    shades, values = minima["C"].map(colours), minima[law.y]
    set_axis(ax, "x", minima["C"], log=True, share=0.15)
    x = np.geomspace(*ax.get_xlim(), 100)
    interval = law.interval(x, LEVEL)
    ax.fill_between(
        x, interval.mean_low, interval.mean_high, color=FIT, alpha=0.2, linewidth=0
    )
    ax.plot(x, law.predict(x), color=FIT, linestyle=DASHED, linewidth=0.8)
    ax.plot(law.x_range, law.predict(law.x_range), color=FIT)
    seen = values
    if law.y != "D":
        ax.vlines(minima["C"], minima["low"], minima["high"], colors=list(shades))
        seen = pd.concat([values, minima["low"], minima["high"]])
    ax.scatter(
        minima["C"], values, s=30, marker="D", c=shades, edgecolors="white", zorder=3
    )
    set_axis(ax, "y", seen, log=True, share=0.12)
    decade_axis(ax.yaxis)
    ax.set_ylabel(rf"Best ${mathtext(law.y)}$")
    ax.set_title(law_text(law, law.y) if law.n > 2 else "")
