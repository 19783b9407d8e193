"""What to spend compute on, by the laws: N*, V* and D* against compute.

A panel for each quantity that the laws choose, with its interval: solid over the
compute of the points, dashed beyond it, over a grey ground; behind it the points.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from scaling.analysis.axes import (
    FIT,
    codebook_axis,
    mark,
    mathtext,
    panels,
    size_colours,
    some,
)
from scaling.analysis.drawing import DASHED, LEVEL
from scaling.analysis.figure import Figure
from scaling.analysis.fit_drawing import (
    draw_rows,
    fills,
    labels_of,
    outside,
    row_area,
    set_axis,
    short,
    size_order,
)
from scaling.analysis.laws_file import Laws
from scaling.analysis.outlook import fitted_range, outlook, symbols
from scaling.analysis.prediction import FAR, Prediction, with_compute
from scaling.errors import ScalingError

BUDGETS = 13
"""Computes at which a law of two sizes is asked, which takes it long."""
POINT = "point"
FEW = {"D": 2, "V": 3}
"""Values up to which a line joins steps between what was tried."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class OptimaFigure(Figure):
    """The best sizes and data against compute.

    In the table `symbol` names the quantity and `value` is its best at compute `C`,
    with its interval `low` to `high` and whether it is `extrapolated`. Rows of the
    `kind` `point` are what the laws rest on.
    """

    titles: Mapping[str, str]
    """Line over each panel: the exponent with its interval."""
    labels: Mapping[str, str]
    """Axis labels by symbol, and that of compute."""
    points: str
    """What the points are, in a few words."""
    sizes: tuple[str, ...]
    """All sizes, smallest first: a size's colour is its place here."""
    fitted: tuple[float, float]
    """Least and largest compute of the points."""

    def _draw(self, ax: Axes | None) -> Axes:
        names = list(self.titles)
        across = 2 if len(names) in (2, 4) else min(3, len(names))
        down = math.ceil(len(names) / across)
        grid = panels(down, across, 0.8 + 2.3 * down, ax, sharex=True)
        places: list[Axes] = grid.ravel().tolist()
        for panel, name in zip(places, names, strict=True):
            self._draw_panel(panel, name)
        for panel in grid[-1]:
            panel.set_xlabel(self.labels["C"])
        page, handles = grid[0, 0].get_figure(), self._handles()
        across = len(handles) if len(handles) < 7 else (len(handles) + 1) // 2
        page.legend(
            handles=handles,
            title=f"Points: {self.points}",
            loc="outside upper center",
            ncols=across,
        )
        return places[0]

    def _draw_panel(self, ax: Axes, name: str) -> None:
        of = self.table[self.table["symbol"] == name]
        points, line = of[of["kind"] == POINT], of[of["kind"] != POINT]
        set_axis(ax, "x", [*line["C"], *points["C"]], log=True, share=0.02)
        set_axis(ax, "y", of["value"], log=True)
        if name == "V":
            codebook_axis(ax.yaxis, ax.get_ylim())
        low, high = self.fitted
        outside(ax, low, high)
        bottom, top = ax.get_ylim()
        title = self.titles[name]
        if fills(line["low"], line["high"], (bottom, top)):
            title += "\nINTERVAL WIDER THAN THIS PANEL"
        else:  # an end that is not known, 0 or infinite, has no place on a log axis
            low_high = line[["low", "high"]].clip(bottom / 10, top * 10)
            band = line["C"], low_high["low"], low_high["high"]
            ax.fill_between(*band, color=FIT, alpha=0.18, linewidth=0)
            ax.set_ylim(bottom, top)
        draw_rows(ax, points, "C", "value", self.sizes, row_area(2 * len(points)))
        within = line["C"].between(low * (1 - 1e-9), high * (1 + 1e-9))
        ax.plot(line["C"], line["value"], color=FIT, linestyle=DASHED, zorder=5)
        ax.plot(line["C"][within], line["value"][within], color=FIT, lw=1.8, zorder=5)
        ax.set_title(title)
        ax.set_ylabel(self.labels[name])

    def _handles(self) -> list[Line2D | Patch]:
        colours = size_colours(self.sizes)
        held = self.table.get("size", pd.Series(dtype=object))
        shown = some([size for size in self.sizes if size in set(held)])
        found: list[Line2D | Patch] = [mark(size, colours[size]) for size in shown]
        return [
            *found,
            Line2D([], [], color=FIT, linewidth=1.8, label="best, by the law"),
            Line2D([], [], color=FIT, linestyle=DASHED, label="extrapolated"),
            Patch(color=FIT, alpha=0.25, linewidth=0, label="95 %"),
        ]


