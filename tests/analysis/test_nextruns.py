"""Plans of further runs: what they choose, what that is worth, and what they refuse."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling.analysis import card
from scaling.analysis.fitting import Fit, fit_law
from scaling.analysis.laws_file import load_laws
from scaling.analysis.nextruns import (
    RunPlan,
    best_runs,
    plan_runs,
    quantity,
    write_grid,
)
from scaling.analysis.nextruns_design import (
    Question,
    choose,
    gradient,
    question,
    slopes,
)
from scaling.analysis.nextruns_region import region
from scaling.analysis.objective import Objective
from scaling.errors import ScalingError
from scaling.runs.grid import load_grid
from scaling.runs.plan import expand

BUDGET, TARGET = 1e18, 1e20
SQUARES = Objective(name="lsq")


def rows(
    ratios: tuple[float, ...] = (5, 20, 80), sizes: int = 8, noise: float = 0.003
) -> pd.DataFrame:
    """Train 1e6 to 3e7 parameters by Chinchilla's law, at most 4e17 FLOPs each."""
    rng = np.random.default_rng(0)
    pairs = [(N, N * r) for N in np.geomspace(1e6, 3e7, sizes) for r in ratios]
    table = pd.DataFrame(pairs, columns=["N", "D"])
    loss = 1.8 + 480 / table["N"] ** 0.35 + 2100 / table["D"] ** 0.37
    noisy = loss * np.exp(rng.normal(0, noise, len(table)))
    return table.assign(C=6 * table["N"] * table["D"], L=noisy)


def codebook_rows() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    axes = itertools.product(np.geomspace(1e5, 1e7, 5), (64, 256, 1024), (5, 20, 80))
    table = pd.DataFrame(axes, columns=["N_nv", "V", "ratio"])
    N, V, D = table["N_nv"], table["V"], table["ratio"] * table["N_nv"]
    N_v = V * np.sqrt(N / 50)
    loss = -6 + 20 / N**0.2 + 9 / N_v**0.3 + 300 / D**0.3
    noisy = loss + rng.normal(0, 0.005, len(table))
    return table.assign(N_v=N_v, D=D, C=6 * (N + N_v) * D, L_u=noisy)


@pytest.fixture(scope="module")
def varied() -> Fit:
    return fit_law(rows(), "chinchilla", objective=SQUARES)


@pytest.fixture(scope="module")
def collinear() -> Fit:
    """Fit rows of 20 tokens per parameter, which hardly tell size from data.

    Where in its flat valley such a fit ends is chance, so it is put near the truth.
    """
    bound = {"alpha": (0.2, 0.6), "beta": (0.2, 0.6)}
    near = {"A": 480.0, "alpha": 0.35}
    held = fit_law(
        rows((20,), 24), "chinchilla", objective=SQUARES, bound=bound, fix=near
    )
    return replace(held, formula=replace(held.formula, fixed={}))


@pytest.fixture(scope="module")
def plan(varied: Fit) -> RunPlan:
    return plan_runs(varied, BUDGET, TARGET, shrink="size", simulations=500)


def asked_of(fit: Fit, most: float = BUDGET / 2) -> Question:
    where = region(fit)
    number = quantity(where, TARGET, "loss")
    return question(fit, where.candidates(most), gradient(fit, number))


def slope(fit: Fit) -> np.ndarray:
    """Slope of the loss at the target's optimum, by differences of another size."""
    number = quantity(region(fit), TARGET, "loss")
    steps = 1e-4 * np.eye(len(fit.theta))
    return (number(fit.theta + steps) - number(fit.theta - steps)) / 2e-4


def least_squares_covariance(fit: Fit) -> np.ndarray:
    _, jacobian, _ = fit.formula.compiled.derivatives(fit.theta[None], fit.problem.x)
    J = jacobian[0] / fit.predict(fit.sample.table)
    return fit.residual_sd**2 * np.linalg.inv(J @ J.T)


# --- What is chosen -------------------------------------------------------------------


