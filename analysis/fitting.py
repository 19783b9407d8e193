"""Fit a law to rows of losses, with a certificate of the minimum that was found.

Starts come from a grid over the parameters that enter nonlinearly; the linear ones are
solved for at each point of it (variable projection). The best of these starts, and some
of the others, are brought to their minima together by `solver.minimise`; how many of
them agree, and how far off the next basin is, belongs to the result.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from scaling.analysis import solver
from scaling.analysis.catalogue import law as find_law
from scaling.analysis.formula import Formula
from scaling.analysis.objective import Name, Objective
from scaling.analysis.sample import Choice, Sample, sample
from scaling.analysis.solver import Minima, Problem
from scaling.analysis.starts import best_starts, start_grid
from scaling.analysis.table import Records
from scaling.errors import ScalingError

Array = NDArray[np.float64]

SCREEN_ROWS = 2_000
"""Rows that starts are compared on; more would not tell good starts from bad."""
AGREE = 1e-8
"""Objectives closer than this, relatively, are the same minimum."""
PATIENCE = 2_000
"""Newton steps for the best fit, where those of all starts did not suffice."""
FLAT = 1e9
"""Condition number from which a direction is flat to rounding."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Certificate:
    """Why the minimum can be believed, or not."""

    starts: int
    """Starts screened."""
    polished: int
    """Starts brought to a minimum."""
    agree: int
    """Those of them that ended at the best minimum."""
    gap: float | None
    """Objective of the next best minimum over the best, less 1; None if none other."""
    gradient_norm: float
    """Largest component of the gradient over the parameters free to move, relative to
    the objective; exponents as they are, scale parameters by their logarithm."""
    edm: float
    """Estimated distance to the minimum: what one more Newton step would take off the
    objective, relative to it."""
    converged: bool
    """Whether that is no more than rounding."""
    condition: float
    """Condition number of the Hessian, its diagonal scaled to 1."""
    at_bounds: tuple[str, ...]
    """Parameters that ended at a bound."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What speaks against the minimum, the bad state in capitals."""
        found = []
        if not self.converged:
            found.append(
                f"NOT CONVERGED: one more step would take {self.edm:.1e} of the "
                "objective off; give fewer parameters or more rows"
            )
        if self.agree < min(3, self.polished):
            found.append(
                f"FEW STARTS AGREE: {self.agree} of {self.polished} ended at the best "
                "minimum; there may be a better one"
            )
        if self.gap is not None and self.gap < 1e-3:
            found.append(
                f"SECOND MINIMUM only {100 * self.gap:.2g} % higher than the best: "
                "another set of parameters serves as well"
            )
        if self.at_bounds:
            found.append(f"AT A BOUND: {', '.join(self.at_bounds)}")
        if not self.condition < FLAT:
            found.append(
                f"FLAT DIRECTION: condition number {self.condition:.1e}; the rows do "
                "not determine all parameters; a larger delta, or least squares, makes "
                "more of them"
            )
        return tuple(found)

    @property
    def status(self) -> Literal["good", "doubtful"]:
        """Whether any warning stands against the minimum."""
        return "doubtful" if self.warnings else "good"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Fit:
    """A law fitted to rows."""

    formula: Formula
    """The law."""
    objective: Objective
    """What was minimised."""
    sample: Sample
    """The rows it was fitted to."""
    theta: Array
    """Parameters as the solver carries them."""
    objective_value: float
    """The objective at the minimum: the sum over rows."""
    certificate: Certificate
    """Why the minimum can be believed, or not."""

    @cached_property
    def values(self) -> dict[str, float]:
        """All parameters by name, held ones included."""
        plain = self.formula.compiled.plain(self.theta)
        found = dict(zip(self.formula.compiled.names, plain.tolist(), strict=True))
        return found | {name: found[other] for name, other in self.formula.tied.items()}

    def value(self, name: str) -> float:
        """Give one parameter."""
        self.formula.parameter(name)  # names what there is
        return self.values[name]

    @property
    def free(self) -> NDArray[np.bool_]:
        """Which parameters of theta were determined."""
        return free_of(self.formula)

    @property
    def problem(self) -> Problem:
        """The fit as the solver sees it."""
        return problem(self.formula, self.sample, self.objective)

    @property
    def degrees(self) -> int:
        """Rows left over after the free parameters."""
        return self.sample.n - int(self.free.sum())

    @cached_property
    def residuals(self) -> Array:
        """Loss against law, shape (rows,): log loss - log law, or loss - law."""
        return np.asarray(-solver.residuals(self.problem, self.theta[None])[0])

    @property
    def residual_sd(self) -> float:
        """Root of the mean square residual of a row of mean weight, over rows left."""
        if self.degrees < 1:
            return math.nan
        weights = self.sample.weight / self.sample.weight.mean()
        return math.sqrt(float(weights @ self.residuals**2) / self.degrees)

    @property
    def residual_unit(self) -> str:
        """What residuals are in."""
        unit = self.sample.loss_unit
        return self.objective.unit("nats per token" if unit == "nats" else unit)

    def predict(self, inputs: Mapping[str, ArrayLike] | pd.DataFrame) -> Array:
        """Evaluate the law.

        Parameters
        ----------
        inputs : mapping or DataFrame
            By symbol, each of shape (rows,) or a single number.

        Returns
        -------
        Array, shape (rows,)
            Loss in nats per token.
        """
        x = self.log_inputs(inputs)
        return np.asarray(self.formula.compiled.value(self.theta[None], x)[0])

    def log_inputs(
        self, inputs: Mapping[str, ArrayLike] | pd.DataFrame
    ) -> tuple[Array, ...]:
        """Turn inputs into what the compiled law takes."""
        lacking = [name for name in self.formula.all_inputs if name not in inputs]
        if lacking:
            raise ScalingError(
                f"law {self.formula.name} needs {' and '.join(lacking)}; given are "
                f"{', '.join(map(str, inputs)) or 'none'}: give "
                f"{', '.join(self.formula.inputs)}"
            )
        given = {n: np.asarray(inputs[n], float) for n in self.formula.all_inputs}
        for name in self.formula.inputs:
            if not (given[name] > 0).all():
                raise ScalingError(
                    f"{name} is {given[name].min():g}; expected a positive number"
                )
        lengths = sorted({each.size for each in given.values()} - {1})
        if len(lengths) > 1:
            raise ScalingError(
                f"{', '.join(given)} have the lengths {lengths}; expected as many "
                "values of each, or a single one"
            )
        arms = self.formula.arms
        columns = [x if name in arms else np.log(x) for name, x in given.items()]
        return tuple(np.broadcast_arrays(*map(np.atleast_1d, columns)))

    def refit(
        self, *, formula: Formula | None = None, rows: NDArray[Any] | None = None
    ) -> Fit:
        """Fit again, with parameters held otherwise, or to some of the rows."""
        return fit_sample(
            formula or self.formula,
            self.sample if rows is None else self.sample.take(rows),
            self.objective,
        )

    def __repr__(self) -> str:
        found = ", ".join(f"{name} {value:.5g}" for name, value in self.values.items())
        state = "; ".join(self.certificate.warnings) or "a good minimum"
        return (
            f"{self.formula.name} of {self.sample.n} rows by {self.objective}: "
            f"{found}; {state}"
        )


