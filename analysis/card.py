"""The card of a fit: all that a reader must know to believe it, or not to.

Form, conventions, rows, objective, starts, intervals, hold-out, data, warnings: the
checklist of "(Mis)fitting: a survey of scaling laws" (ICLR 2025), as one object that is
printed by `render_fit` and written as JSON. The JSON holds the rows as well, so that
whoever has the card can predict from it and fit it again.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from scaling.analysis.allocation import cost_of
from scaling.analysis.fitting import Certificate, Fit
from scaling.analysis.formula import Formula, Parameter
from scaling.analysis.holdout import HoldOut, hold_out
from scaling.analysis.identify import identifiability, unbounded
from scaling.analysis.intervals import Method, Uncertainty, uncertainty
from scaling.analysis.objective import Objective
from scaling.analysis.prediction import Estimate, predict_budget
from scaling.analysis.profiles import Profile, profile_all
from scaling.analysis.sample import CHOICES, Sample
from scaling.analysis.selection import Criteria, criteria
from scaling.analysis.sensitivity import delta_sentence, delta_sweep, influential_run
from scaling.errors import ScalingError
from scaling.files import jsonable, write_json

SCHEMA = 1
KIND = "fit"
LEVEL = 0.95
DELTA_ERRORS, DELTA_SHARE = 3.0, 0.2
"""Standard errors, and share of an exponent, that delta may move it by at most."""
MISSED_ERRORS = 3.0
"""Standard errors by which the share of rows foreseen may fall short."""
SHOWN_INPUTS = ("C", "N", "N_nv", "N_v", "V", "D", "U")


@dataclass(frozen=True, kw_only=True, slots=True)
class Determined:
    """One parameter as the card shows it."""

    value: float
    """Its value."""
    standard_error: float | None
    """Standard error; None where the parameter was held."""
    low: float | None
    """Lower end of its interval; None where held, or where the data give none."""
    high: float | None
    """Upper end of its interval; None where held, or where the data give none."""
    state: str
    """`free`, `fixed`, `= other`, or `AT A BOUND`."""
    unit: str
    """Its unit."""
    meaning: str
    """What it is."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Card:
    """A fit with everything that it should be judged by."""

    fit: Fit
    """The law and its minimum."""
    uncertainty: Uncertainty
    """What the intervals come from."""
    level: float = LEVEL
    """Their coverage."""
    criteria: Criteria
    """AICc and BIC."""
    holdout: HoldOut | None = None
    """Error on rows that a second fit did not see, if asked for."""
    sweep: pd.DataFrame
    """Parameters by Huber's objective at other deltas."""
    influential: str | None = None
    """The run that moves the fit further than chance lets one do, in a sentence."""
    identifiability: tuple[str, ...] = ()
    """What the rows do not determine."""
    endless: Mapping[str, Profile] = field(default_factory=dict)
    """Profiles of the parameters that the rows leave without an end."""
    profiles: Mapping[str, Profile] = field(default_factory=dict)
    """Profiles that the parameters' intervals are read from, if asked for."""
    frontier: Mapping[str, Estimate] = field(default_factory=dict)
    """Exponents in compute of the best sizes and data, about the largest compute."""

    @cached_property
    def parameters(self) -> dict[str, Determined]:
        """The parameters with their intervals, in the order of the law."""
        fit, ends = self.fit, self.uncertainty.parameters(self.level)
        found = {}
        for parameter in fit.formula.parameters:
            name = parameter.name
            free = name in ends
            low, high = ends.get(name, (None, None))
            if free and name in self.profiles:
                low, high = self.profiles[name].low, self.profiles[name].high
            if free and name in self.endless:
                low = None if self.endless[name].low_open else low
                high = None if self.endless[name].high_open else high
            found[name] = Determined(
                value=fit.value(name),
                standard_error=self.uncertainty.standard_error(name) if free else None,
                low=low,
                high=high,
                state=_state(fit, name),
                unit=parameter.unit.replace("nats", fit.sample.loss_unit),
                meaning=parameter.meaning,
            )
        return found

    @property
    def sensitivity(self) -> str:
        """How far the choice of delta moves the fit, in a sentence."""
        return delta_sentence(self.fit, self.sweep)

    @property
    def cost(self) -> str:
        """What a token was taken to cost, where the law divides compute."""
        if not self.frontier:
            return ""
        return str(cost_of(self.fit.formula, self.fit.sample))

    @property
    def warnings(self) -> tuple[str, ...]:
        """What speaks against the fit, the bad state in capitals."""
        return (
            *self.fit.certificate.warnings,
            *self.identifiability,
            *([self.influential] if self.influential else []),
            *self._delta_matters(),
            *self._missed(),
            *self.fit.sample.suspicions,
        )

    def _delta_matters(self) -> Iterator[str]:
        """Say which exponents hang on delta: by more than their errors allow."""
        for p in self.fit.formula.free:
            low, high = self.sweep[p.name].min(), self.sweep[p.name].max()
            error = self.uncertainty.standard_error(p.name)
            moves = p.meaning == "exponent" and high - low > DELTA_ERRORS * error
            if moves and high - low > DELTA_SHARE * abs(self.fit.value(p.name)):
                yield (
                    f"DELTA DECIDES: {p.name} goes from {low:.3g} to {high:.3g} with "
                    f"delta, {(high - low) / error:.2g} standard errors: rows far off "
                    "the law pull at it; look at them"
                )

    def _missed(self) -> Iterator[str]:
        """Say whether the rows held out were missed more often than chance would."""
        held = self.holdout
        if held is None or math.isnan(held.coverage):
            return
        scatter = math.sqrt(0.95 * 0.05 / held.n)
        if held.coverage < 0.95 - MISSED_ERRORS * scatter:
            yield (
                f"HELD-OUT ROWS MISSED: {100 * held.coverage:.0f} % lie within their "
                "95 % intervals; the law predicts less well than it fits"
            )

    @property
    def status(self) -> Literal["good", "doubtful"]:
        """Whether any warning stands against the fit."""
        return "doubtful" if self.warnings else "good"

    @property
    def message(self) -> str:
        """The status in a sentence."""
        return "; ".join(self.warnings) or "nothing speaks against this fit"

    def to_dict(self) -> dict[str, Any]:
        """Give the card as JSON holds it, with full precision."""
        fit, sample = self.fit, self.fit.sample
        inputs = [name for name in SHOWN_INPUTS if name in sample.table]
        ranges = {n: [sample.table[n].min(), sample.table[n].max()] for n in inputs}
        found = {
            "schema": SCHEMA,
            "kind": KIND,
            "law": fit.formula.name,
            "formula": fit.formula.written(),
            "source": fit.formula.source,
            "status": self.status,
            "message": self.message,
            "warnings": list(self.warnings),
            "parameters": {n: asdict(p) for n, p in self.parameters.items()},
            "intervals": {
                "level": self.level,
                "method": self.uncertainty.method,
                "parameters": "profile" if self.profiles else self.uncertainty.method,
                "reason": self.uncertainty.reason,
                "seed": self.uncertainty.seed,
                "draws": _length(self.uncertainty.draws),
            },
            "objective": {
                **asdict(fit.objective),
                "text": str(fit.objective),
                "value": fit.objective_value,
                "residual_sd": fit.residual_sd,
            },
            "certificate": asdict(fit.certificate),
            "criteria": asdict(self.criteria),
            "holdout": self.holdout and self.holdout.to_dict(),
            "delta_sweep": self.sweep.to_dict(orient="records"),
            "sensitivity": self.sensitivity,
            "identifiability": list(self.identifiability),
            "frontier": {n: asdict(e) for n, e in self.frontier.items()},
            "conventions": {
                "compute": self.cost,
                "flops_convention": sample.flops_convention,
                "derived": list(sample.derived),
                "tokens_per_step": sample.tokens_per_step,
                "loss": sample.loss_symbol,
            },
            "data": {
                "sources": list(sample.sources),
                "data_hash": sample.data_hash,
                "rows": sample.rows,
                "rows_text": CHOICES[sample.rows],
                "n": sample.n,
                "runs": sample.clusters,
                "ranges": ranges,
                "dropped": dict(sample.dropped),
                "notes": list(sample.notes),
                "suspicions": list(sample.suspicions),
            },
            "declaration": _declaration(fit.formula),
            "theta": dict(zip(fit.formula.compiled.names, fit.theta, strict=True)),
            "table": {name: list(column) for name, column in sample.table.items()},
        }
        return dict(jsonable(found))

    def save(self, path: str | Path) -> None:
        """Write the card as JSON; a file already there survives any failure."""
        write_json(Path(path), self.to_dict(), indent=1)

    def __repr__(self) -> str:
        from scaling.analysis.render_fit import text  # which knows this class

        return text(self)

    def _repr_html_(self) -> str:
        from scaling.analysis.render_html import card_html

        return card_html(self)


