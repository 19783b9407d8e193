"""The transformer job: its evaluations, its trunk and branches, its memory."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from scaling.errors import ScalingError
from scaling.files import write_json
from scaling.models.sizes import size
from scaling.models.transformer import PrefixTransformer, TransformerConfig
from scaling.record import METRICS, RESULT, Row, read_metrics
from scaling.runs import train
from scaling.runs.checkpoint import read_model
from scaling.runs.data import Rows, Sampler
from scaling.runs.grid import load_grid
from scaling.runs.jobs import TransformerJob
from scaling.runs.loop import Reporter
from scaling.runs.plan import expand
from scaling.runs.train import evaluate_split
from scaling.runs.unigram import Unigram

V = 15
"""Of a codebook of nominally 16."""


def rows_of_lengths(lengths: Sequence[int], seed: int = 0) -> Rows:
    rng = np.random.default_rng(seed)
    codes = [rng.integers(0, V, n).astype(np.int32) for n in lengths]
    return Rows(codes, [[rng.integers(1, 9, 3)] for _ in lengths], V)


def built(seed: int = 0) -> PrefixTransformer:
    shape = TransformerConfig(size=size("2x2x16"), codebook_size=V, text_vocab_size=9)
    model = PrefixTransformer(shape)
    generator = torch.Generator().manual_seed(seed)
    model.init_weights(generator)
    # at 0 it would keep gradients from the rest
    torch.nn.init.normal_(model.head.weight, generator=generator)
    return model


@pytest.mark.parametrize("amount", [{"second": 2.0}, {"second": 1.0, "byte": 40}, {}])
def test_bits_are_those_of_all_targets_over_the_data(amount: dict[str, float]) -> None:
    """A model that knows nothing spends log2(V + 1) bits on each of 11 targets."""
    V = 7
    shape = TransformerConfig(size=size("1x1x4"), codebook_size=V, text_vocab_size=1)
    model = PrefixTransformer(shape)
    model.init_weights(torch.Generator().manual_seed(0))
    rows = Rows([np.zeros(10, np.int32)], [[np.zeros(1, np.int64)]], V)
    found = evaluate_split(model, rows, Unigram.of(rows), amount=amount)
    assert found["loss"] == pytest.approx(math.log(V + 1))
    bits = {name: found[name] for name in found if name.startswith("bits_per_")}
    expected = {f"bits_per_{unit}": 3 * 11 / units for unit, units in amount.items()}
    assert bits == pytest.approx(expected)


def test_an_evaluation_pauses_before_every_batch() -> None:
    rows = rows_of_lengths([3] * 300)
    paused: list[int] = []
    evaluate_split(
        built(), rows, Unigram.of(rows), amount={}, pause=lambda: paused.append(1)
    )
    assert len(paused) == rows.num_batches == 3


@settings(deadline=None)
@given(at_once=st.integers(1, 8), step=st.integers(0, 5))
def test_the_gradient_of_parts_is_that_of_the_batch(at_once: int, step: int) -> None:
    sampler = Sampler(rows_of_lengths([1 + n % 7 for n in range(24)]), 8, seed=1)

    def gradients(rows: int) -> list[Tensor]:
        model = built()
        for part in sampler.parts(step, rows):
            loss = model.loss(part.batch) / part.targets
            loss.backward()  # type: ignore[no-untyped-call]
        return [weight.grad for weight in model.parameters() if weight.grad is not None]

    torch.testing.assert_close(gradients(at_once), gradients(8), rtol=1e-4, atol=1e-6)


# --- Runs of a plan on rows made by hand ---

GRID = """\
study: cut
corpus: {sequences: 20}
tokenizers: {codebooks: [16], steps: 5}
transformers:
  sizes: [1x2x16]
  batch_size: 4
  evaluations: 5
  schedule: wsd
