"""How far off a fitted law may be: intervals on parameters and on what follows.

The default is one method for all designs, chosen by its measured coverage
(`docs/coverage.md`): the scatter that each run shows (`sandwich`), carried over to any
number by its slope along the axes of theta, and Student's t with the degrees of freedom
that the runs give for that number. Bootstraps are there for comparison, and where a
number is far from linear in the parameters.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from scaling.analysis.bootstrap import bootstrap
from scaling.analysis.fitting import Fit
from scaling.analysis.sandwich import Sandwich, moving, sandwich
from scaling.analysis.scatter import Scatter, scatter_of
from scaling.errors import ScalingError, suggestion

Array = NDArray[np.float64]
Method = Literal["wald", "pairs", "residual", "wild"]
Function = Callable[[Array], Array]
Bounds = tuple[float, float]

STEP = 1e-2
"""Of the differences that replace slopes, in standard errors."""
FEW_RUNS = 10
"""Runs below which an interval is itself uncertain."""


class Ends(NamedTuple):
    """An interval on one number."""

    low: float
    high: float


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Interval:
    """Where k numbers lie."""

    low: Array
    """Lower ends, shape (k,)."""
    high: Array
    """Upper ends, shape (k,)."""
    level: float
    """Share of data sets whose interval is to hold the truth."""
    method: str
    """How it was found."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Uncertainty:
    """How a fit would scatter if its runs were made again."""

    fit: Fit
    """The fit."""
    method: Method
    """How the scatter was found."""
    reason: str
    """Why this method suits this design, in a sentence."""
    covariance: Array
    """Of theta as carried, shape (parameters, parameters), 0 where held."""
    degrees: float
    """Independent runs less parameters. Student's t has fewer for numbers that rest on
    few of the runs; `interval` finds them for each."""
    draws: Array | None
    """Refits as carried, shape (draws, parameters); None for wald."""
    seed: int
    """Of the random numbers."""
    sandwich: Sandwich | None
    """The scatter by runs; None for a bootstrap."""

    def interval(self, function: Function, level: float = 0.95) -> Interval:
        """Find intervals on numbers that follow from the parameters.

        Parameters
        ----------
        function : callable
            From theta of shape (batch, parameters), as carried, to (batch, k).
        level : float
            Share of data sets whose interval is to hold the truth.
        """
        return self._interval(function, level, None)

    def new_run(self, function: Function, level: float = 0.95) -> Interval:
        """Find where the loss of one more run will lie.

        Parameters
        ----------
        function : callable
            As for `interval`; it gives what the objective takes residuals of, that is
            log loss or loss.
        level : float
            Share of new runs that the interval is to hold.
        """
        return self._interval(function, level, scatter_of(self.fit))

    def _interval(
        self, function: Function, level: float, scatter: Scatter | None
    ) -> Interval:
        if not 0 < level < 1:
            raise ScalingError(
                f"level is {level:g}; expected a share between 0 and 1, such as 0.95"
            )
        tails = ((1 - level) / 2, (1 + level) / 2)
        with np.errstate(all="ignore"):
            if self.sandwich is not None:
                low, high = self._student(function, tails, scatter)
            else:
                low, high = self._percentiles(function, tails, scatter)
        return Interval(low=low, high=high, level=level, method=self.method)

    def _student(
        self, function: Function, tails: Bounds, scatter: Scatter | None
    ) -> Array:
        assert self.sandwich is not None
        centre = function(self.fit.theta[None])[0]
        slope = self._slope(function)
        half = stdtrit(self.sandwich.degrees(slope), tails[1])
        half = half * self.sandwich.error(slope)
        if scatter is not None:
            # Half-widths of independent errors add as their squares (Howe 1974).
            half = np.hypot(half, stdtrit(self.degrees, tails[1]) * scatter.at(centre))
        # Where a number cannot be followed along the axes, nothing is known of it.
        half = np.where(np.isnan(half), np.inf, half)
        return np.stack([centre - half, centre + half])

    def _slope(self, function: Function) -> Array:
        """Change of k numbers along the axes, shape (axes, k), by differences."""
        assert self.sandwich is not None
        size = np.sqrt(np.sum(self.sandwich.scores**2, axis=0))
        size = np.where(size > 0, STEP * size, STEP)
        steps = (self.sandwich.axes * size).T
        theta = self.fit.theta
        change = function(theta + steps) - function(theta - steps)
        return np.asarray(change / (2 * size[:, None]))

    def _percentiles(
        self, function: Function, tails: Bounds, scatter: Scatter | None
    ) -> Array:
        assert self.draws is not None
        found = function(self.draws)
        if scatter is not None:
            noise = np.random.default_rng(self.seed).standard_normal((len(found), 1))
            found = found + noise * scatter.at(found)
        # A draw at which the number is not defined may lie on either side.
        unknown = np.isnan(found)
        low = np.quantile(np.where(unknown, -np.inf, found), tails[0], axis=0)
        high = np.quantile(np.where(unknown, np.inf, found), tails[1], axis=0)
        low, high = np.nan_to_num(low, nan=-np.inf), np.nan_to_num(high, nan=np.inf)
        return np.stack([low, high])

    def parameters(self, level: float = 0.95) -> dict[str, Ends]:
        """Give an interval for each parameter that was determined, in plain units.

        Ends lie within the parameters' bounds; a parameter at a bound has none.
        """
        law = self.fit.formula.compiled
        found = self.interval(lambda theta: theta, level)
        with np.errstate(over="ignore"):
            ends = law.plain(np.stack([found.low, found.high]))
        moves = moving(self.fit)
        return {
            p.name: Ends(*np.clip(ends[:, j], p.lower, p.upper).tolist())
            for j, p in enumerate(self.fit.formula.parameters)
            if moves[j]
        }

    def standard_error(self, name: str) -> float:
        """Give a parameter's standard error in plain units, 0 if it is held."""
        law = self.fit.formula.compiled
        name = self.fit.formula.tied.get(name, name)
        if name not in law.names:
            raise ScalingError(
                f"law {self.fit.formula.name} has no parameter {name!r}; "
                f"{suggestion(name, law.names)}"
            )
        j = law.names.index(name)
        if not moving(self.fit)[j]:
            return 0.0
        variance = self.covariance[j, j]
        error = math.sqrt(variance) if variance >= 0 else math.inf
        return error * self.fit.value(name) if law.scales[j] else error


