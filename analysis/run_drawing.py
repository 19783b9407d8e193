"""What the figures of the runs themselves share: colours of compute, names at lines."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import to_hex

from scaling.analysis.axes import (
    LEADER,
    key,
    mark,
    size_colours,
    some,
    spread,
)
from scaling.analysis.table import Quantity

LINE_INCHES = 1.6 * 8 / 72
"""Height of a line of text of 8 points that has exponents."""
DASHED = (0, (4, 2))
DOTTED = (0, (1, 1.5))

Quantities = Mapping[str, Quantity]
"""What the symbols stand for in the records at hand."""
End = tuple[str, tuple[float, float], str]
"""A name, the point that it stands for, and a colour."""


def compute_colours(count: int) -> list[str]:
    """Colour budgets, smallest first, each of a contrast of 3:1 or more."""
    colours = sns.color_palette("viridis", as_cmap=True)
    return [to_hex(colours(place)) for place in np.linspace(0.58, 0, count)]


def decimal(value: float) -> str:
    r"""Write a number of any size as a formula.

    >>> print(decimal(1e18), decimal(2.34e9))
    $10^{18}$ $2.3\times10^{9}$
    """
    digits, exponent = f"{value:.1e}".split("e")
    power = rf"10^{{{int(exponent)}}}"
    return f"${power}$" if digits == "1.0" else rf"${digits}\times{power}$"


def name_ends(ax: Axes, ends: Sequence[End], title: str = "") -> None:
    """Write names at the right of the axes, each joined to its point.

    The limits of the axes must be set. Where there is no room for all, some are named.
    """
    page = ax.get_figure(root=True)
    if not ends or page is None:
        return
    page.draw_without_rendering()
    height = ax.get_window_extent().height / page.dpi
    gap = LINE_INCHES / height
    top = 1 - gap * bool(title)
    most = min(len(ends), int(top / gap) + 1)
    ends = [ends[round(k)] for k in np.linspace(0, len(ends) - 1, most)]
    points = ax.transData.transform([point for _, point, _ in ends])
    wanted = ax.transAxes.inverted().transform(points)[:, 1]
    for (text, point, colour), y in zip(ends, spread(wanted, gap, 0, top), strict=True):
        ax.annotate(
            text,
            xy=point,
            xytext=(1.03, y),
            textcoords="axes fraction",
            verticalalignment="center",
            color=colour,
            arrowprops={"arrowstyle": "-", "color": LEADER, "linewidth": 0.5},
        )
    ax.text(1.03, 1 + gap / 4, title, transform=ax.transAxes, va="center")


def count_ticks(low: float, high: float) -> list[float]:
    """Give the whole powers of ten between two numbers.

    >>> count_ticks(3e8, 2e10)
    [1000000000.0, 10000000000.0]
    """
    first, last = math.ceil(math.log10(low)), math.floor(math.log10(high))
    return [10.0**k for k in range(first, last + 1)]


def sizes_key(ax: Axes, sizes: Sequence[str]) -> None:
    """Say at the right which colour is which transformer size, at most eight."""
    colours = size_colours(sizes)
    shown = [mark(size, colours[size]) for size in some(sizes)]
    if shown:
        key(ax, "Transformer size", shown, top=True)
