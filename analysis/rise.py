"""What a rise of the objective means: when it is more than chance.

A restriction of one number, such as a parameter held or a tie, raises the objective by
F - F_min. Where it holds true,

    2 c (F - F_min) ~ F(1, degrees),   c = mean rho'' / mean rho'^2,

degrees being the rows left over. For least squares 1 / c is the residual variance, and
this is the ratio of residual sums (Bates and Watts 1988, section 6.1.2). For Huber's
objective it is the robust likelihood ratio test (Heritier and Ronchetti, JASA 89, 897,
1994). Where rows are checkpoints of runs, which err together, c is the ratio of the
variances that the number has when rows, and when runs, are independent (Kent,
Biometrika 69, 19, 1982). Near a small delta few rows have rho'' > 0, so they are
counted in a wider window about 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import fdtrc, fdtri, ndtri

from scaling.analysis.fitting import Fit

Array = NDArray[np.float64]

WINDOW = 2.5
"""Half width in which rho'' is counted, in standard deviations over the cube root of
the rows left over: the rate of Hall and Sheather (JRSS B 50, 381, 1988); the factor is
such that of 20 to 240 runs, 5 % of true restrictions are rejected at 5 %."""
EXACT = 1e-8
"""Least standard deviation of residuals, relative to the loss: below it is rounding."""


@dataclass(frozen=True, eq=False)
class Rise:
    """A scale for rises of a fit's objective."""

    fit: Fit
    """The fit, at its minimum."""

    @cached_property
    def slopes(self) -> Array:
        """Of the residuals in each free parameter, shape (parameters, rows)."""
        problem = self.fit.problem
        law, slope, _ = problem.law.derivatives(self.fit.theta[None], problem.x)
        J = slope[0] / law if problem.objective.space == "log" else slope[0]
        return np.where(self.fit.free[:, None], J, 0.0)

    @cached_property
    def pull(self) -> Array:
        """Of each row, w rho'(r)."""
        objective = self.fit.objective
        first = objective.slopes(-self.fit.residuals, objective.final_delta).first
        return np.asarray(self.fit.sample.weight * first)

    @cached_property
    def deviation(self) -> float:
        """Standard deviation of the residuals, from their median size."""
        size = float(np.median(np.abs(self.fit.residuals))) / ndtri(0.75)
        size *= math.sqrt(self.fit.sample.n / max(self.fit.degrees, 1))
        return max(size, self._rounding)

    @cached_property
    def bend(self) -> float:
        """Mean rho''."""
        objective = self.fit.objective
        if objective.name == "lsq":
            return 1.0
        delta = objective.final_delta
        left = max(self.fit.degrees, 1)
        window = max(delta, WINDOW * self.deviation * left ** (-1 / 3))
        second = objective.slopes(-self.fit.residuals, window).second
        counted = float(np.average(second, weights=self.fit.sample.weight))
        # Only the absolute deviation's rho'' grows as its window shrinks.
        return counted if objective.name == "lad" else counted * delta / window

    @cached_property
    def inverse(self) -> Array:
        """Of the expected Hessian, bend x sum w J J^T; 0 where parameters are held."""
        H = self.bend * (self.slopes * self.fit.sample.weight) @ self.slopes.T
        size = np.sqrt(np.diag(H))
        size[size == 0] = 1.0
        values, vectors = np.linalg.eigh(H / np.outer(size, size))
        inverse = (vectors / np.maximum(values, 1e-13)) @ vectors.T
        inverse[~self.fit.free] = inverse[:, ~self.fit.free] = 0.0
        return np.asarray(inverse / np.outer(size, size))

    @property
    def by_run(self) -> bool:
        """Whether runs have several rows, which err together."""
        return self.fit.sample.clusters < self.fit.sample.n

    @property
    def degrees(self) -> int:
        """Of the denominator: rows left over, or runs less one if that is fewer."""
        runs = self.fit.sample.clusters - 1
        return min(self.fit.degrees, runs) if self.by_run else self.fit.degrees

    def scale(self, contrast: Array) -> float:
        """Give c for a combination of parameters, shape (parameters,)."""
        if self.by_run:
            along = contrast @ self.inverse
            return float(along @ contrast) / self._variance(along)
        return self.bend / self._scatter

    def standard_error(self, contrast: Array) -> float:
        """Give that of a combination, the objective taken as a parabola."""
        curvature = float(contrast @ self.inverse @ contrast)
        return math.sqrt(curvature / self.scale(contrast))

    def allowed(self, contrast: Array, level: float) -> float:
        """Give the rise that a true restriction exceeds in a share 1 - level."""
        quantile = float(fdtri(1, self.degrees, level))
        return quantile / (2 * self.scale(contrast))

    def statistic(self, contrast: Array, rise: float) -> tuple[float, float]:
        """Give 2 c x rise, and the share of true restrictions that exceed it."""
        found = max(0.0, float(2 * self.scale(contrast) * rise))
        return found, float(fdtrc(1, self.degrees, found))

    @property
    def _scatter(self) -> float:
        """Mean rho'^2, over the rows left over."""
        squares = float(np.sum(self.pull**2 / self.fit.sample.weight))
        return max(squares / max(self.fit.degrees, 1), self._rounding**2)

    def _variance(self, along: Array) -> float:
        """Variance of a combination when runs, and not rows, err independently."""
        count = self.fit.sample.clusters
        rows = (along @ self.slopes) * self.pull
        runs = np.bincount(self.fit.sample.runs, rows, minlength=count)
        least = self._rounding**2 * float(np.sum((along @ self.slopes) ** 2))
        return max(float(runs @ runs) * count / max(count - 1, 1), least)

    @property
    def _rounding(self) -> float:
        if self.fit.objective.space == "log":
            return EXACT
        return EXACT * float(np.abs(self.fit.sample.loss).mean())
