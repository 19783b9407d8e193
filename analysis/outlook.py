"""What the laws foretell over a range of budgets: one row per compute.

The table behind the figure of the optima and behind the report's slider, so that both
say what `scaling predict` says at the same compute.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scaling.analysis.laws_file import Laws
from scaling.analysis.lines import QUANTITIES
from scaling.analysis.prediction import FAR, LEVEL, Prediction, with_compute
from scaling.errors import ScalingError

PER_DECADE = 16
"""Budgets in a decade of compute."""
PER_DECADE_OF_TWO = 4
"""The same for a law that divides a budget between two sizes, which takes longer."""


def outlook(
    laws: Laws, computes: Iterable[float] | None = None, level: float = LEVEL
) -> pd.DataFrame:
    """Predict the best use of each budget.

    Parameters
    ----------
    laws : Laws
        The laws of the envelope, or one law.
    computes : iterable of float, optional
        Budgets in FLOPs; by default from the least compute of the points to `FAR`
        times the largest.
    level : float
        Coverage of the intervals.

    Returns
    -------
    DataFrame
        `C` in FLOPs; `loss` with the interval of the law (`loss_low`, `loss_high`) and
        of one new run (`new_low`, `new_high`); `extrapolated`, whether C lies outside
        the points; and for each symbol X that the laws choose, `X`, `X_low`, `X_high`.
        Budgets that the laws have no answer for are left out.

    Raises
    ------
    ScalingError
        If the laws know no compute, or have no answer for any budget.
    """
    budgets = span(laws) if computes is None else np.asarray(list(computes), float)
    rows, reason = [], "no budget was asked for"
    for compute in budgets:
        try:
            rows.append(_row(laws.budget(float(compute), level=level)))
        except ScalingError as error:
            reason = str(error)
    if not rows:
        raise ScalingError(reason)
    return pd.DataFrame(rows)


def span(laws: Laws) -> NDArray[np.float64]:
    """Give budgets from the least compute of the points to `FAR` times the largest."""
    low, high = fitted_range(laws)
    decades = np.log10(high * FAR / low)
    two = laws.fit is not None and "N_v" in laws.fit.formula.inputs
    each = PER_DECADE_OF_TWO if two else PER_DECADE
    return np.geomspace(low, high * FAR, 1 + int(np.ceil(each * decades)))


def fitted_range(laws: Laws) -> tuple[float, float]:
    """Give the least and the largest compute of the points, in FLOPs.

    Raises
    ------
    ScalingError
        If the laws stand on points of unknown compute.
    """
    if laws.study is not None:
        laws.study.require_laws()
        return laws.study.compute_range("L_u(C)")
    assert laws.fit is not None
    rows = with_compute(laws.fit)
    if "C" not in rows:
        raise ScalingError(
            "the compute of the rows is not known; expected a column of FLOPs, or N "
            "and D that give it: name it with --columns C=COLUMN"
        )
    return float(rows["C"].min()), float(rows["C"].max())


def _row(found: Prediction) -> dict[str, float | bool]:
    assert found.compute is not None
    low, high = found.new_run
    sizes = dict(_cells(found))
    loss = {
        "loss": found.loss.value,
        "loss_low": found.loss.low,
        "loss_high": found.loss.high,
        "new_low": low,
        "new_high": high,
    }
    return {
        "C": found.compute,
        **loss,
        "extrapolated": found.beyond > 1 + 1e-9,
        **sizes,
    }


def _cells(found: Prediction) -> Iterator[tuple[str, float]]:
    for symbol, each in found.quantities.items():
        yield symbol, each.value
        yield f"{symbol}_low", each.low
        yield f"{symbol}_high", each.high


def symbols(table: pd.DataFrame) -> list[str]:
    """Give the symbols that the laws choose, in the order of the columns.

    >>> symbols(pd.DataFrame(columns=["C", "loss", "N", "N_low", "N_high"]))
    ['N']
    """
    names = ("N", *QUANTITIES[:2], "V", QUANTITIES[2])
    return [name for name in names if name in table]
