"""Minima of curves, isoFLOP profiles, and the bias of the parabola."""

import math
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from pandas.testing import assert_frame_equal
from scipy.interpolate import Akima1DInterpolator
from scipy.optimize import curve_fit

from scaling.analysis.isoflop import IsoFlop, Profile, budgets, isoflop, slices
from scaling.analysis.laws import fit
from scaling.analysis.minimum import METHODS, Minimum, minimum
from scaling.analysis.parabola import bias, third_order_shift, vertex_shift
from scaling.errors import ScalingError

DATA = Path(os.environ.get("SCALING_DATA", ""))
real = pytest.mark.skipif(
    "SCALING_DATA" not in os.environ, reason="SCALING_DATA does not name the data"
)
quick = settings(max_examples=40, deadline=None)

LN4 = math.log(4)
CHINCHILLA = {"E": 1.69, "A": 406.4, "B": 410.7, "alpha": 0.34, "beta": 0.28}


def optimum(C, law):
    """N* where a A / N^a = b B / D^b and C = 6 N D."""
    a, b = law["alpha"], law["beta"]
    ratio = a * law["A"] / (b * law["B"])
    return (ratio * (np.asarray(C) / 6) ** b) ** (1 / (a + b))


def runs(law=CHINCHILLA, *, half_width=LN4, n=9, drift=0.0, noise=0.0, seed=0):
    """Make isoFLOP runs of a law; `drift` moves the grids off centre, by decade."""
    random = np.random.default_rng(seed)
    rows = []
    for C in np.geomspace(1e18, 1e21, 7):
        off = drift * np.log10(C / 1e18)
        N = optimum(C, law) * np.exp(np.linspace(-half_width, half_width, n) + off)
        D = C / (6 * N)
        L = law["E"] + law["A"] / N ** law["alpha"] + law["B"] / D ** law["beta"]
        L = L + random.normal(0, noise, n)
        rows.append(pd.DataFrame({"C": C, "N": N, "D": D, "L_u": L}))
    return pd.concat(rows, ignore_index=True)


# --- The minimum of a curve -----------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_the_minimum_of_a_parabola_is_exact(method):
    x = np.linspace(-1, 3, 9)
    found = minimum(x, 2 * (x - 1) ** 2 - 5, method, band=0.02)
    assert_allclose([found.x, found.y], [1, -5], atol=1e-12)
    assert (found.n, found.reason) == (9, "")
    if method != "akima":
        assert found.curvature == pytest.approx(4)
        assert_allclose([found.low, found.high], [0.9, 1.1], atol=1e-12)


def test_the_minimum_of_a_cubic_is_exact():
    x = np.linspace(-1, 3, 6)
    found = minimum(x, x**3 - 3 * x, "cubic")
    assert_allclose([found.x, found.y, found.curvature], [1, -2, 6], rtol=1e-9)


def test_akima_is_lowest_where_a_fine_grid_is():
    x = np.array([0.0, 1.0, 1.7, 2.5, 3.1, 4.0])
    y = np.array([3.0, 1.2, 0.9, 1.1, 1.9, 4.0])
    fine = np.linspace(0, 4, 400_001)
    curve = Akima1DInterpolator(x, y)(fine)
    found = minimum(x, y, "akima", band=0.05)
    assert found.x == pytest.approx(fine[curve.argmin()], abs=1e-5)
    near = fine[curve <= curve.min() + 0.05]
    assert_allclose([found.low, found.high], near[[0, -1]], atol=2e-5)
    assert math.isnan(found.se)


@pytest.mark.parametrize("degree", [2, 3])
def test_the_standard_error_is_that_of_a_fit_with_the_minimum_as_parameter(degree):
    """Curve_fit estimates x* itself, where we go by the delta method."""
    random = np.random.default_rng(3)
    x = np.linspace(2, 5, 12)
    y = (x - 3.3) ** 2 + 0.1 * (x - 3.3) ** 3 + random.normal(0, 0.05, 12)

    def curve(x, best, low, half_curvature, skew=0.0):
        u = x - best
        return low + half_curvature * u**2 + skew * u**3

    start = (3.3, 0, 1) if degree == 2 else (3.3, 0, 1, 0.1)
    theirs, covariance = curve_fit(curve, x, y, p0=start, xtol=1e-14, ftol=1e-14)
    found = minimum(x, y, "parabola" if degree == 2 else "cubic")
    assert found.x == pytest.approx(theirs[0], rel=1e-6)
    assert found.se == pytest.approx(math.sqrt(covariance[0, 0]), rel=1e-4)


