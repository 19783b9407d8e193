"""How the figures are drawn, once it is known what is in them.

Points are runs, with a white edge; held-out points are hollow diamonds. A law is solid
where it was fitted and dashed elsewhere, over a grey ground; shaded around it are its
Student-t intervals. Tables are those of `scaling.analysis.study_figures`.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Annotation, Text

from scaling.analysis.axes import (
    EXTRAPOLATED,
    FIT,
    HELD_OUT,
    LEADER,
    axis_label,
    codebook_axis,
    codebook_colours,
    codebook_labels,
    decade_axis,
    key,
    law_text,
    mark,
    size_colours,
    some,
    spread,
)
from scaling.analysis.checks import LOSSES
from scaling.analysis.laws import Law
from scaling.analysis.table import Quantity

LEVEL = 0.95
DASHED = (0, (4, 2))
Quantities = Mapping[str, Quantity]


# --- A law over its points (Figs. 3a, 3b, 7) ----------------------------------------


def draw_law(
    ax: Axes,
    below: Axes | None,
    law: Law,
    table: pd.DataFrame,
    quantities: Quantities,
    sizes: Sequence[str],
) -> None:
    """Draw the points of a law, the law with its intervals, and below the residuals."""
    x_limits = _padded(table[law.x], log=True)
    ax.set_xscale("log")
    ax.set_xlim(x_limits)
    if law.kind == "power":
        ax.set_yscale("log")
    y_seen = np.concatenate([table[law.y], law.predict(x_limits)])
    ax.set_ylim(_padded(y_seen, log=law.kind == "power"))
    _draw_line(ax, law, x_limits)
    bands = _draw_bands(ax, law, x_limits)
    _draw_points(ax, table, law.x, law.y, size_colours(sizes))
    ax.set_ylabel(axis_label(quantities[law.y]))
    lines = [law_text(law, quantities[law.y].shown), *_standing(law, table)]
    ax.set_title("\n".join([*lines, *_too_wide(law, bands)]))
    decade_axis(ax.xaxis)
    if law.kind == "power":
        decade_axis(ax.yaxis)
    _law_keys(ax, table, sizes, bands)
    if below is not None:
        unit = "nats" if quantities[law.y].column in LOSSES else ""
        _draw_residuals(below, law, table, size_colours(sizes), unit)
        ax.tick_params(labelbottom=False, which="both")
    (below or ax).set_xlabel(axis_label(quantities[law.x]))


def _draw_line(ax: Axes, law: Law, limits: tuple[float, float]) -> None:
    """Draw the law, solid where it was fitted."""
    for outside in _shade_extrapolation(ax, law):
        ax.plot(outside, law.predict(outside), color=FIT, linestyle=DASHED)
    ax.plot(law.x_range, law.predict(law.x_range), color=FIT)


def _draw_bands(ax: Axes, law: Law, limits: tuple[float, float]) -> tuple[str, ...]:
    """Shade the intervals that do not fill the panel; name them. Limits must be set."""
    x, (bottom, top) = np.geomspace(*limits, 200), ax.get_ylim()
    interval = law.interval(x, LEVEL)
    ends = {
        "new": (interval.new_low, interval.new_high, 0.10),
        "law": (interval.mean_low, interval.mean_high, 0.22),
    }
    shown = []
    for name, (low, high, alpha) in ends.items():
        if not np.isnan(low).any() and np.mean((low < bottom) & (high > top)) <= 0.5:
            ax.fill_between(x, low, high, alpha=alpha, color=FIT, linewidth=0)
            shown.append(name)
    ax.set_ylim(bottom, top)
    return tuple(shown)


def _too_wide(law: Law, bands: Sequence[str]) -> list[str]:
    """Say which interval is not shaded; two points have none."""
    if law.n <= 2 or "new" in bands:
        return []
    which = " OF A NEW RUN" * ("law" in bands)
    return [f"INTERVAL{which} WIDER THAN THIS PANEL"]


def _draw_points(
    ax: Axes, table: pd.DataFrame, x: str, y: str, colours: Mapping[str, str]
) -> None:
    fitted, held = table[~table["held_out"]], table[table["held_out"]]
    shades = fitted["size"].map(colours) if "size" in fitted else FIT
    ax.scatter(
        fitted[x],
        fitted[y],
        s=30,
        c=shades,
        edgecolors="white",
        linewidths=0.6,
        zorder=3,
    )
    ax.scatter(
        held[x],
        held[y],
        s=30,
        marker="D",
        facecolors="white",
        edgecolors=HELD_OUT,
        linewidths=1.2,
        zorder=4,
    )


def _draw_residuals(
    ax: Axes, law: Law, table: pd.DataFrame, colours: Mapping[str, str], unit: str
) -> None:
    """Draw y - law: curvature here is the first sign of a wrong form."""
    ax.axhline(0, color=FIT, linewidth=0.8)
    _draw_points(ax, table, law.x, "residual", colours)
    reach = 1.35 * float(table["residual"].abs().max()) or 1.0
    ax.set_ylim(-reach, reach)
    _shade_extrapolation(ax, law)
    decade_axis(ax.xaxis)
    ax.locator_params(axis="y", nbins=4)
    unit = "decades" if law.kind == "power" else unit
    ax.set_ylabel(f"Residual\n({unit})" if unit else "Residual")


def _shade_extrapolation(ax: Axes, law: Law) -> tuple[tuple[float, float], ...]:
    """Lay a grey ground where the law was not fitted; give the two ranges."""
    left, right = ax.get_xlim()
    ranges = (left, law.x_range[0]), (law.x_range[1], right)
    for outside in ranges:
        ax.axvspan(*outside, color=EXTRAPOLATED, linewidth=0, zorder=0)
    return ranges


def _standing(law: Law, table: pd.DataFrame) -> list[str]:
    """Say in lines under the formula how far to believe it."""
    held = int(table["held_out"].sum())
    text = f"$R^2$ = {law.r2:.3f}, n = {law.n} fitted"
    text += f", {held} held out" if held else ""
    # The words in capitals are enough here; the caption has the whole warnings.
    short = "; ".join(warning.split(":")[0] for warning in law.warnings)
    return [text, *textwrap.wrap(short, 90)]


def _law_keys(
    ax: Axes,
    table: pd.DataFrame,
    sizes: Sequence[str],
    bands: Sequence[str],
) -> None:
    if "size" in table:
        fitted = set(table.loc[~table["held_out"], "size"])
        colours = size_colours(sizes)
        shown = some([size for size in sizes if size in fitted])
        key(ax, "Transformer size", [mark(s, colours[s]) for s in shown], top=True)
    handles: list[Any] = [Line2D([], [], color=FIT, label="law, fitted range")]
    handles += [Line2D([], [], color=FIT, linestyle=DASHED, label="extrapolated")]
    if "law" in bands:
        handles += [Patch(color=FIT, alpha=0.32, linewidth=0, label="95 %, law")]
    if "new" in bands:
        handles += [Patch(color=FIT, alpha=0.10, linewidth=0, label="95 %, new run")]
    if table["held_out"].any():
        handles.append(mark("held out", HELD_OUT, shape="D", hollow=True))
    key(ax, "", handles, top=False)


# --- Training curves (Fig. 2) -------------------------------------------------------


def draw_curves(
    ax: Axes, table: pd.DataFrame, quantities: Quantities, sizes: Sequence[str]
) -> None:
    """Draw loss against compute, one line per run, with the envelope's runs marked."""
    codebooks = sorted(table["V"].unique())
    colours = codebook_colours(codebooks)
    for _, run in table.groupby("run", sort=True):
        marker = "o" if len(run) == 1 else ""
        colour = colours[run["V"].iloc[0]]
        ax.plot(
            run["C"], run["L_u"], color=colour, linewidth=0.9, marker=marker, ms=3.5
        )
    chosen = table[table["on_envelope"]].sort_values("C")
    ax.scatter(
        chosen["C"],
        chosen["L_u"],
        s=26,
        facecolors="none",
        edgecolors=FIT,
        linewidths=1,
        zorder=4,
    )
    ax.set_xscale("log")
    ax.set_xlim(_padded(table["C"], log=True))
    bottom, top = _padded(table["L_u"], log=False)
    ax.set_ylim(bottom - 0.09 * (top - bottom), top)
    ax.set_xlabel(axis_label(quantities["C"]))
    ax.set_ylabel(axis_label(quantities["L_u"]))
    decade_axis(ax.xaxis)
    names = codebook_labels(codebooks)
    lines = [Line2D([], [], color=colours[v], label=names[v]) for v in some(codebooks)]
    key(ax, "Codebook size $V$", lines, top=True)
    key(ax, "", [mark("envelope", FIT, hollow=True)], top=False)
    if "size" in table:
        _label_sizes(ax, table, sizes)


