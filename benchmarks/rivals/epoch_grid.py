"""The grid of Besiroglu et al. 2024 (arXiv 2404.10102), written anew.

It follows the notebook `data_analysis.ipynb` of epoch-research/analyzing-chinchilla
(commit 9225883), in which

    L = exp(e) + exp(a - alpha ln N) + exp(b - beta ln D)

is fitted to ln L under Huber's loss, summed, with delta 1e-3 there. Point fit: L-BFGS-B
of scipy with its default tolerances and finite differences, from each of 4500 starts:
alpha and beta in 0, .5, .. 2; e in -1, -.5, .. 1; a and b in 0, 5, .. 25. The lowest
one that reports success counts. Bootstrap: one BFGS with automatic gradients per draw
of pairs, from Hoffmann et al.'s published parameters.

Every `every`-th start is taken, in the notebook's order; 19 shares no factor with the
lengths of the grid's axes, so that all values of all axes occur.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any

import autograd.numpy as np
from autograd import grad
from scipy.optimize import minimize
from work import Answer

FORMULA = "E + A / N**alpha + B / D**beta"
EXPONENTS = (0.0, 0.5, 1.0, 1.5, 2.0)
FLOORS = (-1.0, -0.5, 0.0, 0.5, 1.0)
SIZES = (0.0, 5.0, 10.0, 15.0, 20.0, 25.0)
STARTS = [
    (a, b, e, alpha, beta)
    for alpha, beta, e, a, b in product(EXPONENTS, EXPONENTS, FLOORS, SIZES, SIZES)
]
PUBLISHED = (6.0073404, 6.0179186, 0.5267228, 0.33917084, 0.2849083)


def value(theta: Any, N: Any, D: Any, L: Any, delta: float) -> Any:
    """Evaluate the objective: Huber's loss of ln L, summed over the rows."""
    a, b, e, alpha, beta = theta
    terms = np.exp(a - alpha * np.log(N)) + np.exp(b - beta * np.log(D)) + np.exp(e)
    r = np.log(L) - np.log(terms)
    size = np.abs(r)
    return np.sum(np.where(size <= delta, r**2 / 2, delta * (size - delta / 2)))


def fit(
    law: str, objective: Mapping[str, Any], columns: Mapping[str, Any], every: int = 1
) -> Answer:
    """Fit from every `every`-th start of the grid."""
    rows = (*_rows(columns), objective["delta"])
    starts = STARTS[::every]
    with np.errstate(all="ignore"):
        ends = [minimize(value, s, args=rows, method="L-BFGS-B") for s in starts]
    best = min((end for end in ends if end.success), key=lambda end: end.fun)
    return Answer(
        formula=FORMULA,
        parameters=_plain(best.x),
        share=len(starts) / len(STARTS),
        note=f"{len(starts)} of {len(STARTS)} starts",
    )


def draws(
    law: str,
    objective: Mapping[str, Any],
    columns: Mapping[str, Any],
    count: int,
    done: int,
) -> Answer:
    """Refit `done` of `count` resamples of pairs."""
    rows = _rows(columns)
    n = len(rows[0])
    chance = np.random.default_rng(0)
    converged = 0
    with np.errstate(all="ignore"):
        for _ in range(done):
            drawn = chance.integers(0, n, n)
            resample = (*(column[drawn] for column in rows), objective["delta"])
            found = minimize(
                value, PUBLISHED, args=resample, jac=grad(value), method="BFGS"
            )
            converged += found.success
    note = f"{done} draws timed; {converged / done:.0%} report success"
    return Answer(share=done / count, note=note)


def _rows(columns: Mapping[str, Any]) -> tuple[Any, Any, Any]:
    return columns["N"], columns["D"], columns["L_u"]


def _plain(theta: Any) -> dict[str, float]:
    a, b, e, alpha, beta = (float(each) for each in theta)
    A, B, E = (float(np.exp(each)) for each in (a, b, e))
    return {"E": E, "A": A, "B": B, "alpha": alpha, "beta": beta}
