"""`scaling verify`: frozen before training, gone on with, compared, refused."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from click.testing import CliRunner

import scaling as package
from scaling.analysis.verification import PREDICTION, VERIFICATION, frozen, verified
from scaling.cli import main
from scaling.errors import ScalingError

if TYPE_CHECKING:
    from tests.conftest import CommandLine

GRID = """\
study: small
corpus: {kind: kinematic, sequences: 40, seed: 3}
tokenizers: {codebooks: [16], width: 16, depth: 1, steps: 6, batch_size: 4}
transformers:
  sizes: [1x1x16, 1x1x32]
  tokens: [2000, 4000, 8000]
  batch_size: 4
  learning_rate: 0.01
  evaluations: 3
"""
ASKED = ("--law", "envelope", "--threads", 1)
ISOFLOPS = Path(__file__).resolve().parents[2] / "examples" / "isoflops.csv"
COLUMNS = ("--columns", "N=params,D=tokens,L=loss")


def ask(*arguments: object) -> Any:
    """Call the command in this process."""
    return CliRunner().invoke(main, ["verify", *map(str, arguments)])


def mistake(*arguments: object) -> str:
    """Give the one line that a mistake is told in."""
    done = ask(*arguments)
    assert done.exit_code == 1, done.output
    *_, last = done.stderr.splitlines()
    return str(last)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, scaling: CommandLine) -> Path:
    """Six runs, which no test writes to."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "small.yaml").write_text(GRID)
    store = folder / "small"
    done = scaling.run("run", folder / "small.yaml", "--out", store, "--jobs", 2)
    assert done.returncode == 0, done.stderr
    return store


@pytest.fixture
def study(trained: Path, tmp_path: Path) -> Path:
    """The runs, to write beside."""
    return Path(shutil.copytree(trained, tmp_path / "small"))


@pytest.fixture(scope="module")
def straight(
    trained: Path, tmp_path_factory: pytest.TempPathFactory, scaling: CommandLine
) -> Path:
    """A verification that was not interrupted; gives its folder."""
    store = Path(
        shutil.copytree(trained, tmp_path_factory.mktemp("straight") / "small")
    )
    done = scaling.run("verify", store, *ASKED, "--json")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    said = json.loads(done.stdout)
    folder = Path(said["paths"]["verification"]).parent
    assert said["paths"].keys() >= {"prediction", "grid", "table", "figure"}
    del said["paths"]
    assert said == json.loads((folder / VERIFICATION).read_text())
    return folder


# --- From one end to the other -------------------------------------------------------


def test_foretold_trained_and_compared(straight: Path, trained: Path) -> None:
    prediction, found = frozen(straight), verified(straight)
    assert found is not None
    assert straight.name == f"verify-{prediction.compute:.3g}".replace("+", "")
    assert 10 <= prediction.beyond < 10.1
    metrics = straight / str(prediction.run) / "metrics.jsonl"
    last = json.loads(metrics.read_text().splitlines()[-1])
    assert found.measured == last["normalised_loss"]
    assert found.flops == last["flops"] >= 0.99 * prediction.compute
    assert found.inside_90 == prediction.new_run.ninety.holds(found.measured)
    assert (straight / "verification.png").stat().st_size > 10_000
    # before any training, by the study's own corpus and tokenizer
    began = (straight / str(prediction.run) / "config.json").stat().st_mtime_ns
    assert (straight / PREDICTION).stat().st_mtime_ns < began
    (tokenizer,) = straight.glob("tokenizer-*")
    there = trained / tokenizer.name
    assert (tokenizer / "tokens.npy").read_bytes() == (
        there / "tokens.npy"
    ).read_bytes()
    assert (tokenizer / "result.json").read_text() == (
        there / "result.json"
    ).read_text()
    assert not (straight / ".lease-000001").exists()


