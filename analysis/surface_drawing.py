"""How the loss over size and codebook is drawn; the table is `surface_figure`'s."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, ListedColormap, Normalize
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from scaling.analysis.axes import (
    FIT,
    HELD_OUT,
    axis_label,
    codebook_axis,
    codebook_labels,
    decade_axis,
    mark,
    panels,
)
from scaling.analysis.run_drawing import DOTTED, count_ticks, decimal
from scaling.analysis.table import Quantity

Array = NDArray[np.float64]

BANDS = 10
"""Levels of the ground, about."""
TOP = 0.85
"""Share of the law's cells up to whose loss levels are told apart."""
RIDGE: dict[str, Any] = {"edgecolor": FIT, "linewidth": 1.6}
MINUS = "\N{MINUS SIGN}"
MOST_TEXT = 9
"""Columns of tiles that have room for numbers."""


def draw(table: pd.DataFrame, size: Quantity, loss: Quantity, ax: Axes | None) -> Axes:
    """Draw the law's surface at each budget, or without one the measured minima."""
    if "law" in set(table["kind"]):
        return _draw_law(table, size, loss, ax)
    return _draw_tiles(table, size, loss, ax)


def tints() -> Colormap:
    """Give light colours, dark where the loss is low, on which dark marks stand out."""
    ground = sns.color_palette("Blues", as_cmap=True)
    return ListedColormap(ground(np.linspace(0.58, 0.02, 256)))


# --- A law at budgets ---------------------------------------------------------------