"""


def planned(tmp_path: Path, *changes: str) -> list[TransformerJob]:
    path = tmp_path / "cut.yaml"
    path.write_text(GRID)
    plan = expand(load_grid(path, [f"transformers.{change}" for change in changes]))
    return [job for job in plan.jobs if isinstance(job, TransformerJob)]


def run(job: TransformerJob, out: Path) -> Row:
    """Run a job as a worker does."""
    folder = out / job.folder
    folder.mkdir(parents=True)
    splits = {
        "train": rows_of_lengths([2 + n % 9 for n in range(40)]),
        "test": rows_of_lengths([4, 5, 6], seed=1),
    }
    silent = Reporter(progress=lambda done, total: None, say=pytest.fail)
    model = train.build_model(job, text_vocab_size=9)
    result = train.run(job, model, splits, {"second": 3.0}, folder, "cpu", silent)
    write_json(folder / RESULT, result)
    return result


def rows(folder: Path) -> list[Row]:
    logged = read_metrics(folder / METRICS).rows
    return [{k: x for k, x in row.items() if k != "seconds"} for row in logged]


def same_state(a: Path, b: Path) -> bool:
    states = [read_model(folder / "checkpoint") for folder in (a, b)]
    return all(torch.equal(states[0][name], x) for name, x in states[1].items())


@pytest.mark.parametrize("parametrization", ["standard", "mup"])
def test_segments_and_a_branch_are_a_run_in_one_go(
    tmp_path: Path, parametrization: str
) -> None:
    out, whole = tmp_path / "out", tmp_path / "whole"
    jobs = planned(
        tmp_path, "tokens=[400, 800, 1600]", f"parametrization={parametrization}"
    )
    for job in jobs:
        assert run(job, out)["status"] == "finished"
    last = jobs[-1]
    assert (last.kind, last.tokens) == ("transformer", 1600)
    run(replace(last, trunk=None), whole)  # the same schedule, from the start
    assert same_state(out / last.folder, whole / last.folder)
    assert rows(out / last.folder) == rows(whole / last.folder)
    cooled = [row["cooled"] for job in jobs for row in rows(out / job.folder)]
    assert sum(cooled) == 3
    assert rows(out / last.folder)[-1]["cooled"]


def test_where_a_trunk_was_cut_before_changes_nothing(tmp_path: Path) -> None:
    cuts = {
        "one": "tokens=[1600]",
        "two": "tokens=[400, 1600]",
        "three": "tokens=[700, 900, 1600]",
    }
    warmup = "warmup=0.0"  # which is a share of the shortest budget
    for out, cut in cuts.items():
        for job in planned(tmp_path, cut, warmup):
            run(job, tmp_path / out)
    trunk, branch = planned(tmp_path, cuts["one"], warmup)
    for job in (trunk, branch):
        same = [next((tmp_path / out).glob(job.folder)) for out in cuts]
        assert same_state(same[0], same[1])
        assert same_state(same[0], same[2])


def test_segments_that_end_in_one_batch_hand_the_state_on(tmp_path: Path) -> None:
    jobs = planned(tmp_path, "tokens=[1600, 1602]")
    assert [job.kind for job in jobs] == ["trunk", "transformer"] * 2
    for job in jobs:
        assert run(job, tmp_path)["status"] == "finished"
    assert same_state(tmp_path / jobs[0].folder, tmp_path / jobs[2].folder)


def test_a_branch_begins_as_the_trunk_ended(tmp_path: Path) -> None:
    """A rate of 0 after the trunk leaves its weights as they are."""
    trunk, branch = planned(tmp_path, "tokens=[1000]")
    run(trunk, tmp_path)
    zero = branch.section.model_copy(update={"weight_decay": 0.0, "learning_rate": 0.0})
    run(replace(branch, section=zero), tmp_path)
    assert same_state(tmp_path / trunk.folder, tmp_path / branch.folder)


def test_a_budget_that_leaves_nothing_to_cool_down_is_refused(tmp_path: Path) -> None:
    trunk, branch = planned(tmp_path, "tokens=[1000]")
    run(trunk, tmp_path)
    with pytest.raises(ScalingError, match="leave no batch to cool down after the 800"):
        run(replace(branch, tokens=801), tmp_path)


def test_what_branches_from_a_diverged_trunk_diverged(tmp_path: Path) -> None:
    trunk, branch = planned(tmp_path, "tokens=[1600]", "learning_rate=1e4")
    result = run(trunk, tmp_path)
    assert result["status"] == "diverged"
    assert result["diagnosis"]["precision"] == "fp32"
    assert result["diagnosis"]["gradient_norms"]
    ending = run(branch, tmp_path)
    assert (ending["status"], ending["reason"]) == (
        "diverged",
        f"its trunk did: {result['reason']}",
    )


def test_a_loss_above_guessing_has_diverged_though_it_is_finite(tmp_path: Path) -> None:
    (job,) = planned(tmp_path, "tokens=[3000]", "schedule=cosine", "learning_rate=10.0")
    result = run(job, tmp_path)
    assert result["status"] == "diverged"
    assert "is more than 1 nat above guessing, 2.7726" in result["reason"]
    logged = rows(tmp_path / job.folder)
    assert logged[-1]["train_loss"] > math.log(V + 1) + 1
    assert logged[-1]["step"] == result["diagnosis"]["step"]


def test_patience_ends_a_run_that_overfits(tmp_path: Path) -> None:
    """40 random rows are learnt by heart, which does not help with others."""
    (job,) = planned(
        tmp_path, "tokens=[40000]", "schedule=cosine", "evaluations=40", "patience=3"
    )
    result = run(job, tmp_path)
    assert result["status"] == "overfitted"
    losses = [row["loss"] for row in rows(tmp_path / job.folder)]
    assert len(losses) < 40
    assert len(losses) - 1 - losses.index(min(losses)) == 3


def test_batches_that_processes_cannot_share_are_refused() -> None:
    train.require_shares(6, 3)
    with pytest.raises(ScalingError, match="6 sequences cannot be shared evenly by 4"):
        train.require_shares(6, 4)


# --- Memory ---

LARGE = """
import resource, sys
from pathlib import Path
import numpy as np, torch
from scaling.models.sizes import size
from scaling.models.transformer import PrefixTransformer, TransformerConfig
from scaling.record import METRICS, read_metrics
from scaling.runs.data import Rows, Sampler
from scaling.runs.loop import Reporter, Training, train

