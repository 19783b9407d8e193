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


def test_the_grid_trains_exactly_these_runs(
    scaling: Any, laws: Path, tmp_path: Path
) -> None:
    options = ("--budget", "1e14", "--target", "1e18", "--runs", 4, "--codebook", 240)
    path = tmp_path / "next.yaml"
    done = plan(laws, *options, "--grid", path, "--json")
    assert done.exit_code == 0, done.stderr
    built = json.loads(done.stdout)["built"]
    dry = scaling.run("run", path, "--dry-run")
    assert dry.returncode == 0, dry.stderr
    rows = [line.split() for line in dry.stdout.splitlines() if "-v256-d" in line]
    names = [row[0].rpartition("-")[0] for row in rows]
    sizes = ["{n_layers}x{n_heads}x{d_model}".format(**each["size"]) for each in built]
    pairs = zip(sizes, built, strict=True)
    assert sorted(names) == sorted(f"{s}-v256-d{b['tokens']}-s0" for s, b in pairs)
    flops = {f"{each['flops']:.3g}" for each in built}
    assert flops == {f"{float(row[4]):.3g}" for row in rows}
    shown = plan(laws, *options, "--grid", path)
    assert shown.stdout.splitlines()[-1] == str(path)
    assert "% of the plan" in shown.stdout


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
