"""The house style of the figures: colours, ticks, labels that do not collide.

Ordered quantities have sequential colours, cut where their contrast against white falls
below 3:1; the same size has the same colour in every figure.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.resources import as_file, files
from typing import Any, TypeVar

import matplotlib.style
import numpy as np
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.ticker import (
    FixedLocator,
    FuncFormatter,
    LogFormatterMathtext,
    LogLocator,
    MaxNLocator,
    NullFormatter,
    NullLocator,
)
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import isotonic_regression

from scaling.analysis.laws import Law
from scaling.analysis.pdg import plus_minus
from scaling.analysis.table import Quantity
from scaling.errors import ScalingError

FIT = "#1b3a6b"
HELD_OUT = "#c2560a"
EXTRAPOLATED = "0.94"
LEADER = "0.5"
WIDTH_INCHES = 7.2
MOST_LABELS = 8
RATIOS = ("height_ratios", "width_ratios")

Array = NDArray[np.float64]
Item = TypeVar("Item")


@contextmanager
def house_style() -> Iterator[None]:
    """Draw in the house style; matplotlib's own settings come back afterwards."""
    with (
        as_file(files("scaling.analysis") / "scaling.mplstyle") as path,
        matplotlib.style.context(path),
    ):
        yield


def canvas(height: float, ratios: Sequence[float] = (1,)) -> tuple[Axes, ...]:
    """Make panels one above the other that share x, on a figure of full width.

    Parameters
    ----------
    height : float
        In inches.
    ratios : sequence of float
        Relative heights of the panels.
    """
    figure = Figure(figsize=(WIDTH_INCHES, height), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(
        len(ratios), sharex=True, squeeze=False, height_ratios=list(ratios)
    )
    return tuple(grid[:, 0])


def panels(
    rows: int, columns: int, height: float, ax: Axes | None = None, **sharing: Any
) -> NDArray[np.object_]:
    """Make a grid of panels, on a page of its own or in the place of axes given.

    Parameters
    ----------
    rows, columns : int
        Shape of the grid.
    height : float
        Of the page, in inches.
    ax : Axes, optional
        Axes of a grid of subplots, which are emptied to make room.
    **sharing
        `sharex`, `sharey`, `height_ratios` and the like, as for `Figure.subplots`.

    Returns
    -------
    array of Axes, shape (rows, columns)

    Raises
    ------
    ScalingError
        If the axes given stand in no grid.
    """
    if ax is None:
        own = Figure(figsize=(WIDTH_INCHES, height), layout="constrained")
        FigureCanvasAgg(own)
        return np.asarray(own.subplots(rows, columns, squeeze=False, **sharing))
    place = ax.get_subplotspec()
    if place is None:
        raise ScalingError(
            "a figure of several panels needs axes that stand in a grid; expected one "
            "of Figure.subplots: make it so, or let the figure make its own page"
        )
    ax.set_axis_off()
    ratios = {name: sharing.pop(name, None) for name in RATIOS}
    inner = place.subgridspec(rows, columns, **ratios)
    return np.asarray(inner.subplots(squeeze=False, **sharing))


# --- Colours ------------------------------------------------------------------------


def size_colours(sizes: Sequence[str]) -> dict[str, str]:
    """Colour the transformer sizes, smallest first."""
    return dict(zip(sizes, _sample("crest", 0.32, len(sizes)), strict=True))


def codebook_colours(codebooks: Sequence[float]) -> dict[float, str]:
    """Colour the codebook sizes, smallest first."""
    return dict(zip(codebooks, _sample("flare", 0.24, len(codebooks)), strict=True))


def _sample(palette: str, start: float, count: int) -> list[str]:
    """Take colours evenly from the part of a palette that stands out from white."""
    places = [(start + 1) / 2] if count == 1 else np.linspace(start, 1, count)
    colours = sns.color_palette(palette, as_cmap=True)
    return [to_hex(colours(place)) for place in places]


# --- Text ---------------------------------------------------------------------------


def mathtext(symbol: str) -> str:
    r"""Set a symbol as a formula.

    >>> print(mathtext("N_nv"), mathtext("miss_rate_3"))
    N_\mathrm{nv} \mathrm{miss\ rate\ 3}
    """
    if len(symbol.partition("_")[0]) > 2:  # words, such as a score's name
        return r"\mathrm{" + symbol.replace("_", r"\ ") + "}"
    return re.sub(r"_(\w+)", r"_\\mathrm{\1}", symbol)


def axis_label(quantity: Quantity) -> str:
    """Give a quantity's label with its symbol set as a formula."""
    symbol = rf" {re.escape(quantity.symbol)}(?=[ ,]|$)"
    formula = f" ${mathtext(quantity.symbol)}$"
    return re.sub(symbol, lambda _: formula, quantity.label)


def codebook_label(codebook: float) -> str:
    """Write a codebook size as a power of two if it is one.

    >>> codebook_label(1024), codebook_label(1000)
    ('$2^{10}$', '1,000')
    """
    exponent = math.log2(codebook)
    return f"$2^{{{exponent:.0f}}}$" if exponent.is_integer() else f"{codebook:,.0f}"


def codebook_labels(codebooks: Iterable[float]) -> dict[float, str]:
    """Write codebook sizes as powers of two if all are, else all as plain numbers.

    >>> codebook_labels([64, 1000])
    {64: '64', 1000: '1,000'}
    """
    sizes = list(codebooks)
    if all(math.log2(size).is_integer() for size in sizes):
        return {size: codebook_label(size) for size in sizes}
    return {size: f"{size:,.0f}" for size in sizes}


def law_text(law: Law, shown: str) -> str:
    """Write a law with its errors as a formula; `shown` names what it gives."""
    slope = plus_minus(law.slope, law.slope_se).replace("±", r"\pm")
    intercept = plus_minus(law.intercept, law.intercept_se).replace("±", r"\pm")
    y, x = mathtext(shown), mathtext(law.x)
    if law.kind == "log":
        return rf"${y} = ({slope})\,\log_{{10}} {x} + ({intercept})$"
    return rf"${y} = 10^{{{intercept}}}\; {x}^{{\,{slope}}}$"


# --- Ticks --------------------------------------------------------------------------


def decade_axis(axis: Axis) -> None:
    """Tick a log axis at whole powers of ten; where those are few, label between."""
    low, high = sorted(axis.get_view_interval())
    if math.log10(high / low) < 0.3:
        # Not even 2 and 5 need be in view: even steps, as on a linear axis.
        axis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        axis.set_major_formatter(FuncFormatter(lambda x, _: _scientific(x)))
        axis.set_minor_locator(NullLocator())
        return
    axis.set_major_locator(LogLocator(base=10, numticks=9))
    axis.set_major_formatter(LogFormatterMathtext(base=10))
    axis.set_minor_locator(LogLocator(base=10, subs=range(2, 10), numticks=99))
    axis.set_minor_formatter(NullFormatter())
    powers = math.floor(math.log10(high)) - math.ceil(math.log10(low)) + 1
    if powers < 2:
        span = math.log10(high / low)
        wanted = "23456789" if span < 0.5 else "25" if span < 1 else "3"
        axis.set_minor_formatter(
            FuncFormatter(lambda x, _: _scientific(x) if f"{x:e}"[0] in wanted else "")
        )


def _scientific(value: float) -> str:
    """Write 2e6 as 2 x 10^6, with as many digits as it has."""
    digits, exponent = f"{value:.6e}".split("e")
    return rf"${float(digits):g}\times10^{{{int(exponent)}}}$"


def codebook_axis(axis: Axis, codebooks: Iterable[float]) -> None:
    """Tick a log axis at powers of two, or at the codebook sizes if those are few."""
    sizes = sorted(set(codebooks))
    low, high = math.ceil(math.log2(sizes[0])), math.floor(math.log2(sizes[-1]))
    step = math.ceil((high - low + 1) / 12) or 1
    powers = [2.0**k for k in range(low, high + 1, step)]
    places = powers if len(powers) > 1 else sizes
    names = codebook_labels(places)
    axis.set_major_locator(FixedLocator(places))
    axis.set_major_formatter(FuncFormatter(lambda x, _: names.get(x, "")))
    axis.set_minor_locator(NullLocator())


# --- Labels and keys ----------------------------------------------------------------


def spread(wanted: ArrayLike, gap: float, low: float, high: float) -> Array:
    """Move labels apart by as little as possible.

    Minimises the sum of squared displacements under q[i + 1] - q[i] >= gap, which in
    u[i] = q[i] - i gap is isotonic regression; the ends are then clipped.

    Parameters
    ----------
    wanted : array_like, shape (n,)
        Where the labels would best be.
    gap : float
        Least distance between neighbours, in the same units.
    low, high : float
        Where labels may be; too many labels for the room stand closer than `gap`.

    >>> spread([0.5, 0.5], 0.2, 0, 1).round(3).tolist()
    [0.4, 0.6]
    """
    wanted = np.asarray(wanted, float)
    gap = min(gap, (high - low) / max(len(wanted) - 1, 1))
    order = np.argsort(wanted, kind="stable")
    shift = gap * np.arange(len(wanted))
    level = isotonic_regression(wanted[order] - shift).x
    placed = np.empty_like(wanted)
    placed[order] = np.clip(level, low, high - shift[-1:]) + shift
    return placed


def some(items: Sequence[Item]) -> list[Item]:
    """Take at most eight items for a key, evenly, with both ends.

    >>> some("abcdefghijklmno")
    ['a', 'c', 'e', 'g', 'i', 'k', 'm', 'o']
    """
    count = min(len(items), MOST_LABELS)
    places = np.linspace(0, len(items) - 1, count).round().astype(int)
    return [items[place] for place in places]


def mark(label: str, colour: str, *, shape: str = "o", hollow: bool = False) -> Line2D:
    """Make a key's entry for points."""
    face = "white" if hollow else colour
    return Line2D(
        [], [], marker=shape, ls="", color=colour, markerfacecolor=face, label=label
    )


def key(ax: Axes, title: str, handles: Sequence[Artist], *, top: bool) -> Legend:
    """Put a key outside the axes at the right, in the upper or the lower corner."""
    legend = Legend(
        ax,
        handles,
        [str(handle.get_label()) for handle in handles],
        title=title or None,
        loc="upper left" if top else "lower left",
        bbox_to_anchor=(1.01, 1.02 if top else -0.02),
        borderaxespad=0,
        handlelength=1.6,
        alignment="left",
    )
    ax.add_artist(legend)
    legend.set_clip_on(False)
    return legend