def uncertainty(
    fit: Fit, method: Method | None = None, *, draws: int = 1000, seed: int = 0
) -> Uncertainty:
    """Say how far off a fit may be.

    Parameters
    ----------
    fit : Fit
        The fit.
    method : {"wald", "pairs", "residual", "wild"}, optional
        Student's t about the fit, or the percentiles of a bootstrap by runs. By
        default the first, whose coverage is near its level for all designs measured.
    draws : int
        Refits of a bootstrap.
    seed : int
        Of a bootstrap.

    Raises
    ------
    ScalingError
        If there is no such method, or a bootstrap has fewer than two runs.
    """
    if method is not None and method not in get_args(Method):
        raise ScalingError(
            f"there is no interval method {method!r}; "
            f"{suggestion(method, get_args(Method))}"
        )
    if method is None or method == "wald":
        runs = fit.sample.runs if fit.sample.clusters > 1 else np.arange(fit.sample.n)
        found, drawn = sandwich(fit, runs), None
        covariance = found.covariance
    else:
        found, drawn = None, bootstrap(fit, draws, method, seed)
        covariance = np.atleast_2d(np.cov(drawn, rowvar=False))
    return Uncertainty(
        fit=fit,
        method=method or "wald",
        reason=_reason(fit, drawn),
        covariance=covariance,
        degrees=_degrees(fit),
        draws=drawn,
        seed=seed,
        sandwich=found,
    )


def _degrees(fit: Fit) -> float:
    independent = fit.sample.clusters if fit.sample.clusters > 1 else fit.sample.n
    return float(max(independent - int(fit.free.sum()), 1))


def _reason(fit: Fit, draws: Array | None) -> str:
    """Say why the method suits the design."""
    runs, rows = fit.sample.clusters, fit.sample.n
    if fit.degrees < 1:
        return (
            f"NO ROWS LEFT OVER: {rows} rows and as many parameters, so that nothing "
            "shows how far off they are"
        )
    if runs == 1:
        scatter = "ONE RUN: its rows are taken to err apart, which one run cannot show"
    elif runs < rows:
        scatter = (
            f"the {rows} rows belong to {runs} runs; those of one run share its error, "
            f"so that {runs} is the number that counts"
        )
    else:
        scatter = f"the scatter is that of {runs} runs, and may differ between them"
    if 1 < runs < FEW_RUNS:
        scatter += f"; FEW RUNS: {runs}, so that the width is itself uncertain"
    if draws is not None:
        return f"percentiles of {len(draws)} refits; {scatter}"
    return f"Student's t, wider for what rests on few runs; {scatter}"
