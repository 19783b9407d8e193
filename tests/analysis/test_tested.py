"""Which verifications are of a study, which of them comes first, and how it is told."""

from dataclasses import replace

import pytest

from scaling.analysis.gallery import gallery
from scaling.analysis.material import Material
from scaling.analysis.tested import all_tested, beside, foremost, rows
from scaling.analysis.verdict import verdict
from scaling.errors import ScalingError

from .verification_kit import ended, foretold, of_study, written


@pytest.fixture
def losses(isoflops, tmp_path):
    path = tmp_path / "losses.csv"
    isoflops.to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def frozen(isoflops, tmp_path_factory):
    path = tmp_path_factory.mktemp("frozen") / "losses.csv"
    isoflops.to_csv(path, index=False)
    return [foretold(path, "chinchilla", times) for times in (10, 30)]


def test_a_study_without_any_says_what_makes_one(losses):
    with pytest.raises(ScalingError, match=f"`scaling verify {losses}` makes both"):
        all_tested(Material(sources=[losses]))
    made = gallery(Material(sources=[losses]), ["3b", "fit"])
    assert "verification" not in made.captions
    with pytest.raises(ScalingError, match="cannot be made: no prediction"):
        gallery(Material(sources=[losses]), ["verification"])


def test_those_beside_a_table_are_of_its_rows_alone(losses, frozen):
    for each in frozen:
        written(losses.parent, each)
    other = losses.rename(losses.with_name("other.csv"))
    assert beside(Material(sources=[other])) == []
    assert beside(Material(sources=[losses.parent, other])) == [
        (each, None) for each in frozen
    ]
    again = other.rename(losses)
    found = [each for each, _ in beside(Material(sources=[again]))]
    assert [each.compute for each in found] == pytest.approx([1e23, 3e23])


def test_those_beside_a_file_of_laws_are_of_its_sources(small_study, tmp_path):
    small_study.save(tmp_path / "laws.json")
    written(tmp_path, of_study(small_study))
    assert len(beside(Material(sources=[tmp_path / "laws.json"]))) == 1
    other = replace(small_study, sources=("other.csv",))
    other.save(tmp_path / "other.json")
    assert beside(Material(sources=[tmp_path / "other.json"])) == []


def test_the_foremost_was_measured_at_the_most_compute(frozen):
    near, far = frozen
    found = ended(near, 0)
    assert foremost([(near, found), (far, None)]) == (near, found)
    assert foremost([(near, None), (far, None)]) == (far, None)
    assert foremost([(near, found), (far, ended(far, 0))])[0] == far


def test_the_gallery_draws_the_foremost(losses, frozen):
    written(losses.parent, frozen[0], 0.2)
    written(losses.parent, frozen[1])
    made = gallery(Material(sources=[losses]), ["verification"])
    assert frozen[0].digest[:12] in made["verification"].caption


def test_a_row_says_all_in_words(losses, frozen):
    written(losses.parent, frozen[0], -4)
    written(losses.parent, frozen[1])
    missed, waiting = rows(Material(sources=[losses]))
    assert (missed.beyond, missed.place, missed.missed) == (
        "10",
        "OUTSIDE THE 90 % INTERVAL",
        True,
    )
    assert missed.error.startswith("\N{MINUS SIGN}")
    assert missed.digest == frozen[0].digest[:12]
    assert (waiting.measured, waiting.place) == ("not trained yet", "")


def test_a_verdict_believes_what_came_true(losses, frozen):
    written(losses.parent, frozen[0], 0.2)
    written(losses.parent, frozen[1])
    found = verdict(Material(sources=[losses]))
    assert found.firm
    assert "Put to the test: a run at 10 times the most compute" in found.reasons[0]
    assert "inside the 50 % interval" in found.reasons[0]


def test_a_verdict_doubts_laws_whose_prediction_missed(losses, frozen):
    written(losses.parent, frozen[0], 5)
    found = verdict(Material(sources=[losses]))
    assert not found.firm
    (said,) = found.warnings
    assert said.startswith("PREDICTION MISSED: a run at 10 times")
    assert "above the prediction of law chinchilla" in said
    (remedy,) = found.advice
    assert remedy == "Look at the residuals: a law may have the wrong form here"


def test_a_verdict_doubts_a_prediction_that_was_changed(losses, frozen):
    path = written(losses.parent, frozen[0], 0) / "prediction.json"
    path.write_text(path.read_text().replace('"rows": 35', '"rows": 36'))
    found = verdict(Material(sources=[losses]))
    (said,) = found.warnings
    assert said.startswith("BROKEN SEAL: ")
    assert "changed after it was frozen" in said
    assert not any("Put to the test" in each for each in found.reasons)
