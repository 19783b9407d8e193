"""Which law predicts best, with the criteria of the textbooks beside it.

A criterion such as AICc rates a law where the rows lie, but a law is wanted where they
do not lie yet. So laws are compared by an expanding window: fitted to the runs below a
compute and scored on what lies above it, for several such cuts. All laws see the same
rows and the same cuts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import erf

from scaling.analysis.catalogue import LAWS
from scaling.analysis.catalogue import law as find_law
from scaling.analysis.fitting import Fit, fit_sample
from scaling.analysis.formula import Formula
from scaling.analysis.holdout import ExpandingWindow, expanding
from scaling.analysis.objective import Objective
from scaling.analysis.sample import CHOICES, Choice, Sample, sample
from scaling.analysis.table import Records
from scaling.errors import ScalingError
from scaling.files import jsonable

Array = NDArray[np.float64]

FEW_LACKING = 0.1
"""Share of the rows that may lack an input of a law, and are then left out for all."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Criteria:
    """Criteria of a fit, lower is better; see `criteria`."""

    aicc: float
    """Akaike's criterion, corrected for few rows."""
    bic: float
    """Schwarz's criterion."""
    k: int
    """Free parameters, the scale of the residuals among them."""
    n: int
    """Number of rows."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Candidate:
    """One law of a comparison."""

    formula: Formula
    """The law."""
    fit: Fit | None = None
    """Its fit to all rows; None where there is none."""
    window: ExpandingWindow | None = None
    """Its errors on rows held out; None where it could not be scored."""
    reason: str = ""
    """Why it could not be fitted or scored."""

    @property
    def name(self) -> str:
        """Name of the law."""
        return self.formula.name

    @property
    def parameters(self) -> int:
        """Number of free parameters."""
        return len(self.formula.free)

    @property
    def status(self) -> str:
        """What speaks against it, or `good`."""
        warnings = self.fit.certificate.warnings if self.fit else ()
        return self.reason or "; ".join(warnings) or "good"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False, repr=False)
class Selection:
    """Laws compared on the same rows."""

    candidates: tuple[Candidate, ...]
    """The laws, by their error on rows held out; those not scored come last."""
    objective: Objective
    """What was minimised."""
    rows: str
    """Which rows all laws were fitted to, in words."""

    @property
    def scored(self) -> dict[str, ExpandingWindow]:
        """Errors on rows held out by law, the least first."""
        return {c.name: c.window for c in self.candidates if c.window}

    @property
    def best(self) -> Candidate:
        """The law to take: the simplest within noise of the least error.

        Within noise is less than one standard error over the folds, whose errors are
        compared fold by fold; folds share rows, so that the measure is rough. Only laws
        of the same inputs stand in for each other: one of compute alone, however
        good, cannot divide it between size and data.

        Raises
        ------
        ScalingError
            If no law could be scored.
        """
        scored = [c for c in self.candidates if c.window]
        if not scored:
            reasons = "; ".join(f"{c.name}: {c.reason}" for c in self.candidates)
            raise ScalingError(
                f"no law could be scored on rows held out ({reasons}); expected runs "
                "at several computes: add runs, or compare laws with fewer parameters"
            )
        least = scored[0]
        alike = [c for c in scored if c.formula.inputs == least.formula.inputs]
        near = [c for c in alike if c is least or _within_noise(c, least)]
        return min(near, key=lambda c: c.parameters)

    @property
    def fit(self) -> Fit:
        """The best law's fit, to the same rows as all others."""
        found = self.best.fit
        assert found is not None  # what was scored was fitted
        return found

    def sentence(self) -> str:
        """Say which law predicts best, and by how much."""
        best = self.best
        rmse = {name: window.rmse for name, window in self.scored.items()}
        least, *others = rmse
        unit = best.fit.residual_unit if best.fit else self.objective.unit()
        found = f"{rmse[best.name]:.2g} {unit} on rows held out"
        if best.name != least:
            return (
                f"{best.name} predicts as well as any: {found}; {least}, with more "
                f"parameters, has {rmse[least]:.2g}, a difference within noise"
            )
        if not others:
            return f"{best.name} is the only law that could be scored: {found}"
        less = 100 * (1 - rmse[least] / rmse[others[0]])
        best_of = (
            f"{best.name} predicts best: {found}, {less:.0f} % less than {others[0]}"
        )
        return f"{best_of}{self._of_sizes()}"

    def _of_sizes(self) -> str:
        """Name the best of the laws that choose sizes, where the best does not."""
        if "D" in self.best.formula.inputs:
            return ""
        for each in self.candidates:
            if each.window and "D" in each.formula.inputs:
                return (
                    f"; it chooses no sizes: of the laws that do, {each.name} predicts "
                    f"best, {each.window.rmse:.2g}"
                )
        return ""

    def to_frame(self) -> pd.DataFrame:
        """Give the comparison as a table, one row per law."""
        return pd.DataFrame([_line(candidate) for candidate in self.candidates])

    def to_dict(self) -> dict[str, Any]:
        """Give the comparison as JSON holds it."""
        found = {
            "best": self.best.name,
            "sentence": self.sentence(),
            "rows": self.rows,
            "laws": self.to_frame().to_dict(orient="records"),
        }
        return dict(jsonable(found))

    def __repr__(self) -> str:
        return f"{self.rows}\n{self.to_frame().to_string(index=False)}"

    def _repr_html_(self) -> str:
        from scaling.analysis.render_html import selection_html

        return selection_html(self)


