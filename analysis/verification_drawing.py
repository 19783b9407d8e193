"""How a prediction and its test are drawn: in the reach of its law, and close up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import NullLocator
from numpy.typing import ArrayLike

from scaling.analysis.axes import FIT, HELD_OUT, LEADER, key, mark
from scaling.analysis.drawing import DASHED
from scaling.analysis.fit_drawing import (
    draw_rows,
    fills,
    outside,
    padded,
    row_area,
    set_axis,
    size_key,
)

BARS = {"90": 1.2, "50": 4.0}
"""Width of the bar of each interval, in points."""
STAR, DOT = 130, 22
"""Areas of the measured and of the predicted loss."""
ROOM = 0.5
"""Share of the span of losses that an interval may add at either end."""
NARROW = 0.25
"""Share of a panel beyond the fit up to which no label stands in it."""
TOO_WIDE = "INTERVAL WIDER THAN THIS PANEL: the data do not say how far off the law is"
ROWS = {"predicted": 1.0, "measured": 0.0}
"""Heights of the close-up."""


def of(table: pd.DataFrame, kind: str) -> pd.DataFrame:
    """Give the rows of one kind."""
    return table[table["kind"] == kind]


def draw_reach(
    ax: Axes,
    table: pd.DataFrame,
    sizes: Sequence[str],
    fitted: tuple[float, float],
    *,
    log: bool,
) -> list[str]:
    """Draw loss against compute; give what is to be said of it besides."""
    set_axis(ax, "x", table["C"], log=True, share=0.04)
    limits = _loss_limits(table, log=log)
    set_axis(ax, "y", limits, log=log, share=0)
    ax.set_ylim(limits)
    outside(ax, *fitted)
    _fitted_up_to_here(ax, fitted[1])
    handles = _draw_law(ax, of(table, "law"), fitted, limits)
    _draw_points(ax, table, sizes)
    told = of(table, "predicted").iloc[0]
    bars = [level for level in BARS if _fits(told, level, limits)]
    for level in bars:
        ends = np.clip(_ends(told, level), *limits)
        ax.vlines(told["C"], *ends, color=FIT, linewidth=BARS[level], zorder=5)
    measured = of(table, "measured")
    _star(ax, measured["C"], measured["loss"])
    _dot(ax, told["C"], told["loss"])
    size_key(ax, sizes, table.dropna(subset=["size"]) if "size" in table else table)
    rings = bool((table["kind"] == "run").any())
    key(ax, "", [*_handles(len(measured) > 0, rings=rings), *handles], top=False)
    return [] if len(bars) == len(BARS) else [TOO_WIDE]


def _ends(told: pd.Series[Any], level: str) -> tuple[float, float]:
    return told[f"low_{level}"], told[f"high_{level}"]


def _fits(told: pd.Series[Any], level: str, limits: tuple[float, float]) -> bool:
    """Whether an end of an interval is in view."""
    low, high = _ends(told, level)
    return limits[0] < low or high < limits[1]


def _loss_limits(table: pd.DataFrame, *, log: bool) -> tuple[float, float]:
    """Give limits that hold all losses, and intervals as far as there is room."""
    low, high = padded(table["loss"], log=log)
    (told,) = of(table, "predicted")[["low_90", "high_90"]].to_numpy()
    if log:
        room = (high / low) ** ROOM
        ends = np.clip(told, low / room, high * room)
    else:
        room = ROOM * (high - low)
        ends = np.clip(told, low - room, high + room)
    return min(low, float(ends[0])), max(high, float(ends[1]))


def _fitted_up_to_here(ax: Axes, compute: float) -> None:
    """Say where the rows of the fit end."""
    ax.axvline(compute, color=LEADER, linewidth=0.8, zorder=1)
    left, right = np.log(ax.get_xlim())
    beyond = (right - np.log(compute)) / (right - left)
    aside = beyond > NARROW
    ax.annotate(
        "fitted up\nto here",
        (compute, 1),
        xycoords=("data", "axes fraction"),
        xytext=(4 if aside else -4, -4),
        textcoords="offset points",
        ha="left" if aside else "right",
        va="top",
    )


def _draw_law(
    ax: Axes,
    law: pd.DataFrame,
    fitted: tuple[float, float],
    limits: tuple[float, float],
) -> list[Line2D | Patch]:
    """Draw the law, if it has a line, and the band that leaves room; give the key."""
    if law.empty:
        return []
    low, high = law["low_90"], law["high_90"]
    handles: list[Line2D | Patch] = [
        Line2D([], [], color=FIT, label="law"),
        Line2D([], [], color=FIT, linestyle=DASHED, label="extrapolated"),
    ]
    if low.notna().all() and high.notna().all() and not fills(low, high, limits):
        ax.fill_between(law["C"], low, high, color=FIT, alpha=0.12, linewidth=0)
        ax.set_ylim(limits)
        handles += [Patch(color=FIT, alpha=0.12, linewidth=0, label="90 %, new run")]
    within = law["C"] <= fitted[1] * (1 + 1e-9)
    ax.plot(law["C"], law["loss"], color=FIT, linestyle=DASHED)
    ax.plot(law["C"][within], law["loss"][within], color=FIT, linewidth=1.8)
    return handles


def _draw_points(ax: Axes, table: pd.DataFrame, sizes: Sequence[str]) -> None:
    """Draw rows; where not all were fitted, ring those that were."""
    rows = table[table["kind"].isin(["fitted", "run"])]
    area = row_area(len(rows))
    draw_rows(ax, rows, "C", "loss", sizes, area)
    if (rows["kind"] == "run").any():
        chosen = of(rows, "fitted")
        ax.scatter(
            chosen["C"],
            chosen["loss"],
            s=1.6 * area,
            facecolors="none",
            edgecolors=FIT,
            linewidths=1,
            zorder=4,
        )


def _dot(ax: Axes, x: float, y: float) -> None:
    ax.scatter(x, y, s=DOT, color=FIT, edgecolors="white", linewidths=0.7, zorder=7)


def _star(ax: Axes, x: ArrayLike, y: ArrayLike) -> None:
    ax.scatter(
        x,
        y,
        s=STAR,
        marker="*",
        color=HELD_OUT,
        edgecolors="white",
        linewidths=0.6,
        zorder=6,
    )


def _handles(measured: bool, *, rings: bool) -> list[Line2D | Patch]:
    found: list[Line2D | Patch] = [mark("measured", HELD_OUT, shape="*")] * measured
    found += [mark("predicted", FIT)]
    found += [
        Line2D([], [], color=FIT, linewidth=width, label=f"{level} % of runs")
        for level, width in reversed(BARS.items())
    ]
    return [*found, *([mark("envelope", FIT, hollow=True)] * rings)]


# --- Close up -----------------------------------------------------------------------


def draw_close_up(ax: Axes, table: pd.DataFrame) -> None:
    """Draw the predicted loss with its intervals over the measured one."""
    told = of(table, "predicted").iloc[0]
    measured = of(table, "measured")["loss"]
    seen = np.array([told["loss"], *measured, *_ends(told, "90")])
    set_axis(ax, "x", seen[np.isfinite(seen)], log=False, share=0.08)
    for level, width in BARS.items():
        if np.isfinite(ends := _ends(told, level)).all():
            ax.hlines(ROWS["predicted"], *ends, color=FIT, linewidth=width)
    _dot(ax, told["loss"], ROWS["predicted"])
    _star(ax, measured, np.full(len(measured), ROWS["measured"]))
    for loss in measured:
        ax.axvline(loss, color=HELD_OUT, linewidth=0.8, linestyle=":", zorder=1)
    if measured.empty:
        middle = (0.5, ROWS["measured"])
        where = ax.get_yaxis_transform()
        ax.text(*middle, "not trained yet", transform=where, ha="center", va="center")
    ax.set_ylim(-0.6, 1.6)
    ax.set_yticks(list(ROWS.values()), list(ROWS))
    ax.yaxis.set_minor_locator(NullLocator())
