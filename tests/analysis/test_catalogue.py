"""Every law by name: its derivatives, its truth recovered, and laws of one's own."""

# ruff: noqa: PD011 - the parameters of a fit are its values

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from scaling.analysis.catalogue import LAWS, law
from scaling.analysis.fitting import fit_law
from scaling.analysis.formula import Formula, Parameter
from scaling.analysis.objective import Objective
from scaling.errors import ScalingError

FUNCTIONS = {"exp": np.exp, "log": np.log, "log10": np.log10, "Min": np.minimum}
RANGES = {
    "N": (1e7, 1e10),
    "D": (1e9, 1e12),
    "U": (1e8, 1e11),
    "N_nv": (3e7, 3e9),
    "N_v": (1e6, 3e8),
    "C": (1e17, 1e23),
}
CHINCHILLA = {"E": 1.69, "A": 406.4, "B": 410.7, "alpha": 0.34, "beta": 0.28}
CODEBOOK = {
    "E": 5.5,
    "A1": 480.0,
    "A2": 3e4,
    "B": 1.2e4,
    "alpha1": 0.4,
    "alpha2": 0.9,
    "beta": 0.44,
}
TRUTH = {
    "log": {"a": -0.38, "b": 11.0},
    "power": {"A": 80.0, "alpha": 0.1},
    "power-floor": {"E": 1.7, "A": 900.0, "alpha": 0.15},
    "chinchilla": CHINCHILLA,
    "chinchilla-tied": CHINCHILLA | {"alpha": 0.31, "beta": 0.31},
    "kaplan": {"Nc": 6.4e13, "Dc": 1.8e13, "alpha": 0.076, "beta": 0.103},
    "kaplan-floor": {"E": 1.0, "Nc": 1e11, "Dc": 2e11, "alpha": 0.2, "beta": 0.25},
    "skaling": {"E": 1.7, "A": 400.0, "R": 3.0, "a": 0.5, "b": 0.45, "k": 0.7},
    "codebook": CODEBOOK,
    "codebook-tied": CODEBOOK | {"alpha1": 0.44},
    "codebook-saturating": CODEBOOK | {"S": 3e7},
    "codebook-data": {
        **{"E": 0.15, "c": 0.62, "A": 5e3, "B": 40.0},
        **{"q": 0.4, "alpha": 0.45, "g": 0.3, "beta": 0.3},
    },
    "repetition": CHINCHILLA | {"R": 15.0},
    "bnsl": {"E": 1.5, "A": 30.0, "c0": 0.06, "c1": 0.1, "d": 3e20, "f": 0.4},
}


def plainly(formula, values, inputs):
    """Evaluate a law's text as Python does."""
    return eval(formula.text, {**FUNCTIONS, **values, **inputs})


def design(formula):
    """Cross the inputs: 40 budgets, 7 x 7 or 5 x 5 x 5 runs."""
    levels = {1: 40, 2: 7, 3: 5}[len(formula.inputs)]
    axes = [np.geomspace(*RANGES[name], levels) for name in formula.inputs]
    grid = np.meshgrid(*axes, indexing="ij")
    return pd.DataFrame(dict(zip(formula.inputs, map(np.ravel, grid), strict=True)))


def rows_of(formula, sd=0.0, seed=0):
    """Make losses by a law, with normal errors of the log loss or, below 0, of it."""
    table = design(formula)
    columns = dict(table.items())
    if "U" in table:
        columns["U"] = np.minimum(table["U"], table["D"])
    loss = plainly(formula, TRUTH[formula.name], columns)
    noise = sd * np.random.default_rng(seed).standard_normal(len(table))
    if loss.min() > 0:
        return table.assign(L=loss * np.exp(noise))
    return table.assign(L_u=loss + noise)


# --- Derivatives ----------------------------------------------------------------------