def test_the_variance_is_that_of_a_least_squares_fit(varied: Fit) -> None:
    asked, g = asked_of(varied), slope(varied)
    covariance = least_squares_covariance(varied)
    error = math.sqrt(asked.variance([])) * varied.residual_sd
    assert error == pytest.approx(math.sqrt(g @ covariance @ g), rel=1e-3)


def test_one_more_run_changes_the_variance_as_its_inverse_information(
    varied: Fit,
) -> None:
    # Independent of the formula in `with_one_more`: invert the sum of information.
    asked = asked_of(varied)
    information = asked.root.T @ asked.root
    found = asked.with_one_more([3])
    for k in (0, 50, 100, len(found) - 1):
        J = asked.slopes[[3, k]]
        inverse = np.linalg.inv(information + J.T @ J)
        expected = asked.gradient @ inverse @ asked.gradient
        assert found[k] == pytest.approx(expected, rel=1e-4)
        assert found[k] == pytest.approx(asked.variance([3, k]), rel=1e-6)


@settings(max_examples=20, deadline=None)
@given(st.sets(st.integers(0, 99), max_size=6))
def test_no_run_takes_information_away(varied: Fit, chosen: set[int]) -> None:
    asked = asked_of(varied)
    before = asked.variance(sorted(chosen))
    assert (asked.with_one_more(sorted(chosen)) <= before * (1 + 1e-9)).all()


def test_the_choice_is_near_the_best_of_all_pairs(varied: Fit) -> None:
    budget = 1e16
    asked = asked_of(varied, most=budget)
    pairs = itertools.combinations(range(len(asked.cost)), 2)
    paid = [list(pair) for pair in pairs if asked.cost[list(pair)].sum() <= budget]
    found = choose(asked, budget, 2)
    assert len(found) <= 2
    assert asked.variance(found) <= 1.02 * min(map(asked.variance, paid))


@pytest.mark.parametrize("budget", [1e15, 1e17, 1e18])
def test_the_cost_stays_within_the_budget(varied: Fit, budget: float) -> None:
    where = region(varied)
    candidates, number = where.candidates(budget / 2), quantity(where, TARGET, "size")
    chosen = best_runs(varied, candidates, number, budget, 5)
    assert 1 <= len(chosen) <= 5
    assert chosen["C"].sum() <= budget * (1 + 1e-9)
    assert chosen["C"].max() <= budget / 2 * (1 + 1e-9)
    assert chosen["C"].is_monotonic_increasing
    assert (chosen["gain"] > 0).all()
    assert not chosen.duplicated(["N", "D"]).any()


def test_candidates_lie_where_the_text_says(varied: Fit) -> None:
    found = region(varied).candidates(BUDGET / 2)
    N, D, C = found["N"], found["D"], found["C"]
    assert C.to_numpy() == pytest.approx(6 * N * D)
    assert N.min() == pytest.approx(1e6 / math.sqrt(2))
    assert (D / N).min() == pytest.approx(5 / 4)
    assert (D / N).max() == pytest.approx(80 * 4)
    assert C.min() == pytest.approx(6 * 1e6 * 5e6)
    assert BUDGET / 2 / math.sqrt(2) < C.max() <= BUDGET / 2 * (1 + 1e-9)


@pytest.mark.parametrize("count", [1, 2, 7])
def test_grids_cost_what_they_should(varied: Fit, count: int) -> None:
    where = region(varied)
    uniform, isoflop = where.uniform(count, BUDGET), where.isoflop(count, BUDGET)
    for grid in (uniform, isoflop):
        assert len(grid) == count
        assert grid["C"].sum() == pytest.approx(BUDGET, rel=1e-9)
        assert grid["C"].to_numpy() == pytest.approx(6 * grid["N"] * grid["D"])
    assert (uniform["D"] / uniform["N"]).to_numpy() == pytest.approx(20)
    assert np.diff(np.log(uniform["C"]), 2) == pytest.approx(0, abs=1e-6)
    assert np.ptp(isoflop["C"]) < 1e-9 * BUDGET
    if count > 1:
        assert uniform["C"][0] == pytest.approx(where.least)
        ratio = (isoflop["D"] / isoflop["N"]).to_numpy()
        assert ratio[[0, -1]] == pytest.approx([5, 80])


