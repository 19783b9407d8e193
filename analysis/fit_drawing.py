"""What the figures of a law of all rows share: words, colours, marks, grounds.

Points are rows, coloured by transformer size; held-out rows are hollow diamonds. What
lies beyond the compute of the rows stands on a grey ground.
"""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator
from numpy.typing import ArrayLike

from scaling.analysis.axes import (
    EXTRAPOLATED,
    FIT,
    HELD_OUT,
    axis_label,
    decade_axis,
    key,
    mark,
    size_colours,
    some,
)
from scaling.analysis.fitting import Fit
from scaling.analysis.intervals import Uncertainty
from scaling.analysis.layout import count
from scaling.analysis.pdg import plus_minus
from scaling.analysis.table import Quantity
from scaling.record import COLUMNS

Quantities = Mapping[str, Quantity]

WIDE = 0.4
"""Standard error over value from which a scale parameter is known to a factor."""
UNKNOWN = 100.0
"""A factor that says that a scale parameter is not determined."""
UNKNOWN_REAL = 10.0
"""Standard error over value from which one without an end is not."""
LINE = 100
"""Characters of a title's line."""
GREEK = {
    "alpha": "α",
    "beta": "β",
    "gamma": "γ",
    "delta": "δ",
    "kappa": "κ",
    "lambda": "λ",
}


# --- Words --------------------------------------------------------------------------


def quantity(symbol: str) -> Quantity:
    """Find what a symbol usually is; one that no record knows stands for itself.

    >>> quantity("D").label, quantity("width").label
    ('Training data D (tokens)', 'width')
    """
    for column in COLUMNS.values():
        if column.symbol == symbol:
            return Quantity.of(symbol, column.name)
    if symbol in COLUMNS:  # a score, which is called by its column
        return Quantity.of(symbol, symbol)
    return Quantity(symbol=symbol, column=symbol, label=symbol)


def short(value: float, digits: int = 2) -> str:
    """Write a number in few digits, with a power of ten where it is long.

    >>> short(3.46e11), short(1e18), short(4400), short(-0.0049), short(1.2e-7)
    ('3.5e11', '1e18', '4400', '-0.0049', '1.2e-7')
    """
    rounded = float(f"{value:.{digits}g}")
    if not math.isfinite(rounded) or rounded == 0 or 1e-4 <= abs(rounded) < 1e5:
        return f"{rounded:.{digits + 4}g}"
    mantissa, _, exponent = f"{rounded:.{digits - 1}e}".partition("e")
    return f"{float(mantissa):g}e{int(exponent)}"


def labels_of(symbols: Iterable[str], known: Quantities | None) -> dict[str, str]:
    """Give axis labels by symbol, as the records have them where they are known."""
    known = known or {}
    return {s: axis_label(known[s] if s in known else quantity(s)) for s in symbols}


def greek(text: str) -> str:
    """Set the names of Greek letters as letters.

    >>> greek("A1 / N_nv^alpha1 + B / D^beta")
    'A1 / N_nv^α1 + B / D^β'
    """
    names = "|".join(GREEK)
    return re.sub(
        rf"(?<![A-Za-z])({names})(?![A-Za-z])", lambda m: GREEK[m.group()], text
    )


def law_lines(uncertain: Uncertainty) -> list[str]:
    """Write a law, and below it its parameters with their standard errors."""
    fit = uncertain.fit
    names = [p.name for p in fit.formula.parameters if p.name not in fit.formula.tied]
    formula = f"{fit.sample.loss_symbol} = {fit.formula.written()}"
    # A break within "a = b ± c" would be read as two numbers.
    given = {n: _number(uncertain, n).replace(" ", "\N{NO-BREAK SPACE}") for n in names}
    lacking = ", ".join(name for name in names if not given[name])
    whole = [each for each in given.values() if each]
    whole += [f"not determined: {lacking}"] if lacking else []
    numbers = textwrap.wrap(", ".join(whole), LINE)
    lines = [
        *textwrap.wrap(formula, LINE),
        *(line.replace("\N{NO-BREAK SPACE}", " ") for line in numbers),
    ]
    return [greek(line).replace("= -", "= \N{MINUS SIGN}") for line in lines]


def _number(uncertain: Uncertainty, name: str) -> str:
    """Write a parameter with its error; nothing where it is not determined."""
    value, error = uncertain.fit.value(name), uncertain.standard_error(name)
    if uncertain.fit.formula.parameter(name).scale and error > WIDE * value:
        factor = math.exp(min(error / value, UNKNOWN))
        if factor < UNKNOWN:
            return f"{name} = {value:.3g} to a factor of {factor:.2g}"
    elif error < UNKNOWN_REAL * abs(value):
        return f"{name} = {plus_minus(value, error)}"
    return ""


def standing(fit: Fit) -> str:
    """Name in one line what speaks against a fit: the words in capitals."""
    return "; ".join(warning.split(":")[0] for warning in fit.certificate.warnings)


def law_name(fit: Fit) -> str:
    """Name a law for a reader who is new: joint where it is one of several inputs."""
    joint = "joint " * (len(fit.formula.inputs) > 1)
    return f"the {joint}loss law ({fit.formula.name})"


