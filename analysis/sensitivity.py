"""What a fit hangs on: single runs, and the delta of Huber's objective."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scaling.analysis import solver
from scaling.analysis.fitting import Fit
from scaling.analysis.objective import Name
from scaling.analysis.rise import Rise
from scaling.errors import ScalingError

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

DELTAS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""From nearly absolute deviation to least squares, in log loss."""
DRAWS = 500
"""Data sets without an odd run that say how far one run moves a fit."""
CHANCE = 0.01
"""Share of such data sets in which a run is called influential."""
ROWS = 20_000
"""Rows up to which an influential run is looked for."""
PART = 1_000_000
"""Numbers that are drawn at a time."""
MATTERS = 1.0
"""Standard errors that an influential run moves something by, at least."""


# --- The delta of Huber's objective -------------------------------------------------


def delta_sweep(fit: Fit, deltas: Sequence[float] = DELTAS) -> pd.DataFrame:
    """Fit again with Huber's objective at other deltas.

    A lower envelope stays one. Where the fit is of the loss itself and not of its
    logarithm, so is delta.

    Returns
    -------
    DataFrame
        One row per delta: `delta`, each free parameter in plain units, `objective`.
    """
    theta, value = fit.theta[None], []
    name: Name = "asymmetric" if fit.objective.name == "asymmetric" else "huber"
    for delta in deltas:
        objective = replace(fit.objective, name=name, delta=delta)
        # All minima so far are starts of the next.
        posed = replace(fit.problem, objective=objective)
        minima = solver.minimise(posed, theta, near=True)
        best = int(minima.value.argmin())
        value.append(float(minima.value[best]))
        theta = np.concatenate([theta, minima.theta[[best]]])
    table = _parameters(fit, theta[1:])
    table.insert(0, "delta", np.array(deltas, float))
    return table.assign(objective=value)


def delta_sentence(fit: Fit, sweep: pd.DataFrame) -> str:
    """Say how far delta moves the exponents, or all parameters where none is free."""
    free = fit.formula.free
    shown = [p.name for p in free if p.meaning == "exponent"] or [p.name for p in free]
    bands = [
        f"{name} {'ranges ' * (k == 0)}from {sweep[name].min():.3g} to "
        f"{sweep[name].max():.3g}"
        for k, name in enumerate(shown)
    ]
    said = " and ".join(filter(None, [", ".join(bands[:-1]), bands[-1]]))
    return f"over delta {sweep['delta'].min():g} to {sweep['delta'].max():g} {said}"


def _parameters(fit: Fit, theta: Array) -> pd.DataFrame:
    """Tabulate the free parameters in plain units."""
    law = fit.formula.compiled
    table = pd.DataFrame(law.plain(theta), columns=list(law.names))
    return table[[parameter.name for parameter in fit.formula.free]]


# --- One run less -------------------------------------------------------------------


def leave_one_run_out(fit: Fit, runs: Indices | None = None) -> pd.DataFrame:
    """Fit again without each run, all at once.

    Parameters
    ----------
    fit : Fit
        The fit.
    runs : Indices, optional
        Which runs to leave out, by number in the order of the rows; by default each.

    Returns
    -------
    DataFrame
        One row per run: `run`; each free parameter without it, in plain units; and
        `shift`, the largest of their changes in standard errors, with `shifted`, the
        parameter that it is of. Scale parameters, whose standard errors depend on the
        units of the inputs, are judged only where there are no others.

    Raises
    ------
    ScalingError
        If without a run fewer rows than parameters are left.
    """
    if not _spare(fit):
        raise ScalingError(
            f"{fit.sample.n} rows of {fit.sample.clusters} runs do not determine law "
            f"{fit.formula.name} without one of the runs: add runs, or fix or tie "
            "parameters"
        )
    runs = np.arange(fit.sample.clusters) if runs is None else runs
    weights = np.where(fit.sample.runs == runs[:, None], 0.0, fit.sample.weight)
    starts = np.repeat(fit.theta[None], len(runs), axis=0)
    theta = solver.minimise(replace(fit.problem, w=weights), starts, near=True).theta
    judged = _judged(fit)
    shift = (theta - fit.theta)[:, judged] / _standard_errors(fit)[judged]
    worst = np.abs(shift).argmax(axis=1)
    table = _parameters(fit, theta)
    names = np.array(fit.formula.compiled.names)[judged]
    table.insert(0, "run", pd.factorize(fit.sample.table["run"])[1][runs])
    return table.assign(
        shift=np.take_along_axis(shift, worst[:, None], axis=1)[:, 0],
        shifted=names[worst],
    )


def influential_run(fit: Fit, seed: int = 0) -> str | None:
    """Name the run that moves the fit further than chance lets any run do.

    Parameters
    ----------
    fit : Fit
        The fit.
    seed : int
        Of the draws that measure chance.

    Returns
    -------
    str or None
        Such as `INFLUENTIAL RUN: without run 12 alpha moves from 0.35 to 0.41, 1.8
        standard errors`; None also where there is no run to spare, or of over 20,000
        rows, where looking would take longer than fitting.
    """
    if fit.sample.n > ROWS or not _spare(fit):
        return None
    reach = _Reach(fit)
    moves = reach.observed()
    run = int(moves.argmax())
    if moves[run] <= reach.threshold(seed):
        return None
    row = leave_one_run_out(fit, np.array([run])).iloc[0]
    name, errors = row["shifted"], abs(row["shift"])
    if errors < MATTERS:
        return None
    return (
        f"INFLUENTIAL RUN: without {row['run']} {name} moves from "
        f"{fit.value(name):.3g} to {row[name]:.3g}, {errors:.2g} standard errors"
    )