# --- What it is worth -----------------------------------------------------------------


def test_a_plan_beats_uniform_grids_for_the_best_size(plan: RunPlan) -> None:
    now, expected, *grids = plan.scores
    assert expected.width < now.width
    for grid in grids:
        assert grid.compute == pytest.approx(plan.compute)
        assert grid.runs == len(plan.runs)
        assert grid.ratio + 4 * grid.error < 1
    assert not any("BETTER" in warning for warning in plan.warnings)


def test_new_ratios_are_asked_for_where_the_rows_have_one(collinear: Fit) -> None:
    plan = plan_runs(collinear, BUDGET, TARGET, shrink="size", simulations=400)
    ratio = plan.runs["D"] / plan.runs["N"]
    assert ratio.max() / ratio.min() > 4
    *_, uniform, isoflop = plan.scores
    assert not uniform.ratio > 0.5
    assert isoflop.ratio + 4 * isoflop.error < 1


def test_flat_directions_are_undetermined_not_certain() -> None:
    # With alpha = beta and D = 20 N nothing tells A from B: refits that start at the
    # fit would stay there and promise an interval of no width.
    fit = fit_law(
        rows((20,), 24),
        "chinchilla",
        objective=SQUARES,
        fix={"E": 1.8, "alpha": 0.35, "beta": 0.35},
    )
    plan = plan_runs(fit, BUDGET, TARGET, simulations=200)
    now, expected, uniform, _ = plan.scores
    assert math.isinf(now.width)
    assert math.isinf(uniform.width)
    assert math.isfinite(expected.width)
    assert "undetermined" in repr(plan)
    scores = plan.to_dict()["scores"]
    assert scores[0]["width"] is None
    json.dumps(plan.to_dict(), allow_nan=False)


def test_the_simulated_width_is_that_of_the_linear_law(varied: Fit) -> None:
    found = plan_runs(varied, BUDGET, TARGET, runs=3, simulations=4000)
    g, covariance = slope(varied), least_squares_covariance(varied)
    J = slopes(varied, varied.log_inputs(found.runs)) / varied.residual_sd
    after = np.linalg.inv(np.linalg.inv(covariance) + J.T @ J)
    for score, of_theta in zip(found.scores, (covariance, after), strict=False):
        width = 2 * 1.96 * math.sqrt(g @ of_theta @ g)
        assert score.width == pytest.approx(width, rel=0.07)


def test_rows_of_one_run_err_together(varied: Fit) -> None:
    # Each row ten times over, as one run: nothing more is known, so nothing changes.
    many = pd.concat([rows().assign(run=range(24))] * 10, ignore_index=True)
    repeated = fit_law(many, "chinchilla", objective=SQUARES)
    one = plan_runs(varied, BUDGET, TARGET, runs=3, simulations=500)
    ten = plan_runs(repeated, BUDGET, TARGET, runs=3, simulations=500)
    pd.testing.assert_frame_equal(one.runs, ten.runs, rtol=1e-4)
    assert ten.scores[0].width == pytest.approx(one.scores[0].width, rel=0.15)


def test_a_seed_gives_the_same_plan_again(plan: RunPlan, varied: Fit) -> None:
    how: dict[str, Any] = {"shrink": "size", "simulations": 500}
    assert plan_runs(varied, BUDGET, TARGET, **how).to_dict() == plan.to_dict()
    other = plan_runs(varied, BUDGET, TARGET, **how, seed=1)
    assert other.runs.equals(plan.runs)
    assert other.scores != plan.scores


