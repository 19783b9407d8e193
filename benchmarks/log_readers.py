"""Readers of TensorBoard events and offline runs of W&B beside those of the libraries.

    python benchmarks/log_readers.py [--steps 16000]

Writes a log of seven scalars per step with each library, reads it back with ours and
with theirs in the same process, and prints seconds and their ratio; the values must be
equal. TensorBoard's reader is `EventAccumulator`; for `.wandb` files wandb has none any
more, so that only ours is timed. Needs tensorboard and wandb; either may be missing.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scaling.runs import logs_tensorboard, logs_wandb

NAMES = [f"eval/metric_{n}" for n in range(7)]


def timed(read: Callable[[], Any]) -> tuple[float, Any]:
    """Give the seconds of a call, and what it returned."""
    start = time.perf_counter()
    found = read()
    return time.perf_counter() - start, found


def tensorboard(steps: int, folder: Path) -> None:
    """Time both readers of an event file."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(folder)) as writer:
        for step in range(steps):
            for n, name in enumerate(NAMES):
                writer.add_scalar(name, n + 1 / (step + 1), step)
    files = list(folder.glob("events*"))
    ours, logs = timed(lambda: logs_tensorboard.read(files, "run", []))
    accumulator = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    theirs, _ = timed(accumulator.Reload)
    for name in NAMES:
        expected = [(event.step, event.value) for event in accumulator.Scalars(name)]
        rows = [row for row in logs[0].rows if name in row]
        assert [(row["step"], row[name]) for row in rows] == expected
    size = sum(file.stat().st_size for file in files)
    print(f"TensorBoard, {steps * len(NAMES):,} scalars, {size / 1e6:.1f} MB")
    print(
        f"  ours {ours:.2f} s, EventAccumulator {theirs:.2f} s: {theirs / ours:.1f} x"
    )


def wandb(steps: int, folder: Path) -> None:
    """Time our reader of an offline run."""
    os.environ["WANDB_SILENT"] = "true"
    import wandb as library

    with library.init(mode="offline", dir=folder) as run:
        for step in range(steps):
            run.log({name: n + 1 / (step + 1) for n, name in enumerate(NAMES)})
    files = list(folder.rglob("*.wandb"))
    ours, logs = timed(lambda: logs_wandb.read(files, "run", []))
    assert [row[NAMES[0]] for row in logs[0].rows] == [
        1 / (step + 1) for step in range(steps)
    ]
    size = files[0].stat().st_size / 1e6
    print(f"W&B offline, {steps:,} rows of {len(NAMES)}, {size:.1f} MB")
    print(f"  ours {ours:.2f} s, {1e6 * ours / steps:.0f} us per row")


def main() -> None:
    """Run what is installed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=16_000)
    steps = parser.parse_args().steps
    for compare in (tensorboard, wandb):
        with tempfile.TemporaryDirectory() as folder:
            try:
                compare(steps, Path(folder))
            except ImportError as error:
                print(f"{compare.__name__} is left out: {error}")


if __name__ == "__main__":
    main()
