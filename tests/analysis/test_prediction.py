"""What a law foretells: budgets, runs, intervals, and how far beyond the rows."""

# ruff: noqa: PD011 - the parameters of a fit are its values

import json
import math

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from scaling.analysis.fitting import fit_law
from scaling.analysis.intervals import uncertainty
from scaling.analysis.prediction import predict_budget, predict_run
from scaling.errors import ScalingError


def runs(sd=0.01, seed=0, n=60):
    random = np.random.default_rng(seed)
    N, D = np.exp(random.uniform([[16], [20]], [[23], [26]], (2, n)))
    L = 1.69 + 406.4 / N**0.34 + 410.7 / D**0.28
    L = L * np.exp(sd * random.standard_normal(n))
    return pd.DataFrame({"N": N, "D": D, "C": 6 * N * D, "L": L})


@pytest.fixture(scope="module")
def fitted():
    fit = fit_law(runs(), "chinchilla")
    return fit, uncertainty(fit, "wald")


def test_a_budget_is_divided_by_the_law(fitted):
    fit, how = fitted
    found = predict_budget(fit, how, 1e21)
    v = fit.values
    G = (v["alpha"] * v["A"] / (v["beta"] * v["B"])) ** (1 / (v["alpha"] + v["beta"]))
    a = v["beta"] / (v["alpha"] + v["beta"])
    N, D = found.quantities["N"].value, found.quantities["D"].value
    assert pytest.approx(G * (1e21 / 6) ** a, rel=1e-5) == N
    assert pytest.approx(1e21 / 6) == N * D
    assert found.loss.value == pytest.approx(float(fit.predict({"N": N, "D": D})[0]))
    assert found.exponents["N"].value == pytest.approx(a, abs=1e-5)
    assert found.exponents["D"].value == pytest.approx(1 - a, abs=1e-5)
    assert found.cost.startswith("C = 6 N D, as the rows show")


def test_gamma_is_the_ratio_of_the_two_exponents_with_an_interval_of_its_own():
    random = np.random.default_rng(1)
    low, high = [[12], [9], [18]], [[17], [14], [23]]
    N_nv, N_v, D = np.exp(random.uniform(low, high, (3, 80)))
    L = -8 + 400 / N_nv**0.4 + 60 / N_v**0.3 + 300 / D**0.35
    L = L + 0.002 * random.standard_normal(80)
    C = 6 * (N_nv + N_v) * D
    fit = fit_law(
        pd.DataFrame({"N_nv": N_nv, "N_v": N_v, "D": D, "C": C, "L": L}), "codebook"
    )
    found = predict_budget(fit, uncertainty(fit, "wald"), 1e16)
    ratio = found.exponents["N_v"].value / found.exponents["N_nv"].value
    assert found.gamma is not None
    assert found.gamma.value == pytest.approx(ratio, rel=1e-6)
    assert found.gamma.low < found.gamma.value < found.gamma.high
    # both terms cost alike a parameter: a' A' / N^(a' + 1) is equal at the best sizes
    assert found.gamma.value == pytest.approx(1.4 / 1.3, abs=0.1)


def test_intervals_hold_their_values(fitted):
    found = predict_budget(*fitted, 1e21)
    estimates = [found.loss, *found.quantities.values(), *found.exponents.values()]
    for estimate in estimates:
        assert estimate.low < estimate.value < estimate.high
    low, high = found.new_run
    assert low < found.loss.low < found.loss.high < high


def test_a_higher_level_is_a_wider_interval(fitted):
    narrow = predict_budget(*fitted, 1e21, level=0.8)
    wide = predict_budget(*fitted, 1e21, level=0.99)
    for name, estimate in narrow.quantities.items():
        assert wide.quantities[name].low < estimate.low
        assert wide.quantities[name].high > estimate.high
    assert (narrow.level, wide.level) == (0.8, 0.99)


def test_intervals_widen_away_from_the_rows(fitted):
    widths = []
    for C in (1e20, 1e23, 1e26):
        estimate = predict_budget(*fitted, C).quantities["N"]
        widths.append(math.log(estimate.high / estimate.low))
    assert widths == sorted(widths)


def test_intervals_cover_the_truth():
    """Of 30 data sets about 28 hold it; 23 or fewer do 1 time in 5000."""
    truth = (406.4 * 0.34 / (410.7 * 0.28)) ** (1 / 0.62) * (1e21 / 6) ** (0.28 / 0.62)
    D = 1e21 / 6 / truth
    loss = 1.69 + 406.4 / truth**0.34 + 410.7 / D**0.28
    held = []
    for seed in range(30):
        fit = fit_law(runs(seed=seed), "chinchilla")
        found = predict_budget(fit, uncertainty(fit, "wald"), 1e21)
        N = found.quantities["N"]
        held.append((N.low < truth < N.high, found.loss.low < loss < found.loss.high))
    assert (np.sum(held, axis=0) > 23).all()


