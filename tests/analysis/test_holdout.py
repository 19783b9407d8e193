"""Fitted to the cheaper runs, scored on the dearer: which rows, and what is counted."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling.analysis.catalogue import LAWS
from scaling.analysis.fitting import fit_law, fit_sample
from scaling.analysis.holdout import expanding, hold_out
from scaling.analysis.objective import Objective
from scaling.analysis.sample import sample
from scaling.errors import ScalingError

LSQ = Objective(name="lsq")


def power_runs(n: int = 40, sd: float = 0.01, seed: int = 0) -> pd.DataFrame:
    """Runs of one law of compute, each by itself."""
    C = np.geomspace(1e17, 1e21, n)
    noise = np.random.default_rng(seed).normal(0, sd, n)
    return pd.DataFrame({"C": C, "L": 40 * C**-0.06 * np.exp(noise)})


def grid_runs(sd: float = 0.005, seed: int = 0) -> pd.DataFrame:
    """Runs of 6 sizes at 8 budgets, by Chinchilla's law."""
    C, N = np.meshgrid(np.geomspace(1e18, 1e21, 8), np.geomspace(1e8, 3e9, 6))
    runs = pd.DataFrame({"C": C.ravel(), "N": N.ravel()})
    runs["D"] = runs["C"] / (6 * runs["N"])
    law = 1.8 + 480 / runs["N"] ** 0.35 + 2100 / runs["D"] ** 0.37
    noise = np.random.default_rng(seed).normal(0, sd, len(runs))
    return runs.assign(L=law * np.exp(noise))


def curves(runs: int = 12, evaluations: int = 5) -> pd.DataFrame:
    """Training curves that overlap in compute."""
    rows = [
        {"run": f"r{k}", "C": 1e18 * 2.0**k * (j + 1) / evaluations, "N": 1e8 * 1.3**k}
        for k in range(runs)
        for j in range(evaluations)
    ]
    table = pd.DataFrame(rows)
    noise = np.random.default_rng(3).normal(0, 0.003, len(table))
    return table.assign(L=40 * table["C"] ** -0.06 * np.exp(noise))


# --- Expanding window ---------------------------------------------------------------


def test_folds_are_those_of_a_line_fitted_by_hand() -> None:
    table = power_runs()
    window = expanding(sample(table, LAWS["power"]), LAWS["power"], LSQ)
    assert [fold.trained for fold in window.folds] == [20, 24, 28, 32, 36]
    x, y = np.log(table["C"]), np.log(table["L"])
    squares = []
    for fold in window.folds:
        k = fold.trained
        error = (y - np.polyval(np.polyfit(x[:k], y[:k], 1), x))[k:]
        assert fold.start == table["C"][k]
        assert fold.n == 40 - k
        assert fold.rmse == pytest.approx(np.sqrt(np.mean(error**2)), rel=1e-7)
        assert fold.mean_abs == pytest.approx(np.mean(np.abs(error)), rel=1e-7)
        assert fold.mean == pytest.approx(np.mean(error), rel=1e-6)
        squares.append(fold.rmse**2)
    assert window.rmse == pytest.approx(np.sqrt(np.mean(squares)))
    assert window.n == 20 + 16 + 12 + 8 + 4


@pytest.mark.parametrize("law", ["chinchilla", "skaling", "kaplan-floor"])
def test_folds_are_those_of_laws_fitted_to_the_rows_below(law: str) -> None:
    taken = sample(grid_runs(), LAWS[law], "all")
    objective = Objective()
    for fold in expanding(taken, LAWS[law], objective).folds:
        lower = fit_sample(LAWS[law], taken.take(taken.order < fold.start), objective)
        upper = taken.take(taken.order >= fold.start).table
        error = np.log(upper["L_u"]) - np.log(lower.predict(upper))
        assert fold.rmse == pytest.approx(np.sqrt(np.mean(error**2)), rel=1e-9)


def test_no_run_is_fitted_and_scored() -> None:
    table = curves()
    taken = sample(table, LAWS["power"], "all")
    ends = table.groupby("run")["C"].transform("max")
    folds = expanding(taken, LAWS["power"], LSQ).folds
    assert len(folds) >= 3
    for fold in folds:
        assert fold.trained == (ends < fold.start).sum()
        assert fold.n == (table["C"] >= fold.start).sum()
        assert fold.trained + fold.n < len(table)  # what crosses the cut, below it


def test_a_budget_stays_together() -> None:
    table = grid_runs()
    jitter = np.random.default_rng(1).uniform(0.97, 1.03, len(table))
    taken = sample(table.assign(C=table["C"] * jitter), LAWS["chinchilla"])
    folds = expanding(taken, LAWS["chinchilla"], LSQ).folds
    assert [fold.trained for fold in folds] == [24, 30, 36, 42]


def test_a_loss_that_flattens_is_higher_than_foretold() -> None:
    table = power_runs(sd=0)
    table["L"] = np.maximum(table["L"], 2.6)
    window = expanding(sample(table, LAWS["power"]), LAWS["power"], LSQ)
    assert window.mean > 0.01
    assert window.mean == pytest.approx(window.mean_abs)


def test_the_true_law_without_noise_errs_by_nothing() -> None:
    taken = sample(grid_runs(sd=0), LAWS["chinchilla"])
    assert expanding(taken, LAWS["chinchilla"], LSQ).rmse < 1e-9


