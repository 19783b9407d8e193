"""The same law for less compute: trunks and branches against one cosine run per point.

    python benchmarks/cheaper_laws.py cheaper-laws --jobs 4

Trains one study twice, sizes x token budgets x seeds: with `schedule: cosine`, a run of
its own for every budget, and with `schedule: wsd`, one constant-rate trunk for all
budgets of a column and a branch that cools down at each. Compares what was spent, the
losses point by point, and the law that `scaling fit` finds in either. Prints Markdown.
A store that is there already is gone on with.

Budgets are evenly spaced, with two short ones before them that cost next to nothing. Of
K even budgets up to D, cosine runs cost (K + 1) / 2 D, trunk and branches with a
cooldown f cost (1 - f) D + f (K + 1) / 2 D: for K = 8 and f = 0.2 it is 0.38 of that.
Spaced by factors of two it would be 0.6.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd
import yaml

from scaling.analysis.fitting import fit_law
from scaling.analysis.intervals import uncertainty
from scaling.analysis.records import read
from scaling.runs.grid import load_grid
from scaling.runs.jobs import TransformerJob
from scaling.runs.plan import expand

SIZES = ("1x1x16", "1x2x32", "2x3x48", "2x4x64")
MOST, EVEN, SHORT = 640_000, 8, (20_000, 40_000)
"""Tokens of the longest runs; evenly spaced budgets up to them; those before."""
SEEDS = 2
BASES = (4e-3, 9e-3)
"""Learning rates at width 64: the default rule's, and a higher one."""
SCHEDULES = ("cosine", "wsd")
LAW, EXPONENTS = "chinchilla", ("alpha", "beta")
POINT = ["size", "tokens", "seed"]

Ends = tuple[float, float, float]


