"""What a fitted law foretells: the best way to spend a budget, or the loss of a run.

A prediction is a set of `Estimate`s, each a value with its interval, and says how far
beyond the rows it reaches. The loss has two intervals: of the law, and of one new run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scaling.analysis.allocation import Allocator, allocator, cost_of, each_at
from scaling.analysis.buildable import Configuration
from scaling.analysis.fitting import Fit
from scaling.analysis.intervals import Uncertainty
from scaling.errors import ScalingError
from scaling.files import jsonable

Array = NDArray[np.float64]

LEVEL = 0.95
FAR = 10.0
"""Times the largest compute of the rows from which a prediction is far from them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """A value with its interval."""

    value: float
    """What the law says."""
    low: float
    """Lower end."""
    high: float
    """Upper end."""

    def scaled(self, factor: float) -> Estimate:
        """Give it in another unit."""
        return Estimate(
            value=self.value * factor, low=self.low * factor, high=self.high * factor
        )


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class Prediction:
    """What a law says of a budget, or of one run."""

    law: str
    """Name of the law."""
    compute: float | None
    """Budget in FLOPs; None for a run of a law that knows no compute."""
    quantities: Mapping[str, Estimate]
    """N*, D* and the like by symbol without the star; empty for a given run."""
    at: Mapping[str, float]
    """The given run's inputs; for a budget those that are not chosen, such as U."""
    loss: Estimate
    """Loss with the interval of the law."""
    new_run: tuple[float, float]
    """Interval of the loss of one new run."""
    exponents: Mapping[str, Estimate]
    """Exponent of each quantity in compute, about this budget."""
    level: float
    """Coverage of all intervals."""
    method: str
    """How the intervals were made."""
    cost: str
    """What a token was taken to cost; empty where nothing is chosen."""
    beyond: float
    """Budget, or a law's input, over the largest in the rows, or smallest over it."""
    loss_symbol: str = "L"
    """How the loss is written: L, or L_u where it is normalised."""
    unit: str = "tokens"
    """Unit of D: tokens, or seconds of data."""
    configuration: Configuration | None = None
    """The nearest run that can be built."""
    not_built: str = ""
    """Why there is none."""
    gamma: Estimate | None = None
    """Exponent of N_v* in N_nv*, about this budget; None where a law has not both."""
    warnings: tuple[str, ...] = ()
    """What speaks against it, the bad state in capitals."""

    def __repr__(self) -> str:
        from scaling.analysis.render_fit import prediction_text  # knows this class

        return prediction_text(self)

    def _repr_html_(self) -> str:
        from scaling.analysis.render_html import prediction_html

        return prediction_html(self)

    def in_seconds(self, tokens_per_second: float) -> Prediction:
        """Give D in seconds of data."""
        rate = 1 / tokens_per_second
        found = {
            n: e.scaled(rate) if n == "D" else e for n, e in self.quantities.items()
        }
        return replace(self, quantities=found, unit="seconds")

    def to_dict(self) -> dict[str, Any]:
        """Give the prediction as JSON holds it."""
        fields = {n: getattr(self, n) for n in self.__slots__ if n != "configuration"}
        fields["quantities"] = {k: asdict(v) for k, v in self.quantities.items()}
        fields["exponents"] = {k: asdict(v) for k, v in self.exponents.items()}
        fields["gamma"] = self.gamma and asdict(self.gamma)
        fields["loss"] = asdict(self.loss)
        low, high = self.new_run
        fields["new_run"] = {"low": low, "high": high}
        built = self.configuration
        kind = {"schema": 1, "kind": "prediction"}
        fields["configuration"] = built and built.to_dict()
        return dict(jsonable(kind | fields))


