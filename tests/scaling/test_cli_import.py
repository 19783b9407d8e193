"""`scaling import` as a user calls it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from scaling.cli import main

ROWS = "run,val_loss,train_loss,n_params,total_tokens\n" + "".join(
    f"r{N}-{D},{1.7 + 400 / N**0.34 + 410 / D**0.28!r},1,{N},{D}\n"
    for N in (10**6, 10**7, 10**8)
    for D in (10**8, 10**9, 10**10)
)


def call(*words: object) -> Result:
    return CliRunner().invoke(main, ["import", *map(str, words)])


@pytest.fixture
def losses(tmp_path: Path) -> Path:
    path = tmp_path / "losses.csv"
    path.write_text(ROWS)
    return path


def test_an_import_is_fitted_to_the_law_it_came_from(
    losses: Path, tmp_path: Path, scaling: Any
) -> None:
    out = tmp_path / "runs.csv"
    done = scaling.run("import", losses, "--out", out)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{out}\n"
    assert "CSV table: 9 runs, 9 rows" in done.stderr
    assert "flops         6 N D" in done.stderr
    fitted = scaling.run("fit", out, "--law", "chinchilla", "--json")
    found = {k: v["value"] for k, v in json.loads(fitted.stdout)["parameters"].items()}
    expected = {"E": 1.7, "A": 400, "B": 410, "alpha": 0.34, "beta": 0.28}
    assert found == pytest.approx(expected, rel=1e-4)


def test_a_dry_run_writes_nothing(losses: Path, tmp_path: Path) -> None:
    done = call(losses, "--out", tmp_path / "runs.csv", "--dry-run")
    assert done.exit_code == 0
    assert done.stdout == ""
    assert "loss is val_loss; it could be train_loss: --columns L=NAME" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["losses.csv"]


def test_json_says_what_the_preview_says(losses: Path, tmp_path: Path) -> None:
    out = tmp_path / "runs.csv"
    done = call(losses, "--out", out, "--json", "--derive", "C")
    said = json.loads(done.stdout)
    assert (said["runs"], said["rows"], said["out"]) == (9, 9, str(out))
    assert said["formats"] == {"CSV table": 9}
    assert said["missing"] == {}
    assert {
        "column": "flops",
        "source": "6 N D",
        "conversion": "derived",
        "example": 6e14,
        "runs": 9,
    } in said["mapping"]
    assert call(losses, "--dry-run", "--json").stdout.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ([], 2, "--out is missing: name the CSV file to write"),
        (["--out", "losses.csv"], 1, "is a folder or one of the sources"),
        (["--dry-run", "--columns", "L=lost"], 1, "no log holds 'lost'"),
        (["--dry-run", "--columns", "L"], 2, "'L' is not NAME=COLUMN"),
        (["--dry-run", "--derive", "E"], 2, "'E' is not one of 'N', 'D', 'C'"),
    ],
)
def test_mistakes(
    losses: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(losses.parent)
    done = call(losses.name, *words)
    assert done.exit_code == code
    assert message in done.stderr
    assert losses.read_text() == ROWS


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    done = call(tmp_path / "none", "--dry-run")
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1