def grid(schedule: str, seeds: int, base: float) -> dict[str, Any]:
    """Lay out the study; `base` is the learning rate of width 64."""
    tokens = [*SHORT, *(MOST * k // EVEN for k in range(1, EVEN + 1))]
    return {
        "study": f"cheaper-{schedule}",
        "corpus": {"kind": "kinematic", "sequences": 12_000},
        "tokenizers": {
            **{"codebooks": [256], "width": 64, "depth": 2, "steps": 300},
            **{"batch_size": 16, "learning_rate": 1e-3, "warmup": 0.05},
        },
        "transformers": {
            **{"sizes": list(SIZES), "tokens": tokens, "batch_size": 8},
            **{"schedule": schedule, "evaluations": 1},
            "learning_rate": {"base": base, "width": 64, "exponent": 1.0},
        },
        "seeds": list(range(seeds)),
    }


def trained(out: Path, schedule: str, seeds: int, base: float, jobs: int) -> float:
    """Train a study to its end; give its transformers' FLOPs."""
    path = out / f"{schedule}.yaml"
    out.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(grid(schedule, seeds, base)), encoding="utf-8")
    command = [sys.executable, "-m", "scaling", "run", path, "--out", out / schedule]
    subprocess.run([*command, "--jobs", str(jobs)], check=True, stdout=sys.stderr)
    planned = expand(load_grid(path)).jobs
    runs = [job for job in planned if isinstance(job, TransformerJob)]
    return float(sum(job.flops_to_spend for job in runs))


def points(store: Path) -> pd.DataFrame:
    """Read the losses at the end of each run: one row per size, budget and seed."""
    frame = read(store).frame
    assert len(frame) == frame[POINT].drop_duplicates().shape[0]
    return frame.set_index(POINT).sort_index()


def exponents(table: pd.DataFrame) -> dict[str, Ends]:
    """Fit the law; give each exponent with its 95 % interval.

    N is N_nv: the table of text pieces would be most of the parameters.
    """
    columns = {"N": "non_vocab_params", "D": "tokens", "L": "loss", "run": "run"}
    rows = table.reset_index()[list(columns.values())]
    fit = fit_law(rows.set_axis(list(columns), axis=1), LAW)
    ends = uncertainty(fit).parameters()
    return {name: (fit.value(name), *ends[name]) for name in EXPONENTS}


def inside(one: Ends, other: Ends) -> bool:
    """Whether each estimate lies in the other's interval."""
    return one[1] <= other[0] <= one[2] and other[1] <= one[0] <= other[2]


def best(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """Take each size and budget at the rate whose mean over seeds is lowest."""
    cells = [table["loss"].groupby(["size", "tokens"]).transform("mean")
             for table in tables]  # fmt: skip
    chosen = np.argmin(np.stack([cell.to_numpy() for cell in cells]), axis=0)
    rows = [tables[rate].iloc[[row]] for row, rate in enumerate(chosen)]
    return pd.concat(rows)


def law(cosine: pd.DataFrame, wsd: pd.DataFrame, budgets: str) -> Iterator[str]:
    """Write the exponents of both, with their intervals."""
    found = [exponents(table) for table in (cosine, wsd)]
    for name in EXPONENTS:
        ends = [each[name] for each in found]
        cells = ["{:.3f} ({:.3f} to {:.3f})".format(*each) for each in ends]
        said = "inside each other's" if inside(*ends) else "**not inside each other's**"
        yield f"| {name}, {budgets} | {' | '.join(cells)}, {said} |"


def report(spent: dict[str, float], tables: dict[str, pd.DataFrame]) -> Iterator[str]:
    """Write the comparison as a Markdown table."""
    cosine, wsd = (tables[schedule] for schedule in SCHEDULES)
    assert cosine.index.equals(wsd.index), "the studies have different points"
    less = (wsd["loss"] - cosine["loss"]).to_numpy()
    error = less.std(ddof=1) / np.sqrt(len(less))
    yield "| | cosine, a run per point | trunks and branches |"
    yield "|---|---|---|"
    yield f"| points | {len(cosine)} | {len(wsd)} |"
    yield f"| FLOPs | {spent['cosine']:.4g} | {spent['wsd']:.4g} |"
    yield f"| share of cosine's | 1 | **{spent['wsd'] / spent['cosine']:.3f}** |"
    means = [f"{table['loss'].mean():.4f}" for table in (cosine, wsd)]
    yield f"| mean loss, nats per token | {' | '.join(means)} |"
    yield (
        f"| difference, point by point | | {less.mean():+.4f} ± {error:.4f}, "
        f"lower in {(less < 0).sum()} of {len(less)}; at most {less.max():+.4f} |"
    )
    yield from law(cosine, wsd, "all budgets")
    even = cosine.index.get_level_values("tokens") > 0.99 * MOST / EVEN
    yield from law(cosine[even], wsd[even], "evenly spaced ones alone")
    yield ""
    yield "| tokens | cosine | branches | difference |"
    yield "|---|---|---|---|"
    budget = [round(tokens, -3) for tokens in cosine.index.get_level_values("tokens")]
    both = pd.DataFrame({"c": cosine["loss"], "w": wsd["loss"]}).groupby(budget).mean()
    for tokens, (c, w) in both.iterrows():
        yield f"| {tokens:,.0f} | {c:.4f} | {w:.4f} | {w - c:+.4f} |"


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--jobs", default=4, show_default=True, help="Runs at a time.")
@click.option("--seeds", default=SEEDS, show_default=True, help="Runs per point.")
@click.option("--base", "bases", multiple=True, type=float, default=BASES,
              show_default=True, help="Rates at width 64.")  # fmt: skip
def main(out: Path, jobs: int, seeds: int, bases: tuple[float, ...]) -> None:
    """Compare what both schedules cost and give, at each rate and at their best."""
    spent = dict.fromkeys(SCHEDULES, 0.0)
    tables: dict[str, list[pd.DataFrame]] = {schedule: [] for schedule in SCHEDULES}
    for base in bases:
        for schedule in SCHEDULES:
            home = out / f"base-{base:g}"
            spent[schedule] += trained(home, schedule, seeds, base, jobs)
            tables[schedule].append(points(home / schedule))
        last = {schedule: tables[schedule][-1] for schedule in SCHEDULES}
        click.echo(f"## Base {base:g}\n\n" + "\n".join(report(spent, last)) + "\n")
    click.echo("## Each schedule at its best rate\n")
    click.echo("\n".join(report(spent, {s: best(tables[s]) for s in SCHEDULES})))


if __name__ == "__main__":
    main()
