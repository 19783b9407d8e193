"""Residuals against each axis: those of the fit, and means of runs that show trends."""

from pathlib import Path

import numpy as np
import pytest

from scaling.analysis.fitting import fit_law
from scaling.analysis.records import read
from scaling.analysis.residuals_figure import BINS, residuals_figure

from .conftest import isoflop_table
from .figure_kit import assert_readable

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def of_runs(small):
    return fit_law(small, "codebook")


def part(figure, axis, kind="fitted"):
    table = figure.to_frame()
    chosen = (table["axis"] == axis) & (table["kind"] == kind)
    return table[chosen].reset_index(drop=True)


@pytest.mark.parametrize(
    ("source", "law"),
    [
        ("isoflops", "chinchilla"),
        ("small", "codebook"),
        ("small", "power-floor"),
        ("scamo", "log"),
        ("first-light", "codebook"),
    ],
)
def test_it_is_readable(request, source, law):
    if source == "first-light":
        rows = read([ROOT / "docs/first-light/runs.csv"])
    elif source == "isoflops":
        rows = read(isoflop_table())
    else:
        rows = request.getfixturevalue(source)
    assert_readable(residuals_figure(fit_law(rows, law)))


def test_there_is_a_panel_for_every_axis(of_runs, law_fit):
    names = residuals_figure(of_runs).to_frame()["axis"]
    assert list(names.unique()) == ["N_nv", "N_v", "D", "C", "V", "fitted"]
    assert list(residuals_figure(law_fit).to_frame()["axis"].unique()) == [
        *("N", "D", "C", "fitted")
    ]


def test_an_axis_on_which_rows_do_not_differ_has_no_panel(table):
    one = read(table[table["codebook_size"] == 256])
    names = residuals_figure(fit_law(one, "power-floor", rows="all")).to_frame()["axis"]
    assert set(names) == {"C", "fitted"}


def test_residuals_are_those_of_the_fit(of_runs):
    figure = residuals_figure(of_runs)
    for axis in ("N_nv", "V", "fitted"):
        rows = part(figure, axis)
        np.testing.assert_array_equal(rows["residual"], of_runs.residuals)
    loss = part(figure, "fitted")["x"] + of_runs.residuals
    np.testing.assert_allclose(loss, of_runs.sample.loss)


def test_means_are_of_runs_and_not_of_rows(of_runs):
    """Four sizes of three runs each: the error is that of three numbers."""
    figure = residuals_figure(of_runs)
    means, rows = part(figure, "N_nv", "mean"), part(figure, "N_nv")
    runs = rows.groupby(["x", "run"])["residual"].mean()
    np.testing.assert_allclose(means["residual"], runs.groupby("x").mean())
    error = runs.groupby("x").sem()
    np.testing.assert_allclose(means["high"] - means["residual"], error)
    np.testing.assert_allclose(means["residual"] - means["low"], error)
    assert (runs.groupby("x").size() == 3).all()


def test_a_wrong_form_shows_as_curvature():
    """Rows with a floor, and a law without one: too low at both ends of compute."""
    rows = read(isoflop_table(noise=0))
    right = residuals_figure(fit_law(rows, "chinchilla"))
    wrong = residuals_figure(fit_law(rows, "power", rows="all"))
    assert part(right, "C", "mean")["residual"].abs().max() < 1e-6
    means = part(wrong, "C", "mean")["residual"].to_numpy()
    assert len(means) == 5
    assert means[[0, -1]].min() > 0.01
    assert (np.diff(means, 2) > 0).all()


def test_there_are_few_means(of_runs):
    found = residuals_figure(of_runs).to_frame()
    counts = found[found["kind"] == "mean"].groupby("axis").size()
    assert counts.max() <= BINS
    assert counts["N_nv"] == 4
    assert counts["V"] == 3


def test_a_row_far_out_is_named():
    table = isoflop_table()
    table.loc[17, "loss"] *= 1.2
    figure = residuals_figure(fit_law(read(table), "chinchilla"))
    named = figure.to_frame().query("letter != ''")
    assert set(named["run"]) == {"run-17"}
    assert set(named["letter"]) == {"a"}
    assert len(named) == 4  # a panel each
    assert "1 evaluation more than 4 robust standard deviations out" in figure.caption
    assert "a: run-17, +0.18" in figure.caption
    assert_readable(figure)


def test_of_many_rows_far_out_three_runs_are_named():
    table = isoflop_table()
    table.loc[[3, 9, 15, 21], "loss"] *= np.array([1.1, 1.2, 1.3, 0.8])
    figure = residuals_figure(fit_law(read(table), "chinchilla"))
    worst = figure.to_frame().query("letter != ''").drop_duplicates("letter")
    found = dict(zip(worst["letter"], worst["run"], strict=True))
    assert found == {"a": "run-15", "b": "run-21", "c": "run-9"}
    assert "4 evaluations" in figure.caption


def test_labels_are_those_of_the_records(scamo):
    fit = fit_law(scamo, "codebook", rows="best")
    usual, known = residuals_figure(fit), residuals_figure(fit, scamo.quantities)
    assert usual.labels["N_nv"].startswith("Non-vocabulary parameters")
    assert known.labels["N_nv"].startswith("Non-vocabulary FLOPs per token")


def test_the_table_holds_what_is_drawn(of_runs):
    figure = residuals_figure(of_runs)
    ax = figure.draw()
    lines = [line for line in ax.lines if line.get_marker() == "s"]
    drawn = np.array(lines[0].get_ydata(), float)
    np.testing.assert_array_equal(drawn, part(figure, "N_nv", "mean")["residual"])
