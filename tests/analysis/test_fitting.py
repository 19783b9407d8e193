"""Fits of losses: what does not matter, what is held, what is refused, what is said."""

# ruff: noqa: PD011 - the parameters of a fit are its values

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from scaling.analysis.catalogue import LAWS
from scaling.analysis.fitting import Certificate, Fit, fit_law
from scaling.analysis.formula import Formula, Parameter
from scaling.analysis.objective import NAMES, Objective
from scaling.errors import ScalingError

TRUTH = {"E": 1.69, "A": 406.4, "B": 410.7, "alpha": 0.34, "beta": 0.28}
LEAST_SQUARES = Objective(name="lsq")
quick = settings(max_examples=4, deadline=None)


def runs(n=40, sd=0.01, seed=0):
    """Make runs by Chinchilla's law, sizes and data at random."""
    random = np.random.default_rng(seed)
    N, D = np.exp(random.uniform([[16], [20]], [[23], [26]], (2, n)))
    L = 1.69 + 406.4 / N**0.34 + 410.7 / D**0.28
    L = L * np.exp(sd * random.standard_normal(n))
    return pd.DataFrame({"N": N, "D": D, "C": 6 * N * D, "L": L})


def same(fit, other, rtol=1e-6):
    assert_allclose(other.objective_value, fit.objective_value, rtol=1e-9)
    assert_allclose(list(other.values.values()), list(fit.values.values()), rtol=rtol)


# --- What a fit holds -----------------------------------------------------------------


def test_a_fit_holds_what_it_says():
    table = runs()
    fit = fit_law(table, "chinchilla")
    law = fit.value("E") + fit.value("A") / table["N"] ** fit.value("alpha")
    law = law + fit.value("B") / table["D"] ** fit.value("beta")
    assert_allclose(fit.predict(table), law, rtol=1e-12)
    assert_allclose(fit.residuals, np.log(table["L"] / law), rtol=1e-9, atol=1e-12)
    rho = fit.objective.rho(fit.residuals)
    assert fit.objective_value == pytest.approx(rho.sum(), rel=1e-12)
    assert fit.residual_sd == pytest.approx(np.sqrt(np.sum(fit.residuals**2) / 35))
    assert (fit.degrees, fit.free.tolist()) == (35, [True] * 5)
    assert fit.certificate.warnings == ()
    assert fit.certificate.status == "good"


def test_a_prediction_takes_arrays_and_numbers():
    fit = fit_law(runs(), "chinchilla")
    several = fit.predict({"N": [1e8, 1e9], "D": 1e10})
    assert_allclose(several[1], fit.predict({"N": 1e9, "D": 1e10}))


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"N": 1e9}, "needs D; given are N: give N, D"),
        ({}, "needs N and D; given are none"),
        ({"N": -1.0, "D": 1e9}, "N is -1"),
        ({"N": 0.0, "D": 1e9}, "N is 0"),
        ({"N": [1e8, 1e9, 1e10], "D": [1e9, 1e10]}, "N.*D|shape|length"),
    ],
)
def test_inputs_of_a_prediction_are_checked(inputs, message):
    fit = fit_law(runs(), "chinchilla")
    with pytest.raises(ScalingError, match=message):
        fit.predict(inputs)


def test_data_that_were_repeated_are_predicted_as_they_were_fitted():
    """Of U only what a run has come to see counts, in the rows and in a prediction."""
    table = runs().assign(U=1e10)
    fit = fit_law(table, "repetition")
    law = np.log(table["L"]) - fit.residuals
    assert_allclose(fit.predict(table), np.exp(law), rtol=1e-9)


# --- What does not matter -------------------------------------------------------------


@quick
@given(seed=st.integers(0, 1000), name=st.sampled_from(NAMES))
def test_the_order_of_rows_does_not_matter(seed, name):
    table, chosen = runs(seed=seed), Objective(name=name)
    shuffled = table.sample(frac=1, random_state=seed)
    same(
        fit_law(table, "chinchilla", objective=chosen),
        fit_law(shuffled, "chinchilla", objective=chosen),
    )


@quick
@given(n=st.integers(-3, 12), d=st.integers(-3, 12))
def test_units_of_the_inputs_do_not_matter(n, d):
    table, n, d = runs(), 10.0**n, 10.0**d
    here = fit_law(table, "chinchilla")
    there = fit_law(table.assign(N=table["N"] / n, D=table["D"] / d), "chinchilla")
    assert_allclose(there.objective_value, here.objective_value, rtol=1e-9)
    alpha, beta = here.value("alpha"), here.value("beta")
    scaled = {"A": here.value("A") / n**alpha, "B": here.value("B") / d**beta}
    expected = {**here.values, **scaled}
    assert_allclose(
        [there.value(name) for name in expected], list(expected.values()), rtol=1e-5
    )


