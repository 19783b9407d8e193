"""Count how often fits are warned of: rarely on sound designs, nearly always on others.

    python benchmarks/false_alarms.py --sets 500 --unsound 60

Simulates data sets of a known law on a design, with noise of 0.5 % of the loss, fits
the law with the default objective, and counts what `identifiability` and
`influential_run` say. Sound designs are isoFLOP grids and grids of sizes by data of 20
to 105 runs; unsound ones fix tokens per parameter, hold an input at too few values,
vary it too little, or tie exponents that differ. Exits with 1 if more than 5 % of fits
are warned of on a sound design, or fewer than 95 % on an unsound one.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import click
import numpy as np
import pandas as pd

from scaling.analysis.catalogue import LAWS
from scaling.analysis.fitting import fit_law
from scaling.analysis.identify import identifiability
from scaling.analysis.sensitivity import influential_run

NOISE = 0.005
CHINCHILLA = {"E": 1.82, "A": 482.0, "B": 2085.0, "alpha": 0.348, "beta": 0.366}
POWER = {"E": 1.8, "A": 4e3, "alpha": 0.18}
CODEBOOK = {"E": -1.5, "A1": 300.0, "A2": 60.0, "B": 1800.0}
CODEBOOK |= {"alpha1": 0.34, "alpha2": 0.42, "beta": 0.36}


@dataclass(frozen=True, kw_only=True)
class Design:
    """Where runs are made, and under which law."""

    name: str
    """What it is."""
    law: str
    """The law that is fitted."""
    inputs: pd.DataFrame
    """One row per run."""
    sound: bool
    """Whether it determines the law."""
    truth: Mapping[str, float] = field(default_factory=lambda: CHINCHILLA)
    """The law's parameters; tied ones as they are when untied."""


def isoflop(budgets: int, sizes: int) -> pd.DataFrame:
    """Spread sizes over a factor of 16 at each of several budgets, 1e18 to 1e21."""
    C, share = np.meshgrid(
        np.geomspace(1e18, 1e21, budgets), np.geomspace(0.25, 4, sizes)
    )
    N = 0.09 * share * np.sqrt(C / 6)
    return pd.DataFrame({"N": N.ravel(), "D": (C / 6 / N).ravel()})


def grid(**values: Iterable[float]) -> pd.DataFrame:
    """Combine the values of inputs."""
    found = np.meshgrid(*map(np.asarray, values.values()))
    return pd.DataFrame({n: x.ravel() for n, x in zip(values, found, strict=True)})


def sizes_by_data(sizes: int, data: int) -> pd.DataFrame:
    """Cross sizes of 30M to 3B with 1 to 100 billion tokens."""
    return grid(N=np.geomspace(3e7, 3e9, sizes), D=np.geomspace(1e9, 1e11, data))


def codebooks(sizes: int, books: int, data: int) -> pd.DataFrame:
    """Cross sizes, codebooks and data, three decades each."""
    return grid(
        N_nv=np.geomspace(1e7, 1e10, sizes),
        N_v=np.geomspace(1e5, 1e8, books),
        D=np.geomspace(1e8, 1e11, data),
    )


def fixed_ratio(runs: int, spread: float) -> pd.DataFrame:
    """Train each size on 20 tokens per parameter, give or take."""
    N = np.geomspace(3e7, 1e10, runs)
    off = np.random.default_rng(0).uniform(-spread, spread, runs)
    return pd.DataFrame({"N": N, "D": 20 * N * np.exp(off)})


