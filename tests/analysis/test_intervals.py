from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from scaling.analysis.bootstrap import bootstrap
from scaling.analysis.fitting import Fit, fit_law
from scaling.analysis.intervals import Method, uncertainty
from scaling.analysis.objective import Objective
from scaling.analysis.sandwich import sandwich
from scaling.analysis.scatter import scatter_of
from scaling.errors import ScalingError

Array = NDArray[np.float64]

DATA = os.environ.get("SCALING_DATA", "")
SQUARES = Objective(name="lsq")
ON_LOSS = Objective(name="lsq", space="linear")
METHODS: tuple[Method, ...] = ("wald", "pairs", "residual", "wild")
SCRIPT = Path(__file__).parents[2] / "benchmarks" / "coverage.py"


def isoflop(seed: int = 0, rows_per_run: int = 1, sigma: float = 0.005) -> pd.DataFrame:
    """Twenty runs of Chinchilla's law, with noise."""
    rng = np.random.default_rng(seed)
    C = np.repeat(np.geomspace(6e18, 3e21, 4), 5)
    N = np.sqrt(C / 120) * np.tile(np.geomspace(0.25, 4, 5), 4)
    run = np.repeat(np.arange(20), rows_per_run)
    share = np.tile(np.linspace(1 / rows_per_run, 1, rows_per_run), 20)
    C, N = C[run] * share, N[run]
    D = C / 6 / N
    shared = rng.normal(0, sigma, 20)[run] if rows_per_run > 1 else 0
    noise = shared + rng.normal(0, sigma, len(run))
    L = (1.82 + 482 / N**0.348 + 2085 / D**0.366) * np.exp(noise)
    return pd.DataFrame({"run": [f"r{k}" for k in run], "N": N, "D": D, "C": C, "L": L})


def line(seed: int = 3) -> pd.DataFrame:
    """Six runs of one to four rows each, on a straight line in log compute."""
    rng = np.random.default_rng(seed)
    rows = np.repeat(np.arange(6), [1, 2, 3, 4, 2, 3])
    C = 10 ** rng.uniform(15, 21, len(rows))
    noise = rng.normal(0, 0.1, 6)[rows] + rng.normal(0, 0.05, len(rows))
    L = 9 - 0.3 * np.log10(C) + noise
    return pd.DataFrame({"run": [f"r{k}" for k in rows], "C": C, "L": L})


def fitted(table: pd.DataFrame, objective: Objective = SQUARES, **options: Any) -> Fit:
    return fit_law(table, "chinchilla", objective=objective, **options)


def ln_n_star(theta: Array) -> Array:
    _, ln_a, ln_b, alpha, beta = theta.T
    ratio = np.log(alpha) + ln_a - np.log(beta) - ln_b
    return np.asarray((ratio + beta * np.log(1e22 / 6)) / (alpha + beta))[:, None]


# --- Agreement with the formulas as printed -----------------------------------------


def by_hand(table: pd.DataFrame, contrast: Array) -> tuple[float, float]:
    """Bell and McCaffrey's error and degrees, with whole matrices."""
    X = np.column_stack([np.log10(table["C"]), np.ones(len(table))])
    bread = np.linalg.inv(X.T @ X)
    P = X @ bread @ X.T
    r = table["L"].to_numpy() - P @ table["L"].to_numpy()
    columns, error = [], 0.0
    for run in table["run"].unique():
        rows = np.flatnonzero(table["run"] == run)
        values, vectors = np.linalg.eigh(np.eye(len(rows)) - P[np.ix_(rows, rows)])
        A = vectors @ np.diag(values**-0.5) @ vectors.T
        b = A @ X[rows] @ bread @ contrast
        error += (b @ r[rows]) ** 2
        columns.append((np.eye(len(table)) - P)[:, rows] @ b)
    B = np.array(columns).T
    eigen = np.linalg.eigvalsh(B.T @ B)
    return np.sqrt(error), eigen.sum() ** 2 / (eigen**2).sum()


@pytest.mark.parametrize("contrast", [(1.0, 0.0), (0.0, 1.0), (22.0, 1.0)])
def test_errors_and_degrees_are_bell_and_mccaffreys(
    contrast: tuple[float, float],
) -> None:
    table = line()
    fit = fit_law(table, "log", objective=ON_LOSS, rows="all")
    found = sandwich(fit, fit.sample.runs)
    direction = np.array(contrast)
    error, degrees = by_hand(table, direction)
    slope = (direction @ found.axes)[:, None]
    assert found.error(slope)[0] == pytest.approx(error, rel=1e-7)
    assert found.degrees(slope)[0] == pytest.approx(degrees, rel=1e-9)
    assert direction @ found.covariance @ direction == pytest.approx(error**2, rel=1e-7)

    interval = uncertainty(fit).interval(lambda theta: theta @ direction[:, None], 0.9)
    half = stats.t.ppf(0.95, degrees) * error
    assert (interval.high - interval.low)[0] == pytest.approx(2 * half, rel=1e-6)


