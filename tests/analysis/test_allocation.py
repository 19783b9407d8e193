"""The best way to spend a budget: closed forms, brute force, costs from the rows."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from scaling.analysis.allocation import Allocator, Cost, allocator, cost_of
from scaling.analysis.catalogue import LAWS
from scaling.analysis.fitting import fit_law
from scaling.analysis.sample import sample
from scaling.errors import ScalingError

CHINCHILLA, CODEBOOK = LAWS["chinchilla"], LAWS["codebook"]
TRUTH = np.array([1.69, 406.4, 410.7, 0.34, 0.28])


def spender(formula=CHINCHILLA, **given):
    size = "N_nv" if "N_nv" in formula.inputs else "N"
    cost = Cost(size=size, per_code=6.0 * ("N_v" in formula.inputs))
    return Allocator(formula=formula, cost=cost, given=given)


def closed_form(C, A, B, alpha, beta):
    """Hoffmann et al. 2022, Eq. 4."""
    G = (alpha * A / (beta * B)) ** (1 / (alpha + beta))
    a = beta / (alpha + beta)
    return G * (C / 6) ** a, (C / 6) ** (1 - a) / G


def rows(**columns):
    N, D = np.meshgrid(np.geomspace(1e7, 1e10, 6), np.geomspace(1e9, 1e11, 6))
    table = pd.DataFrame({"N": N.ravel(), "D": D.ravel()})
    table["L"] = 1.69 + 406.4 / table["N"] ** 0.34 + 410.7 / table["D"] ** 0.28
    return table.assign(**{k: f(table) for k, f in columns.items()})


@settings(max_examples=15, deadline=None)
@given(
    decade=st.floats(15, 27),
    alpha=st.floats(0.15, 0.8),
    beta=st.floats(0.15, 0.8),
    balance=st.floats(-2, 2),
)
def test_chinchilla_has_a_closed_form(decade, alpha, beta, balance):
    C, N, D = 10**decade, 1e9, 2e10
    A, B = N**alpha, math.exp(balance) * D**beta
    theta = CHINCHILLA.compiled.carried([[1.69, A, B, alpha, beta]])
    log_n, log_d, loss = spender().log_optimum(theta, C)[0]
    expected = np.log(closed_form(C, A, B, alpha, beta))
    assert_allclose([log_n, log_d], expected, atol=2e-6)
    assert loss == pytest.approx(
        1.69 + A / math.exp(alpha * log_n) + B / math.exp(beta * log_d)
    )
    assert log_n + log_d == pytest.approx(math.log(C / 6))


def test_a_batch_is_its_parameters_one_by_one():
    random = np.random.default_rng(0)
    theta = CHINCHILLA.compiled.carried(TRUTH)
    theta = theta + random.normal(0, 0.01, (20, 5))
    found = spender().log_optimum(theta, 1e21)
    one = [spender().log_optimum(each[None], 1e21)[0] for each in theta]
    assert_allclose(found, one, rtol=1e-12)


def test_codebooks_agree_with_brute_force():
    values = [5.5, 480.0, 3e4, 1.2e4, 0.4, 0.9, 0.44]
    theta = CODEBOOK.compiled.carried([values])
    nv, v, d, loss = spender(CODEBOOK).log_optimum(theta, 1e21)[0]
    x, y = np.meshgrid(
        nv + np.linspace(-1, 1, 401), v + np.linspace(-1, 1, 401), indexing="ij"
    )
    data = math.log(1e21) - np.log(6 * np.exp(x) + 6 * np.exp(y))
    E, A1, A2, B, a1, a2, b = values
    surface = A1 * np.exp(-a1 * x) + A2 * np.exp(-a2 * y) + B * np.exp(-b * data) - E
    i, j = np.unravel_index(surface.argmin(), surface.shape)
    assert (i, j) == (200, 200)
    assert loss == pytest.approx(surface.min(), abs=1e-9)
    assert d == pytest.approx(data[200, 200])


@pytest.mark.parametrize("name", ["kaplan", "skaling", "chinchilla-tied"])
def test_other_laws_agree_with_brute_force(name):
    values = {
        "kaplan": [6.4e13, 1.8e13, 0.076, 0.103],
        "skaling": [1.7, 400.0, 3.0, 0.5, 0.45, 0.7],
        "chinchilla-tied": [1.69, 406.4, 410.7, 0.31, 0.31],
    }[name]
    formula = LAWS[name]
    theta = formula.compiled.carried([values])
    n, _, loss = spender(formula).log_optimum(theta, 1e21)[0]
    grid = n + np.linspace(-2, 2, 4001)
    losses = formula.compiled.value(theta, [grid, math.log(1e21 / 6) - grid])[0]
    assert abs(losses.argmin() - 2000) <= 1
    assert loss <= losses.min() * (1 + 1e-12)


def test_repeated_data_leave_more_for_size():
    """With little data of its own to see, a budget is better spent on size."""
    formula = LAWS["repetition"]
    theta = formula.compiled.carried([[*TRUTH, 15.0]])
    plain = spender().log_optimum(CHINCHILLA.compiled.carried(TRUTH)[None], 1e21)[0]
    plenty = spender(formula, U=1e15).log_optimum(theta, 1e21)[0]
    little = spender(formula, U=1e9).log_optimum(theta, 1e21)[0]
    assert_allclose(plenty, plain, atol=1e-5)
    assert little[0] > plain[0]
    assert little[2] > plain[2]


# --- What a token costs ---------------------------------------------------------------


def test_the_cost_is_that_of_the_rows():
    table = rows(C=lambda t: 8.5 * t["N"] ** 0.97 * t["D"])
    cost = cost_of(CHINCHILLA, sample(table, CHINCHILLA))
    assert (cost.factor, cost.exponent) == pytest.approx((8.5, 0.97), rel=1e-5)
    assert str(cost).startswith("C = 8.5 N^0.970 D, as the rows show it")


@pytest.mark.parametrize("C", [None, np.nan, -1.0])
def test_without_compute_in_the_rows_it_is_6_n_d(C):
    table = rows() if C is None else rows(C=lambda t: C)
    cost = cost_of(CHINCHILLA, sample(table, CHINCHILLA))
    assert (cost.factor, cost.exponent, cost.measured) == (6.0, 1.0, False)
    assert str(cost) == "C = 6 N D, by convention"


def test_tables_and_head_are_counted_beside_a_codebook():
    cost = Cost(size="N_nv", per_code=6.0)
    sizes = {"N_nv": np.log([1e6]), "N_v": np.log([2e5])}
    assert_allclose(cost.per_token(sizes), 6 * 1.2e6)


@pytest.mark.parametrize(("n", "d"), [(1e6, 1e9), (1e9, 1e9), (1e9, 1e12)])
def test_units_of_the_rows_do_not_matter(n, d):
    plain = fit_law(rows(C=lambda t: 6 * t["N"] * t["D"]), "chinchilla")
    scaled = rows(C=lambda t: 6 * t["N"] * t["D"])
    scaled = fit_law(scaled.assign(N=scaled["N"] / n, D=scaled["D"] / d), "chinchilla")
    for C in (1e18, 1e22):
        here = allocator(plain).log_optimum(plain.theta[None], C)[0]
        there = allocator(scaled).log_optimum(scaled.theta[None], C)[0]
        assert_allclose(there, here - [np.log(n), np.log(d), 0], atol=1e-5)


# --- Refused --------------------------------------------------------------------------


def test_a_law_of_compute_has_nothing_to_divide():
    fit = fit_law(rows(C=lambda t: 6 * t["N"] * t["D"]), "power")
    with pytest.raises(
        ScalingError, match="law power is one of C and does not say how"
    ):
        allocator(fit)


def test_an_input_that_is_not_chosen_must_be_given():
    fit = fit_law(rows(U=lambda t: t["D"] / 3), "repetition")
    with pytest.raises(ScalingError, match="also needs U; give it with --at U=VALUE"):
        allocator(fit)


@pytest.mark.parametrize("given", [{"Z": 3.0}, {"N": 1e9}])
def test_what_the_law_cannot_be_given_is_refused(given):
    fit = fit_law(rows(), "chinchilla")
    with pytest.raises(ScalingError, match=next(iter(given))):
        allocator(fit, given)


@pytest.mark.parametrize("exponents", [(-0.1, 0.3), (0.3, -0.1)])
def test_a_size_or_data_that_only_harm_have_no_optimum(exponents):
    theta = CHINCHILLA.compiled.carried([[1.69, 400.0, 400.0, *exponents]])
    with pytest.raises(ScalingError, match=r"no best N at 1e\+21 FLOPs"):
        spender().require_optimum(theta[0], 1e21)
    assert np.isnan(spender().log_optimum(theta, 1e21)).all()
