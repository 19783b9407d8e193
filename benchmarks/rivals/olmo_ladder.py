"""The scheme of OLMo-core's model ladder, written anew.

It follows `ChinchillaParametricFit` of allenai/OLMo-core (2026, `scaling_laws.py` of
`olmo_core/model_ladder/analysis`), in which L = E + A / N^alpha + B / D^beta is fitted
to ln L under Huber's loss, summed, with delta 1e-3 there: L-BFGS-B of scipy with finite
differences and at most 10,000 iterations, in the box 0 <= E <= min L, 1e-10 <= A, B <=
1e10, .01 <= alpha, beta <= 2, from each of 4^5 = 1024 starts. It has no bootstrap other
than to do all of this again for each resample.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any

import numpy as np
from scipy.optimize import minimize
from work import Answer

FORMULA = "E + A / N**alpha + B / D**beta"
SLICES = 4
TINY = np.finfo(float).tiny
LARGEST = np.log(np.finfo(float).max)


def value(theta: Any, N: Any, D: Any, L: Any, delta: float) -> float:
    """Evaluate the objective, guarded against overflow as the original is."""
    E, A, alpha, B, beta = theta
    of_size = np.log(np.maximum(A, TINY)) - alpha * np.log(N)
    of_data = np.log(np.maximum(B, TINY)) - beta * np.log(D)
    terms = [np.exp(np.clip(t, -LARGEST, LARGEST)) for t in (of_size, of_data)]
    r = np.log(L) - np.log(np.maximum(E + terms[0] + terms[1], 1e-10))
    size = np.abs(r)
    return float(np.sum(np.where(size <= delta, r**2 / 2, delta * (size - delta / 2))))


def fit(
    law: str, objective: Mapping[str, Any], columns: Mapping[str, Any], every: int = 1
) -> Answer:
    """Fit from every `every`-th start."""
    N, D, L = columns["N"], columns["D"], columns["L_u"]
    floors = np.linspace(0, L.min(), SLICES)
    sizes, exponents = np.linspace(1, 20, SLICES), np.linspace(0.2, 0.8, SLICES)
    grid = list(product(floors, sizes, exponents, sizes, exponents))
    box = [(0, L.min()), (1e-10, 1e10), (0.01, 2), (1e-10, 1e10), (0.01, 2)]
    ends = [
        minimize(
            value,
            start,
            args=(N, D, L, objective["delta"]),
            method="L-BFGS-B",
            bounds=box,
            options={"maxiter": 10_000},
        )
        for start in grid[::every]
    ]
    best = min(ends, key=lambda end: end.fun if np.isfinite(end.fun) else np.inf)
    parameters = dict(
        zip(("E", "A", "alpha", "B", "beta"), map(float, best.x), strict=True)
    )
    return Answer(
        formula=FORMULA,
        parameters=parameters,
        share=len(ends) / len(grid),
        note=f"{len(ends)} of {len(grid)} starts",
    )


def draws(
    law: str, objective: Mapping[str, Any], columns: Mapping[str, Any], count: int,
    done: int, every: int = 7,
) -> Answer:  # fmt: skip
    """Fit `done` of `count` resamples of pairs, each from every `every`-th start."""
    n = len(columns["L_u"])
    chance = np.random.default_rng(0)
    for _ in range(done):
        drawn = chance.integers(0, n, n)
        resample = {name: column[drawn] for name, column in columns.items()}
        found = fit(law, objective, resample, every)
    note = f"{done} draw timed, {found.note}"
    return Answer(share=found.share * done / count, note=note)
