"""Checkpoints: model and optimiser in one safetensors file, vouched for by its digest.

The last two are kept, so that a file that was damaged costs one interval.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from scaling.files import read_json, write_aside, write_json

KEPT = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """Where a run stands."""

    step: int
    """Optimiser steps done."""
    seconds: float
    """Time spent training so far, over all launches, in seconds."""


def save(
    folder: Path, progress: Progress, model: nn.Module, optimizer: torch.optim.Optimizer
) -> None:
    """Write a state, then its digest: without the digest it does not count."""
    folder.mkdir(exist_ok=True)
    path = folder / f"step-{progress.step:08d}.safetensors"
    tensors = {**model.state_dict(prefix="model."), **_optimizer_tensors(optimizer)}
    write_aside(path, lambda aside: save_file(tensors, aside))
    write_json(path.with_suffix(".json"), {**asdict(progress), "sha256": _digest(path)})
    for old in sorted(folder.glob("step-*.safetensors"))[:-KEPT]:
        old.with_suffix(".json").unlink(missing_ok=True)
        old.unlink()


def load(
    folder: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    say: Callable[[str], None],
) -> Progress:
    """Restore the newest sound state, or start at step 0 when there is none.

    Parameters
    ----------
    folder : Path
        The run's `checkpoint/`.
    model, optimizer
        Receive the state.
    say : callable
        Told of each state that was damaged and passed over.
    """
    for path in sorted(folder.glob("step-*.json"), reverse=True):
        try:
            head = read_json(path)
            progress = Progress(step=head["step"], seconds=head["seconds"])
            tensors = _read(path.with_suffix(".safetensors"), head["sha256"])
        except (OSError, ValueError, KeyError) as error:
            say(f"checkpoint {path.stem} is damaged ({error}); using the one before it")
            continue
        _restore(tensors, model, optimizer)
        return progress
    return Progress(step=0, seconds=0.0)


def _read(path: Path, sha256: str) -> dict[str, Tensor]:
    if _digest(path) != sha256:
        raise ValueError("its digest does not match")
    return load_file(path)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    states = optimizer.state_dict()["state"]
    return {
        f"optimizer.{index}.{key}": value
        for index, state in states.items()
        for key, value in state.items()
    }


def _restore(
    tensors: dict[str, Tensor], model: nn.Module, optimizer: torch.optim.Optimizer
) -> None:
    states: dict[int, dict[str, Any]] = {}
    weights: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        kind, _, rest = name.partition(".")
        if kind == "model":
            weights[rest] = tensor
        else:
            index, _, key = rest.partition(".")
            states.setdefault(int(index), {})[key] = tensor
    model.load_state_dict(weights)
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": states, "param_groups": groups})
