import math

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from scaling.analysis.laws import Law, fit
from scaling.errors import ScalingError


@pytest.fixture
def noisy():
    random = np.random.default_rng(7)
    x = 10.0 ** random.uniform(14, 18, 25)
    return x, 0.3 * x**0.5 * 10 ** random.normal(0, 0.1, 25)


def test_a_log_law_without_noise_is_recovered():
    x = np.geomspace(1e12, 1e18, 9)
    law = fit("L_u(C)", "log", x, -1.062 * np.log10(x) + 13.839)
    assert_allclose([law.slope, law.intercept], [-1.062, 13.839], rtol=1e-12)
    assert law.r2 == pytest.approx(1)
    assert law.x_range == (1e12, 1e18)
    assert (law.x, law.y, law.n, law.status) == ("C", "L_u", 9, "good")


def test_a_power_law_without_noise_is_recovered():
    x = np.geomspace(1e12, 1e18, 9)
    law = fit("N_nv(C)", "power", x, 10**-0.3 * x**0.56)
    assert_allclose([law.slope, law.intercept], [0.56, -0.3], rtol=1e-11)
    assert_allclose(law.predict(1e20), 10**-0.3 * 1e20**0.56, rtol=1e-11)


def test_a_noisy_power_law_is_recovered_within_its_errors(noisy):
    law = fit("N_nv(C)", "power", *noisy)
    assert abs(law.slope - 0.5) < 3 * law.slope_se
    assert abs(law.intercept - math.log10(0.3)) < 3 * law.intercept_se


def test_least_squares_agrees_with_scipy(noisy):
    x, y = noisy
    law = fit("N_nv(C)", "power", x, y)
    theirs = stats.linregress(np.log10(x), np.log10(y))
    ours = [law.slope, law.slope_se, law.intercept, law.intercept_se, law.r2]
    assert_allclose(
        ours,
        [
            theirs.slope,
            theirs.stderr,
            theirs.intercept,
            theirs.intercept_stderr,
            theirs.rvalue**2,
        ],
        rtol=1e-12,
    )


def test_covariance_agrees_with_polyfit(noisy):
    x, y = noisy
    law = fit("N_nv(C)", "power", x, y)
    _, covariance = np.polyfit(np.log10(x), np.log10(y), 1, cov=True)
    assert_allclose(law.covariance, covariance, rtol=1e-9)


def test_intervals_agree_with_the_textbook(noisy):
    """Compare with the centred formula, s sqrt(1/n + (t - t')^2 / S)."""
    x, y = noisy
    law = fit("N_nv(C)", "power", x, y)
    t, at = np.log10(x), np.array([15.0, 20.0])
    S = np.sum((t - t.mean()) ** 2)
    student = stats.t.ppf(0.95, len(x) - 2)
    leverage = 1 / len(x) + (at - t.mean()) ** 2 / S
    interval = law.interval(10**at, level=0.90)
    line = law.slope * at + law.intercept
    mean = student * law.residual_sd * np.sqrt(leverage)
    new = student * law.residual_sd * np.sqrt(1 + leverage)
    assert_allclose(np.log10(interval.predicted), line, rtol=1e-12)
    assert_allclose(np.log10(interval.mean_low), line - mean, rtol=1e-9)
    assert_allclose(np.log10(interval.mean_high), line + mean, rtol=1e-9)
    assert_allclose(np.log10(interval.new_low), line - new, rtol=1e-9)
    assert_allclose(np.log10(interval.new_high), line + new, rtol=1e-9)


def test_units_of_x_move_only_the_intercept(noisy):
    x, y = noisy
    law, scaled = fit("N_nv(C)", "power", x, y), fit("N_nv(C)", "power", x * 1e3, y)
    assert scaled.slope == pytest.approx(law.slope, rel=1e-12)
    assert scaled.slope_se == pytest.approx(law.slope_se, rel=1e-12)
    assert scaled.intercept == pytest.approx(law.intercept - 3 * law.slope, rel=1e-12)
    assert_allclose(scaled.predict(1e20), law.predict(1e17), rtol=1e-10)


def test_the_order_of_points_does_not_matter(noisy):
    x, y = noisy
    law, turned = fit("D(C)", "power", x, y), fit("D(C)", "power", x[::-1], y[::-1])
    assert turned.slope == pytest.approx(law.slope, rel=1e-13)
    assert turned.residual_sd == pytest.approx(law.residual_sd, rel=1e-12)


def test_residuals_are_in_the_units_of_the_line(noisy):
    x, y = noisy
    power, log = fit("D(C)", "power", x, y), fit("L_u(C)", "log", x, np.log10(y))
    assert_allclose(power.residuals(x, y), log.residuals(x, np.log10(y)), atol=1e-12)
    assert power.residuals(x, y).sum() == pytest.approx(0, abs=1e-10)


def test_json_keeps_every_digit(noisy):
    law = fit("N_nv(C)", "power", *noisy)
    assert Law.from_dict(law.to_dict()) == law


# --- What may be wrong --------------------------------------------------------------


def test_two_points_leave_no_standard_errors():
    law = fit("D(C)", "power", [1e10, 1e14], [1e3, 1e5])
    assert law.slope == pytest.approx(0.5)
    assert math.isnan(law.slope_se)
    assert law.status == "doubtful"
    assert law.message.startswith("NO STANDARD ERRORS")
    assert law.formula() == "D = 10^(-2) · C^(0.5)"
    assert np.isnan(law.interval(1e15).new_high)
    fields = law.to_dict()
    assert fields["slope_se"] is None
    assert math.isnan(Law.from_dict(fields).slope_se)