def compare_laws(
    records: Records | pd.DataFrame,
    laws: Sequence[str | Formula] | None = None,
    objective: Objective | None = None,
    rows: Choice | None = None,
    report: Callable[[str], None] = lambda _: None,
) -> Selection:
    """Compare laws on the same rows, cuts and objective.

    Parameters
    ----------
    records : Records or DataFrame
        As `fitting.fit_law` takes them.
    laws : sequence of str or Formula, optional
        By default all laws of the catalogue whose inputs the table holds.
    objective : Objective, optional
        As for `fitting.fit_law`.
    rows : {"all", "best", "last", "frontier"}, optional
        Which evaluations of a run count, for all laws alike. By default all of them;
        the envelope of the runs if every law is of compute alone.
    report : callable, optional
        Is told of each law before it is fitted.

    Raises
    ------
    ScalingError
        If the table holds the inputs of none of the laws.
    """
    table = records.points() if isinstance(records, Records) else records
    named = [find_law(law) for law in laws or LAWS]
    reasons = {law.name: _lacking(table, law) for law in named}
    usable = [law for law in named if not reasons[law.name]]
    if not usable:
        raise ScalingError(
            f"the table holds the inputs of none of {len(named)} laws; it has "
            f"{', '.join(map(str, table.columns))}: name the column of compute with "
            "--columns C=COLUMN"
        )
    taken = sample(records, _all_inputs(usable), rows)
    if objective is None:
        objective = Objective.suited(taken.loss)
    tried = []
    for k, law in enumerate(usable, 1):
        report(f"law {k} of {len(usable)}: {law.name}")
        tried.append(_try(law, taken, objective))
    if laws is not None:
        lacking = [law for law in named if reasons[law.name]]
        tried += [Candidate(formula=law, reason=reasons[law.name]) for law in lacking]
    return Selection(
        candidates=tuple(sorted(_same_folds(tried), key=_rank)),
        objective=objective,
        rows=f"{CHOICES[taken.rows]}: {taken.n} rows",
    )


def _lacking(table: pd.DataFrame, law: Formula) -> str:
    for name in law.all_inputs:
        if name not in table:
            return f"needs {name}, which the table does not hold"
        unknown = int(table[name].isna().sum())
        if unknown > FEW_LACKING * len(table):
            return f"needs {name}, which {unknown} of {len(table)} rows lack"
    return ""


def _all_inputs(laws: Sequence[Formula]) -> Formula:
    """Declare a law that needs what any of several needs, to choose rows by."""
    names = tuple(dict.fromkeys(name for law in laws for name in law.all_inputs))
    return Formula(
        name="of every input", text=" + ".join(names), inputs=names, parameters=()
    )


def _try(law: Formula, taken: Sample, objective: Objective) -> Candidate:
    try:
        fit = fit_sample(law, taken, objective)
    except ScalingError as reason:
        return Candidate(formula=law, reason=str(reason))
    try:
        window = expanding(taken, fit.formula, objective)
    except ScalingError as reason:
        return Candidate(formula=law, fit=fit, reason=str(reason))
    return Candidate(formula=law, fit=fit, window=window)


