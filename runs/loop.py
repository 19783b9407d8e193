"""The training loop that tokenizers and transformers share.

Everything that a step does is a pure function of the step's number, the weights and
the optimiser's state: batches, learning rate, evaluations. So a run that was killed and
resumed from a checkpoint computes the same bits as one that was not.
"""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import torch
from torch import Tensor, nn

from scaling.record import METRICS, Row
from scaling.runs import checkpoint
from scaling.runs.checkpoint import Progress
from scaling.runs.store import MetricsLog

CHECKPOINT_SECONDS, CHECKPOINT_SHARE = 1.0, 0.05
"""A checkpoint is due after a second, or when writing it costs a twentieth of the time
since the last one; so much work a kill costs at most."""


class StoppedError(Exception):
    """The run was asked to stop, and has written its state."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ending:
    """How a run ended."""

    status: str
    """`finished`, `diverged` or `overfitted`."""
    reason: str = ""
    """Why, where it ended early."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Training:
    """One run, from its first step to its last."""

    model: nn.Module
    """Trained in place."""
    optimizer: torch.optim.Optimizer
    """Holds the model's parameters."""
    learning_rate: Callable[[int], float]
    """Learning rate of a step."""
    loss: Callable[[int], Tensor]
    """Loss of the step's batch, a scalar."""
    steps: int
    """Optimiser steps in all."""
    clip: float
    """Gradient norm above which gradients are scaled down."""
    evaluate_after: frozenset[int]
    """Numbers of steps done at which to evaluate."""
    evaluate: Callable[[int], Row]
    """Evaluation after a number of steps; `seconds` is added to it."""
    origin: Path | None = None
    """Checkpoints of the run whose last state this one goes on from."""
    verdict: Callable[[Sequence[Row]], Ending | None] = lambda rows: None
    """Whether the evaluations so far end the run early."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reporter:
    """How a run speaks to its launcher."""

    progress: Callable[[int, int], None]
    """Told of steps done and steps in all."""
    say: Callable[[str], None]
    """Told in a sentence what a reader should know."""


def evenly_spaced(steps: int, count: int) -> frozenset[int]:
    """Spread evaluations over a run, the last at its end.

    >>> sorted(evenly_spaced(10, 4))
    [2, 5, 8, 10]
    """
    return frozenset(max(1, round(steps * k / count)) for k in range(1, count + 1))


def train(training: Training, folder: Path, reporter: Reporter) -> Ending:
    """Run from the last checkpoint to the end.

    Returns
    -------
    Ending
        `finished`; `diverged` when a loss was not finite, and the update that it would
        have made is not applied; or what `training.verdict` said.

    Raises
    ------
    StoppedError
        If SIGTERM asked for it; the state is written first.
    """
    checkpoints = folder / checkpoint.CHECKPOINT
    log = MetricsLog(folder / METRICS)
    if log.torn_line is not None:
        reporter.say(
            f"metrics.jsonl: line {log.torn_line} was cut short; kept those before it"
        )
    # a log that lost lines is repeated from a state before the first of them
    missing = [step for step in training.evaluate_after if not log.has(step)]
    progress = checkpoint.load(
        checkpoints,
        training.model,
        training.optimizer,
        min(missing, default=math.inf),
        reporter.say,
        training.origin,
    )
    clock = time.monotonic() - progress.seconds
    due = time.monotonic() + CHECKPOINT_SECONDS

    def save(step: int) -> float:
        """Write a checkpoint; return when the next one is due."""
        start = time.monotonic()
        now = Progress(step=step, seconds=start - clock)
        checkpoint.save(checkpoints, now, training.model, training.optimizer)
        end = time.monotonic()
        return end + max(CHECKPOINT_SECONDS, (end - start) / CHECKPOINT_SHARE)

    with _sigterm() as asked_to_stop:
        for step in range(progress.step, training.steps):
            if not _update(training, step):
                reason = f"the loss of step {step} is not finite"
                return Ending(status="diverged", reason=reason)
            done = step + 1
            reporter.progress(done, training.steps)
            if done in training.evaluate_after and not log.has(done):
                row = training.evaluate(done)
                if not _all_finite(row):
                    reason = f"the test loss after step {done} is not finite"
                    return Ending(status="diverged", reason=reason)
                log.append({**row, "seconds": round(time.monotonic() - clock, 3)})
                ending = training.verdict(log.rows)
                if ending is not None:
                    return ending
            if asked_to_stop.is_set():
                save(done)
                raise StoppedError
            if time.monotonic() > due or done == training.steps:
                due = save(done)
    return Ending(status="finished")


def _update(training: Training, step: int) -> bool:
    """Do one optimiser step, unless the loss or its gradient is not finite."""
    for group in training.optimizer.param_groups:
        group["lr"] = training.learning_rate(step) * group.get("share", 1.0)
    training.optimizer.zero_grad()
    loss = training.loss(step)
    if not torch.isfinite(loss):
        return False
    loss.backward()  # type: ignore[no-untyped-call]
    norm = nn.utils.clip_grad_norm_(training.model.parameters(), training.clip)
    if not torch.isfinite(norm):
        return False
    training.optimizer.step()
    return True


def _all_finite(row: Row) -> bool:
    return all(math.isfinite(x) for x in row.values() if isinstance(x, float))


@contextmanager
def _sigterm() -> Iterator[threading.Event]:
    asked = threading.Event()

    def handle(signum: int, frame: FrameType | None) -> None:
        asked.set()

    previous = signal.signal(signal.SIGTERM, handle)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGTERM, previous)
