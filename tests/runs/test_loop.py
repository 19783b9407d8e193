"""Training stops, resumes and survives damage without changing a bit."""

from __future__ import annotations

import math
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from scaling.errors import ScalingError
from scaling.record import Row
from scaling.runs import loop
from scaling.runs.checkpoint import Progress
from scaling.runs.endings import Ending
from scaling.runs.loop import (
    Pause,
    Reporter,
    StoppedError,
    Training,
    evenly_spaced,
    is_out_of_memory,
    train,
)
from scaling.runs.schedules import warmup_cosine
from scaling.runs.store import MetricsLog

STEPS = 12


class Heard(list[str]):
    """Sentences that a run said."""

    def reporter(self) -> Reporter:
        return Reporter(progress=lambda done, total: None, say=self.append)


def training(stop_after: int = 0, bad_step: int = -1) -> Training:
    """Fit a line; optionally ask for a stop, or meet a loss that is not finite."""
    torch.manual_seed(0)
    model = nn.Linear(3, 1)

    def loss(step: int) -> Tensor:
        if stop_after and step + 1 == stop_after:
            os.kill(os.getpid(), signal.SIGTERM)
        x = torch.randn(8, 3, generator=torch.Generator().manual_seed(step))
        factor = float("inf") if step == bad_step else 1.0
        out: Tensor = (model(x) - x.sum(1, keepdim=True)).square().mean() * factor
        return out

    return Training(
        model=model,
        optimizer=torch.optim.AdamW(model.parameters()),
        learning_rate=lambda step: warmup_cosine(
            step, steps=STEPS, warmup=0.2, peak=0.1
        ),
        loss=loss,
        steps=STEPS,
        clip=1.0,
        evaluate_after=evenly_spaced(STEPS, 3),
        evaluate=lambda progress, pause: {
            "step": progress.step,
            "weight": float(model.weight.detach()[0, 0]),
        },
    )


def outcome(folder: Path) -> list[tuple[int, float]]:
    rows = MetricsLog(folder / "metrics.jsonl").rows
    return [(row["step"], row["weight"]) for row in rows]


@pytest.fixture
def straight(tmp_path: Path) -> list[tuple[int, float]]:
    folder = tmp_path / "straight"
    folder.mkdir()
    assert train(training(), folder, Heard().reporter()).status == "finished"
    return outcome(folder)


@pytest.mark.parametrize("stop_after", [1, 4, 5, 11])
def test_a_stopped_run_resumes_to_the_same_bits(
    tmp_path: Path, straight: list[tuple[int, float]], stop_after: int
) -> None:
    with pytest.raises(StoppedError):
        train(training(stop_after), tmp_path, Heard().reporter())
    assert len(outcome(tmp_path)) < len(straight)
    assert train(training(), tmp_path, Heard().reporter()).status == "finished"
    assert outcome(tmp_path) == straight