def card(
    fit: Fit,
    *,
    method: Method | None = None,
    level: float = LEVEL,
    draws: int = 1000,
    seed: int = 0,
    holdout: float | None = None,
    profiled: bool = False,
) -> Card:
    """Judge a fit.

    Parameters
    ----------
    fit : Fit
        From `fit_law`.
    method : {"wald", "pairs", "residual", "wild"}, optional
        How intervals are made; by default as the design asks, see `uncertainty`.
    level : float
        Coverage of the intervals.
    draws, seed : int
        Refits of a bootstrap, and the seed of its random numbers.
    holdout : float, optional
        Rows to foretell by a second fit that does not see them: above 1 those from
        this compute (FLOPs) on, below 1 this share of the rows, of highest compute.
    profiled : bool
        Whether the parameters' intervals are those of profile likelihoods.

    Raises
    ------
    ScalingError
        If a bootstrap has too few runs, or the hold-out leaves too few rows.
    """
    uncertain = uncertainty(fit, method, draws=draws, seed=seed)
    endless = unbounded(fit)
    return Card(
        fit=fit,
        uncertainty=uncertain,
        level=level,
        criteria=criteria(fit),
        holdout=hold_out(fit, holdout),
        sweep=delta_sweep(fit),
        influential=influential_run(fit, seed),
        identifiability=identifiability(fit, endless),
        endless=endless,
        profiles=profile_all(fit, level=level) if profiled else {},
        frontier=_frontier(fit, uncertain, level),
    )


