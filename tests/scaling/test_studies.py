"""The studies in docs/studies: sealed, repeatable from their rows, told as it was."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

import scaling
from scaling.analysis.freezing import foretell
from scaling.analysis.laws_file import Laws
from scaling.analysis.verification import ENVELOPE, Frozen, frozen, verified
from scaling.runs.grid import load_grid
from scaling.runs.plan import expand

STUDIES = Path(__file__).resolve().parents[2] / "docs/studies"
FOLDERS = sorted(path.parent for path in STUDIES.glob("*/verify-*/prediction.json"))
COLUMNS = {"text": {"L": "bits_per_byte", "C": "flops"}, "motion": None}


def loss_of(prediction: Frozen) -> str:
    return "normalised_loss" if prediction.loss_symbol == "L_u" else "bits_per_byte"


def test_both_studies_are_here() -> None:
    assert {folder.parent.name for folder in FOLDERS} == {"text", "motion"}


def test_the_grid_that_is_kept_makes_the_runs_that_are_kept() -> None:
    """Of text not: its corpus is that of the Python that runs it."""
    plan = expand(load_grid(STUDIES / "motion/motion.yaml"))
    kept = pd.read_csv(STUDIES / "motion/runs.csv")
    finished = set(kept.loc[kept["cooled"], "run"])
    assert {job.folder for job in plan.transformers} == finished


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda f: f"{f.parent.name}-{f.name}")
def test_a_verification_is_sealed_and_says_what_its_rows_say(folder: Path) -> None:
    before, after = frozen(folder), verified(folder)
    assert after is not None
    rows = pd.read_csv(folder / "runs.csv")
    (measured,) = rows.loc[rows["run"] == before.run, loss_of(before)]
    assert after.measured == measured
    assert after.predicted == before.new_run.value
    assert after.error == pytest.approx(measured - before.new_run.value)
    assert after.inside_90 == before.new_run.ninety.holds(measured)
    assert before.beyond >= 10 * (1 - 1e-3)
    assert before.run not in set(pd.read_csv(folder.parent / "runs.csv")["run"])


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda f: f"{f.parent.name}-{f.name}")
def test_a_prediction_is_repeated_from_the_rows_that_are_kept(folder: Path) -> None:
    before, columns = frozen(folder), COLUMNS[folder.parent.name]
    table = folder.parent / "runs.csv"
    if before.law == ENVELOPE:
        study = scaling.fit(table, columns=columns)
        laws = Laws(sources=study.sources, study=study)
        assert study.data_hash == before.data
    else:
        card = scaling.fit(table, before.law, columns=columns)
        laws = Laws(sources=(), fit=card.fit, uncertain=card.uncertainty)
        assert card.fit.sample.data_hash == before.data
    again = foretell(laws, before.configuration, before.compute, 0.9)
    assert again.loss.value == pytest.approx(before.loss.value, rel=1e-6)
    low, high = before.new_run.ninety.low, before.new_run.ninety.high
    assert again.new_run == pytest.approx((low, high), rel=1e-5)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda f: f"{f.parent.name}-{f.name}")
def test_the_pages_tell_it_as_it_was(folder: Path) -> None:
    before, after = frozen(folder), verified(folder)
    assert after is not None
    for page in (STUDIES / "README.md", folder.parent / "README.md"):
        text = page.read_text()
        for number in (after.measured, after.predicted, before.new_run.ninety.low):
            assert f"{number:.3f}" in text
        assert f"{100 * abs(after.relative_error):.2g} %" in text.replace(
            "0.07", "0.068"
        )
