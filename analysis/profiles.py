"""How far a parameter may go before the data object: profile likelihood.

A parameter is held at one value after another and all others are fitted again. Its
interval holds the values at which the objective rises by no more than chance would let
it, which `rise` says. Unlike a standard error, the profile shows that data give a
parameter no end at all: the objective stays low as far as one looks.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling.analysis import solver
from scaling.analysis.fitting import Fit
from scaling.analysis.formula import Parameter
from scaling.analysis.rise import Rise
from scaling.analysis.solver import Minima, Problem
from scaling.analysis.starts import best_starts, start_grid
from scaling.errors import ScalingError, suggestion

Array = NDArray[np.float64]

FAR = 100.0
"""How far an end is looked for, in half widths of the interval of a parabola."""
STEPS = (0.5, 1, 1.5, 2, 3, 4, 6, 8, 12, 18, 27, 40, 60, FAR)
"""Where a path is followed, in those half widths."""
STRIDES = (2, 7, 27, FAR)
"""The same where it is only asked whether there is an end."""
WIDEST = 10.0
"""Greatest half width: in powers of e for a scale parameter, for others in their own
size; a direction that is flat to rounding has any."""
OVERFLOW = 100.0
"""Greatest change of the logarithm of a scale parameter."""
SHARP = 1e-3
"""How close an end is found, in half widths."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Profile:
    """The least objective as a function of one parameter."""

    name: str
    """The parameter."""
    estimate: float
    """Its value in the fit."""
    values: Array
    """Where it was held, ascending, in plain units."""
    objective: Array
    """Least objective over the other parameters, of the shape of values."""
    threshold: float
    """Objective at the ends of the interval."""
    low: float
    """Lower end; where it is open, the least value allowed."""
    high: float
    """Upper end; where it is open, the greatest value allowed."""
    low_open: bool
    """Whether the data give no lower end."""
    high_open: bool
    """Whether the data give no upper end."""
    level: float
    """Share of data sets whose interval holds the truth."""
    method: str
    """How the threshold was set."""

    def sentence(self) -> str:
        """Say the interval, or which end is missing.

        >>> Profile(
        ...     name="beta", estimate=0.4, values=np.zeros(0), objective=np.zeros(0),
        ...     threshold=0.1, low=0.21, high=5.0, low_open=False, high_open=True,
        ...     level=0.95, method="profile likelihood",
        ... ).sentence()
        'beta is at least 0.21; the data give no upper end'
        """
        if self.low_open and self.high_open:
            return f"{self.name} may be anything; the data give neither end"
        if self.high_open:
            return f"{self.name} is at least {self.low:.3g}; the data give no upper end"
        if self.low_open:
            return f"{self.name} is at most {self.high:.3g}; the data give no lower end"
        return (
            f"{self.name} is {self.estimate:.3g}, between {self.low:.3g} and "
            f"{self.high:.3g} ({100 * self.level:g} %, {self.method})"
        )


def profile(fit: Fit, name: str, *, level: float = 0.95, points: int = 41) -> Profile:
    """Follow the least objective along one parameter, and find its interval.

    Parameters
    ----------
    fit : Fit
        The fit.
    name : str
        One of its free parameters.
    level : float
        Share of data sets whose interval is to hold the truth.
    points : int
        Values spread evenly over the interval; those of the search come on top.

    Raises
    ------
    ScalingError
        If the parameter is not free, no row is left over, or the level is no share.
    """
    return _whole(_hold(fit, name, level), _minima(fit), points)


def profile_all(
    fit: Fit, *, level: float = 0.95, points: int = 41
) -> dict[str, Profile]:
    """Follow every free parameter; see `profile`."""
    minima = _minima(fit)
    return {
        p.name: _whole(_hold(fit, p.name, level), minima, points)
        for p in fit.formula.free
    }


def missing_ends(
    fit: Fit, names: Iterable[str] | None = None, *, level: float = 0.95
) -> dict[str, Profile]:
    """Follow free parameters, by default all, in few steps; keep those without an end.

    Those ends are missing for certain: as far as one looks, or as a bound on another
    parameter lets one look, points were found that the data allow.
    """
    found = {}
    for name in [p.name for p in fit.formula.free] if names is None else names:
        held = _hold(fit, name, level)
        paths = _paths(held)
        _follow(held, paths, STRIDES)
        if not all(path.closed for path in paths):
            found[name] = (held, paths)
    minima = _minima(fit) if found else None
    for held, paths in found.values():
        assert minima is not None
        _cross_valleys(held, paths, minima, STRIDES)
    return {name: _profile(*each, points=0) for name, each in found.items()}


# --- One parameter held -------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Held:
    """One parameter held, and what is known of the objective along it."""

    fit: Fit
    parameter: Parameter
    problem: Problem
    column: int
    level: float
    threshold: float
    width: float
    """Half width of the interval if the objective were a parabola."""
    tangent: Array
    """Change of theta with the parameter at the minimum."""
    limits: tuple[float, float]
    """How far to look, as the solver carries it."""


