"""What a fit minimises: rho, its slopes, its limits."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from scaling.analysis.fitting import fit_law
from scaling.analysis.objective import NAMES, Objective
from scaling.errors import ScalingError

quick = settings(max_examples=100, deadline=None)
residual = st.floats(-3, 3).filter(lambda r: r == 0 or abs(r) > 1e-100)
width = st.floats(1e-4, 2)
named = st.sampled_from(NAMES)


def smoothed(name, delta):
    """Give an objective and the delta that the solver would pass it."""
    return Objective(name=name, quantile=0.2), np.inf if name == "lsq" else delta


@quick
@given(name=named, delta=width, r=residual)
def test_the_slope_is_the_derivative(name, delta, r):
    (chosen, delta), h = smoothed(name, delta), 1e-7
    ends = chosen.rho(np.array([r - h, r + h]), delta)
    found = chosen.slopes(np.array([r]), delta).first[0]
    # Over a kink of rho'' the difference is off by h, times the curvature.
    assert found == pytest.approx((ends[1] - ends[0]) / (2 * h), abs=2 * h / delta + h)


@quick
@given(name=named, delta=width, r=residual)
def test_the_second_slope_is_the_derivative_of_the_first(name, delta, r):
    if abs(abs(r) - delta) < 1e-6 or abs(r) < 1e-6:
        return
    (chosen, delta), h = smoothed(name, delta), 1e-8
    ends = chosen.slopes(np.array([r - h, r + h]), delta).first
    found = chosen.slopes(np.array([r]), delta).second[0]
    assert found == pytest.approx((ends[1] - ends[0]) / (2 * h), rel=1e-5, abs=1e-6)


@quick
@given(name=named, delta=width, r=residual, other=residual)
def test_the_chord_is_a_parabola_above_rho(name, delta, r, other):
    chosen, delta = smoothed(name, delta)
    if name == "asymmetric" and r * other <= 0:
        return  # it lies above rho on its own side only
    slopes = chosen.slopes(np.array([r]), delta)
    assert_allclose(slopes.chord * r, slopes.first, rtol=1e-12, atol=1e-12)
    assert slopes.chord[0] >= slopes.second[0] * (1 - 1e-15)
    here, there = chosen.rho(np.array([r, other]), delta)
    above = here + slopes.chord[0] * (other**2 - r**2) / 2
    assert there <= above + 1e-12 * (1 + above)


@quick
@given(r=residual)
def test_limits(r):
    r = np.array([r])
    squares = Objective(name="lsq").rho(r)
    assert_allclose(squares, r**2 / 2)
    assert_allclose(Objective(delta=10.0).rho(r), squares)
    assert_allclose(Objective(delta=1e-9).rho(r) / 1e-9, np.abs(r), atol=1e-9)
    assert_allclose(Objective(name="lad").rho(r), np.abs(r))
    assert_allclose(Objective(name="lad").rho(r, 1e-9), np.abs(r), atol=1e-9)
    even = Objective(name="asymmetric", quantile=0.5)
    assert_allclose(even.rho(r), Objective().rho(r))


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5, 0.9])
def test_an_asymmetric_fit_leaves_the_stated_share_below(share):
    random = np.random.default_rng(4)
    C = np.exp(random.uniform(20, 40, 500))
    table = pd.DataFrame(
        {"C": C, "L": 9 - 0.1 * np.log(C) + random.gumbel(0, 0.1, 500)}
    )
    chosen = Objective(name="asymmetric", quantile=share, delta=1e-6, space="linear")
    fit = fit_law(table, "log", objective=chosen)
    # As with quantile regression, as many rows as parameters lie on the law.
    assert np.mean(fit.residuals < -1e-5) <= share <= np.mean(fit.residuals < 1e-5)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({}, "Huber(delta 0.001) on log loss"),
        ({"name": "lsq", "space": "linear"}, "least squares on loss"),
        ({"name": "lad"}, "least absolute deviation on log loss"),
        (
            {"name": "asymmetric", "quantile": 0.25},
            "lower envelope (Huber delta 0.001, quantile 0.25) on log loss",
        ),
    ],
)
def test_an_objective_says_all_of_itself(settings, text):
    assert str(Objective(**settings)) == text


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "hubr"}, "no objective 'hubr'; did you mean 'huber'"),
        ({"space": "ln"}, "loss space is 'ln'; expected log or linear"),
        ({"delta": 0.0}, "delta is 0; expected a positive"),
        ({"delta": float("nan")}, "delta is nan; expected a positive"),
        ({"delta": float("inf")}, "delta is inf"),
        ({"quantile": 10.0}, "quantile is 10; expected a share between 0 and 1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(ScalingError, match=message):
        Objective(**settings)


def test_only_least_squares_is_not_robust():
    assert [name for name in NAMES if not Objective(name=name).robust] == ["lsq"]
