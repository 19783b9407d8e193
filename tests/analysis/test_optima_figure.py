"""N*, V*, D* against compute: what predictions say, over the points they rest on."""

from dataclasses import replace

import numpy as np
import pytest

from scaling.analysis.fitting import fit_law
from scaling.analysis.intervals import uncertainty
from scaling.analysis.laws_file import Laws
from scaling.analysis.optima_figure import optima_figure
from scaling.analysis.outlook import outlook
from scaling.analysis.records import read
from scaling.analysis.study import fit as fit_study
from scaling.errors import ScalingError

from .figure_kit import assert_readable


def one_law(fit):
    return Laws(sources=("rows",), fit=fit, uncertain=uncertainty(fit))


@pytest.fixture(scope="module")
def chinchilla(law_fit):
    return one_law(law_fit)


@pytest.fixture(scope="module")
def paper(scamo_study):
    return Laws(sources=("scamo",), study=scamo_study)


def part(figure, symbol, kind="best"):
    table = figure.to_frame()
    chosen = (table["symbol"] == symbol) & (table["kind"] == kind)
    return table[chosen].reset_index(drop=True)


@pytest.mark.parametrize("name", ["chinchilla", "paper"])
def test_it_is_readable(request, name):
    assert_readable(optima_figure(request.getfixturevalue(name)))


def test_a_study_with_runs_held_out_is_readable(small_study):
    figure = optima_figure(Laws(sources=("small",), study=small_study))
    assert_readable(figure)
    held = small_study.held_out(small_study.frontier).sum()
    drawn = len(part(figure, "N_nv", "point"))
    assert drawn == len(small_study.frontier) - held


@pytest.mark.parametrize("name", ["chinchilla", "paper"])
def test_lines_are_what_is_predicted(request, name):
    laws = request.getfixturevalue(name)
    figure = optima_figure(laws)
    for symbol in figure.titles:
        line = part(figure, symbol)
        for k in (0, len(line) // 2, len(line) - 1):
            row = line.iloc[k]
            told = laws.budget(row["C"]).quantities[symbol]
            drawn = row[["value", "low", "high"]].tolist()
            assert drawn == pytest.approx([told.value, told.low, told.high])


def test_the_optimum_of_chinchilla_is_the_known_one(exact_isoflops):
    """N* = G (C / 6)^(beta / (alpha + beta)), Hoffmann et al. 2022, Eq. 4."""
    fit = fit_law(read(exact_isoflops), "chinchilla")
    line = part(optima_figure(one_law(fit)), "N")
    a, b, A, B = (fit.value(name) for name in ("alpha", "beta", "A", "B"))
    known = (a * A / (b * B)) ** (1 / (a + b)) * (line["C"] / 6) ** (b / (a + b))
    np.testing.assert_allclose(line["value"], known, rtol=1e-4)


def test_exponents_stand_over_the_panels(chinchilla):
    figure = optima_figure(chinchilla)
    assert list(figure.titles) == ["N", "D"]
    told = chinchilla.budget(1e22).exponents["N"]
    assert f"{told.value:.2f}" in figure.titles["N"]
    assert f"({told.low:.2f} to {told.high:.2f})" in figure.titles["N"]


def test_it_is_extrapolated_beyond_the_points(chinchilla):
    line = part(optima_figure(chinchilla), "D")
    np.testing.assert_array_equal(line["extrapolated"], line["C"] > 1.001e22)
    assert line["C"].max() == pytest.approx(1e23)


def test_a_table_made_before_is_drawn(paper):
    table = outlook(paper, [1e15, 1e17, 1e19])
    line = part(optima_figure(paper, table), "V")
    assert line["C"].tolist() == [1e15, 1e17, 1e19]
    assert line["value"].tolist() == table["V"].tolist()
    assert line["extrapolated"].tolist() == [False, False, True]


def test_labels_are_those_of_the_records(paper):
    figure = optima_figure(paper)
    assert list(figure.titles) == ["N_nv", "N_v", "V", "D"]
    assert figure.labels["N_nv"].startswith("Non-vocabulary FLOPs per token")


def test_an_interval_that_fills_the_panel_is_said_and_not_drawn(table):
    """The first evaluations alone hardly tell size and data apart."""
    rows = table.groupby("run").head(3).rename(columns={"non_vocab_params": "N"})
    rows = rows.drop(columns="vocab_params")
    figure = optima_figure(one_law(fit_law(read(rows), "chinchilla")))
    ax = figure.draw()
    assert "WIDER THAN THIS PANEL" in ax.get_title("left")
    assert_readable(figure)


def test_steps_between_few_values_are_said(paper):
    frontier = paper.study.frontier
    steps = (
        frontier["D"].where(frontier["D"] > 1e7, 1e6).where(frontier["D"] < 1e7, 1e8)
    )
    study = replace(paper.study, frontier=frontier.assign(D=steps))
    figure = optima_figure(replace(paper, study=study))
    assert "ONLY 2 VALUES OF D" in figure.titles["D"]
    assert "only 2 values of D: the line joins steps" in figure.caption
    assert "ONLY" not in figure.titles["N_nv"]
    assert_readable(figure)
    assert "ONLY" not in "".join(optima_figure(paper).titles.values())


def test_laws_that_choose_nothing_are_refused(scamo):
    losses = scamo.frame[["run", "flops", "normalised_loss"]].dropna()
    records = read(losses.reset_index(drop=True))
    laws = Laws(sources=("losses",), study=fit_study(records))
    with pytest.raises(ScalingError, match="say nothing of the best size or data"):
        optima_figure(laws)


def test_a_law_without_best_sizes_is_refused(small):
    fit = fit_law(small, "codebook", fix={"alpha2": -0.3})
    with pytest.raises(ScalingError, match="no best N_nv and N_v"):
        optima_figure(one_law(fit))
