"""Profiles against Student's interval and scipy, and ends that data do not give."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from scaling.analysis.catalogue import LAWS
from scaling.analysis.fitting import Fit, fit_law
from scaling.analysis.objective import Objective
from scaling.analysis.profiles import missing_ends, profile, profile_all
from scaling.errors import ScalingError

LAW = LAWS["chinchilla"]
SQUARES = Objective(name="lsq")


def runs(sizes: int = 6, data: int = 6, seed: int = 0) -> pd.DataFrame:
    N, D = np.meshgrid(np.geomspace(3e7, 3e9, sizes), np.geomspace(1e9, 1e11, data))
    loss = 1.82 + 482 / N**0.348 + 2085 / D**0.366
    loss = loss * np.exp(0.005 * np.random.default_rng(seed).standard_normal(N.shape))
    return pd.DataFrame({"N": N.ravel(), "D": D.ravel(), "L": loss.ravel()})


@pytest.fixture(scope="module")
def squares() -> Fit:
    return fit_law(runs(), LAW, objective=SQUARES)


@pytest.fixture(scope="module")
def huber() -> Fit:
    return fit_law(runs(), LAW)


def test_profile_of_a_line_is_students_interval() -> None:
    C = np.geomspace(1e15, 1e20, 9)
    loss = 5 - 0.2 * np.log10(C) + np.random.default_rng(1).normal(0, 0.01, 9)
    line = stats.linregress(np.log10(C), loss)
    objective = Objective(name="lsq", space="linear")
    fit = fit_law(pd.DataFrame({"C": C, "L": loss}), "log", objective=objective)
    found = profile(fit, "a", level=0.9)
    half = stats.t.ppf(0.95, 7) * line.stderr
    expected = line.slope - half, line.slope + half
    assert (found.low, found.high) == pytest.approx(expected, abs=2e-3 * half)


@pytest.mark.parametrize("name", ["alpha", "E"])
def test_ends_are_those_of_scipy(squares: Fit, name: str) -> None:
    table = squares.sample.table
    N, D, y = table["N"], table["D"], np.log(table["L_u"])
    names = squares.formula.compiled.names
    k = names.index(name)

    def least(value: float) -> float:
        def residuals(others: np.ndarray) -> np.ndarray:
            E, A, B, a, b = np.insert(others, k, value)
            return np.log(E + np.exp(A) / N**a + np.exp(B) / D**b) - y

        start = np.delete(squares.theta, k)
        found = optimize.least_squares(
            residuals, start, x_scale="jac", xtol=1e-14, ftol=1e-14, gtol=1e-14
        )
        return 2 * float(found.cost)

    lowest = least(squares.value(name))
    limit = lowest * (1 + stats.f.ppf(0.95, 1, 31) / 31)
    found = profile(squares, name)
    assert least(found.low) == pytest.approx(limit, abs=5e-3 * (limit - lowest))
    assert least(found.high) == pytest.approx(limit, abs=5e-3 * (limit - lowest))
    assert found.low < squares.value(name) < found.high


@pytest.mark.parametrize("fit", ["squares", "huber"])
def test_curve_agrees_with_its_ends(fit: str, request: pytest.FixtureRequest) -> None:
    fitted: Fit = request.getfixturevalue(fit)
    for name, found in profile_all(fitted, points=61).items():
        at = np.asarray(found.values)
        assert (np.diff(at) >= 0).all()
        assert found.objective.min() == pytest.approx(fitted.objective_value, rel=1e-9)
        inside = (at > found.low) & (at < found.high)
        assert (found.objective[inside] < found.threshold).all()
        beyond = (at < found.low * 0.999) | (at > found.high * 1.001)
        assert (found.objective[beyond] > found.threshold).all()
        assert name in found.sentence()


def test_units_and_order_of_rows_do_not_matter(huber: Fit) -> None:
    table = runs().sample(frac=1, random_state=4)
    table["N"], table["D"] = table["N"] / 1e6, table["D"] / 1e9
    other = profile(fit_law(table, LAW), "alpha")
    found = profile(huber, "alpha")
    width = found.high - found.low
    assert (other.low, other.high) == pytest.approx(
        (found.low, found.high), abs=2e-3 * width
    )


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10_000), level=st.floats(0.5, 0.9))
def test_a_higher_level_holds_the_lower(seed: int, level: float) -> None:
    fit = fit_law(runs(seed=seed), LAW, objective=SQUARES)
    inner, outer = (
        profile(fit, "beta", level=each, points=0) for each in (level, 0.95)
    )
    assert outer.low < inner.low < fit.value("beta") < inner.high < outer.high


def test_two_sizes_give_no_end() -> None:
    fit = fit_law(runs(sizes=2, data=12), LAW, objective=SQUARES)
    found = profile(fit, "alpha")
    assert found.low_open or found.high_open
    assert "the data give n" in found.sentence()
    quick = missing_ends(fit)["alpha"]
    assert quick.low_open or quick.high_open


def test_sound_data_miss_no_end(huber: Fit) -> None:
    assert missing_ends(huber) == {}


def test_a_floor_at_its_bound_has_an_upper_end() -> None:
    table = runs()
    table["L"] = table["L"] - 1.82
    fit = fit_law(table, LAW, objective=SQUARES, bound={"E": (0.05, 9)})
    assert fit.value("E") == 0.05
    found = profile(fit, "E")
    assert found.low_open
    assert found.low == 0.05
    assert not found.high_open
    assert 0.05 < found.high < 1


def test_what_cannot_be_profiled_is_said(squares: Fit) -> None:
    with pytest.raises(ScalingError, match="no free parameter 'gamma'"):
        profile(squares, "gamma")
    with pytest.raises(ScalingError, match=r"level is 95; expected a share"):
        profile(squares, "alpha", level=95)
    tied = fit_law(runs(), "chinchilla-tied", objective=SQUARES)
    with pytest.raises(ScalingError, match="beta is tied to alpha"):
        profile(tied, "beta")
    few = fit_law(runs().iloc[[0, 5, 14, 30, 35]], LAW, objective=SQUARES)
    with pytest.raises(ScalingError, match="leave nothing over 5 free parameters"):
        profile(few, "alpha")