def fit_law(
    records: Records | pd.DataFrame,
    law: str | Formula,
    *,
    objective: Objective | Name | None = None,
    rows: Choice | None = None,
    fix: Mapping[str, float] | None = None,
    tie: Mapping[str, str] | None = None,
    bound: Mapping[str, tuple[float, float]] | None = None,
) -> Fit:
    """Fit a law to losses.

    Parameters
    ----------
    records : Records or DataFrame
        What `read` gives, or a table with the law's symbols as columns, the loss being
        `L_u`, `L` or `loss`; `run` and `weight` where there are any.
    law : str or Formula
        A name of `catalogue.LAWS`, or a law of your own.
    objective : Objective or its name, optional
        By default Huber's with delta 1e-3. Without an `Objective` residuals are of log
        loss, or of the loss itself where a loss is not positive.
    rows : {"all", "best", "last", "frontier"}, optional
        Which evaluations of a run count; see `sample.sample`.
    fix, tie, bound : mapping, optional
        Values of parameters, parameters to equate, bounds (lower, upper).

    Raises
    ------
    ScalingError
        If the table lacks a column that the law needs, or the rows cannot determine
        its parameters.
    """
    formula = find_law(law).bound(bound or {}).tie(tie or {}).fix(fix or {})
    taken = sample(records, formula, rows)
    if not isinstance(objective, Objective):
        objective = Objective.suited(taken.loss, name=objective or "huber")
    return fit_sample(formula, taken, objective)


