"""How to spend a compute budget by a fitted law: N*, V*, D*, and the loss they give.

On an isoFLOP surface every size leaves so much data, D = C / cost(sizes), where the
cost of a token is what the rows themselves show. The best sizes are where the law is
lowest on that surface. Everything is a function of a batch of parameters, so that
whatever method gives intervals on parameters gives them on N*, V*, D* and the loss.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from scaling.analysis.fitting import Fit
from scaling.analysis.formula import Formula
from scaling.analysis.sample import Sample
from scaling.errors import ScalingError

Array = NDArray[np.float64]

PER_PARAMETER = 6.0
"""Training FLOPs per token and parameter, where the rows do not tell: C = 6 N D."""
GOLDEN = (math.sqrt(5) - 1) / 2
LOOKS = 41
"""Places at which a coarse look is taken between the ends."""
NARROWINGS = 16
"""Golden sections of what the look leaves: to where a parabola takes over."""
REACH = 30.0
"""How far beyond the sizes of the rows an optimum is looked for, in powers of e."""
EDGE = 8.0
"""Distance from its end, in powers of e, at which an optimum is none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """Training FLOPs per token: factor x size^exponent, plus per_code x N_v."""

    size: str
    """The size it grows with: N, or N_nv beside a codebook."""
    factor: float = PER_PARAMETER
    """Training FLOPs per token at one parameter."""
    exponent: float = 1.0
    """Exponent of the size: 1 where every parameter is used once per token."""
    per_code: float = 0.0
    """Training FLOPs per token and vocabulary parameter; 0 for a law without them."""
    spread: float = 0.0
    """Largest relative difference from the rows."""
    measured: bool = False
    """Whether it was found from the rows; else it is 6 N D."""

    def per_token(self, log_sizes: Mapping[str, Array]) -> Array:
        """Give training FLOPs per token."""
        cost = self.factor * np.exp(self.exponent * log_sizes[self.size])
        if self.per_code:
            cost = cost + self.per_code * np.exp(log_sizes["N_v"])
        return np.asarray(cost)

    def __str__(self) -> str:
        power = "" if abs(self.exponent - 1) < 5e-4 else f"^{self.exponent:.3f}"
        text = f"{self.factor:.4g} {self.size}{power}"
        if self.per_code:
            text = f"({text} + {self.per_code:.4g} N_v)"
        if not self.measured:
            return f"C = {text} D, by convention"
        exactly = f" (to {100 * self.spread:.1g} %)" if self.spread > 1e-6 else ""
        return f"C = {text} D, as the rows show it{exactly}"


