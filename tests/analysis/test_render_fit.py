"""Cards and predictions as text, against files that a person can read."""

import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from scaling.analysis.card import card
from scaling.analysis.fitting import fit_law
from scaling.analysis.objective import Objective
from scaling.analysis.prediction import predict_budget, predict_run
from scaling.analysis.records import read
from scaling.analysis.render_fit import prediction_text, selection_text, text
from scaling.analysis.selection import compare_laws

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="module")
def good(law_fit):
    return card(law_fit, holdout=0.2)


@pytest.fixture(scope="module")
def doubtful(isoflops):
    """Sixteen rows at 20 tokens per parameter: N and D cannot be told apart."""
    rows = isoflops.assign(tokens=20 * isoflops["total_params"], flops=float("nan"))
    rows = rows.drop(columns="flops").iloc[::2]
    records = replace(read(rows), sources=("collinear.csv",))
    return card(fit_law(records, "chinchilla", objective=Objective(name="lsq")))


def matches_golden(name: str, found: str) -> None:
    """Compare with the file, but for numbers that rounding alone determines."""
    assert max(map(len, found.splitlines())) <= 100
    expected = (GOLDEN / f"{name}.txt").read_text(encoding="utf-8")
    assert f"{blurred(found)}\n" == blurred(expected)


def blurred(page: str) -> str:
    """Hide the residual decrease and gradient, which differ between machines."""
    return re.sub(r"(take|gradient) [\d.e+-]+", r"\1 #", page)


def test_a_good_card(good):
    matches_golden("card-good", text(good))
    assert "DOUBTFUL" not in text(good)


def test_a_doubtful_card_says_so_in_capitals(doubtful):
    found = text(doubtful)
    assert "DOUBTFUL: " in found
    assert "COLLINEAR" in found


def test_the_printed_card_is_the_repr(good):
    assert repr(good) == text(good)


def test_a_prediction(good):
    prediction = predict_budget(good.fit, good.uncertainty, 1e24)
    matches_golden("prediction", prediction_text(prediction))


def test_a_given_run(good):
    found = prediction_text(
        predict_run(good.fit, good.uncertainty, {"N": 1e9, "D": 2e10})
    )
    assert found.startswith("Law chinchilla at N = 1e+09, D = 2e+10\nwithin the rows")


def test_seconds_are_said(good):
    prediction = predict_budget(good.fit, good.uncertainty, 1e20).in_seconds(5)
    tokens = predict_budget(good.fit, good.uncertainty, 1e20).quantities["D"].value
    assert prediction.quantities["D"].value == pytest.approx(tokens / 5)
    assert " seconds" in prediction_text(prediction)


def test_a_selection_has_a_line_for_each_law(isoflops):
    found = selection_text(compare_laws(read(isoflops), ["chinchilla", "power"]))
    heads = [line.split()[:1] for line in found.splitlines()]
    assert heads.count(["law"]) == heads.count(["power"]) == 1
    assert heads.count(["chinchilla"]) == 2  # the sentence, and its line


def test_a_table_without_runs_or_hash_has_a_card_too(isoflops):
    table = pd.DataFrame(
        {"N": isoflops["total_params"], "D": isoflops["tokens"], "L": isoflops["loss"]}
    )
    found = text(card(fit_law(table, "chinchilla")))
    assert "35 rows of 35 runs, all evaluations\n" in found
