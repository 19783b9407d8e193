"""A law over its data: what it says, and how well it says it.

Loss against compute, with the law's best loss at each compute, its interval and that of
a new run, one decade beyond the rows too; predicted against measured loss; residuals.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from scaling.analysis.axes import FIT, HELD_OUT, key, mark, panels, size_colours
from scaling.analysis.drawing import DASHED, LEVEL
from scaling.analysis.figure import Figure
from scaling.analysis.fit_curves import CURVES, Table, best_curve, size_curves
from scaling.analysis.fit_drawing import (
    Quantities,
    draw_rows,
    fills,
    fitted_to,
    labels_of,
    law_lines,
    law_name,
    objective_sentence,
    outside,
    padded,
    quantity,
    row_area,
    set_axis,
    short,
    size_key,
    size_order,
    standing,
)
from scaling.analysis.fitting import Fit
from scaling.analysis.holdout import HoldOut, foretell, hold_out
from scaling.analysis.intervals import Uncertainty, uncertainty
from scaling.analysis.prediction import with_compute
from scaling.analysis.sample import LOSS
from scaling.errors import ScalingError

WAYS = {"wald": "Wald intervals, from the curvature about the best fit"}
NAMES = {"law": "law", "best": "law, best size", "trained": "law, best trained"}
TOO_WIDE = "INTERVAL WIDER THAN THIS PANEL: the data do not say how far off the law is"
NEW_TOO_WIDE = "INTERVAL OF A NEW RUN WIDER THAN THIS PANEL"
SHADES = {"new": 0.10, "law": 0.22}
"""How dark each interval is."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FitFigure(Figure):
    """A law over its rows.

    In the table `kind` says what a row is of: `fitted` and `held out` are rows, with
    their loss and residual; `size` is the law along one transformer size; `law`, `best`
    or `trained` is the law against compute alone, with its intervals.
    """

    heading: tuple[str, ...]
    """Lines over the drawing: the law with its numbers, and how far to believe it."""
    x: str
    """Symbol on the axis of compute."""
    labels: Mapping[str, str]
    """Axis labels of `x` and of the loss, `L_u`."""
    log: bool
    """Whether the loss has a log axis."""
    unit: str
    """What residuals are in."""
    sizes: tuple[str, ...]
    """All sizes, smallest first: a size's colour is its place here."""
    bands: tuple[str, ...]
    """The intervals that the panel can show: some of `law` and `new`."""

    def _draw(self, ax: Axes | None) -> Axes:
        grid = panels(2, 1, 5.6, ax, height_ratios=(1.9, 1))
        above: Axes = grid[0, 0]
        left, right = panels(1, 2, 0, grid[1, 0], width_ratios=(1, 1.25))[0]
        self._draw_law(above)
        self._draw_measured(left)
        self._draw_residuals(right)
        above.set_title("\n".join(self.heading))
        return above

    @property
    def _rows(self) -> pd.DataFrame:
        return self.table[self.table["kind"].isin(["fitted", "held out"])]

    @property
    def _line(self) -> pd.DataFrame:
        return self.table[self.table["kind"].isin(CURVES)]

    @property
    def _fitted_range(self) -> tuple[float, float]:
        fitted = self.table.loc[self.table["kind"] == "fitted", self.x]
        return float(fitted.min()), float(fitted.max())

    def _draw_law(self, ax: Axes) -> None:
        rows, line = self._rows, self._line
        set_axis(ax, "x", [*rows[self.x], *line[self.x]], log=True, share=0.02)
        seen = [*rows["loss"], *rows["law"], *line["law"]]
        set_axis(ax, "y", seen, log=self.log)
        low, high = self._fitted_range
        outside(ax, low, high)
        self._draw_sizes(ax)
        if len(line):
            for name in self.bands:
                ends = line[f"{name}_low"], line[f"{name}_high"]
                alpha = SHADES[name]
                ax.fill_between(line[self.x], *ends, color=FIT, alpha=alpha, lw=0)
            inside = line["law"].where(line["extrapolated"] == 0)
            ax.plot(line[self.x], line["law"], color=FIT, linestyle=DASHED)
            ax.plot(line[self.x], inside, color=FIT, linewidth=1.8)
        draw_rows(ax, rows, self.x, "loss", self.sizes, row_area(len(rows)))
        ax.set_xlabel(self.labels[self.x])
        ax.set_ylabel(self.labels[LOSS])
        size_key(ax, self.sizes, rows)
        key(ax, "", self._handles(), top=False)

    def _draw_sizes(self, ax: Axes) -> None:
        curves = self.table[self.table["kind"] == "size"]
        colours = size_colours(self.sizes)
        for _, curve in curves.groupby("run", sort=False):
            colour = colours[curve["size"].iloc[0]]
            ax.plot(curve[self.x], curve["law"], color=colour, linewidth=0.7)

    def _handles(self) -> list[Line2D | Patch]:
        kinds = set(self.table["kind"])
        found: list[Line2D | Patch] = []
        if "size" in kinds:
            found += [Line2D([], [], color="0.35", lw=0.7, label="law of a size")]
        if kinds & set(CURVES):
            name = next(NAMES[kind] for kind in NAMES if kind in kinds)
            found += [
                Line2D([], [], color=FIT, linewidth=1.8, label=name),
                Line2D([], [], color=FIT, linestyle=DASHED, label="extrapolated"),
            ]
        if "law" in self.bands:
            found += [Patch(color=FIT, alpha=0.32, linewidth=0, label="95 %, law")]
        if "new" in self.bands:
            found += [Patch(color=FIT, alpha=0.10, lw=0, label="95 %, new run")]
        if "held out" in kinds:
            found += [mark("held out", HELD_OUT, shape="D", hollow=True)]
        return found

    def _draw_measured(self, ax: Axes) -> None:
        """Draw measured against predicted loss; held-out rows with their interval."""
        rows = self._rows
        held = rows[rows["kind"] == "held out"]
        both = [*rows["loss"], *rows["law"]]
        for which in "xy":
            set_axis(ax, which, both, log=self.log)
        ends = padded(both, log=self.log)
        ax.plot(ends, ends, color=FIT, linewidth=0.8)
        if "law" in self.bands:
            low, high = held["new_low"], held["new_high"]
            ax.hlines(held["loss"], low, high, color=HELD_OUT, linewidth=0.6)
        draw_rows(ax, rows, "law", "loss", self.sizes, row_area(2 * len(rows)))
        ax.set_xlabel("Predicted loss")
        ax.set_ylabel("Measured loss")

    def _draw_residuals(self, ax: Axes) -> None:
        rows = self._rows
        set_axis(ax, "x", rows[self.x], log=True)
        ax.axhline(0, color=FIT, linewidth=0.8)
        if "held out" in set(rows["kind"]):
            outside(ax, *self._fitted_range)
        draw_rows(ax, rows, self.x, "residual", self.sizes, row_area(2 * len(rows)))
        size = rows["residual"].abs()
        reach = 1.2 * float(size[np.isfinite(size)].max()) or 1.0
        ax.set_ylim(-reach, reach)
        ax.locator_params(axis="y", nbins=5)
        ax.set_xlabel(self.labels[self.x])
        ax.set_ylabel(f"Residual ({self.unit})")


