"""A model's weights are read from the newest state that is as it was written."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from scaling.errors import ScalingError
from scaling.runs import checkpoint
from scaling.runs.checkpoint import Progress, read_model


def model(value: float) -> nn.BatchNorm1d:
    found = nn.BatchNorm1d(3)  # has buffers as well, one of them a whole number
    nn.init.constant_(found.weight, value)
    assert found.num_batches_tracked is not None
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
        "digest: remove the run's folder to train it again"
    )


def restored(folder: Path, into: nn.Module) -> Progress:
    optimizer = torch.optim.AdamW(into.parameters())
    progress, path = checkpoint.find(folder, 99, pytest.fail)
    assert path is not None
    checkpoint.restore(path, into, optimizer)
    return progress


def test_a_head_remembers_all_of_where_a_run_stands(tmp_path: Path) -> None:
    written = model(1)
    optimizer = torch.optim.AdamW(written.parameters())
    now = Progress(step=3, seconds=1.5, micro_batch=8, train_loss=0.1 + 0.2)
    checkpoint.save(tmp_path, now, written, optimizer)
    assert restored(tmp_path, model(0)) == now


def test_heads_of_version_0_1_are_read(folder: Path) -> None:
    path = folder / "step-00000007.json"
    head = json.loads(path.read_text())
    kept = ("step", "seconds", "sha256")
    path.write_text(json.dumps({key: head[key] for key in kept}))
    assert restored(folder, model(0)) == Progress(step=7)


@pytest.mark.parametrize(
    "read", [read_model, lambda folder: checkpoint.find(folder, 99, pytest.fail)]
)
def test_another_format_is_refused_and_not_passed_over(
    folder: Path, read: Callable[[Path], object]
) -> None:
    path = folder / "step-00000007.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 9}))
    before = sorted(folder.iterdir())
    with pytest.raises(ScalingError) as error:
        read(folder)
    assert str(error.value) == (
        f"{path} is a checkpoint of format 9, and this version of the program reads "
        "format 1: go on with the version that wrote it, or remove the run's folder "
        "to train it again"
    )
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize("other", [nn.BatchNorm1d(4), nn.Linear(3, 3)])
def test_the_state_of_another_model_is_refused(folder: Path, other: nn.Module) -> None:
    with pytest.raises(ScalingError, match="is the state of another model"):
        restored(folder, other)


def test_foreign_files_stay_and_are_not_read(folder: Path) -> None:
    foreign = ["step-00000009.json.bak", "step-last.safetensors", "notes.json"]
    for name in foreign:
        (folder / name).write_text("{}")
    (folder / "step-99").mkdir()
    assert restored(folder, model(0)).step == 7
    written = model(1)
    optimizer = torch.optim.AdamW(written.parameters())
    for step in (8, 9, 10):
        checkpoint.save(folder, Progress(step=step), written, optimizer)
    names = {path.stem for path in folder.glob("step-0000001*.safetensors")}
    assert names == {"step-00000010"}
    assert {*foreign, "step-99"} < {path.name for path in folder.iterdir()}


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
import torch
from scaling.runs import checkpoint
folder = Path(sys.argv[1])
model = torch.nn.Linear(64, 64)
optimizer = torch.optim.AdamW(model.parameters())
checkpoint.save(folder, checkpoint.Progress(step=1), model, optimizer)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
for limit in map(int, sys.argv[2:]):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        checkpoint.save(folder, checkpoint.Progress(step=2), model, optimizer)
    except OSError as error:
        print("refused:", error)
"""


def test_a_disk_that_takes_no_more_leaves_the_earlier_state(tmp_path: Path) -> None:
    """With room for nothing, for a part of the tensors, and for all but the last."""
    limits = ["0", "5000", "16000"]
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, tmp_path, *limits],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.count("refused:") == len(limits)
    progress, path = checkpoint.find(tmp_path, 99, pytest.fail)
    assert (progress.step, path) == (1, tmp_path / "step-00000001.safetensors")
    assert not list(tmp_path.glob(".aside-*"))
