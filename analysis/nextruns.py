"""Which runs to make next: those that shrink the interval of a prediction most.

nextruns_region   rows -> where runs may lie, and the uniform grids to be beaten
nextruns_design   candidates -> the runs that tell most, by the law's slopes
nextruns_score    runs -> how narrow the interval becomes, by simulation
nextruns_grids    runs -> files for `scaling run`
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scaling.analysis.allocation import each_at
from scaling.analysis.fitting import Fit
from scaling.analysis.layout import section, table, wrap
from scaling.analysis.nextruns_design import Function, choose, gains, question
from scaling.analysis.nextruns_region import STEP, Region, Runs, region
from scaling.analysis.nextruns_score import Score, scores
from scaling.analysis.prediction import FAR
from scaling.errors import ScalingError

Array = NDArray[np.float64]
Shrink = Literal["loss", "size"]

MOST_RUNS = 12
"""Runs of a plan, unless told."""
GAIN = 0.03
"""Share by which each run must shrink the standard error, unless runs are told."""
SHARE = 0.5
"""Share of the budget that one run may cost: one failure does not end the plan."""
SIMULATIONS = 1000
EXACT = 1e-9
"""Scatter, relative to the loss, below which rows lie on the law but for rounding."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedRun:
    """One run of a plan."""

    inputs: Mapping[str, float]
    """By symbol: N or N_nv, V and N_v, D, or C; counts, tokens, FLOPs."""
    compute: float
    """C, training FLOPs."""
    loss: float
    """Loss that the law predicts, nats per token."""
    gain: float
    """Share by which this run shrinks the standard error that the others leave."""


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class RunPlan:
    """Runs to make next, and what they are worth."""

    law: str
    """Name of the law."""
    budget: float
    """FLOPs that were to be spent."""
    target: float
    """Compute of the prediction, FLOPs."""
    number: str
    """What is to be known better, such as `L` or `ln N*`."""
    value: float
    """What the law says of it now."""
    runs: tuple[PlannedRun, ...]
    """The runs, the cheapest first."""
    scores: tuple[Score, ...]
    """No further run, this plan, and uniform grids of the same cost."""
    level: float
    """Coverage of the intervals."""
    candidates: int
    """Number of runs that competed."""
    considered: str
    """Which."""
    cost: str
    """What a token was taken to cost; empty for a law of compute."""
    simulations: int
    """Data sets drawn."""
    seed: int
    """Of the random numbers."""
    warnings: tuple[str, ...]
    """What speaks against the plan, the bad state in capitals."""

    @property
    def compute(self) -> float:
        """FLOPs of all runs."""
        return sum(run.compute for run in self.runs)

    @property
    def now(self) -> Score:
        """The score of no further run."""
        return self.scores[0]

    @property
    def expected(self) -> Score:
        """The score of the plan."""
        return self.scores[1]

    @property
    def grids(self) -> tuple[Score, ...]:
        """The scores of the uniform grids."""
        return self.scores[2:]

    def to_frame(self) -> pd.DataFrame:
        """Give a row for each run."""
        rows = []
        for run in self.runs:
            cells = {**run.inputs, "C": run.compute}
            rows.append({**cells, "loss": run.loss, "gain": run.gain})
        return pd.DataFrame(rows)

    def to_dict(self) -> dict[str, Any]:
        """Give the plan as JSON holds it; what is infinite or undefined is None."""
        found = asdict(self) | {"compute": self.compute}
        for score in found["scores"]:
            score |= {k: _finite(score[k]) for k in ("width", "ratio", "error")}
        return found

    def sentence(self) -> str:
        """Say what the plan does."""
        plan, grids = (
            self.expected,
            " and ".join(
                f"{_shown(score.width)} by the {score.design}" for score in self.grids
            ),
        )
        return (
            f"{plan.runs} run{'s' * (plan.runs != 1)} of {self.compute:.3g} FLOPs in "
            f"all take the {100 * self.level:g} % interval of {self.number} at "
            f"{self.target:.3g} FLOPs from a width of {_shown(self.now.width)} to "
            f"{_shown(plan.width)}; at the same cost it is {grids}"
        )

    def __repr__(self) -> str:
        return "\n".join(_lines(self))


