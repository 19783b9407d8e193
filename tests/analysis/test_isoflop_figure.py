"""The isoFLOP figure: profiles, minima and their intervals, against the profiles."""

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure as Page
from scipy.stats import t as student

from scaling.analysis.isoflop import isoflop
from scaling.analysis.isoflop_figure import isoflop_figure
from scaling.analysis.records import read
from scaling.errors import ScalingError

from .conftest import isoflop_table
from .figure_kit import assert_readable


@pytest.fixture(scope="module")
def figure(isoflops):
    return isoflop_figure(read(isoflops))


def of(figure, kind):
    return figure.table[figure.table["kind"] == kind]


def test_it_reads_well(figure):
    assert_readable(figure)


def test_the_minima_are_those_of_the_profiles(figure, isoflops):
    found = isoflop(read(isoflops).points(), "N")
    minima = of(figure, "minimum")
    assert minima["N"].tolist() == [profile.size for profile in found.used]
    assert minima["near_high"].tolist() == [profile.high for profile in found.used]
    assert figure.laws == found.laws


def test_intervals_are_students_in_the_logarithm(figure, isoflops):
    se = np.array([p.size_se for p in isoflop(read(isoflops).points(), "N").used])
    minima = of(figure, "minimum")
    wanted = student.ppf(0.975, 7 - 3) * se
    np.testing.assert_allclose(np.log(minima["high"] / minima["N"]), wanted)
    np.testing.assert_allclose(np.log(minima["N"] / minima["low"]), wanted)


def test_the_parabola_that_is_drawn_goes_through_exact_runs():
    u = np.linspace(-1, 1, 5)
    table = pd.concat(
        [
            pd.DataFrame(
                {"flops": C, "total_params": C**0.5 * np.exp(u), "loss": 2 + 0.3 * u**2}
            )
            for C in (1e18, 1e20)
        ]
    )
    figure = isoflop_figure(read(table))
    lines = figure.draw().get_lines()
    drawn = [line for line in lines if len(line.get_xdata()) == 100]
    assert len(drawn) == 2
    x, y = np.array(drawn[0].get_data(), float)
    np.testing.assert_allclose(y, 2 + 0.3 * np.log(x / 1e9) ** 2, atol=1e-9)


def test_a_minimum_at_the_edge_is_hollow_with_its_reason(isoflops):
    first = isoflops["flops"].min()
    cut = isoflops[(isoflops["flops"] > first) | (isoflops["total_params"] > 9e7)]
    figure = isoflop_figure(read(cut))
    refused = of(figure, "refused")
    assert refused["C"].tolist() == [pytest.approx(first)]
    assert "lowest at the smallest size tried" in refused["reason"].iloc[0]
    assert "Hollow, no minimum at 1e18 FLOPs: the parabola is lowest" in figure.caption
    assert_readable(figure)


def curves():
    """Train 4 sizes with 2 codebooks, and evaluate each 12 times, never at one C."""
    rows = []
    models = itertools.product((1e4, 4e4, 16e4, 64e4), (64, 256))
    for k, (N, V) in enumerate(models):
        for C in 1.08**k * np.geomspace(1e10, 1e13, 12):
            D = C / (6 * N)
            loss = 30 / N**0.4 + 40 / D**0.35 + 0.01 * (V == 64) - 3
            at = {"flops": C, "tokens": D, "normalised_loss": loss}
            model = {"codebook_size": V, "non_vocab_params": N, "vocab_params": 16 * V}
            rows.append({"run": f"{N}-{V}", **at, **model})
    return pd.DataFrame(rows)


def test_training_curves_are_read_at_budgets_and_it_says_so():
    figure = isoflop_figure(read(curves()))
    assert figure.size == "N_nv"
    assert "Profiles read off training curves at 8 budgets" in figure.caption
    assert "the best of its codebooks with a run as long" in figure.caption
    assert set(figure.table["V"].dropna()) == {256}
    assert_readable(figure)


def test_runs_of_one_evaluation_are_read_between_their_ends():
    table = curves()
    ends = table.assign(run=[f"run-{k}" for k in range(len(table))])
    ended = isoflop_figure(read(ends))
    along = isoflop_figure(read(table))
    assert "between the ends of runs" in ended.caption
    columns = ["C", "N_nv", "L_u"]
    pd.testing.assert_frame_equal(of(ended, "run")[columns], of(along, "run")[columns])


def test_of_seeds_the_mean_is_read():
    table = curves()
    names = [f"run-{k}" for k in range(len(table))]
    loss = table["normalised_loss"]
    seeds = [
        table.assign(run=[f"{n}-{k}" for n in names], normalised_loss=loss + shift)
        for k, shift in enumerate((-0.1, 0.1))
    ]
    both = isoflop_figure(read(pd.concat(seeds))).table
    alone = isoflop_figure(read(table.assign(run=names))).table
    np.testing.assert_allclose(both["L_u"], alone["L_u"])


def test_what_cannot_be_profiled_is_refused(scamo, isoflops):
    with pytest.raises(ScalingError, match="no budget has runs of more than 2 sizes"):
        isoflop_figure(scamo)  # its curves are of few sizes at any compute
    nameless = read(isoflops.drop(columns=["total_params", "tokens"]))
    with pytest.raises(ScalingError, match="the size of the models"):
        isoflop_figure(nameless)


def test_of_many_budgets_some_are_named():
    C, u = np.meshgrid(np.geomspace(1e18, 1e22, 30), np.linspace(-1, 1, 5))
    loss = 3 + 0.3 * u**2 - 0.1 * np.log10(C / 1e18)
    N = (C**0.5 * np.exp(u)).ravel()
    columns = {"flops": C.ravel(), "total_params": N, "loss": loss.ravel()}
    figure = isoflop_figure(read(pd.DataFrame(columns)))
    assert len(of(figure, "minimum")) == 30
    assert_readable(figure)


def test_it_stands_in_a_grid_of_others(figure):
    page = Page(layout="constrained")
    place = page.subplots(1, 2)[1]
    axes = figure.draw(place)
    assert axes.get_figure() is page
    assert not place.axison


def test_noise_does_not_change_the_drawing_of_another_seed():
    one, two = (isoflop_figure(read(isoflop_table(seed=3))) for _ in range(2))
    assert one.svg() == two.svg()
    other = isoflop_figure(read(isoflop_table(seed=4)))
    assert replace(one, table=other.table, laws=other.laws).svg() != one.svg()