def fit_figure(
    uncertain: Uncertainty,
    holdout: float | None = None,
    quantities: Quantities | None = None,
) -> FitFigure:
    """Make the figure of a law over its rows.

    Parameters
    ----------
    uncertain : Uncertainty
        The law fitted to all rows, and how uncertain it is.
    holdout : float, optional
        Rows to hold out, as for `scaling.analysis.holdout.hold_out`: the law drawn is
        then one fitted without them.
    quantities : mapping, optional
        What the records' symbols stand for, for labels: `Records.quantities`.

    Raises
    ------
    ScalingError
        If the holdout cannot be, or the rows have nothing to be laid out by.
    """
    held = hold_out(uncertain.fit, holdout)
    shown = uncertainty(held.fit) if held else uncertain
    fit, table = shown.fit, with_compute(uncertain.fit)
    x = _axis(fit, table)
    below = np.ones(len(table), bool)
    if held:
        below = uncertain.fit.sample.order < held.start
    rows = _rows(shown, table, below)
    curve, kind = best_curve(shown, rows, x)
    bands = _bands(curve, (rows["loss"].min(), rows["loss"].max()))
    parts = [rows, size_curves(shown, rows, x), curve]
    found = pd.concat([part for part in parts if len(part)], ignore_index=True)
    return FitFigure(
        name="fit",
        title=f"{_capital(law_name(fit))} and its data",
        caption=_caption(shown, held, found, x),
        table=found,
        heading=(*_heading(shown, held), *(_too_wide(bands, curve) if kind else ())),
        x=x,
        labels=labels_of((x, LOSS), _known(fit, quantities)),
        log=fit.objective.space == "log",
        unit=fit.residual_unit.replace(" per token", ""),
        sizes=size_order(table),
        bands=bands,
    )


