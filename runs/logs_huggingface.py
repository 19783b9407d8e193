"""Hugging Face's `trainer_state.json`, with the model's files beside it.

The state holds `log_history`, one row per logging or evaluation, and the FLOPs so far
as `total_flos` = 6 D N without the tables of `nn.Embedding` (transformers,
`Trainer.floating_point_ops`). N stands in the head of `model.safetensors`.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from scaling.errors import ScalingError
from scaling.files import read_json
from scaling.record import Row
from scaling.runs.logs import Log, flat, number

FORMAT = "Hugging Face trainer_state.json"
NAME = "trainer_state.json"

TABLES = ("embed", "wte", "wpe")
"""What names of embedding tables hold."""

TOKENS = "tokens_from_flos"
"""Our name of the tokens that follow from the FLOPs."""


def read(files: Sequence[Path], name: str, notes: list[str]) -> list[Log]:
    """Read the states of one run, in its folder and its checkpoints; the last counts.

    Raises
    ------
    ScalingError
        If a state is no JSON object with a `log_history`.
    """
    states = [(path, _state(path)) for path in files]
    path, state = max(states, key=lambda each: (_step(each[1]), -len(each[0].parts)))
    rows = [dict(row) for row in state["log_history"] if isinstance(row, dict)]
    constants, counts = _model(path.parent, notes)
    flops = number(state.get("total_flos"))
    if flops:
        end: Row = {"step": state.get("global_step"), "total_flos": flops}
        if counts:
            end[TOKENS] = flops / (6 * counts["without_embeddings"])
        rows.append(end)
    for row in rows:
        row.pop("train_loss", None)  # the mean over the run, not of a step's batch
        if "epoch" in row:  # a fraction here, so that D / epochs is the unique data
            row["epochs"] = row["epoch"]
    return [
        Log(
            format=FORMAT,
            run=name,
            origin=str(path),
            path=path,
            rows=tuple(rows),
            constants=constants,
        )
    ]


def _state(path: Path) -> Row:
    try:
        state = json.loads(path.read_bytes())
    except ValueError as error:
        raise ScalingError(
            f"{path} is not JSON: {error}; expected the state of a Trainer: import "
            "that of an earlier checkpoint"
        ) from None
    if not isinstance(state, dict) or not isinstance(state.get("log_history"), list):
        raise ScalingError(
            f"{path} has no list log_history; expected the state of a Trainer: import "
            "that of another checkpoint"
        )
    return state


def _step(state: Row) -> float:
    return number(state.get("global_step")) or 0.0


# --- The model ----------------------------------------------------------------------


def _model(folder: Path, notes: list[str]) -> tuple[Row, dict[str, int]]:
    """Read the model's configuration, and count its parameters, if they are there."""
    places = [folder, *_checkpoints(folder)]
    config = next(
        (p / "config.json" for p in places if (p / "config.json").exists()), None
    )
    constants = flat(read_json(config)) if config else {}
    weights = next((found for p in places if (found := _weights(p))), [])
    if not weights:
        return constants, {}
    try:
        shapes = [shape for path in weights for shape in _shapes(path)]
    except (ValueError, struct.error):
        notes.append(f"{weights[0]} is no safetensors file; its parameters are unknown")
        return constants, {}
    counts = _counts(shapes, constants.get("vocab_size"))
    constants |= {k: n for k, n in counts.items() if k.endswith("_params")}
    return constants, counts


def _checkpoints(folder: Path) -> list[Path]:
    found = [p for p in folder.glob("checkpoint-*") if p.name[11:].isdigit()]
    return sorted(found, key=lambda p: int(p.name[11:]), reverse=True)


def _weights(folder: Path) -> list[Path]:
    one = folder / "model.safetensors"
    return [one] if one.exists() else sorted(folder.glob("model-*-of-*.safetensors"))


def _shapes(path: Path) -> Iterator[tuple[str, list[int]]]:
    """Yield the name and shape of each tensor: a length of 8 bytes, then JSON."""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        head: dict[str, Any] = json.loads(file.read(min(length, path.stat().st_size)))
    for name, tensor in head.items():
        if name != "__metadata__":
            yield name, tensor["shape"]


def _counts(
    shapes: Sequence[tuple[str, list[int]]], vocabulary: object
) -> dict[str, int]:
    """Count parameters; tables of the vocabulary are those with a side of its size."""
    total = sum(math.prod(shape) for _, shape in shapes)
    embedding = sum(
        math.prod(shape)
        for name, shape in shapes
        if any(table in name for table in TABLES)
    )
    counts = {"total_params": total, "without_embeddings": total - embedding}
    if vocabulary:
        of_vocabulary = sum(math.prod(s) for _, s in shapes if vocabulary in s[:1])
        counts["vocab_params"] = of_vocabulary
        counts["non_vocab_params"] = total - of_vocabulary
    return counts
