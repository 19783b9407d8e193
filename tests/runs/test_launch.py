"""A grid runs to its end, its record is whole, and mistakes are plain lines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from scaling.record import SCORES

if TYPE_CHECKING:
    from tests.conftest import CommandLine


def test_the_record_is_complete(straight: Path) -> None:
    table = pd.read_csv(straight / "runs.csv")
    assert len(table) == 2 * 2 * 3
    assert set(table["status"]) == {"finished"}
    absent = ["run", "bits_per_byte", *SCORES]  # text alone has bytes
    assert table.drop(columns=absent).notna().all(axis=None)
    assert table[list(SCORES)].isna().all(axis=None)  # nobody has evaluated them
    assert (table["normalised_loss"] == table["loss"] - table["unigram_loss"]).all()
    vocabulary = table["codebook_size"] * table["d_model"]
    assert (table["vocab_params"] == vocabulary).all()
    last = table.groupby("run")["tokens"].max()
    assert (last >= 3000).all()
    assert (last < 3000 + 4 * 50).all()


def test_flops_are_three_forward_passes_per_token(straight: Path) -> None:
    for row in pd.read_csv(straight / "runs.csv").itertuples():
        L, d, V = row.n_layers, row.d_model, row.nominal_codebook_size
        forward = 4 * d + 24 * L * d**2 + 2 * L * 201 * d + 2 * d * V
        assert row.flops == 3 * forward * row.tokens


def test_tokenizers_are_scored(straight: Path) -> None:
    table = pd.read_csv(straight / "tokenizers.csv")
    assert table["codebook_size"].tolist() == [15, 64]
    assert (table["exponential_entropy"] <= table["codebook_size"]).all()
    assert (table["codebook_utilisation"] * table["codebook_size"] >= 1).all()
    assert (table["mpjpe"] > 0).all()


def test_launching_again_repeats_nothing(
    straight: Path, scaling: CommandLine, tiny: Path
) -> None:
    before = {path: path.stat().st_mtime_ns for path in straight.rglob("*.jsonl")}
    content = (straight / "runs.csv").read_bytes()
    done = scaling.run("run", tiny, "--out", straight)
    assert done.returncode == 0
    assert "7 of 7 jobs done" in done.stderr
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert (straight / "runs.csv").read_bytes() == content


def test_another_grid_s_folder_is_refused(
    straight: Path, scaling: CommandLine, tiny: Path
) -> None:
    content = (straight / "grid.json").read_bytes()
    done = scaling.run("run", tiny, "--out", straight, "--set", "corpus.seed=4")
    assert done.returncode == 1
    says = "holds another grid of study tiny: 7 of its jobs are not in this one"
    assert says in done.stderr
    assert done.stderr.splitlines()[-1].endswith("choose another folder with --out")
    assert (straight / "grid.json").read_bytes() == content
    dry = scaling.run(
        "run", tiny, "--out", straight, "--set", "corpus.seed=4", "--dry-run"
    )
    assert dry.returncode == 1


def test_a_folder_of_other_things_is_refused(
    tiny: Path, tmp_path: Path, scaling: CommandLine
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years")
    done = scaling.run("run", tiny, "--out", tmp_path / "mine")
    assert done.returncode == 1
    assert "is not empty and holds no grid" in done.stderr
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]


def test_a_launch_killed_at_its_very_start_leaves_a_usable_folder(
    tiny: Path, tmp_path: Path, scaling: CommandLine
) -> None:
    (tmp_path / ".lease-000001").touch()
    (tmp_path / ".aside-grid.json").write_text('{"stu')
    done = scaling.run("run", tiny, "--out", tmp_path, "--dry-run")
    assert done.returncode == 0, done.stderr


def test_a_tokenizer_that_diverges_stops_what_needs_it(
    tiny: Path, tmp_path: Path, scaling: CommandLine
) -> None:
    rate = ("--set", "tokenizers.learning_rate=1e30")
    done = scaling.run("run", tiny, "--out", tmp_path / "out", *rate)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert "its loss is not finite, and no run can use it; lower tokenizers" in last
    assert "Traceback" not in done.stderr
    listed = json.loads(scaling.run("status", tmp_path / "out", "--json").stdout)
    states = [state["status"] for state in listed["jobs"]]
    assert states[:3] == ["finished", "failed", "failed"]


def test_a_failure_is_said_and_tried_again(
    tiny: Path, tmp_path: Path, scaling: CommandLine
) -> None:
    out = tmp_path / "out"
    window = ("--set", "tokenizers.window=400")
    done = scaling.run("run", tiny, "--out", out, *window)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("Error: 2 jobs failed, so that 4 more could not start; ")
    assert "400 frames are more than any training clip has" in last
    assert "Traceback" not in done.stderr
    status = scaling.run("status", out)
    assert status.stdout.endswith("1 of 7 jobs done, 2 failed\n")


def test_a_dry_run_writes_nothing(
    tiny: Path, tmp_path: Path, scaling: CommandLine
) -> None:
    done = scaling.run("run", tiny, "--out", tmp_path / "out", "--dry-run")
    assert done.returncode == 0
    *runs, total = done.stdout.splitlines()
    assert len(runs) == 1 + 4
    assert total.startswith("4 runs and 3 other jobs (corpus, tokenizers), ")
    assert "0 of 7 jobs done; about " in total
    assert not (tmp_path / "out").exists()


def test_seeds_are_an_axis(tiny: Path, tmp_path: Path, scaling: CommandLine) -> None:
    done = scaling.run("run", tiny, "--out", tmp_path / "out", "--dry-run", "--seed", 7)
    runs = done.stdout.splitlines()[1:-1]
    assert len(runs) == 4
    assert all("-s7-" in run for run in runs)


def test_status_shows_every_job(straight: Path, scaling: CommandLine) -> None:
    done = scaling.run("status", straight, "--json")
    states = json.loads(done.stdout)["jobs"]
    assert [state["status"] for state in states] == ["finished"] * 7
    assert all(state["normalised_loss"] is not None for state in states[-4:])
    nothing = scaling.run("status", straight.parent)
    assert nothing.returncode == 1
    assert "holds no grid.json; name a folder that scaling run wrote" in nothing.stderr


def test_a_device_that_is_not_there_is_refused(
    tiny: Path, scaling: CommandLine
) -> None:
    done = scaling.run("run", tiny, "--device", "cuda:99", "--dry-run")
    assert done.returncode == 1
    assert "--device 'cuda:99' is not there; this machine has " in done.stderr


def test_the_record_fits(straight: Path, scaling: CommandLine) -> None:
    done = scaling.run("fit", straight, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["evaluations"] == 12


def test_a_study_of_tokenizers_alone_ends_in_its_table(
    tmp_path: Path, scaling: CommandLine
) -> None:
    grid, out = tmp_path / "grid.yaml", tmp_path / "out"
    grid.write_text(
        "study: alone\ncorpus: {sequences: 40}\ntransformers: none\n"
        "tokenizers: {quantizers: [fsq, vq, rfsq], codebooks: [16], width: 16, "
        "depth: 1, steps: 2, batch_size: 4}\n"
        "evaluator: {width: 16, steps: 2, batch_size: 8}\n"
    )
    done = scaling.run("run", grid, "--out", out, "--jobs", 1)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [str(out / "tokenizers.csv")]
    table = pd.read_csv(out / "tokenizers.csv").set_index("quantizer")
    assert sorted(table.index) == ["fsq", "rfsq", "vq"]
    measures = ["l1", "mpjpe", "fid", "codebook_utilisation", "exponential_entropy"]
    assert (table[[*measures, "test_tokens", "scored_clips"]] > 0).all(axis=None)
