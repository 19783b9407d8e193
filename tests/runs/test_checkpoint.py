"""A model's weights are read from the newest state that is as it was written."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from scaling.errors import ScalingError
from scaling.runs import checkpoint
from scaling.runs.checkpoint import Progress, read_model


def model(value: float) -> nn.Module:
    found = nn.BatchNorm1d(3)  # has buffers as well, one of them a whole number
    nn.init.constant_(found.weight, value)
    found.num_batches_tracked += int(value)
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two states: steps 5 and 7, with those numbers for weights."""
    for step in (5, 7):
        written = model(step)
        optimizer = torch.optim.AdamW(written.parameters())
        written(torch.randn(4, 3)).sum().backward()
        optimizer.step()
        nn.init.constant_(written.weight, step)
        now = Progress(step=step, seconds=0.0)
        checkpoint.save(tmp_path, now, written, optimizer)
    return tmp_path


def test_of_the_newest_state_without_its_optimiser(folder: Path) -> None:
    weights = read_model(folder)
    assert set(weights) == set(model(0).state_dict())
    assert weights["weight"].tolist() == [7, 7, 7]
    restored = model(0)
    restored.load_state_dict(weights)
    assert restored.num_batches_tracked == 8


def test_of_the_one_before_when_that_is_damaged(folder: Path) -> None:
    newest = folder / "step-00000007.safetensors"
    content = newest.read_bytes()
    newest.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    said: list[str] = []
    assert read_model(folder, said.append)["weight"].tolist() == [5, 5, 5]
    assert len(said) == 1
    assert said[0].startswith("checkpoint step-00000007 is damaged (its digest")


def test_reading_removes_nothing(folder: Path) -> None:
    before = sorted(folder.iterdir())
    read_model(folder)
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize("exists", [True, False])
def test_none_at_all_is_refused(tmp_path: Path, exists: bool) -> None:
    empty = tmp_path if exists else tmp_path / "nowhere"
    with pytest.raises(ScalingError) as error:
        read_model(empty)
    assert str(error.value) == (
        f"{empty} holds no sound checkpoint; expected step-*.safetensors with its "
        "digest: train the run again"
    )
