"""`scaling evaluate` from the outside: a table, a file, and scores in the record."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from scaling.record import MEASURES

if TYPE_CHECKING:
    from tests.conftest import CommandLine

GRID = """\
study: judged
corpus: {kind: kinematic, sequences: 40, seed: 3}
tokenizers: {codebooks: [16], width: 16, depth: 1, steps: 6, batch_size: 4}
transformers: {sizes: [1x1x16, 1x2x32], tokens: [3000], batch_size: 4, evaluations: 3}
evaluator: {width: 16, steps: 4, batch_size: 8}
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, scaling: CommandLine) -> Path:
    folder = tmp_path_factory.mktemp("judged")
    (folder / "grid.yaml").write_text(GRID)
    done = scaling.run("run", folder / "grid.yaml", "--out", folder / "out")
    assert done.returncode == 0, done.stderr
    return folder / "out"


def test_a_grid_with_an_evaluator_scores_its_tokenizers(store: Path) -> None:
    (row,) = pd.read_csv(store / "tokenizers.csv").to_dict("records")
    assert row["fid"] > 0
    assert row["scored_clips"] == 6
    assert row["evaluator"].startswith("evaluator-")
    assert not pd.read_csv(store / "runs.csv")["fid"].notna().any()


def test_runs_are_scored_once_and_the_record_knows(
    store: Path, scaling: CommandLine
) -> None:
    command = ("evaluate", store, "--repetitions", 2, "--multimodality", 1)
    done = scaling.run(*command)
    assert done.returncode == 0, done.stderr
    assert "real motion" in done.stdout
    assert "not comparable with published" in done.stderr
    assert done.stdout.splitlines()[-1] == str(store / "scores.csv")
    table = pd.read_csv(store / "scores.csv")
    assert table["run"].tolist()[0] == "real"
    assert len(table) == 1 + 2 + 1

    record = pd.read_csv(store / "runs.csv")
    last = record.groupby("run").tail(1)
    assert last[list(MEASURES)].notna().all(axis=None)
    assert record["fid"].notna().sum() == len(last) == 2

    scores = sorted(store.glob("scores-*/config.json"))
    before = [path.stat().st_mtime_ns for path in scores]
    again = scaling.run(*command, "--json")
    assert again.returncode == 0, again.stderr
    assert [path.stat().st_mtime_ns for path in scores] == before
    found = json.loads(again.stdout)
    for run, row in last.set_index("run").iterrows():
        assert found["runs"][run]["metrics"]["fid"] == pytest.approx(row["fid"])

    fitted = scaling.run("fit", store, "--columns", "L=fid", "--json")
    assert fitted.returncode == 0, fitted.stderr
    notes = json.loads(fitted.stdout)["notes"]
    assert any("4 of 6 evaluations hold no fid" in note for note in notes)


def test_the_record_has_the_scores_that_were_asked_for_last(
    store: Path, scaling: CommandLine
) -> None:
    found = []
    for temperature in (1, 0, 1):
        options = ("--repetitions", 2, "--temperature", temperature)
        done = scaling.run("evaluate", store, *options)
        assert done.returncode == 0, done.stderr
        table = pd.read_csv(store / "scores.csv").set_index("run")["fid"]
        record = pd.read_csv(store / "runs.csv").groupby("run").tail(1)
        found.append(record.set_index("run")["fid"])
        np.testing.assert_allclose(found[-1], table[found[-1].index])
    assert (found[0] != found[1]).all()


def test_runs_that_did_not_finish_are_left_out_and_said(
    store: Path, scaling: CommandLine
) -> None:
    (run, *_) = sorted(store.glob("1x1x16-*"))
    result = (run / "result.json").read_text()
    (run / "result.json").write_text(json.dumps({"status": "diverged"}))
    done = scaling.run("evaluate", store, "--repetitions", 2)
    assert done.returncode == 0, done.stderr
    assert f"{run.name} is diverged, and is left out" in done.stderr
    assert run.name not in done.stdout
    (run / "result.json").write_text(result)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["nowhere"], "nowhere is no run; expected the folder of a run"),
        (["STORE", "--evaluator", "nowhere"], "nowhere holds no finished evaluator"),
    ],
)
def test_mistakes_are_one_line(
    store: Path, scaling: CommandLine, options: list[str], message: str
) -> None:
    words = [str(store) if word == "STORE" else word for word in options]
    done = scaling.run("evaluate", *words)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert message in done.stderr
