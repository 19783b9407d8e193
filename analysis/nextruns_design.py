"""Which of many runs tell most about one number, by the slopes of a law.

Each run of a plan adds the direction J in which its loss moves with the parameters to
the information of the rows, M = sum w J J^T. A number with the gradient g is then known
to a variance in proportion to g^T M^-1 g, and the plan makes that small (c-optimal
design: Elfving 1952; by exchange: Fedorov 1972). With R^T R = M, u = R^-T g and
z = R^-T J, one more run shrinks the part of u along z, and nothing else:

    g^T M^-1 g = |u|^2   becomes   |u across z|^2 + |u along z|^2 / (1 + |z|^2)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import solve_triangular

from scaling.analysis.fitting import Fit

Array = NDArray[np.float64]
Function = Callable[[Array], Array]
"""A number, from theta of shape (batch, parameters), as carried, to (batch,)."""

SMALL = 1e-3
"""Of the differences that replace derivatives, in parameters as carried."""
FAINT = 1e-6
"""What is taken as known where no row tells, in what the rows tell of a parameter."""
LEAST = 1e-3
"""Relative decrease of the variance for which runs are still exchanged."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Question:
    """What the rows tell of a number, and what each candidate would add.

    Parameters are measured by what the rows tell of each alone.
    """

    root: Array
    """R of the rows, (parameters, parameters); what they do not tell counts as known
    to 1 / FAINT of the scatter."""
    gradient: Array
    """g, of the number, (parameters,)."""
    slopes: Array
    """J of the candidates, (runs, parameters)."""
    cost: Array
    """FLOPs of the candidates, (runs,)."""

    def known(self, chosen: Sequence[int]) -> Array:
        """Give R of the rows and some candidates."""
        return _root(self.root, self.slopes[list(chosen)])

    def variance(self, chosen: Sequence[int]) -> float:
        """Give g^T M^-1 g, in units of the scatter of a run."""
        u = _across(self.known(chosen), self.gradient)
        return float(u @ u)

    def with_one_more(self, chosen: Sequence[int]) -> Array:
        """Give the variance with each candidate added, shape (runs,)."""
        root = self.known(chosen)
        u, z = _across(root, self.gradient), _across(root, self.slopes.T)
        squared = np.maximum(np.sum(z**2, axis=0), 1e-300)
        along = u @ z
        across = u[:, None] - z * (along / squared)
        return np.asarray(
            np.sum(across**2, axis=0) + along**2 / squared / (1 + squared)
        )

    @property
    def answered(self) -> bool:
        """Whether rows and candidates together determine the number.

        They do not where what is taken as known without them decides the variance.
        """
        known = self.known(range(len(self.cost)))
        u = _across(known, self.gradient)
        firmer = _across(_root(known, 3 * FAINT * np.eye(len(known))), self.gradient)
        return bool(firmer @ firmer > 0.5 * (u @ u))


def gradient(fit: Fit, number: Function) -> Array:
    """Give g, the slope of a number along the free parameters, (parameters,)."""
    steps = SMALL * np.eye(len(fit.theta))[fit.free]
    up, down = np.split(number(fit.theta + np.vstack([steps, -steps])), 2)
    return np.asarray((up - down) / (2 * SMALL))


def question(fit: Fit, candidates: pd.DataFrame, g: Array) -> Question:
    """Ask what the rows and each candidate tell of a number of this gradient.

    Rows of one run err together: they count as they are, and a new run as much as the
    rows of a run do on average.
    """
    rows = slopes(fit, fit.problem.x) * np.sqrt(fit.sample.weight)[:, None]
    new = slopes(fit, fit.log_inputs(candidates)) * math.sqrt(weight_of_run(fit))
    scale = np.linalg.norm(rows, axis=0)
    scale[scale == 0] = 1
    return Question(
        root=_root(rows / scale, FAINT * np.eye(len(scale))),
        gradient=g / scale,
        slopes=new / scale,
        cost=candidates["C"].to_numpy(),
    )


def slopes(fit: Fit, x: tuple[Array, ...]) -> Array:
    """Give J of runs in the objective's space, shape (runs, free parameters)."""
    law, gradient, _ = fit.formula.compiled.derivatives(fit.theta[None], x)
    J = gradient[0] / law if fit.objective.space == "log" else gradient[0]
    return np.asarray(J[fit.free].T)


def weight_of_run(fit: Fit) -> float:
    """Give the weight of all rows of a run together, on average."""
    return float(fit.sample.weight.sum()) / fit.sample.clusters


def _root(*slopes: Array) -> Array:
    """Give R of all the slopes together, R^T R = sum J J^T."""
    return np.asarray(np.linalg.qr(np.vstack(slopes), mode="r"))


def _across(root: Array, directions: Array) -> Array:
    """Give R^-T of directions."""
    return np.asarray(solve_triangular(root, directions, trans="T"))


# --- The choice -----------------------------------------------------------------------


def choose(asked: Question, budget: float, most: int) -> list[int]:
    """Choose at most so many candidates within a budget in FLOPs: the most telling.

    Runs are added one by one: by what each brings, at any price or for no more than an
    equal part of the budget, or by what it brings per FLOP. Then each is exchanged for
    any other that brings more, as long as that lowers the variance. The best counts.
    """
    dear = np.where(asked.cost <= budget / most, 1.0, math.inf)
    starts = [_added(asked, budget, most, cost) for cost in (1.0, dear, asked.cost)]
    plans = [_exchanged(asked, budget, chosen) for chosen in starts]
    return min(plans, key=asked.variance)


def _added(asked: Question, budget: float, most: int, cost: ArrayLike) -> list[int]:
    """Add runs by what each brings for its cost."""
    chosen: list[int] = []
    while len(chosen) < most and (allowed := _allowed(asked, budget, chosen)).any():
        brought = np.log(asked.variance(chosen) / asked.with_one_more(chosen)) / cost
        chosen.append(int(np.argmax(np.where(allowed, brought, -np.inf))))
    return chosen


def _exchanged(asked: Question, budget: float, chosen: list[int]) -> list[int]:
    """Exchange single runs until none is left that would be worth it."""
    least, improved = asked.variance(chosen), True
    while improved:
        improved = False
        for place in range(len(chosen)):
            rest = chosen[:place] + chosen[place + 1 :]
            allowed = _allowed(asked, budget, rest)
            found = np.where(allowed, asked.with_one_more(rest), np.inf)
            best = int(np.argmin(found))
            if found[best] < (1 - LEAST) * least:
                chosen[place], least, improved = best, float(found[best]), True
    return chosen


def gains(asked: Question, chosen: Sequence[int]) -> Array:
    """Give the share by which each run shrinks the standard error that it finds."""
    others = [[k for k in chosen if k != left_out] for left_out in chosen]
    without = np.array([asked.variance(rest) for rest in others])
    return np.asarray(1 - np.sqrt(asked.variance(chosen) / without))


def _allowed(asked: Question, budget: float, chosen: list[int]) -> NDArray[np.bool_]:
    """Mark the candidates that can be paid and are not chosen."""
    allowed = asked.cost <= (budget - asked.cost[chosen].sum()) * (1 + 1e-12)
    allowed[chosen] = False
    return np.asarray(allowed)
