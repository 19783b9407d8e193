"""`scaling fit --law`, `predict`, `compare` as a user meets them: real processes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import yaml

if TYPE_CHECKING:
    from tests.conftest import CommandLine

COLUMNS = "N=params,D=data,L=val"


@pytest.fixture(scope="module")
def losses(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty-five isoFLOP runs under a known law, with columns of their own names."""
    random = np.random.default_rng(0)
    C, u = np.meshgrid(np.geomspace(1e18, 1e22, 5), np.linspace(-1.2, 1.2, 7))
    N = 0.0394 * C**0.514 * np.exp(u)
    D = C / (6 * N)
    noise = np.exp(0.003 * random.normal(size=C.shape))
    loss = (1.8 + 400 / N**0.35 + 2000 / D**0.37) * noise
    columns = {"params": N, "data": D, "val": loss}
    path = tmp_path_factory.mktemp("losses") / "losses.csv"
    pd.DataFrame({k: v.ravel() for k, v in columns.items()}).to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def laws(losses: Path, scaling: CommandLine) -> Path:
    path = losses.parent / "laws.json"
    arguments = ("--columns", COLUMNS, "--law", "chinchilla", "--out", path)
    done = scaling.run("fit", losses, *arguments)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == str(path)
    return path


def fitted(scaling: CommandLine, losses: Path, *options: object) -> dict[str, Any]:
    done = scaling.run("fit", losses, "--columns", COLUMNS, "--json", *options)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_law_is_recovered(losses: Path, scaling: CommandLine) -> None:
    card = fitted(scaling, losses, "--law", "chinchilla")
    found = card["parameters"]
    for name, truth in {"E": 1.8, "alpha": 0.35, "beta": 0.37}.items():
        assert found[name]["low"] < truth < found[name]["high"]
    assert "C = 6 N D is taken" in card["data"]["notes"][0]


def test_objective_space_and_parameters_are_as_asked(
    losses: Path, scaling: CommandLine
) -> None:
    options = "--law chinchilla --objective lsq --loss-space linear --fix E=1.8 "
    options += "--tie beta=alpha --bound alpha=0.2:0.5 --interval pairs --draws 100"
    card = fitted(scaling, losses, *options.split())
    assert card["objective"]["text"] == "least squares on loss"
    found = card["parameters"]
    assert found["E"]["value"] == 1.8
    assert found["beta"]["state"] == "= alpha"
    assert card["intervals"]["method"] == "pairs"


def test_auto_says_what_it_chose_and_by_how_much(
    losses: Path, scaling: CommandLine
) -> None:
    card = fitted(scaling, losses, "--law", "auto", "--holdout", "0.2")
    selection = card["selection"]
    assert card["law"] == selection["best"]
    assert "on rows held out" in selection["sentence"]
    assert card["holdout"]["n"] == 7


def test_approaches_side_by_side(losses: Path, scaling: CommandLine) -> None:
    found = fitted(scaling, losses, "--approach", "all")
    names = [each["approach"] for each in found["approaches"]]
    assert names[0] == "1 envelope"
    assert names[-1] == "3 law, chinchilla"


def test_a_law_of_one_s_own_from_a_file(
    tmp_path: Path, losses: Path, scaling: CommandLine
) -> None:
    (tmp_path / "my_law.py").write_text(
        "from scaling.analysis.formula import Formula, Parameter as P\n"
        "LAW = Formula(\n"
        "    name='mine',\n"
        "    text='E + A / N**alpha',\n"
        "    inputs=('N',),\n"
        "    parameters=(P(name='E', floor=True, lower=0), P(name='A', scale=True),\n"
        "                P(name='alpha', starts=(0.1, 0.3))),\n"
        ")\n"
    )
    card = fitted(scaling, losses, "--law", tmp_path / "my_law.py")
    assert (card["law"], card["formula"]) == ("mine", "E + A / N^alpha")


def test_every_law_is_named_in_the_help(scaling: CommandLine) -> None:
    from scaling.analysis.catalogue import LAWS

    page = "".join(scaling.run("fit", "--help").stdout.split())
    assert all(name in page for name in LAWS)


