"""Count how often intervals hold the truth, over designs and kinds of noise.

    python benchmarks/coverage.py            writes docs/coverage.md, about 10 minutes
    python benchmarks/coverage.py --quick    a few data sets, to the terminal

Data sets are drawn from Chinchilla's law on isoFLOP designs, fitted, and given the
intervals that `uncertainty` gives, as a user would call it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scaling.analysis import solver
from scaling.analysis.catalogue import LAWS
from scaling.analysis.fitting import Fit, fit_law
from scaling.analysis.intervals import Method, uncertainty
from scaling.analysis.objective import Objective

Array = NDArray[np.float64]

PAGE = Path(__file__).resolve().parent.parent / "docs" / "coverage.md"
LAW = LAWS["chinchilla"]
TRUTH = {"E": 1.82, "A": 482.0, "B": 2085.0, "alpha": 0.348, "beta": 0.366}
"""The replication of Chinchilla by Besiroglu et al. 2024."""
THETA = LAW.compiled.carried([TRUTH[name] for name in LAW.compiled.names])
SIGMA = 0.005
"""Noise, in log loss: half a percent."""
DESIGNS = {12: (3, 4), 20: (4, 5), 35: (5, 7), 105: (7, 15)}
"""Runs: compute budgets x sizes."""
COMPUTE = (6e18, 3e21)
FACTOR = 4.0
"""Sizes of a budget go from 1 / FACTOR to FACTOR times the best."""
FAR = 10 * COMPUTE[1]
COUPLING = 0.95
"""k of the law that is slightly wrong: (A' N**-a + B' D**-b)**k in place of a sum."""
SHARES = (0.2, 0.4, 0.6, 0.8, 1.0)
"""Of a run's data, where it is evaluated, when there are checkpoints."""
SCENARIOS = {
    "normal": "noise of 0.5 % of the loss, in all runs",
    "outliers": "one row in twenty has 5 to 10 times the noise",
    "unequal": "1 % at the least compute, falling to 0.25 % at the largest",
    "checkpoints": "5 rows a run, 0.5 % shared by a run and 0.2 % of each row",
    "wrong law": f"the two terms are coupled, k = {COUPLING}; noise as for normal",
}
QUANTITIES = (
    "alpha",
    "beta",
    "E",
    "loss at 10 C",
    "ln N* at 10 C",
    "exponent",
    "new run",
)
LOWEST, HIGHEST = 0.92, 0.98
"""Coverage that is near enough to 95 %."""
DRAWS = 250
"""Refits of a bootstrap here; results hardly change with more."""
OBJECTIVES = {"Huber 1e-3": Objective(), "least squares": Objective(name="lsq")}


@dataclass(frozen=True, kw_only=True)
class Way:
    """A way to make intervals."""

    name: str
    method: Method | None = None
    rows_apart: bool = False
    """Whether it is forgotten which rows are of one run."""


WAYS = (
    Way(name="default"),
    Way(name="pairs", method="pairs"),
    Way(name="residual", method="residual"),
    Way(name="wild", method="wild"),
    Way(name="default, rows apart", rows_apart=True),
)

PAGE_TEXT = """\
# Do the intervals hold what they promise?

Written by `benchmarks/coverage.py`; do not edit.

A 95 % interval should hold the truth for 95 of 100 data sets. Here it is counted how
often it does. Shares outside of 92 to 98 % are **bold**.

## How it was measured

Data sets are drawn from Chinchilla's law,
{truth}.
The designs are isoFLOP profiles between 6e18 and 3e21 FLOPs, with sizes from 1/4 to 4
times the best; runs (compute budgets x sizes):
{designs}. Scenarios:

{scenarios}

Each data set is fitted, from the true parameters on, and `scaling.analysis.intervals`
gives intervals on alpha, beta and E; on the least loss at ten times the largest
compute, on ln N* there, and on the exponent of N* in compute; and on the loss of one
new run at that place. Random numbers come from seeds in the script; both objectives
and all methods see the same data sets.

## The default

{sets} data sets per line; a share of 95 % has a standard error of {of_first} %.

{first}

{misses}

## Other ways

{few} data sets per line, standard error {of_second} %; bootstraps have {draws} draws
and give percentiles. They draw whole runs. "Rows apart" is the default after
forgetting which rows belong to one run.

{second}

## What to conclude

- One method serves all of these designs (`analysis/sandwich.py`): Student's t about the
  fit, with the scatter that each run shows and the degrees of freedom that runs give.
- No interval knows that the law is wrong. With more runs it shrinks about the wrong
  number, so that coverage falls: compare laws by what they foretell (hold-out).
- Intervals are wider than they need be where a few outliers reach a fit, and for a new
  run where noise falls with compute: the trend is believed only as far as the runs bear
  it out, and not followed beyond them.
- Refitting runs drawn with replacement (pairs) comes close, somewhat wide for Huber's
  objective and somewhat narrow for least squares, at tens of times the work.
- Drawing or flipping residuals is too narrow, since a fit bends to its data, and a
  robust fit to a small design most of all.
- Rows of one run are not independent. To treat them so costs a third of the coverage.
"""