@pytest.mark.parametrize("name", ["power-floor", "log", "kaplan"])
@pytest.mark.parametrize("unit", [1e-3, 1e12])
def test_units_do_not_matter_to_other_laws(name, unit):
    table = runs()
    inputs = list(LAWS[name].inputs)
    here = fit_law(table, name, rows="all")
    there = fit_law(table.assign(**table[inputs] / unit), name, rows="all")
    assert_allclose(there.objective_value, here.objective_value, rtol=1e-8)
    assert_allclose(there.predict(table[inputs] / unit), here.predict(table), rtol=1e-5)


@pytest.mark.parametrize("unit", [1e-12, 1e-3, 1e3, 1e12])
def test_the_unit_of_the_loss_does_not_matter_to_its_logarithm(unit):
    table = runs()
    here = fit_law(table, "chinchilla")
    there = fit_law(table.assign(L=table["L"] * unit), "chinchilla")
    factors = [unit, unit, unit, 1, 1]
    assert_allclose(there.objective_value, here.objective_value, rtol=1e-9)
    assert_allclose(
        list(there.values.values()),
        here.formula.compiled.plain(here.theta) * factors,
        rtol=1e-5,
    )


@pytest.mark.parametrize("unit", [1e-12, 1e-3, 1e3, 1e12])
def test_the_unit_of_the_loss_does_not_matter_to_least_squares(unit):
    table, chosen = runs(), Objective(name="lsq", space="linear")
    here = fit_law(table, "chinchilla", objective=chosen)
    there = fit_law(table.assign(L=table["L"] * unit), "chinchilla", objective=chosen)
    assert_allclose(there.objective_value, here.objective_value * unit**2, rtol=1e-9)
    assert there.certificate.warnings == ()


def test_weights_of_two_are_rows_twice():
    table = runs()
    twice = pd.concat([table, table.iloc[:10]])
    weighted = table.assign(weight=np.repeat([2.0, 1.0], [10, 30]))
    same(fit_law(twice, "chinchilla"), fit_law(weighted, "chinchilla"))


def test_rows_without_weight_are_no_rows():
    table = runs()
    weighted = fit_law(table.assign(weight=np.repeat([0.0, 1], [10, 30])), "chinchilla")
    removed = fit_law(table.iloc[10:], "chinchilla")
    same(removed, weighted)
    assert weighted.degrees == removed.degrees
    assert weighted.residual_sd == pytest.approx(removed.residual_sd)


def test_many_rows_are_screened_in_part_and_fitted_in_whole():
    """The starts are screened on some of the rows; the minimum is that of all."""
    table = runs(n=4500)
    fit = fit_law(table, "chinchilla")
    again = fit_law(table.sample(frac=1, random_state=2), "chinchilla")
    same(fit, again, rtol=1e-5)
    assert_allclose(fit.values["alpha"], 0.34, atol=0.01)
    assert (
        fit.objective_value
        < fit.objective.rho(
            np.log(runs(n=4500, sd=0)["L"] / table["L"]).to_numpy()
        ).sum()
    )


def test_an_outlier_moves_a_robust_fit_little():
    table = runs()
    spoilt = table.copy()
    spoilt.loc[3, "L"] *= 100
    for name, moved in (("huber", 0.02), ("lad", 0.02)):
        chosen = Objective(name=name)
        here = fit_law(table, "chinchilla", objective=chosen)
        there = fit_law(spoilt, "chinchilla", objective=chosen)
        assert abs(here.value("alpha") - there.value("alpha")) < moved


def test_huber_with_a_large_delta_is_least_squares():
    table = runs()
    same(
        fit_law(table, "chinchilla", objective=LEAST_SQUARES),
        fit_law(table, "chinchilla", objective=Objective(delta=10.0)),
    )


def test_huber_with_a_small_delta_is_least_absolute_deviation():
    table = runs()
    lad = fit_law(table, "chinchilla", objective=Objective(name="lad"))
    huber = fit_law(table, "chinchilla", objective=Objective(delta=1e-10))
    assert_allclose(huber.objective_value / 1e-10, lad.objective_value, rtol=1e-6)
    assert_allclose(huber.theta, lad.theta, rtol=1e-5)


# --- Held -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", TRUTH)
@pytest.mark.parametrize("objective", ["huber", "lsq", "lad"])
def test_a_fixed_parameter_has_its_value(name, objective):
    """In its own units, to rounding, however flat its valley."""
    chosen = Objective(name=objective)
    fit = fit_law(runs(), "chinchilla", fix={name: TRUTH[name]}, objective=chosen)
    assert fit.value(name) == pytest.approx(TRUTH[name], rel=1e-14)
    assert fit.free.sum() == 4
    assert fit.certificate.warnings == ()


