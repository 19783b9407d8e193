"""Laws as declared: what the text says, what is derived from it, what is refused."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from scaling.analysis.catalogue import LAWS
from scaling.analysis.formula import LARGEST_LOG, Formula, Parameter
from scaling.errors import ScalingError

CHINCHILLA = LAWS["chinchilla"]
quick = settings(max_examples=30, deadline=None)


def own(text, *parameters, inputs=("C",), **more):
    declared = tuple(Parameter(name=p) if isinstance(p, str) else p for p in parameters)
    return Formula(name="own", text=text, inputs=inputs, parameters=declared, **more)


# --- What is derived ------------------------------------------------------------------


@quick
@given(
    a=st.floats(-2, 2), b=st.floats(0.1, 3), s=st.floats(0.1, 10), C=st.floats(1, 1e9)
)
def test_a_law_is_what_its_text_says(a, b, s, C):
    scale = Parameter(name="s", scale=True)
    law = own("a*log10(C) + b*exp(-s/C) + log(s)**2", "a", "b", scale).compiled
    theta = law.carried([[a, b, s]])
    found = law.value(theta, [np.log([C])])
    expected = a * math.log10(C) + b * math.exp(-s / C) + math.log(s) ** 2
    assert_allclose(found, [[expected]], rtol=1e-12, atol=1e-12)
    assert_allclose(law.pointwise(theta.T, [np.log([C])]), found[0], rtol=1e-15)
    assert_allclose(law.plain(theta), [[a, b, s]], rtol=1e-15)


def test_scale_parameters_are_carried_as_logarithms():
    law = CHINCHILLA.compiled
    theta = law.carried([1.69, 400.0, 410.0, 0.3, 0.2])
    assert_allclose(theta, [1.69, math.log(400), math.log(410), 0.3, 0.2])
    assert Parameter(name="A", scale=True, upper=math.e).bounds == (-LARGEST_LOG, 1)
    assert Parameter(name="A", scale=True, lower=1.0).bounds == (0.0, LARGEST_LOG)
    assert math.isfinite(math.exp(LARGEST_LOG) * math.exp(-LARGEST_LOG))


@pytest.mark.parametrize(
    ("formula", "linear"),
    [
        (CHINCHILLA, ["E", "A", "B"]),
        (LAWS["kaplan"], []),
        (LAWS["skaling"], ["E", "A"]),
        (LAWS["log"], ["a", "b"]),
        (own("p*q/C + r", "p", "q", "r"), ["p", "r"]),
        (CHINCHILLA.tie({"B": "A"}), ["E", "A"]),
        (CHINCHILLA.tie({"alpha": "A"}), ["E", "B"]),
    ],
)
def test_linear_parameters_are_found(formula, linear):
    law = formula.compiled
    assert [law.names[k] for k in law.linear] == linear


@pytest.mark.parametrize("name", LAWS)
def test_the_law_is_its_rest_and_its_basis(name):
    law = LAWS[name].compiled
    random = np.random.default_rng(1)
    theta = random.uniform(0.1, 1, (3, len(law.names)))
    x = [random.uniform(0, 3, 5) for _ in LAWS[name].inputs]
    basis, rest = law.basis(theta, x)
    coefficients = law.plain(theta)[:, list(law.linear)]
    value = rest + np.einsum("bk,bkn->bn", coefficients, basis)
    assert_allclose(value, law.value(theta, x), rtol=1e-12)


def test_arms_are_no_logarithms():
    law = own("a/C + b*arm", "a", "b", arms=("arm",)).compiled
    found = law.value(np.array([[2.0, 3.0]]), [np.log([4.0, 4.0]), np.array([0.0, 1])])
    assert_allclose(found, [[0.5, 3.5]])


def test_symbols_may_have_the_names_of_constants_and_functions():
    law = own("I + E/C**pi + gamma*S", "I", "E", "pi", "gamma", "S").compiled
    found = law.value(np.array([[1.0, 2, 3, 4, 5]]), [np.log([2.0])])
    assert_allclose(found, [[1 + 2 / 8 + 20]])


def test_a_law_is_written_for_people():
    assert CHINCHILLA.written() == "E + A / N^alpha + B / D^beta"
    assert own("a*C**b", "a", "b").written() == "a·C^b"


# --- Fixed, tied, bounded -------------------------------------------------------------


def test_a_held_parameter_is_not_free():
    held = CHINCHILLA.fix({"E": 1.7}).tie({"beta": "alpha"})
    assert [p.name for p in held.free] == ["A", "B", "alpha"]
    assert dict(held.fixed) == {"E": 1.7}
    assert [p.name for p in CHINCHILLA.free] == ["E", "A", "B", "alpha", "beta"]


def test_bounds_are_replaced():
    bounded = CHINCHILLA.bound({"alpha": (0.1, 0.2)})
    assert [p.bounds for p in bounded.parameters if p.name == "alpha"] == [(0.1, 0.2)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda law: law.fix({"e": 1.0}), "no parameter 'e' to fix; its parameters"),
        (lambda law: law.fix({"E": -1.0}), "E cannot be fixed at -1 .* at least 0"),
        (lambda law: law.fix({"E": math.nan}), "E cannot be fixed at nan"),
        (lambda law: law.fix({"A": 0.0}), "A cannot be fixed at 0 .* above 0"),
        (lambda law: law.fix({"A": math.inf}), "A cannot be fixed at inf"),
        (lambda law: law.fix({"alpha": 6.0}), "alpha cannot be fixed at 6 .* most 5"),
        (lambda law: law.fix({"E": "1.7"}), "E cannot be fixed at '?1.7"),
        (lambda law: law.tie({"alpha": "gamma"}), "no parameter 'gamma' to tie"),
        (lambda law: law.tie({"alpha": "alpha"}), "alpha cannot be tied to alpha"),
        (
            lambda law: law.tie({"alpha": "beta", "beta": "alpha"}),
            "alpha cannot be tied to beta .* neither fixed nor tied",
        ),
        (
            lambda law: law.tie({"beta": "alpha"}).tie({"A": "beta"}),
            "A cannot be tied to beta .* neither fixed nor tied",
        ),
        (
            lambda law: law.fix({"beta": 0.3}).tie({"alpha": "beta"}),
            "alpha cannot be tied to beta .* neither fixed nor tied",
        ),
        (lambda law: law.bound({"z": (0, 1)}), "no parameter 'z' to bound"),
        (lambda law: law.bound({"alpha": (1, 0)}), "lower bound first"),
        (lambda law: law.bound({"alpha": (math.nan, 1)}), "alpha cannot lie between"),
        (lambda law: law.bound({"A": (-5, -1)}), "A cannot lie between -5 and -1"),
        (lambda law: law.bound({"A": (-5, 0)}), "A cannot lie between -5 and 0"),
    ],
)
def test_what_cannot_be_held_is_refused(change, message):
    with pytest.raises(ScalingError, match=message):
        change(CHINCHILLA)


@pytest.mark.parametrize(
    "change",
    [
        lambda law: law.fix({"beta": 0.3}),
        lambda law: law.bound({"beta": (0.0, 0.2)}),
    ],
)
def test_a_tied_parameter_is_not_held_in_silence(change):
    """It is another's: fixing or bounding it would change nothing."""
    with pytest.raises(ScalingError, match=r"beta is tied to alpha|beta cannot be"):
        change(LAWS["chinchilla-tied"])