def test_a_row_a_run_is_white_with_leverage() -> None:
    table = line().assign(run=lambda t: [f"r{k}" for k in range(len(t))])
    fit = fit_law(table, "log", objective=ON_LOSS, rows="all")
    X = np.column_stack([np.log10(table["C"]), np.ones(len(table))])
    bread = np.linalg.inv(X.T @ X)
    left = 1 - np.einsum("ij,jk,ik->i", X, bread, X)
    hc2 = bread @ (X.T * (fit.residuals**2 / left)) @ X @ bread
    np.testing.assert_allclose(uncertainty(fit).covariance, hc2, rtol=1e-9)


def test_slopes_by_differences_are_exact_ones() -> None:
    found = uncertainty(fitted(isoflop()))
    theta = found.fit.theta
    names = found.fit.formula.compiled.names
    d = theta[names.index("alpha")] + theta[names.index("beta")]
    gradient = np.zeros(5)
    gradient[names.index("alpha")] = -theta[names.index("beta")] / d**2
    gradient[names.index("beta")] = theta[names.index("alpha")] / d**2
    assert found.sandwich is not None
    slope = (gradient @ found.sandwich.axes)[:, None]
    half = stats.t.ppf(0.975, found.sandwich.degrees(slope)) * found.sandwich.error(
        slope
    )
    interval = found.interval(lambda t: (t[:, 4] / (t[:, 3] + t[:, 4]))[:, None])
    assert (interval.high - interval.low)[0] == pytest.approx(2 * half[0], rel=1e-4)


def test_huber_beyond_all_residuals_is_least_squares() -> None:
    table = isoflop()
    wide = uncertainty(fitted(table, Objective(delta=1.0)))
    squares = uncertainty(fitted(table))
    np.testing.assert_allclose(wide.covariance, squares.covariance, rtol=1e-6)


def test_an_outlier_hardly_widens_a_robust_fit() -> None:
    table = isoflop(1)
    spoilt = table.assign(L=table["L"] * np.where(np.arange(20) == 7, 1.2, 1))
    change = {
        objective.name: uncertainty(fitted(spoilt, objective)).standard_error("alpha")
        / uncertainty(fitted(table, objective)).standard_error("alpha")
        for objective in (SQUARES, Objective())
    }
    assert change["huber"] < 2 < 5 < change["lsq"]


# --- Invariances --------------------------------------------------------------------


@pytest.mark.parametrize("objective", [SQUARES, Objective()])
def test_units_and_order_do_not_matter(objective: Objective) -> None:
    table = isoflop(2)
    other = table.sample(frac=1, random_state=1).assign(N=lambda t: t["N"] / 1e6)
    a, b = (uncertainty(fitted(t, objective)) for t in (table, other))
    for name in ("E", "B", "alpha", "beta"):
        assert a.parameters()[name] == pytest.approx(b.parameters()[name], rel=1e-4)


def test_repeating_rows_within_runs_adds_nothing() -> None:
    table = isoflop(4)
    once, thrice = fitted(table), fitted(pd.concat([table] * 3))
    a, b = uncertainty(once), uncertainty(thrice)
    np.testing.assert_allclose(a.covariance, b.covariance, rtol=1e-5)
    ends = [each.new_run(lambda theta: theta[:, :1]) for each in (a, b)]
    np.testing.assert_allclose(ends[0].low, ends[1].low, rtol=1e-5)
    pairs = [bootstrap(fit, 20, seed=1) for fit in (once, thrice)]
    np.testing.assert_allclose(pairs[0][:, 3:], pairs[1][:, 3:], rtol=1e-4)


@settings(max_examples=20, deadline=None)
@given(st.floats(0.05, 0.9), st.sampled_from(METHODS))
def test_a_higher_level_is_wider(level: float, method: Method) -> None:
    found = uncertainty(FIT, method, draws=200)
    narrow, wide = found.interval(ln_n_star, level), found.interval(ln_n_star, 0.95)
    assert wide.low[0] <= narrow.low[0] <= narrow.high[0] <= wide.high[0]