def test_units_do_not_matter(varied: Fit) -> None:
    # Compute in units of 1e9 FLOPs, tokens in millions, parameters in thousands.
    table = rows().assign(
        N=lambda t: t["N"] / 1e3, D=lambda t: t["D"] / 1e6, C=lambda t: t["C"] / 1e9
    )
    scaled = fit_law(table, "chinchilla", objective=SQUARES)
    one = plan_runs(varied, BUDGET, TARGET, runs=4, simulations=500)
    other = plan_runs(scaled, BUDGET / 1e9, TARGET / 1e9, runs=4, simulations=500)
    frame = other.runs
    frame = frame.assign(N=frame["N"] * 1e3, D=frame["D"] * 1e6, C=frame["C"] * 1e9)
    pd.testing.assert_frame_equal(one.runs, frame, rtol=1e-3)
    assert other.scores[1].width == pytest.approx(one.scores[1].width, rel=0.02)


# --- Other laws -----------------------------------------------------------------------


def test_a_law_of_compute_plans_compute() -> None:
    rng = np.random.default_rng(1)
    C = np.geomspace(1e15, 1e18, 12)
    loss = (1.7 + 60 * C**-0.1) * np.exp(rng.normal(0, 0.002, 12))
    fit = fit_law(pd.DataFrame({"C": C, "L": loss}), "power-floor", objective=SQUARES)
    plan = plan_runs(fit, 2e19, 1e22, simulations=400)
    assert list(plan.runs.columns) == ["C", "loss", "gain"]
    assert plan.compute <= 2e19
    now, expected, uniform = plan.scores
    assert (expected.ratio, uniform.design) == (1, "uniform grid")
    assert now.ratio < 0.6
    with pytest.raises(ScalingError, match="has no best size; expected --shrink loss"):
        plan_runs(fit, 2e19, 1e22, shrink="size")


def test_a_codebook_law_plans_codebooks_of_the_rows() -> None:
    fit = fit_law(codebook_rows(), "codebook")
    plan = plan_runs(fit, 1e16, 1e18, shrink="size", simulations=200)
    table = plan.runs
    assert list(table.columns)[:5] == ["N_nv", "V", "N_v", "D", "C"]
    assert set(table["V"]) <= {64, 256, 1024}
    assert table["N_v"].to_numpy() == pytest.approx(
        table["V"] * np.sqrt(table["N_nv"] / 50)
    )
    assert table["C"].to_numpy() == pytest.approx(
        6 * (table["N_nv"] + table["N_v"]) * table["D"]
    )
    assert plan.number == "ln N_nv*"
    assert plan.scores[0].ratio + 2 * plan.scores[0].error < 1


def test_unique_data_are_given_and_never_more_than_all_data() -> None:
    rng = np.random.default_rng(0)
    axes = itertools.product(
        np.geomspace(1e6, 3e7, 5), (2e7, 1e8, 5e8, 2e9), (2e7, 1e8, 1e9)
    )
    table = pd.DataFrame(axes, columns=["N", "D", "U"])
    U = np.minimum(table["U"], table["D"])
    data = U + 10 * U * (1 - np.exp((1 - table["D"] / U) / 10))
    loss = 1.8 + 480 / table["N"] ** 0.35 + 2100 / data**0.37
    noisy = loss * np.exp(rng.normal(0, 0.003, len(table)))
    fit = fit_law(table.assign(C=6 * table["N"] * table["D"], L=noisy), "repetition")
    with pytest.raises(ScalingError, match="also needs U; give it with --at U=VALUE"):
        plan_runs(fit, 1e17, 1e20)
    found = plan_runs(fit, 1e17, 1e20, given={"U": 1e9}, simulations=200).runs
    assert (found["U"] == np.minimum(found["D"], 1e9)).all()


# --- Words ----------------------------------------------------------------------------


def test_the_text_holds_runs_scores_and_candidates(plan: RunPlan) -> None:
    text = repr(plan)
    assert text.startswith("ln N* at 1e+20 FLOPs is ")
    for piece in ("this plan", "uniform grid", "isoFLOP grid", "Chosen of", "C = 6 N"):
        assert piece in text
    assert f"FAR EXTRAPOLATION: {TARGET / rows()['C'].max():.3g} times" in text
    assert max(map(len, text.splitlines())) <= 100