@dataclass(frozen=True, kw_only=True)
class Design:
    """Runs as they would be made, and what would be true of them."""

    table: pd.DataFrame
    """Rows with N, D, C, run, and the loss without noise."""
    truth: Array
    """The quantities but the last; of the wrong law, what it tends to."""
    far: float
    """Log loss of the true best run at 10 times the largest compute."""


def best_size(theta: Array, compute: Array | float) -> Array:
    """Give ln N* where 6 N D = C."""
    _, ln_a, ln_b, alpha, beta = theta.T
    ratio = np.log(alpha) + ln_a - np.log(beta) - ln_b
    return np.asarray((ratio + beta * np.log(np.asarray(compute) / 6)) / (alpha + beta))


FAR_SIZE = float(best_size(THETA[None], FAR)[0])


def log_loss(theta: Array, size: Array, compute: float, k: float = 1.0) -> Array:
    """Give the log loss at ln N and compute."""
    floor, ln_a, ln_b, alpha, beta = theta.T
    terms = np.exp((ln_a - alpha * size) / k)
    terms = terms + np.exp((ln_b - beta * (np.log(compute / 6) - size)) / k)
    return np.asarray(np.log(floor + terms**k))


def quantities(theta: Array) -> Array:
    """Give all quantities but the last, shape (batch, 6)."""
    size = best_size(theta, FAR)
    floor, _, _, alpha, beta = theta.T
    best = log_loss(theta, size, FAR)
    columns = [alpha, beta, floor, best, size, beta / (alpha + beta)]
    return np.stack(columns, axis=1)


def new_run(theta: Array) -> Array:
    """Give the log loss of one run, the best by the true law, shape (batch, 1)."""
    return log_loss(theta, np.full(len(theta), FAR_SIZE), FAR)[:, None]


def design(scenario: str, runs: int) -> Design:
    """Lay out isoFLOP budgets about the best sizes."""
    budgets, sizes = DESIGNS[runs]
    compute = np.geomspace(*COMPUTE, budgets)
    spread = np.linspace(-math.log(FACTOR), math.log(FACTOR), sizes)
    size = (best_size(THETA[None], compute)[:, None] + spread).ravel()
    compute = np.repeat(compute, sizes)
    shares = np.array(SHARES if scenario == "checkpoints" else [1.0])
    table = pd.DataFrame(
        {
            "run": np.repeat([f"run {k}" for k in range(runs)], len(shares)),
            "N": np.repeat(np.exp(size), len(shares)),
            "C": (compute[:, None] * shares).ravel(),
        }
    )
    table["D"] = table["C"] / 6 / table["N"]
    k = COUPLING if scenario == "wrong law" else 1.0
    losses = [
        log_loss(THETA[None], np.log(n), c, k)[0]
        for n, c in zip(table["N"], table["C"], strict=True)
    ]
    return Design(
        table=table.assign(L=np.exp(losses)),
        truth=_truth(k),
        far=float(log_loss(THETA[None], np.array(FAR_SIZE), FAR, k)[0]),
    )


def _truth(k: float) -> Array:
    """Quantities of the law with coupling k, whose best size is that of the terms."""
    coupled = THETA.copy()
    coupled[1:] /= k
    found = quantities(THETA[None]).ravel()
    found[4:] = quantities(coupled[None]).ravel()[4:]
    found[3] = log_loss(THETA[None], found[4], FAR, k)[0]
    return found