@pytest.mark.parametrize("n", [0, 1])
def test_fewer_points_are_refused(n):
    message = rf"D\(C\) has {n} points?; a line needs at least 2.*add runs"
    with pytest.raises(ScalingError, match=message):
        fit("D(C)", "power", [1e10] * n, [1e3] * n)


def test_points_of_one_compute_are_refused():
    with pytest.raises(ScalingError, match=r"all 3 points of D\(C\) have C = 1e\+10"):
        fit("D(C)", "power", [1e10] * 3, [1.0, 2.0, 3.0])


def test_scatter_is_a_warning():
    law = fit("L_u(C)", "log", [1e10, 1e11, 1e12, 1e13], [0.0, -1.0, 0.5, -0.5])
    assert law.warnings == (
        "SLOPE NOT DISTINGUISHABLE FROM ZERO at the 95 % level",
        f"LOW R2 {law.r2:.3f}: points scatter widely about the line",
    )


def test_a_short_range_is_a_warning():
    law = fit("L_u(C)", "log", [1e10, 2e10, 4e10, 8e10], [0.0, -0.31, -0.59, -0.9])
    assert law.warnings == (
        "NARROW RANGE: C spans 0.9 decades; do not extrapolate from less than one",
    )


def test_values_that_do_not_vary_are_a_warning():
    law = fit("N_v(C)", "power", [1e10, 1e11, 1e12], [2040.0] * 3)
    assert (law.slope, law.slope_se, law.r2) == (0, 0, 0)
    assert law.warnings == ("NO VARIATION: all points have the same N_v",)


# --- Weights and fixed slopes -------------------------------------------------------


def test_weighted_least_squares_agrees_with_the_normal_equations(noisy):
    x, y = noisy
    w = np.random.default_rng(2).uniform(0.1, 9, len(x))
    law = fit("N_nv(C)", "power", x, y, weights=w)
    X, z = np.vander(np.log10(x), 2), np.log10(y)
    theta = np.linalg.solve(X.T * w @ X, X.T * w @ z)
    s2 = np.sum(w * (z - X @ theta) ** 2) / (len(x) - 2)
    covariance = s2 * np.linalg.inv(X.T * w @ X)
    assert_allclose([law.slope, law.intercept], theta, rtol=1e-9)
    assert_allclose(law.covariance, covariance, rtol=1e-7)
    errors = [law.slope_se, law.intercept_se]
    assert_allclose(errors, np.sqrt(np.diag(covariance)), rtol=1e-7)


def test_equal_weights_are_no_weights(noisy):
    x, y = noisy
    equal = fit("D(C)", "power", x, y, weights=np.full(len(x), 4.0))
    assert equal == fit("D(C)", "power", x, y)


def test_a_weight_of_two_pulls_like_two_points(noisy):
    x, y = noisy
    w = np.where(np.arange(len(x)) < 5, 2.0, 1.0)
    twice = fit("D(C)", "power", [*x, *x[:5]], [*y, *y[:5]])
    law = fit("D(C)", "power", x, y, weights=w)
    assert law.slope == pytest.approx(twice.slope, rel=1e-12)
    assert law.r2 == pytest.approx(twice.r2, rel=1e-12)


@pytest.mark.parametrize("weights", [[1, 2], [1, 2, 0], [1, 2, -1], [1, 2, math.nan]])
def test_weights_that_are_none_are_refused(weights):
    with pytest.raises(
        ScalingError, match=r"the weights of D\(C\) are .*expected 3 pos"
    ):
        fit("D(C)", "power", [1, 10, 100], [1, 2, 3], weights=weights)


def test_a_fixed_slope_leaves_the_mean(noisy):
    x, y = noisy
    law = fit("N_nv(C)", "power", x, y, slope=0.5)
    left = np.log10(y) - 0.5 * np.log10(x)
    assert (law.slope, law.slope_se) == (0.5, 0)
    assert law.intercept == pytest.approx(left.mean(), rel=1e-12)
    assert law.intercept_se == pytest.approx(stats.sem(left), rel=1e-9)
    assert law.residual_sd == pytest.approx(left.std(ddof=1), rel=1e-9)
    assert law.status == "good"
    assert law.formula().endswith("C^(0.5)")


def test_a_fixed_slope_has_the_interval_of_a_mean(noisy):
    x, y = noisy
    law = fit("N_nv(C)", "power", x, y, slope=0.5)
    left = np.log10(y) - 0.5 * np.log10(x)
    low, high = stats.t.interval(0.95, len(x) - 1, left.mean(), stats.sem(left))
    interval = law.interval([1e12, 1e20])
    assert_allclose(np.log10(interval.mean_low), [low + 6, low + 10], rtol=1e-9)
    assert_allclose(np.log10(interval.mean_high), [high + 6, high + 10], rtol=1e-9)


def test_a_fixed_slope_needs_one_point():
    law = fit("D(C)", "power", [1e10], [1e3], slope=0.5)
    assert (law.slope, law.slope_se, law.intercept) == (0.5, 0, -2)
    assert law.warnings[0] == "NO STANDARD ERRORS: a line through 1 point leaves none"
    assert Law.from_dict(law.to_dict()).slope_se == 0
    two = fit("D(C)", "power", [1e10, 1e12], [1e3, 2e4], slope=0.5)
    assert two.intercept_se > 0
    with pytest.raises(
        ScalingError, match=r"D\(C\) has 0 points; a line of fixed slope"
    ):
        fit("D(C)", "power", [], [], slope=0.5)
