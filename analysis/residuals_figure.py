"""The residuals of a law, against everything that might explain them.

A panel for each input of the law, compute, the codebook, and the fitted value. A trend
in one of them is something that the law does not know of: curvature is the first sign
of a wrong form.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from scaling.analysis.axes import (
    FIT,
    HELD_OUT,
    codebook_axis,
    mark,
    panels,
    size_colours,
    some,
)
from scaling.analysis.figure import Figure
from scaling.analysis.fit_drawing import (
    Quantities,
    bin_numbers,
    draw_rows,
    labels_of,
    law_name,
    objective_sentence,
    padded,
    row_area,
    set_axis,
    size_order,
)
from scaling.analysis.fitting import Fit
from scaling.analysis.layout import count
from scaling.analysis.prediction import with_compute
from scaling.analysis.sandwich import robust_sd

FITTED = "fitted"
"""Name of the axis of the law's own value."""
BINS = 8
"""Means along an axis, at most; one per value where there are no more values."""
ROWS_OF_BIN = 4
"""Rows of a mean, at least, where values are binned."""
FAR_OUT = 4.0
"""Robust standard deviations from which a row is named."""
NAMED = 3
"""Runs that are named, at most."""
LETTERS = "abc"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ResidualsFigure(Figure):
    """Residuals against each axis.

    In the table `axis` names the panel and `x` the place in it; `kind` is `fitted` for
    a row, whose `residual` is loss - law, and `mean` for a mean of runs, with its
    standard error as `low` and `high`. Rows that are named have a `letter`.
    """

    sizes: tuple[str, ...]
    """All sizes, smallest first: a size's colour is its place here."""
    labels: Mapping[str, str]
    """Axis labels by `axis`."""
    unit: str
    """What residuals are in."""
    log: bool
    """Whether the fitted value has a log axis."""

    def _draw(self, ax: Axes | None) -> Axes:
        names = list(self.table["axis"].unique())
        across = 2 if len(names) == 4 else min(3, len(names))
        down = math.ceil(len(names) / across)
        grid = panels(down, across, 0.9 + 1.9 * down, ax, sharey=True)
        places: list[Axes] = grid.ravel().tolist()
        limits = padded([0, *self.table["residual"]], log=False)
        for panel, name in zip(places, names, strict=False):
            self._draw_panel(panel, name)
            panel.set_ylim(limits)
        for panel in places[len(names) :]:
            panel.set_axis_off()
        for row in grid:
            row[0].set_ylabel(f"Residual ({self.unit})")
        page, sizes, named = grid[0, 0].get_figure(), self._sizes(), self._named()
        across = len(sizes) if len(sizes) < 7 else (len(sizes) + 1) // 2
        page.legend(handles=sizes, loc="outside upper center", ncols=across)
        if named:
            page.legend(handles=named, loc="outside lower center", ncols=len(named))
        return places[0]

    def _draw_panel(self, ax: Axes, name: str) -> None:
        of = self.table[self.table["axis"] == name]
        rows, means = of[of["kind"] == FITTED], of[of["kind"] == "mean"]
        log = name != FITTED or self.log
        set_axis(ax, "x", rows["x"], log=log)
        if name == "V":
            codebook_axis(ax.xaxis, rows["x"])
        ax.axhline(0, color=FIT, linewidth=0.8)
        plain = rows[rows["letter"] == ""]
        draw_rows(ax, plain, "x", "residual", self.sizes, row_area(3 * len(rows)))
        for letter, named in rows[rows["letter"] != ""].groupby("letter"):
            ax.plot(named["x"], named["residual"], **_letter(str(letter)))
        errors = [means["residual"] - means["low"], means["high"] - means["residual"]]
        ax.errorbar(means["x"], means["residual"], errors, **MEAN)
        ax.set_xlabel(self.labels[name])

    def _sizes(self) -> list[Line2D]:
        colours = size_colours(self.sizes)
        found = [mark(size, colours[size]) for size in some(self.sizes)]
        return [*found, Line2D([], [], **MEAN_LINE, label="mean of runs ± s.e.")]

    def _named(self) -> list[Line2D]:
        named = self.table[self.table["letter"] != ""].drop_duplicates("letter")
        names = sorted(zip(named["letter"], named["run"], strict=True))
        return [Line2D([], [], label=_short(run), **_letter(a)) for a, run in names]


MEAN_LINE: dict[str, Any] = {
    "color": "0.15",
    "linewidth": 1.2,
    "marker": "s",
    "markersize": 3.5,
    "markeredgecolor": "white",
    "markeredgewidth": 0.5,
}
MEAN = {**MEAN_LINE, "elinewidth": 0.9, "capsize": 1.5, "zorder": 5}


