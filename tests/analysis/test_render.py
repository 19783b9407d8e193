"""What `scaling fit` prints, against files that a person can read."""

from dataclasses import replace
from pathlib import Path

import pytest

from scaling.analysis.records import read
from scaling.analysis.render import summary
from scaling.analysis.study import fit

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture
def studies(small_study, scamo_study, table, tmp_path):
    sparse = table[table["codebook_size"] == 64].drop(columns=["run", "tokens"])
    sparse.loc[sparse.index[0], ["normalised_loss", "status"]] = (
        float("nan"),
        "diverged",
    )
    sparse.to_csv(tmp_path / "sparse.csv", index=False)
    named = replace(small_study, sources=("small.csv",))
    records = read([tmp_path / "sparse.csv"])
    notes = tuple(note.replace(f"{tmp_path}/", "") for note in records.notes)
    records = replace(records, sources=("sparse.csv",), notes=notes)
    return {"small": named, "scamo": scamo_study, "sparse": fit(records)}


@pytest.mark.parametrize("name", ["small", "scamo", "sparse"])
def test_summary(studies, name):
    text = summary(studies[name])
    assert text == (GOLDEN / f"{name}.txt").read_text(encoding="utf-8")
    assert max(map(len, text.splitlines())) <= 100