@pytest.mark.parametrize("method", METHODS)
def test_a_new_run_scatters_more(method: Method) -> None:
    found = uncertainty(FIT, method, draws=200)
    law = FIT.formula.compiled

    def log_loss(theta: Array) -> Array:
        return np.log(law.value(theta, FIT.problem.x))

    interval, new = found.interval(log_loss), found.new_run(log_loss)
    assert (new.high - new.low > interval.high - interval.low).all()


FIT = fitted(isoflop(5))


# --- What is held, and what cannot be known -----------------------------------------


def test_held_parameters_have_no_interval() -> None:
    table = isoflop()
    found = uncertainty(fitted(table, fix={"E": 1.82}, tie={"beta": "alpha"}))
    assert set(found.parameters()) == {"A", "B", "alpha"}
    assert found.standard_error("E") == 0
    assert found.standard_error("beta") == found.standard_error("alpha") > 0
    held = [found.fit.formula.compiled.names.index(name) for name in ("E", "beta")]
    assert not found.covariance[held].any()
    low, high = found.parameters()["A"]
    assert 0 < low < found.fit.value("A") < high


def test_a_parameter_at_a_bound_is_held_there() -> None:
    found = uncertainty(fitted(isoflop(), bound={"E": (1.9, 3.0)}))
    assert found.fit.certificate.at_bounds == ("E",)
    assert "E" not in found.parameters()
    assert found.standard_error("alpha") > 0


def test_ends_respect_bounds() -> None:
    found = uncertainty(fitted(isoflop(sigma=0.1)), "wald")
    assert found.parameters(0.999)["E"].low == 0


def test_no_rows_left_over_is_said_and_infinite() -> None:
    table = isoflop().iloc[[0, 4, 7, 12, 19]]
    found = uncertainty(fitted(table))
    assert found.reason.startswith("NO ROWS LEFT OVER: 5 rows")
    low, high = found.parameters()["alpha"]
    assert (low, high) == (-5, 5)  # the bounds
    assert found.standard_error("alpha") == np.inf
    assert not np.isfinite(found.interval(ln_n_star).high[0])


def test_a_flat_direction_is_infinite() -> None:
    table = isoflop().assign(D=lambda t: 20 * t["N"])
    found = uncertainty(fitted(table, fix={"alpha": 0.3, "beta": 0.3}))
    ends = found.parameters()["A"]
    assert ends.low == 0 or ends.high / ends.low > 1e6


def test_a_run_that_alone_decides_takes_the_scatter_of_the_others() -> None:
    """One run beyond a step: nothing but the others says how far off it may be."""
    table = line().assign(run=lambda t: [f"r{k}" for k in range(len(t))])
    table["C"] = np.where(np.arange(len(table)) == 0, 1e21, 1e16)
    fit = fit_law(table, "log", objective=ON_LOSS, rows="all")
    rest = table["L"].to_numpy()[1:]
    s2 = rest.var(ddof=1)
    expected = np.sqrt(s2 * (1 + 1 / len(rest))) / 5
    assert uncertainty(fit).standard_error("a") == pytest.approx(expected, rel=1e-6)


def test_reasons_name_the_design() -> None:
    assert "that of 20 runs" in uncertainty(fitted(isoflop())).reason
    many = uncertainty(fitted(isoflop(rows_per_run=5)))
    assert "100 rows belong to 20 runs" in many.reason
    assert many.degrees == 15
    one = uncertainty(fitted(isoflop().assign(run="only")))
    assert "ONE RUN" in one.reason
    assert one.degrees == 15
    few = uncertainty(fitted(isoflop().iloc[::3]))
    assert "FEW RUNS: 7" in few.reason
    drawn = uncertainty(fitted(isoflop()), "pairs", draws=30)
    assert "30 refits" in drawn.reason


# --- A new run ----------------------------------------------------------------------


def test_scatter_follows_noise_that_falls() -> None:
    rng = np.random.default_rng(0)
    C = np.geomspace(1e15, 1e21, 300)
    sd = 0.02 * (C / 1e15) ** -0.2
    table = pd.DataFrame({"C": C, "L": 2 + 400 / C**0.15})
    table["L"] *= np.exp(rng.normal(0, sd))
    fit = fit_law(table, "power-floor", objective=SQUARES, rows="all")
    found = scatter_of(fit).at(np.log(fit.predict({"C": C})))
    assert found[0] / found[-1] > 4
    assert found[0] == pytest.approx(sd[0], rel=0.4)


def test_scatter_is_the_residual_sd_unless_a_trend_is_borne_out() -> None:
    found = {seed: scatter_of(fitted(isoflop(seed))) for seed in range(12)}
    even = [seed for seed, each in found.items() if each.trend == 0]
    assert 4 <= len(even) < 12  # a trend by chance exceeds its error for a third
    for seed in even:
        assert found[seed].sd == pytest.approx(fitted(isoflop(seed)).residual_sd)