def fit_sample(
    formula: Formula, taken: Sample, objective: Objective, *, patient: bool = True
) -> Fit:
    """Fit a law to rows that are ready; patience follows valleys far along."""
    require(formula, taken, objective)
    if (taken.loss <= 0).any():
        formula = _below_zero(formula)
    whole = problem(formula, taken, objective)
    step = max(1, taken.n // SCREEN_ROWS)
    in_order = np.argsort(taken.order, kind="stable")
    few = taken if step == 1 else taken.take(in_order[::step])
    screened = problem(formula, few, objective)
    starts = start_grid(formula, few)
    polished = solver.minimise(screened, best_starts(screened, starts))
    if step > 1:
        # The best, and the best that is not the same, may change places on all rows.
        least = polished.value.min()
        other = np.where(polished.value > least * (1 + AGREE), polished.value, np.inf)
        several = [int(polished.value.argmin()), int(other.argmin())]
        whole_minima = solver.minimise(whole, polished.theta[several], near=True)
    else:
        whole_minima = polished
    best = int(np.argmin(whole_minima.value))
    if patient and not whole_minima.converged[best]:
        # A valley without end is followed until its end is out of reach.
        further = solver.minimise(
            whole, whole_minima.theta[[best]], near=True, steps=PATIENCE
        )
        if further.value[0] < whole_minima.value[best]:
            whole_minima, best = further, 0
    if not math.isfinite(whole_minima.value[best]):
        raise ScalingError(
            f"law {formula.name} is not defined at any start on these rows; check the "
            "units of its inputs and the bounds of its parameters"
        )
    return Fit(
        formula=formula,
        objective=objective,
        sample=taken,
        theta=whole_minima.theta[best],
        objective_value=float(whole_minima.value[best]),
        certificate=certify(whole, len(starts), polished, whole_minima, best),
    )


def certify(
    whole: Problem, starts: int, polished: Minima, minima: Minima, best: int
) -> Certificate:
    """Say how good the best of a batch of minima is."""
    value = float(minima.value[best])
    least = float(polished.value.min())
    rounding = 1e-18 * float(whole.w.sum())
    same = polished.value <= least * (1 + AGREE) + rounding
    others = polished.value[~same & polished.converged]
    gap = float(others.min() / least - 1) if len(others) and least > 0 else None
    theta = minima.theta[best]
    at_bound = whole.free & ((theta <= whole.lower) | (theta >= whole.upper))
    scale = value if value > rounding else 1.0
    edm = float(minima.edm[best]) / scale
    return Certificate(
        starts=starts,
        polished=len(polished.value),
        agree=int(same.sum()),
        gap=gap,
        gradient_norm=float(np.abs(minima.gradient[best]).max()) / scale,
        edm=edm,
        converged=bool(minima.converged[best] or value <= rounding),
        condition=_condition(minima.hessian[best], whole.free & ~at_bound),
        at_bounds=tuple(np.array(whole.law.names)[at_bound].tolist()),
    )


def _condition(hessian: Array, moving: NDArray[np.bool_]) -> float:
    inner = hessian[np.ix_(moving, moving)]
    diagonal = np.sqrt(np.abs(np.diag(inner)))
    if not len(inner) or (diagonal == 0).any():
        return math.inf if len(inner) else 1.0
    sizes = np.abs(np.linalg.eigvalsh(inner / np.outer(diagonal, diagonal)))
    return float(sizes.max() / sizes.min()) if sizes.min() > 0 else math.inf


# --- The problem --------------------------------------------------------------------


def free_of(formula: Formula) -> NDArray[np.bool_]:
    """Mark the parameters that a fit determines, in the order of theta."""
    names = {parameter.name for parameter in formula.free}
    return np.array([name in names for name in formula.compiled.names])


def problem(formula: Formula, taken: Sample, objective: Objective) -> Problem:
    """Put law, rows and objective together."""
    lower, upper = np.array([p.bounds for p in formula.parameters]).T
    return Problem(
        law=formula.compiled,
        x=taken.log_inputs(formula),
        y=taken.loss,
        w=taken.weight,
        objective=objective,
        free=free_of(formula),
        lower=lower,
        upper=upper,
    )


def require(formula: Formula, taken: Sample, objective: Objective) -> None:
    """Refuse rows that cannot determine the law, in words.

    Raises
    ------
    ScalingError
        If there are fewer rows, or fewer different ones, than free parameters; if all
        have one compute; if the objective takes logarithms of losses that have none; if
        a fixed floor lies above a loss.
    """
    count = len(formula.free)
    if not count:
        raise ScalingError(
            f"all parameters of law {formula.name} are fixed; nothing is left to fit: "
            "leave one free"
        )
    different = _different(taken.table[list(formula.all_inputs)], count)
    if different < count:
        rows = f"{taken.n} rows" + (
            f" hold {different} different {', '.join(formula.inputs)}"
            if different < taken.n
            else ""
        )
        rows += "".join(f" ({n} rows dropped: {w})" for w, n in taken.dropped.items())
        raise ScalingError(
            f"law {formula.name} has {count} free parameters, but the {rows}; expected "
            f"at least {count}, and more for intervals: add runs, or fix or tie "
            "parameters"
        )
    if objective.space == "log" and (taken.loss <= 0).any():
        raise ScalingError(
            f"the loss is {_lowest(taken)}; log loss needs positive losses: use "
            "--loss-space linear"
        )
    _refuse_floor(formula, taken)


def _different(inputs: pd.DataFrame, enough: int) -> int:
    """Count different rows; the first thousands suffice where they differ."""
    few = len(inputs.head(SCREEN_ROWS).drop_duplicates())
    return few if few >= enough else len(inputs.drop_duplicates())


def _refuse_floor(formula: Formula, taken: Sample) -> None:
    for parameter in formula.parameters:
        value = formula.fixed.get(parameter.name, -math.inf)
        if parameter.floor and value >= taken.loss.min():
            raise ScalingError(
                f"{parameter.name} is fixed at {value:g}, but the loss is "
                f"{_lowest(taken)}; expected a floor below every loss: fix it lower"
            )


def _lowest(taken: Sample) -> str:
    row = int(taken.loss.argmin())
    return f"{taken.loss[row]:g} in {taken.name_of(row)}"


def _below_zero(formula: Formula) -> Formula:
    """Let the floor of a normalised loss be negative."""
    parameters = tuple(
        replace(p, lower=-math.inf) if p.floor and p.lower == 0 else p
        for p in formula.parameters
    )
    return replace(formula, parameters=parameters)
