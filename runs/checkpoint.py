"""Checkpoints: model and optimiser in one safetensors file, vouched for by its digest.

The last two are kept, so that a file that was damaged costs one interval.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from scaling.errors import ScalingError
from scaling.files import digest, read_json, write_aside, write_json

CHECKPOINT = "checkpoint"
"""Folder of a run's states."""
KEPT = 2
MODEL = "model."
"""How the names of a model's tensors begin; an optimiser's are its parameters'."""


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
    path = folder / f"{_name(progress.step)}.safetensors"
    tensors = {**model.state_dict(prefix=MODEL), **_optimizer_tensors(optimizer)}
    write_aside(path, partial(_write, tensors))
    write_json(path.with_suffix(".json"), {**asdict(progress), "sha256": digest(path)})
    sound = sorted(folder.glob("step-*.json"))[-KEPT:]
    kept = {path.stem for path in sound}
    for old in folder.glob("step-*"):
        if old.stem not in kept:
            old.unlink()


def _write(tensors: dict[str, Tensor], path: Path) -> None:
    try:
        save_file(tensors, path)
    except SafetensorError as error:  # a full disk, for one
        raise OSError(f"{path}: {error}") from error
    path.chmod(0o644)  # safetensors makes it unreadable to others


def load(
    folder: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    before: float,
    say: Callable[[str], None],
    origin: Path | None = None,
) -> Progress:
    """Restore the newest sound state, or start at step 0 when there is none.

    Parameters
    ----------
    folder : Path
        The run's `checkpoint/`.
    model, optimizer
        Receive the state.
    before : float
        Only states of fewer steps than this will do.
    say : callable
        Told of each state that was damaged and passed over.
    origin : Path, optional
        The `checkpoint/` of another run, whose last state is the start instead.

    Raises
    ------
    ScalingError
        If the origin holds no sound state.
    """
    progress = Progress(step=0, seconds=0.0)
    for found, path in _sound(folder, before, say):
        _restore(load_file(path), model, optimizer)
        progress = found
        break
    else:
        if origin is not None:
            progress = _begin_at(origin, model, optimizer)
    for path in folder.glob("step-*"):
        if path.stem > _name(progress.step):  # of no use, and newer than what follows
            path.unlink()
    return progress


def _begin_at(
    origin: Path, model: nn.Module, optimizer: torch.optim.Optimizer
) -> Progress:
    for found, path in _sound(origin, math.inf, lambda sentence: None):
        _restore(load_file(path), model, optimizer)
        return Progress(step=found.step, seconds=0.0)
    raise _no_state(origin)


def read_model(
    folder: Path, say: Callable[[str], None] = lambda sentence: None
) -> dict[str, Tensor]:
    """Read the weights of the newest sound state, for `load_state_dict`.

    Parameters
    ----------
    folder : Path
        The run's `checkpoint/`.
    say : callable
        Told of each state that was damaged and passed over.

    Raises
    ------
    ScalingError
        If there is none.
    """
    for _, path in _sound(folder, math.inf, say):
        with safe_open(path, "pt") as file:
            names = [name for name in file.keys() if name.startswith(MODEL)]  # noqa: SIM118
            return {name.removeprefix(MODEL): file.get_tensor(name) for name in names}
    raise _no_state(folder)


def _no_state(folder: Path) -> ScalingError:
    return ScalingError(
        f"{folder} holds no sound checkpoint; expected step-*.safetensors with its "
        "digest: remove the run's folder to train it again"
    )


def _sound(
    folder: Path, before: float, say: Callable[[str], None]
) -> Iterator[tuple[Progress, Path]]:
    """Yield the states of fewer steps that are as they were written, newest first."""
    for path in sorted(folder.glob("step-*.json"), reverse=True):
        tensors = path.with_suffix(".safetensors")
        try:
            head = read_json(path)
            progress = Progress(step=head["step"], seconds=head["seconds"])
            if progress.step >= before:
                continue
            if digest(tensors) != head["sha256"]:
                raise ValueError("its digest does not match")
        except (OSError, ValueError, KeyError, TypeError) as error:
            say(f"checkpoint {path.stem} is damaged ({error}); using the one before it")
            continue
        yield progress, tensors


def _name(step: int) -> str:
    return f"step-{step:08d}"


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
