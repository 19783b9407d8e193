"""The outlook says at every budget what a prediction says there."""

import numpy as np
import pytest

from scaling.analysis.intervals import uncertainty
from scaling.analysis.laws_file import Laws
from scaling.analysis.outlook import PER_DECADE, fitted_range, outlook, span, symbols
from scaling.analysis.prediction import FAR
from scaling.errors import ScalingError


@pytest.fixture(scope="module")
def of_study(small_study):
    return Laws(sources=small_study.sources, study=small_study)


@pytest.fixture(scope="module")
def of_law(law_fit):
    return Laws(sources=("isoflops.csv",), fit=law_fit, uncertain=uncertainty(law_fit))


@pytest.mark.parametrize("which", ["of_study", "of_law"])
def test_each_row_is_the_prediction_at_its_budget(which, request):
    laws = request.getfixturevalue(which)
    table = outlook(laws)
    for row in (0, len(table) // 2, len(table) - 1):
        found = laws.budget(table["C"][row])
        assert table["loss"][row] == found.loss.value
        assert (table["new_low"][row], table["new_high"][row]) == found.new_run
        for symbol, each in found.quantities.items():
            assert table[symbol][row] == each.value
            assert table[f"{symbol}_low"][row] == each.low
            assert table[f"{symbol}_high"][row] == each.high
    assert set(symbols(table)) == set(found.quantities)


@pytest.mark.parametrize("which", ["of_study", "of_law"])
def test_it_spans_the_points_and_a_decade_beyond(which, request):
    laws = request.getfixturevalue(which)
    low, high = fitted_range(laws)
    table = outlook(laws)
    assert table["C"].iloc[0] == pytest.approx(low)
    assert table["C"].iloc[-1] == pytest.approx(FAR * high)
    assert (np.diff(np.log10(table["C"])) <= 1 / PER_DECADE + 1e-9).all()
    beyond = table["C"] > high * (1 + 1e-6)
    assert (table["extrapolated"] == beyond).all()


def test_the_law_that_made_the_rows_gives_its_optimum(of_law):
    """N* = G (C / 6)^a with a = beta / (alpha + beta): Hoffmann et al., Eq. 4."""
    table = outlook(of_law, [1e19, 1e21])
    alpha, beta, A, B = 0.35, 0.37, 400, 2000
    G = (alpha * A / (beta * B)) ** (1 / (alpha + beta))
    expected = G * (table["C"] / 6) ** (beta / (alpha + beta))
    assert ((table["N_low"] < expected) & (expected < table["N_high"])).all()
    np.testing.assert_allclose(6 * table["N"] * table["D"], table["C"], rtol=1e-6)


def test_budgets_are_evenly_spaced_in_the_logarithm(of_study):
    steps = np.diff(np.log(span(of_study)))
    np.testing.assert_allclose(steps, steps[0])


def test_a_study_without_laws_has_no_outlook(scamo_study):
    from dataclasses import replace

    bare = replace(scamo_study, laws={}, skipped={"L_u(C)": "1 point"})
    with pytest.raises(ScalingError, match="no law can be fitted: 1 point"):
        outlook(Laws(sources=("x",), study=bare))
