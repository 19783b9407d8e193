"""The solver against scipy, against itself one by one, and at its bounds."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import optimize

from scaling.analysis import solver
from scaling.analysis.catalogue import LAWS
from scaling.analysis.objective import NAMES, Objective
from scaling.analysis.solver import Problem, minimise, stages, values

CHINCHILLA = LAWS["chinchilla"]
TRUTH = CHINCHILLA.compiled.carried([1.69, 406.4, 410.7, 0.34, 0.28])
quick = settings(max_examples=10, deadline=None)


def posed(objective, *, seed=0, n=40, sd=0.01, formula=CHINCHILLA):
    """Put the problem of noisy rows of Chinchilla's law."""
    random = np.random.default_rng(seed)
    x = (random.uniform(16, 23, n), random.uniform(20, 26, n))
    law = CHINCHILLA.compiled.value(TRUTH[None], x)[0]
    bounds = np.array([p.bounds for p in formula.parameters])
    return Problem(
        law=formula.compiled,
        x=x,
        y=law * np.exp(sd * random.standard_normal(n)),
        w=np.ones(n),
        objective=objective,
        free=np.ones(5, bool),
        lower=bounds[:, 0],
        upper=bounds[:, 1],
    )


def by_hand(problem, theta):
    """Evaluate residuals of rows as one would on paper."""
    E, A, B, alpha, beta = theta
    N, D = np.exp(problem.x)
    law = E + np.exp(A) / N**alpha + np.exp(B) / D**beta
    if problem.objective.space == "log":
        return np.log(law) - np.log(problem.y)
    return law - problem.y


# --- Against scipy --------------------------------------------------------------------


