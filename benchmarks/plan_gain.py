"""What `scaling plan` is worth where the truth is known, and the plan does not know it.

    python benchmarks/plan_gain.py --studies 300

Each study draws its rows from a true law, fits it, and plans by that fit, mistaken as
it is. The runs of the plan, and uniform grids of as many runs and the same cost, are
then made by the truth; the law is fitted once more and its prediction held against it.
Printed is the root mean square error of each, relative to that of the plan, with its
standard error over studies, as Markdown.
"""

from __future__ import annotations

import math
import time

import click
import numpy as np
import pandas as pd

from scaling.analysis.fitting import Fit, fit_law
from scaling.analysis.nextruns import Shrink, best_runs, designs, quantity
from scaling.analysis.nextruns_region import region
from scaling.analysis.nextruns_score import PLAN
from scaling.errors import ScalingError

TRUTH = {"E": 1.8172, "A": 477.8, "B": 2143.4, "alpha": 0.3473, "beta": 0.3672}
"""Chinchilla's law as Besiroglu et al. (2024) fitted it, Huber on log loss."""
BUDGET, TARGET = 1e18, 1e20
BOUND = {"alpha": (0.1, 1.0), "beta": (0.1, 1.0)}
ROWS = {
    "8 sizes, 5, 20 and 80 tokens per parameter": (8, (5.0, 20.0, 80.0)),
    "24 sizes, 20 tokens per parameter": (24, (20.0,)),
}


def rows(count: int, ratios: tuple[float, ...]) -> pd.DataFrame:
    """Lay out the runs that there are: 1e6 to 3e7 parameters."""
    pairs = [(N, N * r) for N in np.geomspace(1e6, 3e7, count) for r in ratios]
    table = pd.DataFrame(pairs, columns=["N", "D"])
    return table.assign(C=6 * table["N"] * table["D"])


def trained(
    table: pd.DataFrame, noise: float, rng: np.random.Generator
) -> pd.DataFrame:
    """Give runs the loss of the true law, with noise on its logarithm."""
    t = TRUTH
    loss = t["E"] + t["A"] / table["N"] ** t["alpha"] + t["B"] / table["D"] ** t["beta"]
    return table.assign(L=loss * np.exp(rng.normal(0, noise, len(table))))


def true_fit(fit: Fit) -> Fit:
    """Put the truth into a fit's place."""
    values = [TRUTH[name] for name in fit.formula.compiled.names]
    return Fit(
        formula=fit.formula,
        objective=fit.objective,
        sample=fit.sample,
        theta=fit.formula.compiled.carried(values),
        objective_value=math.nan,
        certificate=fit.certificate,
    )


def errors(
    table: pd.DataFrame, shrink: Shrink, noise: float, rng: np.random.Generator
) -> dict[str, float]:
    """Go through one study; give the error of the prediction after each design."""
    first = trained(table, noise, rng)
    fit = fit_law(first, "chinchilla", bound=BOUND)
    where = region(fit)
    number = quantity(where, TARGET, shrink)
    candidates = where.candidates(BUDGET / 2)
    plan = best_runs(fit, candidates, number, BUDGET, 12).drop(columns=["loss", "gain"])
    truth = number(true_fit(fit).theta[None])[0]
    found = {}
    for name, runs in designs(where, plan).items():
        both = pd.concat([first, trained(runs, noise, rng)], ignore_index=True)
        again = fit_law(both, "chinchilla", bound=BOUND)
        found[name] = float(number(again.theta[None])[0] - truth)
    return found


def compared(of_design: pd.Series, of_plan: pd.Series) -> str:
    """Write the ratio of two root mean square errors, with its standard error."""
    rng = np.random.default_rng(0)
    again = rng.integers(len(of_plan), size=(500, len(of_plan)))
    squares = [s.to_numpy() ** 2 for s in (of_design, of_plan)]
    ratio = math.sqrt(squares[0].mean() / squares[1].mean())
    drawn = np.sqrt(squares[0][again].mean(axis=1) / squares[1][again].mean(axis=1))
    return f"{ratio:.2f} ± {drawn.std():.2f}"


@click.command()
@click.option("--studies", default=300, show_default=True, help="Studies of each kind.")
@click.option("--noise", default=0.003, show_default=True, help="Of log loss.")
@click.option("--seed", default=0, show_default=True)
def main(studies: int, noise: float, seed: int) -> None:
    """Compare the plan with uniform grids."""
    click.echo("| rows | number | design | RMS error | over the plan's |")
    click.echo("|---|---|---|---|---|")
    for title, (count, ratios) in ROWS.items():
        for shrink in ("loss", "size"):
            rng, found, start = np.random.default_rng(seed), [], time.perf_counter()
            refused = 0
            for _ in range(studies):
                try:
                    found.append(errors(rows(count, ratios), shrink, noise, rng))
                except ScalingError:  # the law that was fitted has no best size
                    refused += 1
            table = pd.DataFrame(found)
            for name in table:
                rms = math.sqrt((table[name] ** 2).mean())
                over = compared(table[name], table[PLAN])
                click.echo(f"| {title} | {shrink} | {name} | {rms:.4f} | {over} |")
            seconds = time.perf_counter() - start
            click.echo(f"{refused} of {studies} refused, {seconds:.0f} s", err=True)


if __name__ == "__main__":
    main()
