"""Refit a law to resampled rows: whole runs at a time, all refits in one batch.

Rows of one run err together, so that resampling them one by one would promise too
much: runs are what is drawn.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from scaling.analysis import solver
from scaling.analysis.fitting import Fit
from scaling.errors import ScalingError, suggestion

Array = NDArray[np.float64]
Kind = Literal["pairs", "residual", "wild"]

FEW_RUNS = 10
"""Below this many runs two-valued wild weights give too few different data sets."""
WEBB = np.sqrt([0.5, 1.0, 1.5])
"""Sizes of Webb's six-point weights (Queen's Economics Department 1315, 2013)."""


def bootstrap(
    fit: Fit, draws: int = 4000, kind: Kind = "pairs", seed: int = 0
) -> Array:
    """Refit a law to resampled data, warm from its minimum.

    Parameters
    ----------
    fit : Fit
        The fit whose scatter is asked for.
    draws : int
        Number of refits.
    kind : {"pairs", "residual", "wild"}
        Draw runs with what belongs to them; or keep the runs and draw their residuals,
        that of the run and those within it apart; or flip the residuals of whole runs
        at random, which keeps noisy runs noisy.
    seed : int
        Of the random numbers.

    Returns
    -------
    Array, shape (draws, parameters)
        Parameters as the solver carries them.

    Raises
    ------
    ScalingError
        If there are fewer than two runs, or no such kind.
    """
    if kind not in get_args(Kind):
        raise ScalingError(
            f"there is no bootstrap {kind!r}; {suggestion(kind, get_args(Kind))}"
        )
    if draws < 1:
        raise ScalingError(f"draws is {draws}; expected 1 or more, such as 4000")
    if fit.sample.clusters < 2:
        raise ScalingError(
            f"a bootstrap draws runs anew, and the fit rests on {fit.sample.clusters}; "
            "expected at least 2: add runs, or use the wald method"
        )
    rng = np.random.default_rng(seed)
    problem = fit.problem
    if kind == "pairs":
        problem = replace(problem, w=problem.w * _counts(fit, draws, rng))
    else:
        drawn = _wild if kind == "wild" else _residual
        problem = replace(problem, y=_losses(fit, drawn(fit, draws, rng)))
    starts = np.tile(fit.theta, (draws, 1))
    return solver.minimise(problem, starts, near=True).theta


def _counts(fit: Fit, draws: int, rng: np.random.Generator) -> Array:
    """Count how often each row was drawn, shape (draws, rows)."""
    runs = fit.sample.clusters
    counts = rng.multinomial(runs, np.full(runs, 1 / runs), size=draws)
    return counts[:, fit.sample.runs].astype(float)


def _wild(fit: Fit, draws: int, rng: np.random.Generator) -> Array:
    """Multiply residuals by a random number of mean square 1 per run."""
    shape = (draws, fit.sample.clusters)
    weights = rng.choice([-1.0, 1.0], size=shape)
    if fit.sample.clusters < FEW_RUNS:
        weights *= rng.choice(WEBB, size=shape)
    return np.asarray(weights[:, fit.sample.runs] * _inflated(fit))


def _residual(fit: Fit, draws: int, rng: np.random.Generator) -> Array:
    """Draw what a run's rows share from all runs, and the rest from all rows."""
    runs, count = fit.sample.runs, fit.sample.clusters
    r = _inflated(fit)
    r = r - r.mean()
    shared = np.bincount(runs, r) / np.bincount(runs)
    within = r - shared[runs]
    of_run = shared[rng.integers(count, size=(draws, count))]
    return np.asarray(
        of_run[:, runs] + within[rng.integers(len(r), size=(draws, len(r)))]
    )


def _inflated(fit: Fit) -> Array:
    """Make residuals larger by what the fitted parameters took away from them."""
    clusters = fit.sample.clusters
    left = max(clusters - int(fit.free.sum()), 1)
    return np.asarray(fit.residuals * np.sqrt(clusters / left))


def _losses(fit: Fit, residuals: Array) -> Array:
    law = fit.formula.compiled.value(fit.theta[None], fit.problem.x)
    if fit.objective.space == "log":
        return np.asarray(law * np.exp(residuals))
    return law + residuals
