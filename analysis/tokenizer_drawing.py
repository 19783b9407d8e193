"""How the figure of the tokenizers is drawn, once it is known what is in it.

A row of panels per corpus, a line per quantizer through the means of its codebooks.
The table is that of `scaling.analysis.tokenizer_figure`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.lines import Line2D
from matplotlib.ticker import (
    FuncFormatter,
    LogLocator,
    MaxNLocator,
    NullLocator,
)

from scaling.analysis.axes import (
    LEADER,
    codebook_label,
    decade_axis,
    panels,
    spread,
)
from scaling.errors import ScalingError

PANELS = {
    "l1": "L1",
    "mpjpe": "MPJPE (mm)",
    "codes_used": "Codes used",
    "exponential_entropy": "Exponential entropy",
    "fid": "FID",
}
"""Title of each panel, by the column that it draws."""

COUNTED = ("codes_used", "exponential_entropy")
"""Panels of numbers of codes, which V and the number of test tokens bound."""

STYLES = {
    "fsq": ("FSQ", "o", "#b3243b"),
    "vq": ("VQ", "^", "#1f5fa8"),
    "rfsq": ("residual FSQ", "s", "#6b3fa0"),
}
"""Label, marker and colour of each quantizer that is known."""
OTHER_STYLES = (("D", "#1d7a4c"), ("v", "#8a5a00"), ("P", "#0f7480"), ("X", "#a02a7f"))
"""Markers and colours of those that are not."""

Style = dict[str, Any]

# How means, single tokenizers, and the lines at V and at half of it are drawn.
MEAN: Style = {"markeredgecolor": "white", "markeredgewidth": 0.5}
SINGLE: Style = {"linestyle": "", "markersize": 2, "markeredgewidth": 0}
BOUNDS: dict[str, Style] = {
    "maximum": {"color": LEADER, "linewidth": 0.8},
    "50 %": {"color": LEADER, "linewidth": 0.8, "linestyle": (0, (4, 2))},
}

ROW_INCHES = 1.55
"""Height of a corpus' panels."""


def known(table: pd.DataFrame) -> list[str]:
    """List the panels that have something to show."""
    return [name for name in PANELS if name in table and table[name].notna().any()]


def token_counts(rows: pd.DataFrame) -> list[float]:
    """Give the distinct numbers of test tokens, smallest first."""
    if "test_tokens" not in rows:
        return []
    return sorted(rows["test_tokens"].dropna().unique())


def draw(table: pd.DataFrame, ax: Axes | None) -> Axes:
    """Draw all panels in the style that is set; give the first."""
    shown = known(table)
    corpora = table["corpus"].unique()
    height = 0.8 + ROW_INCHES * len(corpora)
    grid = panels(len(corpora), len(shown), height, ax, sharex=True)
    styles = _styles(table["series"].unique())
    grid[0, 0].set_xscale("log", base=2)
    grid[0, 0].set_xlim(_around(table["codebook_size"]))
    _octaves(grid[0, 0].xaxis)
    for row, corpus in zip(grid, corpora, strict=True):
        row[0].set_ylabel(corpus, fontweight="bold")
        rows = table[table["corpus"] == corpus]
        for panel, name in zip(row, shown, strict=True):
            _panel(panel, rows.dropna(subset=name), name, styles)
    for panel, name in zip(grid[0], shown, strict=True):
        panel.set_title(PANELS[name])
    for panel in grid[-1]:
        panel.set_xlabel("Codebook size $V$")
    lines = [Line2D([], [], **MEAN, **style, label=k) for k, style in styles.items()]
    if any(name in shown for name in COUNTED):
        lines += [Line2D([], [], **style, label=name) for name, style in BOUNDS.items()]
    page = grid[0, 0].get_figure()
    page.legend(handles=lines, loc="outside upper center", ncols=min(len(lines), 6))
    first: Axes = grid[0, 0]
    return first