# --- What is refused ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("declare", "message"),
    [
        (lambda: own("E + ", "E"), "cannot be read"),
        (lambda: own("E + foo(C)", "E"), "cannot be read"),
        (lambda: own("lambda + C", "lambda"), "cannot be read"),
        (lambda: own("log + 1/C", "log"), "cannot be read"),
        (
            lambda: own("__import__('os').getcwd() + E*C", "E"),
            "cannot be read|neither a parameter nor an input",
        ),
        (lambda: own("E + Q/C", "E"), "uses 'Q', which is neither"),
        (lambda: own("E/C", "E", "Q"), "'Q' does not occur in its formula"),
        (lambda: own("E + 0*C", "E"), "'C' does not occur"),
        (lambda: own("E + 1/C", "E", "E"), "'?E'? .*twice"),
        (lambda: own("E + C", "E", "C"), "'?C'? .*(twice|both)"),
        (lambda: own("E/C", "E", tied={"zz": "E"}), "no parameter 'zz'"),
        (lambda: own("E/C", "E", fixed={"zz": 1.0}), "no parameter 'zz'"),
        (
            lambda: own("E/C", Parameter(name="E", lower=3.0, upper=2.0)),
            "E cannot lie between 3 and 2",
        ),
    ],
)
def test_a_declaration_that_makes_no_sense_is_refused(declare, message):
    with pytest.raises(ScalingError, match=message) as caught:
        declare()
    assert "\n" not in str(caught.value)
