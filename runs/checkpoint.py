"""Checkpoints: model and optimiser in one safetensors file, vouched for by its digest.

The last two are kept, so that a file that was damaged costs one interval. The state is
whole whatever number of processes wrote it, and any number can go on from it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from scaling.errors import ScalingError
from scaling.files import digest, read_json, write_aside, write_json

CHECKPOINT = "checkpoint"
"""Folder of a run's states."""
KEPT = 2
FORMAT = 1
"""Of the files; version 0.1 wrote the same, and did not say so."""
MODEL = "model."
"""How the names of a model's tensors begin; an optimiser's are its parameters'."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """Where a run stands."""

    step: int = 0
    """Optimiser steps done."""
    seconds: float = 0.0
    """Time spent training so far, over all launches, in seconds."""
    micro_batch: int | None = None
    """Rows that were seen at once, where memory did not hold a whole batch."""
    train_loss: float | None = None
    """Loss of the last step's batch."""


def save(
    folder: Path,
    progress: Progress,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    write: bool = True,
) -> None:
    """Write a state, then its digest: without the digest it does not count.

    Every process of a run must take part, and one of them must `write`.
    """
    tensors = {}
    for name, tensor in _named_tensors(model, optimizer):
        gathered = whole(tensor)
        if write:
            tensors[name] = gathered.cpu().contiguous()
    if not write:
        return
    folder.mkdir(exist_ok=True)
    path = folder / f"{_name(progress.step)}.safetensors"
    write_aside(path, partial(_write, tensors))
    head = {"format": FORMAT, **asdict(progress), "sha256": digest(path)}
    write_json(path.with_suffix(".json"), head)
    kept = {head.stem for head in _heads(folder)[-KEPT:]}
    for old in _files(folder):
        if old.stem not in kept:
            old.unlink()


def whole(tensor: Tensor) -> Tensor:
    """Gather a tensor that is shared between processes, all of which must ask."""
    if not hasattr(tensor, "full_tensor"):
        return tensor
    gathered: Tensor = tensor.full_tensor()
    return gathered


def _write(tensors: dict[str, Tensor], path: Path) -> None:
    try:
        save_file(tensors, path)
    except SafetensorError as error:  # a full disk, for one
        raise OSError(f"{path}: {error}") from error
    path.chmod(0o644)  # safetensors makes it unreadable to others


def find(
    folder: Path,
    newest: float,
    say: Callable[[str], None],
    origin: Path | None = None,
) -> tuple[Progress, Path | None]:
    """Find the newest sound state; there may be none, and a run starts at step 0.

    Parameters
    ----------
    folder : Path
        The run's `checkpoint/`; newer states, which are of no use, are removed.
    newest : float
        Only states of so many steps or fewer will do.
    say : callable
        Told of each state that was damaged and passed over.
    origin : Path, optional
        The `checkpoint/` of another run, whose last state is the start instead.

    Raises
    ------
    ScalingError
        If the origin holds no sound state, or a state is of another format.
    """
    progress, path = next(_sound(folder, newest, say), (Progress(), None))
    for file in _files(folder):
        if file.stem > _name(progress.step):
            file.unlink()
    if path is not None or origin is None:
        return progress, path
    for found, path in _sound(origin, math.inf, say):
        return Progress(step=found.step, micro_batch=found.micro_batch), path
    raise _no_state(origin)


@torch.no_grad()
def restore(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Put a state in its place, whole or this process's share of it.

    Raises
    ------
    ScalingError
        If it is another model's.
    """
    weights = model.state_dict()
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    states: dict[int, dict[str, Tensor]] = {}
    with safe_open(path, "pt") as file:
        names = set(file.keys())
        if {name for name in names if name.startswith(MODEL)} != {
            f"{MODEL}{name}" for name in weights
        }:
            raise _of_another_model(path)
        for name in sorted(names):
            tensor = file.get_tensor(name)
            kind, _, rest = name.partition(".")
            if f"{kind}." == MODEL:
                if tensor.shape != weights[rest].shape:
                    raise _of_another_model(path)
                weights[rest].copy_(_share(tensor, weights[rest]))
            else:
                index, _, key = rest.partition(".")
                held = _share(tensor, parameters[int(index)])
                states.setdefault(int(index), {})[key] = held
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": states, "param_groups": groups})


def _share(tensor: Tensor, like: Tensor) -> Tensor:
    """Take a process's share of a tensor, where `like` is shared and of its shape."""
    if not hasattr(like, "full_tensor") or tensor.shape != like.shape:
        return tensor
    from torch.distributed.tensor import distribute_tensor

    whole: Any = like
    mesh, placements = whole.device_mesh, whole.placements
    tensor = tensor.to(mesh.device_type)
    return distribute_tensor(tensor, mesh, placements, src_data_rank=None)


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
        If there is none, or one is of another format.
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


def _of_another_model(path: Path) -> ScalingError:
    return ScalingError(
        f"{path} is the state of another model; expected one of this run's: remove the "
        "run's folder to train it again"
    )


def _sound(
    folder: Path, newest: float, say: Callable[[str], None]
) -> Iterator[tuple[Progress, Path]]:
    """Yield the states that are as they were written, newest first."""
    for path in reversed(_heads(folder)):
        tensors = path.with_suffix(".safetensors")
        try:
            head = read_json(path)
            _require_format(path, head.get("format", 1))
            progress = Progress(
                step=head["step"],
                seconds=head["seconds"],
                micro_batch=head.get("micro_batch"),
                train_loss=head.get("train_loss"),
            )
            if progress.step > newest:
                continue
            if digest(tensors) != head["sha256"]:
                raise ValueError("its digest does not match")
        except FormatError:
            raise
        except (OSError, ValueError, KeyError, TypeError) as error:
            say(f"checkpoint {path.stem} is damaged ({error}); using the one before it")
            continue
        yield progress, tensors


class FormatError(ScalingError):
    """A state that this version of the program cannot read."""


def _require_format(path: Path, found: object) -> None:
    if found != FORMAT:
        raise FormatError(
            f"{path} is a checkpoint of format {found}, and this version of the "
            f"program reads format {FORMAT}: go on with the version that wrote it, or "
            "remove the run's folder to train it again"
        )


def _files(folder: Path) -> list[Path]:
    """States' files, oldest first; what else lies in the folder is not ours."""
    ours = re.compile(r"step-\d{8,}\.(json|safetensors)")
    return sorted(path for path in folder.glob("step-*") if ours.fullmatch(path.name))


def _heads(folder: Path) -> list[Path]:
    return [path for path in _files(folder) if path.suffix == ".json"]


def _name(step: int) -> str:
    return f"step-{step:08d}"


def _named_tensors(
    model: nn.Module, optimizer: torch.optim.Optimizer
) -> Iterator[tuple[str, Tensor]]:
    yield from model.state_dict(prefix=MODEL).items()
    for index, state in optimizer.state_dict()["state"].items():
        for key, value in state.items():
            yield f"optimizer.{index}.{key}", value
