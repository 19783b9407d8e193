"""How well a law predicts: fitted to the cheaper runs, scored on the dearer ones.

An error is what the loss was more than the law said, in the objective's space: log loss
- log law, or loss - law. Above zero the loss turned out higher than predicted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scaling.analysis import solver
from scaling.analysis.fitting import Fit, fit_sample, problem
from scaling.analysis.formula import Formula
from scaling.analysis.intervals import Uncertainty, uncertainty
from scaling.analysis.isoflop import TOLERANCE
from scaling.analysis.objective import Objective
from scaling.analysis.sample import LOSS, Sample
from scaling.errors import ScalingError

Array = NDArray[np.float64]

SHARES = (0.5, 0.6, 0.7, 0.8, 0.9)
"""Shares of the rows, the cheapest, that the folds of a window are fitted to."""
SPARE = 3
"""Rows that a fold is fitted to, at least, beyond the number of parameters."""
DIFFERENT = 1
"""Different inputs among them, beyond the number of parameters."""
FORETOLD = ("law", "law_low", "law_high", "new_low", "new_high")
HELD_OUT = ("start", "n", "rmse", "mean_abs", "mean", "seen", "coverage")


@dataclass(frozen=True, kw_only=True, slots=True)
class Errors:
    """How far a law misses rows that it was not fitted to, in the objective's space."""

    n: int
    """Number of rows scored."""
    rmse: float
    """Root of the mean square error; infinite where the law is not defined."""
    mean_abs: float
    """Mean size of an error."""
    mean: float
    """Mean error: above 0 where the loss was higher than predicted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fold(Errors):
    """One cut of an expanding window."""

    start: float
    """Compute from which on rows are scored (what rows are ordered by, without it)."""
    trained: int
    """Number of rows below, of runs that end below, that the law was fitted to."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ExpandingWindow(Errors):
    """A law scored above several cuts; in the means every cut counts alike."""

    folds: tuple[Fold, ...]
    """The cuts, from the lowest."""

    @classmethod
    def of(cls, folds: Sequence[Fold]) -> ExpandingWindow:
        """Sum up folds."""
        return cls(
            folds=tuple(folds),
            n=sum(fold.n for fold in folds),
            rmse=math.sqrt(np.mean([fold.rmse**2 for fold in folds])),
            mean_abs=float(np.mean([fold.mean_abs for fold in folds])),
            mean=float(np.mean([fold.mean for fold in folds])),
        )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class HoldOut(Errors):
    """A law fitted to the lower rows and scored on the rest."""

    start: float
    """Compute from which on rows were held out."""
    fit: Fit
    """The fit to the rows below."""
    seen: int
    """Rows held out of runs that have rows below as well: an easier test."""
    coverage: float
    """Share of the rows held out within the 95 % interval of a new run."""

    def sentence(self) -> str:
        """Say how well the rows held out were foretold."""
        unit = self.fit.residual_unit
        at = f"{self.start:.3g}" + " FLOPs" * ("C" in self.fit.sample.table)
        side = "above" if self.mean > 0 else "below"
        seen = f"; {self.seen} of them of runs fitted in part" if self.seen else ""
        inside = f"{100 * self.coverage:.0f} % within their 95 % intervals"
        inside = "" if math.isnan(self.coverage) else f"; {inside}"
        return (
            f"{self.n} rows from {at} on, predicted from {self.fit.sample.n} below: "
            f"root mean square error {self.rmse:.2g} {unit}, on average "
            f"{abs(self.mean):.2g} {side} the law{inside}{seen}"
        )

    def to_dict(self) -> dict[str, float]:
        """Give the numbers as JSON holds them."""
        return {name: getattr(self, name) for name in HELD_OUT}