def complex_gradient(formula, theta, x, j):
    """Differentiate the text by the j-th carried parameter, by a complex step."""
    theta = theta.astype(complex)
    theta[j] += 1e-30j
    names = [parameter.name for parameter in formula.parameters]
    scales = formula.compiled.scales
    values = dict(zip(names, np.where(scales, np.exp(theta), theta), strict=True))
    values |= {name: values[other] for name, other in formula.tied.items()}
    inputs = dict(zip(formula.inputs, map(np.exp, x), strict=True))
    return np.imag(plainly(formula, values, inputs)) / 1e-30


@pytest.mark.parametrize("formula", LAWS.values(), ids=LAWS)
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_derivatives_are_those_of_the_text(formula, seed):
    random = np.random.default_rng(seed)
    theta = random.uniform(0.2, 1.2, len(formula.parameters))
    x = [random.uniform(0.0, 3.0, 4) for _ in formula.inputs]
    x[-1] = np.minimum(x[-1], x[-2]) if "U" in formula.inputs else x[-1]
    law, gradient, second = formula.compiled.derivatives(theta[None], x)
    names = formula.compiled.names
    plain = dict(zip(names, formula.compiled.plain(theta), strict=True))
    plain |= {name: plain[other] for name, other in formula.tied.items()}
    inputs = dict(zip(formula.inputs, map(np.exp, x), strict=True))
    # terms of order 1 may all but cancel
    assert_allclose(law[0], plainly(formula, plain, inputs), rtol=1e-12, atol=1e-14)
    hessian = np.zeros((len(names), len(names), 4))
    for (j, k), each in zip(formula.compiled.pairs, second, strict=True):
        hessian[j, k] = hessian[k, j] = np.broadcast_to(each, (1, 4))[0]
    h = 1e-5
    for j in range(len(names)):
        expected = complex_gradient(formula, theta, x, j)
        assert_allclose(gradient[0, j], expected, rtol=1e-11, atol=1e-13)
        for k in range(len(names)):
            step = h * np.eye(len(names))[k]
            change = complex_gradient(formula, theta + step, x, j)
            change = change - complex_gradient(formula, theta - step, x, j)
            assert_allclose(hessian[j, k], change / (2 * h), rtol=1e-6, atol=1e-7)


# --- Recovery -------------------------------------------------------------------------


@pytest.mark.parametrize("formula", LAWS.values(), ids=LAWS)
@pytest.mark.parametrize("name", ["huber", "lsq"])
def test_the_truth_is_recovered_from_exact_losses(formula, name):
    table = rows_of(formula)
    space = "log" if "L" in table else "linear"
    fit = fit_law(table, formula, objective=Objective(name=name, space=space))
    truth = TRUTH[formula.name]
    assert_allclose([fit.value(key) for key in truth], list(truth.values()), rtol=1e-9)
    assert fit.objective_value < 1e-25
    assert fit.certificate.warnings == ()


# Noise hides where a codebook saturates, so that the parameters are not normal there.
NEARLY_NORMAL = {k: law for k, law in LAWS.items() if k != "codebook-saturating"}


@pytest.mark.parametrize("formula", NEARLY_NORMAL.values(), ids=NEARLY_NORMAL)
def test_the_truth_lies_within_the_noise(formula):
    """A chi-square of the parameters with the Gauss-Newton covariance."""
    sd = 3e-3
    table = rows_of(formula, sd=sd, seed=5)
    space = "log" if "L" in table else "linear"
    fit = fit_law(table, formula, objective=Objective(name="lsq", space=space))
    law, slope, _ = formula.compiled.derivatives(fit.theta[None], fit.problem.x)
    J = (slope[0] / law if space == "log" else slope[0])[fit.free]
    names = formula.compiled.names
    truth = formula.compiled.carried([TRUTH[formula.name][name] for name in names])
    off = (J.T @ (fit.theta - truth)[fit.free]) / sd
    assert off @ off < 4 * fit.free.sum() + 6  # beyond 1 in 10 000 by chance
    assert fit.residual_sd == pytest.approx(sd, rel=0.35)
    assert fit.certificate.converged