@pytest.mark.parametrize("method", ["parabola", "cubic"])
def test_standard_errors_cover_the_truth(method):
    """Of 400 noisy profiles about 68 % are within one standard error."""
    random = np.random.default_rng(1)
    x = np.linspace(-1, 1, 15)
    inside = 0
    for _ in range(400):
        found = minimum(x, (x - 0.1) ** 2 + random.normal(0, 0.03, 15), method)
        inside += abs(found.x - 0.1) < found.se
    assert 0.60 < inside / 400 < 0.74


@pytest.mark.parametrize(
    ("x", "y", "method", "reason"),
    [
        ([0, 1], [1, 0], "parabola", "2 distinct sizes; parabola needs 3 or more"),
        ([0, 1, 2, 2], [1, 0, 1, 2], "cubic", "3 distinct sizes; cubic needs 4"),
        ([0, 1, 2, 3], [1, 0, 1, 2], "akima", "4 distinct sizes; akima needs 5"),
        ([0, 1, 2], [0, 1, 0], "parabola", "bends down: its curvature is not posit"),
        ([0, 1, 2], [4, 1.5, 0], "parabola", "lowest at the largest size tried"),
        ([1, 2, 3], [1, 4, 9], "parabola", "at the smallest size tried: add smaller"),
        ([0, 1, 2, 3, 4], [0, 3, 2, 3, 9], "akima", "minimum but is lower still"),
        ([0, 1, 2], [1, 1, 1], "parabola", "all sizes do equally well"),
    ],
)
def test_a_minimum_that_is_not_bracketed_is_refused(x, y, method, reason):
    found = minimum(x, y, method)
    assert reason in found.reason
    assert math.isnan(found.x)
    assert math.isnan(found.low)


def test_as_many_points_as_coefficients_leave_no_standard_error():
    assert math.isnan(minimum([0, 1, 3], [1, 0, 2]).se)
    assert minimum([0, 1, 2, 3], [1, 0, 0.3, 2]).se > 0


def test_an_unknown_method_is_refused():
    with pytest.raises(ScalingError, match="no method 'parbola'; did you mean 'parab"):
        minimum([0, 1, 2], [1, 0, 1], "parbola")


curves = st.lists(
    st.tuples(st.integers(0, 12), st.integers(-20, 20)), min_size=1, max_size=15
)


@quick
@given(curves, st.sampled_from(METHODS))
def test_a_minimum_is_inside_its_band_and_its_band_inside_the_points(points, method):
    x, y = np.array(points, float).T
    found = minimum(x, y, method, band=0.5)
    assert bool(found.reason) == math.isnan(found.x)
    if not found.reason:
        assert x.min() <= found.low < found.x < found.high <= x.max()
        assert found.curvature > -1e-9


@quick
@given(curves, st.sampled_from(METHODS), st.randoms())
def test_order_and_units_of_points_do_not_matter(points, method, random):
    x, y = np.array(points, float).T
    found = minimum(x, y, method)
    x, y = np.array(random.sample(points, len(points)), float).T
    moved = minimum(x + 5, 3 * y - 7, method, band=0.03)
    assert moved.reason == found.reason
    if isinstance(found, Minimum) and not found.reason and found.curvature > 1e-6:
        assert moved.x == pytest.approx(found.x + 5, abs=1e-6)
        assert moved.low == pytest.approx(found.low + 5, abs=1e-6)


# --- Budgets --------------------------------------------------------------------------


def test_runs_of_nearly_equal_compute_share_a_budget():
    C = [1.0e18, 3.1e18, 1.05e18, 3e18, 0.98e18]
    assert budgets(C).tolist() == [1e18, 3.05e18, 1e18, 3.05e18, 1e18]


