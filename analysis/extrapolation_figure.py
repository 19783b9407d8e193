"""How far a law could be trusted beyond its runs, had it been fitted earlier.

The law is fitted to the runs below each of several computes, and predicts the rows
above. Its errors stand against how far beyond the fitted compute they lie, and so does
the share of them that its 95 % intervals hold: what a reader of a prediction must know.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from scaling.analysis.axes import FIT, HELD_OUT, key, mark, panels
from scaling.analysis.drawing import LEVEL
from scaling.analysis.figure import Figure
from scaling.analysis.fit_drawing import (
    bin_numbers,
    draw_rows,
    fills,
    objective_sentence,
    row_area,
    set_axis,
    short,
    size_key,
    size_order,
)
from scaling.analysis.fitting import Fit, fit_sample
from scaling.analysis.holdout import foretell, windows
from scaling.analysis.intervals import uncertainty
from scaling.analysis.layout import count
from scaling.analysis.prediction import with_compute
from scaling.analysis.sample import LOSS, Sample
from scaling.errors import ScalingError

BINS = 6
"""Ranges of distance, at most, that shares and means are taken of."""
ROWS_OF_BIN = 6
"""Rows in each, at least."""
WIDE = 3.0
"""Half-width of intervals over the error from which a hit says little."""
PREDICTED = "predicted"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ExtrapolationFigure(Figure):
    """Errors of predictions against how far they reach.

    In the table `kind` is `predicted` for a row above a cut: `cut` is the compute it
    was held out from, `distance` its compute over the largest fitted, `error` loss -
    law, `low` and `high` the 95 % interval of a new run less the law, and `inside`
    whether it holds the error. For a `bin` of distances, `error` is the root mean
    square, `low` and `high` the median interval, and `inside` the share.
    """

    heading: tuple[str, ...]
    """Lines over the drawing."""
    sizes: tuple[str, ...]
    """All sizes, smallest first: a size's colour is its place here."""
    unit: str
    """What errors are in."""

    def _draw(self, ax: Axes | None) -> Axes:
        grid = panels(2, 1, 4.6, ax, height_ratios=(2.6, 1), sharex=True)
        above: Axes = grid[0, 0]
        below: Axes = grid[1, 0]
        rows, bins = (self.table[self.table["kind"] == k] for k in (PREDICTED, "bin"))
        self._draw_errors(above, rows, bins)
        self._draw_shares(below, bins)
        set_axis(below, "x", [*rows["distance"], 1], log=True, share=0.03)
        _times(below)
        below.set_xlabel("Compute of the evaluation / largest compute fitted")
        above.set_title("\n".join(self.heading))
        above.tick_params(labelbottom=False, which="both")
        return above

    def _draw_errors(self, ax: Axes, rows: pd.DataFrame, bins: pd.DataFrame) -> None:
        ax.axhline(0, color=FIT, linewidth=0.8)
        steps = _steps(bins)
        reach = 1.1 * float(rows["error"].abs().max()) or 1.0
        shaded = bins["low"].notna().any()
        shaded &= not fills(bins["low"], bins["high"], (-reach, reach))
        if shaded:
            band = steps["distance"], steps["low"], steps["high"]
            ax.fill_between(*band, color=FIT, alpha=0.14, linewidth=0)
        for sign in (-1, 1):
            ax.plot(steps["distance"], sign * steps["error"], color=FIT, linewidth=1)
        inside = rows["inside"] != 0
        area = row_area(2 * len(rows))
        draw_rows(ax, rows[inside], "distance", "error", self.sizes, area)
        ax.scatter(
            rows.loc[~inside, "distance"],
            rows.loc[~inside, "error"],
            s=2 * area,
            marker="X",
            color=HELD_OUT,
            edgecolors="white",
            linewidths=0.4,
            zorder=4,
        )
        ax.set_ylim(-reach, reach)
        ax.set_ylabel(f"Error: loss - law ({self.unit})")
        size_key(ax, self.sizes, rows)
        handles: list[Line2D | Patch] = [
            Line2D([], [], color=FIT, linewidth=1, label="± root mean square")
        ]
        if shaded:
            handles += [Patch(color=FIT, alpha=0.14, lw=0, label="95 %, new run")]
        if not inside.all():
            handles = [mark("outside its 95 %", HELD_OUT, shape="X"), *handles]
        key(ax, "", handles, top=False)

    def _draw_shares(self, ax: Axes, bins: pd.DataFrame) -> None:
        ax.axhline(LEVEL, color=FIT, linewidth=0.8, linestyle=(0, (4, 2)))
        ax.plot(bins["distance"], bins["inside"], color=FIT, marker="o", ms=4)
        ax.set_ylim(-0.05, 1.08)
        ax.set_yticks([0, 0.5, LEVEL], ["0", "50 %", "95 %"])
        ax.set_ylabel("Share inside")


def _times(ax: Axes) -> None:
    """Tick a log axis of factors at 1, 2, 5, 10 and so on, or at powers of ten."""
    low, high = ax.get_xlim()
    subs = (1, 2, 5) if high < 200 * low else (1,)
    ax.xaxis.set_major_locator(LogLocator(base=10, subs=subs, numticks=15))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda factor, _: f"{factor:,g}×"))
    ax.xaxis.set_minor_locator(NullLocator())


