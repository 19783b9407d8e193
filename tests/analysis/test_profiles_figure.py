"""Profiles as drawn: curves through the estimate and the ends, and ends that lack."""

import numpy as np
import pytest
from matplotlib.text import Text

from scaling.analysis.fitting import fit_law
from scaling.analysis.objective import Objective
from scaling.analysis.profiles import profile_all
from scaling.analysis.profiles_figure import profiles_figure
from scaling.analysis.records import read
from scaling.errors import ScalingError

from .conftest import isoflop_table
from .figure_kit import assert_readable


@pytest.fixture(scope="module")
def figure(law_fit):
    return profiles_figure(law_fit)


@pytest.fixture(scope="module")
def narrow():
    """Two budgets of noisy runs, which leave parameters without an end."""
    rows = isoflop_table(noise=0.05).query("flops < 2e19")
    return fit_law(read(rows), "chinchilla")


@pytest.mark.parametrize(
    ("source", "law"), [("scamo", "log"), ("small", "power-floor")]
)
def test_it_is_readable(request, source, law):
    rows = request.getfixturevalue(source)
    assert_readable(profiles_figure(fit_law(rows, law)))


def test_five_parameters_are_readable(figure):
    assert_readable(figure)


def test_parameters_without_an_end_are_readable_and_said(narrow):
    figure = profiles_figure(narrow)
    table = figure.to_frame().drop_duplicates("parameter").set_index("parameter")
    missing = table["low_open"] | table["high_open"]
    assert missing.any()
    assert "another parameter's bound" in figure.caption
    shown = [text.get_text() for text in figure.page().findobj(Text)]
    assert sum("NO " in text for text in shown) == missing.sum()
    assert "no end" in shown
    assert_readable(figure)


def test_where_all_ends_are_known_none_is_said_to_lack(figure):
    shown = [text.get_text() for text in figure.page().findobj(Text)]
    assert not any("NO " in text for text in shown)
    assert "no end" not in shown
    assert "another parameter's bound" not in figure.caption


def test_curves_pass_through_the_estimate_and_the_ends(figure, law_fit):
    table = figure.to_frame()
    assert list(table["parameter"].unique()) == ["E", "A", "B", "alpha", "beta"]
    for name, of in table.groupby("parameter"):
        rise = of.set_index("value")["rise"]
        assert rise[law_fit.value(name)] == pytest.approx(0, abs=1e-9)
        assert rise[of["low"].iloc[0]] == rise[of["high"].iloc[0]] == 1
        inside = of["value"].between(of["low"], of["high"])
        assert (of["rise"][inside] <= 1 + 2e-3).all()
        assert (of["rise"][~inside] >= 1 - 2e-3).all()


def test_curves_are_the_profiles(law_fit):
    profiles = profile_all(law_fit, points=5)
    table = profiles_figure(law_fit, profiles).to_frame()
    of = table[table["parameter"] == "alpha"].set_index("value")["rise"]
    alpha = profiles["alpha"]
    least = law_fit.objective_value
    rise = (alpha.objective - least) / (alpha.threshold - least)
    np.testing.assert_allclose(of[alpha.values], rise.clip(0), atol=1e-12)


def test_least_squares_of_a_straight_line_rise_as_a_parabola(scamo):
    """So that the ends lie at Student's t, which laws.py works out by itself."""
    fit = fit_law(scamo, "log", objective=Objective(name="lsq", space="linear"))
    table = profiles_figure(fit).to_frame()
    for _, of in table.groupby("parameter"):
        half = (of["high"] - of["low"]).iloc[0] / 2
        parabola = ((of["value"] - of["estimate"]) / half) ** 2
        np.testing.assert_allclose(of["rise"], parabola, rtol=5e-3, atol=5e-3)


def test_a_wider_level_has_wider_intervals(law_fit):
    wide = profiles_figure(law_fit, level=0.99).to_frame()
    usual = profiles_figure(law_fit, profile_all(law_fit, points=3)).to_frame()
    ends = [
        t.drop_duplicates("parameter").set_index("parameter") for t in (wide, usual)
    ]
    assert (ends[0]["low"] < ends[1]["low"]).all()
    assert (ends[0]["high"] > ends[1]["high"]).all()


def test_a_fit_with_no_row_left_over_is_refused(isoflops):
    fit = fit_law(read(isoflops.iloc[[0, 6, 17, 28, 34]]), "chinchilla")
    with pytest.raises(ScalingError, match="leave nothing over"):
        profiles_figure(fit)