def predict_budget(
    fit: Fit,
    uncertainty: Uncertainty,
    compute: float,
    *,
    given: Mapping[str, float] | None = None,
    level: float = LEVEL,
) -> Prediction:
    """Divide a budget by the law.

    Parameters
    ----------
    fit, uncertainty
        The law, and how uncertain it is.
    compute : float
        Budget in FLOPs.
    given : mapping, optional
        Inputs that are not chosen, such as U.
    level : float
        Coverage of the intervals.

    Raises
    ------
    ScalingError
        If the law does not divide compute, or has no best size at this budget.
    """
    if not (math.isfinite(compute) and compute > 1):
        raise ScalingError(
            f"compute is {compute:g}; expected a budget in FLOPs, such as 1e18"
        )
    if fit.formula.inputs == ("C",):
        return _of_compute(fit, uncertainty, compute, level)
    spend = allocator(fit, given)
    spend.require_optimum(fit.theta, compute)
    names = _names(fit, spend)

    found: dict[tuple[bytes, float], Array] = {}  # the intervals ask again and again

    def best(theta: Array, factor: float = 1.0) -> Array:
        asked = theta.tobytes(), factor
        if asked not in found:
            optimum = spend.log_optimum(theta, compute * factor)
            found[asked] = _with_codebook(fit, optimum)
        return found[asked]

    def slope(theta: Array) -> Array:
        up, down = best(theta, math.exp(0.05)), best(theta, math.exp(-0.05))
        return np.asarray((up - down)[:, :-1] / 0.1)

    logs = _estimates(fit, uncertainty, best, level)
    slopes = _estimates(fit, uncertainty, slope, level)
    sizes = logs[:-1]
    return _prediction(
        fit,
        uncertainty,
        lambda theta: best(theta)[:, -1:],
        level,
        compute=compute,
        at=dict(given or {}),
        quantities={n: _exp(e) for n, e in zip(names, sizes, strict=True)},
        exponents=dict(zip(names, slopes, strict=True)),
        gamma=_gamma(fit, uncertainty, slope, names, level),
        cost=str(spend.cost),
    )


def _gamma(
    fit: Fit,
    uncertainty: Uncertainty,
    slopes: Callable[[Array], Array],
    names: Sequence[str],
    level: float,
) -> Estimate | None:
    """Give the exponent of N_v in N_nv: the ratio of theirs in compute."""
    if "N_v" not in names:
        return None
    N_nv, N_v = names.index("N_nv"), names.index("N_v")

    def ratio(theta: Array) -> Array:
        found = slopes(theta)
        return np.asarray(found[:, N_v] / found[:, N_nv])[:, None]

    (gamma,) = _estimates(fit, uncertainty, ratio, level)
    return gamma


def predict_run(
    fit: Fit,
    uncertainty: Uncertainty,
    at: Mapping[str, float],
    level: float = LEVEL,
) -> Prediction:
    """Predict the loss of a run whose inputs are given."""
    unknown = set(at) - {*fit.formula.inputs, "C"}
    if unknown:
        raise ScalingError(
            f"law {fit.formula.name} has no input {', '.join(sorted(unknown))}; it is "
            f"one of {', '.join(fit.formula.inputs)}"
        )
    for name, value in at.items():
        if not (math.isfinite(value) and value > 0):
            raise ScalingError(f"{name} is {value:g}; expected a positive number")
    fit.log_inputs(at)  # names what is lacking

    def loss(theta: Array) -> Array:
        columns = {n: np.full(len(theta), math.log(at[n])) for n in fit.formula.inputs}
        return each_at(fit.formula, theta, columns)[:, None]

    return _prediction(fit, uncertainty, loss, level, compute=at.get("C"), at=dict(at))


def _of_compute(
    fit: Fit, uncertainty: Uncertainty, compute: float, level: float
) -> Prediction:
    return replace(predict_run(fit, uncertainty, {"C": compute}, level), at={})