def _label_sizes(ax: Axes, table: pd.DataFrame, sizes: Sequence[str]) -> None:
    """Name the sizes below the curves, each with a line up to its lowest point."""
    lowest = table.sort_values("L_u").drop_duplicates("size")
    places = zip(lowest["C"], lowest["L_u"], strict=True)
    place_of = dict(zip(lowest["size"], places, strict=True))
    colours = size_colours(sizes)
    labels = [
        _label(ax, size, place_of[size], colours[size], at=(0.5, 0.015))
        for size in some([size for size in sizes if size in place_of])
    ]
    for label in labels:
        label.set(horizontalalignment="center", verticalalignment="bottom")
    _spread(ax, labels, along=0, gap=1.25)


# --- Lowest loss against codebook size (Fig. 8) -------------------------------------


def draw_minima(
    ax: Axes, table: pd.DataFrame, quantities: Quantities, sizes: Sequence[str]
) -> None:
    """Draw each size's lowest loss against the codebook; ring its best codebook."""
    colours = size_colours(sizes)
    ends = {}
    for size in sizes:
        line = table[table["size"] == size].sort_values("V")
        if line.empty:
            continue
        ax.plot(
            line["V"],
            line["L_u"],
            color=colours[size],
            marker="o",
            markeredgecolor="white",
            markeredgewidth=0.6,
        )
        ends[size] = (line["V"].iloc[-1], line["L_u"].iloc[-1])
    best = table[table["best"]]
    ax.scatter(
        best["V"], best["L_u"], s=70, facecolors="none", edgecolors=FIT, linewidths=1
    )
    ax.set_xscale("log", base=2)
    codebook_axis(ax.xaxis, table["V"])
    ax.set_xlim(_padded(table["V"], log=True))
    ax.set_ylim(_padded(table["L_u"], log=False))
    ax.set_xlabel(axis_label(quantities["V"]))
    ax.set_ylabel(f"Lowest {_lower_first(axis_label(quantities['L_u']))}")
    ring = mark("best codebook", FIT, hollow=True)
    ax.legend(handles=[ring], loc="lower left", bbox_to_anchor=(0, 1))
    # The sizes at the right of the axes, each joined to the last point of its line.
    labels = [
        _label(ax, size, ends[size], colours[size], at=(1.03, 0.5))
        for size in some(list(ends))
    ]
    for label in labels:
        label.set(verticalalignment="center")
    _spread(ax, labels, along=1, gap=1.1)


