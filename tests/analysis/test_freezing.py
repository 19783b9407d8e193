"""From laws to a frozen prediction: which run, which laws choose it, which loss."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from scaling.analysis.card import card
from scaling.analysis.fitting import fit_law
from scaling.analysis.freezing import choose, freeze, unique_data
from scaling.analysis.laws_file import Laws, laws_of
from scaling.analysis.records import read
from scaling.analysis.study import fit
from scaling.analysis.table import Records
from scaling.errors import ScalingError

GRID = """\
corpus: {kind: kinematic}
tokenizers: {codebooks: [64, 256, 1024, 4096, 16384, 65536]}
transformers: {sizes: [1x1x16], tokens: [1000], flops_convention: 6nd}
"""


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    """Runs of ScaMo's form of law, with a little noise."""
    rng = np.random.default_rng(7)
    names = ("N_nv", "d", "V", "D")
    grid = [
        (n, d, v, t)
        for n, d in ((1e5, 64), (4e5, 128), (2e6, 256))
        for v in (64, 240, 1000)
        for t in (3e5, 3e6, 3e7)
    ]
    table = pd.DataFrame(grid, columns=names)
    table["N_v"] = table.V * table.d
    table["N"] = table.N_nv + 2 * table.N_v
    table["C"] = 6 * (table.N_nv + table.N_v) * table.D
    loss = 90 / table.N_nv**0.4 + 20 / table.N_v**0.35 + 300 / table.D**0.4 - 5
    table["L_u"] = loss + 0.01 * rng.standard_normal(len(table))
    return table.drop(columns="d")


@pytest.fixture(scope="module")
def records(rows: pd.DataFrame) -> Records:
    return read(rows)


@pytest.fixture(scope="module")
def codebook(records: Records) -> dict[str, Any]:
    return card(fit_law(records, "codebook")).to_dict()


@pytest.fixture
def grid(tmp_path: Path) -> str:
    """The grid of a study, as its store keeps it."""
    import yaml

    path = tmp_path / "grid.json"
    path.write_text(json.dumps({"grid": yaml.safe_load(GRID)}))
    return str(tmp_path)


def test_the_loss_is_that_of_the_built_run(codebook: dict[str, Any], grid: str) -> None:
    made = freeze(codebook, 1e17, 1e16, more_sources=(grid,))
    built = made.configuration
    assert built is not None
    laws = laws_of(codebook)
    at = {"N_nv": built["non_vocab_params"], "N_v": built["vocab_params"]}
    found = laws.run({**at, "D": built["tokens"]}, 0.9)
    assert made.loss.value == pytest.approx(found.loss.value, rel=1e-12)
    assert (made.new_run.ninety.low, made.new_run.ninety.high) == found.new_run
    assert built["loss"] == made.loss.value
    wide, narrow = made.new_run.ninety, made.new_run.fifty
    assert wide.low < narrow.low < made.loss.value < narrow.high < wide.high
    assert set(made.quantities) == {"N_nv", "N_v", "V", "D"}
    assert made.data == codebook["data"]["data_hash"]
    assert f"{built['tokens']}" in (made.grid or "")


def test_the_truth_lies_within(codebook: dict[str, Any], grid: str) -> None:
    made = freeze(codebook, 1e17, 1e16, more_sources=(grid,))
    built = made.configuration or {}
    truth = (
        90 / built["non_vocab_params"] ** 0.4
        + 20 / built["vocab_params"] ** 0.35
        + 300 / built["tokens"] ** 0.4
        - 5
    )
    assert made.new_run.ninety.holds(truth)
    assert made.loss.value == pytest.approx(truth, abs=0.03)


def test_a_run_keeps_to_the_study_s_codebooks(
    codebook: dict[str, Any], tmp_path: Path
) -> None:
    few = {"corpus": {"kind": "kinematic"}, "tokenizers": {"codebooks": [64, 256]}}
    few["transformers"] = {"flops_convention": "6nd"}
    (tmp_path / "grid.json").write_text(json.dumps({"grid": few}))
    made = freeze(codebook, 1e17, 1e16, more_sources=(str(tmp_path),))
    assert made.quantities["V"].value > 240
    assert (made.configuration or {})["codebook_size"] == 240
    assert any(w.startswith("CODEBOOK KEPT: ") for w in made.warnings)
    asked = freeze(codebook, 1e17, 1e16, codebook=1000, more_sources=(str(tmp_path),))
    assert (asked.configuration or {})["codebook_size"] == 1000


def test_without_a_grid_the_best_numbers_stand(codebook: dict[str, Any]) -> None:
    made = freeze(codebook, 1e17, 1e16)
    assert (made.configuration, made.grid) == (None, None)
    assert made.loss.value == laws_of(codebook).budget(1e17).loss.value


def test_the_envelope_chooses_for_a_law_of_compute_alone(
    records: Records, grid: str
) -> None:
    power = card(fit_law(records, "power-floor", rows="frontier")).to_dict()
    with pytest.raises(ScalingError, match=r"chooses no run .*nor do the laws of the"):
        freeze(power, 1e17, 1e16, more_sources=(grid,))
    envelope = Laws(sources=(grid,), study=fit(records))
    made = freeze(power, 1e17, 1e16, envelope=envelope, more_sources=(grid,))
    sizes = freeze(envelope.study.to_dict(), 1e17, 1e16, more_sources=(grid,))  # type: ignore[union-attr]
    assert made.law == "power-floor"
    assert made.configuration is not None
    assert made.configuration["size"] == (sizes.configuration or {})["size"]
    assert made.quantities == sizes.quantities
    assert made.loss.value != sizes.loss.value
    at = {"C": made.configuration["flops"]}
    assert made.loss.value == laws_of(power).run(at).loss.value
    assert any(w.startswith("SIZES BY THE ENVELOPE") for w in made.warnings)


def test_the_envelope_chooses_a_codebook(records: Records, grid: str) -> None:
    given = card(fit_law(records, "chinchilla")).to_dict()
    envelope = Laws(sources=(grid,), study=fit(records))
    laws = replace(laws_of(given), sources=(grid,))
    by_it = choose(laws, 1e17, None, envelope)
    assert by_it.configuration is not None
    assert any("CODEBOOK BY THE ENVELOPE" in w for w in by_it.found.warnings)
    asked = choose(laws, 1e17, 240, None)
    assert asked.configuration is not None
    assert asked.configuration.codebook_size == 240


def test_the_only_codebook_is_kept(rows: pd.DataFrame, grid: str) -> None:
    of_one = fit(read(rows[rows.V == 240])).to_dict()
    made = freeze(of_one, 1e17, 1e16, more_sources=(grid,))
    assert (made.configuration or {})["codebook_size"] == 240


def test_unique_data_is_all_that_there_was(rows: pd.DataFrame) -> None:
    table = rows.assign(U=np.minimum(rows.D, 1e6))
    laws = laws_of(card(fit_law(read(table), "repetition")).to_dict())
    assert unique_data(laws) == {"U": 1e6}
    assert unique_data(laws_of(fit(read(rows)).to_dict())) == {}


def test_a_lower_envelope_foretells_no_run(records: Records) -> None:
    from scaling.analysis.objective import Objective

    lower = Objective.suited(records.points()["L_u"], name="asymmetric")
    given = card(fit_law(records, "codebook", objective=lower)).to_dict()
    with pytest.raises(ScalingError, match="no interval for one new run"):
        freeze(given, 1e17, 1e16)