DESIGNS = (
    Design(name="isoFLOP 4 x 5", law="chinchilla", inputs=isoflop(4, 5), sound=True),
    Design(name="isoFLOP 7 x 15", law="chinchilla", inputs=isoflop(7, 15), sound=True),
    Design(name="grid 5 x 4", law="chinchilla", inputs=sizes_by_data(5, 4), sound=True),
    Design(name="grid 8 x 8", law="chinchilla", inputs=sizes_by_data(8, 8), sound=True),
    Design(
        name="compute, 20 runs",
        law="power-floor",
        inputs=grid(C=np.geomspace(1e16, 1e22, 20)),
        sound=True,
        truth=POWER,
    ),
    Design(
        name="compute, 60 runs",
        law="power-floor",
        inputs=grid(C=np.geomspace(1e16, 1e22, 60)),
        sound=True,
        truth=POWER,
    ),
    Design(
        name="codebooks 4 x 4 x 4",
        law="codebook",
        inputs=codebooks(4, 4, 4),
        sound=True,
        truth=CODEBOOK,
    ),
    Design(
        name="codebooks 5 x 5 x 4",
        law="codebook",
        inputs=codebooks(5, 5, 4),
        sound=True,
        truth=CODEBOOK,
    ),
    Design(
        name="true tie, isoFLOP 7 x 15",
        law="chinchilla-tied",
        inputs=isoflop(7, 15),
        sound=True,
        truth=CHINCHILLA | {"beta": 0.348},
    ),
    Design(
        name="D / N = 20",
        law="chinchilla",
        inputs=fixed_ratio(30, 0),
        sound=False,
    ),
    Design(
        name="D / N = 20 within 5 %",
        law="chinchilla",
        inputs=fixed_ratio(30, 0.05),
        sound=False,
    ),
    Design(
        name="two sizes",
        law="chinchilla",
        inputs=sizes_by_data(2, 12),
        sound=False,
    ),
    Design(
        name="sizes within a factor of 2",
        law="chinchilla",
        inputs=grid(N=np.geomspace(1e8, 2e8, 6), D=np.geomspace(1e9, 1e11, 6)),
        sound=False,
    ),
    Design(
        name="compute within one third of a decade",
        law="power-floor",
        inputs=grid(C=np.geomspace(1e20, 2.2e20, 20)),
        sound=False,
        truth=POWER,
    ),
    Design(
        name="one budget",
        law="chinchilla",
        inputs=isoflop(1, 20),
        sound=False,
    ),
    Design(
        name="false tie, isoFLOP 7 x 15",
        law="chinchilla-tied",
        inputs=isoflop(7, 15),
        sound=False,
        truth={"E": 1.82, "A": 482.0, "B": 100.0, "alpha": 0.348, "beta": 0.2},
    ),
)


def warnings(design: Design, seed: int) -> list[str]:
    """Simulate a data set, fit, and list what is said in capitals."""
    law = LAWS[design.law]
    untied = LAWS[design.law.removesuffix("-tied")]
    theta = untied.compiled.carried([design.truth[n] for n in untied.compiled.names])
    x = [np.log(design.inputs[name].to_numpy()) for name in law.inputs]
    loss = untied.compiled.value(theta[None], x)[0]
    noise = np.random.default_rng(seed).standard_normal(len(loss))
    fit = fit_law(design.inputs.assign(L=loss * np.exp(NOISE * noise)), law)
    found = [*identifiability(fit), *filter(None, [influential_run(fit)])]
    return [warning.split(":")[0] for warning in found]


@click.command()
@click.option("--sets", default=500, help="Data sets per sound design.")
@click.option("--unsound", default=60, help="The same per unsound one, which is slow.")
def main(sets: int, unsound: int) -> None:
    """Count warnings on sound and unsound designs."""
    missed = False
    for design in DESIGNS:
        count = sets if design.sound else unsound
        found = [warnings(design, seed) for seed in range(count)]
        share = sum(map(bool, found)) / count
        kinds = Counter(kind for each in found for kind in set(each))
        listed = ", ".join(f"{kind} {n / count:.1%}" for kind, n in kinds.most_common())
        state = "sound  " if design.sound else "unsound"
        runs = len(design.inputs)
        click.echo(
            f"{state} {design.law:16} {design.name:38} {runs:4d} runs: {share:6.1%}"
            f"  {listed}"
        )
        missed |= share > 0.05 if design.sound else share < 0.95
    sys.exit(int(missed))


if __name__ == "__main__":
    main()