@pytest.mark.parametrize("space", ["log", "linear"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_least_squares_agree_with_scipy(space, seed):
    problem = posed(Objective(name="lsq", space=space), seed=seed)
    found = minimise(problem, TRUTH[None])
    scipy = optimize.least_squares(
        lambda theta: by_hand(problem, theta),
        TRUTH,
        x_scale="jac",
        xtol=1e-15,
        ftol=1e-15,
        gtol=1e-15,
    )
    assert found.value[0] <= scipy.cost * (1 + 1e-13)
    assert_allclose(found.value[0], scipy.cost, rtol=1e-11)
    assert_allclose(found.theta[0], scipy.x, rtol=1e-5)
    assert found.converged.all()


@pytest.mark.parametrize("name", ["huber", "asymmetric", "lad"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_robust_objectives_are_not_above_scipy_s(name, seed):
    problem = posed(Objective(name=name), seed=seed)

    def value(theta):
        return float(np.sum(problem.objective.rho(by_hand(problem, theta))))

    # The absolute deviation is smoothed to 1e-8, which costs some digits.
    rounding = 1e-9 if name == "lad" else 1e-12
    found = minimise(problem, TRUTH[None])
    assert_allclose(found.value[0], value(found.theta[0]), rtol=1e-12)
    best = optimize.minimize(
        value,
        found.theta[0],
        method="Nelder-Mead",
        options={"maxfev": 4000, "xatol": 1e-12, "fatol": 0, "adaptive": True},
    ).fun
    assert found.value[0] <= best * (1 + rounding)
    # From afar a quasi-Newton method with differences gets near, not below.
    far = optimize.minimize(value, TRUTH, method="BFGS").fun
    assert found.value[0] <= far * (1 + rounding)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("space", ["log", "linear"])
def test_gradient_and_hessian_are_those_of_the_objective(name, space):
    problem = posed(Objective(name=name, space=space, delta=0.01), sd=0.02)
    delta = np.inf if name == "lsq" else 0.01
    theta = TRUTH + 0.01

    def local(at):
        found = solver._expand(problem, at[None], delta)
        return found.value[0], found.gradient[0], found.hessian[0]

    value, gradient, hessian = local(theta)
    h = 1e-6
    for j, step in enumerate(h * np.eye(5)):
        up, down = local(theta + step), local(theta - step)
        assert_allclose(gradient[j], (up[0] - down[0]) / (2 * h), rtol=1e-5)
        # Rows that cross delta within the step change rho'' by a jump.
        if name == "lsq":
            assert_allclose(hessian[j], (up[1] - down[1]) / (2 * h), rtol=1e-4)
    assert value > 0


# --- Many at once ---------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("batched", ["y", "w", "both"])
def test_a_batch_is_its_fits_one_by_one(name, batched):
    problem, random = posed(Objective(name=name)), np.random.default_rng(1)
    y = problem.y * np.exp(0.01 * random.standard_normal((12, problem.n)))
    w = random.multinomial(40, np.full(40, 1 / 40), size=12).astype(float)
    changes = {"y": {"y": y}, "w": {"w": w}, "both": {"y": y, "w": w}}[batched]
    many = replace(problem, **changes)
    found = minimise(many, np.tile(TRUTH, (12, 1)))
    for k in range(12):
        one = minimise(many.rows(np.array([k])), TRUTH[None])
        assert_allclose(found.theta[k], one.theta[0], rtol=1e-12)
        assert_allclose(found.value[k], one.value[0], rtol=1e-12)
    assert found.converged.all()


def test_large_batches_are_worked_on_in_parts(monkeypatch):
    problem = posed(Objective())
    starts = TRUTH + np.random.default_rng(0).normal(0, 0.01, (9, 5))
    whole = minimise(problem, starts)
    monkeypatch.setattr(solver, "ELEMENTS", 80)
    parts = minimise(problem, starts)
    assert_allclose(parts.theta, whole.theta, rtol=1e-12)
    assert_allclose(values(problem, parts.theta), parts.value, rtol=1e-12)


# --- Invariances ----------------------------------------------------------------------


@quick
@given(seed=st.integers(0, 1000), name=st.sampled_from(NAMES))
def test_the_order_of_rows_does_not_matter(seed, name):
    problem = posed(Objective(name=name))
    order = np.random.default_rng(seed).permutation(problem.n)
    other = replace(
        problem,
        x=tuple(each[order] for each in problem.x),
        y=problem.y[order],
        w=problem.w[order],
    )
    here, there = minimise(problem, TRUTH[None]), minimise(other, TRUTH[None])
    assert_allclose(there.value, here.value, rtol=1e-11)
    assert_allclose(there.theta, here.theta, rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_a_weight_of_two_is_a_row_twice_and_of_none_no_row(name):
    problem = posed(Objective(name=name))
    w = np.repeat([2.0, 0.0, 1.0], [10, 10, 20])
    rows = np.repeat(np.arange(40), w.astype(int))
    repeated = replace(
        problem,
        x=tuple(each[rows] for each in problem.x),
        y=problem.y[rows],
        w=np.ones(len(rows)),
    )
    weighted = minimise(replace(problem, w=w), TRUTH[None])
    plain = minimise(repeated, TRUTH[None])
    assert_allclose(weighted.value, plain.value, rtol=1e-12)
    assert_allclose(weighted.theta, plain.theta, rtol=1e-6)


@quick
@given(seed=st.integers(0, 1000), name=st.sampled_from(["huber", "lsq", "lad"]))
def test_starts_near_and_far_end_at_one_minimum(seed, name):
    problem = posed(Objective(name=name))
    random = np.random.default_rng(seed)
    starts = TRUTH + random.normal(0, [0.2, 1, 1, 0.05, 0.05], (4, 5))
    found = minimise(problem, starts)
    best = minimise(problem, TRUTH[None]).value[0]
    # A start so far off that a term vanished has a valley of its own, up to a bound.
    sound = found.converged & (np.abs(found.theta[:, 3:]) < 4).all(axis=1)
    assert sound.sum() >= 2
    assert_allclose(found.value[sound], best, rtol=1e-8)


# --- Held and bounded -----------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("held", range(5))
def test_held_parameters_do_not_move(name, held):
    problem = posed(Objective(name=name))
    problem = replace(problem, free=np.arange(5) != held)
    starts = TRUTH + np.random.default_rng(0).normal(0, 0.02, (8, 5))
    starts[:, held] = TRUTH[held] + 0.05
    found = minimise(problem, starts)
    assert_array_equal(found.theta[:, held], starts[:, held])
    assert_array_equal(found.gradient[:, held], 0)
    assert_allclose(found.value, found.value.min(), rtol=1e-9)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("j", "lower", "upper"), [(3, 0, 0.3), (0, 1.8, 9), (1, 0, 5)])
def test_bounds_are_kept(name, j, lower, upper):
    problem = posed(Objective(name=name))
    low, high = problem.lower.copy(), problem.upper.copy()
    low[j], high[j] = lower, upper
    bounded = replace(problem, lower=low, upper=high)
    found = minimise(bounded, TRUTH[None])
    free = minimise(problem, TRUTH[None])
    assert lower <= found.theta[0, j] <= upper
    at_bound = found.theta[0, j] in (lower, upper)
    assert at_bound == (not lower <= free.theta[0, j] <= upper)
    if at_bound:
        held = replace(problem, free=np.arange(5) != j)
        assert_allclose(found.value, minimise(held, found.theta).value, rtol=1e-9)
        assert found.gradient[0, j] == 0
    assert found.value[0] >= free.value[0] * (1 - 1e-12)


# --- Trouble --------------------------------------------------------------------------


def test_where_the_law_is_not_defined_the_objective_is_infinite():
    problem = posed(Objective())
    nowhere = np.array([[-1e3, 0, 0, 0.3, 0.3]])
    problem = replace(problem, lower=np.full(5, -np.inf))
    assert values(problem, nowhere)[0] == np.inf
    found = minimise(problem, np.vstack([nowhere, TRUTH]))
    assert np.isinf(found.value).tolist() == [True, False]
    assert found.converged.tolist() == [False, True]


def test_a_term_that_has_vanished_stops_no_fit():
    """Its slope underflows to numbers with few digits."""
    problem = posed(Objective(name="lsq"))
    starts = np.tile(TRUTH, (60, 1))
    starts[:, 2] = -np.linspace(300, 380, 60)
    found = minimise(problem, starts)
    assert np.isfinite(found.theta).all()


def test_steps_that_run_out_leave_their_own_distance():
    """The distance to the minimum is that of where the fit ended."""
    problem = posed(Objective(name="lsq"))
    start = TRUTH + np.array([0.1, 0.5, -0.5, 0.02, 0.02])
    for _ in range(4):
        found = minimise(problem, start[None], steps=5)
        again = solver._expand(problem, found.theta, np.inf)
        _, edm = solver._step(problem, found.theta, again, np.zeros(1), np.arange(1))
        assert found.edm[0] == pytest.approx(edm[0], rel=1e-3, abs=1e-20)
        start = found.theta[0]


def test_stages_end_at_the_objective_s_delta():
    assert stages(Objective(name="lsq")) == [np.inf]
    assert stages(Objective(delta=0.5)) == [0.5]
    assert stages(Objective(delta=2e-3)) == [0.2, 0.02, 0.002]
    assert stages(Objective(name="lad"))[-1] == 1e-8
