"""The figure of a law over its data: the law that predictions are made by, and errors.

Its curves must be what `predict_budget` and `predict_run` say; its rows must have the
residuals of the fit; held-out rows must be predicted by a fit that did not see them.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import FillBetweenPolyCollection
from matplotlib.figure import Figure

from scaling.analysis.fit_curves import CURVES
from scaling.analysis.fit_drawing import bin_numbers, padded
from scaling.analysis.fit_figure import TOO_WIDE, fit_figure
from scaling.analysis.fitting import fit_law
from scaling.analysis.formula import Formula, Parameter
from scaling.analysis.holdout import hold_out
from scaling.analysis.intervals import uncertainty
from scaling.analysis.objective import Objective
from scaling.analysis.prediction import predict_budget, predict_run
from scaling.analysis.records import read
from scaling.errors import ScalingError

from .conftest import isoflop_table
from .figure_kit import assert_readable

ROOT = Path(__file__).parents[2]
EXAMPLE = (str(ROOT / "examples/isoflops.csv"),), {"N": "params", "D": "tokens"}
FIRST_LIGHT = (str(ROOT / "docs/first-light/runs.csv"),), {}
SCAMO = ("scamo",), {}
CASES = {
    "isoflops": (EXAMPLE, "chinchilla", None),
    "isoflops held out": (EXAMPLE, "chinchilla", 1e22),
    "coupled": (EXAMPLE, "skaling", 0.2),
    "paper": (SCAMO, "log", 0.2),
    "runs of the envelope": (FIRST_LIGHT, "power-floor", None),
    "many evaluations": (FIRST_LIGHT, "codebook", None),
}


def uncertain_of(source, law, **options):
    (paths, columns) = source
    columns = {**columns, "L": "loss"} if columns else {}
    return uncertainty(fit_law(read(paths, columns), law, **options))


@pytest.fixture(scope="module")
def uncertain(law_fit):
    return uncertainty(law_fit)


@pytest.fixture(scope="module")
def of_runs(small):
    """Evaluations of 12 runs of 4 sizes and 3 codebooks."""
    return uncertainty(fit_law(small, "codebook"))


def part(figure, *kinds):
    table = figure.to_frame()
    return table[table["kind"].isin(kinds)].reset_index(drop=True)


@pytest.mark.parametrize("name", CASES)
def test_it_is_readable(name):
    source, law, holdout = CASES[name]
    assert_readable(fit_figure(uncertain_of(source, law), holdout))


def test_evaluations_of_runs_are_readable(of_runs):
    assert_readable(fit_figure(of_runs, 0.2))


# --- The curve ----------------------------------------------------------------------


@pytest.mark.parametrize("law", ["chinchilla", "skaling"])
def test_the_curve_is_what_budgets_are_divided_by(law):
    uncertain = uncertain_of(EXAMPLE, law)
    curve = part(fit_figure(uncertain), "best")
    for k in (0, 40, 119):
        row = curve.iloc[k]
        told = predict_budget(uncertain.fit, uncertain, row["C"])
        assert row["law"] == pytest.approx(told.loss.value, rel=1e-6)
        drawn = row[["law_low", "law_high", "new_low", "new_high"]].tolist()
        ends = (told.loss.low, told.loss.high, *told.new_run)
        assert drawn == pytest.approx(ends, rel=1e-4)


def test_the_curve_spends_its_compute(uncertain):
    curve = part(fit_figure(uncertain), "best")
    np.testing.assert_allclose(6 * curve["N"] * curve["D"], curve["C"], rtol=1e-9)


def test_the_curve_reaches_a_decade_beyond_the_rows(uncertain):
    compute = uncertain.fit.sample.table["C"]
    curve = part(fit_figure(uncertain), "best")["C"]
    assert curve.min() == pytest.approx(compute.min())
    assert curve.max() == pytest.approx(10 * compute.max())
    assert compute.max() in curve.to_numpy()  # where solid becomes dashed


def test_a_law_of_compute_is_drawn_as_it_is(scamo):
    uncertain = uncertainty(fit_law(scamo, "log"))
    curve = part(fit_figure(uncertain), "law")
    a, b = uncertain.fit.value("a"), uncertain.fit.value("b")
    np.testing.assert_allclose(curve["law"], a * np.log10(curve["C"]) + b)
    told = predict_run(uncertain.fit, uncertain, {"C": curve["C"].iloc[-1]})
    last = curve.iloc[-1]
    assert last["new_low"] == pytest.approx(told.new_run[0], rel=1e-9)


def test_without_best_sizes_the_best_of_those_trained_is_drawn(small):
    """A law for which more codes are ever worse has no best codebook."""
    worse = {"alpha2": -0.3}
    uncertain = uncertainty(fit_law(small, "codebook", fix=worse))
    figure = fit_figure(uncertain)
    curve = part(figure, "trained")
    sizes = small.points()[["N_nv", "N_v"]].drop_duplicates()
    cost = 6 * (sizes["N_nv"] + sizes["N_v"]).to_numpy()  # as the rows were made
    for _, row in curve.iloc[::30].iterrows():
        losses = uncertain.fit.predict(sizes.assign(D=row["C"] / cost))
        assert row["law"] == pytest.approx(losses.min(), rel=1e-6)
        had = small.points().set_index("N_nv")["D"].groupby(level=0).max()
        most = had.iloc[np.abs(had.index - row["N_nv"]).argmin()]
        within = row["C"] <= small.points()["C"].max() * (1 + 1e-9)
        assert row["extrapolated"] == (not within or row["D"] > 1.05 * most)
    assert CURVES["trained"] in figure.caption


def test_each_size_has_its_own_curve(of_runs):
    figure = fit_figure(of_runs)
    curves = part(figure, "size")
    assert curves["run"].nunique() == 12
    np.testing.assert_allclose(curves["law"], of_runs.fit.predict(curves))
    assert "Thin lines" in figure.caption
    # of 35 sizes with a row each there is nothing to draw
    assert part(fit_figure(uncertain_of(EXAMPLE, "chinchilla")), "size").empty


def test_intervals_that_fill_the_panel_are_said_and_not_drawn():
    figure = fit_figure(uncertain_of(FIRST_LIGHT, "codebook"))
    assert not figure.bands
    assert TOO_WIDE in figure.heading
    bands = [type(c) for c in figure.draw().collections]
    assert FillBetweenPolyCollection not in bands


# --- The rows -----------------------------------------------------------------------


def test_rows_have_the_residuals_of_the_fit(uncertain, of_runs):
    for each in (uncertain, of_runs):
        rows = part(fit_figure(each), "fitted")
        np.testing.assert_allclose(rows["residual"], each.fit.residuals, atol=1e-12)
        np.testing.assert_allclose(rows["loss"], each.fit.sample.loss)


def test_held_out_rows_are_predicted_by_a_fit_without_them(uncertain):
    figure, score = fit_figure(uncertain, 1e22), hold_out(uncertain.fit, 1e22)
    held, fitted = part(figure, "held out"), part(figure, "fitted")
    assert (len(held), len(fitted)) == (7, 28)
    np.testing.assert_allclose(held["law"], score.fit.predict(held))
    error = np.sqrt(np.mean(held["residual"] ** 2))
    assert error == pytest.approx(score.rmse)
    inside = held["loss"].between(held["new_low"], held["new_high"]).mean()
    assert inside == score.coverage
    assert f"{score.rmse:.2g} log loss" in figure.heading[2]
    assert score.sentence() in figure.caption


def test_the_order_of_rows_does_not_matter():
    symbols = {"total_params": "N", "tokens": "D", "flops": "C"}
    table = isoflop_table().rename(columns=symbols)
    figures = [
        fit_figure(uncertainty(fit_law(rows, "chinchilla")))
        for rows in (table, table.iloc[::-1])
    ]
    one, other = (part(figure, "best")["law"] for figure in figures)
    np.testing.assert_allclose(one, other, rtol=1e-6)


# --- Words --------------------------------------------------------------------------


def test_the_law_is_printed_with_rounded_numbers(uncertain):
    first, second, third = fit_figure(uncertain).heading
    assert first == "L = E + A / N^α + B / D^β"
    assert "α = 0.355 ± 0.005" in second
    assert third.startswith("n = 35 evaluations fitted, scatter 0.00")


def test_parameters_that_are_not_determined_have_no_number():
    text = "\n".join(fit_figure(uncertain_of(FIRST_LIGHT, "codebook")).heading)
    assert "not determined: E, A1, α1" in text
    assert "β = 0.45 ± 0.12" in text


def test_warnings_stand_in_the_figure_in_capitals():
    uncertain = uncertain_of(FIRST_LIGHT, "codebook")
    assert "FEW STARTS AGREE" in "\n".join(fit_figure(uncertain).heading)


def test_labels_are_those_of_the_records(scamo):
    figure = fit_figure(uncertainty(fit_law(scamo, "log")), None, scamo.quantities)
    assert "FLOPs" in figure.labels["C"]
    assert "normalised" in figure.labels["L_u"].lower()


def test_a_law_of_anything_else_is_laid_out_by_it():
    table = pd.DataFrame({"width": 2.0 ** np.arange(4, 12)})
    table["L"] = 1 + 3 / table["width"] ** 0.5
    law = Formula(
        name="of-width",
        text="E + A / D**b",
        inputs=("D",),
        parameters=(
            Parameter(name="E"),
            Parameter(name="A", scale=True),
            Parameter(name="b", lower=0.0, upper=5.0, starts=(0.2, 1.0)),
        ),
    )
    figure = fit_figure(uncertainty(fit_law(table.rename(columns={"width": "D"}), law)))
    assert figure.x == "D"
    curve = part(figure, "law")
    np.testing.assert_allclose(curve["law"], 1 + 3 / curve["D"] ** 0.5, rtol=1e-4)
    assert_readable(figure)


def test_a_lower_envelope_has_no_interval_of_a_new_run(isoflops):
    records = read(isoflops)
    lower = Objective(name="asymmetric", space="log")
    figure = fit_figure(uncertainty(fit_law(records, "chinchilla", objective=lower)))
    assert part(figure, "best")[["new_low", "new_high"]].isna().all(axis=None)
    assert_readable(figure)


def test_rows_without_compute_are_refused():
    random = np.random.default_rng(0)
    table = pd.DataFrame({"N_nv": random.uniform(1e6, 1e8, 20)})
    table["V"] = random.choice([64.0, 256.0, 1024.0], 20)
    table["L"] = 2 + 50 / table["N_nv"] ** 0.3 + 1 / table["V"] ** 0.5
    law = Formula(
        name="no-data",
        text="E + A / N_nv**a + B / V",
        inputs=("N_nv", "V"),
        parameters=(
            Parameter(name="E"),
            Parameter(name="A", scale=True),
            Parameter(name="B", scale=True),
            Parameter(name="a", lower=0.0, upper=5.0, starts=(0.3,)),
        ),
    )
    with pytest.raises(ScalingError, match="compute of the rows is not known"):
        fit_figure(uncertainty(fit_law(table, law)))


def test_padded_limits_hold_all_values():
    values = [3.0, np.inf, np.nan, 7.0]
    low, high = padded(values, log=True)
    assert low < 3 < 7 < high
    assert padded([5.0], log=False) == (4.5, 5.5)


@pytest.mark.parametrize("n", [5, 9, 40, 1000])
def test_bins_share_rows_evenly(n):
    x = pd.Series(np.random.default_rng(n).lognormal(size=n))
    counts = bin_numbers(x, most=8, least=4).value_counts()
    assert len(counts) <= 8
    assert counts.max() - counts.min() <= 1
    assert counts.min() >= min(4, n // 2) or n <= 8


def test_it_stands_in_a_place_that_is_given(uncertain):
    page = Figure(figsize=(14, 6), layout="constrained")
    place, other = page.subplots(1, 2)
    ax = fit_figure(uncertain).draw(place)
    assert ax.get_figure(root=True) is page
    page.draw_without_rendering()
    assert ax.get_window_extent().x1 < other.get_window_extent().x0