def extrapolation_figure(fit: Fit) -> ExtrapolationFigure:
    """Make the figure of hold-out errors against the distance of extrapolation.

    The law is fitted again for each cut, at most five times; with a thousand rows that
    takes seconds.

    Parameters
    ----------
    fit : Fit
        The law, its rows and objective.

    Raises
    ------
    ScalingError
        If the compute of the rows is not known, or no cut leaves enough rows below it.
    """
    table = with_compute(fit)
    if "C" not in table:
        raise ScalingError(
            "the compute of the rows is not known, by which distance is measured; "
            "expected a column of FLOPs: name it with --columns C=COLUMN"
        )
    cuts = windows(replace(fit.sample, table=table), fit.formula)
    rows = pd.concat([_predicted(fit, *cut) for cut in cuts], ignore_index=True)
    defined = np.isfinite(rows["error"])
    found = rows[defined].reset_index(drop=True)
    if found.empty:
        raise ScalingError(
            f"law {fit.formula.name}, fitted below, is not defined at any row above: "
            "expected exponents that keep it so: bound them, or take another law"
        )
    unit = fit.residual_unit.replace(" per token", "")
    return ExtrapolationFigure(
        name="extrapolation",
        title="Error of predictions by how far they reach",
        caption=_caption(fit, found, len(rows) - len(found)),
        table=pd.concat([found, _bins(found)], ignore_index=True),
        heading=_heading(fit, found, unit),
        sizes=size_order(table),
        unit=unit,
    )


# --- The table ----------------------------------------------------------------------


def _predicted(fit: Fit, start: float, lower: Sample, upper: Sample) -> pd.DataFrame:
    """Fit the law to the rows below a cut, and predict those above."""
    below = fit_sample(fit.formula, lower, fit.objective, patient=False)
    found, loss = foretell(uncertainty(below), upper.table, LEVEL), upper.table[LOSS]
    if fit.objective.space == "log":
        found, loss = found.transform(_log), _log(loss)
    inside = loss.between(found["new_low"], found["new_high"]).astype(float)
    rows = upper.table[[n for n in ("run", "size") if n in upper.table]]
    return rows.assign(
        kind=PREDICTED,
        cut=start,
        trained=lower.n,
        distance=upper.table["C"] / lower.table["C"].max(),
        error=loss - found["law"],
        low=found["new_low"] - found["law"],
        high=found["new_high"] - found["law"],
        inside=inside.where(found["new_low"].notna()),
    )


def _log(values: pd.Series[float]) -> pd.Series[float]:
    """Take logarithms; there is none where a law fell below zero."""
    with np.errstate(all="ignore"):
        return pd.Series(np.log(values), values.index)


def _bins(rows: pd.DataFrame) -> pd.DataFrame:
    """Sum up ranges of distance that hold as many rows each."""
    grouped = rows.groupby(bin_numbers(rows["distance"], BINS, ROWS_OF_BIN))
    distance = grouped["distance"]
    return pd.DataFrame(
        {
            "kind": "bin",
            "distance": distance.median(),
            "from": distance.min(),
            "to": distance.max(),
            "error": np.sqrt((rows["error"] ** 2).groupby(grouped.ngroup()).mean()),
            "low": grouped["low"].median(),
            "high": grouped["high"].median(),
            "inside": grouped["inside"].mean(),
        }
    )


def _steps(bins: pd.DataFrame) -> pd.DataFrame:
    """Let each bin reach over its distances, for a line of steps."""
    ends = [bins.assign(distance=bins[end]) for end in ("from", "to")]
    return pd.concat(ends).sort_values(["from", "distance"], kind="stable")


# --- Words --------------------------------------------------------------------------


def _heading(fit: Fit, rows: pd.DataFrame, unit: str) -> tuple[str, ...]:
    error = float(np.sqrt((rows["error"] ** 2).mean()))
    cuts = rows["cut"].nunique()
    lines = (
        f"Law {fit.formula.name} fitted below {count(cuts, 'compute')}, scored above",
        f"{count(len(rows), 'prediction')}, root mean square error {error:.2g} {unit}; "
        f"scatter of the whole fit {fit.residual_sd:.2g} {unit}",
    )
    share = rows["inside"].mean()
    if np.isnan(share):
        return lines
    held = f"{100 * share:.0f} % inside their 95 % intervals"
    width = float((rows["high"] - rows["low"]).mean()) / 2
    if width > WIDE * error:
        held += ": INTERVALS SO WIDE THAT THIS SAYS LITTLE"
    return (*lines, held)


def _caption(fit: Fit, rows: pd.DataFrame, undefined: int) -> str:
    cuts = rows.drop_duplicates("cut")
    listed = ", ".join(
        f"{short(cut)} ({trained})"
        for cut, trained in zip(cuts["cut"], cuts["trained"], strict=True)
    )
    sentences = [
        "Error of predictions of more expensive runs by a law fitted to the cheaper "
        "ones only: the further to the right, the further beyond the fit.",
        objective_sentence(fit),
        "Fitted again in the same way to the runs that end below each of these "
        f"computes in FLOPs (in brackets the evaluations fitted): {listed}.",
        f"Errors are loss - law, in {fit.residual_unit}: above 0 the loss was higher "
        "than predicted. Predictions by one of these fits share its errors, so that "
        "they are not independent.",
        "Steps: root mean square error, and median 95 % interval of a new run (Wald), "
        "in ranges of distance; below, the share of evaluations inside their own.",
        f"{count(undefined, 'evaluation')} where the law is not defined left out."
        if undefined
        else "",
    ]
    return " ".join(sentence for sentence in sentences if sentence)
