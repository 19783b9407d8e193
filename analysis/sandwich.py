"""How far parameters scatter, from one fit: no refits, and no equal noise assumed.

Let the rows of U be those of the law's gradient by parameters, each times the root of
its weight, turned and scaled so that U^T U = 1; a column of U is an axis of theta.
With u the residuals of rows, times the same root, a fit is off along the axes by

    U^T u = sum over runs of t_g,    t_g = U_g^T u_g,

so that the scatter of the t_g is that of the fit. Since a fit bends to its data,
residuals are smaller than errors; with equal noise (1 - U_g^T U_g)^(-1/2) t_g has the
scatter that t_g would have without that: the estimate CR2 of Bell and McCaffrey (Survey
Methodology 28, 2002), and HC2 where each run is one row. What is estimated from few
runs is itself uncertain; Student's t has the degrees that they give for it.

A robust fit is least squares with the weights rho'(r) / r of its last step, and is off
by 1 / mean rho''(r) as much as that (Huber 1981, 7.6, with his small-sample factor). A
fit with a small delta passes through as many rows as it has parameters, the most
telling ones, whose residuals then say nothing. Residuals are therefore those of a
nearby fit whose delta is `WIDE` standard deviations, and the scatter is made larger by
what the smaller delta costs with normal noise: a factor of 1.22 at most.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from scaling.analysis import solver
from scaling.analysis.fitting import Fit

Array = NDArray[np.float64]

WIDE = 1.345
"""Delta, in standard deviations, at which Huber's fit is 95 % efficient."""
NORMAL_MEDIAN = 0.6745
"""Median of the absolute value of a standard normal number."""
ALONE = 1 - 1e-9
"""Share of an axis from which a run decides it alone, so that no residual tells."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Sandwich:
    """The scatter of a fit along axes of theta."""

    axes: Array
    """Columns are changes of theta, shape (parameters, axes), 0 where held."""
    scores: Array
    """What each run does to each axis, freed of leverage, shape (runs, axes)."""
    shares: Array
    """U_g^T U_g, shape (runs, axes, axes): how much of the axes rests on a run."""

    @property
    def covariance(self) -> Array:
        """Of theta, shape (parameters, parameters)."""
        with np.errstate(invalid="ignore", over="ignore"):  # what is not determined
            spread = self.scores @ self.axes.T
            return np.asarray(spread.T @ spread)

    def error(self, slope: Array) -> Array:
        """Give standard errors, shape (k,), of numbers with slopes (axes, k)."""
        return np.asarray(np.sqrt(np.sum((self.scores @ slope) ** 2, axis=0)))

    def degrees(self, slope: Array) -> Array:
        """Give degrees of freedom, shape (k,), of numbers with slopes (axes, k).

        With equal noise the squared error is a sum of squares of normal numbers, one
        for each run, with the covariance diag(d) - c c^T. It has the mean and the
        variance of a chi-squared number with these degrees (Satterthwaite 1946).
        """
        share, turn = np.linalg.eigh(self.shares)
        share = np.where(share < ALONE, share, 0)
        left = 1 - share
        z = np.einsum("gij,ik->gjk", turn, slope)
        d = np.einsum("gj,gjk->gk", share / left, z**2)
        c = np.einsum("gij,gj,gjk->gik", turn, share / np.sqrt(left), z)
        own = np.sum(c**2, axis=1)
        crossed = np.einsum("gik,gjk->kij", c, c)
        trace = np.sum(d - own, axis=0)
        squares = np.sum(d**2 - 2 * d * own, axis=0) + np.sum(crossed**2, axis=(1, 2))
        found = np.ones_like(trace)
        np.divide(trace**2, squares, out=found, where=squares > 0)
        return np.asarray(np.maximum(found, 1))


def sandwich(fit: Fit, runs: NDArray[np.intp]) -> Sandwich:
    """Estimate the scatter of a fit.

    Parameters
    ----------
    fit : Fit
        The fit.
    runs : Array of int, shape (rows,)
        Which rows err together.
    """
    theta, u, weight = _as_least_squares(fit)
    moves = np.flatnonzero(moving(fit))
    root = np.sqrt(weight)
    design = root[:, None] * _slope(fit, theta)[moves].T
    size = np.sqrt(np.sum(design**2, axis=0))
    size = np.where(size > 0, size, 1)
    U, lengths, turn = np.linalg.svd(design / size, full_matrices=False)
    axes = np.zeros((len(theta), len(moves)))
    with np.errstate(divide="ignore"):
        axes[moves] = turn.T / lengths / size[:, None]
    shares = _by_run(U[:, :, None] * U[:, None, :], runs)
    t = _by_run(U * (root * u)[:, None], runs)
    left = fit.degrees
    pooled = math.sqrt(np.sum((root * u) ** 2) / left) if left > 0 else math.inf
    scores = _freed(t, shares, pooled)
    return Sandwich(axes=axes, scores=scores, shares=shares)


def moving(fit: Fit) -> NDArray[np.bool_]:
    """Mark the parameters that were determined and did not end at a bound."""
    inside = (fit.theta > fit.problem.lower) & (fit.theta < fit.problem.upper)
    return np.asarray(fit.free & inside)


def _freed(t: Array, shares: Array, pooled: float) -> Array:
    """Free the t_g of leverage; where a run is alone, all rows say how it scatters."""
    share, turn = np.linalg.eigh(shares)
    alone = share >= ALONE
    along = np.einsum("gij,gi->gj", turn, t) / np.sqrt(np.where(alone, 1, 1 - share))
    along[alone] = pooled
    return np.asarray(np.einsum("gij,gj->gi", turn, along))


def _by_run(values: Array, runs: NDArray[np.intp]) -> Array:
    found = np.zeros((runs.max() + 1, *values.shape[1:]))
    np.add.at(found, runs, values)
    return found


def _slope(fit: Fit, theta: Array) -> Array:
    """Slope of the law, or of its logarithm, shape (parameters, rows)."""
    law, slope, _ = fit.formula.compiled.derivatives(theta[None], fit.problem.x)
    return np.asarray(slope[0] / law if fit.objective.space == "log" else slope[0])


def _as_least_squares(fit: Fit) -> tuple[Array, Array, Array]:
    """Find the least squares that a fit amounts to near its minimum.

    Returns
    -------
    theta : Array, shape (parameters,)
        The nearby fit.
    u : Array, shape (rows,)
        What its residuals stand for.
    weight : Array, shape (rows,)
        Weights of its last step, small where a row is far out.
    """
    sd, problem, theta = robust_sd(fit), fit.problem, fit.theta
    delta = max(fit.objective.final_delta, WIDE * sd)
    if delta > fit.objective.final_delta:
        name = "huber" if fit.objective.name == "lad" else fit.objective.name
        wider = replace(fit.objective, name=name, delta=delta)
        problem = replace(problem, objective=wider)
        theta = solver.minimise(problem, theta[None]).theta[0]
    r = solver.residuals(problem, theta[None])[0]
    slopes = problem.objective.slopes(r, delta)
    mean = slopes.second.mean()
    few = 1 + fit.free.sum() / len(r) * slopes.second.var() / mean**2
    cost = variance(fit.objective.final_delta / sd) / variance(delta / sd) if sd else 1
    u = few * math.sqrt(cost) * slopes.chord.mean() / mean * r
    return theta, u, fit.sample.weight * slopes.chord


def robust_sd(fit: Fit) -> float:
    """Estimate the standard deviation of noise by a median, over rows not fitted."""
    size = np.sort(np.abs(fit.residuals))[int(fit.free.sum()) :]
    return float(np.median(size)) / NORMAL_MEDIAN if len(size) else 0.0


def variance(delta: float) -> float:
    """Variance of Huber's estimate of a mean, in that of the mean, for normal noise.

    >>> round(variance(1.345), 4), round(variance(1e-6), 4)
    (1.0526, 1.5708)
    """
    if math.isinf(delta):
        return 1.0
    inside = math.erf(delta / math.sqrt(2))
    density = math.exp(-(delta**2) / 2) / math.sqrt(2 * math.pi)
    return (inside - 2 * delta * density + delta**2 * (1 - inside)) / inside**2