def plan_runs(
    fit: Fit,
    budget: float,
    target: float,
    *,
    runs: int | None = None,
    shrink: Shrink = "loss",
    share: float = SHARE,
    given: Mapping[str, float] | None = None,
    simulations: int = SIMULATIONS,
    level: float = 0.95,
    seed: int = 0,
) -> RunPlan:
    """Choose the runs that shrink the interval of a prediction most.

    The choice takes the fitted law for true: where its parameters are far off, so may
    be the best runs. It makes parameters known better, and does not test the law's
    form. Where the rows determine so little that the law has no best size, fit it with
    its exponents bound, such as ``bound={"alpha": (0.1, 1)}``.

    Parameters
    ----------
    fit : Fit
        The law and its rows.
    budget : float
        FLOPs for all new runs together.
    target : float
        Compute in FLOPs, beyond the rows, at whose optimum the law is to predict.
    runs : int, optional
        New runs at most. By default `MOST_RUNS`, without those that each shrink the
        standard error by less than `GAIN`.
    shrink : {"loss", "size"}
        The loss at the optimum, or ln N* (ln N_nv* beside a codebook).
    share : float
        Share of the budget that one run may cost.
    given : mapping, optional
        Inputs of the law that are not chosen, such as U.
    simulations, seed, level : int, int, float
        Data sets to draw, 200 or more; of the draws; coverage of the intervals.

    Raises
    ------
    ScalingError
        If the law has no best size, the target lies within the rows, the budget pays
        for no run as large as the smallest row, or the rows show no scatter.
    """
    _check(budget, target, runs, share, simulations, level)
    where = region(fit, given)
    _require(where, target)
    number, most = quantity(where, target, shrink), min(share * budget, target)
    chosen, worth, candidates = best_runs(where, number, budget, most, runs)
    found = RunPlan(
        law=fit.formula.name,
        budget=budget,
        target=target,
        number=_symbol(where, shrink),
        value=float(number(fit.theta[None])[0]),
        runs=_planned(fit, chosen, worth),
        scores=scores(fit, number, _designs(where, chosen), simulations, level, seed),
        level=level,
        candidates=candidates,
        considered=_considered(where, most),
        cost="" if where.spend is None else str(where.spend.cost),
        simulations=simulations,
        seed=seed,
        warnings=(),
    )
    return replace(found, warnings=_warnings(found, where))


def best_runs(
    where: Region, number: Function, budget: float, most: float, runs: int | None
) -> tuple[Runs, Array, int]:
    """Choose runs, the cheapest first.

    Returns
    -------
    chosen : Runs
    worth : Array, shape (runs,)
        Share by which each shrinks the standard error that the others leave.
    candidates : int
        Number of runs that competed.
    """
    candidates = where.candidates(most)
    asked = question(where.fit, candidates, number)
    at_most, gain = (MOST_RUNS, GAIN) if runs is None else (runs, 0.0)
    chosen = choose(asked, budget, at_most, gain)
    # Equal costs differ by rounding: then the smaller model goes first.
    chosen.sort(key=lambda k: (float(f"{candidates.compute[k]:.6g}"), k))
    return candidates.take(chosen), gains(asked, chosen), len(candidates)


def _designs(where: Region, plan: Runs) -> dict[str, Runs]:
    """Give what a plan is compared with, the plan itself second."""
    count, total = len(plan), plan.total
    found = {"no further run": plan.take([]), "this plan": plan}
    found["uniform grid"] = where.uniform(count, total)
    if where.spend is not None:
        found["isoFLOP grid"] = where.isoflop(count, total)
    return found


def _check(
    budget: float,
    target: float,
    runs: int | None,
    share: float,
    simulations: int,
    level: float,
) -> None:
    for name, flops in {"budget": budget, "target": target}.items():
        if not (math.isfinite(flops) and flops > 1):
            raise ScalingError(f"{name} is {flops:g}; expected FLOPs, such as 1e18")
    if runs is not None and runs < 1:
        raise ScalingError(
            f"runs is {runs}; expected 1 or more: leave it out, or raise it"
        )
    if not 0 < share <= 1:
        raise ScalingError(
            f"share is {share:g}; expected the part of the budget that one run may "
            "cost, above 0 and at most 1: give 0.5"
        )
    if simulations < 200:
        raise ScalingError(
            f"simulations is {simulations}; expected 200 or more, so that intervals "
            "can be told apart: raise it"
        )
    if not 0 < level < 1:
        raise ScalingError(
            f"level is {level:g}; expected a share between 0 and 1, such as 0.95"
        )


def _require(where: Region, target: float) -> None:
    """Refuse a target that is no extrapolation, and rows without scatter."""
    most = float(where.compute.max())
    if target <= most:
        raise ScalingError(
            f"target {target:.4g} FLOPs lies within the rows, which reach {most:.4g}; "
            "expected compute beyond them: give a higher target, or ask scaling "
            "predict for its interval"
        )
    fit = where.fit
    size = 1 if fit.objective.space == "log" else np.abs(fit.sample.loss).max()
    if not fit.residual_sd > EXACT * size:  # NaN where no row is left over
        raise ScalingError(
            f"the rows show no scatter about law {fit.formula.name} "
            f"({fit.sample.n} rows, {int(fit.free.sum())} free parameters); expected "
            "more rows than parameters, with noise: add runs, or hold parameters"
        )


def _symbol(where: Region, shrink: Shrink) -> str:
    symbol = where.fit.sample.loss_symbol
    return symbol if shrink == "loss" else f"ln {where.size}*"