def _known(fit: Fit, quantities: Quantities | None) -> Quantities:
    """Let the loss be what the rows say, where nothing else is known."""
    return {LOSS: quantity(fit.sample.loss_symbol), **(quantities or {})}


# --- The table ----------------------------------------------------------------------


def _axis(fit: Fit, table: pd.DataFrame) -> str:
    """Choose what rows are laid out by: compute, or the law's only input."""
    inputs = fit.formula.inputs
    if len(inputs) == 1:
        return inputs[0]
    if "C" in table:
        return "C"
    raise ScalingError(
        f"the compute of the rows is not known, by which a law of "
        f"{', '.join(inputs)} is drawn; expected a column of FLOPs: name it with "
        "--columns C=COLUMN"
    )


def _rows(shown: Uncertainty, table: pd.DataFrame, below: NDArray[np.bool_]) -> Table:
    """Lay the law beside the loss of each row."""
    names = ["run", "size", "C", *shown.fit.formula.all_inputs]
    rows = table[[n for n in dict.fromkeys(names) if n in table]].copy()
    rows.insert(0, "kind", np.where(below, "fitted", "held out"))
    rows["loss"] = table[LOSS]
    rows = rows.join(foretell(shown, table, LEVEL))
    loss, law = rows["loss"], rows["law"]
    log = shown.fit.objective.space == "log"
    return rows.assign(residual=np.log(loss / law) if log else loss - law)


def _bands(curve: Table, ends: tuple[float, float]) -> tuple[str, ...]:
    """Choose the intervals that do not fill a panel from end to end."""
    return tuple(
        name
        for name in SHADES
        if len(curve)
        and curve[f"{name}_low"].notna().any()
        and not fills(curve[f"{name}_low"], curve[f"{name}_high"], ends)
    )


# --- Words --------------------------------------------------------------------------


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _too_wide(bands: tuple[str, ...], curve: Table) -> list[str]:
    """Say which interval is not shaded, and why."""
    if "law" not in bands:
        return [TOO_WIDE]
    lacking = "new" not in bands and curve["new_low"].notna().any()
    return [NEW_TOO_WIDE] * bool(lacking)


def _heading(shown: Uncertainty, held: HoldOut | None) -> tuple[str, ...]:
    fit = shown.fit
    unit = fit.residual_unit.replace(" per token", "")
    text = f"n = {fitted_to(fit)} fitted, scatter {fit.residual_sd:.2g} {unit}"
    if held:
        text += f"; {held.n} held out, root mean square error {held.rmse:.2g} {unit}"
    lines = (*law_lines(shown), text, standing(fit))
    return tuple(line for line in lines if line)


def _caption(shown: Uncertainty, held: HoldOut | None, table: Table, x: str) -> str:
    fit, kinds = shown.fit, set(table["kind"])
    line = next((CURVES[kind] for kind in CURVES if kind in kinds), "")
    fitted = with_compute(fit)[x]
    trained = ", or the data that the size was trained on" * ("trained" in kinds)
    sentences = [
        f"Measured loss of each evaluation (points) against {x}, with what "
        f"{law_name(fit)} says of it; below, predicted against measured "
        "loss, and the residuals.",
        objective_sentence(fit),
        f"{x} of the evaluations: {short(fitted.min())} to {short(fitted.max())}.",
        f"Thick line: {line}; dashed where that goes beyond the {x} of the evaluations"
        f"{trained}."
        if line
        else "",
        "Thin lines: the law along each transformer size." if "size" in kinds else "",
        "The law drawn was fitted without the evaluations held out, hollow diamonds: "
        f"{held.sentence()}."
        if held
        else "",
        "± is one standard error; shaded, where the panel can show them, are 95 % "
        f"intervals of the law and of a new run ({shown.reason}). They are "
        f"{WAYS.get(shown.method, 'percentiles of a bootstrap')}; those by profile "
        "likelihood, in the figure of profiles, may differ.",
        f"Residuals are loss - law, in {fit.residual_unit}.",
        *(f"{warning}." for warning in fit.certificate.warnings),
    ]
    return " ".join(sentence for sentence in sentences if sentence)