@pytest.mark.parametrize("name", TRUTH)
def test_fixing_at_the_optimum_changes_nothing(name):
    free = fit_law(runs(), "chinchilla")
    same(free, fit_law(runs(), "chinchilla", fix={name: free.value(name)}), 1e-5)


def test_a_tie_is_the_tied_law():
    fits = [
        fit_law(runs(), "chinchilla-tied"),
        fit_law(runs(), "chinchilla", tie={"beta": "alpha"}),
        fit_law(runs(), "chinchilla", tie={"alpha": "beta"}),
    ]
    for fit in fits:
        same(fits[0], fit)
        assert fit.value("alpha") == fit.value("beta")
        assert (fit.degrees, fit.free.sum()) == (36, 4)
    assert fits[0].objective_value >= fit_law(runs(), "chinchilla").objective_value


def test_parameters_of_one_kind_and_another_are_tied():
    """A scale is carried as its logarithm, a floor is not: their values are equal."""
    here = fit_law(runs(), "chinchilla", tie={"E": "A"})
    there = fit_law(runs(), "chinchilla", tie={"A": "E"})
    assert here.value("E") == here.value("A")
    assert_allclose(there.objective_value, here.objective_value, rtol=1e-8)


def test_a_tie_to_a_fixed_value_holds_both():
    fit = fit_law(runs(), "chinchilla", tie={"beta": "alpha"}, fix={"alpha": 0.3})
    assert (fit.value("alpha"), fit.value("beta")) == (0.3, 0.3)
    assert fit.free.sum() == 3


@pytest.mark.parametrize("name", ["huber", "lsq", "lad"])
@pytest.mark.parametrize(
    ("parameter", "low", "high", "at"),
    [("alpha", 0, 0.2, 0.2), ("E", 1.8, 9, 1.8), ("A", 1, 50, 50)],
)
def test_a_fit_at_a_bound_is_that_held_there(name, parameter, low, high, at):
    chosen = Objective(name=name)
    bounded = fit_law(
        runs(), "chinchilla", bound={parameter: (low, high)}, objective=chosen
    )
    held = fit_law(runs(), "chinchilla", fix={parameter: at}, objective=chosen)
    assert_allclose(bounded.objective_value, held.objective_value, rtol=1e-8)
    assert bounded.certificate.at_bounds == (parameter,)
    assert f"AT A BOUND: {parameter}" in bounded.certificate.warnings


def test_bounds_that_do_not_bind_change_nothing():
    free = fit_law(runs(), "chinchilla")
    bound = {"alpha": (0.1, 0.9), "E": (0.5, 2.0), "A": (1.0, 1e6)}
    same(free, fit_law(runs(), "chinchilla", bound=bound))


def test_a_refit_holds_otherwise_or_takes_other_rows():
    fit = fit_law(runs(), "chinchilla")
    held = fit.formula.fix({"E": 1.7})
    same(fit.refit(formula=held), fit_law(runs(), "chinchilla", fix={"E": 1.7}))
    rows = np.arange(5, 40)
    same(fit.refit(rows=rows), fit_law(runs().iloc[rows], "chinchilla"))


# --- Refused --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda t: t[:4], {}, "5 free parameters, but the 4 rows; expected at least 5"),
        (lambda t: t[:0], {}, "5 free parameters, but the 0 rows"),
        (
            lambda t: pd.concat([t[:4]] * 5),
            {},
            "the 20 rows hold 4 different N, D; expected at least 5",
        ),
        (
            lambda t: t[:3],
            {"fix": {"E": 1.0}},
            "4 free parameters, but the 3 rows; expected at least 4",
        ),
        (
            lambda t: t,
            {"fix": TRUTH},
            "all parameters of law chinchilla are fixed; nothing is left",
        ),
        (
            lambda t: t.assign(L=t["L"] - 3),
            {"objective": Objective()},
            "log loss needs positive losses: use --loss-space linear",
        ),
        (
            lambda t: t,
            {"fix": {"E": 4.0}},
            "E is fixed at 4, but the loss is .* in row .*fix it lower",
        ),
        (lambda t: t.assign(L=np.nan), {}, "40 rows.*L_u is not known|not known.*40"),
        (lambda t: t.assign(weight=0.0), {}, "weight"),
        (lambda t: t.assign(weight=-1.0), {}, "weight"),
        (lambda t: t.assign(weight=[1.0] * 4 + [0.0] * 36), {}, "4 rows"),
    ],
)
def test_rows_that_cannot_determine_the_law_are_refused(change, options, message):
    with pytest.raises(ScalingError, match=message):
        fit_law(change(runs()), "chinchilla", **options)