def test_a_budget_is_divided(laws: Path, scaling: CommandLine) -> None:
    done = scaling.run("predict", laws, "--compute", "1e21", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    N, D = found["quantities"]["N"], found["quantities"]["D"]
    assert 6 * N["value"] * D["value"] == pytest.approx(1e21)
    assert N["low"] < 0.0394 * 1e21**0.514 < N["high"]
    assert found["configuration"] is None
    assert "give --codebook" in found["not_built"]


def test_a_prediction_becomes_a_grid_that_run_takes(
    tmp_path: Path, laws: Path, scaling: CommandLine
) -> None:
    grid = tmp_path / "verify.yaml"
    words = ("--compute", "1e18", "--codebook", 1000, "--convention", "openai")
    done = scaling.run("predict", laws, *words, "--grid", grid)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == str(grid)
    (point,) = yaml.safe_load(grid.read_text())["transformers"]["points"]
    plan = scaling.run("run", grid, "--dry-run")
    assert plan.returncode == 0, plan.stderr
    assert f"{point['size']}-v1024-d{point['tokens']}" in plan.stdout


def test_a_run_is_foretold(laws: Path, scaling: CommandLine) -> None:
    done = scaling.run("predict", laws, "--at", "N=1e9,D=2e10", "--json")
    found = json.loads(done.stdout)
    truth = 1.8 + 400 / 1e9**0.35 + 2000 / 2e10**0.37
    assert found["loss"]["low"] < truth < found["loss"]["high"]
    assert found["new_run"]["low"] < found["loss"]["low"]


def test_seconds_need_a_rate(laws: Path, scaling: CommandLine) -> None:
    words = ("predict", laws, "--compute", "1e20", "--unit", "seconds")
    done = scaling.run(*words)
    assert done.returncode == 1
    assert "expected --tokens-per-second RATE" in done.stderr
    done = scaling.run(*words, "--tokens-per-second", "5", "--json")
    assert json.loads(done.stdout)["unit"] == "seconds"


def test_the_laws_of_the_envelope_predict_too(
    tmp_path: Path, scaling: CommandLine
) -> None:
    laws = tmp_path / "scamo.json"
    assert scaling.run("fit", "scamo", "--out", laws).returncode == 0
    done = scaling.run("predict", laws, "--compute", "1e18", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["loss"]["value"] == pytest.approx(-5.2786, abs=1e-3)


def test_two_sets_of_runs_are_compared(tmp_path: Path, scaling: CommandLine) -> None:
    random = np.random.default_rng(1)
    C = np.geomspace(1e18, 1e22, 12)
    for name, m in (("a", 1.0), ("b", 1.5)):
        loss = (1.7 + 1000 / (m * C) ** 0.16) * np.exp(1e-3 * random.normal(size=12))
        path = tmp_path / f"{name}.csv"
        pd.DataFrame({"flops": C, "loss": loss}).to_csv(path, index=False)
    arms = (tmp_path / "a.csv", tmp_path / "b.csv")
    done = scaling.run("compare", *arms, "--law", "power-floor", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["m"]["low"] < 1.5 < found["m"]["high"]
    assert found["needs"]["value"] == pytest.approx(1 / found["m"]["value"])
    said = scaling.run("compare", *arms)
    assert "compute for the same loss" in said.stdout


MISTAKES = {
    "fewer rows than parameters": ("N,D,L\n1e6,1e8,3\n1e7,1e9,2.5\n", ()),
    "one compute level": ("C,L\n1e18,3\n1e18,2.9\n1e18,2.8\n", ("power-floor",)),
    "a negative loss": ("N,D,L\n1e6,1e8,-3\n1e7,1e9,2.5\n", ("--loss-space", "log")),
    "a zero size": ("N,D,L\n0,1e8,3\n1e7,1e9,2.5\n", ()),
    "an empty loss": ("N,D,L\n1e6,1e8,\n1e7,1e9,2.5\n", ()),
    "a column that is missing": ("N,L\n1e6,3\n1e7,2.5\n", ()),
    "a law that is not known": ("N,D,L\n1e6,1e8,3\n1e7,1e9,2.5\n", ("chinchila",)),
    "a parameter that is not": ("N,D,L\n1e6,1e8,3\n1e7,1e9,2\n", ("--fix", "F=1")),
    "a floor above the loss": ("N,D,L\n1e6,1e8,3\n1e7,1e9,2\n", ("--fix", "E=2.5")),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_one_plain_line(
    tmp_path: Path, scaling: CommandLine, case: str
) -> None:
    text, options = MISTAKES[case]
    path = tmp_path / "losses.csv"
    path.write_text(text)
    law = options[0] if options and not options[0].startswith("-") else "chinchilla"
    more = options if options and options[0].startswith("-") else ()
    names = text.partition("\n")[0].split(",")
    columns = ",".join(f"{name}={name}" for name in names)
    out = tmp_path / "laws.json"
    out.write_text("kept")
    done = scaling.run(
        "fit", path, "--columns", columns, "--law", law, "--out", out, *more
    )
    assert done.returncode == 1, done.stdout
    assert len(done.stderr.splitlines()) == 1
    assert "Traceback" not in done.stderr
    assert out.read_text() == "kept"


@pytest.mark.parametrize(
    "words",
    [
        ("--objective", "lsq"),
        ("--law", "chinchilla", "--fix", "E"),
        ("--law", "chinchilla", "--fix", "E=low"),
        ("--law", "chinchilla", "--bound", "alpha=a:b"),
        ("--law", "chinchilla", "--objective", "l2"),
        ("--approach", "all", "--law", "log"),
        ("--law", "log", "--objective", "lsq", "--delta", "0.1"),
        ("--law", "log", "--quantile", "0.2"),
        ("--law", "log", "--draws", "500"),
        ("--law", "auto", "--fix", "E=1.7"),
        ("--seed", "3"),
    ],
)
def test_a_mistake_in_the_command_is_exit_code_2(
    losses: Path, scaling: CommandLine, words: tuple[str, ...]
) -> None:
    done = scaling.run("fit", losses, "--columns", COLUMNS, *words)
    assert done.returncode == 2, done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--compute", "-1"), "compute is -1; expected a budget in FLOPs"),
        (("--at", "N=1e9"), "needs D; given are N"),
        (("--at", "N=1e9,D=0"), "D is 0; expected a positive number"),
        (("--at", "N=1e9,D=1e9,X=1"), "has no input X"),
        (("--compute", "1e20", "--grid", "g.yaml"), "g.yaml is not written: the law"),
    ],
)
def test_what_cannot_be_predicted_is_said(
    laws: Path, scaling: CommandLine, words: tuple[str, ...], message: str
) -> None:
    done = scaling.run("predict", laws, *words)
    assert done.returncode == 1
    assert message in done.stderr


def test_a_file_that_holds_no_laws_is_refused(
    tmp_path: Path, scaling: CommandLine
) -> None:
    (tmp_path / "a.json").write_text('{"kind": "arms", "schema": 1}')
    done = scaling.run("predict", tmp_path / "a.json", "--compute", "1e18")
    assert done.returncode == 1
    assert "expected 'fit', 1: fit the records again" in done.stderr


def test_a_bootstrap_of_one_run_is_refused(
    tmp_path: Path, scaling: CommandLine
) -> None:
    rows = "".join(f"one,1e{k},{5 - k / 10}\n" for k in range(10, 18))
    (tmp_path / "a.csv").write_text("run,flops,loss\n" + rows)
    words = ("--law", "power", "--rows", "all", "--interval", "pairs")
    done = scaling.run("fit", tmp_path / "a.csv", *words)
    assert done.returncode == 1
    assert "run" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_nothing_is_written_over_that_is_not_its_own(
    tmp_path: Path, losses: Path, laws: Path, scaling: CommandLine
) -> None:
    table = tmp_path / "table.csv"
    table.write_bytes(losses.read_bytes())
    words = ("--columns", COLUMNS, "--law", "power-floor", "--rows", "all")
    for out in (table, tmp_path):
        done = scaling.run("fit", table, *words, "--out", out)
        assert done.returncode == 1
        assert "choose another" in done.stderr
    done = scaling.run("predict", laws, "--compute", "1e18", "--grid", table)
    assert done.returncode == 1
    assert "was not written by this command" in done.stderr
    assert table.read_bytes() == losses.read_bytes()
    again = tmp_path / "laws.json"
    for _ in range(2):  # its own file may be written anew
        assert scaling.run("fit", table, *words, "--out", again).returncode == 0