# --- Labels -------------------------------------------------------------------------


def _label(
    ax: Axes,
    text: str,
    point: tuple[float, float],
    colour: str,
    *,
    at: tuple[float, float],
) -> Annotation:
    """Name a point; the text stands at a fraction of the axes, with a line to it."""
    return ax.annotate(
        text,
        xy=point,
        xytext=at,
        textcoords="axes fraction",
        fontweight="bold",
        color=colour,
        arrowprops={"arrowstyle": "-", "color": LEADER, "linewidth": 0.5},
    )


def _spread(ax: Axes, labels: Sequence[Annotation], *, along: int, gap: float) -> None:
    """Move labels beside what they name, along x (0) or y (1), without overlap."""
    figure = ax.get_figure(root=True)
    if not labels or figure is None:
        return
    figure.draw_without_rendering()
    # An annotation's own extent would include the line that joins it to its point.
    lengths = [Text.get_window_extent(label).size[along] for label in labels]
    room = max(lengths) / ax.get_window_extent().size[along]
    named = ax.transData.transform([label.xy for label in labels])
    wanted = ax.transAxes.inverted().transform(named)[:, along]
    places = spread(wanted, gap * room, room / 2, 1 - room / 2)
    for label, place in zip(labels, places, strict=True):
        position = list(label.get_position())
        position[along] = place
        label.set_position((position[0], position[1]))


# --- Limits -------------------------------------------------------------------------


def _padded(values: Any, *, log: bool, share: float = 0.06) -> tuple[float, float]:
    """Give limits a little wider than the values."""
    scaled = np.log10(np.asarray(values, float)) if log else np.asarray(values, float)
    low, high = float(np.nanmin(scaled)), float(np.nanmax(scaled))
    pad = share * (high - low) or 0.5
    low, high = low - pad, high + pad
    return (10.0**low, 10.0**high) if log else (low, high)


def _lower_first(text: str) -> str:
    return text[0].lower() + text[1:]