def test_a_law_that_falls_below_zero_errs_without_end() -> None:
    table = power_runs(sd=0)
    table["L"] = np.maximum(9 - 3 * np.log10(table["C"] / 1e17), 2)
    window = expanding(sample(table, LAWS["log"]), LAWS["log"], LSQ)
    assert window.folds[0].rmse == np.inf
    assert window.rmse == np.inf


@settings(max_examples=15, deadline=None)
@given(unit=st.floats(1e-18, 1e3), seed=st.integers(0, 99))
def test_neither_units_nor_order_of_rows_matter(unit: float, seed: int) -> None:
    table = power_runs()
    shuffled = table.sample(frac=1, random_state=seed, ignore_index=True)
    shuffled["C"] *= unit
    found = [
        expanding(sample(each, LAWS["power"]), LAWS["power"], LSQ)
        for each in (table, shuffled)
    ]
    assert found[1].rmse == pytest.approx(found[0].rmse, rel=1e-7)
    assert found[1].mean == pytest.approx(found[0].mean, rel=1e-6)


def test_rows_without_weight_are_not_scored() -> None:
    table = power_runs().assign(weight=1.0)
    spoilt = table.copy()
    spoilt.loc[[15, 38], "L"] = 50.0
    spoilt.loc[[15, 38], "weight"] = 0.0
    without = table.drop([15, 38])
    found = [
        expanding(sample(each, LAWS["power"]), LAWS["power"], LSQ).folds[0]
        for each in (spoilt, without.reset_index(drop=True))
    ]
    assert found[0].start == found[1].start
    assert found[0].rmse == pytest.approx(found[1].rmse, rel=1e-6)


def test_too_few_runs_are_refused() -> None:
    taken = sample(grid_runs().head(8), LAWS["skaling"], "all")
    with pytest.raises(ScalingError, match="no cut of 8 rows of 8 runs has 9 rows"):
        expanding(taken, LAWS["skaling"], LSQ)
    one = grid_runs().assign(C=1e18)
    with pytest.raises(ScalingError, match=r"no cut of 48 rows .* 2 or more computes"):
        expanding(sample(one, LAWS["chinchilla"], "all"), LAWS["chinchilla"], LSQ)


# --- One cut ------------------------------------------------------------------------


def test_a_share_and_its_compute_hold_out_the_same_rows() -> None:
    table = power_runs()
    fit = fit_law(table, "power", objective=LSQ)
    share, compute = hold_out(fit, 0.25), hold_out(fit, table["C"][30])
    assert share is not None
    assert compute is not None
    assert share.n == compute.n == 10
    assert share.start == compute.start == table["C"][30]
    assert share.rmse == compute.rmse
    x, y = np.log(table["C"][:30]), np.log(table["L"][:30])
    assert -share.fit.value("alpha") == pytest.approx(np.polyfit(x, y, 1)[0])


def test_rows_of_equal_compute_are_held_out_together() -> None:
    found = hold_out(fit_law(grid_runs(), "chinchilla"), 0.05)
    assert found is not None
    assert found.n == 6


def test_nothing_held_out_is_nothing() -> None:
    assert hold_out(fit_law(power_runs(), "power"), None) is None


def test_rows_of_runs_that_were_seen_are_counted() -> None:
    fit = fit_law(curves(), "power", rows="all", objective=LSQ)
    found = hold_out(fit, 1e21)
    assert found is not None
    table = curves()
    below = set(table["run"][table["C"] < 1e21])
    above = table["run"][table["C"] >= 1e21]
    assert found.seen == above.isin(below).sum() > 0
    assert f"{found.seen} of them of runs fitted in part" in found.sentence()


def test_intervals_hold_most_rows_of_the_true_law() -> None:
    shares = []
    for seed in range(40):
        found = hold_out(fit_law(power_runs(seed=seed), "power", objective=LSQ), 0.25)
        assert found is not None
        shares.append(found.coverage)
    # 400 rows, those of one fit in common error: 0.95 within three standard errors.
    assert np.mean(shares) == pytest.approx(0.95, abs=0.05)


def test_a_held_out_error_can_be_read_and_written() -> None:
    found = hold_out(fit_law(power_runs(), "power", objective=LSQ), 0.25)
    assert found is not None
    assert found.sentence().startswith(
        "10 rows from 1.19e+20 FLOPs on, predicted from 30"
    )
    assert json.loads(json.dumps(found.to_dict()))["rmse"] == found.rmse
    assert set(found.to_dict()) >= {"start", "n", "rmse", "mean", "seen", "coverage"}


@pytest.mark.parametrize(
    ("holdout", "text"),
    [
        (-1.0, "holdout is -1; expected a compute in FLOPs above 1, or a share"),
        (1.0, "holdout is 1; expected"),
        (np.inf, "holdout is inf; expected"),
        (1e25, r"no row lies at or above 1e\+25 FLOPs, the highest is at 1e\+21"),
        (2.0, "holding out from 2 leaves 0 of 40 rows"),
        (0.97, "holding out from .* leaves 1 of 40 rows: .*or hold out fewer"),
    ],
)
def test_a_holdout_that_cannot_be_is_refused(holdout: float, text: str) -> None:
    fit = fit_law(power_runs(), "power")
    with pytest.raises(ScalingError, match=text):
        hold_out(fit, holdout)
