"""A prediction and its test: what is drawn is what was frozen and measured."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.text import Text

from scaling.analysis.card import card
from scaling.analysis.fitting import fit_law
from scaling.analysis.objective import Objective
from scaling.analysis.outlook import fitted_range
from scaling.analysis.records import read
from scaling.analysis.verification import Interval
from scaling.analysis.verification_figure import verification_figure

from .conftest import isoflop_table
from .figure_kit import assert_readable
from .verification_kit import codebook_table, ended, foretold, of_study

WORDS = {
    None: "NOT TRAINED YET",
    0.1: "inside the 50 % interval",
    -0.8: "inside the 90 % interval",
    4.0: "OUTSIDE THE 90 % INTERVAL",
}
"""What is said of a run that ended so far off, in half 90 % intervals."""


@pytest.fixture(scope="module")
def envelope(small_study):
    return of_study(small_study)


@pytest.fixture(scope="module")
def chinchilla(tmp_path_factory):
    path = tmp_path_factory.mktemp("isoflops") / "isoflops.csv"
    isoflop_table().to_csv(path, index=False)
    return foretold(path, "chinchilla")


@pytest.fixture(scope="module")
def codebook(tmp_path_factory):
    path = tmp_path_factory.mktemp("codebook") / "codebook.csv"
    codebook_table().to_csv(path, index=False)
    return foretold(path, "codebook", 30)


@pytest.fixture(params=["envelope", "chinchilla", "codebook"])
def frozen(request):
    return request.getfixturevalue(request.param)


def part(figure, kind):
    table = figure.to_frame()
    return table[table["kind"] == kind].reset_index(drop=True)


def drawn(frozen, share=None):
    return verification_figure(frozen, None if share is None else ended(frozen, share))


@pytest.mark.parametrize("share", [None, 0.1])
def test_it_is_readable(frozen, share):
    assert_readable(drawn(frozen, share))


@pytest.mark.parametrize("share", WORDS)
def test_it_is_readable_however_it_ended_and_says_so(chinchilla, share):
    figure = drawn(chinchilla, share)
    assert_readable(figure)
    assert [words for words in WORDS.values() if words in figure.heading[-1]] == [
        WORDS[share]
    ]


def test_the_table_holds_what_was_frozen_and_measured(frozen):
    found, told = ended(frozen, -0.5, flops=1.01 * frozen.compute), frozen.new_run
    figure = verification_figure(frozen, found)
    (dot,) = part(figure, "predicted").to_dict("records")
    assert (dot["C"], dot["loss"]) == (frozen.compute, told.value)
    for level, ends in (("50", told.fifty), ("90", told.ninety)):
        assert (dot[f"low_{level}"], dot[f"high_{level}"]) == (ends.low, ends.high)
    (star,) = part(figure, "measured").to_dict("records")
    assert (star["C"], star["loss"]) == (found.flops, found.measured)
    assert part(verification_figure(frozen), "measured").empty


def test_points_are_the_rows_that_the_law_was_fitted_to(chinchilla, envelope):
    rows = part(drawn(chinchilla), "fitted")
    table = isoflop_table()
    assert rows["loss"].tolist() == table["loss"].tolist()
    assert rows["C"].tolist() == table["flops"].tolist()
    study, figure = envelope.predictor.study, drawn(envelope)
    on = study.frontier[~study.held_out(study.frontier)]
    assert set(part(figure, "fitted")["run"]) == set(on["run"])
    assert len(part(figure, "fitted")) + len(part(figure, "run")) == len(study.minima)


def test_the_line_is_the_law_and_ends_at_the_prediction(frozen):
    """Between the budgets that the law was asked for, to a thousandth of its fall."""
    line, laws = part(drawn(frozen), "law"), frozen.predictor
    fall = np.ptp(line["loss"])
    assert line["C"].iloc[-1] == pytest.approx(frozen.compute)
    assert line["loss"].iloc[-1] == pytest.approx(frozen.new_run.value, abs=1e-9 * fall)
    assert fitted_range(laws)[1] == pytest.approx(
        line["C"][(line["C"] - fitted_range(laws)[1]).abs().idxmin()]
    )
    for k in (7, 40, 77):
        told = laws.budget(float(line["C"][k]), level=0.9)
        assert line["loss"][k] == pytest.approx(told.loss.value, abs=1e-3 * fall)
        assert line["high_90"][k] == pytest.approx(told.new_run[1], abs=3e-3 * fall)


def test_a_dot_may_lie_off_the_line(chinchilla):
    """The run that can be built is not the best that there could be."""
    built = replace(chinchilla.new_run, value=chinchilla.new_run.value + 0.01)
    figure = drawn(replace(chinchilla, new_run=built))
    line = part(figure, "law")["loss"].iloc[-1]
    assert part(figure, "predicted")["loss"][0] - line == pytest.approx(0.01)


def test_an_interval_wider_than_the_panel_is_said(chinchilla):
    told, ends = chinchilla.new_run, Interval(low=-90.0, high=90.0)
    wide = replace(chinchilla, new_run=replace(told, fifty=ends, ninety=ends))
    figure = drawn(wide)
    title = figure.draw().get_title("left")
    assert "INTERVAL WIDER THAN THIS PANEL" in title
    assert "WIDER" not in drawn(chinchilla).draw().get_title("left")
    assert_readable(figure)


def test_a_law_without_an_interval_has_no_band(chinchilla, isoflops):
    lower = Objective(name="asymmetric", space="log")
    fit = fit_law(read(isoflops), "chinchilla", objective=lower)
    figure = drawn(replace(chinchilla, laws=card(fit).to_dict()))
    line = part(figure, "law")
    assert line["low_90"].isna().all()
    assert line["loss"].notna().all()
    assert "90 %, new run" not in words(figure)
    assert "90 %, new run" in words(drawn(chinchilla))


def words(figure):
    return {text.get_text() for text in figure.page().findobj(Text)}


def test_of_many_rows_an_even_choice_is_drawn(chinchilla, monkeypatch):
    monkeypatch.setattr("scaling.analysis.verification_figure.MOST_ROWS", 10)
    figure = drawn(chinchilla)
    assert len(part(figure, "fitted")) == 10
    assert "n = 35 evaluations, an even 10 of them drawn" in figure.caption


def test_the_seal_and_the_law_are_named(frozen):
    caption = drawn(frozen).caption
    assert f"digest {frozen.digest[:12]}" in caption
    assert frozen.data in caption
    assert frozen.law in caption