def test_warnings_say_what_speaks_against_a_plan(varied: Fit) -> None:
    useless = plan_runs(varied, 1e14, 1e18, runs=1, simulations=200).warnings
    assert any("BETTER THAN THE UNIFORM GRID: this plan's" in w for w in useless)
    dear = plan_runs(varied, 2e18, 1e18, runs=2, simulations=200)
    assert dear.runs["C"].max() <= 1e18 * (1 + 1e-9)
    assert dear.warnings[-1].startswith("THE BUDGET PAYS FOR THE TARGET")


def test_mistakes_are_named(varied: Fit) -> None:
    for arguments, text in (
        ((BUDGET, 1e17), "target 1e\\+17 FLOPs lies within the rows, which reach 4.32"),
        (
            (1e13, TARGET),
            "one run may cost 5e\\+12 FLOPs, but the smallest of the rows",
        ),
        ((math.nan, TARGET), "budget is nan; expected FLOPs"),
        ((BUDGET, -1.0), "target is -1; expected FLOPs"),
    ):
        with pytest.raises(ScalingError, match=text):
            plan_runs(varied, *arguments)
    for keywords, text in (
        ({"runs": 0}, "runs is 0; expected 1 or more"),
        ({"share": 0.0}, "share is 0; expected part of the budget"),
        ({"shrink": "lost"}, "shrink is lost; expected loss or size"),
    ):
        with pytest.raises(ScalingError, match=text):
            plan_runs(varied, BUDGET, TARGET, **keywords)


def test_rows_without_scatter_are_refused() -> None:
    exact = fit_law(rows(noise=0.0), "chinchilla", objective=SQUARES)
    with pytest.raises(ScalingError, match="the rows show no scatter about law chinch"):
        plan_runs(exact, BUDGET, TARGET)


# --- Grids ----------------------------------------------------------------------------


def test_one_grid_trains_the_runs(varied: Fit, tmp_path: Path) -> None:
    card.card(varied).save(tmp_path / "laws.json")
    laws = load_laws(tmp_path / "laws.json")
    plan = plan_runs(varied, BUDGET, TARGET, runs=3, simulations=200)
    path = tmp_path / "next.yaml"
    with pytest.raises(ScalingError, match="which codebook the runs have; expected"):
        write_grid(plan, laws, path)
    built = write_grid(plan, laws, path, codebook=240)
    planned = expand(load_grid(path))
    assert planned.grid.study == "next"
    jobs = {(job.size, job.tokens): job for job in planned.transformers}
    assert len(jobs) == 3
    for run, configuration in zip(plan.runs.to_dict("records"), built, strict=True):
        job = jobs[configuration.size, configuration.tokens]
        assert job.flops == configuration.flops
        assert 0.99 * run["C"] < job.flops <= run["C"] * (1 + 1e-9)
        assert configuration.of_wanted["N"] == pytest.approx(1, abs=0.1)
        assert configuration.of_wanted["D"] == pytest.approx(1, abs=0.25)
        assert configuration.loss == pytest.approx(run["loss"], rel=0.05)


def test_runs_that_are_the_same_when_built_are_one(varied: Fit, tmp_path: Path) -> None:
    card.card(varied).save(tmp_path / "laws.json")
    plan = plan_runs(varied, BUDGET, TARGET, runs=1, simulations=200)
    twice = replace(plan, runs=pd.concat([plan.runs, plan.runs]))
    laws = load_laws(tmp_path / "laws.json")
    assert len(write_grid(twice, laws, tmp_path / "one.yaml", codebook=240)) == 1


def test_a_file_that_no_plan_wrote_is_left_alone(varied: Fit, tmp_path: Path) -> None:
    card.card(varied).save(tmp_path / "laws.json")
    plan = plan_runs(varied, BUDGET, TARGET, runs=1, simulations=200)
    path = tmp_path / "mine.yaml"
    path.write_text("study: mine\n")
    with pytest.raises(ScalingError):
        write_grid(plan, load_laws(tmp_path / "laws.json"), path, codebook=240)
    assert path.read_text() == "study: mine\n"
