"""What a plan of runs is worth, by simulation: how narrow it makes a prediction.

Data sets are drawn from the fitted law with the scatter of its rows, the law is fitted
to each anew, and the spread of the prediction is compared between designs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scaling.analysis import solver
from scaling.analysis.fitting import Fit
from scaling.analysis.nextruns_design import Function, gradient, question, weight_of_run
from scaling.analysis.prediction import LEVEL

Array = NDArray[np.float64]

RESAMPLED = 200
"""Draws of the simulations that the Monte Carlo error is found from."""
PLAN = "this plan"


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """How narrow a prediction becomes by a design, in simulation."""

    design: str
    """What is run."""
    runs: int
    """Number of further runs."""
    compute: float
    """Their FLOPs."""
    width: float
    """Width of the interval; infinite where too many refits give no number."""
    ratio: float
    """Width of the plan's interval over this one's."""
    error: float
    """Monte Carlo standard error of that ratio."""


def scores(
    fit: Fit,
    number: Function,
    designs: Mapping[str, pd.DataFrame],
    simulations: int,
    seed: int,
) -> tuple[Score, ...]:
    """Simulate designs, further runs by name, one of which is `PLAN`.

    The noise of the rows is the same with all of them.
    """
    rng = np.random.default_rng(seed)
    noise = _noise(fit, simulations, max(map(len, designs.values())), rng)
    g, drawn = gradient(fit, number), {}
    for name, runs in designs.items():
        drawn[name] = np.full(simulations, math.nan)
        # Without an answer refits stay where they start, and would look certain.
        if question(fit, runs, g).answered:
            drawn[name] = number(_refits(fit, runs, noise))
    again = rng.integers(simulations, size=(RESAMPLED, simulations))
    plan, found = drawn[PLAN], []
    for name, values in drawn.items():
        with np.errstate(invalid="ignore"):  # infinite over infinite is not known
            ratio = _width(plan) / _width(values)
            error = (_width(plan[again]) / _width(values[again])).std()
        found.append(
            Score(
                design=name,
                runs=len(designs[name]),
                compute=float(designs[name]["C"].sum()),
                width=float(_width(values)),
                ratio=float(ratio),
                error=float(error),
            )
        )
    return tuple(found)


def _noise(fit: Fit, simulations: int, new: int, rng: np.random.Generator) -> Array:
    """Draw residuals of the rows and of new runs, shape (simulations, rows + new).

    What the rows of a run share is drawn from the runs, the rest from the rows.
    """
    runs, count = fit.sample.runs, fit.sample.clusters
    residuals = fit.residuals - fit.residuals.mean()
    residuals = residuals * math.sqrt(count / max(count - int(fit.free.sum()), 1))
    shared = np.bincount(runs, residuals) / np.bincount(runs)
    within = residuals - shared[runs]
    of_run = shared[rng.integers(count, size=(simulations, count + new))]
    of_row = within[rng.integers(fit.sample.n, size=(simulations, fit.sample.n + new))]
    all_runs = np.concatenate([runs, count + np.arange(new)])
    return np.asarray(of_run[:, all_runs] + of_row)


def _refits(fit: Fit, runs: pd.DataFrame, noise: Array) -> Array:
    """Fit the law to simulated rows and new runs, shape (simulations, parameters)."""
    problem, new = fit.problem, fit.log_inputs(runs)
    x = tuple(np.concatenate(pair) for pair in zip(problem.x, new, strict=True))
    w = np.concatenate([problem.w, np.full(len(runs), weight_of_run(fit))])
    law, noise = fit.formula.compiled.value(fit.theta[None], x), noise[:, : len(w)]
    y = law * np.exp(noise) if fit.objective.space == "log" else law + noise
    starts = np.tile(fit.theta, (len(noise), 1))
    simulated = replace(problem, x=x, y=y, w=w)
    return solver.minimise(simulated, starts, near=True).theta


def _width(values: Array) -> Array:
    """Give the width of the central interval of values along the last axis."""
    low, high = (1 - LEVEL) / 2, (1 + LEVEL) / 2
    # A refit at which the number is not defined may lie on either side.
    below = np.where(np.isnan(values), -np.inf, values)
    above = np.where(np.isnan(values), np.inf, values)
    low_end = np.quantile(below, low, axis=-1, method="nearest")
    high_end = np.quantile(above, high, axis=-1, method="nearest")
    return np.asarray(high_end - low_end)
