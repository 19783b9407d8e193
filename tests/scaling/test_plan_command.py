"""`scaling plan` as a user calls it, from the card that `scaling fit --law` wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

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


def test_the_plan_is_printed(scaling: Any, laws: Path) -> None:
    done = scaling.run("plan", laws, "--budget", "1e18", "--target", "1e20")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Next runs for L at 1e+20 FLOPs by law chinchilla")
    assert "the plan's width over it" in done.stdout
    assert done.stderr == ""


def test_json_holds_runs_and_scores_and_the_seed_decides(
    scaling: Any, laws: Path
) -> None:
    options = ("--budget", "1e18", "--target", "1e20", "--runs", "2", "--json")
    done = scaling.run("plan", laws, *options, "--shrink", "size", "--seed", "3")
    found = json.loads(done.stdout)
    assert found["number"] == "ln N*"
    assert len(found["runs"]) == 2
    assert sum(run["compute"] for run in found["runs"]) <= 1e18
    assert [score["design"] for score in found["scores"]] == [
        "no further run",
        "this plan",
        "uniform grid",
        "isoFLOP grid",
    ]
    again = scaling.run("plan", laws, *options, "--shrink", "size", "--seed", "3")
    assert again.stdout == done.stdout


def test_grids_are_written_and_accepted(
    scaling: Any, laws: Path, tmp_path: Path
) -> None:
    options = ("--budget", "1e14", "--target", "1e18", "--runs", "2", "--codebook", 240)
    done = scaling.run("plan", laws, *options, "--grid", tmp_path / "next.yaml")
    assert done.returncode == 0, done.stderr
    paths = [tmp_path / f"next-{k}.yaml" for k in (1, 2)]
    assert done.stdout.splitlines()[-2:] == list(map(str, paths))
    assert "% of the plan" in done.stdout
    assert [load_grid(path).study for path in paths] == ["next-1", "next-2"]
    dry = scaling.run("run", paths[0], "--dry-run")
    assert dry.returncode == 0, dry.stderr


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--budget", "1e18", "--target", "1e17"), "lies within the rows, which reach"),
        (("--budget", "1e13", "--target", "1e20"), "raise the budget"),
        (("--budget", "1e18", "--target", "1e20", "--runs", "0"), "runs is 0"),
        (
            ("--budget", "1e18", "--target", "1e20", "--grid", "g.yaml"),
            "give --codebook V",
        ),
    ],
)
def test_mistakes_are_one_line(
    scaling: Any, laws: Path, tmp_path: Path, options: tuple[str, ...], text: str
) -> None:
    done = scaling.run("plan", laws, *options, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("Error: ")
    assert len(done.stderr.splitlines()) == 1
    assert text in done.stderr
    assert not list(tmp_path.iterdir())


def test_laws_of_the_envelope_are_refused(scaling: Any, tmp_path: Path) -> None:
    path = tmp_path / "laws.json"
    assert scaling.run("fit", "scamo", "--out", path).returncode == 0
    done = scaling.run("plan", path, "--budget", "1e18", "--target", "1e22")
    assert done.returncode == 1
    assert "expected one law: fit the records with --law" in done.stderr
