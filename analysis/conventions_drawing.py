"""How FLOPs conventions are drawn side by side; the table is `conventions_figure`'s."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullLocator

from scaling.analysis.axes import (
    FIT,
    HELD_OUT,
    axis_label,
    codebook_colours,
    codebook_labels,
    key,
    mark,
    mathtext,
    panels,
    some,
)
from scaling.analysis.fit_drawing import set_axis
from scaling.analysis.run_drawing import Quantities

STYLES: dict[str, dict[str, Any]] = {
    "openai": {"marker": "o", "linestyle": "-"},
    "matmul": {"marker": "s", "linestyle": "-"},
    "6nd": {"marker": "^", "linestyle": (0, (3, 1.5))},
}
"""How each convention is drawn, beside the colour of the codebook."""
SHADES = {"openai": FIT, "matmul": "#1d7a4c", "6nd": HELD_OUT}
"""Colours where no codebook is told."""
SYMBOLS = {"L_u(C)": "L_u", "N_nv(C)": "N_nv", "N_v(C)": "N_v", "D(C)": "D"}


def draw(table: pd.DataFrame, quantities: Quantities, ax: Axes | None) -> Axes:
    """Draw what a token costs, and below it the slopes of the laws."""
    models, laws = (table[table["kind"] == kind] for kind in ("model", "law"))
    if laws.empty:
        panel: Axes = panels(1, 1, 2.8, ax)[0, 0]
        _draw_ratios(panel, models, quantities)
        return panel
    upper, lower = panels(2, 1, 4.6, ax, height_ratios=(1.5, 1))[:, 0]
    names = laws["law"].unique()
    for panel, name in zip(panels(1, len(names), 4.6, lower)[0], names, strict=True):
        _draw_slopes(panel, laws[laws["law"] == name], quantities)
    _draw_ratios(upper, models, quantities)
    shown = [mark(c, SHADES[c], shape=STYLES[c]["marker"]) for c in SHADES]
    shown = [each for each in shown if each.get_label() in set(laws["convention"])]
    page = upper.get_figure(root=True)
    page.legend(handles=shown, loc="outside lower center", ncols=len(shown))
    first: Axes = upper
    return first


def _draw_ratios(ax: Axes, models: pd.DataFrame, quantities: Quantities) -> None:
    codebooks = sorted(models["V"].unique())
    colours = codebook_colours(codebooks)
    set_axis(ax, "x", models["N"], log=True)
    set_axis(ax, "y", models["ratio"], log=False)
    ax.axhline(1, color=FIT, linewidth=1)
    counted = models[models["convention"] != "openai"]
    for _, of in counted.groupby(["convention", "V"]):
        line = of.sort_values("N")
        style = {**STYLES[line["convention"].iloc[0]], "markeredgecolor": "white"}
        style["color"] = colours[line["V"].iloc[0]]
        ax.plot(line["N"], line["ratio"], **style, linewidth=0.9, markeredgewidth=0.4)
    size = next((s for s in ("N_nv", "N") if s in quantities), None)
    ax.set_xlabel(axis_label(quantities[size]) if size else "Matrix parameters")
    ax.set_ylabel("FLOPs per token\nrelative to openai")
    names = codebook_labels(codebooks)
    shown = [mark(names[V], colours[V]) for V in some(codebooks)]
    key(ax, "Codebook size $V$", shown, top=True)
    handles = [
        Line2D([], [], color="0.2", label=name, **STYLES[name])
        for name in STYLES
        if name != "openai"
    ]
    handles.append(Line2D([], [], color=FIT, label="openai"))
    key(ax, "", handles, top=False)


def _draw_slopes(ax: Axes, laws: pd.DataFrame, quantities: Quantities) -> None:
    """Draw the slope of one law by convention, each with its interval."""
    places = range(len(laws))
    for place, (_, law) in zip(places, laws.iterrows(), strict=True):
        colour, marker = SHADES[law["convention"]], STYLES[law["convention"]]["marker"]
        ax.plot([place, place], [law["low"], law["high"]], color=colour)
        ax.plot(place, law["slope"], marker, color=colour, mec="white", mew=0.5, ms=6)
    set_axis(ax, "y", laws[["slope", "low", "high"]].to_numpy(), log=False, share=0.1)
    ax.set_xlim(-0.6, len(laws) - 0.4)
    ax.set_xticks([])  # a key names the conventions, for which a panel is too narrow
    ax.xaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_locator(MaxNLocator(4))
    symbol = SYMBOLS[laws["law"].iloc[0]]
    shown = mathtext(quantities[symbol].shown)
    if symbol == "L_u":
        ax.set_title(f"${shown}$ per decade of $C$")
    else:
        ax.set_title(f"Exponent of ${shown}$ in $C$")