def test_a_given_run_is_predicted(fitted):
    fit, how = fitted
    found = predict_run(fit, how, {"N": 1e9, "D": 1e10})
    expected = float(fit.predict({"N": 1e9, "D": 1e10})[0])
    assert found.loss.value == pytest.approx(expected)
    assert (found.quantities, found.compute) == ({}, None)
    assert found.at == {"N": 1e9, "D": 1e10}


def test_runs_among_the_rows_are_no_extrapolation(fitted):
    near = predict_run(*fitted, {"N": 1e9, "D": 1e10})
    assert near.beyond <= 1
    assert near.warnings == ()


@pytest.mark.parametrize(
    "at", [{"N": 1e12, "D": 1e10}, {"N": 1e9, "D": 1e13}, {"N": 1e4, "D": 1e10}]
)
def test_far_extrapolation_is_said(fitted, at):
    found = predict_run(*fitted, at)
    assert found.beyond > 10
    assert any(w.startswith("FAR EXTRAPOLATION") for w in found.warnings)


def test_a_far_budget_is_said(fitted):
    most = fitted[0].sample.table["C"].max()
    assert predict_budget(*fitted, 5 * most).warnings == ()
    found = predict_budget(*fitted, 1e3 * most)
    assert found.beyond == pytest.approx(1e3)
    assert "FAR EXTRAPOLATION: 1e+03 times" in found.warnings[0]


@pytest.mark.parametrize("law", ["power", "power-floor", "log"])
def test_a_law_of_compute_foretells_a_loss(law):
    fit = fit_law(runs(), law, rows="all")
    found = predict_budget(fit, uncertainty(fit, "wald"), 1e22)
    assert found.loss.value == pytest.approx(float(fit.predict({"C": 1e22})[0]))
    assert found.loss.low < found.loss.value < found.loss.high
    assert (found.quantities, found.exponents) == ({}, {})


@pytest.mark.parametrize(
    ("law", "given"),
    [("kaplan", {}), ("skaling", {}), ("repetition", {"U": 1e10})],
)
def test_other_laws_divide_budgets_too(law, given):
    fit = fit_law(runs(sd=1e-3).assign(U=lambda t: t["D"] / 3), law)
    found = predict_budget(fit, uncertainty(fit, "wald"), 1e21, given=given)
    assert found.quantities["N"].low < found.quantities["N"].high
    assert found.at == given


def test_a_run_that_has_not_repeated_its_data_is_predicted_as_one_seen_once():
    fit = fit_law(runs().assign(U=lambda t: t["D"] / 3), "repetition")
    how = uncertainty(fit, "wald")
    plenty = predict_run(fit, how, {"N": 1e9, "D": 1e10, "U": 1e13})
    once = predict_run(fit, how, {"N": 1e9, "D": 1e10, "U": 1e10})
    assert plenty.loss.value == pytest.approx(once.loss.value)


def test_the_loss_may_be_negative():
    table = runs()
    table["L_u"] = table.pop("L") - 6
    fit = fit_law(table, "chinchilla")
    found = predict_budget(fit, uncertainty(fit, "wald"), 1e21)
    assert found.loss.low < found.loss.value < found.loss.high < 0
    assert found.loss_symbol == "L_u"


def test_a_prediction_is_json(fitted):
    found = predict_budget(*fitted, 1e21)
    read = json.loads(json.dumps(found.to_dict()))
    assert read["quantities"]["N"]["value"] == found.quantities["N"].value
    assert_allclose([read["new_run"]["low"], read["new_run"]["high"]], found.new_run)


@pytest.mark.parametrize("compute", [-1.0, 0.0, math.nan, math.inf])
def test_a_budget_is_a_positive_number(fitted, compute):
    with pytest.raises(
        ScalingError, match=f"compute is {compute:g}; expected a budget"
    ):
        predict_budget(*fitted, compute)


@pytest.mark.parametrize(
    ("at", "message"),
    [
        ({"N": 1e9}, "needs D; given are N"),
        ({"N": 1e9, "D": 1e9, "q": 1.0}, "no input q; it is one of N, D"),
        ({"N": -1e9, "D": 1e9}, "N is -1e\\+09; expected a positive number"),
        ({"N": math.nan, "D": 1e9}, "N is nan; expected a positive number"),
    ],
)
def test_a_run_is_given_by_the_law_s_inputs(fitted, at, message):
    with pytest.raises(ScalingError, match=message):
        predict_run(*fitted, at)


@pytest.mark.parametrize("level", [0.0, 1.0, 95.0])
def test_a_level_is_a_share(fitted, level):
    with pytest.raises(ScalingError, match=f"level is {level:g}; expected a share"):
        predict_run(*fitted, {"N": 1e9, "D": 1e10}, level=level)