def hold_out(fit: Fit, holdout: float | None) -> HoldOut | None:
    """Fit the law to the lower rows and score it on the others.

    Parameters
    ----------
    fit : Fit
        The law with its rows and objective.
    holdout : float, optional
        Above 1 a compute in FLOPs from which on rows are held out; between 0 and 1 the
        share of the rows to hold out, at the upper end (rows of equal compute stay
        together). None holds out nothing, and gives None.

    Raises
    ------
    ScalingError
        If the holdout cannot be, or leaves too little, or takes nothing.
    """
    if holdout is None:
        return None
    taken = fit.sample
    order = _order(taken)
    start = _start(order, holdout)
    held = order >= start
    try:
        lower = fit.refit(rows=~held)
    except ScalingError as reason:
        raise ScalingError(
            f"holding out from {start:.3g} leaves {np.sum(~held)} of {taken.n} rows: "
            f"{reason}; or hold out fewer"
        ) from reason
    upper = taken.take(held)
    return HoldOut(
        **asdict(_errors(fit.formula, upper, fit.objective, lower.theta)),
        start=start,
        fit=lower,
        seen=int(np.isin(taken.runs[held], taken.runs[~held]).sum()),
        coverage=_coverage(lower, upper),
    )


def expanding(taken: Sample, formula: Formula, objective: Objective) -> ExpandingWindow:
    """Score a law above several cuts, each time fitted to the runs that end below.

    Runs stay together, and so do rows within 10 % of compute, as of one isoFLOP budget.
    Of a run that crosses the cut only the rows above are used, to be scored.

    Parameters
    ----------
    taken : Sample
        The rows.
    formula : Formula
        The law, as a fit to all rows carries it: `fit.formula`.
    objective : Objective
        What is minimised.

    Raises
    ------
    ScalingError
        If no cut leaves enough rows below it.
    """
    folds = []
    for start, lower, upper in windows(taken, formula):
        theta = fit_sample(formula, lower, objective, patient=False).theta
        errors = _errors(formula, upper, objective, theta)
        folds.append(Fold(**asdict(errors), start=start, trained=lower.n))
    return ExpandingWindow.of(folds)


def windows(taken: Sample, formula: Formula) -> list[tuple[float, Sample, Sample]]:
    """Cut rows as `expanding` does: where, the rows below, and those above.

    Raises
    ------
    ScalingError
        If no cut leaves enough rows below it.
    """
    order, ends = _order(taken), _ends(taken)
    cuts = ((start, taken.take(ends < start)) for start in _cuts(taken))
    found = [
        (start, lower, taken.take(order >= start))
        for start, lower in cuts
        if _enough(lower, formula)
    ]
    if not found:
        raise ScalingError(
            f"no cut of {taken.n} rows of {taken.clusters} runs has "
            f"{len(formula.free) + SPARE} rows below it, of runs that end there, at "
            f"{len(formula.free) + DIFFERENT} different inputs and 2 or more computes: "
            "add runs"
        )
    return found


def foretell(
    uncertain: Uncertainty, rows: pd.DataFrame, level: float = 0.95
) -> pd.DataFrame:
    """Give the law at rows, with its intervals and those of a new run.

    Parameters
    ----------
    uncertain : Uncertainty
        The fit, and how uncertain it is.
    rows : DataFrame
        The law's inputs by symbol.
    level : float
        Coverage of the intervals.

    Returns
    -------
    DataFrame
        `law`, `law_low`, `law_high`, `new_low`, `new_high` in the units of the loss, by
        the index of the rows. A lower envelope says nothing of a new run: NaN.
    """
    fit, x = uncertain.fit, uncertain.fit.log_inputs(rows)
    in_logs = fit.objective.space == "log"

    def as_fitted(theta: Array) -> Array:
        law = fit.formula.compiled.value(theta, x)
        return np.log(law) if in_logs else law

    with np.errstate(all="ignore"):  # a law may not be defined at all that is asked
        law = uncertain.interval(as_fitted, level)
        new = uncertain.new_run(as_fitted, level)
        found = [as_fitted(fit.theta[None])[0], law.low, law.high, new.low, new.high]
        ends = np.exp(found) if in_logs else np.array(found)
    if fit.objective.name == "asymmetric":
        ends[3:] = math.nan
    return pd.DataFrame(ends.T, columns=FORETOLD, index=rows.index)