@pytest.mark.parametrize(
    "C",
    [
        [],
        [1e18, 2e18, 4e18],
        np.geomspace(1e18, 1e20, 200),  # no gap anywhere: a chain, not a budget
    ],
)
def test_compute_that_is_not_in_groups_is_refused(C):
    with pytest.raises(ScalingError, match=rf"compute of {len(C)} runs does not fall"):
        budgets(C)


def test_a_wider_tolerance_joins_budgets():
    assert len(set(budgets([1.0, 1.0, 1.3, 1.3], 0.1))) == 2
    assert len(set(budgets([1.0, 1.0, 1.3, 1.3], 0.4))) == 1


def test_training_curves_are_read_between_their_evaluations():
    t = np.log([1e10, 4e10, 16e10])
    points = pd.DataFrame(
        {"run": "a", "N": 7.0, "C": np.exp(t), "D": np.exp(t) / 42, "L_u": -t}
    )
    points = pd.concat([points, points.assign(run="b", C=points["C"] * 100)])
    found = slices(points, [2e10, 5e10, 2e12, 1e20])
    assert found["run"].tolist() == ["a", "a", "b"]
    assert_allclose(found["L_u"][:2], -np.log([2e10, 5e10]), rtol=1e-12)
    assert_allclose(found["D"][:2], np.array([2e10, 5e10]) / 42, rtol=1e-12)
    assert (found["N"] == 7).all()
    assert slices(points, [1e5]).empty


# --- IsoFLOP --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "exact"), [("parabola", 2e-2), ("cubic", 2e-3), ("akima", 2e-4)]
)
def test_a_law_is_recovered(method, exact):
    result = isoflop(runs(n=33), "N", method=method)
    true = optimum([each.C for each in result.used], CHINCHILLA)
    assert len(result.used) == 7
    assert_allclose([each.size for each in result.used], true, rtol=exact)
    assert result.laws["N(C)"].slope == pytest.approx(0.28 / 0.62, abs=1e-9)
    assert result.laws["D(C)"].slope == pytest.approx(0.34 / 0.62, abs=1e-9)
    for each in result.used:
        assert 6 * each.size * each.D == pytest.approx(each.C, rel=1e-9)


def test_a_budget_without_a_minimum_is_named_and_not_used():
    table = runs()
    first = table["C"].min()
    small = table[
        (table["C"] > first) | (table["N"] < 0.6 * optimum(first, CHINCHILLA))
    ]
    result = isoflop(small, "N")
    assert list(result.refused) == [first]
    assert "lowest at the largest size" in result.refused[first]
    assert result.laws["N(C)"].n == 6
    frame = result.to_frame()
    assert frame["N"].isna().tolist() == [True] + [False] * 6
    assert list(frame)[:4] == ["C", "N", "ln_N_se", "D"]


def test_one_budget_makes_no_law():
    result = isoflop(runs().query("C == C.min()"), "N")
    assert (len(result.used), dict(result.laws)) == (1, {})


def test_weights_are_those_of_the_standard_errors():
    table = runs(noise=0.003)
    result = isoflop(table, "N", weighted=True)
    se = np.array([each.size_se for each in result.used])
    C, N = ([getattr(each, name) for each in result.used] for name in ("C", "size"))
    assert result.laws["N(C)"] == fit("N(C)", "power", C, N, weights=se**-2.0)
    assert result.laws["N(C)"] != isoflop(table, "N").laws["N(C)"]


def test_minima_without_standard_errors_cannot_be_weighted():
    with pytest.raises(ScalingError, match="7 of 7 minima of the akima have no stand"):
        isoflop(runs(), "N", method="akima", weighted=True)


def test_the_loss_may_have_any_zero():
    table = runs()
    ours, moved = isoflop(table, "N"), isoflop(table.assign(L_u=table["L_u"] - 9), "N")
    for each, other in zip(ours.used, moved.used, strict=True):
        assert each.size == pytest.approx(other.size, rel=1e-9)
        assert (each.low, each.high) == pytest.approx((other.low, other.high), rel=1e-7)


def test_order_of_rows_and_rows_without_numbers_do_not_matter():
    table = runs(noise=0.01)
    blank = pd.DataFrame({"C": [math.nan], "N": [1e8], "D": [1e9], "L_u": [0.0]})
    mixed = pd.concat([table.sample(frac=1, random_state=0), blank])
    assert_frame_equal(isoflop(mixed, "N").to_frame(), isoflop(table, "N").to_frame())