V = 256
rng = np.random.default_rng(0)
codes = [rng.integers(0, V, 512).astype(np.int32) for _ in range(64)]
sampler = Sampler(Rows(codes, [[np.array([1])]] * 64, V), 64, seed=0)
model = PrefixTransformer(
    TransformerConfig(
        size=size("1x1x64"), codebook_size=V, text_vocab_size=2, context=520
    )
)
model.init_weights(torch.Generator().manual_seed(0))
optimizer = torch.optim.AdamW(model.parameters())
torch.set_num_threads(1)
losses = lambda part: model.loss(part.batch) / part.targets
(warm,) = Sampler(sampler.rows, 1, seed=0).parts(0, 1)
losses(warm).backward()
if len(sys.argv) > 2:  # room for half of what a block keeps of all rows
    used = int(Path("/proc/self/statm").read_text().split()[0]) * 4096
    resource.setrlimit(resource.RLIMIT_AS, (used + 64 * 512 * 64 * 4 * 12,) * 2)
ending = train(
    Training(
        model=model, optimizer=optimizer, learning_rate=lambda step: 1e-3, loss=losses,
        parts=sampler.parts, rows=64, steps=2, clip=1.0, evaluate_after=frozenset([2]),
        evaluate=lambda progress, pause: {"step": 2, "loss": progress.train_loss},
    ),
    Path(sys.argv[1]), Reporter(progress=lambda done, total: None, say=print),
)
print(ending.micro_batch, read_metrics(Path(sys.argv[1]) / METRICS).rows[0]["loss"])
"""


def test_where_memory_ends_the_same_batches_go_in_parts(tmp_path: Path) -> None:
    """The system itself refuses the memory."""

    def trained(name: str, *limit: str) -> list[str]:
        (tmp_path / name).mkdir()
        done = subprocess.run(
            [sys.executable, "-c", LARGE, tmp_path / name, *limit],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    *said, free = trained("free")
    assert said == []
    *said, tight = trained("tight", "limited")
    assert said[0].startswith("out of memory at step 0 with 64 rows at once; going on")
    (whole, expected), (rows, loss) = free.split(), tight.split()
    assert whole == "None"
    assert 1 <= int(rows) <= 32
    assert float(loss) == pytest.approx(float(expected), rel=1e-6)