# --- Rows above and below -----------------------------------------------------------


def _start(order: Array, holdout: float) -> float:
    """Turn a compute or a share of the rows into what rows are held out from."""
    if 0 < holdout < 1:
        # At least one row: a share too small to hold anything out tests nothing.
        return float(np.sort(order)[-max(1, round(holdout * len(order)))])
    if not (holdout > 1 and math.isfinite(holdout)):
        raise ScalingError(
            f"holdout is {holdout:g}; expected a compute in FLOPs above 1, or a share "
            "of the rows between 0 and 1"
        )
    if not (order >= holdout).any():
        raise ScalingError(
            f"no row lies at or above {holdout:.3g} FLOPs, the highest is at "
            f"{order.max():.3g}: hold out from a lower compute"
        )
    return holdout


def _order(taken: Sample) -> Array:
    unknown = np.isnan(taken.order)
    if unknown.any():
        raise ScalingError(
            f"the compute of {unknown.sum()} of {taken.n} rows is not known, that of "
            f"{taken.name_of(int(unknown.argmax()))} for one; rows are held out by "
            "compute: give it for all rows, or leave its column out"
        )
    return taken.order


def _ends(taken: Sample) -> Array:
    """Give each row the greatest compute of its run."""
    most = np.full(taken.clusters, -math.inf)
    np.maximum.at(most, taken.runs, taken.order)
    return most[taken.runs]


def _cuts(taken: Sample) -> list[float]:
    """Choose the computes to cut at, below which about `SHARES` of the rows lie."""
    starts = _levels(taken.order)[1:]
    if not starts:
        return []
    below = np.searchsorted(np.sort(_ends(taken)), starts)
    nearest = {int(np.abs(below - share * taken.n).argmin()) for share in SHARES}
    return [starts[k] for k in sorted(nearest)]


def _levels(order: Array) -> list[float]:
    """List where levels of compute begin: the rows of one are within 10 %.

    >>> _levels(np.array([1.0, 1.05, 3.0, 1.09, 3.1, 9.0]))
    [1.0, 3.0, 9.0]
    """
    found: list[float] = []
    for value in np.unique(order).tolist():
        if not found or value > found[-1] + TOLERANCE * abs(found[-1]):
            found.append(value)
    return found


def _enough(lower: Sample, formula: Formula) -> bool:
    """Whether rows of several computes leave something over after the parameters."""
    count = len(formula.free)
    if lower.n < count + SPARE or len(_levels(lower.order)) < 2:
        return False
    inputs = np.column_stack(lower.log_inputs(formula))
    return len(np.unique(inputs, axis=0)) >= count + DIFFERENT


def _errors(
    formula: Formula, upper: Sample, objective: Objective, theta: Array
) -> Errors:
    with np.errstate(all="ignore"):
        r = -solver.residuals(problem(formula, upper, objective), theta[None])[0]
    # The law has no logarithm where it fell to zero or below: no loss is as low.
    r = np.where(np.isnan(r), math.inf, r)
    w = upper.weight
    return Errors(
        n=upper.n,
        rmse=math.sqrt(np.average(r**2, weights=w)),
        mean_abs=float(np.average(np.abs(r), weights=w)),
        mean=float(np.average(r, weights=w)),
    )


def _coverage(lower: Fit, upper: Sample) -> float:
    """Count the rows above within the 95 % interval of a new run."""
    if lower.objective.name == "asymmetric":  # which says nothing of a single run
        return math.nan
    found = foretell(uncertainty(lower), upper.table)
    return float(upper.table[LOSS].between(found["new_low"], found["new_high"]).mean())