def test_of_one_size_the_best_codebook_counts():
    table = runs().assign(V=64)
    both = pd.concat([table, table.assign(V=32, L_u=table["L_u"] + 0.1)])
    assert isoflop(both, "N").laws == isoflop(table, "N").laws


def test_tokens_are_not_needed():
    assert list(isoflop(runs().drop(columns="D"), "N").laws) == ["N(C)"]
    unknown = isoflop(runs().assign(D=math.nan), "N")
    assert (list(unknown.laws), len(unknown.used)) == (["N(C)"], 7)


def test_bad_tables_are_refused():
    table = runs()
    with pytest.raises(ScalingError, match="no column 'N_nv'; it has: C, N, D, L_u"):
        isoflop(table)
    with pytest.raises(ScalingError, match="N is -1 in 63 rows; expected positive"):
        isoflop(table.assign(N=-1), "N")


# --- The bias of the parabola ---------------------------------------------------------


@pytest.mark.parametrize(
    ("alpha", "beta", "times", "percent"),
    [
        (0.34, 0.28, 2, "-0.3"),
        (0.34, 0.28, 16, "-5.1"),
        (0.465, 0.155, 2, "-1.7"),
        (0.465, 0.155, 16, "-23.1"),
    ],
)
def test_the_errors_of_tokens_that_czech_et_al_print(alpha, beta, times, percent):
    """Errors of D* = C / (6 N*) on 15 sizes: 0.3 to 5.1 %, and 1.7 to 23 %."""
    u = np.linspace(-np.log(times), np.log(times), 15)
    error = 100 * math.expm1(-vertex_shift(alpha, beta, u))
    assert f"{error:.1f}" == percent


@quick
@given(st.floats(0.1, 1), st.floats(0.1, 1))
def test_third_order_is_the_limit_of_narrow_grids(alpha, beta):
    w = 0.05
    exact = vertex_shift(alpha, beta, np.linspace(-w, w, 2001))
    narrow = third_order_shift(alpha, beta, w)
    assert exact == pytest.approx(narrow, rel=5e-3, abs=1e-10)


@quick
@given(st.floats(0.1, 1), st.floats(0.1, 2.5))
def test_equal_exponents_and_centred_grids_have_no_bias(alpha, w):
    assert vertex_shift(alpha, alpha, np.linspace(-w, w, 9)) == pytest.approx(
        0, abs=1e-9
    )


@pytest.mark.parametrize("drift", [0.0, 0.15])
def test_the_bias_is_what_the_parabola_gets_wrong(drift):
    """Truth is known: the shifts are the errors, and so is the exponent's."""
    result = isoflop(runs(half_width=np.log(8), drift=drift), "N")
    found = bias(result, 0.34, 0.28)
    sizes = np.array([each.size for each in result.used])
    errors = np.log(sizes / optimum(found.C, CHINCHILLA))
    assert len(errors) == 7
    assert_allclose(found.shifts, errors, atol=1e-8)
    wrong = result.laws["N(C)"].slope - 0.28 / 0.62
    assert found.exponent == pytest.approx(wrong, abs=1e-8)
    assert_allclose(found.third_order, 0.006 * np.log(8) ** 2, rtol=1e-9)
    assert abs(found.off_centre[-1]) == pytest.approx(3 * drift / np.log(8), abs=1e-8)
    if drift:
        assert abs(wrong) > 0.001
    else:
        assert wrong == pytest.approx(0, abs=1e-9)


def test_the_warning_says_what_and_why():
    law = CHINCHILLA | {"alpha": 0.35, "beta": 0.41}
    centred = bias(isoflop(runs(law, half_width=np.log(16)), "N"), 0.35, 0.41)
    assert centred.warning == (
        "the parabola puts N* 5.5% low on these grids, "
        "because alpha = 0.35 and beta = 0.41 differ"
    )
    law = CHINCHILLA | {"alpha": 0.5, "beta": 0.2}
    drifting = bias(isoflop(runs(law, half_width=np.log(8), drift=0.3), "N"), 0.5, 0.2)
    assert drifting.warning == (
        "the parabola puts N* 13.1% high on these grids and the exponent 0.014 low, "
        "because alpha = 0.5 and beta = 0.2 differ and the grids are not centred on N*"
    )
    narrow = bias(isoflop(runs(half_width=np.log(1.5)), "N"), 0.34, 0.28)
    assert narrow.warning == ""


