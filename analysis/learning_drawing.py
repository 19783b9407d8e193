"""How learning curves are drawn; the table is `learning_figure`'s."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import NullFormatter
from numpy.typing import NDArray

from scaling.analysis.axes import (
    axis_label,
    codebook_labels,
    key,
    mathtext,
    panels,
    size_colours,
)
from scaling.analysis.fit_drawing import set_axis
from scaling.analysis.run_drawing import Quantities, count_ticks, sizes_key

LOST = "#b3243b"
MOST_COLUMNS = 4
"""Codebooks that stand in one row, with their learning rates below."""
STYLES: dict[str, dict[str, Any]] = {
    "run": {"linestyle": "-"},
    "trunk": {"linestyle": "-", "linewidth": 1.4},
    "branch": {"linestyle": (0, (2.5, 1.2)), "linewidth": 1.0},
}
LABELS = {"trunk": "trunk", "branch": "branch, cooling"}


def draw(
    table: pd.DataFrame,
    quantities: Quantities,
    sizes: Sequence[str],
    ax: Axes | None,
) -> Axes:
    """Draw the curves, a panel for each codebook, and the learning rates below."""
    codebooks: list[Any] = sorted(table["V"].unique()) if "V" in table else [None]
    losses, rates = (table[table["kind"] == kind] for kind in ("loss", "rate"))
    grid = _grid(len(codebooks), not rates.empty, ax)
    upper = grid.ravel()[: len(codebooks)]
    names = codebook_labels(codebooks) if "V" in table else {}
    for panel, codebook in zip(upper, codebooks, strict=True):
        _draw_losses(panel, _of(losses, codebook), sizes)
        if codebook in names:
            panel.set_title(f"$V$ = {names[codebook]}")
    set_axis(upper[0], "x", losses["D"], log=True)
    set_axis(upper[0], "y", losses["L_u"], log=False)
    if len(codebooks) > 1 and count_ticks(*upper[0].get_xlim()):
        # Narrow panels have no room for names between the powers of ten.
        upper[0].xaxis.set_minor_formatter(NullFormatter())
    if not rates.empty:
        for panel, codebook in zip(grid[-1], codebooks, strict=True):
            _draw_rates(panel, _of(rates, codebook), sizes)
        grid[-1, 0].set_ylabel("Learning rate")
        grid[-1, 0].set_ylim(0, 1.08 * rates["rate"].max())
    if len(codebooks) > MOST_COLUMNS:
        _label_grid(grid, len(codebooks), quantities)
    else:
        middle = (len(codebooks) - 1) // 2
        grid[-1, middle].set_xlabel(axis_label(quantities["D"]))
        grid[0, 0].set_ylabel(axis_label(quantities["L_u"]))
    _keys(grid[0, -1], losses, sizes)
    first: Axes = upper[0]
    return first


def _grid(codebooks: int, rates: bool, ax: Axes | None) -> NDArray[np.object_]:
    if codebooks > MOST_COLUMNS:
        rows = -(-codebooks // MOST_COLUMNS)
        columns = -(-codebooks // rows)
        return panels(rows, columns, 0.6 + 1.7 * rows, ax, sharex=True, sharey=True)
    if not rates:
        return panels(1, codebooks, 3.2, ax, sharex=True, sharey=True)
    return panels(
        2, codebooks, 4.4, ax, sharex=True, sharey="row", height_ratios=(2.6, 1)
    )


def _label_grid(
    grid: NDArray[np.object_], codebooks: int, quantities: Quantities
) -> None:
    """Label rows and columns in short, and empty the panels that are left over."""
    for panel in grid.ravel()[codebooks:]:
        panel.set_axis_off()
    for panel in grid[:, 0]:
        panel.set_ylabel(f"${mathtext(quantities['L_u'].shown)}$ (nats)")
    unit = " (tokens)" * (quantities["D"].column == "tokens")
    columns = grid.shape[1]
    for column in range(columns):
        lowest = grid[(codebooks - 1 - column) // columns, column]
        lowest.set_xlabel(f"$D${unit}")
        lowest.tick_params(labelbottom=True)


def _of(table: pd.DataFrame, codebook: float | None) -> pd.DataFrame:
    return table if codebook is None else table[table["V"] == codebook]


def _draw_losses(ax: Axes, table: pd.DataFrame, sizes: Sequence[str]) -> None:
    colours = size_colours(sizes)
    for _, run in table.groupby("run", sort=True):
        thin, part = run["thin"].iloc[0], run["part"].iloc[0]
        style = {**STYLES[part], "color": colours[run["size"].iloc[0]]}
        if thin:
            style |= {"linewidth": 0.5}
        ax.plot(run["D"], run["L_u"], **style)
        end = run[run["end"] == "last"]
        ax.plot(end["D"], end["L_u"], "o", color=style["color"], ms=1.8 if thin else 3)
        lost = run[run["end"] == "lost"]
        ax.plot(lost["D"], lost["L_u"], "x", color=LOST, ms=5, zorder=4)


def _draw_rates(ax: Axes, table: pd.DataFrame, sizes: Sequence[str]) -> None:
    colours = size_colours(sizes)
    for _, run in table.groupby("run", sort=True):
        style = {**STYLES[run["part"].iloc[0]], "linewidth": 0.9}
        ax.plot(run["D"], run["rate"], color=colours[run["size"].iloc[0]], **style)


def _keys(ax: Axes, losses: pd.DataFrame, sizes: Sequence[str]) -> None:
    sizes_key(ax, sizes)
    parts = set(losses["part"])
    handles = [
        Line2D([], [], color="0.2", label=label, **STYLES[part])
        for part, label in LABELS.items()
        if part in parts
    ]
    if (losses["end"] == "lost").any():
        handles.append(Line2D([], [], color=LOST, marker="x", ls="", label="diverged"))
    if handles:
        key(ax, "", handles, top=False)