def _frontier(fit: Fit, uncertain: Uncertainty, level: float) -> dict[str, Estimate]:
    """Find the exponents of the best sizes in compute, where the law has any."""
    if "C" not in fit.sample.table or "D" not in fit.formula.inputs:
        return {}
    try:
        top = float(fit.sample.table["C"].max())
        return dict(predict_budget(fit, uncertain, top, level=level).exponents)
    except ScalingError:  # no best size, or an input that is not chosen: no frontier
        return {}


def _state(fit: Fit, name: str) -> str:
    if name in fit.formula.fixed:
        return "fixed"
    if name in fit.formula.tied:
        return f"= {fit.formula.tied[name]}"
    return "AT A BOUND" if name in fit.certificate.at_bounds else "free"


def _length(draws: Any) -> int | None:
    return None if draws is None else len(draws)


# --- JSON ---------------------------------------------------------------------------


def _declaration(formula: Formula) -> dict[str, Any]:
    """Write the law down whole, so that a card needs no catalogue to be read."""
    return {
        "text": formula.text,
        "inputs": list(formula.inputs),
        "arms": list(formula.arms),
        "fixed": dict(formula.fixed),
        "tied": dict(formula.tied),
        "parameters": [asdict(parameter) for parameter in formula.parameters],
    }


def load(fields: Mapping[str, Any]) -> Uncertainty:
    """Rebuild the fit of a card, with its uncertainty.

    The law is not fitted anew, parameters and certificate are those that were written;
    a bootstrap is drawn again, from its seed.

    Raises
    ------
    ScalingError
        If the fields are not those of a card of this schema.
    """
    if fields.get("kind") != KIND or fields.get("schema") != SCHEMA:
        raise ScalingError(
            f"it is kind {fields.get('kind')!r}, schema {fields.get('schema')!r}; "
            f"expected {KIND!r}, {SCHEMA}: fit the records again with this version"
        )
    try:
        made = fields["intervals"]
        found = uncertainty(
            _fit(fields), made["method"], draws=made["draws"] or 0, seed=made["seed"]
        )
        return replace(found, reason=made["reason"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, ScalingError):
            raise
        lack = "has no field" if isinstance(error, KeyError) else "is misshapen:"
        raise ScalingError(
            f"the card {lack} {error}; expected a file that `scaling fit --law --out` "
            "wrote: fit the records again"
        ) from error


def _fit(fields: Mapping[str, Any]) -> Fit:
    data, objective = fields["data"], fields["objective"]
    formula = _formula(fields)
    table = pd.DataFrame(fields["table"])
    words = {"run", "size"}
    numbers = [name for name in table.columns if name not in words]
    certificate = {**fields["certificate"]}
    certificate["at_bounds"] = tuple(certificate["at_bounds"])
    if certificate["condition"] is None:
        certificate["condition"] = math.inf
    return Fit(
        formula=formula,
        objective=Objective(
            **{name: objective[name] for name in Objective.__dataclass_fields__}
        ),
        sample=Sample(
            table=table.astype(dict.fromkeys(numbers, "float64")),
            rows=data["rows"],
            loss_symbol=fields["conventions"]["loss"],
            flops_convention=fields["conventions"]["flops_convention"],
            derived=tuple(fields["conventions"]["derived"]),
            tokens_per_step=fields["conventions"]["tokens_per_step"],
            sources=tuple(data["sources"]),
            data_hash=data["data_hash"],
            dropped=data["dropped"],
            notes=tuple(data["notes"]),
            suspicions=tuple(data["suspicions"]),
        ),
        theta=np.array([fields["theta"][n] for n in formula.compiled.names], float),
        objective_value=float(objective["value"]),
        certificate=Certificate(**certificate),
    )


def _formula(fields: Mapping[str, Any]) -> Formula:
    declared = fields["declaration"]
    infinite = {"lower": -math.inf, "upper": math.inf}
    parameters = []
    for each in declared["parameters"]:
        given = {k: v for k, v in each.items() if v is not None or k not in infinite}
        given["starts"] = tuple(given["starts"])
        parameters.append(Parameter(**given))
    formula = Formula(
        name=fields["law"],
        text=declared["text"],
        inputs=tuple(declared["inputs"]),
        arms=tuple(declared["arms"]),
        parameters=tuple(parameters),
        source=fields["source"],
    )
    return replace(formula, fixed=declared["fixed"], tied=declared["tied"])