def test_a_bias_that_is_not_known_is_refused():
    with pytest.raises(ScalingError, match="the curves are cubic over N; the bias is"):
        bias(isoflop(runs(), "N", method="cubic"), 0.34, 0.28)
    with pytest.raises(ScalingError, match="the curves are parabola over V"):
        bias(isoflop(runs().rename(columns={"N": "V"}), "V"), 0.34, 0.28)
    with pytest.raises(ScalingError, match=r"alpha = -0\.1 and beta = 0\.3; expected"):
        bias(isoflop(runs(), "N"), -0.1, 0.3)
    profile = isoflop(runs(), "N").used[0]
    edge = replace(profile, size=0.99 * profile.sizes[-1])
    odd = IsoFlop(size="N", method="parabola", band=0.01, profiles=(edge,), laws={})
    with pytest.raises(ScalingError, match="no N\\* within twice the sizes tried"):
        bias(odd, 3.0, 0.01)
    nothing = IsoFlop(size="N", method="parabola", band=0.01, profiles=(), laws={})
    with pytest.raises(ScalingError, match="no budget has a minimum"):
        bias(nothing, 0.3, 0.3)


# --- Porian et al. and other real data ------------------------------------------------


def porian(name: str, row: int) -> pd.DataFrame:
    table = pd.read_csv(DATA / "porian" / f"{name}.csv")
    return table[(table["file"] == "summary_df") & (table["row"] == row)]


@real
@pytest.mark.parametrize(
    ("row", "exponent"),
    list(enumerate(["0.8353", "0.7065", "0.6020", "0.5715", "0.4969"])),
)
def test_the_five_corrections_of_porian_et_al(row, exponent):
    """Their weighted exponents, to rounding: rows 0 to 4 are the corrections."""
    optima = porian("optimal_pairs", row).dropna(subset="n")
    weights = optima["n_star_std"] ** -2.0
    law = fit("N(C)", "power", optima["flops"], optima["n"], weights=weights)
    published = porian("published_fits", row).set_index("method").loc["weighted"]
    assert f"{law.slope:.4f}" == exponent
    assert law.slope == pytest.approx(published["n_exponent"], rel=1e-12)
    assert 10**law.intercept == pytest.approx(published["n_coef"], rel=1e-9)


@real
@pytest.mark.parametrize("row", range(5))
def test_akimas_minima_are_those_of_porian_et_al(row):
    """Theirs are medians of 1000 noisy curves on a grid; the standard deviation says
    how far those scatter. They interpolate ln loss, as done here."""
    points = porian("isoflop_points", row)
    table = points.rename(columns={"flops": "C", "n": "N"})
    result = isoflop(table.assign(L_u=np.log(table["loss"])), "N", method="akima")
    theirs = porian("optimal_pairs", row).set_index("flops")
    refused = theirs.index[theirs["n"].isna()]
    assert list(result.refused) == refused.tolist()
    for each in result.used:
        off = abs(math.log(each.size / theirs["n"][each.C]))
        assert off < 0.3 * theirs["n_star_std"][each.C]
        assert off < 0.05


@real
@pytest.mark.parametrize("method", METHODS)
def test_every_public_study_has_profiles_or_reasons(method):
    path = DATA / "open_athena_isoflops" / "isoflops.csv"
    names = {"budget": "C", "params": "N", "tokens": "D", "loss": "L_u"}
    studies = pd.read_csv(path).rename(columns=names).groupby("experiment")
    assert len(studies) == 8
    for _, study in studies:
        result = isoflop(study, "N", method=method)
        assert len(result.profiles) == study["C"].nunique()
        assert 0.3 < result.laws["N(C)"].slope < 0.6
        assert all(isinstance(each, Profile) for each in result.used)
        for each in result.used:
            assert each.low < each.size < each.high
