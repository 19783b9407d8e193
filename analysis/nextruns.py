"""Which runs to make next: those that shrink the interval of a prediction most.

nextruns_region   rows -> where runs may lie, and the uniform grids to be beaten
nextruns_design   candidates -> the runs that tell most, by the law's slopes
nextruns_score    runs -> how narrow the interval becomes, by simulation
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scaling.analysis.allocation import each_at
from scaling.analysis.buildable import Configuration, nearest
from scaling.analysis.fitting import Fit
from scaling.analysis.laws_file import Laws
from scaling.analysis.layout import section, table, wrap
from scaling.analysis.nextruns_design import (
    Function,
    choose,
    gains,
    gradient,
    question,
)
from scaling.analysis.nextruns_region import STEP, Region, region
from scaling.analysis.nextruns_score import PLAN, Score, scores
from scaling.analysis.prediction import FAR, LEVEL
from scaling.analysis.verify_grid import HEAD, grid_for
from scaling.errors import ScalingError
from scaling.files import jsonable, require_own, write_text

Array = NDArray[np.float64]
Shrink = Literal["loss", "size"]

SHARE = 0.5
"""Share of the budget that one run may cost: one failure does not end the plan."""
SIMULATIONS = 2000
"""Data sets drawn, where `LOSSES` allows; 200 in any case."""
LOSSES = 1_000_000
"""Losses that are drawn for each design, which bounds the time."""
EXACT = 1e-9
"""Scatter, relative to the loss, below which rows lie on the law but for rounding."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False, repr=False)
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
    runs: pd.DataFrame
    """The runs, the cheapest first: the law's inputs by symbol, C, `loss` as the law
    predicts it, and `gain`, the share by which each shrinks the standard error that
    the others leave."""
    scores: tuple[Score, ...]
    """No further run, this plan, and uniform grids of the same cost."""
    considered: str
    """Which runs competed, and what they were taken to cost."""
    simulations: int
    """Data sets drawn."""
    seed: int
    """Of the random numbers."""
    warnings: tuple[str, ...] = ()
    """What speaks against the plan, the bad state in capitals."""

    @property
    def compute(self) -> float:
        """FLOPs of all runs."""
        return float(self.runs["C"].sum())

    def sentence(self) -> str:
        """Say what the runs would tell."""
        count, now, then = len(self.runs), *self.scores[:2]
        return (
            f"{self.number} at {self.target:.4g} FLOPs is {self.value:.5g} by law "
            f"{self.law}; {count} run{'s' * (count > 1)} would take its "
            f"{100 * LEVEL:g} % interval from a width of {_shown(now.width)} to "
            f"{_shown(then.width)}"
        )

    def cost(self) -> str:
        """Say what the runs take of the budget."""
        share = 100 * self.compute / self.budget
        return (
            f"together {self.compute:.4g} FLOPs, {share:.3g} % of the budget of "
            f"{self.budget:.4g}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Give the plan as JSON holds it; what is infinite or undefined is None."""
        fields = {name: getattr(self, name) for name in self.__slots__}
        fields["runs"] = self.runs.to_dict("records")
        fields["scores"] = [asdict(score) for score in self.scores]
        return dict(jsonable(fields | {"compute": self.compute, "level": LEVEL}))

    def __repr__(self) -> str:
        return "\n".join(_lines(self))

    def _repr_html_(self) -> str:
        from scaling.analysis.render_html import plan_html

        return plan_html(self)


def plan_runs(
    fit: Fit,
    budget: float,
    target: float,
    *,
    runs: int = 12,
    shrink: Shrink = "loss",
    share: float = SHARE,
    given: Mapping[str, float] | None = None,
    simulations: int | None = None,
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
    runs : int
        New runs at most.
    shrink : {"loss", "size"}
        The loss at the optimum, or ln N* (ln N_nv* beside a codebook).
    share : float
        Share of the budget that one run may cost.
    given : mapping, optional
        Inputs of the law that are not chosen, such as U.
    simulations : int, optional
        Data sets to draw: by default 2000, fewer of thousands of rows.
    seed : int
        Of the random numbers.

    Raises
    ------
    ScalingError
        If the law has no best size, the target lies within the rows, the budget pays
        for no run as large as the smallest row, or the rows show no scatter.
    """
    _check(budget, target, runs, share, shrink)
    where = region(fit, given)
    _require(where, target)
    number, most = quantity(where, target, shrink), min(share * budget, target)
    candidates = where.candidates(most)
    chosen = best_runs(fit, candidates, number, budget, runs)
    drawn = simulations or max(200, min(SIMULATIONS, LOSSES // fit.sample.n))
    compared = designs(where, chosen)
    size = "" if where.spend is None else where.spend.sizes[0]
    plan = RunPlan(
        law=fit.formula.name,
        budget=budget,
        target=target,
        number=fit.sample.loss_symbol if shrink == "loss" else f"ln {size}*",
        value=float(number(fit.theta[None])[0]),
        runs=chosen,
        scores=scores(fit, number, compared, drawn, seed),
        considered=_considered(where, len(candidates), most),
        simulations=drawn,
        seed=seed,
    )
    return replace(plan, warnings=tuple(_warnings(plan, where)))


def best_runs(
    fit: Fit, candidates: pd.DataFrame, number: Function, budget: float, most: int
) -> pd.DataFrame:
    """Choose some of the candidates, the cheapest first, with `loss` and `gain`."""
    asked = question(fit, candidates, gradient(fit, number))
    chosen = sorted(choose(asked, budget, most))
    found = candidates.iloc[chosen].reset_index(drop=True)
    return found.assign(loss=fit.predict(found), gain=gains(asked, chosen))


def designs(where: Region, plan: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Give what a plan is compared with, and the plan itself, by name."""
    count, total = len(plan), float(plan["C"].sum())
    found = {"no further run": plan.iloc[:0], PLAN: plan}
    found["uniform grid"] = where.uniform(count, total)
    if where.spend is not None:
        found["isoFLOP grid"] = where.isoflop(count, total)
    return found


def quantity(where: Region, target: float, shrink: Shrink) -> Function:
    """Give what is to be known better as a function of theta."""
    fit, spend = where.fit, where.spend
    if spend is None and shrink == "size":
        raise ScalingError(
            f"law {fit.formula.name} is one of compute alone and has no best size; "
            "expected --shrink loss: choose it, or a law of size and data"
        )

    def number(theta: Array) -> Array:
        if spend is None:
            compute = {"C": np.full(len(theta), math.log(target))}
            return each_at(fit.formula, theta, compute)
        # The fit itself goes first: only where it has no optimum is that an error.
        with np.errstate(all="ignore"):  # a refit need not be defined everywhere
            found = spend.log_optimum(np.vstack([fit.theta, theta]), target)[1:]
        return np.asarray(found[:, -1 if shrink == "loss" else 0])

    return number


def _check(
    budget: float, target: float, runs: int, share: float, shrink: Shrink
) -> None:
    """Refuse what makes no sense, whatever the law."""
    for name, value, sound, expected in (
        ("budget", budget, 1 < budget < math.inf, "FLOPs: give such as 1e18"),
        ("target", target, 1 < target < math.inf, "FLOPs: give such as 1e20"),
        ("runs", runs, runs >= 1, "1 or more: leave it out, or raise it"),
        ("share", share, 0 < share <= 1, "part of the budget, at most 1: give 0.5"),
        ("shrink", shrink, shrink in get_args(Shrink), "loss or size: choose one"),
    ):
        if not sound:
            shown = value if isinstance(value, str) else f"{value:g}"
            raise ScalingError(f"{name} is {shown}; expected {expected}")


def _require(where: Region, target: float) -> None:
    """Refuse a target that is no extrapolation, and rows without scatter."""
    fit, most = where.fit, float(where.compute.max())
    if target <= most:
        raise ScalingError(
            f"target {target:.4g} FLOPs lies within the rows, which reach {most:.4g}; "
            "expected compute beyond them: give a higher target, or ask scaling "
            "predict for its interval"
        )
    size = 1 if fit.objective.space == "log" else np.abs(fit.sample.loss).max()
    if not fit.residual_sd > EXACT * size:  # NaN where no row is left over
        raise ScalingError(
            f"the rows show no scatter about law {fit.formula.name} "
            f"({fit.sample.n} rows, {int(fit.free.sum())} free parameters); expected "
            "more rows than parameters, with noise: add runs, or hold parameters"
        )


# --- Grids ----------------------------------------------------------------------------


def write_grid(
    plan: RunPlan, laws: Laws, path: Path, codebook: int | None = None
) -> list[Configuration]:
    """Write a grid for `scaling run` of all runs: the nearest that can be built.

    Runs that come to the same when built are written once.

    Parameters
    ----------
    plan : RunPlan
        The runs.
    laws : Laws
        Where they were planned from, for the settings of the rows' own study.
    path : Path
        The file, whose name becomes that of the study.
    codebook : int, optional
        Codes of the runs, where the law does not know them.
    """
    require_own(path, [], HEAD)
    rows = plan.runs.rename(columns=str).to_dict("records")
    built = [_built(run, laws, codebook) for run in rows]  # type: ignore[arg-type]
    once = {(each.size, each.levels, each.tokens): each for each in built}
    write_text(path, grid_for([*once.values()], laws.template, path.stem))
    return [*once.values()]


def _built(run: Mapping[str, float], laws: Laws, codebook: int | None) -> Configuration:
    """Find what is nearest to a run's counts and pays exactly its compute."""
    fit = laws.fit
    wanted = {n: v for n, v in run.items() if n in ("N", "N_nv", "V", "N_v", "D")}
    if fit is None or not wanted:
        raise ScalingError(
            "the law is one of compute alone and chooses no size; expected a law of "
            "size and data for a grid: leave --grid out, or choose such a law"
        )
    codebook = codebook or laws.only_codebook()
    if codebook is None and not {"V", "N_v"} & set(wanted):
        raise ScalingError(
            "the law does not say which codebook the runs have; expected its number of "
            "codes for a grid: give --codebook V"
        )
    found = nearest(
        lambda columns: np.zeros(len(columns["D"])),  # the nearest, not the best
        run["C"],
        wanted=wanted,
        codebook=codebook,
        tokens_per_step=fit.sample.tokens_per_step,
        **asdict(laws.counting(None)),
    )
    counts = {
        "N": found.total_params,
        "N_nv": found.non_vocab_params,
        "N_v": found.vocab_params,
        "D": found.tokens,
        "C": found.flops,
    }
    return replace(found, loss=float(fit.predict({**run, **counts})[0]))


# --- Text -----------------------------------------------------------------------------


def _lines(plan: RunPlan) -> Iterator[str]:
    """Write a plan for the terminal."""
    yield from wrap(plan.sentence())
    yield ""
    rows = run_rows(plan)
    yield from table(rows, right=range(len(rows[0])))
    yield f"  {plan.cost()}"
    yield ""
    yield from table(score_rows(plan), right=(1, 2, 3))
    yield from wrap(
        f"{plan.simulations} data sets, refitted. The uniform grid rises log-evenly in "
        "compute from the smallest row, at the rows' median tokens per parameter; the "
        "isoFLOP grid has one compute and varies these.",
        indent=2,
    )
    yield ""
    yield from wrap(plan.considered)
    yield from section("Warnings", plan.warnings)


def run_rows(plan: RunPlan) -> list[list[str]]:
    """Write the runs as a table, its head first."""
    shares = (100 * plan.runs["gain"]).map("{:.2g} %".format)
    cells = plan.runs.map("{:.4g}".format).assign(gain=shares)
    cells = cells.rename(columns={"loss": "predicted loss", "gain": "narrows it by"})
    cells.insert(0, "run", [str(k) for k in range(1, len(cells) + 1)])
    return [list(cells), *cells.to_numpy().tolist()]


def score_rows(plan: RunPlan) -> list[list[str]]:
    """Write what was simulated as a table, its head first."""
    head = ["simulated", "runs", "FLOPs", "width", "this plan's width over it"]
    return [head, *map(_cells, plan.scores)]


def _shown(width: float) -> str:
    return f"{width:.3g}" if math.isfinite(width) else "undetermined"


def _cells(score: Score) -> list[str]:
    compared = score.design != PLAN and math.isfinite(score.width)
    ratio = f"{score.ratio:.3f} ± {score.error:.3f}" if compared else ""
    cost = f"{score.compute:.3g}" if score.runs else ""
    return [score.design, str(score.runs), cost, _shown(score.width), ratio]


def _considered(where: Region, count: int, most: float) -> str:
    """Say which runs competed."""
    ends = f"from {where.least:.3g} FLOPs, the smallest of the rows, to {most:.3g}"
    if where.spend is None:
        return f"Chosen of {count}: compute {ends}, in steps of {STEP:.3g}."
    low, _, high = where.ratios
    books = len(where.codebooks)
    return (
        f"Chosen of {count}: compute {ends}, and {low:.3g} to {high:.3g} tokens per "
        f"parameter, both in steps of {STEP:.3g}"
        f"{f', with {books} codebooks' * (books > 1)}. {where.spend.cost}."
    )


def _warnings(plan: RunPlan, where: Region) -> Iterator[str]:
    _, then, *grids = plan.scores
    yield from where.fit.certificate.warnings
    if not math.isfinite(then.width):
        yield f"STILL UNDETERMINED: rows and plan together do not tell {plan.number}"
    for grid in grids:
        if grid.ratio > 1 - 2 * grid.error:
            state = "NO BETTER" if grid.ratio >= 1 else "HARDLY BETTER"
            yield (
                f"{state} THAN THE {grid.design.upper()}: this plan's interval is "
                f"{grid.ratio:.2f} ± {grid.error:.2f} times as wide"
            )
    beyond = plan.target / float(where.compute.max())
    if beyond > FAR:
        yield (
            f"FAR EXTRAPOLATION: {beyond:.3g} times beyond the rows; the interval "
            "holds only if the law does"
        )
    if plan.budget >= plan.target:
        yield "THE BUDGET PAYS FOR THE TARGET: make that run instead"