def _draw_law(
    table: pd.DataFrame, size: Quantity, loss: Quantity, ax: Axes | None
) -> Axes:
    budgets = sorted(table["C"].unique())
    law = table[table["kind"] == "law"]
    grid = panels(1, len(budgets), 3.0, ax, sharex=True, sharey=True)[0]
    grid[0].set_xscale("log")
    grid[0].set_yscale("log", base=2)
    seen = pd.concat([table.loc[table["kind"] == "run", "L_u"], law["L_u"]])
    levels = MaxNLocator(BANDS).tick_values(
        float(seen.min()), float(law["L_u"].quantile(TOP))
    )
    for panel, C in zip(grid, budgets, strict=True):
        ground = _draw_budget(panel, table[table["C"] == C], levels)
        panel.set_title(f"$C$ = {decimal(C)} FLOPs")
    grid[0].set_xlim(law["N_nv"].min(), law["N_nv"].max())
    grid[0].set_ylim(law["V"].min(), law["V"].max())
    decade_axis(grid[0].xaxis)
    codebook_axis(grid[0].yaxis, [law["V"].min(), law["V"].max()])
    grid[0].set_ylabel("Codebook size $V$")
    grid[len(grid) // 2].set_xlabel(axis_label(size))
    page = grid[0].get_figure(root=True)
    page.colorbar(ground, ax=list(grid), label=axis_label(loss), aspect=30, pad=0.01)
    _keys(grid[0])
    first: Axes = grid[0]
    return first


def _draw_budget(ax: Axes, table: pd.DataFrame, levels: Any) -> Any:
    """Draw one budget; give the ground, for a colour bar."""
    kinds = dict(iter(table.groupby("kind")))
    cells = kinds["law"].pivot_table(index="V", columns="N_nv", values="L_u")
    data = kinds["law"].pivot_table(index="V", columns="N_nv", values="D")
    where = cells.columns, cells.index
    ground = ax.contourf(*where, cells, levels, cmap=tints(), extend="both")
    ticks = count_ticks(data.to_numpy().min(), data.to_numpy().max())
    if len(ticks) > 0:
        lines = ax.contour(
            *where, data, ticks, colors="0.25", linewidths=0.8, linestyles=[DOTTED]
        )
        places = _free_places(ticks, data, kinds["run"]["V"])
        ax.clabel(
            lines,
            fmt={D: f"$D$ = {decimal(D)}" for D in ticks},
            fontsize=8,
            manual=places,
        )
    if "ridge" in kinds:
        ridge = kinds["ridge"].sort_values("N_nv")
        ax.plot(ridge["N_nv"], ridge["V"], color=FIT)
    runs, best = kinds["run"], kinds["best"]
    ax.scatter(
        runs["N_nv"],
        runs["V"],
        c=runs["L_u"],
        norm=cast("Normalize", ground.norm),
        cmap=ground.cmap,
        s=34,
        edgecolors=FIT,
        linewidths=0.9,
        zorder=3,
    )
    ax.plot(best["N_nv"], best["V"], "D", color=HELD_OUT, mec="white", zorder=4)
    return ground


def _free_places(
    ticks: Sequence[float], data: pd.DataFrame, codebooks: pd.Series[float]
) -> list[tuple[float, float]]:
    """Find where lines of D can be named: midway between two rows of runs."""
    rows = np.log(np.unique([data.index.min(), *codebooks, data.index.max()]))
    k = np.diff(rows).argmax()
    middle = np.exp((rows[k] + rows[k + 1]) / 2)
    row = data.iloc[int(np.abs(np.log(data.index / middle)).argmin())].iloc[::-1]
    inside = [D for D in ticks if row.iloc[0] < D < row.iloc[-1]]
    sizes = np.interp(np.log(inside), np.log(row), np.log(row.index))
    return [(float(np.exp(size)), float(middle)) for size in sizes]


def _keys(ax: Axes) -> None:
    handles = [
        mark("run, filled by its loss", FIT, hollow=True),
        Line2D([], [], color=FIT, label="best V of a size"),
        mark("best of all", HELD_OUT, shape="D"),
        Line2D([], [], color="0.25", linestyle=DOTTED, label="tokens D"),
    ]
    page = ax.get_figure(root=True)
    assert page is not None
    page.legend(handles=handles, loc="outside upper center", ncols=4)


# --- What was measured --------------------------------------------------------------


def _draw_tiles(
    table: pd.DataFrame, size: Quantity, loss: Quantity, ax: Axes | None
) -> Axes:
    panel: Axes = panels(1, 1, 3.6, ax)[0, 0]
    runs, ridge = (table[table["kind"] == kind] for kind in ("run", "ridge"))
    tiles = runs.pivot_table(index="V", columns="N_nv", values="L_u")
    norm = Normalize(runs["L_u"].min(), runs["L_u"].max())
    ground = panel.pcolormesh(tiles, cmap=tints(), norm=norm, edgecolors="white")
    sizes, codebooks = np.unique(runs["N_nv"]), np.unique(runs["V"])
    for x, y in _places(ridge, sizes, codebooks):
        corner = x - 0.47, y - 0.45
        panel.add_patch(Rectangle(corner, 0.94, 0.9, fill=False, **RIDGE))
    if len(sizes) <= MOST_TEXT:
        places = _places(runs, sizes, codebooks)
        for (x, y), loss_of in zip(places, runs["L_u"], strict=True):
            number = f"{loss_of:.2f}".replace("-", MINUS)
            panel.text(x, y, number, ha="center", va="center")
    step = 1 + len(sizes) // (MOST_TEXT + 1)
    ticks = np.arange(len(sizes))[::step]
    panel.set_xticks(ticks + 0.5, [decimal(sizes[k]) for k in ticks])
    rows = np.arange(len(codebooks)) + 0.5
    panel.set_yticks(rows, [*codebook_labels(codebooks).values()])
    panel.minorticks_off()
    panel.set_xlabel(axis_label(size))
    panel.set_ylabel("Codebook size $V$")
    page = panel.get_figure(root=True)
    assert page is not None
    label = axis_label(loss)
    page.colorbar(ground, ax=panel, label=f"Lowest {label[0].lower()}{label[1:]}")
    tile = Rectangle((0, 0), 1, 1, fill=False, label="best V of each size", **RIDGE)
    panel.legend(handles=[tile], loc="lower left", bbox_to_anchor=(-0.02, 1))
    return panel


def _places(
    rows: pd.DataFrame, sizes: Array, codebooks: Array
) -> list[tuple[float, float]]:
    """Give the middle of each row's tile."""
    x = np.searchsorted(sizes, rows["N_nv"]) + 0.5
    y = np.searchsorted(codebooks, rows["V"]) + 0.5
    return list(zip(x.tolist(), y.tolist(), strict=True))
