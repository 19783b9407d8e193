"""Minimise an objective over a law's parameters: many fits at once, second order.

Every quantity has a batch axis first: starts, bootstrap draws or simulated data sets
are rows of one array and take their Newton steps together, each to its own end. With
the exact gradient g and Hessian H of the objective, and

    M = sum w rho'(r) / r  J J^T,

the curvature of iteratively reweighted least squares (M = H of Gauss and Newton for
least squares), a step solves, in the eigenvectors of H measured by M,

    (|H| + mu M) s = -g.

The absolute value turns saddles into descents; mu grows when a step fails and vanishes
near the end. The step does not change under linear changes of the parameters, so that
neither centring nor scaling is needed. A small delta is reached through larger ones.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from scaling.analysis.formula import Compiled
from scaling.analysis.objective import Objective

Array = NDArray[np.float64]

ELEMENTS = 50_000
"""Rows times fits that are worked on at a time: what the processor's cache holds."""
ITERATIONS = 100
"""Newton steps per delta; a few suffice where the data determine the law."""
STAGE_FACTOR = 10.0
"""By how much delta shrinks from stage to stage."""
COARSEST = 0.1
"""Delta to begin with, in residuals."""
ROUNDING = 1e-14
"""Decrease, relative to the objective, that is rounding."""
NEAR = 1e-10
"""Distance from a bound, relative to it, that is at it."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Problem:
    """What is to be fitted: a law, rows, an objective."""

    law: Compiled
    """The law."""
    x: tuple[Array, ...]
    """Logarithms of the inputs, each of shape (rows,)."""
    y: Array
    """The loss, of shape (rows,) or (batch, rows)."""
    w: Array
    """Weights, of shape (rows,) or (batch, rows)."""
    objective: Objective
    """What is minimised."""
    free: NDArray[np.bool_]
    """Which parameters are determined, shape (parameters,)."""
    lower: Array
    """Lower bounds of theta."""
    upper: Array
    """Upper bounds of theta."""

    def rows(self, which: NDArray[np.intp]) -> Problem:
        """Take some of the fits of a batch."""
        y = self.y[which] if self.y.ndim == 2 else self.y
        w = self.w[which] if self.w.ndim == 2 else self.w
        return replace(self, y=y, w=w)

    @property
    def n(self) -> int:
        """Number of rows."""
        return int(self.y.shape[-1])


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Minima:
    """Where a batch of fits ended."""

    theta: Array
    """Parameters as the solver carries them, shape (batch, parameters)."""
    value: Array
    """The objective, shape (batch,); infinite where the law was not defined."""
    edm: Array
    """Estimated distance to the minimum: what one more step would take off."""
    converged: NDArray[np.bool_]
    """Whether that decrease is rounding."""
    gradient: Array
    """Of the objective, shape (batch, parameters), 0 where held or at a bound."""
    hessian: Array
    """Of the objective, shape (batch, parameters, parameters)."""
    chord: Array
    """M of the module's text, shape (batch, parameters, parameters)."""


@dataclass(slots=True)
class _Local:
    """The objective about a point, as a parabola."""

    value: Array
    gradient: Array
    hessian: Array
    chord: Array

    def put(
        self, where: NDArray[np.intp], other: _Local, which: NDArray[np.bool_]
    ) -> None:
        """Replace some fits by those of another."""
        for name in self.__slots__:
            getattr(self, name)[where] = getattr(other, name)[which]


def residuals(problem: Problem, theta: Array) -> Array:
    """Give the residuals of rows, shape (batch, rows); NaN where undefined."""
    law = problem.law.value(theta, problem.x)
    if problem.objective.space == "linear":
        return law - problem.y
    return np.log(np.where(law > 0, law, np.nan)) - np.log(problem.y)


def values(problem: Problem, theta: Array) -> Array:
    """Evaluate the objective itself, without smoothing, shape (batch,)."""
    found = np.empty(len(theta))
    with np.errstate(all="ignore"):
        for part in _chunks(len(theta), problem.n):
            these = problem.rows(part)
            r = residuals(these, theta[part])
            rho = these.objective.rho(r)
            found[part] = np.sum(these.w * rho, axis=1)
    return np.where(np.isfinite(found), found, np.inf)