def quantity(where: Region, target: float, shrink: Shrink) -> Function:
    """Give what is to be known better as a function of theta, shape (batch,).

    Raises
    ------
    ScalingError
        If there is no such quantity, or the law has none.
    """
    if shrink not in get_args(Shrink):
        raise ScalingError(
            f"shrink is {shrink!r}; expected loss or size: choose the number that is "
            "to be known better"
        )
    fit, spend = where.fit, where.spend
    if spend is None:
        if shrink == "size":
            raise ScalingError(
                f"law {fit.formula.name} is one of compute alone and has no best size; "
                "expected --shrink loss: choose it, or a law of size and data"
            )
        return lambda theta: each_at(
            fit.formula, theta, {"C": np.full(len(theta), math.log(target))}
        )

    def at_optimum(theta: Array) -> Array:
        # The fit itself goes first: only where it has no optimum is that an error.
        with np.errstate(all="ignore"):  # a refit need not be defined everywhere
            found = spend.log_optimum(np.vstack([fit.theta, theta]), target)[1:]
        return np.asarray(found[:, -1 if shrink == "loss" else 0])

    return at_optimum


def _planned(fit: Fit, plan: Runs, worth: Array) -> tuple[PlannedRun, ...]:
    losses = fit.predict(plan.inputs)
    order = [s for s in ("N", "N_nv", "V", "N_v", "D", "U", "C") if s in plan.inputs]
    return tuple(
        PlannedRun(
            inputs={name: float(plan.inputs[name][k]) for name in order},
            compute=float(plan.compute[k]),
            loss=float(losses[k]),
            gain=float(worth[k]),
        )
        for k in range(len(plan))
    )


def _considered(where: Region, most: float) -> str:
    """Say which runs competed."""
    reach = f"from {where.least:.3g}, the smallest of the rows, to {most:.3g} FLOPs"
    step = f"in steps of {STEP:.3g}"
    if where.spend is None:
        return f"compute {step}, {reach}"
    low, _, high = where.ratios
    books = f"{len(where.codebooks)} codebooks, " if where.vocabulary else ""
    return (
        f"sizes and tokens {step}, {books}{low:.3g} to {high:.3g} "
        f"tokens per parameter, {reach}"
    )


def _warnings(plan: RunPlan, where: Region) -> tuple[str, ...]:
    found = list(where.fit.certificate.warnings)
    if not math.isfinite(plan.expected.width):
        found.append(
            f"STILL UNDETERMINED: rows and plan together do not determine {plan.number}"
        )
    for grid in plan.grids:
        if grid.ratio > 1 - 2 * grid.error:
            state = "NO BETTER" if grid.ratio >= 1 else "HARDLY BETTER"
            found.append(
                f"{state} THAN THE {grid.design.upper()}: the plan's interval is "
                f"{grid.ratio:.2f} ± {grid.error:.2f} times as wide"
            )
    beyond = plan.target / float(where.compute.max())
    if beyond > FAR:
        found.append(
            f"FAR EXTRAPOLATION: {beyond:.3g} times beyond the rows; the interval "
            "holds only if the law does"
        )
    if plan.budget >= plan.target:
        found.append("THE BUDGET PAYS FOR THE TARGET: make that run instead")
    return tuple(found)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


# --- Text -----------------------------------------------------------------------------


def _lines(plan: RunPlan) -> Iterator[str]:
    """Write a plan for the terminal."""
    yield from wrap(
        f"Next runs for {plan.number} at {plan.target:.4g} FLOPs by law {plan.law}, "
        f"now {plan.value:.5g}"
    )
    yield ""
    yield from table(_runs_table(plan), right=range(20))
    yield from wrap(
        f"{plan.compute:.4g} FLOPs, {100 * plan.compute / plan.budget:.3g} % of the "
        f"budget of {plan.budget:.4g}",
        indent=2,
    )
    yield ""
    yield from table(_score_table(plan), right=(1, 2, 3))
    yield from wrap(
        f"{plan.simulations} simulated data sets, refitted; the uniform grid rises "
        "log-evenly in compute from the smallest row at its median tokens per "
        "parameter, the isoFLOP grid varies these",
        indent=2,
    )
    yield ""
    yield from wrap(f"{plan.candidates} candidates: {plan.considered}")
    if plan.cost:
        yield plan.cost
    yield from section("Warnings", plan.warnings)


def _shown(width: float) -> str:
    return f"{width:.3g}" if math.isfinite(width) else "undetermined"


def _runs_table(plan: RunPlan) -> Sequence[Sequence[str]]:
    frame = plan.to_frame().drop(columns="loss")
    head = ["run", *frame.columns[:-1], "shrinks the error by"]
    rows = [
        [str(k), *(f"{v:.4g}" for v in row[:-1]), f"{100 * row[-1]:.2g} %"]
        for k, row in enumerate(frame.to_numpy(), 1)
    ]
    return [head, *rows]


def _score_table(plan: RunPlan) -> Sequence[Sequence[str]]:
    head = [f"{100 * plan.level:g} % interval", "runs", "FLOPs", "width"]
    rows = [[*head, "the plan's width over it"]]
    for score in plan.scores:
        cells = [score.design, str(score.runs), f"{score.compute:.3g}"]
        compared = score is not plan.expected and math.isfinite(score.width)
        ratio = f"{score.ratio:.3f} ± {score.error:.3f}" if compared else ""
        rows.append([*cells, _shown(score.width), ratio])
    return rows