def fitted_to(fit: Fit) -> str:
    """Say how many evaluations, and of how many runs, a law was fitted to."""
    n, runs = fit.sample.n, fit.sample.clusters
    return count(n, "evaluation") + f" of {count(runs, 'run')}" * (runs < n)


def objective_sentence(fit: Fit) -> str:
    """Say what was fitted, to what, and how."""
    sample = fit.sample
    return (
        f"Law {fit.formula.name}: {sample.loss_symbol} = {fit.formula.written()}, "
        f"fitted by {fit.objective} to n = {fitted_to(fit)}."
    )


# --- Colours and marks --------------------------------------------------------------


def size_order(table: pd.DataFrame) -> tuple[str, ...]:
    """Order the transformer sizes by their parameters, or else by their loss."""
    if "size" not in table:
        return ()
    by = next((n for n in ("N_nv", "N") if n in table), None)
    order = table[by] if by else -table["L_u"]
    return tuple(order.groupby(table["size"]).median().sort_values(kind="stable").index)


def draw_rows(
    ax: Axes, table: pd.DataFrame, x: str, y: str, sizes: Sequence[str], area: float
) -> None:
    """Draw rows: those fitted as points, those held out as hollow diamonds."""
    held = table["kind"] == "held out"
    fitted, colours = table[~held], size_colours(sizes)
    shades = fitted["size"].map(colours) if "size" in table else FIT
    ax.scatter(
        fitted[x],
        fitted[y],
        s=area,
        c=shades,
        edgecolors="white",
        linewidths=0.02 * area,
        zorder=3,
    )
    ax.scatter(
        table.loc[held, x],
        table.loc[held, y],
        s=area,
        marker="D",
        facecolors="white",
        edgecolors=HELD_OUT,
        linewidths=1,
        zorder=4,
    )


def row_area(rows: int) -> float:
    """Give the area of a point, smaller where there are many.

    >>> row_area(10), row_area(5000)
    (30.0, 8.0)
    """
    return float(np.clip(30 * (60 / max(rows, 1)) ** 0.5, 8, 30))


def size_key(ax: Axes, sizes: Sequence[str], rows: pd.DataFrame) -> None:
    """Say at the right what size a colour is, at most eight of those of the rows."""
    if "size" in rows:
        colours, held = size_colours(sizes), set(rows["size"])
        shown = some([size for size in sizes if size in held])
        key(ax, "Transformer size", [mark(s, colours[s]) for s in shown], top=True)


def fills(
    low: pd.Series[float], high: pd.Series[float], ends: tuple[float, float]
) -> bool:
    """Whether half of a band would fill a panel from end to end, and say nothing."""
    return bool(((low < ends[0]) & (high > ends[1])).mean() > 0.5)


def outside(ax: Axes, low: float, high: float) -> None:
    """Lay a grey ground where there are no rows; limits must be set."""
    left, right = ax.get_xlim()
    for ends in ((left, low), (high, right)):
        if ends[0] < ends[1]:
            ax.axvspan(*ends, color=EXTRAPOLATED, linewidth=0, zorder=0)


def bin_numbers(x: pd.Series[float], most: int, least: int) -> pd.Series[int]:
    """Give each place the number of its bin: one per value, or as many rows in each.

    Parameters
    ----------
    x : Series
        Places, positive.
    most : int
        Bins, at most.
    least : int
        Rows of a bin, at least, where values share one.

    >>> bin_numbers(pd.Series([1.0, 9.0, 1.0]), most=8, least=4).tolist()
    [0, 1, 0]
    """
    places = x.map(lambda value: float(f"{value:.6g}"))  # equal but for rounding
    if places.nunique() > most:
        bins = max(1, min(most, len(x) // least))
        places = pd.qcut(places, bins, labels=False, duplicates="drop").fillna(0)
    return places.rank(method="dense").astype(int) - 1


# --- Axes ---------------------------------------------------------------------------


def padded(values: ArrayLike, *, log: bool, share: float = 0.06) -> tuple[float, float]:
    """Give limits a little wider than the values.

    >>> padded([1, 100], log=True, share=0.5)
    (0.1, 1000.0)
    """
    given = np.asarray(values, float)
    scaled = np.log10(given[given > 0]) if log else given
    scaled = scaled[np.isfinite(scaled)]
    low, high = float(scaled.min()), float(scaled.max())
    pad = share * (high - low) or 0.5
    low, high = low - pad, high + pad
    return (10.0**low, 10.0**high) if log else (low, high)


def set_axis(
    ax: Axes, which: str, values: ArrayLike, *, log: bool, share: float = 0.06
) -> None:
    """Scale the axis x or y to values, with ticks at powers of ten on a log axis."""
    low, high = padded(values, log=log, share=share)
    ax.set(**{f"{which}lim": (low, high)})
    axis = getattr(ax, f"{which}axis")
    if not log:
        return
    ax.set(**{f"{which}scale": "log"})
    if low < 0.01 or high > 100 or high > 20 * low:
        decade_axis(axis)
    else:  # losses of a few nats are read more easily as they are
        axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_locator(NullLocator())