def optima_figure(laws: Laws, table: pd.DataFrame | None = None) -> OptimaFigure:
    """Make the figure of the best sizes and data against compute.

    Parameters
    ----------
    laws : Laws
        The laws of the envelope, or one law.
    table : DataFrame, optional
        What `scaling.analysis.outlook.outlook` gave for these laws; worked out here,
        at fewer computes, where it is not given.

    Raises
    ------
    ScalingError
        If the laws choose nothing, or have no best sizes at all.
    """
    low, high = fitted_range(laws)
    if table is None:
        table = outlook(laws, _budgets(laws, low, high), LEVEL)
    names = symbols(table)
    if not names:
        raise ScalingError(
            "the laws say nothing of the best size or data, only of loss; expected "
            "sizes among the records: name them with --columns N_nv=COLUMN, or take "
            "a law of size and data, such as chinchilla"
        )
    points, which = _points(laws)
    parts = [_long(table, points, name) for name in names]
    at = laws.budget(high, level=LEVEL)
    known = laws.study.quantities if laws.study is not None else None
    return OptimaFigure(
        name="optima",
        title="Best sizes and data against compute",
        caption=_caption(laws, at, names, which, (low, high)),
        table=pd.concat(parts, ignore_index=True),
        titles={name: _title(name, at, points) for name in names},
        labels=labels_of(("C", *names), known),
        points=which,
        sizes=size_order(_all_points(laws)),
        fitted=(low, high),
    )


# --- The table ----------------------------------------------------------------------


def _budgets(laws: Laws, low: float, high: float) -> NDArray[np.float64]:
    """Choose computes, the ends of the fitted range among them."""
    inside = np.geomspace(low, high, BUDGETS - 4)
    return np.array([*inside, *np.geomspace(high, FAR * high, 5)[1:]])


def _long(table: pd.DataFrame, points: pd.DataFrame, name: str) -> pd.DataFrame:
    """Give one quantity's line, and the points behind it."""
    columns = {name: "value", f"{name}_low": "low", f"{name}_high": "high"}
    line = table[["C", *columns, "extrapolated"]].rename(columns=columns)
    line = line.assign(kind="best", symbol=name)
    if name not in points:
        return line
    behind = points[[n for n in ("run", "size", "C", name) if n in points]]
    behind = behind.rename(columns={name: "value"}).dropna(subset=["C", "value"])
    return pd.concat([line, behind.assign(kind=POINT, symbol=name)])


def _points(laws: Laws) -> tuple[pd.DataFrame, str]:
    """Give the points that the laws rest on, and say what they are."""
    if laws.study is not None:
        frontier = laws.study.frontier
        return frontier[~laws.study.held_out(frontier)], "runs of the envelope"
    assert laws.fit is not None
    return with_compute(laws.fit), "evaluations fitted"


def _all_points(laws: Laws) -> pd.DataFrame:
    """Give the points by which sizes have their colours."""
    return _points(laws)[0] if laws.study is None else laws.study.minima


# --- Words --------------------------------------------------------------------------


def _title(name: str, at: Prediction, points: pd.DataFrame) -> str:
    """Write the exponent of a quantity, and whether the points have few values."""
    few = _few(name, points)
    return _power(name, at) + f"\nONLY {few} VALUES OF {name}" * (few > 0)


def _few(name: str, points: pd.DataFrame) -> int:
    """Count the values of D or V among the points, where those are few; else 0.

    >>> _few("D", pd.DataFrame({"D": [30_000, 30_010, 120_000]}))
    2
    """
    if name not in points or name not in FEW:
        return 0
    values = {short(value, 3) for value in points[name].dropna()}
    return len(values) if 1 < len(values) <= FEW[name] else 0


def _power(name: str, at: Prediction) -> str:
    star = (
        rf"${mathtext(name)}^*$" if "_" not in name else rf"${mathtext(name)}^{{\,*}}$"
    )
    each = at.exponents.get(name)
    if each is None:
        return star
    power = rf"{star} $\propto C^{{\,{_exponent(each.value)}}}$"
    if not (math.isfinite(each.low) and math.isfinite(each.high)):
        return f"{power} (no interval)"
    return f"{power} ({_exponent(each.low)} to {_exponent(each.high)})"


def _exponent(value: float) -> str:
    """Write two decimals, or more where those would be zero.

    >>> _exponent(0.444), _exponent(-0.0049)
    ('0.44', '−0.005')
    """
    text = f"{value:.2f}" if abs(value) >= 0.005 else short(value, 1)
    return text.replace("-", "\N{MINUS SIGN}")


def _caption(
    laws: Laws,
    at: Prediction,
    names: list[str],
    which: str,
    fitted: tuple[float, float],
) -> str:
    best = ", ".join(f"{name}*" for name in names)
    law = f"law {at.law}" if laws.study is None else "the laws of the envelope"
    points, (low, high) = _points(laws)[0], fitted
    few = {name: _few(name, points) for name in names}
    sentences = [
        f"The best sizes and data for each compute ({best}), with how sure they are; "
        "points are what the laws rest on.",
        f"By {law}, on n = {len(points)} {which}, C from {short(low)} to {short(high)} "
        "FLOPs; dashed beyond.",
        f"Exponents are those at {short(high)} FLOPs; shaded and in brackets are "
        f"{100 * at.level:g} % intervals, {at.method}.",
        f"{at.cost}." if at.cost else "",
        *(
            f"The points have only {n} values of {name}: the line joins steps."
            for name, n in few.items()
            if n and not any(f"VALUES OF {name}" in each for each in at.warnings)
        ),
        *(f"{warning}." for warning in at.warnings),
    ]
    return " ".join(sentence for sentence in sentences if sentence)
