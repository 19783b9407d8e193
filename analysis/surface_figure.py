"""The loss over model size and codebook, with the best codebook of each size.

With a law of N_nv, N_v and D: what it says at budgets of compute, where every cell
trains on the tokens that the budget buys, and the runs as they were measured there.
Without: the lowest loss measured for each size and codebook.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from scaling.analysis.allocation import Allocator, allocator, each_at
from scaling.analysis.approaches import profile_rows
from scaling.analysis.figure import Figure
from scaling.analysis.fit_drawing import objective_sentence, short
from scaling.analysis.fitting import Fit
from scaling.analysis.intervals import Uncertainty
from scaling.analysis.layout import count
from scaling.analysis.prediction import width_law
from scaling.analysis.surface_drawing import draw
from scaling.analysis.table import Quantity, Records
from scaling.errors import ScalingError

Array = NDArray[np.float64]

INPUTS = {"N_nv", "N_v", "D"}
PANELS = 3
"""Budgets that are shown."""
CELLS = 32
"""Cells of the law's surface along either side."""
FINE = 400
"""Codebooks among which the best of a size is sought."""
MARGIN = 1.6
"""Factor by which the surface goes beyond the runs."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SurfaceFigure(Figure):
    """Loss over N_nv and V.

    The table's `kind` is `run`, a measured loss; `law`, a cell of the law's surface at
    a budget C, with its D; `ridge`, the best V of a size; or `best`, the law's optimum.
    """

    size: Quantity
    """What N_nv stands for."""
    loss: Quantity
    """What L_u stands for."""

    def _draw(self, ax: Axes | None) -> Axes:
        return draw(self.table, self.size, self.loss, ax)


def surface_figure(
    records: Records, uncertain: Uncertainty | None = None
) -> SurfaceFigure:
    """Lay out the loss over model size and codebook.

    Parameters
    ----------
    records : Records
        With N_nv and V, of at least two values each.
    uncertain : Uncertainty, optional
        A fitted law; it is drawn if it is one of N_nv, N_v and D that has a best
        codebook somewhere among the runs.

    Raises
    ------
    ScalingError
        If the records do not span sizes and codebooks.
    """
    points = records.points()
    _require(points)
    loss = records.quantities["L_u"]
    try:
        table, said = _by_law(points, uncertain)
    except ScalingError as reason:
        table = _measured(points)
        said = _measured_caption(table, loss)
        said += f" No law is drawn: {reason}." * (uncertain is not None)
    return SurfaceFigure(
        name="surface",
        title="Loss over model size and codebook size",
        caption=said,
        table=table,
        size=records.quantities["N_nv"],
        loss=loss,
    )


def _require(points: pd.DataFrame) -> None:
    for symbol in ("N_nv", "V"):
        if symbol not in points:
            raise ScalingError(
                f"needs {symbol}, which the records do not hold: name the column with "
                f"--columns {symbol}=COLUMN"
            )
        values = points[symbol]
        if values.min() == values.max():
            raise ScalingError(
                f"all runs have {symbol} = {values.iloc[0]:,g}; expected several, for "
                "a surface: train others"
            )


# --- A law at budgets ---------------------------------------------------------------


def _by_law(
    points: pd.DataFrame, uncertain: Uncertainty | None
) -> tuple[pd.DataFrame, str]:
    """Lay out what the law says at budgets where runs can be read."""
    if uncertain is None or set(uncertain.fit.formula.inputs) != INPUTS:
        raise ScalingError("the law is not one of N_nv, N_v and D")
    fit = uncertain.fit
    rows, how = profile_rows(points, "N_nv")
    cells = rows.sort_values("L_u", kind="stable")
    cells = cells.drop_duplicates(["C", "N_nv", "V"]).sort_values(["C", "N_nv", "V"])
    held = cells.groupby("C").size()
    shown = held.index[held >= 0.5 * held.max()]
    places = np.linspace(0, len(shown) - 1, min(PANELS, len(shown))).round()
    budgets = [float(shown[int(place)]) for place in places]
    spend = allocator(fit)
    for C in budgets:
        spend.require_optimum(fit.theta, C)
    runs = cells.loc[cells["C"].isin(budgets), ["C", "N_nv", "V", "D", "L_u"]]
    parts = [_surface(fit, spend, C, points) for C in budgets]
    table = pd.concat([runs.assign(kind="run"), *parts], ignore_index=True)
    return table, " ".join(_law_sentences(fit, spend, table, how))


def _surface(
    fit: Fit, spend: Allocator, C: float, points: pd.DataFrame
) -> pd.DataFrame:
    """Evaluate the law at one budget, with the ridge and the optimum."""
    sizes, codebooks = _around(points["N_nv"]), _around(points["V"])
    grid = np.meshgrid(sizes, codebooks, indexing="ij")
    law = _evaluate(fit, spend, C, grid[0].ravel(), grid[1].ravel())
    ridge = _ridge(fit, spend, C, sizes, codebooks)
    log_best = spend.log_optimum(fit.theta[None], C)[0]
    constant, exponent = width_law(fit)
    V = np.exp(log_best[1] - constant - exponent * log_best[0])
    best = _evaluate(fit, spend, C, np.exp(log_best[:1]), np.array([V]))
    parts = {"law": law, "ridge": ridge, "best": best}
    return pd.concat([part.assign(kind=kind) for kind, part in parts.items()])


def _ridge(
    fit: Fit, spend: Allocator, C: float, sizes: Array, codebooks: Array
) -> pd.DataFrame:
    """Find the best codebook of each size, where it is among those shown."""
    fine = np.geomspace(codebooks[0], codebooks[-1], FINE)
    cells = np.meshgrid(sizes, fine, indexing="ij")
    law = _evaluate(fit, spend, C, cells[0].ravel(), cells[1].ravel())
    at = law["L_u"].to_numpy().reshape(cells[0].shape).argmin(axis=1)
    # A size that is best at an end has its best beyond it.
    inside = (at > 0) & (at < FINE - 1)
    return law.take((np.arange(len(sizes)) * FINE + at)[inside])


def _evaluate(
    fit: Fit, spend: Allocator, C: float, sizes: Array, codebooks: Array
) -> pd.DataFrame:
    """Give D and the loss of models that train on all that a budget buys."""
    constant, exponent = width_law(fit)
    logs = {"N_nv": np.log(sizes)}
    logs["N_v"] = np.log(codebooks) + constant + exponent * logs["N_nv"]
    logs["D"] = np.log(C) - np.log(spend.cost.per_token(logs))
    theta = np.tile(fit.theta, (len(sizes), 1))
    loss = each_at(fit.formula, theta, logs)
    return pd.DataFrame(
        {"C": C, "N_nv": sizes, "V": codebooks, "D": np.exp(logs["D"]), "L_u": loss}
    )


def _around(values: pd.Series[float]) -> Array:
    return np.geomspace(values.min() / MARGIN, values.max() * MARGIN, CELLS)


def _law_sentences(
    fit: Fit, spend: Allocator, table: pd.DataFrame, how: str
) -> Iterator[str]:
    runs = table[table["kind"] == "run"]
    budgets = runs["C"].unique()
    yield (
        "Loss over model size and codebook by the law, darker where it is lower; the "
        "line follows the best codebook of each size."
    )
    yield objective_sentence(fit)
    law = table[table["kind"] == "law"]
    yield (
        f"Ground: its loss at {count(len(budgets), 'budget')}, where a model trains on "
        f"all the tokens D that the budget buys (dotted), {spend.cost}, with the width "
        "that the runs give a model of N_nv. Points: the runs at that budget, in the "
        f"colour of their measured loss ({len(runs)} in all). Diamond: the best of all."
    )
    if how:
        yield how[0].upper() + how[1:] + "."
    for _, row in table[table["kind"] == "best"].iterrows():
        inside = law["N_nv"].min() < row.N_nv < law["N_nv"].max()
        inside &= law["V"].min() < row.V < law["V"].max()
        beyond = "" if inside else ", beyond what is shown"
        best = f"N_nv {short(row.N_nv)}, V {row.V:,.0f}{beyond}"
        yield f"At {short(row.C)} FLOPs: {best}."


# --- What was measured --------------------------------------------------------------


def _measured(points: pd.DataFrame) -> pd.DataFrame:
    lowest = points.sort_values("L_u", kind="stable").drop_duplicates(["N_nv", "V"])
    held = [name for name in ("size", "N_nv", "V", "C", "D", "L_u") if name in lowest]
    runs = lowest[held].sort_values(["N_nv", "V"]).assign(kind="run")
    ridge = runs.loc[runs.groupby("N_nv")["L_u"].idxmin()].assign(kind="ridge")
    return pd.concat([runs, ridge], ignore_index=True)


def _measured_caption(table: pd.DataFrame, loss: Quantity) -> str:
    runs = table[table["kind"] == "run"]
    return (
        "Lowest test loss measured for each model size and codebook, darker where it "
        "is lower; framed is the best codebook of each size. "
        f"{loss.shown} of {len(runs)} pairs of {runs['N_nv'].nunique()} sizes and "
        f"{runs['V'].nunique()} codebooks, whatever compute it took."
    )
