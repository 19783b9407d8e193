"""Training stops, resumes and survives damage without changing a bit."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from scaling.runs import loop
from scaling.runs.loop import (
    Reporter,
    StoppedError,
    Training,
    evenly_spaced,
    train,
    warmup_cosine,
    warmup_milestone,
)
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
        evaluate=lambda step: {
            "step": step,
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
    assert train(training(), folder, Heard().reporter()) == "finished"
    return outcome(folder)


@pytest.mark.parametrize("stop_after", [1, 4, 5, 11])
def test_a_stopped_run_resumes_to_the_same_bits(
    tmp_path: Path, straight: list[tuple[int, float]], stop_after: int
) -> None:
    with pytest.raises(StoppedError):
        train(training(stop_after), tmp_path, Heard().reporter())
    assert len(outcome(tmp_path)) < len(straight)
    assert train(training(), tmp_path, Heard().reporter()) == "finished"
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
    assert train(training(), tmp_path, heard.reporter()) == "finished"
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
    assert train(training(), tmp_path, Heard().reporter()) == "finished"
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
    diverging, heard = training(bad_step=0), Heard()
    before = [weight.clone() for weight in diverging.model.parameters()]
    assert train(diverging, tmp_path, heard.reporter()) == "diverged"
    after = list(diverging.model.parameters())
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert heard == ["the loss of step 0 is not finite; stopped there"]


@given(steps=st.integers(1, 5000), count=st.integers(1, 60))
def test_evaluations_end_with_the_run(steps: int, count: int) -> None:
    points = evenly_spaced(steps, count)
    assert max(points) == steps
    assert min(points) >= 1
    assert len(points) == min(steps, count)


def test_warm_up_rises_to_the_peak_and_the_cosine_falls_from_it() -> None:
    rates = [warmup_cosine(s, steps=100, warmup=0.1, peak=2.0) for s in range(100)]
    assert rates[:3] == pytest.approx([0.2, 0.4, 0.6])
    assert rates[9] == rates[10] == 2.0
    assert rates[55] == pytest.approx(1.0)
    assert 0 < rates[-1] < 0.01
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_the_milestone_multiplies_the_rate_once() -> None:
    rates = [
        warmup_milestone(s, steps=10, warmup=0.2, peak=1.0, milestone=0.6, decay=0.05)
        for s in range(10)
    ]
    assert rates == [0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 0.05, 0.05, 0.05, 0.05]