@pytest.mark.parametrize("name", ["log", "power", "power-floor"])
def test_one_level_of_compute_is_refused(name):
    table = pd.DataFrame({"C": 1e20, "L": np.linspace(2, 3, 10)})
    with pytest.raises(ScalingError, match="10 rows hold 1 different C; expected"):
        fit_law(table, name)


# --- Said -----------------------------------------------------------------------------


def finite(fit: Fit) -> bool:
    numbers = [*fit.values.values(), fit.objective_value, *fit.residuals]
    return bool(np.isfinite(numbers).all())


@pytest.mark.parametrize(
    ("law", "change"),
    [
        ("chinchilla", lambda t: t.assign(N=1e8)),
        ("chinchilla", lambda t: t.assign(D=1e10)),
        ("chinchilla", lambda t: t.assign(D=20 * t["N"])),
        ("chinchilla", lambda t: t.assign(L=3.0)),
        ("power-floor", lambda t: t.assign(L=3.0)),
        ("chinchilla", lambda t: t[:5]),
        ("chinchilla", lambda t: t.assign(L=10 - t["L"])),
    ],
)
@pytest.mark.parametrize("name", NAMES)
def test_rows_that_say_too_little_make_a_doubtful_fit(law, change, name):
    table = change(runs())
    fit = fit_law(table, law, rows="all", objective=Objective(name=name))
    assert finite(fit)
    assert fit.certificate.status == "doubtful"


@pytest.mark.parametrize("name", ["power", "log"])
def test_losses_that_are_all_equal_are_a_flat_law(name):
    table = pd.DataFrame({"C": np.geomspace(1e18, 1e22, 9), "L": 3.0})
    fit = fit_law(table, name)
    assert_allclose(fit.predict(table), 3.0)
    assert abs(fit.values["a" if name == "log" else "alpha"]) < 1e-12


def test_parameters_that_occur_only_as_a_product_are_a_flat_direction():
    own = Formula(
        name="own",
        text="E + p * q / C**0.1",
        inputs=("C",),
        parameters=(
            Parameter(name="E"),
            Parameter(name="p"),
            Parameter(name="q", starts=(0.5, 2.0)),
        ),
    )
    fit = fit_law(runs(), own, rows="all")
    assert any("FLAT DIRECTION" in warning for warning in fit.certificate.warnings)


def test_a_second_minimum_is_said():
    certificate = fit_law(runs(), "chinchilla").certificate
    found = replace(certificate, gap=2e-4, agree=2, converged=False)
    words = " ".join(found.warnings)
    assert "SECOND MINIMUM only 0.02 % higher" in words
    assert "FEW STARTS AGREE: 2 of 32" in words
    assert "NOT CONVERGED" in words
    assert found.status == "doubtful"


def test_a_loss_below_zero_is_fitted_as_it_is():
    table = runs()
    table["L_u"] = table.pop("L") - 5
    fit = fit_law(table, "chinchilla")
    assert fit.objective.space == "linear"
    assert fit.value("E") < 0
    assert fit.certificate.warnings == ()


@pytest.mark.parametrize(
    "name", ["chinchilla", "chinchilla-tied", "power-floor", "log"]
)
def test_warnings_are_rare_where_the_rows_suffice(name):
    doubtful = [
        fit.certificate.warnings
        for seed in range(12)
        for fit in [fit_law(runs(seed=seed), name, rows="all")]
        if fit.certificate.status == "doubtful"
    ]
    assert len(doubtful) <= 1, doubtful


@pytest.mark.parametrize("name", LAWS)
def test_noise_ends_in_a_fit(name):
    """Of pure noise a fit has finite numbers; where it is doubtful, it says so."""
    random = np.random.default_rng(11)
    n = 30
    values = np.exp(random.uniform(5, 25, (6, n)))
    table = pd.DataFrame(
        dict(zip(["N", "D", "U", "N_nv", "N_v", "C"], values, strict=True))
    )
    for objective in (Objective(), LEAST_SQUARES):
        table["L"] = 3 * np.exp(random.standard_normal(n))
        fit = fit_law(table, name, rows="all", objective=objective)
        assert finite(fit)


def test_a_certificate_is_good_or_doubtful():
    good = Certificate(
        starts=49,
        polished=32,
        agree=32,
        gap=None,
        gradient_norm=1e-12,
        edm=1e-20,
        converged=True,
        condition=1e5,
        at_bounds=(),
    )
    assert good.status == "good"
    assert "FLAT DIRECTION" in replace(good, condition=math.inf).warnings[0]
    assert "FLAT DIRECTION" in replace(good, condition=math.nan).warnings[0]
    assert "FEW STARTS" not in " ".join(replace(good, polished=1, agree=1).warnings)
