"""A law as curves over compute: along each size that was trained, and at its best.

The best sizes are those of the law, or, where it has none for all computes, the best of
those trained.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scaling.analysis.allocation import Allocator, allocator
from scaling.analysis.drawing import LEVEL
from scaling.analysis.fitting import Fit
from scaling.analysis.holdout import foretell
from scaling.analysis.intervals import Uncertainty
from scaling.analysis.prediction import FAR
from scaling.errors import ScalingError

Array = NDArray[np.float64]
Table = pd.DataFrame

POINTS = 120
"""Computes at which a law's curve is worked out."""
KNOTS = 5
"""Computes at which best sizes are sought; between them they lie on straight lines."""
MOST_CURVES = 16
"""Sizes beyond which each one's own curve would be a tangle."""
ROWS_OF_CURVE = 3
"""Rows of a size that make a curve."""
CURVES = {
    "law": "the law",
    "best": "the law at the best sizes for each compute",
    "trained": "the law at the best of the sizes that were trained, for it has no best "
    "size of all",
}
"""What a curve at the best is."""
SLACK = 1.05
"""Factor by which a rule of compute may be off a run's own count of tokens."""


def size_curves(shown: Uncertainty, rows: Table, x: str) -> Table:
    """Follow the law along each transformer size, where those are few."""
    fit = shown.fit
    sizes = [n for n in fit.formula.all_inputs if n not in ("C", "D")]
    if "D" not in fit.formula.inputs or not sizes or "size" not in rows:
        return rows.head(0)
    groups = [of for _, of in rows.dropna(subset=x).groupby(sizes)]
    if len(groups) > MOST_CURVES or max(map(len, groups)) < ROWS_OF_CURVE:
        return rows.head(0)
    curves = []
    for k, of in enumerate(groups):
        of = of.sort_values(x)
        places = np.geomspace(of[x].iloc[0], of[x].iloc[-1], POINTS // 4)
        data = np.exp(np.interp(np.log(places), np.log(of[x]), np.log(of["D"])))
        same = {n: of[n].iloc[0] for n in ("size", *sizes)}
        curve = pd.DataFrame({"kind": "size", **same, x: places, "D": data})
        law = fit.predict(curve)
        curves.append(curve.assign(run=f"curve {k + 1}", law=law))
    return pd.concat(curves)


def best_curve(shown: Uncertainty, rows: Table, x: str) -> tuple[Table, str]:
    """Follow the law's best loss to a decade beyond the rows; say what sizes it has.

    It is `extrapolated` beyond the compute of the rows, and where a size that was
    trained would need more data than it ever had.
    """
    low, high = rows[x].min(), rows[x].max()
    places = np.unique([*np.geomspace(low, FAR * high, POINTS), high])
    if shown.fit.formula.all_inputs == (x,):
        inputs, kind = pd.DataFrame({x: places}), "law"
    else:
        try:
            inputs, kind = _best(shown.fit, rows, places)
        except ScalingError:  # a law of no size or of no data divides no compute
            return rows.head(0), ""
    beyond = ~inputs[x].between(low, high)
    if kind == "trained":
        beyond |= inputs["D"] > SLACK * _most_data(rows, inputs)
    curve = inputs.join(foretell(shown, inputs, LEVEL))
    return curve.assign(kind=kind, extrapolated=beyond), kind


def _most_data(rows: Table, inputs: Table) -> pd.Series[float]:
    """Give the most data that each size was trained on."""
    sizes = [n for n in ("N", "N_nv", "N_v") if n in inputs and n in rows]
    most = rows.groupby(sizes)["D"].max().rename("most").reset_index()
    return inputs.merge(most, how="left", on=sizes).set_axis(inputs.index)["most"]


def _best(fit: Fit, rows: Table, computes: Array) -> tuple[Table, str]:
    """Give the law's inputs at the best sizes for each compute."""
    chosen = {"N", "N_nv", "N_v", "D", "C"}
    given = {n: float(rows[n].median()) for n in fit.formula.inputs if n not in chosen}
    spend = allocator(fit, given)
    log_c = np.log(computes)
    knots = np.linspace(log_c[0], log_c[-1], KNOTS)
    found = np.array([spend.log_optimum(fit.theta[None], np.exp(c))[0] for c in knots])
    if np.isfinite(found).all():
        sizes = {
            n: np.exp(np.interp(log_c, knots, found[:, j]))
            for j, n in enumerate(spend.sizes)
        }
        return _spent(spend, sizes, computes), "best"
    trained = rows[list(spend.sizes)].drop_duplicates().to_numpy()
    each = [
        _spent(spend, dict(zip(spend.sizes, sizes, strict=True)), computes)
        for sizes in trained
    ]
    least = np.argmin([fit.predict(inputs) for inputs in each], axis=0)
    best = pd.concat([inputs.iloc[least == k] for k, inputs in enumerate(each)])
    return best.sort_index(), "trained"


def _spent(spend: Allocator, sizes: Mapping[str, Any], computes: Array) -> Table:
    """Spend compute on sizes: what is left is data."""
    inputs = pd.DataFrame({"C": computes, **sizes, **spend.given})
    logs = {n: np.log(inputs[n].to_numpy()) for n in spend.sizes}
    return inputs.assign(D=computes / spend.cost.per_token(logs))