def test_the_objective_is_not_above_that_of_the_truth():
    for formula in LAWS.values():
        table = rows_of(formula, sd=0.02, seed=2)
        fit = fit_law(table, formula)
        loss = table[table.columns[-1]]
        truth = plainly(formula, TRUTH[formula.name], _capped(table))
        r = np.log(truth / loss) if loss.min() > 0 else truth - loss
        assert fit.objective_value <= fit.objective.rho(r.to_numpy()).sum()


def _capped(table):
    columns = dict(table.items())
    if "U" in table:
        columns["U"] = np.minimum(table["U"], table["D"])
    return columns


# --- By name, and of one's own --------------------------------------------------------


def test_laws_are_found_by_name():
    assert law("chinchilla") is LAWS["chinchilla"]
    assert law(LAWS["bnsl"]) is LAWS["bnsl"]
    assert set(LAWS) == set(TRUTH), "every law is tested here"
    with pytest.raises(ScalingError, match="no law 'chinchila'; did you mean"):
        law("chinchila")


OWN = """\
from scaling.analysis.formula import Formula, Parameter

LAW = Formula(
    name="squeezed",
    text="E + A / (1 + log(C / S))**p",
    inputs=("C",),
    parameters=(
        Parameter(name="E", floor=True, lower=0),
        Parameter(name="A", scale=True),
        Parameter(name="p", starts=(0.5, 2.0), lower=0, upper=10),
        Parameter(name="S", scale=True, starts=(1e-4, 1e-3), per="C"),
    ),
)
"""


def squeezed(C):
    return 1.5 + 4 / (1 + np.log(C / 1e15)) ** 1.5


def test_a_law_of_ones_own_in_a_file(tmp_path):
    assert len(OWN.splitlines()) < 20
    path = tmp_path / "my_law.py"
    path.write_text(OWN)
    C = np.geomspace(1e17, 1e23, 30)
    fit = fit_law(pd.DataFrame({"C": C, "L": squeezed(C)}), str(path))
    assert fit.values == pytest.approx({"E": 1.5, "A": 4, "p": 1.5, "S": 1e15})


def test_a_law_of_ones_own_in_python():
    step = Formula(
        name="learning-rate",
        text="k * N**a * D**b",
        inputs=("N", "D"),
        parameters=(
            Parameter(name="k", scale=True),
            Parameter(name="a", starts=(-0.5, 0.5)),
            Parameter(name="b", starts=(-0.5, 0.5)),
        ),
    )
    table = design(LAWS["chinchilla"])
    table["L"] = 1.8 * table["N"] ** -0.7 * table["D"] ** 0.3
    fit = fit_law(table, step)
    assert fit.values == pytest.approx({"k": 1.8, "a": -0.7, "b": 0.3})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\n", "declares 0 laws of its own; expected one"),
        (OWN + OWN.replace("LAW", "LAW2"), "declares 2 laws of its own"),
        (OWN.replace("squeezed", "chinchilla"), "a name that is not taken"),
        ("import nothing_like_this\n", "my_law.py.*nothing_like_this"),
        ("LAW = Formula(\n", "my_law.py"),
    ],
)
def test_a_file_without_one_law_is_refused(tmp_path, text, message):
    path = tmp_path / "my_law.py"
    path.write_text(text)
    with pytest.raises(ScalingError, match=message):
        law(str(path))


def test_a_file_that_is_not_there_is_named():
    with pytest.raises((ScalingError, FileNotFoundError), match=r"nowhere\.py"):
        law("nowhere.py")


def test_limits_of_laws():
    """Laws that contain one another agree where they should."""
    table = design(LAWS["chinchilla"])
    A, B, a, b = 400.0, 1200.0, 0.35, 0.3
    coupled = {"E": 1.7, "A": A, "R": B / A, "a": a, "b": b, "k": 1.0}
    plain = {"E": 1.7, "A": A, "B": B, "alpha": a, "beta": b}
    inputs = dict(table.items())
    expected = plainly(LAWS["chinchilla"], plain, inputs)
    assert_allclose(plainly(LAWS["skaling"], coupled, inputs), expected)
    once = {**inputs, "U": table["D"]}
    assert_allclose(plainly(LAWS["repetition"], plain | {"R": 5.0}, once), expected)
