"""`scaling plan` as a user calls it, from the card that `scaling fit --law` wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result

from scaling.cli import main
from scaling.runs.grid import load_grid


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    pairs = [(N, N * r) for N in np.geomspace(1e6, 3e7, 8) for r in (5, 20, 80)]
    frame = pd.DataFrame(pairs, columns=["N", "D"])
    loss = 1.8 + 480 / frame["N"] ** 0.35 + 2100 / frame["D"] ** 0.37
    frame["L"] = loss * np.exp(rng.normal(0, 0.003, len(frame)))
    path: Path = tmp_path_factory.mktemp("plan") / "losses.csv"
    frame.to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def laws(scaling: Any, table: Path) -> Path:
    path = table.with_name("laws.json")
    columns = ("--columns", "N=N,D=D,L=L")
    done = scaling.run("fit", table, *columns, "--law", "chinchilla", "--out", path)
    assert done.returncode == 0, done.stderr
    return path


BUDGET = ("--budget", "1e18", "--target", "1e20")


def plan(laws: Path, *options: object) -> Result:
    return CliRunner().invoke(main, ["plan", str(laws), *map(str, options)])


def test_the_plan_is_printed(scaling: Any, laws: Path) -> None:
    done = scaling.run("plan", laws, *BUDGET)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("L at 1e+20 FLOPs is ")
    assert "this plan's width over it" in done.stdout
    assert done.stderr == ""


def test_json_holds_runs_scores_and_the_seed(laws: Path) -> None:
    options = ("--runs", 2, "--shrink", "size", "--seed", 3, "--json")
    done = plan(laws, *BUDGET, *options)
    found = json.loads(done.stdout)
    assert found["number"] == "ln N*"
    assert len(found["runs"]) == 2
    assert sum(run["C"] for run in found["runs"]) <= 1e18
    assert [score["design"] for score in found["scores"]] == [
        "no further run",
        "this plan",
        "uniform grid",
        "isoFLOP grid",
    ]
    assert found["seed"] == 3


def test_grids_are_written_and_accepted(laws: Path, tmp_path: Path) -> None:
    options = ("--budget", "1e14", "--target", "1e18", "--runs", 2, "--codebook", 240)
    done = plan(laws, *options, "--grid", tmp_path / "next.yaml")
    assert done.exit_code == 0, done.stderr
    paths = [tmp_path / f"next-{k}.yaml" for k in (1, 2)]
    assert done.stdout.splitlines()[-2:] == list(map(str, paths))
    assert "% of the plan" in done.stdout
    assert [load_grid(path).study for path in paths] == ["next-1", "next-2"]
    dry = CliRunner().invoke(main, ["run", str(paths[0]), "--dry-run"])
    assert dry.exit_code == 0, dry.stderr


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--budget", "1e18", "--target", "1e17"), "lies within the rows, which reach"),
        (("--budget", "1e13", "--target", "1e20"), "raise the budget"),
        ((*BUDGET, "--runs", "0"), "runs is 0"),
        ((*BUDGET, "--runs", "1", "--grid", "g.yaml"), "give --codebook V"),
    ],
)
def test_mistakes_are_one_line(
    laws: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    text: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    done = plan(laws, *options)
    assert done.exit_code == 1
    assert done.stdout == ""
    assert done.stderr.startswith("Error: ")
    assert len(done.stderr.splitlines()) == 1
    assert text in done.stderr
    assert not list(tmp_path.iterdir())


def test_laws_of_the_envelope_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "laws.json"
    fitted = CliRunner().invoke(main, ["fit", "scamo", "--out", str(path)])
    assert fitted.exit_code == 0, fitted.stderr
    done = plan(path, "--budget", "1e18", "--target", "1e22")
    assert done.exit_code == 1
    assert "expected one law: fit the records with --law" in done.stderr