# --- Bootstraps ---------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["pairs", "residual", "wild"])
def test_bootstraps_agree_with_student_where_rows_are_many(kind: Method) -> None:
    rng = np.random.default_rng(8)
    C = np.geomspace(1e15, 1e21, 200)
    L = (2 + 400 / C**0.15) * np.exp(rng.normal(0, 0.005, 200))
    table = pd.DataFrame({"C": C, "L": L})
    fit = fit_law(table, "power-floor", objective=SQUARES, rows="all")
    expected = uncertainty(fit).standard_error("alpha")
    found = uncertainty(fit, kind, draws=1000).standard_error("alpha")
    assert found == pytest.approx(expected, rel=0.15)


@pytest.mark.parametrize("kind", ["pairs", "residual", "wild"])
def test_the_seed_decides(kind: Any) -> None:
    first, again, other = (bootstrap(FIT, 10, kind, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)


def test_a_draw_without_a_value_widens() -> None:
    found = uncertainty(FIT, "pairs", draws=100)

    def sometimes(theta: Array) -> Array:
        return np.where(np.arange(len(theta)) < 5, np.nan, theta[:, 3])[:, None]

    interval = found.interval(sometimes)
    assert interval.low[0] == -np.inf
    assert interval.high[0] == np.inf


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: uncertainty(FIT, "walt"), "no interval method 'walt'; did you mean"),  # type: ignore[arg-type]
        (lambda: bootstrap(FIT, 10, "pair"), "no bootstrap 'pair'; did you mean"),  # type: ignore[arg-type]
        (lambda: bootstrap(FIT, 0), "draws is 0; expected 1 or more"),
        (lambda: uncertainty(FIT).interval(ln_n_star, 95), "level is 95; expected a"),
        (lambda: uncertainty(FIT).standard_error("gamma"), "no parameter 'gamma'"),
        (
            lambda: bootstrap(fitted(isoflop().assign(run="only"))),
            "rests on 1; expected at least 2: add runs, or use the wald method",
        ),
    ],
)
def test_mistakes_are_said(call: Any, text: str) -> None:
    with pytest.raises(ScalingError, match=text):
        call()


# --- Coverage and published numbers -------------------------------------------------


@pytest.fixture(scope="module")
def coverage() -> Any:
    spec = importlib.util.spec_from_file_location("coverage_script", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("scenario", ["normal", "unequal", "checkpoints"])
def test_intervals_hold_what_they_promise(coverage: Any, scenario: str) -> None:
    held = coverage.covered(scenario, 12, SQUARES, 300, coverage.WAYS[0])
    # 3.5 standard errors of a share of 300 below 95 %.
    assert (held > 0.905).all()


def test_the_script_runs(coverage: Any) -> None:
    found = CliRunner().invoke(coverage.main, ["--quick"])
    assert found.exit_code == 0, found.output
    assert "| Huber 1e-3 | normal | 12 | default |" in found.output


@pytest.mark.skipif(not DATA, reason="SCALING_DATA does not name the public tables")
def test_published_chinchilla_intervals() -> None:
    """Besiroglu et al. 2024: 4000 resamples of 240 rows."""
    read = pd.read_csv(Path(DATA) / "epoch_chinchilla" / "svg_extracted_data.csv")
    N, C = read["Model Size"], read["Training FLOP"]
    table = pd.DataFrame({"N": N, "D": C / 6 / N, "L": read["loss"]})
    fit = fit_law(table.sort_values("L").iloc[:-5], "chinchilla")
    ends = uncertainty(fit, "pairs", draws=4000).parameters()
    published = {
        "A": (285.2, 743.6),
        "B": (1042, 5810),
        "E": (1.769, 1.871),
        "alpha": (0.317, 0.373),
        "beta": (0.331, 0.415),
    }
    law, again = fit.formula.compiled, bootstrap(fit, 4000, seed=1)
    for name, expected in published.items():
        error = monte_carlo(law.plain(again)[:, law.names.index(name)])
        # Both ends come from 4000 draws, and the published ones are rounded.
        assert ends[name] == pytest.approx(expected, abs=4 * error, rel=5e-4)


def monte_carlo(draws: Array) -> float:
    """Standard deviation of the difference between ends from two sets of draws."""
    again = np.random.default_rng(0).choice(draws, (200, len(draws)))
    ends = np.quantile(again, [0.025, 0.975], axis=1)
    return float(np.sqrt(2) * ends.std(axis=1).max())
