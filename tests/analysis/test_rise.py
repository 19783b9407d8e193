"""What a rise of the objective means, against scipy and by simulation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from scaling.analysis import solver
from scaling.analysis.catalogue import LAWS
from scaling.analysis.fitting import fit_law
from scaling.analysis.objective import Objective
from scaling.analysis.rise import Rise

LAW = LAWS["chinchilla"]
THETA = LAW.compiled.carried([1.82, 482.0, 2085.0, 0.348, 0.366])
ALPHA = np.eye(5)[3]


def design(sizes: int = 6, data: int = 6) -> pd.DataFrame:
    N, D = np.meshgrid(np.geomspace(3e7, 3e9, sizes), np.geomspace(1e9, 1e11, data))
    x = np.log(N.ravel()), np.log(D.ravel())
    loss = LAW.compiled.value(THETA[None], x)[0]
    return pd.DataFrame({"N": N.ravel(), "D": D.ravel(), "L": loss})


def noisy(table: pd.DataFrame, seed: int = 0, size: float = 0.005) -> pd.DataFrame:
    noise = np.random.default_rng(seed).standard_normal(len(table))
    return table.assign(L=table["L"] * np.exp(size * noise))


def test_standard_error_of_a_line_is_that_of_scipy() -> None:
    C = np.geomspace(1e15, 1e20, 12)
    loss = 5 - 0.2 * np.log10(C) + np.random.default_rng(1).normal(0, 0.01, 12)
    objective = Objective(name="lsq", space="linear")
    fit = fit_law(pd.DataFrame({"C": C, "L": loss}), "log", objective=objective)
    line = stats.linregress(np.log10(C), loss)
    rise = Rise(fit)
    assert rise.standard_error(np.array([1.0, 0.0])) == pytest.approx(line.stderr)
    bare = line.slope**2 / line.stderr**2
    flat = fit_law(fit.sample.table, "log", objective=objective, fix={"a": 0})
    lost = flat.objective_value - fit.objective_value
    statistic, p_value = rise.statistic(np.array([1.0, 0.0]), lost)
    assert statistic == pytest.approx(bare)
    assert p_value == pytest.approx(line.pvalue)


@pytest.mark.parametrize(
    "objective",
    [Objective(), Objective(name="lsq"), Objective(name="lad"), Objective(delta=0.01)],
    ids=str,
)
def test_a_true_restriction_is_rejected_as_rarely_as_said(objective: Objective) -> None:
    table, sets = design(7, 6), 400
    noise = np.random.default_rng(3).standard_normal((sets, len(table)))
    y = table["L"].to_numpy() * np.exp(0.005 * noise)
    fit = fit_law(table.assign(L=y[0]), LAW, objective=objective)
    problem = replace(fit.problem, y=y)
    starts = np.repeat(THETA[None], sets, axis=0)
    held = solver.minimise(replace(problem, free=problem.free & (ALPHA == 0)), starts)
    free = solver.minimise(problem, held.theta)
    p_values = []
    for k in range(sets):
        of_set = replace(
            fit,
            sample=replace(fit.sample, table=fit.sample.table.assign(L_u=y[k])),
            theta=free.theta[k],
        )
        lost = float(held.value[k] - free.value[k])
        p_values.append(Rise(of_set).statistic(ALPHA, lost)[1])
    # Three standard errors of 5 % and of 1 % in 400 sets.
    assert 0.017 < np.mean(np.array(p_values) < 0.05) < 0.083
    assert np.mean(np.array(p_values) < 0.01) < 0.025


@pytest.mark.parametrize("objective", [Objective(), Objective(name="lsq")], ids=str)
def test_rows_of_one_run_count_once(objective: Objective) -> None:
    table = noisy(design())
    runs = [f"run {k}" for k in range(len(table))]
    twice = pd.concat([table.assign(run=runs)] * 2)
    once, together, apart = (
        Rise(fit_law(each, LAW, objective=objective)).standard_error(ALPHA)
        for each in (table, twice, twice.drop(columns="run"))
    )
    # The variance over runs is a sandwich, that over rows a mean: not quite the same.
    assert together == pytest.approx(once, rel=0.25)
    assert apart == pytest.approx(once / np.sqrt(2), rel=0.1)


def test_weights_are_relative() -> None:
    table = noisy(design())
    table["weight"] = np.linspace(0.5, 2, len(table))
    squares = Objective(name="lsq")
    one = Rise(fit_law(table, LAW, objective=squares))
    table["weight"] *= 7
    seven = Rise(fit_law(table, LAW, objective=squares))
    assert seven.standard_error(ALPHA) == pytest.approx(one.standard_error(ALPHA))


def test_exact_losses_leave_no_error() -> None:
    rise = Rise(fit_law(design(), LAW, objective=Objective(name="lsq")))
    assert 0 < rise.standard_error(ALPHA) < 1e-6
