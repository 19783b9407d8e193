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
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from scaling.analysis.fitting import Fit
from scaling.analysis.nextruns_region import Runs

Array = NDArray[np.float64]
Function = Callable[[Array], Array]

SMALL = 1e-3
"""Of the differences that replace derivatives, in parameters as carried."""
FAINT = 1e-6
"""What is taken as known where no row tells, in what the rows tell of a parameter."""
LEAST = 1e-3
"""Relative decrease of the variance for which runs are still exchanged."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Question:
    """What the rows tell of a number, and what each candidate would add."""

    root: Array
    """R of the rows, (parameters, parameters); what they do not tell counts as known
    to 1 / FAINT of the scatter."""
    scale: Array
    """What the rows tell of each parameter alone; R, g and J are divided by it."""
    gradient: Array
    """g, of the number, (parameters,)."""
    slopes: Array
    """J of the candidates, (runs, parameters)."""
    cost: Array
    """FLOPs of the candidates, (runs,)."""

    def about(self, fit: Fit, runs: Runs) -> Question:
        """Ask the same of other candidates."""
        new = slopes(fit, fit.log_inputs(runs.inputs)) * math.sqrt(weight_of_run(fit))
        return replace(self, slopes=new / self.scale, cost=runs.compute)

    def known(self, chosen: Sequence[int]) -> Array:
        """Give R of the rows and some candidates."""
        return np.asarray(
            np.linalg.qr(np.vstack([self.root, self.slopes[list(chosen)]]), mode="r")
        )

    def variance(self, chosen: Sequence[int]) -> float:
        """Give g^T M^-1 g, in units of the scatter of a run."""
        u = solve_triangular(self.known(chosen), self.gradient, trans="T")
        return float(u @ u)

    @property
    def answered(self) -> bool:
        """Whether rows and candidates together determine the number.

        They do not where less would be taken as known if FAINT were smaller.
        """
        known = self.known(range(len(self.cost)))
        more = np.linalg.qr(
            np.vstack([known, 3 * FAINT * np.eye(len(known))]), mode="r"
        )
        less, u = (
            solve_triangular(root, self.gradient, trans="T") for root in (more, known)
        )
        return bool(less @ less > 0.5 * (u @ u))

    def with_one_more(self, chosen: Sequence[int]) -> Array:
        """Give the variance with each candidate added, shape (runs,)."""
        root = self.known(chosen)
        u = solve_triangular(root, self.gradient, trans="T")
        z = solve_triangular(root, self.slopes.T, trans="T")
        squared = np.maximum(np.sum(z**2, axis=0), 1e-300)
        along = u @ z
        across = u[:, None] - z * (along / squared)
        return np.asarray(
            np.sum(across**2, axis=0) + along**2 / squared / (1 + squared)
        )


def question(fit: Fit, candidates: Runs, number: Function) -> Question:
    """Ask what the rows and each candidate tell of a number.

    Rows of one run err together: they count as they are, and a new run as much as the
    rows of a run do on average.

    Parameters
    ----------
    fit : Fit
        The law and its rows.
    candidates : Runs
        What may be added.
    number : callable
        From theta of shape (batch, parameters), as carried, to (batch,).
    """
    rows = slopes(fit, fit.problem.x) * np.sqrt(fit.sample.weight)[:, None]
    scale = np.sqrt(np.sum(rows**2, axis=0))
    scale = np.where(scale > 0, scale, 1)
    steps = SMALL * np.eye(len(fit.theta))[fit.free]
    up, down = number(fit.theta + steps), number(fit.theta - steps)
    faint = FAINT * np.eye(len(scale))
    asked = Question(
        root=np.asarray(np.linalg.qr(np.vstack([rows / scale, faint]), mode="r")),
        scale=scale,
        gradient=(up - down) / (2 * SMALL) / scale,
        slopes=np.empty((0, len(scale))),
        cost=np.empty(0),
    )
    return asked.about(fit, candidates)


def slopes(fit: Fit, x: tuple[Array, ...]) -> Array:
    """Give J of runs in the objective's space, shape (runs, free parameters)."""
    law, gradient, _ = fit.formula.compiled.derivatives(fit.theta[None], x)
    J = gradient[0] / law if fit.objective.space == "log" else gradient[0]
    return np.asarray(J[fit.free].T)


def weight_of_run(fit: Fit) -> float:
    """Give the weight of all rows of a run together, on average."""
    return float(fit.sample.weight.sum()) / fit.sample.clusters


# --- The choice -----------------------------------------------------------------------


def choose(asked: Question, budget: float, most: int, gain: float) -> list[int]:
    """Choose the candidates that make the variance least.

    Runs are added one by one, once by what each brings and once by what it brings per
    FLOP; each is then exchanged for any other that brings more, as long as that lowers
    the variance; runs that bring too little are left out. The better of the two counts.

    Parameters
    ----------
    asked : Question
        Rows, candidates, number.
    budget : float
        FLOPs for all runs.
    most : int
        Number of runs at most.
    gain : float
        Share by which each run must shrink the number's standard error.
    """
    plans = []
    for per_flop in (False, True):
        chosen = _exchanged(asked, budget, _greedy(asked, budget, most, per_flop))
        while len(chosen) > 1:
            worth = gains(asked, chosen)
            least = int(np.argmin(worth))
            if worth[least] >= gain:
                break
            chosen = _exchanged(asked, budget, chosen[:least] + chosen[least + 1 :])
        plans.append(chosen)
    return min(plans, key=asked.variance)


def gains(asked: Question, chosen: Sequence[int]) -> Array:
    """Give the share by which each run shrinks the standard error that it finds."""
    others = [[k for k in chosen if k != left_out] for left_out in chosen]
    without = np.array([asked.variance(rest) for rest in others])
    return np.asarray(1 - np.sqrt(asked.variance(chosen) / without))


def _greedy(asked: Question, budget: float, most: int, per_flop: bool) -> list[int]:
    chosen: list[int] = []
    while len(chosen) < most:
        allowed = _allowed(asked, budget, chosen)
        if not allowed.any():
            break
        brought = np.log(asked.variance(chosen) / asked.with_one_more(chosen))
        brought = brought / asked.cost if per_flop else brought
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
                chosen = [*chosen[:place], best, *chosen[place + 1 :]]
                least, improved = float(found[best]), True
    return chosen


def _allowed(
    asked: Question, budget: float, chosen: Sequence[int]
) -> NDArray[np.bool_]:
    """Mark the candidates that can be paid and are not chosen."""
    left = budget - asked.cost[list(chosen)].sum()
    allowed = asked.cost <= left * (1 + 1e-12)
    allowed[list(chosen)] = False
    return np.asarray(allowed)