def cost_of(formula: Formula, sample: Sample) -> Cost:
    """Find what a token costs from the rows, by least squares of relative errors."""
    size = "N_nv" if "N_nv" in formula.inputs else "N"
    codebook = "N_v" in formula.inputs
    plain = Cost(size=size, per_code=PER_PARAMETER if codebook else 0.0)
    needed = ["C", "D", size] + ["N_v"] * codebook
    if sample.derived or not set(needed) <= set(sample.table):
        return plain
    rows = sample.table[needed].dropna()
    if not len(rows) or (rows["C"] <= 0).any() or np.ptp(np.log(rows[size])) < 1e-9:
        return plain
    per_token = (rows["C"] / rows["D"]).to_numpy()
    sizes = rows[size].to_numpy()
    codes = rows[["N_v"]].to_numpy() if codebook else np.empty((len(rows), 0))

    def solved(exponent: float) -> tuple[float, Array, Array]:
        terms = np.column_stack([sizes**exponent, codes]) / per_token[:, None]
        factors, _ = optimize.nnls(terms, np.ones(len(rows)))
        error = terms @ factors - 1
        return float(error @ error), factors, error

    found = optimize.minimize_scalar(
        lambda exponent: solved(exponent)[0],
        bounds=(0.3, 1.5),
        method="bounded",
        options={"xatol": 1e-10},
    )
    # Rows that follow 6 N D exactly must not be given an exponent of 0.9999998.
    exact = solved(1.0)[0] <= max(1.01 * found.fun, 1e-9 * len(rows))
    exponent = 1.0 if exact else float(found.x)
    _, factors, error = solved(exponent)
    return Cost(
        size=size,
        factor=float(factors[0]),
        exponent=exponent,
        per_code=float(factors[1]) if codebook else 0.0,
        spread=float(np.abs(error).max()),
        measured=True,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Allocator:
    """The best sizes for a compute budget, by a law."""

    formula: Formula
    """The law."""
    cost: Cost
    """What a token costs."""
    given: Mapping[str, float]
    """Further inputs of the law that are not chosen, such as U."""
    ends: tuple[float, float] = (0.0, 2 * REACH)
    """Logarithms of the sizes between which the best is looked for."""

    @property
    def sizes(self) -> tuple[str, ...]:
        """What is chosen, besides the data."""
        return tuple(n for n in ("N", "N_nv", "N_v") if n in self.formula.inputs)

    def log_optimum(self, theta: Array, compute: float) -> Array:
        """Give the logarithms of the best sizes, of D, and the loss.

        Parameters
        ----------
        theta : Array, shape (batch, parameters)
            Parameters as the solver carries them.
        compute : float
            Budget in FLOPs.

        Returns
        -------
        Array, shape (batch, sizes + 2)
            ln of `sizes`, ln D, loss in nats per token; NaN where the loss has no
            minimum.
        """
        low, high = self.ends
        first, *second = self.sizes

        def loss(chosen: dict[str, Array]) -> Array:
            return self._loss(theta, chosen, compute)

        def best_second(a: Array) -> dict[str, Array]:
            if not second:
                return {first: a}
            b = _lowest(
                lambda b: loss({first: np.broadcast_to(a, b.shape), second[0]: b}),
                a.shape,
                self.ends,
            )
            return {first: a, second[0]: b}

        a = _lowest(lambda a: loss(best_second(a)), (len(theta),), self.ends)
        chosen = best_second(a)
        log_d = math.log(compute) - np.log(self.cost.per_token(chosen))
        found = np.column_stack([*chosen.values(), log_d, loss(chosen)])
        inside = [(low + EDGE < at) & (at < high - EDGE) for at in chosen.values()]
        return np.where(np.all(inside, axis=0)[:, None], found, np.nan)

    def require_optimum(self, theta: Array, compute: float) -> None:
        """Refuse a law that has no best sizes for a budget.

        Raises
        ------
        ScalingError
            If at these parameters, shape (parameters,), the loss has no minimum.
        """
        if np.isnan(self.log_optimum(theta[None], compute)).any():
            raise ScalingError(
                f"law {self.formula.name} has no best {' and '.join(self.sizes)} at "
                f"{compute:.3g} FLOPs: the smaller or the larger the better, without "
                "end; expected positive exponents of sizes and data: keep them so, as "
                "with --bound alpha=0:5, or take another law"
            )

    def _loss(self, theta: Array, chosen: dict[str, Array], compute: float) -> Array:
        log_d = math.log(compute) - np.log(self.cost.per_token(chosen))
        columns = {**chosen, "D": log_d, "C": np.full_like(log_d, math.log(compute))}
        columns |= {n: np.full_like(log_d, math.log(v)) for n, v in self.given.items()}
        return each_at(self.formula, theta, columns)


def each_at(formula: Formula, theta: Array, columns: Mapping[str, Array]) -> Array:
    """Evaluate a law once for each set of parameters, at inputs of its own.

    `columns` are logarithms of the inputs, each of shape (..., batch).
    """
    parameters = [theta[:, j] for j in range(theta.shape[1])]
    return formula.compiled.pointwise(parameters, [columns[n] for n in formula.inputs])


def allocator(fit: Fit, given: Mapping[str, float] | None = None) -> Allocator:
    """Prepare to spend budgets by a fit.

    Raises
    ------
    ScalingError
        If the law has no data or no size to choose, or an input is not given.
    """
    formula, given = fit.formula, dict(given or {})
    chosen = {"N", "N_nv", "N_v", "D", "C"}
    if "D" not in formula.inputs or not chosen & {"N", "N_nv"} & set(formula.inputs):
        raise ScalingError(
            f"law {formula.name} is one of {', '.join(formula.inputs)} and does not "
            "say how to divide compute between size and data; expected a law of both: "
            "choose chinchilla or codebook, or `scaling fit` without --law"
        )
    unknown = [name for name in given if name in chosen or name not in formula.inputs]
    if unknown:
        raise ScalingError(
            f"{', '.join(unknown)} cannot be given to a budget by law {formula.name}; "
            f"it chooses {', '.join(n for n in formula.inputs if n in chosen)}: leave "
            "it out, or leave the budget out and give the whole run"
        )
    lacking = [name for name in formula.inputs if name not in {*chosen, *given}]
    if lacking:
        raise ScalingError(
            f"law {formula.name} also needs {' and '.join(lacking)}; give it with "
            f"--at {lacking[0]}=VALUE"
        )
    sizes = fit.sample.table[[n for n in formula.inputs if n.startswith("N")]]
    return Allocator(
        formula=formula,
        cost=cost_of(formula, fit.sample),
        given=given,
        ends=(
            math.log(sizes.to_numpy().min()) - REACH,
            math.log(sizes.to_numpy().max()) + REACH,
        ),
    )


def _lowest(
    function: Callable[[Array], Array],
    shape: tuple[int, ...],
    ends: tuple[float, float],
) -> Array:
    """Find where each of an array of functions is lowest between two ends.

    A coarse look finds the basin; golden sections narrow it down, all in step;
    parabolas wide enough to stand out from rounding take the last way. The functions
    are asked at several places at once, which stand along an axis before the others.
    """
    look = np.linspace(*ends, LOOKS)
    places = look.reshape(-1, *[1] * len(shape))
    seen = function(np.broadcast_to(places, (LOOKS, *shape)))
    k = np.nanargmin(np.where(np.isfinite(seen), seen, np.inf), axis=0)
    low, high = look[np.maximum(k - 1, 0)], look[np.minimum(k + 1, len(look) - 1)]
    for _ in range(NARROWINGS):
        left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
        at_left, at_right = function(np.stack([left, right]))
        to_left = at_left < at_right
        low, high = np.where(to_left, low, left), np.where(to_left, right, high)
    return _vertex(function, (low + high) / 2, ends)


def _vertex(
    function: Callable[[Array], Array], at: Array, ends: tuple[float, float]
) -> Array:
    h = 3e-3
    for _ in range(3):
        at = np.clip(at, ends[0] + h, ends[1] - h)
        below, here, above = function(np.stack([at - h, at, at + h]))
        bend = above - 2 * here + below
        slope = (above - below) / 2
        step = np.where(bend > 0, -slope / np.where(bend > 0, bend, 1) * h, 0)
        at = at + np.clip(step, -h, h)
    return at
