"""Whichever laws a file holds, it predicts; what it is not, is said."""

import json

import pytest

from scaling.analysis.card import card
from scaling.analysis.fitting import fit_law
from scaling.analysis.laws_file import load_laws
from scaling.analysis.prediction import predict_budget
from scaling.analysis.records import read
from scaling.errors import ScalingError


@pytest.fixture
def path(law_fit, tmp_path):
    card(law_fit).save(tmp_path / "laws.json")
    return tmp_path / "laws.json"


def test_a_card_predicts_as_its_fit_does(path, law_fit):
    found = load_laws(path).budget(1e21)
    made = card(law_fit)
    assert found == predict_budget(made.fit, made.uncertainty, 1e21)


def test_a_study_predicts_by_its_lines(scamo_study, tmp_path):
    scamo_study.save(tmp_path / "laws.json")
    laws = load_laws(tmp_path / "laws.json")
    assert laws.budget(1e18).law == laws.run({"C": 1e18}).law == "of the envelope"
    with pytest.raises(ScalingError, match="know compute alone, not N; expected"):
        laws.run({"N": 1e9})


def test_a_run_is_built_in_the_rows_own_convention(path):
    laws = load_laws(path)
    built = laws.built(laws.budget(1e20), 1000, None).configuration
    assert built.convention == "6nd"  # the rows follow C = 6 N D
    assert 0.99 < built.of_budget <= 1
    other = laws.built(laws.budget(1e20), 1000, "matmul").configuration
    assert other.convention == "matmul"


def test_without_a_codebook_nothing_is_built_and_why_is_said(path):
    laws = load_laws(path)
    assert "give --codebook V" in laws.built(laws.budget(1e20), None, None).not_built


def test_rows_of_one_codebook_build_with_it(isoflops, tmp_path):
    records = read(isoflops.assign(codebook_size=512))
    card(fit_law(records, "chinchilla")).save(tmp_path / "laws.json")
    laws = load_laws(tmp_path / "laws.json")
    built = laws.built(laws.budget(1e20), None, None).configuration
    assert built.codebook_size == 512


def test_a_law_of_compute_chooses_nothing(isoflops, tmp_path):
    card(fit_law(read(isoflops), "power-floor")).save(tmp_path / "laws.json")
    laws = load_laws(tmp_path / "laws.json")
    prediction = laws.built(laws.budget(1e20), None, None)
    assert prediction.not_built == "the law chooses no size"
    assert dict(prediction.quantities) == {}


def test_the_rate_of_the_data_is_asked_for(path):
    laws = load_laws(path)
    assert laws.tokens_per_second(7.5) == 7.5
    with pytest.raises(ScalingError, match="--tokens-per-second RATE"):
        laws.tokens_per_second(None)
    with pytest.raises(ScalingError, match="expected more than 0"):
        laws.tokens_per_second(0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not JSON"),
        ("[1]", "holds no laws"),
        (json.dumps({"kind": "approaches", "schema": 1}), "it is kind 'approaches'"),
        (json.dumps({"kind": "fit", "schema": 2}), "schema 2"),
        (json.dumps({"kind": "fit", "schema": 1}), "has no field 'intervals'"),
        (json.dumps({"schema": 1}), "has no field"),
    ],
)
def test_what_holds_no_laws_is_refused(tmp_path, text, message):
    (tmp_path / "laws.json").write_text(text)
    with pytest.raises(ScalingError, match=message):
        load_laws(tmp_path / "laws.json")


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ScalingError, match=r"none\.json does not exist; expected the"):
        load_laws(tmp_path / "none.json")