def _hold(fit: Fit, name: str, level: float) -> _Held:
    _require(fit, name, level)
    names = fit.formula.compiled.names
    column, problem, rise = names.index(name), fit.problem, Rise(fit)
    parameter = fit.formula.parameters[column]
    contrast = np.eye(len(names))[column]
    allowed, curved = rise.allowed(contrast, level), rise.inverse[column]
    at = float(fit.theta[column])
    size = 1.0 if parameter.scale else max(abs(at), 0.1)
    width = min(math.sqrt(2 * allowed * curved[column]), WIDEST * size)
    far = min(FAR * width, OVERFLOW) if parameter.scale else FAR * width
    low, high = parameter.bounds
    return _Held(
        fit=fit,
        parameter=parameter,
        problem=_without_overflow(problem, fit.theta, problem.free & (contrast == 0)),
        column=column,
        level=level,
        threshold=float(fit.objective_value + allowed),
        width=width,
        tangent=curved / curved[column],
        limits=(max(low, at - far), min(high, at + far)),
    )


def _without_overflow(problem: Problem, theta: Array, free: NDArray[Any]) -> Problem:
    """Free these parameters, scale parameters as far as numbers reach."""
    far = np.where(problem.law.scales, OVERFLOW, np.inf)
    lower, upper = np.maximum(problem.lower, theta - far), theta + far
    return replace(
        problem, free=free, lower=lower, upper=np.minimum(problem.upper, upper)
    )


def _require(fit: Fit, name: str, level: float) -> None:
    free = [parameter.name for parameter in fit.formula.free]
    if name in fit.formula.tied:
        raise ScalingError(
            f"{name} is tied to {fit.formula.tied[name]}; only a free parameter has a "
            f"profile: ask for that of {fit.formula.tied[name]}"
        )
    if name not in free:
        raise ScalingError(
            f"law {fit.formula.name} has no free parameter {name!r}; "
            f"{suggestion(name, free)}"
        )
    if not 0 < level < 1:
        raise ScalingError(
            f"level is {level:g}; expected a share between 0 and 1, such as 0.95"
        )
    if Rise(fit).degrees < 1:
        raise ScalingError(
            f"{fit.sample.n} rows of {fit.sample.clusters} runs leave nothing over "
            f"{len(free)} free parameters, so that no interval can be given: add runs, "
            "or fix or tie parameters"
        )


def _minima(fit: Fit) -> Minima:
    """Bring starts from all over to their minima once more."""
    starts = best_starts(fit.problem, start_grid(fit.formula, fit.sample))
    return solver.minimise(fit.problem, starts)


def _whole(held: _Held, minima: Minima, points: int) -> Profile:
    paths = _paths(held)
    _follow(held, paths, STEPS)
    _cross_valleys(held, paths, minima, STEPS)
    return _profile(held, paths, points)


def _profile(held: _Held, paths: tuple[_Path, _Path], points: int) -> Profile:
    low, high = paths
    ends = [_end(held, path) for path in paths]
    # The fit itself is on both paths.
    theta = np.array([*low.theta[::-1], *high.theta[1:]])
    theta = _spread(held, theta, points)
    p, column = held.parameter, held.column
    limits = (0.0 if p.scale else p.lower, p.upper)
    found = [
        float(limit) if end is None else end
        for end, limit in zip(ends, limits, strict=True)
    ]
    together = " over runs" if Rise(held.fit).by_run else ""
    return Profile(
        name=p.name,
        estimate=held.fit.value(p.name),
        values=held.problem.law.plain(theta)[:, column],
        objective=solver.values(held.problem, theta),
        threshold=held.threshold,
        low=found[0],
        high=found[1],
        low_open=ends[0] is None,
        high_open=ends[1] is None,
        level=held.level,
        method=f"profile likelihood{together}",
    )


def _least(held: _Held, values: Sequence[float], starts: Array) -> tuple[Array, Array]:
    """Minimise over the other parameters.

    Parameters
    ----------
    values : sequence of float
        Where to hold the parameter, as carried.
    starts : Array, shape (values, starts, parameters)
        Guesses of all parameters at each value.

    Returns
    -------
    objective : Array, shape (values,)
    theta : Array, shape (values, parameters)
    """
    starts = np.nan_to_num(starts, posinf=OVERFLOW, neginf=-OVERFLOW)
    starts[:, :, held.column] = np.asarray(values)[:, None]
    count, tried, parameters = starts.shape
    found = solver.minimise(held.problem, starts.reshape(-1, parameters))
    objective = found.value.reshape(count, tried)
    best = np.argmin(objective, axis=1)
    each = np.arange(count)
    theta = found.theta.reshape(count, tried, parameters)
    return objective[each, best], theta[each, best]


# --- The path to either side --------------------------------------------------------