def residuals_figure(fit: Fit, quantities: Quantities | None = None) -> ResidualsFigure:
    """Make the figure of the residuals of a law.

    Parameters
    ----------
    fit : Fit
        The law and its rows.
    quantities : mapping, optional
        What the records' symbols stand for, for labels: `Records.quantities`.
    """
    table = with_compute(fit)
    rows = table[[n for n in ("run", "size") if n in table]].assign(
        kind=FITTED, residual=fit.residuals, letter=_letters(fit)
    )
    parts = []
    for name, x in _axes(fit, table):
        placed = rows.assign(axis=name, x=x).dropna(subset=["x", "residual"])
        parts += [placed, _means(placed).assign(axis=name, kind="mean", letter="")]
    found = pd.concat(parts, ignore_index=True)
    names = list(dict.fromkeys(found["axis"]))
    return ResidualsFigure(
        name="residuals",
        title=f"Residuals of {law_name(fit)} along each axis",
        caption=_caption(fit, found),
        table=found,
        sizes=size_order(table),
        labels={**labels_of(names, quantities), FITTED: "Loss by the law"},
        unit=fit.residual_unit.replace(" per token", ""),
        log=fit.objective.space == "log",
    )


# --- The table ----------------------------------------------------------------------


def _axes(fit: Fit, table: pd.DataFrame) -> Iterator[tuple[str, pd.Series[float]]]:
    """Give what residuals are laid out by, where it differs between rows."""
    for name in dict.fromkeys((*fit.formula.inputs, "C", "V")):
        if name in table and table[name].min() < table[name].max():
            yield name, table[name]
    yield FITTED, pd.Series(fit.predict(table), table.index)


def _means(rows: pd.DataFrame) -> pd.DataFrame:
    """Take means along an axis, of runs: rows of one run err together."""
    codes = bin_numbers(rows["x"], BINS, ROWS_OF_BIN)
    means = []
    for _, of in rows.groupby(codes):
        runs = of.groupby("run")["residual"].mean().to_numpy()
        n, middle = len(runs), float(runs.mean())
        error = float(runs.std(ddof=1)) / math.sqrt(n) if n > 1 else math.nan
        means.append((of["x"].median(), middle, middle - error, middle + error))
    return pd.DataFrame(means, columns=["x", "residual", "low", "high"])


def _letters(fit: Fit) -> list[str]:
    """Give a letter to the rows that lie far out, the farthest of each run."""
    size = np.abs(fit.residuals)
    far = size > FAR_OUT * robust_sd(fit)
    table = pd.DataFrame({"run": fit.sample.table["run"], "size": size, "far": far})
    worst = table[far].sort_values("size", ascending=False).drop_duplicates("run")
    named = dict(zip(worst.index[:NAMED], LETTERS, strict=False))
    return [named.get(row, "") for row in table.index]


# --- Words --------------------------------------------------------------------------


def _letter(letter: str) -> dict[str, Any]:
    """Draw a letter as a mark, so that it stands exactly where the row is."""
    return {
        "marker": f"${letter}$",
        "markersize": 6,
        "linestyle": "",
        "color": HELD_OUT,
        "zorder": 6,
    }


def _short(run: str) -> str:
    """Shorten a name for a key: the hash at its end says nothing to a reader.

    >>> _short("1x1x16-v1024-d240000-s0-f5579be2")
    '1x1x16-v1024-d240000-s0'
    """
    head, _, last = run.rpartition("-")
    hashed = len(last) == 8 and set(last) <= set("0123456789abcdef")
    name = head if hashed and head else run
    return name if len(name) <= 24 else name[:23] + "…"


def _caption(fit: Fit, table: pd.DataFrame) -> str:
    named = table[table["letter"] != ""].drop_duplicates("letter")
    far = int((np.abs(fit.residuals) > FAR_OUT * robust_sd(fit)).sum())
    words = "; ".join(
        f"{letter}: {run}, {residual:+.2g}"
        for letter, run, residual in sorted(
            zip(named["letter"], named["run"], named["residual"], strict=True)
        )
    )
    sentences = [
        "Measured loss less what the law says, against everything that might explain "
        "the difference: a slope or a bow is something that the law does not know of.",
        objective_sentence(fit),
        f"Residuals are loss - law, in {fit.residual_unit}; their scatter is "
        f"{fit.residual_sd:.2g}.",
        f"Squares: means of runs along the axis (at most {BINS}), with their standard "
        "error.",
        f"{count(far, 'evaluation')} more than {FAR_OUT:g} robust standard deviations "
        f"out, by run the farthest: {words}."
        if far
        else "",
    ]
    return " ".join(sentence for sentence in sentences if sentence)