def noise(
    scenario: str, table: pd.DataFrame, sets: int, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Draw the noise of rows, shape (sets, rows), and of the new run, (sets,)."""
    rows, new = rng.standard_normal((sets, len(table))), rng.standard_normal(sets)
    if scenario == "outliers":
        rows = rows * _outlying(rows.shape, rng)
        new = new * _outlying(new.shape, rng)
    if scenario == "unequal":
        low, high = np.log(COMPUTE)
        rows = rows * 2 * 4 ** -((np.log(table["C"]).to_numpy() - low) / (high - low))
        new = new * 0.5
    if scenario == "checkpoints":
        shared = rng.standard_normal((sets, len(table) // len(SHARES)))
        rows = np.repeat(shared, len(SHARES), axis=1) + 0.4 * rows
        new = math.hypot(1, 0.4) * new
    return SIGMA * rows, SIGMA * new


def _outlying(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    return np.asarray(
        np.where(rng.random(shape) < 0.05, rng.uniform(5, 10, shape), 1.0)
    )


def fits(laid: Design, objective: Objective, errors: Array) -> Iterator[Fit]:
    """Fit many data sets at once, and give each as a user would get it."""
    losses = laid.table["L"].to_numpy() * np.exp(errors)
    template = fit_law(laid.table.assign(L=losses[0]), LAW, objective=objective)
    many = replace(template.problem, y=losses)
    found = solver.minimise(many, np.tile(THETA, (len(losses), 1)))
    for theta, loss in zip(found.theta, losses, strict=True):
        table = template.sample.table.assign(L_u=loss)
        yield replace(
            template, theta=theta, sample=replace(template.sample, table=table)
        )


def covered(
    scenario: str, runs: int, objective: Objective, sets: int, way: Way
) -> Array:
    """Give the share of data sets whose 95 % interval holds the truth."""
    rng = np.random.default_rng([runs, list(SCENARIOS).index(scenario)])
    laid = design(scenario, runs)
    errors, of_new = noise(scenario, laid.table, sets, rng)
    if way.rows_apart:
        laid = replace(laid, table=laid.table.drop(columns="run"))
    held = np.empty((sets, len(QUANTITIES)))
    for k, fit in enumerate(fits(laid, objective, errors)):
        found = uncertainty(fit, way.method, draws=DRAWS, seed=k)
        ends = [found.interval(quantities), found.new_run(new_run)]
        low = np.concatenate([each.low for each in ends])
        high = np.concatenate([each.high for each in ends])
        true = np.append(laid.truth, laid.far + of_new[k])
        held[k] = (low <= true) & (true <= high)
    return np.asarray(held.mean(axis=0))


# --- The page -----------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What one row of a table is about."""

    scenario: str
    runs: int
    objective: str
    way: Way

    def measure(self, sets: int) -> Array:
        """Give the coverage of each quantity."""
        objective = OBJECTIVES[self.objective]
        return covered(self.scenario, self.runs, objective, sets, self.way)


def default_cells() -> list[Cell]:
    """List all scenarios, designs and objectives, with the default method."""
    return [
        Cell(scenario=scenario, runs=runs, objective=objective, way=WAYS[0])
        for objective in OBJECTIVES
        for scenario in SCENARIOS
        for runs in DESIGNS
    ]


def other_cells() -> list[Cell]:
    """List what else one might do, on a few designs."""
    asked = [("normal", 12), ("normal", 35), ("checkpoints", 12), ("checkpoints", 35)]
    return [
        Cell(scenario=scenario, runs=runs, objective=objective, way=way)
        for objective in OBJECTIVES
        for scenario, runs in asked
        for way in WAYS[1:]
        if scenario == "checkpoints" or not way.rows_apart
    ]


def near(share: float) -> bool:
    """Say whether a share is near enough to 95 %."""
    return LOWEST <= share <= HIGHEST


def misses(lines: Sequence[str]) -> str:
    """Count the shares that are bold, by scenario."""
    found = []
    for name in SCENARIOS:
        cells = [c for line in lines for c in line.split("|") if f"| {name} |" in line]
        bold = [float(cell.strip(" *")) for cell in cells if "**" in cell]
        low = sum(share < 95 for share in bold)
        found.append(f"{name} {low} and {len(bold) - low}")
    each = len(OBJECTIVES) * len(DESIGNS) * len(QUANTITIES)
    return (
        f"Of {each} shares for each scenario, below {100 * LOWEST:g} % and above "
        f"{100 * HIGHEST:g} %:\n{', '.join(found)}."
    )


def table(cells: Sequence[Cell], sets: int) -> Iterator[str]:
    """Write a table, one line per cell as it is measured; misses are bold."""
    yield "| objective | scenario | runs | method | " + " | ".join(QUANTITIES) + " |"
    yield "|" + "---|" * (4 + len(QUANTITIES))
    for cell in cells:
        shares = " | ".join(_percent(share) for share in cell.measure(sets))
        yield (
            f"| {cell.objective} | {cell.scenario} | {cell.runs} | {cell.way.name} | "
            f"{shares} |"
        )


def _percent(share: float) -> str:
    shown = f"{100 * share:.1f}"
    return shown if near(share) else f"**{shown}**"


def page(tables: Sequence[Sequence[str]], sets: Sequence[int]) -> str:
    """Write the page about what was measured."""
    scenarios = "\n".join(f"- {name}: {text}" for name, text in SCENARIOS.items())
    first, second = ("\n".join(each) for each in tables)
    of_first, of_second = (
        f"{100 * math.sqrt(0.95 * 0.05 / each):.1f}" for each in sets
    )
    return PAGE_TEXT.format(
        scenarios=scenarios,
        first=first,
        second=second,
        misses=misses(tables[0]),
        sets=sets[0],
        few=sets[1],
        of_first=of_first,
        of_second=of_second,
        draws=DRAWS,
        truth=", ".join(f"{name} {value:g}" for name, value in TRUTH.items()),
        designs=", ".join(f"{n} ({b} x {s})" for n, (b, s) in DESIGNS.items()),
    )


@click.command()
@click.option("--quick", is_flag=True, help="A few data sets, nothing written.")
def main(quick: bool) -> None:
    """Measure the coverage of intervals, and write docs/coverage.md."""
    sets = (20, 2) if quick else (1000, 150)
    cells = (default_cells(), other_cells())
    if quick:
        cells = (cells[0][:1], cells[1][:1])
    tables: list[list[str]] = []
    for these, many in zip(cells, sets, strict=True):
        tables.append([])
        for line in table(these, many):
            click.echo(line)
            tables[-1].append(line)
    if not quick:
        PAGE.write_text(page(tables, sets))


if __name__ == "__main__":
    main()