@dataclass(kw_only=True, slots=True, eq=False)
class _Path:
    """The minima on one side of the fit, as far as they were followed."""

    held: _Held
    sign: int
    origin: float
    """Where steps are counted from, as carried."""
    theta: list[Array]
    objective: list[float]

    def value(self, k: int) -> float:
        """Give the held parameter's k-th value, as carried."""
        return float(self.theta[k][self.held.column])

    @property
    def outside(self) -> bool:
        """Whether the path has left the interval."""
        return self.objective[-1] > self.held.threshold

    @property
    def going(self) -> bool:
        """Whether there is more to follow."""
        limit = self.held.limits[self.sign > 0]
        return not self.outside and self.value(-1) != limit

    @property
    def closed(self) -> bool:
        """Whether the data end the interval, and not the bound of an exponent."""
        return self.outside and not self._pressed()

    def _pressed(self) -> bool:
        # That exponents lie below 5 is no knowledge, as it is that a floor is not
        # negative; and a scale parameter at its bound is a term that has vanished.
        problem, theta = self.held.problem, self.theta[-1]
        floor = [parameter.floor for parameter in self.held.fit.formula.parameters]
        exponent = problem.free & ~problem.law.scales & ~np.array(floor)
        at_bound = (theta <= problem.lower) | (theta >= problem.upper)
        return bool(np.any(exponent & at_bound))

    def ahead(self, step: float) -> float:
        """Give the value so many half widths from the origin."""
        step *= self.sign * self.held.width
        return float(np.clip(self.origin + step, *self.held.limits))

    def starts(self, value: float) -> Array:
        """Guess theta at a value: as it is, as it was going, and half way."""
        last, slope = self.theta[-1], self.held.tangent
        if len(self.theta) > 1:
            moved = self.value(-1) - self.value(-2)
            slope = (last - self.theta[-2]) / (moved or 1.0)
        going = last + slope * (value - self.value(-1))
        return np.array([last, going, (last + going) / 2])

    def add(self, objective: float, theta: Array) -> None:
        """Go on to a point."""
        self.objective.append(objective)
        self.theta.append(theta)


def _paths(held: _Held) -> tuple[_Path, _Path]:
    """Begin on both sides of the fit."""
    low, high = (
        _Path(
            held=held,
            sign=sign,
            origin=float(held.fit.theta[held.column]),
            theta=[held.fit.theta],
            objective=[held.fit.objective_value],
        )
        for sign in (-1, 1)
    )
    return low, high


def _follow(held: _Held, paths: Sequence[_Path], steps: Sequence[float]) -> None:
    """Follow the minima outwards until they leave the interval."""
    for step in steps:
        going = [path for path in paths if path.going]
        if not going:
            return
        values = [path.ahead(step) for path in going]
        starts = [path.starts(v) for path, v in zip(going, values, strict=True)]
        points = zip(*_least(held, values, np.array(starts)), strict=True)
        for path, (objective, theta) in zip(going, points, strict=True):
            path.add(float(objective), theta)


def _cross_valleys(
    held: _Held, paths: Sequence[_Path], minima: Minima, steps: Sequence[float]
) -> None:
    """Go on from minima beyond the ends that the data allow as well.

    The interval then spans what lies between, though not all of it is allowed.
    """
    for path in paths:
        ahead = path.sign * (minima.theta[:, held.column] - path.value(-1))
        ahead[minima.value > held.threshold] = -np.inf
        if path.outside and ahead.max() > 0:
            farthest = int(ahead.argmax())
            path.add(float(minima.value[farthest]), minima.theta[farthest])
            path.origin = path.value(-1)
    _follow(held, paths, steps)


def _end(held: _Held, path: _Path) -> float | None:
    """Find where the objective crosses the threshold, in plain units."""
    if not path.closed:
        return None
    inside, outside = path.theta[-2], path.theta[-1]
    before, after = (_root(held, value) for value in path.objective[-2:])
    column, found = held.column, outside
    for _ in range(12):
        found = inside + (outside - inside) * before / (before - after)
        value, theta = _least(
            held, [float(found[column])], np.array([[found, inside, outside]])
        )
        found, there = theta[0], _root(held, float(value[0]))
        if abs(there) < SHARP:
            break
        if there < 0:
            inside, before, after = found, there, after / 2
        else:
            outside, after, before = found, there, before / 2
    return float(held.problem.law.plain(found)[column])


def _root(held: _Held, objective: float) -> float:
    """Signed root of the rise over that allowed, less 1: a line for a parabola."""
    least = held.fit.objective_value
    rise = max(objective - least, 0.0) / (held.threshold - least)
    return math.sqrt(rise) - 1


def _spread(held: _Held, theta: Array, points: int) -> Array:
    """Add minima at values spread evenly over a path, starting between its points."""
    if points < 1:
        return theta
    known = theta[:, held.column]
    values = np.linspace(known[0], known[-1], points)
    between = [np.interp(values, known, column) for column in theta.T]
    place = np.searchsorted(known, values).clip(1, len(known) - 1)
    starts = np.stack([np.array(between).T, theta[place - 1], theta[place]], axis=1)
    added = _least(held, values.tolist(), starts)[1]
    joined = np.concatenate([theta, added])
    return joined[np.argsort(joined[:, held.column], kind="stable")]
