"""The surface over size and codebook, against the law and what was measured."""

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize_scalar

from scaling.analysis.fitting import fit_law
from scaling.analysis.intervals import uncertainty
from scaling.analysis.prediction import predict_budget, width_law
from scaling.analysis.records import read
from scaling.analysis.surface_figure import surface_figure
from scaling.errors import ScalingError

from .figure_kit import assert_readable


def codebook_table():
    """Train 5 sizes with 4 codebooks under a law that has a best codebook for each."""
    rows = []
    for width in (16, 32, 64, 128, 256):
        for V in (64, 256, 1024, 4096):
            N_nv, N_v = 12 * width**2, V * width
            for C in np.geomspace(1e10, 1e13, 9):
                D = C / (6 * (N_nv + N_v))
                loss = -6 + 9 / N_nv**0.2 + 12 / N_v**0.25 + 90 / D**0.35
                at = {"flops": C, "tokens": D, "normalised_loss": loss}
                rows.append({"run": f"{width}-{V}", **at, "codebook_size": V})
                rows[-1] |= {"non_vocab_params": N_nv, "vocab_params": N_v}
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def uncertain():
    return uncertainty(fit_law(read(codebook_table()), "codebook"))


@pytest.fixture(scope="module")
def figure(uncertain):
    return surface_figure(read(codebook_table()), uncertain)


def of(figure, kind):
    return figure.table[figure.table["kind"] == kind]


def test_it_reads_well(figure):
    assert figure.table["kind"].unique().tolist() == ["run", "law", "ridge", "best"]
    assert_readable(figure)


def test_every_cell_spends_the_budget_and_has_the_laws_loss(figure, uncertain):
    law = of(figure, "law")
    constant, exponent = width_law(uncertain.fit)
    N_v = law["V"] * np.exp(constant) * law["N_nv"] ** exponent
    np.testing.assert_allclose(6 * (law["N_nv"] + N_v) * law["D"], law["C"], rtol=1e-6)
    wanted = -6 + 9 / law["N_nv"] ** 0.2 + 12 / N_v**0.25 + 90 / law["D"] ** 0.35
    np.testing.assert_allclose(law["L_u"], wanted, atol=1e-4)


def test_the_best_of_all_is_what_the_law_predicts(figure, uncertain):
    best = of(figure, "best").iloc[-1]
    found = predict_budget(uncertain.fit, uncertain, best["C"]).quantities
    wanted = [found[symbol].value for symbol in ("N_nv", "V", "D")]
    np.testing.assert_allclose(best[["N_nv", "V", "D"]].astype(float), wanted)


def test_the_ridge_is_the_best_codebook_of_each_size(figure, uncertain):
    constant, exponent = width_law(uncertain.fit)
    for row in of(figure, "ridge").iloc[::9].itertuples():
        width = np.exp(constant) * row.N_nv**exponent

        def loss(log_v, row=row, width=width):
            N_v = width * np.exp(log_v)
            D = row.C / (6 * (row.N_nv + N_v))
            return -6 + 9 / row.N_nv**0.2 + 12 / N_v**0.25 + 90 / D**0.35

        best = np.exp(minimize_scalar(loss, bounds=(0, 15), method="bounded").x)
        np.testing.assert_allclose(row.V, best, rtol=0.02)


def test_without_a_law_it_shows_what_was_measured(scamo):
    figure = surface_figure(scamo)
    points = scamo.points()
    assert len(of(figure, "run")) == 42
    assert of(figure, "run")["L_u"].min() == points["L_u"].min()
    best = of(figure, "ridge").set_index("size")["V"]
    lowest = points.loc[points.groupby("size")["L_u"].idxmin()].set_index("size")["V"]
    assert best.to_dict() == lowest.to_dict()
    assert "No law" not in figure.caption
    assert_readable(figure)


def test_a_law_of_other_quantities_is_not_drawn_and_it_says_so(small):
    figure = surface_figure(small, uncertainty(fit_law(small, "power-floor")))
    assert set(figure.table["kind"]) == {"run", "ridge"}
    assert figure.caption.endswith("the law is not one of N_nv, N_v and D.")


def test_a_law_without_an_optimum_is_not_drawn():
    table = codebook_table()
    rising = table["normalised_loss"] + 8 / table["vocab_params"] ** -0.1
    records = read(table.assign(normalised_loss=rising))
    figure = surface_figure(records, uncertainty(fit_law(records, "codebook")))
    assert "has no best" in figure.caption
    assert_readable(figure)


@pytest.mark.parametrize(
    ("column", "message"),
    [("codebook_size", "all runs have V = 64"), ("non_vocab_params", "N_nv = 3,072")],
)
def test_one_size_or_codebook_is_no_surface(column, message):
    table = codebook_table()
    one = table[table[column] == {"codebook_size": 64}.get(column, 3072)]
    with pytest.raises(ScalingError, match=message):
        surface_figure(read(one))


def test_a_surface_needs_codebooks(isoflops):
    with pytest.raises(ScalingError, match=r"needs N_nv.*--columns N_nv=COLUMN"):
        surface_figure(read(isoflops))