def _spare(fit: Fit) -> bool:
    """Whether any run may go."""
    largest = int(np.bincount(fit.sample.runs).max())
    return fit.degrees - largest >= 0 and Rise(fit).degrees > 0


def _judged(fit: Fit) -> NDArray[np.bool_]:
    """Mark the free parameters that are no scale, or all of them."""
    plain = fit.free & ~fit.formula.compiled.scales
    return plain if plain.any() else fit.free


def _standard_errors(fit: Fit) -> Array:
    """Give those of theta, 1 where it is held."""
    rise, axes = Rise(fit), np.eye(len(fit.theta))
    errors = [rise.standard_error(axis) for axis in axes[fit.free]]
    found = np.ones(len(axes))
    found[fit.free] = errors
    return found


class _Reach:
    """How far a fit should move without a run, and how far chance lets it move.

    The law is taken as linear about the fit, so that leaving out run g moves theta by

        - (sum over other runs w J J^T)^-1 sum over g w J rho'(r) / mean rho''.

    The factor mean rho'' is the same in all that is compared, and left out. Chance is
    drawn: normal errors with the spread of the median residual, as alike within a run
    as the residuals are. A run at the edge of the design moves the fit far in every
    draw, and is not odd for that alone.
    """

    def __init__(self, fit: Fit) -> None:
        self.fit, self.rise, taken = fit, Rise(fit), fit.sample
        self.J = self.rise.slopes[fit.free]
        self.wJ = self.J * taken.weight
        whole = self.wJ @ self.J.T
        each = [self.wJ[:, r] @ self.J[:, r].T for r in self._rows()]
        self.whole = np.linalg.pinv(whole, hermitian=True)
        self.without = np.linalg.pinv(whole - np.array(each), hermitian=True)
        self.judged = _judged(fit)[fit.free]
        self.unit = _standard_errors(fit)[_judged(fit)]

    def _rows(self) -> list[Indices]:
        order = np.argsort(self.fit.sample.runs, kind="stable")
        return np.split(order, np.cumsum(np.bincount(self.fit.sample.runs))[:-1])

    def observed(self) -> Array:
        """Give the move without each run, in standard errors, shape (runs,)."""
        return self._moves(self._force(self.fit.residuals[None])).ravel()

    def threshold(self, seed: int) -> float:
        """Give the move that no run exceeds in a share 1 - CHANCE of the draws."""
        random = np.random.default_rng(seed)
        parts = 1 + DRAWS * self.fit.sample.n // PART
        longest = [self._longest(random, DRAWS // parts + 1) for _ in range(parts)]
        return float(np.quantile(np.concatenate(longest), 1 - CHANCE))

    def _longest(self, random: np.random.Generator, draws: int) -> Array:
        force = self._force(self._errors(random, draws))
        # What the fit takes up of the errors is not left in the residuals.
        force -= force @ self.wJ.T @ self.whole @ self.J
        return np.asarray(self._moves(force).max(axis=1))

    def _force(self, errors: Array) -> Array:
        objective = self.fit.objective
        # The objective's residual is the law less the loss.
        return np.asarray(-objective.slopes(-errors, objective.final_delta).first)

    def _moves(self, force: Array) -> Array:
        """Longest move over parameters, shape (draws, runs)."""
        rows = self._rows()
        first = np.cumsum([0, *map(len, rows[:-1])])
        order = np.concatenate(rows)
        sums = np.add.reduceat(self.wJ[:, order] * force[:, None, order], first, axis=2)
        moves = self.without[:, self.judged]
        moved = np.einsum("rjk,mkr->mrj", moves, sums) / self.unit
        return np.asarray(np.abs(moved).max(axis=2))

    def _errors(self, random: np.random.Generator, draws: int) -> Array:
        taken, degrees, alike = self.fit.sample, self.rise.degrees, self._alike()
        own = random.standard_normal((draws, taken.n))
        shared = random.standard_normal((draws, taken.clusters))[:, taken.runs]
        # The spread itself is known from few residuals.
        spread = np.sqrt(degrees / random.chisquare(degrees, (draws, 1)))
        size = self.rise.deviation * spread
        return np.asarray(size * (np.sqrt(1 - alike) * own + np.sqrt(alike) * shared))

    def _alike(self) -> float:
        """Correlation of the residuals of one run, 0 where runs have one row."""
        limit, runs = 3 * self.rise.deviation, self.fit.sample.runs
        r = np.clip(self.fit.residuals, -limit, limit)
        rows, sums = np.bincount(runs), np.bincount(runs, r)
        pairs, square = float(rows @ (rows - 1)), float(r @ r)
        if not pairs or not square:
            return 0.0
        return float(np.clip((sums @ sums - square) / pairs / (square / len(r)), 0, 1))
