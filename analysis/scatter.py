"""How far one more run will lie from the law, even were the law known exactly.

Small runs are often noisier than large ones. The runs' scatter is therefore given a
trend, exp(trend x predicted loss), so far as their residuals bear it out: a trend that
is no larger than its own error is not believed at all (James and Stein 1961).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scaling.analysis.fitting import Fit

Array = NDArray[np.float64]

OUTLYING = 3.0
"""Residuals further out, in medians, say no more about the trend than those there."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scatter:
    """Standard deviation of one run about the law, by its predicted loss."""

    sd: float
    """At `centre`, in the units of the objective's residuals."""
    trend: float
    """Change of its logarithm with the predicted loss, or log loss."""
    centre: float
    """Predicted loss, or log loss, of the mean run."""
    lowest: float
    """Least predicted loss of a run; the scatter is not extrapolated beyond."""
    highest: float
    """Greatest predicted loss of a run."""

    def at(self, predicted: Array) -> Array:
        """Give the standard deviation at predicted losses."""
        within = np.clip(predicted, self.lowest, self.highest)
        return np.asarray(self.sd * np.exp(self.trend * (within - self.centre)))


def scatter_of(fit: Fit) -> Scatter:
    """Estimate the scatter of runs about a fit."""
    loss = np.log(fit.sample.loss) if fit.objective.space == "log" else fit.sample.loss
    runs = fit.sample.runs
    rows = np.bincount(runs)
    predicted = np.bincount(runs, loss - fit.residuals) / rows
    # A new run is taken to have the mean weight.
    weight = fit.sample.weight / fit.sample.weight.mean()
    square = np.bincount(runs, weight * fit.residuals**2) / rows
    trend, centre = _trend(predicted, np.sqrt(square)), float(predicted.mean())
    # The parameters took away their share of what runs, not rows, are independent in.
    count = len(rows) if len(rows) > fit.free.sum() else fit.sample.n
    left = max(count - int(fit.free.sum()), 1)
    even = square * np.exp(-2 * trend * (predicted - centre))
    return Scatter(
        sd=float(np.sqrt(np.average(even, weights=rows) * count / left)),
        trend=trend,
        centre=centre,
        lowest=float(predicted.min()),
        highest=float(predicted.max()),
    )


def _trend(predicted: Array, size: Array) -> float:
    """Slope of ln size by least squares of size itself (Glejser 1969), shrunk."""
    size = np.minimum(size, OUTLYING * np.median(size))
    x = predicted - predicted.mean()
    if len(x) < 3 or not size.any() or not x.any():
        return 0.0
    y = size / size.mean()
    slope = float(x @ y / (x @ x))
    rest = y - 1 - slope * x
    error = float(rest @ rest / (len(x) - 2) / (x @ x))
    return slope * max(0.0, 1 - error / slope**2) if slope else 0.0
