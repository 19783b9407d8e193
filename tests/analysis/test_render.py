"""What `scaling fit` prints, against files that a person can read."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from scaling.analysis.records import read
from scaling.analysis.render import summary
from scaling.analysis.study import fit

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture
def studies(small_study, scamo_study, table, tmp_path):
    sparse = table[table["codebook_size"] == 64].drop(columns=["run", "vocab_params"])
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


def lone(table, tmp_path):
    table[table["run"] == "w16-v64"].to_csv(tmp_path / "lone.csv", index=False)
    return replace(fit(read([tmp_path / "lone.csv"])), sources=("lone.csv",))


@pytest.mark.parametrize("name", ["small", "scamo", "sparse"])
def test_summary(studies, name):
    text = summary(studies[name])
    assert f"{text}\n" == (GOLDEN / f"{name}.txt").read_text(encoding="utf-8")
    assert max(map(len, text.splitlines())) <= 100


def test_a_study_without_laws_says_so(table, tmp_path):
    lines = summary(lone(table, tmp_path)).splitlines()
    assert lines[3:6] == ["NO LAW COULD BE FITTED", "", "Not fitted"]
    assert lines[6].startswith("  - L_u(C): L_u(C) has 1 point; a line needs")
    assert not any("stands on" in line for line in lines)


@pytest.mark.parametrize("noise", [1e-7, 1e-8])
def test_near_exact_laws_are_no_wider_than_any(noise, tmp_path):
    C = np.geomspace(1e12, 1e17, 6)
    off = noise * np.array([1, -1, 1, 1, -1, 1])
    frame = {"run": list("abcdef"), "flops": C, "loss": 9 - np.log10(C) / 4 + off}
    frame["tokens"] = 1e9 * 10 ** (1e-3 * off * np.arange(6))
    pd.DataFrame(frame).to_csv(tmp_path / "exact.csv", index=False)
    study = fit(read([tmp_path / "exact.csv"]))
    text = summary(replace(study, sources=("a/long/path/" * 12 + "exact.csv",)))
    assert max(map(len, text.splitlines())) <= 100
    formula = study.laws["L_u(C)"].formula()
    assert len(formula) > 58
    for value in formula.replace("(", "").replace(")", "").split(" · log10 C + "):
        assert value.removeprefix("L_u = ") in text


def test_compute_that_is_not_known_is_said(scamo_study):
    best = scamo_study.best_codebooks.assign(C=float("nan"))
    text = summary(replace(scamo_study, best_codebooks=best))
    assert "N_nv 5.2e07 to 5.9e09;\n" in text
    assert text.count("C not known") == 1


def test_a_loss_that_is_not_normalised_is_called_l(table, tmp_path):
    path = tmp_path / "plain.csv"
    plain = table.drop(columns="loss", errors="ignore")
    plain.rename(columns={"normalised_loss": "loss"}).to_csv(path, index=False)
    text = summary(fit(read(path)))
    assert "  L = (" in text
    assert "L_u = (" not in text