def _same_folds(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Leave the folds that every law with folds has."""
    windows = [c.window for c in candidates if c.window]
    starts = [{fold.start for fold in window.folds} for window in windows]
    common = set.intersection(*starts) if starts else set()
    return [
        replace(
            c,
            window=ExpandingWindow.of([f for f in c.window.folds if f.start in common]),
        )
        if c.window
        else c
        for c in candidates
    ]


def _rank(candidate: Candidate) -> tuple[bool, float, int]:
    rmse = candidate.window.rmse if candidate.window else math.inf
    return candidate.window is None, rmse, candidate.parameters


def _within_noise(one: Candidate, least: Candidate) -> bool:
    assert one.window
    assert least.window
    pairs = zip(one.window.folds, least.window.folds, strict=True)
    worse = np.array([a.rmse - b.rmse for a, b in pairs])
    if len(worse) < 2 or not np.isfinite(worse).all():
        return False
    return bool(worse.mean() <= worse.std(ddof=1) / math.sqrt(len(worse)))


def _line(candidate: Candidate) -> dict[str, str | float]:
    window, fit = candidate.window, candidate.fit
    rated = criteria(fit) if fit else None
    r = fit.residuals if fit else np.array([math.nan])
    return {
        "law": candidate.name,
        "parameters": candidate.parameters,
        "hold_out_rmse": window.rmse if window else math.nan,
        "hold_out_mean": window.mean if window else math.nan,
        "aicc": rated.aicc if rated else math.nan,
        "bic": rated.bic if rated else math.nan,
        "rmse": math.sqrt(np.mean(r**2)),
        "status": candidate.status,
    }


# --- Criteria -----------------------------------------------------------------------


def criteria(fit: Fit) -> Criteria:
    """Rate a fit by AICc and BIC.

    The fit is the maximum of the likelihood of residuals of density exp(-rho / tau) /
    Z(tau), whatever tau; it is Gauss's density for least squares, Laplace's for
    absolute deviations and that of Huber (Annals of Math. Stat. 35, 1964, 73) between
    them. At the most likely tau, with k parameters, tau among them::

        AICc = -2 ln likelihood + 2 k + 2 k (k + 1) / (n - k - 1)
        BIC  = -2 ln likelihood + k ln n

    (Hurvich and Tsai, Biometrika 76, 1989, 297; Schwarz, Annals of Stat. 6, 1978, 461).
    Rows count as independent. Only fits to the same rows by the same objective can be
    compared.
    """
    k = len(fit.formula.free) + 1
    weight = fit.sample.weight[fit.sample.weight > 0]
    n = len(weight)
    twice = 2 * _negative_log_likelihood(fit.objective, fit.objective_value, weight)
    small = 2 * k * (k + 1) / (n - k - 1) if n > k + 1 else math.inf
    return Criteria(aicc=twice + 2 * k + small, bic=twice + k * math.log(n), k=k, n=n)


def _negative_log_likelihood(objective: Objective, total: float, w: Array) -> float:
    """Minimise total / tau + sum ln Z(tau / w) over tau, which is convex in 1 / tau."""
    mean = total / len(w)
    if mean == 0:
        return -math.inf

    def value(log_tau: float) -> float:
        tau = math.exp(log_tau)
        return total / tau + float(np.sum(np.log(_normaliser(objective, tau / w))))

    # Z grows between the root of tau and tau, which puts tau between one and two means.
    bounds = (math.log(mean), math.log(2 * mean))
    found = minimize_scalar(value, bounds, bounds, method="bounded")
    return min(float(found.fun), value(bounds[0]), value(bounds[1]))


def _normaliser(objective: Objective, tau: Array) -> Array:
    """Integrate exp(-rho(r) / tau) over all residuals."""
    if objective.name == "lad":
        return 2 * tau
    if objective.name == "asymmetric":
        huber = replace(objective, name="huber")
        sides = [2 * objective.quantile, 2 * (1 - objective.quantile)]
        return np.asarray(sum(_normaliser(huber, tau / side) for side in sides) / 2)
    delta = objective.final_delta
    inner = np.sqrt(2 * np.pi * tau) * erf(delta / np.sqrt(2 * tau))
    return np.asarray(inner + 2 * tau / delta * np.exp(-(delta**2) / (2 * tau)))