def minimise(
    problem: Problem, theta: Array, *, near: bool = False, steps: int = ITERATIONS
) -> Minima:
    """Bring a batch of starts to their minima.

    Parameters
    ----------
    problem : Problem
        Law, rows and objective; where y or w have a batch axis, it is that of theta.
    theta : Array, shape (batch, parameters)
        Starts, as the solver carries them; those of held parameters are kept.
    near : bool
        Whether the starts are near their minima, so that no larger deltas are needed
        on the way.
    steps : int
        Newton steps per delta, at most.
    """
    deltas = stages(problem.objective)
    if near and problem.objective.name != "lad":  # whose last delta is too fine
        deltas = deltas[-1:]
    parts = [
        _minimise(problem.rows(part), theta[part], deltas, steps)
        for part in _chunks(len(theta), problem.n)
    ]
    joined = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in Minima.__dataclass_fields__
    }
    return Minima(**joined)


def _chunks(batch: int, n: int) -> list[NDArray[np.intp]]:
    size = max(1, ELEMENTS // max(n, 1))
    return [np.arange(k, min(k + size, batch)) for k in range(0, batch, size)]


def _minimise(
    problem: Problem, theta: Array, deltas: list[float], steps: int
) -> Minima:
    with np.errstate(all="ignore"):
        for delta in deltas:
            before = theta
            minima = _newton(problem, theta, delta, steps)
            theta = minima.theta
        value = values(problem, theta)
        if problem.objective.name == "lad":
            # The minimum moves in proportion to delta: take the last way to its end.
            beyond = theta + (theta - before) / (STAGE_FACTOR - 1)
            lower = values(problem, beyond) < value
            theta = np.where(lower[:, None], beyond, theta)
            value = values(problem, theta)
        return replace(minima, theta=theta, value=value)


def stages(objective: Objective) -> list[float]:
    """List the deltas on the way to the objective's own.

    >>> stages(Objective(name="huber", delta=1e-3))
    [0.1, 0.01, 0.001]
    """
    last = objective.final_delta
    if last >= COARSEST:
        return [last]
    count = int(np.ceil(np.log(COARSEST / last) / np.log(STAGE_FACTOR) - 1e-9))
    return [float(f"{last * STAGE_FACTOR**k:.6g}") for k in range(count, -1, -1)]


def _newton(
    problem: Problem, theta: Array, delta: float, steps: int = ITERATIONS
) -> Minima:
    """Take Newton steps until none is left to take; finished fits are set aside."""
    theta = np.clip(theta, problem.lower, problem.upper)
    at = _expand(problem, theta, delta)
    mu = np.full(len(theta), 0.01)
    edm = np.full(len(theta), np.inf)
    going = np.flatnonzero(np.isfinite(at.value))
    for _ in range(steps):
        if not len(going):
            break
        step, edm[going] = _step(problem, theta, at, mu, going)
        trial = np.clip(theta[going] + step, problem.lower, problem.upper)
        new = _expand(problem.rows(going), trial, delta)
        better = new.value < at.value[going]
        theta[going[better]] = trial[better]
        settled = edm[going] <= ROUNDING * np.abs(at.value[going])
        settled |= np.all(trial == theta[going], axis=1) & ~better
        at.put(going[better], new, better)
        mu[going] = np.where(better, mu[going] * 0.1, np.maximum(5 * mu[going], 0.01))
        settled |= (mu[going] > 1e12) | (at.value[going] == 0)
        going = going[~settled]
    if len(going):  # steps ran out: say how far off the fits are where they stand
        edm[going] = _step(problem, theta, at, mu, going)[1]
    done = np.isfinite(at.value) & (edm <= 1e4 * ROUNDING * np.abs(at.value))
    inside = _inside(problem, theta, at.gradient)
    return Minima(
        theta=theta,
        value=at.value,
        edm=edm,
        converged=done | (at.value == 0),
        gradient=np.where(inside, at.gradient, 0),
        hessian=at.hessian,
        chord=at.chord,
    )


def _inside(problem: Problem, theta: Array, gradient: Array) -> NDArray[np.bool_]:
    """Mark parameters that may move: free, and not pressed against a bound."""
    pressed = (theta <= problem.lower + _near(problem.lower)) & (gradient > 0)
    pressed |= (theta >= problem.upper - _near(problem.upper)) & (gradient < 0)
    return np.asarray(problem.free & ~pressed)


def _near(bound: Array) -> Array:
    return np.where(np.isfinite(bound), NEAR * np.abs(bound), 0)


def _step(
    problem: Problem, theta: Array, at: _Local, mu: Array, going: NDArray[np.intp]
) -> tuple[Array, Array]:
    """Give each fit's damped step, and the decrease that it would bring undamped.

    A parameter that would cross a bound goes to it, and the others take the step that
    is best for them then.
    """
    here, g, H, M = theta[going], at.gradient[going], at.hessian[going], at.chord[going]
    moves = _inside(problem, here, g)
    step, edm = _solve(g, H, M, mu[going], moves)
    there = here + step
    outside = (there < problem.lower) | (there > problem.upper)
    crosses = moves & outside
    if crosses.any():
        ends = np.clip(there, problem.lower, problem.upper) - here
        to_bound = np.where(crosses, ends, 0)
        pushed = g + np.einsum("bjk,bk->bj", H, to_bound)
        others, _ = _solve(pushed, H, M, mu[going], moves & ~crosses)
        step = np.where(crosses.any(axis=1, keepdims=True), to_bound + others, step)
    return step, edm


def _solve(
    g: Array, H: Array, M: Array, mu: Array, moves: NDArray[np.bool_]
) -> tuple[Array, Array]:
    """Solve (|H| + mu M) s = -g for the parameters that move."""
    g = np.where(moves, g, 0)
    both = moves[:, :, None] & moves[:, None, :]
    eye = np.eye(g.shape[1])
    H, M = np.where(both, H, 0), np.where(both, M, 0)
    size = np.sqrt(np.einsum("bjj->bj", M))
    # What changes the law by no more than a denormal number cannot be scaled to 1.
    size[size < 1e-100] = np.inf
    M = M / (size[:, :, None] * size[:, None, :])
    # A little of the identity keeps flat directions from ending the factorisation.
    root = np.linalg.cholesky(M + (1e-13 + (M == 0).all(axis=2))[:, :, None] * eye)
    inverse = np.linalg.inv(root)
    H = inverse @ (H / (size[:, :, None] * size[:, None, :])) @ inverse.mT
    curvature, vectors = np.linalg.eigh((H + H.mT) / 2)
    to_step = (vectors.mT @ inverse) / size[:, None, :]
    along = np.einsum("bij,bj->bi", to_step, g)
    curvature = np.maximum(np.abs(curvature), 1e-9)
    step = -np.einsum("bij,bi->bj", to_step, along / (curvature + mu[:, None]))
    edm = 0.5 * np.sum(along**2 / curvature, axis=1)
    # Rounding would let what is held drift along with flat directions.
    return np.where(moves, step, 0), edm


def _expand(problem: Problem, theta: Array, delta: float) -> _Local:
    """Evaluate the objective, its gradient and its curvature, smoothed to delta."""
    objective = problem.objective
    law, slope, second = problem.law.derivatives(theta, problem.x)
    if objective.space == "log":
        r = np.log(np.where(law > 0, law, np.nan)) - np.log(problem.y)
        slope /= law[:, None]
    else:
        r = law - problem.y
    rho = objective.slopes(r, delta)
    force = problem.w * rho.first
    value = np.sum(problem.w * objective.rho(r, delta), axis=1)
    M = (slope * (problem.w * rho.chord)[:, None]) @ slope.mT
    if objective.space == "log":
        # d2 log f = d2 f / f - (df / f)(df / f)^T
        bent, force_on_law = problem.w * rho.second - force, force / law
    else:
        bent, force_on_law = problem.w * rho.second, force
    H = (slope * bent[:, None]) @ slope.mT
    for (j, k), each in zip(problem.law.pairs, second, strict=True):
        H[:, j, k] += np.sum(force_on_law * each, axis=1)
        H[:, k, j] = H[:, j, k]
    gradient = np.einsum("bjn,bn->bj", slope, force)
    sound = np.isfinite(value) & np.isfinite(H + M).all(axis=(1, 2))
    return _Local(
        value=np.where(sound, value, np.inf),
        gradient=np.where(sound[:, None], gradient, 0),
        hessian=np.where(sound[:, None, None], H, 0),
        chord=np.where(sound[:, None, None], M, 0),
    )