@pytest.mark.parametrize("damage", ["cut", "flip", "gone", "empty head"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(
    tmp_path: Path,
    straight: list[tuple[int, float]],
    damage: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(loop, "CHECKPOINT_SHARE", 1e9)
    with pytest.raises(StoppedError):
        train(training(stop_after=6), tmp_path, Heard().reporter())
    *_, before, newest = sorted((tmp_path / "checkpoint").glob("*.safetensors"))
    content = newest.read_bytes()
    if damage == "cut":
        newest.write_bytes(content[: len(content) // 2])
    elif damage == "flip":
        newest.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif damage == "gone":
        newest.unlink()
    else:
        newest.with_suffix(".json").write_text("")
    heard = Heard()
    assert train(training(), tmp_path, heard.reporter()).status == "finished"
    assert outcome(tmp_path) == straight
    assert len(heard) == 1
    assert heard[0].startswith(f"checkpoint {newest.stem} is damaged")
    assert before.stem < newest.stem


def test_two_checkpoints_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(loop, "CHECKPOINT_SHARE", 1e9)
    train(training(), tmp_path, Heard().reporter())
    names = sorted(path.name for path in (tmp_path / "checkpoint").iterdir())
    assert names == [
        "step-00000011.json",
        "step-00000011.safetensors",
        "step-00000012.json",
        "step-00000012.safetensors",
    ]


def test_a_log_cut_short_is_repeated_from_there(
    tmp_path: Path, straight: list[tuple[int, float]]
) -> None:
    with pytest.raises(StoppedError):
        train(training(stop_after=7), tmp_path, Heard().reporter())
    path = tmp_path / "metrics.jsonl"
    with path.open("a") as file:
        file.write('{"step": 8, "wei')
    heard = Heard()
    train(training(), tmp_path, heard.reporter())
    assert outcome(tmp_path) == straight
    assert heard == ["metrics.jsonl: line 2 was cut short; kept those before it"]


def test_a_log_that_lost_lines_below_the_checkpoint_is_repeated(
    tmp_path: Path, straight: list[tuple[int, float]]
) -> None:
    train(training(), tmp_path, Heard().reporter())
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:1]))
    assert train(training(), tmp_path, Heard().reporter()).status == "finished"
    assert outcome(tmp_path) == straight


def test_a_state_without_its_digest_does_not_push_a_sound_one_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(loop, "CHECKPOINT_SHARE", 1e9)
    with pytest.raises(StoppedError):
        train(training(stop_after=6), tmp_path, Heard().reporter())
    folder = tmp_path / "checkpoint"
    (folder / "step-00000011.safetensors").write_bytes(b"killed before its digest")
    (folder / "step-00000007.json").write_text("null")
    with pytest.raises(StoppedError):
        train(training(stop_after=8), tmp_path, Heard().reporter())
    names = sorted(path.name for path in folder.glob("*.json"))
    assert names == ["step-00000007.json", "step-00000008.json"]
    assert len(list(folder.glob("*.safetensors"))) == 2


def test_a_loss_that_is_not_finite_changes_no_weight(tmp_path: Path) -> None:
    diverging = training(bad_step=0)
    before = [weight.clone() for weight in diverging.model.parameters()]
    ending = train(diverging, tmp_path, Heard().reporter())
    after = list(diverging.model.parameters())
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert ending.status == "diverged"
    assert ending.reason == "the loss of step 0 is not finite"


def test_the_diagnosis_is_of_the_last_finite_step(tmp_path: Path) -> None:
    diverging = training(bad_step=7)
    diagnosis = train(diverging, tmp_path, Heard().reporter()).diagnosis
    weights = {name: w.abs().max() for name, w in diverging.model.named_parameters()}
    assert diagnosis["step"] == 7
    assert diagnosis["learning_rate"] == diverging.learning_rate(7)
    assert len(diagnosis["gradient_norms"]) == loop.NORMS
    assert diagnosis["largest_weight"] == max(weights.values())
    assert diagnosis["largest_weight"] == weights[diagnosis["largest_weight_of"]]


def test_the_gradient_that_was_lost_first_is_named(tmp_path: Path) -> None:
    """A root at 0 has a finite value and no finite slope."""
    layers = [nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 1)]
    model = nn.Sequential(*layers)
    nn.init.zeros_(layers[1].weight)
    nn.init.zeros_(layers[1].bias)

    def loss(step: int) -> Tensor:
        rooted = layers[1](layers[0](torch.ones(1, 3))).abs().sqrt().sum()
        out: Tensor = rooted + layers[2](torch.ones(1, 3)).sum()
        return out

    diverging = replace(
        training(),
        model=model,
        optimizer=torch.optim.AdamW(model.parameters()),
        loss=loss,
    )
    ending = train(diverging, tmp_path, Heard().reporter())
    assert ending.reason == (
        "the gradient of step 0 is not finite, that of 1.bias first"
    )


def test_a_test_loss_that_is_not_finite_is_not_logged(tmp_path: Path) -> None:
    bad = replace(training(), evaluate=lambda progress, pause: {"loss": math.nan})
    ending = train(bad, tmp_path, Heard().reporter())
    assert ending.reason == "the test loss after step 4 is not finite"
    assert outcome(tmp_path) == []


def test_a_verdict_ends_a_run_and_stands_when_it_is_resumed(tmp_path: Path) -> None:
    """Killed between the log and the result, it must not go on."""

    def verdict(rows: Sequence[Row]) -> Ending | None:
        return Ending(status="diverged", reason="it did") if len(rows) == 2 else None

    removed: list[Path] = []
    for _ in range(3):
        ending = train(
            replace(training(), verdict=verdict), tmp_path, Heard().reporter()
        )
        assert (ending.status, ending.reason) == ("diverged", "it did")
        assert ending.diagnosis["step"] == 8
        assert [step for step, _ in outcome(tmp_path)] == [4, 8]
        newest = max((tmp_path / "checkpoint").iterdir())
        assert newest.stem == "step-00000008"
        if not removed:  # as if killed before the last state was written
            removed = list(newest.parent.glob(f"{newest.stem}.*"))
            for file in removed:
                file.unlink()


# --- Parts of a batch ---


def in_parts(
    stop: tuple[int, int] = (-1, 0), too_large: int = 9, at_step: int = 0
) -> Training:
    """The line of `training`, its 8 rows in parts.

    Stops at a part of a step; memory does not hold `too_large` rows from a step on.
    """
    whole = training()

    def parts(step: int, rows: int) -> Iterator[Tensor]:
        x = torch.randn(8, 3, generator=torch.Generator().manual_seed(step))
        for number, part in enumerate(torch.split(x, rows)):
            if (step, number) == stop:
                os.kill(os.getpid(), signal.SIGTERM)
            if len(part) >= too_large and step >= at_step:
                raise torch.OutOfMemoryError("out of memory")
            yield part

    def loss(x: Tensor) -> Tensor:
        out: Tensor = (whole.model(x) - x.sum(1, keepdim=True)).square().sum() / 8
        return out

    return replace(whole, parts=parts, loss=loss, rows=8)


@pytest.mark.parametrize("rows", [1, 2, 3, 5, 8])
def test_a_batch_in_parts_is_the_batch_to_rounding(
    tmp_path: Path, straight: list[tuple[int, float]], rows: int
) -> None:
    split = replace(in_parts(), micro_batch=rows)
    ending = train(split, tmp_path, Heard().reporter())
    assert ending.micro_batch == (rows if rows < 8 else None)
    found = outcome(tmp_path)
    assert [step for step, _ in found] == [step for step, _ in straight]
    weights = torch.tensor([[a[1], b[1]] for a, b in zip(found, straight, strict=True)])
    torch.testing.assert_close(weights[:, 0], weights[:, 1], rtol=0, atol=1e-6)


def test_a_stop_between_parts_abandons_the_step(tmp_path: Path) -> None:
    folder = tmp_path / "stopped"
    folder.mkdir()
    with pytest.raises(StoppedError):
        train(replace(in_parts(stop=(6, 2)), micro_batch=2), folder, Heard().reporter())
    states = sorted(path.name for path in folder.glob("checkpoint/*.json"))
    assert states[-1] == "step-00000006.json"
    for each in (folder, tmp_path):
        train(replace(in_parts(), micro_batch=2), each, Heard().reporter())
    assert outcome(folder) == outcome(tmp_path)


def test_a_stop_in_an_evaluation_leaves_it_to_the_resumed_run(
    tmp_path: Path, straight: list[tuple[int, float]]
) -> None:
    run = training()

    def evaluate(progress: Progress, pause: Pause) -> Row:
        if progress.step == 8:
            os.kill(os.getpid(), signal.SIGTERM)
        pause()
        return run.evaluate(progress, pause)

    with pytest.raises(StoppedError):
        train(replace(run, evaluate=evaluate), tmp_path, Heard().reporter())
    assert outcome(tmp_path) == straight[:1]
    assert (tmp_path / "checkpoint/step-00000008.json").exists()
    last: list[Progress] = []

    def remember(progress: Progress, pause: Pause) -> Row:
        last.append(progress)
        return resumed.evaluate(progress, pause)

    resumed = training()
    train(replace(resumed, evaluate=remember), tmp_path, Heard().reporter())
    assert outcome(tmp_path) == straight
    assert [progress.step for progress in last] == [8, 12]
    assert all(progress.train_loss is not None for progress in last)


def test_short_of_memory_it_halves_the_parts_and_resumes_so(tmp_path: Path) -> None:
    heard = Heard()
    ending = train(in_parts(too_large=3, at_step=5), tmp_path, heard.reporter())
    assert heard == [
        "out of memory at step 5 with 8 rows at once; going on with 4, and the same "
        "batches",
        "out of memory at step 5 with 4 rows at once; going on with 2, and the same "
        "batches",
    ]
    assert (ending.status, ending.micro_batch) == ("finished", 2)
    folder = tmp_path / "stopped"
    folder.mkdir()
    with pytest.raises(StoppedError):
        train(in_parts((9, 1), too_large=3, at_step=5), folder, Heard().reporter())
    heard = Heard()
    train(in_parts(too_large=3, at_step=5), folder, heard.reporter())
    assert heard == []
    assert outcome(folder) == outcome(tmp_path)


def test_without_room_for_one_row_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(ScalingError) as error:
        train(in_parts(too_large=1), tmp_path, Heard().reporter())
    assert str(error.value).startswith("out of memory where nothing can be cut smaller")


def test_after_training_the_workers_own_answer_to_sigterm_is_back(
    tmp_path: Path,
) -> None:
    """It leaves at once, in the middle of encoding a corpus for one."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))
    try:
        train(training(), tmp_path, Heard().reporter())
        with pytest.raises(SystemExit):
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)


def test_other_errors_are_not_taken_for_short_memory() -> None:
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 cannot be multiplied"))
    assert not is_out_of_memory(ValueError("out of memory"))
    with pytest.raises(RuntimeError) as error:  # 2^58 numbers
        torch.empty(2**58)
    assert is_out_of_memory(error.value)


@given(steps=st.integers(1, 5000), count=st.integers(1, 60))
def test_evaluations_end_with_the_run(steps: int, count: int) -> None:
    points = evenly_spaced(steps, count)
    assert max(points) == steps
    assert min(points) >= 1
    assert len(points) == min(steps, count)