def _styles(series: Iterable[str]) -> dict[str, Style]:
    """Choose marker and colour of each series; the known have their own."""
    own = {label: (marker, colour) for label, marker, colour in STYLES.values()}
    others = iter(OTHER_STYLES)
    found: dict[str, Style] = {}
    for name in series:
        style = own.pop(name.partition(",")[0], None) or next(others, None)
        if style is None:
            raise ScalingError(
                f"too many kinds of tokenizers to tell apart, {name!r} the last; "
                f"expected at most {len(OTHER_STYLES)} unknown ones: draw some of them"
            )
        found[name] = {"marker": style[0], "color": style[1]}
    return found


def _panel(
    ax: Axes, rows: pd.DataFrame, name: str, styles: Mapping[str, Style]
) -> None:
    """Draw one measure of one corpus: single tokenizers small, their means large."""
    if rows.empty:
        ax.text(0.5, 0.5, "not known", transform=ax.transAxes, ha="center", color="0.4")
        ax.set_yticks([])
        return
    for label, of in rows.groupby("series", sort=False):
        mean = of.groupby("codebook_size")[name].mean()
        style = styles[str(label)]
        ax.plot(mean.index, mean, **MEAN, **style)
        if len(of) > len(mean):
            ax.plot(of["codebook_size"], of[name], **SINGLE, **style)
    if name in COUNTED:
        _draw_bounds(ax, rows, name)
    elif rows[name].min() > 0 and rows[name].max() > 20 * rows[name].min():
        ax.set_yscale("log")
        decade_axis(ax.yaxis)
    else:
        ax.yaxis.set_major_locator(MaxNLocator(4))
        ax.yaxis.set_minor_locator(NullLocator())


def _draw_bounds(ax: Axes, rows: pd.DataFrame, name: str) -> None:
    """Draw what V and the number of test tokens allow."""
    low, high = _limits(rows, name)
    ax.set_yscale("log", base=2)
    ax.set_ylim(low, high)
    _octaves(ax.yaxis)
    sizes = np.array(ax.get_xlim())
    for share, style in zip((1, 0.5), BOUNDS.values(), strict=True):
        ax.plot(sizes, share * sizes, zorder=0, **style)
    tokens = _dotted(rows, name)
    heights = np.log(np.array(tokens) / low) / np.log(high / low)
    for n, place in zip(tokens, spread(heights, 0.1, 0, 0.9), strict=True):
        ax.axhline(n, color=LEADER, linestyle=":", linewidth=0.8, zorder=0)
        ax.text(0.03, place + 0.015, f"{n:,.0f} tokens", transform=ax.transAxes)


def any_dotted(table: pd.DataFrame) -> bool:
    """Whether a number of test tokens is in view of any panel."""
    shown = [name for name in COUNTED if name in known(table)]
    corpora = [rows for _, rows in table.groupby("corpus")]
    found = (_dotted(of.dropna(subset=name), name) for name in shown for of in corpora)
    return any(map(len, found))


def _dotted(rows: pd.DataFrame, name: str) -> list[float]:
    """Give the numbers of test tokens that are in view."""
    if rows.empty:
        return []
    low, high = _limits(rows, name)
    return [n for n in token_counts(rows) if low < n < high]


def _limits(rows: pd.DataFrame, name: str) -> tuple[float, float]:
    """Give the limits of a panel of numbers of codes."""
    codebooks = rows["codebook_size"]
    return _around([*rows[name], *codebooks / 2, *codebooks])


def _around(sizes: Iterable[float]) -> tuple[float, float]:
    """Give the limits of an axis of codes: half an octave around what is on it."""
    sizes = list(sizes)
    return max(min(sizes), 0.5) / 2**0.5, max(sizes) * 2**0.5


def _octaves(axis: Axis) -> None:
    """Tick a log axis at powers of two, as many as a small panel has room for."""
    axis.set_major_locator(LogLocator(base=2, numticks=5))
    axis.set_major_formatter(FuncFormatter(lambda size, _: codebook_label(size)))
    axis.set_minor_locator(NullLocator())
