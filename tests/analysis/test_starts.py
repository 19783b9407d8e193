"""Where a fit starts: the grid, and the linear parameters solved at its points."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from scaling.analysis import solver
from scaling.analysis.catalogue import LAWS
from scaling.analysis.fitting import fit_law, problem
from scaling.analysis.formula import Formula, Parameter
from scaling.analysis.objective import Objective
from scaling.analysis.sample import sample
from scaling.analysis.starts import POLISHED, best_starts, project, start_grid

CHINCHILLA = LAWS["chinchilla"]


@pytest.fixture
def table():
    random = np.random.default_rng(3)
    N = np.exp(random.uniform(16, 23, 40))
    D = np.exp(random.uniform(20, 26, 40))
    L = 1.69 + 406.4 / N**0.34 + 410.7 / D**0.28
    return pd.DataFrame({"N": N, "D": D, "C": 6 * N * D, "L": L})


def grid_of(formula, table):
    return start_grid(formula, sample(table, formula, "all"))


def test_all_starts_are_combined(table):
    grid = grid_of(CHINCHILLA, table)
    exponents = CHINCHILLA.parameters[3].starts
    assert grid.shape == (len(exponents) ** 2, 5)
    pairs = {(a, b) for a in exponents for b in exponents}
    assert {tuple(row) for row in grid[:, 3:].tolist()} == pairs


@pytest.mark.parametrize("name", LAWS)
def test_starts_are_within_bounds(name, table):
    formula = LAWS[name]
    more = table.assign(N_nv=table["N"], N_v=table["N"] / 9, U=table["D"] / 3)
    grid = grid_of(formula, more)
    lower, upper = np.array([p.bounds for p in formula.parameters]).T
    assert ((lower <= grid) & (grid <= upper)).all()
    assert np.isfinite(grid).all()


def test_starts_are_within_bounds_of_one_s_own(table):
    """The linear parameters are solved for at the start that is used."""
    bounded = LAWS["power-floor"].bound({"alpha": (0.0, 0.02)})
    grid = grid_of(bounded, table)
    assert grid[:, 2].max() <= 0.02


def test_held_parameters_are_at_their_values(table):
    formula = CHINCHILLA.tie({"beta": "alpha"}).fix({"alpha": 0.34, "A": 400.0})
    grid = grid_of(formula, table)
    assert_allclose(grid[:, 1], np.log(400))
    assert_allclose(grid[:, 3], 0.34)


def test_starts_follow_the_units_of_the_inputs(table):
    kaplan = LAWS["kaplan"]
    there = grid_of(kaplan, table.assign(N=table["N"] / 1e6, D=table["D"] / 1e9))
    here = grid_of(kaplan, table)
    shift = np.tile(np.log([1e6, 1e9, 1, 1]), (len(here), 1))
    assert_allclose((here - there)[:, :2], shift[:, :2], rtol=1e-9)
    assert_allclose(here[:, 2:], there[:, 2:])


@pytest.mark.parametrize("space", ["log", "linear"])
def test_linear_parameters_are_those_of_weighted_least_squares(table, space):
    random = np.random.default_rng(0)
    table["L"] *= np.exp(0.01 * random.standard_normal(40))
    table["weight"] = random.uniform(0.5, 2, 40)
    taken = sample(table, CHINCHILLA)
    posed = problem(CHINCHILLA, taken, Objective(space=space))
    theta = project(posed, np.array([[1.0, 0, 0, 0.34, 0.28]]))
    w = taken.weight if space == "linear" else taken.weight / taken.loss**2
    columns = (
        np.column_stack([np.ones(40), table["N"] ** -0.34, table["D"] ** -0.28])
        * np.sqrt(w)[:, None]
    )
    expected = np.linalg.lstsq(columns, taken.loss * np.sqrt(w))[0]
    assert_allclose(theta[0, 0], expected[0], rtol=1e-8)
    assert_allclose(np.exp(theta[0, 1:3]), expected[1:], rtol=1e-7)
    assert_allclose(theta[0, 3:], [0.34, 0.28])


def test_a_held_floor_is_taken_off_before_the_rest_is_solved_for(table):
    held = CHINCHILLA.fix({"E": 1.69})
    posed = problem(held, sample(table, held), Objective())
    theta = project(posed, np.array([[1.69, 0, 0, 0.34, 0.28]]))
    assert_allclose(CHINCHILLA.compiled.plain(theta)[0, :3], [1.69, 406.4, 410.7])


def test_a_term_that_would_be_negative_starts_positive(table):
    posed = problem(CHINCHILLA, sample(table, CHINCHILLA), Objective())
    upside_down = replace(posed, y=6 - posed.y)
    theta = project(upside_down, np.array([[1.0, 0, 0, 0.34, 0.28]]))
    assert np.isfinite(theta).all()


def test_the_best_starts_are_kept_and_some_of_the_rest(table):
    kaplan = LAWS["kaplan"]
    taken = sample(table, kaplan)
    posed = problem(kaplan, taken, Objective())
    grid = start_grid(kaplan, taken)
    kept = best_starts(posed, grid)
    values = np.sort(solver.values(posed, grid))
    found = solver.values(posed, kept)
    assert len(kept) == POLISHED
    assert_allclose(found[: POLISHED // 2], values[: POLISHED // 2])
    assert found[-1] == values[-1]


def test_starts_beyond_the_bounds_do_not_lead_astray(table):
    law = Formula(
        name="own",
        text="E + A / C**a",
        inputs=("C",),
        parameters=(
            Parameter(name="E"),
            Parameter(name="A", scale=True),
            Parameter(name="a", lower=0, upper=1, starts=(5.0, -3.0)),
        ),
    )
    own, same = (
        fit_law(table, law, rows="all"),
        fit_law(table, "power-floor", rows="all"),
    )
    assert own.objective_value <= same.objective_value * (1 + 1e-9)
