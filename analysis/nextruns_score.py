"""What a plan of runs is worth, by simulation: how narrow it makes a prediction.

Data sets are drawn from the fitted law with the scatter of its rows, the law is fitted
to each anew, and the spread of the prediction is compared between designs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from scaling.analysis import solver
from scaling.analysis.fitting import Fit
from scaling.analysis.nextruns_design import Function, question, weight_of_run
from scaling.analysis.nextruns_region import Runs

Array = NDArray[np.float64]

ELEMENTS = 5_000_000
"""Simulated losses that are held at a time."""
RESAMPLED = 200
"""Draws of the simulations that the Monte Carlo error is found from."""


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
    designs: Mapping[str, Runs],
    simulations: int,
    level: float,
    seed: int,
) -> tuple[Score, ...]:
    """Simulate designs, one of which is named `this plan`.

    Parameters
    ----------
    fit : Fit
        The law and its rows.
    number : callable
        What is to be known, from theta of shape (batch, parameters) to (batch,).
    designs : mapping
        Further runs by name; the noise of the rows is the same with all of them.
    simulations : int
        Data sets to draw.
    level : float
        Coverage of the intervals.
    seed : int
        Of the random numbers.
    """
    drawn = _drawn(fit, number, designs, simulations, seed)
    again = np.random.default_rng(seed).integers(
        simulations, size=(RESAMPLED, simulations)
    )
    plan, found = drawn["this plan"], []
    for name, values in drawn.items():
        with np.errstate(invalid="ignore"):  # infinite over infinite is not known
            ratio = _width(plan, level) / _width(values, level)
            ratios = _width(plan[again], level) / _width(values[again], level)
            error = ratios.std()
        found.append(
            Score(
                design=name,
                runs=len(designs[name]),
                compute=designs[name].total,
                width=float(_width(values, level)),
                ratio=float(ratio),
                error=float(error),
            )
        )
    return tuple(found)


def _drawn(
    fit: Fit, number: Function, designs: Mapping[str, Runs], simulations: int, seed: int
) -> dict[str, Array]:
    """Give the number in each simulated data set, NaN where none determines it."""
    # Without an answer refits stay where they start, and would look certain.
    asked = question(fit, designs["this plan"], number)
    answered = {n: asked.about(fit, runs).answered for n, runs in designs.items()}
    drawn = {name: np.full(simulations, math.nan) for name in designs}
    rng = np.random.default_rng(seed)
    most = max(map(len, designs.values()))
    step = max(1, ELEMENTS // (fit.sample.n + most))
    for start in range(0, simulations, step):
        part = slice(start, min(start + step, simulations))
        noise = _noise(fit, part.stop - start, most, rng)
        for name, runs in designs.items():
            if answered[name]:
                drawn[name][part] = number(_refits(fit, runs, noise))
    return drawn


def _noise(fit: Fit, simulations: int, new: int, rng: np.random.Generator) -> Array:
    """Draw residuals of the rows and of new runs, shape (simulations, rows + new).

    What the rows of a run share is drawn from the runs, the rest from the rows.
    """
    runs, count = fit.sample.runs, fit.sample.clusters
    residuals = fit.residuals - fit.residuals.mean()
    taken = int(fit.free.sum())
    residuals = residuals * math.sqrt(count / max(count - taken, 1))
    shared = np.bincount(runs, residuals) / np.bincount(runs)
    within = residuals - shared[runs]
    of_run = shared[rng.integers(count, size=(simulations, count + new))]
    of_row = within[rng.integers(fit.sample.n, size=(simulations, fit.sample.n + new))]
    all_runs = np.concatenate([runs, count + np.arange(new)])
    return np.asarray(of_run[:, all_runs] + of_row)


def _refits(fit: Fit, runs: Runs, noise: Array) -> Array:
    """Fit the law to simulated rows and new runs, shape (simulations, parameters)."""
    problem, new = fit.problem, fit.log_inputs(runs.inputs)
    problem = replace(
        problem,
        x=tuple(np.concatenate(pair) for pair in zip(problem.x, new, strict=True)),
        w=np.concatenate([problem.w, np.full(len(runs), weight_of_run(fit))]),
    )
    noise = noise[:, : len(problem.w)]
    law = fit.formula.compiled.value(fit.theta[None], problem.x)
    in_logs = fit.objective.space == "log"
    losses = law * np.exp(noise) if in_logs else law + noise
    starts = np.tile(fit.theta, (len(noise), 1))
    return solver.minimise(replace(problem, y=losses), starts).theta


def _width(values: Array, level: float) -> Array:
    """Give the width of the central interval of values along the last axis."""
    low, high = (1 - level) / 2, (1 + level) / 2
    # A refit at which the number is not defined may lie on either side.
    below = np.where(np.isnan(values), -np.inf, values)
    above = np.where(np.isnan(values), np.inf, values)
    low_end = np.quantile(below, low, axis=-1, method="nearest")
    high_end = np.quantile(above, high, axis=-1, method="nearest")
    return np.asarray(high_end - low_end)
