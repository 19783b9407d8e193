"""The paper's tables: its own numbers for scamo, a study's own otherwise."""

import pandas as pd
import pytest

from scaling.analysis import reference
from scaling.analysis.material import Material
from scaling.analysis.tables import TABLES, save_table
from scaling.errors import ScalingError

SCAMO = Material(sources=["scamo"])


def test_the_corpus_of_the_paper_adds_up():
    table = TABLES["table5"](SCAMO)
    assert table.to_frame()["frames"].sum() == 26_866_598
    assert "26,866,598 frames of 147,497 sequences of 15 sources" in table.caption


def test_the_levels_of_the_paper_are_ours():
    """Table 6 prints the levels that the package has, and their products."""
    ours = TABLES["table6"](SCAMO).to_frame()
    printed = reference.load("table6_fsq_levels")
    assert ours["levels"].tolist() == printed["levels"].tolist()
    assert ours["V"].tolist() == printed["codebook_size"].tolist()
    assert ours["nominal V"].tolist() == (2 ** printed["target_bits"]).tolist()


def test_the_scores_of_the_paper_are_all_there():
    table = TABLES["table4"](SCAMO).to_frame()
    assert len(table) == 42
    best = table.sort_values("FID").iloc[0]
    assert (best["size"], best["V"], best["FID"]) == ("3B", 65536, 0.101)


def test_tokenizers_have_their_distances_in_one_unit():
    table = TABLES["table3"](SCAMO).to_frame()
    assert len(table) == 28
    assert table["MPJPE (mm)"].between(30, 200).all()


@pytest.fixture
def scored(table, tmp_path):
    path = tmp_path / "scored.csv"
    last = table.drop_duplicates("run", keep="last").assign(fid=3.5, r_precision_1=0.4)
    pd.concat([table, last]).to_csv(path, index=False)
    return path


def test_scores_of_a_study_are_those_of_its_scored_evaluations(scored):
    table = TABLES["table4"](Material(sources=[scored]))
    assert len(table.to_frame()) == 12
    assert list(table.to_frame()) == ["size", "V", "L_u", "FID", "R@1"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("table4", "no run has scores of generated motion; scaling evaluate makes"),
        ("table5", "no source is a run store with a corpus"),
    ],
)
def test_what_is_not_there_is_said(small, tmp_path, table, name, reason):
    path = tmp_path / "runs.csv"
    table.to_csv(path, index=False)
    with pytest.raises(ScalingError, match=reason):
        TABLES[name](Material(sources=[path]))


def test_files_are_csv_and_markdown(tmp_path):
    csv, markdown = save_table(TABLES["table6"](SCAMO), tmp_path)
    assert pd.read_csv(csv)["V"].tolist()[2] == 240
    lines = markdown.read_text().splitlines()
    assert lines[:3] == [
        "| nominal V | levels | V |",
        "| ---: | --- | ---: |",
        "| 16 | 5 3 | 15 |",
    ]
    assert lines[-1].startswith("The product of the levels")