def test_again_it_trains_nothing_and_says_the_same(straight: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in straight.rglob("*")}
    first, second = (ask(straight.parent, *ASKED) for _ in range(2))
    assert first.exit_code == 0, first.output
    assert first.stdout == second.stdout
    assert "nothing is fitted again" in first.stderr
    assert {path: path.stat().st_mtime_ns for path in straight.rglob("*")} == before
    assert repr(package.verify(straight.parent, law="envelope")) in first.stdout


def test_killed_on_the_way_it_ends_with_the_same_bits(
    study: Path, straight: Path, scaling: CommandLine
) -> None:
    folder = study / straight.name
    with scaling.start("verify", study, *ASKED) as first:
        end = time.monotonic() + 60
        while not list(folder.glob("[0-9]*/metrics.jsonl")):
            assert time.monotonic() < end
            assert first.poll() is None
            time.sleep(0.01)
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
    written = (folder / PREDICTION).read_bytes()
    assert not (folder / VERIFICATION).exists()
    done = scaling.run("verify", study, *ASKED)
    assert done.returncode == 0, done.stderr
    assert (folder / PREDICTION).read_bytes() == written
    assert (folder / "runs.csv").read_bytes() == (straight / "runs.csv").read_bytes()
    ours, theirs = verified(folder), verified(straight)
    assert ours is not None
    assert theirs is not None
    assert (ours.measured, ours.verdict) == (theirs.measured, theirs.verdict)
    (folder / VERIFICATION).unlink()  # as if it had been killed just before the end
    assert ask(study, *ASKED).exit_code == 0
    assert verified(folder) == ours


def test_a_dry_run_writes_nothing(study: Path) -> None:
    before = sorted(study.rglob("*"))
    options = (study, *ASKED, "--dry-run", "--compute", "4e9")
    text, said = ask(*options), ask(*options, "--json")
    assert text.exit_code == said.exit_code == 0, text.output + said.output
    assert "1 run and 2 other jobs" in text.stdout
    assert "times the largest compute of the rows: 10 or more prove more" in text.stderr
    found = json.loads(said.stdout)
    assert found["compute"] == 4e9
    states = {job["kind"]: job["state"] for job in found["plan"]["jobs"]}
    assert states == {"corpus": "done", "tokenizer": "done", "transformer": "to do"}
    assert sorted(study.rglob("*")) == before


# --- Frozen -------------------------------------------------------------------------


@pytest.fixture
def begun(study: Path, straight: Path) -> Path:
    """A verification that was frozen, and not trained; gives its folder."""
    folder = study / straight.name
    folder.mkdir()
    for name in (PREDICTION, "verify.yaml"):
        shutil.copy(straight / name, folder)
    return folder


def test_the_frozen_prediction_counts_though_rows_change(begun: Path) -> None:
    study = begun.parent
    shutil.rmtree(next(study.glob("1x1x32-v16-d8000-*")))
    done = ask(study, "--threads", 1, "--dry-run")  # ten times the most is less now
    assert done.exit_code == 0, done.output
    assert "the rows have changed since" in done.stderr
    assert frozen(begun).data in done.stdout


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--law", "power-floor"], "of law envelope, not power-floor"),
        (["--codebook", 64], "of codebook 15, not 64"),
        (["--compute", "5e11"], "of compute"),
    ],
)
def test_another_prediction_has_another_folder(
    begun: Path, options: list[object], says: str
) -> None:
    said = mistake(begun.parent, *options, "--out", begun)
    assert says in said
    assert said.endswith("name one with --out")


def test_a_changed_prediction_is_refused(begun: Path) -> None:
    path = begun / PREDICTION
    for changed in (path.read_text().replace('"rows": 18', '"rows": 19'), "{"):
        path.write_text(changed)
        assert "was changed after it was frozen" in mistake(begun.parent, *ASKED)


# --- Refused ------------------------------------------------------------------------