def _prediction(
    fit: Fit,
    uncertainty: Uncertainty,
    loss_of: Callable[[Array], Array],
    level: float,
    *,
    compute: float | None,
    at: Mapping[str, float],
    quantities: Mapping[str, Estimate] | None = None,
    exponents: Mapping[str, Estimate] | None = None,
    gamma: Estimate | None = None,
    cost: str = "",
) -> Prediction:
    in_logs = fit.objective.space == "log"

    def as_fitted(theta: Array) -> Array:
        return np.log(loss_of(theta)) if in_logs else loss_of(theta)

    (loss,) = _estimates(fit, uncertainty, as_fitted, level)
    low, high = -math.inf, math.inf  # a lower envelope says nothing of a single run
    if fit.objective.name != "asymmetric":
        new = uncertainty.new_run(as_fitted, level)
        ends = np.array([new.low[0], new.high[0]])
        low, high = (np.exp(ends) if in_logs else ends).tolist()
    beyond = _beyond(fit, {**at, **({"C": compute} if compute else {})})
    warnings = list(fit.certificate.warnings)
    if beyond > FAR:
        warnings.append(
            f"FAR EXTRAPOLATION: {beyond:.3g} times beyond the rows; the interval "
            "holds only if the law does"
        )
    return Prediction(
        law=fit.formula.name,
        compute=compute,
        quantities=quantities or {},
        at=at,
        loss=_exp(loss) if in_logs else loss,
        new_run=(low, high),
        exponents=exponents or {},
        gamma=gamma,
        level=level,
        method=uncertainty.reason,
        cost=cost,
        beyond=beyond,
        loss_symbol=fit.sample.loss_symbol,
        warnings=tuple(warnings),
    )


def with_compute(fit: Fit) -> pd.DataFrame:
    """Give the rows of a fit, with C by what a token costs where they lack it."""
    rows = fit.sample.table
    if "C" in rows or "D" not in rows or not {"N", "N_nv"} & set(fit.formula.inputs):
        return rows
    cost = cost_of(fit.formula, fit.sample)
    logs = {n: np.log(rows[n].to_numpy()) for n in ("N", "N_nv", "N_v") if n in rows}
    return rows.assign(C=cost.per_token(logs) * rows["D"])


def _beyond(fit: Fit, asked: Mapping[str, float]) -> float:
    """Give the factor by which a prediction leaves the rows, 1 within them."""
    rows = with_compute(fit)
    factors = [1.0]
    for name, value in asked.items():
        if name in rows:
            factors += [value / rows[name].max(), rows[name].min() / value]
    return float(max(factors))


def _estimates(
    fit: Fit,
    uncertainty: Uncertainty,
    function: Callable[[Array], Array],
    level: float,
) -> list[Estimate]:
    values = function(fit.theta[None])[0]
    interval = uncertainty.interval(function, level)
    ends = zip(values, interval.low, interval.high, strict=True)
    return [
        Estimate(value=float(v), low=float(low), high=float(high))
        for v, low, high in ends
    ]


def _exp(estimate: Estimate) -> Estimate:
    with np.errstate(over="ignore"):  # an end that is not known may be anywhere
        ends = {name: float(np.exp(each)) for name, each in asdict(estimate).items()}
    return Estimate(**ends)


# --- Codebook -----------------------------------------------------------------------


def _has_codebook(fit: Fit) -> bool:
    return "N_v" in fit.formula.inputs and "V" in fit.sample.table


def _names(fit: Fit, spend: Allocator) -> tuple[str, ...]:
    return (*spend.sizes, *(["V"] if _has_codebook(fit) else []), "D")


def width_law(fit: Fit) -> tuple[float, float]:
    """Give (constant, exponent) of the width d = N_v / V against N_nv in the rows."""
    table = fit.sample.table
    x = np.log(table["N_nv"].to_numpy())
    width = np.log((table["N_v"] / table["V"]).to_numpy())
    if np.ptp(x) < 1e-9:
        return float(width.mean()), 0.0
    exponent, constant = np.polyfit(x, width, 1)
    return float(constant), float(exponent)


def _with_codebook(fit: Fit, optimum: Array) -> Array:
    """Add ln V*, by the width that the rows give a model of N_nv*."""
    if not _has_codebook(fit):
        return optimum
    constant, exponent = width_law(fit)
    log_v = optimum[:, 1] - constant - exponent * optimum[:, 0]
    return np.insert(optimum, 2, log_v, axis=1)
