"""Warnings of designs that determine nothing, and none of designs that do."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from scaling.analysis import solver
from scaling.analysis.catalogue import LAWS
from scaling.analysis.fitting import Fit, fit_law
from scaling.analysis.identify import identifiability, levels, tie_test
from scaling.analysis.objective import Objective
from scaling.analysis.profiles import profile
from scaling.errors import ScalingError

DATA = os.environ.get("SCALING_DATA", "")
public = pytest.mark.skipif(not DATA, reason="SCALING_DATA does not name public tables")
LINEAR = Objective(space="linear")


def noisy(table: pd.DataFrame, loss: pd.Series, seed: int = 0) -> pd.DataFrame:
    noise = np.random.default_rng(seed).standard_normal(len(table))
    return table.assign(L=loss * np.exp(0.005 * noise))


def grid(N: np.ndarray, D: np.ndarray, **truth: float) -> pd.DataFrame:
    x, y = np.meshgrid(N, D)
    return trained(pd.DataFrame({"N": x.ravel(), "D": y.ravel()}), **truth)


def trained(table: pd.DataFrame, **truth: float) -> pd.DataFrame:
    t = {"E": 1.82, "A": 482.0, "B": 2085.0, "alpha": 0.348, "beta": 0.366} | truth
    loss = t["E"] + t["A"] / table["N"] ** t["alpha"] + t["B"] / table["D"] ** t["beta"]
    return noisy(table, loss)


SIZES, TOKENS = np.geomspace(3e7, 3e9, 7), np.geomspace(1e9, 1e11, 7)


def said(fit: Fit, begins: str) -> str:
    """Find the one warning that begins so."""
    (found,) = (each for each in identifiability(fit) if each.startswith(begins))
    return found


def test_a_sound_design_is_not_warned_of() -> None:
    assert identifiability(fit_law(grid(SIZES, TOKENS), "chinchilla")) == ()
    tied = grid(SIZES, TOKENS, beta=0.348)
    assert identifiability(fit_law(tied, "chinchilla-tied")) == ()


@pytest.mark.parametrize("units", [1.0, 1e6])
def test_fixed_tokens_per_parameter(units: float) -> None:
    N = np.geomspace(3e7, 1e10, 20) / units
    table = trained(pd.DataFrame({"N": N * units, "D": 20 * N * units}))
    fit = fit_law(table.assign(N=N, D=20 * N), "chinchilla")
    assert said(fit, "COLLINEAR") == (
        "COLLINEAR DESIGN: D / N is 20 in every row: N and D cannot be told apart; "
        "vary D / N"
    )
    assert "the data give n" in said(fit, "UNBOUNDED")


def test_other_collinear_designs() -> None:
    N = np.geomspace(3e7, 1e10, 20)
    power = trained(pd.DataFrame({"N": N, "D": 2e4 * N**0.7}))
    found = said(fit_law(power, "chinchilla"), "COLLINEAR")
    assert "D / N^0.7 is the same in every row" in found
    budget = trained(pd.DataFrame({"N": N, "D": 1e20 / 6 / N}))
    found = said(fit_law(budget, "chinchilla"), "COLLINEAR")
    assert "N · D is 1.67e+19 in every row" in found
    off = np.random.default_rng(0).uniform(-0.05, 0.05, 20)
    near = trained(pd.DataFrame({"N": N, "D": 20 * N * np.exp(off)}))
    found = said(fit_law(near, "chinchilla"), "COLLINEAR")
    assert "D / N is 20" in found or "D / N is 19" in found
    assert "% in every row" in found


def test_few_and_narrow_values() -> None:
    two = grid(np.array([1e8, 1e9]), np.geomspace(1e9, 1e11, 12))
    assert said(fit_law(two, "chinchilla"), "TOO FEW").startswith(
        "TOO FEW LEVELS: N takes 2 values; a power law with a floor needs 3 or more"
    )
    narrow = grid(np.geomspace(1e8, 2e8, 6), TOKENS)
    assert "N spans a factor of 2;" in said(fit_law(narrow, "chinchilla"), "NARROW")


def test_levels_are_counted_apart() -> None:
    assert levels(np.log([1.0, 1.02, 1.04])) == 1
    assert levels(np.log(np.geomspace(1, 10, 200))) > 30


def test_a_loss_that_rises() -> None:
    table = grid(SIZES, TOKENS, A=0.5, alpha=-0.05)
    found = said(fit_law(table, "chinchilla"), "NEGATIVE")
    assert found.startswith("NEGATIVE EXPONENT: alpha is -0.0")
    assert found.endswith("more N raises the loss")


def test_a_break_that_was_not_seen() -> None:
    C = np.geomspace(1e16, 1e22, 40)
    table = noisy(pd.DataFrame({"C": C}), pd.Series(1.8 + 4e3 * C**-0.18))
    fit = fit_law(table, "bnsl", fix={"d": 1e25})
    assert not [w for w in identifiability(fit) if w.startswith("OUTSIDE")]  # held
    fit = fit_law(table, "bnsl", bound={"d": (1e24, 1e30)})
    found = said(fit, "OUTSIDE THE DATA: d, the compute at the break, is ")
    assert "C runs from 1e+16 to 1e+22" in found


def test_no_row_left_over() -> None:
    few = grid(SIZES, TOKENS).iloc[[0, 6, 24, 42, 48]]
    fit = fit_law(few, "chinchilla")
    assert said(fit, "NO ROW LEFT OVER")


def test_a_true_tie_stands_and_a_false_one_does_not() -> None:
    true = fit_law(grid(SIZES, TOKENS, beta=0.348), "chinchilla-tied")
    test = tie_test(true)
    assert not test.rejected
    assert "the tie beta = alpha stands" in test.sentence
    table = grid(SIZES, TOKENS, beta=0.2, B=100.0)
    false, untied = fit_law(table, "chinchilla-tied"), fit_law(table, "chinchilla")
    test = tie_test(false, "beta")
    assert test.p_value < 1e-6
    beta, alpha = test.untied
    assert beta == pytest.approx(untied.value("beta"))
    assert alpha == pytest.approx(untied.value("alpha"))
    assert f"TIE REJECTED: {test.sentence}" in identifiability(false)


def test_true_ties_are_rejected_by_chance_alone() -> None:
    p_values = []
    for seed in range(60):
        table = grid(SIZES[:5], TOKENS[:5], beta=0.348)
        noise = np.random.default_rng(seed).standard_normal(len(table))
        loss = 1.82 + 482 / table["N"] ** 0.348 + 2085 / table["D"] ** 0.348
        table["L"] = loss * np.exp(0.005 * noise)
        fit = fit_law(table, "chinchilla-tied", objective=Objective(name="lsq"))
        p_values.append(tie_test(fit).p_value)
    # Uniform: the mean of 60 has a standard error of 0.037.
    assert 0.38 < np.mean(p_values) < 0.62


def test_a_law_without_the_tie_is_refused() -> None:
    fit = fit_law(grid(SIZES, TOKENS), "chinchilla")
    with pytest.raises(ScalingError, match=r"no tie of one parameter alone; .* none"):
        tie_test(fit)
    tied = fit_law(grid(SIZES, TOKENS), LAWS["chinchilla-tied"])
    with pytest.raises(ScalingError, match=r"no tie of alpha; .*: beta = alpha"):
        tie_test(tied, "alpha")


# --- Public data --------------------------------------------------------------------


def sail(divisor: float, runs: bool = False) -> pd.DataFrame:
    """Read the vocabulary runs; the reference code passes V / 1000 for V."""
    table = pd.read_csv(Path(DATA) / "sail_vocab" / "exp_data.csv")
    table = table[table["FLOPs"] >= 2.18e17]
    log_V = np.log(table["vocab_size"] / divisor)
    per_character = 0.00639222 * log_V**2 - 0.15811069 * log_V + 1.20470122
    found = pd.DataFrame(
        {
            "N_nv": table["Non_vocab_parameters"] / 1e6,
            "N_v": table["vocab_size"] * table["embed_dim"] / 1e6,
            "D": table["num_characters"] * per_character / 1e9,
            "L_u": table["Lossu"],
        }
    )
    if runs:
        names = table[["Non_vocab_parameters", "vocab_size"]].astype(str)
        found["run"] = names.agg("-".join, axis=1)
    return found


@public
@pytest.mark.parametrize("runs", [False, True], ids=["rows", "runs"])
@pytest.mark.parametrize(("divisor", "beta"), [(1000, 0.565), (1, 0.552)])
def test_the_tie_of_the_vocabulary_law_is_rejected(
    divisor: float, beta: float, runs: bool
) -> None:
    fit = fit_law(sail(divisor, runs), "codebook-tied", objective=LINEAR, rows="all")
    if divisor == 1000:
        published = {"A1": 1.8289, "A2": 0.1907, "B": 2.122, "E": 5.5349}
        assert {n: fit.value(n) for n in published} == pytest.approx(
            published, rel=1e-3
        )
    test = tie_test(fit)
    assert test.name == "alpha1"
    assert test.other == "beta"
    assert test.p_value < (1e-4 if runs else 1e-9)
    # alpha1 goes to 0 with E and A1 running away: where it is left does not matter.
    assert 0 < test.untied[0] < 0.03
    assert test.untied[1] == pytest.approx(beta, abs=0.005)


@public
def test_the_interval_reaches_a_second_valley() -> None:
    """The published minimum, with right units, is not the lowest, but allowed."""
    published = fit_law(
        sail(1),
        "codebook-tied",
        objective=LINEAR,
        rows="all",
        bound={"alpha2": (0.1, 5)},
    )
    assert published.value("alpha2") == pytest.approx(1.0588, abs=1e-4)
    law = LAWS["codebook-tied"]
    start = law.compiled.carried([5.58, 1.87, 3e-7, 1.36, 0.42, -2.27, 0.42])
    free = replace(published, formula=law)
    lower = solver.minimise(free.problem, start[None])
    assert lower.value[0] < 0.9994 * published.objective_value
    fit = replace(free, theta=lower.theta[0], objective_value=float(lower.value[0]))
    assert profile(fit, "alpha2", points=0).high > 1.0588


@public
def test_the_published_replication_is_sound() -> None:
    path = Path(DATA) / "epoch_chinchilla" / "svg_extracted_data.csv"
    columns = {"Model Size": "N", "Training FLOP": "C", "loss": "L"}
    table = pd.read_csv(path).rename(columns=columns).sort_values("L").iloc[:240]
    table = table.assign(D=table["C"] / 6 / table["N"])[["N", "D", "L"]]
    assert identifiability(fit_law(table, "chinchilla")) == ()