def test_no_law_is_fitted_to_the_run_that_verifies(
    straight: Path, tmp_path: Path, study: Path
) -> None:
    for place in (straight, straight / "runs.csv"):
        assert "is a verification, not a study" in mistake(place)
    run = str(frozen(straight).run)
    shutil.copytree(
        straight / run, study / run
    )  # its own folder, before it is foretold
    told = (study, *ASKED, "--compute", frozen(straight).compute * 2)
    shutil.copytree(straight, study / straight.name)
    before = sorted(study.rglob("*"))
    assert f"the rows hold {run}, a run that verifies" in mistake(*told)
    assert sorted(study.rglob("*")) == before
    both = tmp_path / "both.json"
    package.fit([straight.parent, straight]).save(both)
    shutil.copy(both, straight.parent / "both.json")
    said = mistake(straight.parent / "both.json", "--compute", "1e12")
    assert f"the rows hold {run}" in said


def test_nor_to_the_very_run_that_would_be_trained(study: Path, straight: Path) -> None:
    prediction = frozen(straight)
    rows = pd.read_csv(study / "runs.csv")
    renamed = rows.replace({"run": {rows["run"].iloc[0]: prediction.run}})
    table = study / "renamed.csv"
    renamed.to_csv(table, index=False)
    said = mistake(table, *ASKED, "--compute", prediction.compute)
    assert f"the rows hold {prediction.run}" in said


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--compute", "1e6", *ASKED], "are within the rows"),
        (
            ["--fix", "E=1", "--law", "envelope"],
            "no effect on the laws of the envelope",
        ),
        (["--fix", "E=1"], "name the parameters of one law; expected its name"),
        (["--measured", 1.0, *ASKED], "holds no prediction"),
        (["--law", "chinchila"], "did you mean 'chinchilla'?"),
    ],
)
def test_mistakes(trained: Path, options: list[object], says: str) -> None:
    before = sorted(trained.rglob("*"))
    assert says in mistake(trained, *options)
    assert sorted(trained.rglob("*")) == before


def test_laws_that_are_fitted_take_no_options(trained: Path, tmp_path: Path) -> None:
    package.fit(trained).save(tmp_path / "laws.json")
    for options in (["--law", "power"], ["--rows", "last"], COLUMNS):
        assert "leave them out" in mistake(tmp_path / "laws.json", *options)


# --- Elsewhere ----------------------------------------------------------------------


def test_a_table_from_elsewhere_is_frozen_and_measured(tmp_path: Path) -> None:
    table = shutil.copy(ISOFLOPS, tmp_path)
    told = (table, *COLUMNS, "--law", "chinchilla")
    assert "holds no prediction" in mistake(*told, "--measured", 1.98)
    first = ask(*told)
    assert first.exit_code == 0, first.output
    assert "scaling verify STUDY --measured LOSS" in " ".join(first.stdout.split())
    folder = tmp_path / "verify-1e23"
    assert [path.name for path in folder.iterdir()] == [PREDICTION]
    assert frozen(folder).configuration is None
    done = ask(*told, "--measured", 1.98)
    assert done.exit_code == 0, done.output
    assert "The prediction holds: L of 1.98 lies inside" in done.stdout
    assert ask(*told).stdout == done.stdout
    assert "by a loss of 1.98, not 1.99" in mistake(*told, "--measured", 1.99)


def test_in_python_a_miss_is_a_result(tmp_path: Path) -> None:
    columns = {"N": "params", "D": "tokens", "L": "loss"}
    card = package.fit(ISOFLOPS, "chinchilla", columns=columns)
    first = package.verify(card, out=tmp_path / "v", compute=5e22)
    assert first.verification is None
    found = package.verify(card, out=tmp_path / "v", measured=2.5).verification
    assert found is not None
    assert not found.inside_90
    assert found.verdict.startswith("The prediction FAILS: L of 2.5 lies above")
    with pytest.raises(ScalingError, match="are fitted already"):
        package.verify(card, law="power", out=tmp_path / "other")
