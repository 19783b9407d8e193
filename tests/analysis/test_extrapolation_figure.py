"""Errors by distance: those of the expanding window, row by row."""

from pathlib import Path

import numpy as np
import pytest

from scaling.analysis.extrapolation_figure import extrapolation_figure
from scaling.analysis.fitting import fit_law
from scaling.analysis.holdout import expanding, foretell
from scaling.analysis.intervals import uncertainty
from scaling.analysis.objective import Objective
from scaling.analysis.records import read
from scaling.errors import ScalingError

from .conftest import isoflop_table
from .figure_kit import assert_readable

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def figure(law_fit):
    return extrapolation_figure(law_fit)


def part(figure, kind):
    table = figure.to_frame()
    return table[table["kind"] == kind].reset_index(drop=True)


@pytest.mark.parametrize(
    ("source", "law"),
    [("small", "codebook"), ("scamo", "log"), ("first-light", "power-floor")],
)
def test_it_is_readable(request, source, law):
    if source == "first-light":
        rows = read([ROOT / "docs/first-light/runs.csv"])
    else:
        rows = request.getfixturevalue(source)
    assert_readable(extrapolation_figure(fit_law(rows, law)))


def test_that_of_isoflops_is_readable(figure):
    assert_readable(figure)


@pytest.mark.parametrize("source", ["isoflops", "small"])
def test_errors_are_those_of_the_expanding_window(request, source, law_fit):
    fit = law_fit
    if source == "small":
        fit = fit_law(request.getfixturevalue(source), "codebook")
    rows = part(extrapolation_figure(fit), "predicted")
    window = expanding(fit.sample, fit.formula, fit.objective)
    assert rows["cut"].nunique() == len(window.folds)
    for fold in window.folds:
        of = rows[rows["cut"] == fold.start]
        assert len(of) == fold.n
        assert set(of["trained"]) == {fold.trained}
        assert np.sqrt((of["error"] ** 2).mean()) == pytest.approx(fold.rmse, rel=1e-9)
        assert of["error"].mean() == pytest.approx(fold.mean, rel=1e-9, abs=1e-12)


def test_distance_is_compute_over_the_largest_fitted(figure):
    """Budgets a decade apart, cut between them: distances are powers of ten."""
    rows = part(figure, "predicted")
    decades = np.log10(rows["distance"])
    np.testing.assert_allclose(decades, decades.round(), atol=1e-6)
    assert set(decades.round().astype(int)) == {1, 2, 3}


def test_inside_is_whether_the_interval_holds_the_error(figure):
    rows = part(figure, "predicted")
    held = rows["error"].between(rows["low"], rows["high"])
    np.testing.assert_array_equal(held, rows["inside"] == 1)
    assert ((rows["low"] < 0) & (rows["high"] > 0)).all()


def test_bins_sum_up_the_rows(figure):
    rows, bins = part(figure, "predicted"), part(figure, "bin")
    assert len(bins) == 3
    for _, each in bins.iterrows():
        of = rows[rows["distance"].between(each["from"], each["to"])]
        assert each["error"] == pytest.approx(np.sqrt((of["error"] ** 2).mean()))
        assert each["inside"] == of["inside"].mean()
        assert each["high"] == of["high"].median()


def test_an_exact_law_errs_by_rounding_alone(exact_isoflops):
    figure = extrapolation_figure(fit_law(read(exact_isoflops), "chinchilla"))
    assert part(figure, "predicted")["error"].abs().max() < 1e-5


def test_a_wrong_law_errs_more_the_farther_it_reaches():
    """Without a floor the loss is predicted too low, and ever more so."""
    rows = read(isoflop_table(noise=0))
    figure = extrapolation_figure(fit_law(rows, "power", rows="all"))
    bins = part(figure, "bin")
    assert (bins["error"].diff().dropna() > 0).all()
    farthest = part(figure, "predicted").query("distance > 500")
    assert (farthest["error"] > 0).all()


def test_intervals_that_say_little_say_so():
    """Nothing is told by hits where the interval is many times the error."""
    first_light = read([ROOT / "docs/first-light/runs.csv"])
    wide = extrapolation_figure(fit_law(first_light, "codebook"))
    rows = part(wide, "predicted")
    error = np.sqrt((rows["error"] ** 2).mean())
    assert (rows["high"] - rows["low"]).mean() / 2 > 3 * error
    assert "SAYS LITTLE" in wide.heading[-1]
    wrong = fit_law(read(isoflop_table(noise=0)), "power", rows="all")
    assert "SAYS LITTLE" not in extrapolation_figure(wrong).heading[-1]


def test_a_lower_envelope_has_no_shares(isoflops):
    lower = Objective(name="asymmetric", space="log")
    fit = fit_law(read(isoflops), "chinchilla", objective=lower)
    figure = extrapolation_figure(fit)
    assert part(figure, "predicted")["inside"].isna().all()
    assert "inside" not in "".join(figure.heading)
    assert_readable(figure)


def test_losses_are_those_of_predictions(law_fit):
    """`foretell` says of one row what it says of many."""
    uncertain, rows = uncertainty(law_fit), law_fit.sample.table
    many, one = foretell(uncertain, rows), foretell(uncertain, rows.iloc[[5]])
    np.testing.assert_allclose(many.iloc[[5]], one, rtol=1e-12)
    assert (many["new_low"] < many["law_low"]).all()
    assert (many["law_high"] < many["new_high"]).all()


def test_too_few_rows_are_refused(isoflops):
    fit = fit_law(read(isoflops[isoflops["flops"] < 2e19]), "chinchilla")
    with pytest.raises(ScalingError, match="no cut of 14 rows"):
        extrapolation_figure(fit)
