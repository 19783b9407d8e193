"""The training loop that tokenizers and transformers share.

Everything that a step does is a pure function of the step's number, the weights and
the optimiser's state: batches, learning rate, evaluations. So a run that was killed and
resumed from a checkpoint computes the same bits as one that was not.

A step's batch is seen in parts when memory does not hold it whole, and by several
processes when a run has them: its loss is the sum of theirs, and so is its gradient.
"""

from __future__ import annotations

import math
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn

from scaling.errors import ScalingError
from scaling.record import METRICS, Row
from scaling.runs import checkpoint, lease
from scaling.runs.checkpoint import Progress
from scaling.runs.diagnosis import diagnose, first_not_finite
from scaling.runs.endings import Ending
from scaling.runs.group import ALONE, Group
from scaling.runs.store import MetricsLog

CHECKPOINT_SECONDS, CHECKPOINT_SHARE = 1.0, 0.05
"""A checkpoint is due after a second, or when writing it costs a twentieth of the time
since the last one; so much work a kill costs at most."""

NORMS = 5
"""Gradient norms that a diagnosis shows."""

Pause = Callable[[], None]
"""To be called between two batches: it does not return when the run is to stop."""


class StoppedError(Exception):
    """The run was asked to stop, and has written its state."""


class ShortOfMemoryError(Exception):
    """Memory does not hold so many rows at once, on one process of several."""

    def __init__(self, rows: int) -> None:
        super().__init__(rows)
        self.rows = rows


@dataclass(frozen=True, kw_only=True, slots=True)
class Training:
    """One run, from its first step to its last."""

    model: nn.Module
    """Trained in place."""
    optimizer: torch.optim.Optimizer
    """Holds the model's parameters."""
    learning_rate: Callable[[int], float]
    """Learning rate of a step."""
    loss: Callable[[Any], Tensor]
    """Loss of a part of a step's batch: the parts' sum is the batch's loss."""
    parts: Callable[[int, int], Iterable[Any]] = lambda step, rows: [step]
    """Parts of a step's batch, of so many rows at most; or the step as its one part."""
    rows: int = 1
    """Rows of a batch that this process sees, at once if memory allows."""
    micro_batch: int | None = None
    """Rows that are seen at once, where memory is known to hold no more."""
    steps: int
    """Optimiser steps in all."""
    clip: float
    """Gradient norm above which gradients are scaled down."""
    evaluate_after: frozenset[int]
    """Numbers of steps done at which to evaluate."""
    evaluate: Callable[[Progress, Pause], Row]
    """Evaluation of where the run stands; `seconds` is added to it."""
    origin: Path | None = None
    """Checkpoints of the run whose last state this one goes on from."""
    verdict: Callable[[Sequence[Row]], Ending | None] = lambda rows: None
    """Whether the evaluations so far end the run early."""
    group: Group = ALONE
    """The processes of the run."""


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
        If SIGTERM asked for it; the state is written first. It is heard between two
        parts of a batch and two batches of an evaluation, so a part that takes longer
        than the ten seconds that a launcher waits is one part too large.
    ScalingError
        If memory does not hold a single row.
    """
    run = _Run(training, folder, reporter)
    with _sigterm(run.asked_to_stop):
        try:
            ending = run.to_its_end()
        except _AskedToStop:
            run.save()
            raise StoppedError from None
        except (RuntimeError, MemoryError) as error:
            if is_out_of_memory(error):  # in the update, or in an evaluation
                raise _no_room() from error
            raise
        run.save()
    return replace(ending, micro_batch=run.progress.micro_batch)


class _AskedToStop(Exception):  # noqa: N818  # nothing went wrong
    """What was being computed is abandoned; the last state stands."""


class _Run:
    """A run on its way."""

    def __init__(self, training: Training, folder: Path, reporter: Reporter) -> None:
        self.training = training
        self.reporter = reporter
        self.group = training.group
        self.checkpoints = folder / checkpoint.CHECKPOINT
        self.asked_to_stop = threading.Event()
        self.log = self.group.first(lambda: _open_log(folder / METRICS, reporter.say))
        self.missing = {s for s in training.evaluate_after if not self.log.has(s)}
        self.progress = self._restore()
        self.norms: deque[float] = deque(maxlen=NORMS)
        self.saved = self.progress.step if self.began_here else None
        self.clock = time.monotonic() - self.progress.seconds
        self.due = time.monotonic() + CHECKPOINT_SECONDS

    def _restore(self) -> Progress:
        """Go back to a state from which all missing evaluations can be made."""
        training = self.training
        newest = min(self.missing, default=math.inf)
        progress, path = self.group.first(
            lambda: checkpoint.find(
                self.checkpoints, newest, self.reporter.say, training.origin
            )
        )
        self.began_here = path is None or path.parent == self.checkpoints
        if path is not None:
            checkpoint.restore(path, training.model, training.optimizer)
        known = [n for n in (progress.micro_batch, training.micro_batch) if n]
        rows = min(known, default=training.rows)
        return replace(progress, micro_batch=rows if rows < training.rows else None)

    def to_its_end(self) -> Ending:
        """Do what is left; an evaluation that was cut short comes first."""
        ending = self._evaluate()
        while ending is None and self.progress.step < self.training.steps:
            ending = self._step() or self._evaluate()
            self.pause()
            if self.group.any(self.group.is_first and time.monotonic() > self.due):
                self.save()
        return ending or Ending(status="finished")

    def pause(self) -> None:
        """Abandon what is being computed when any process was asked to stop."""
        if self.group.any(self.asked_to_stop.is_set()):
            raise _AskedToStop

    def save(self) -> None:
        """Write a checkpoint, unless this state is written; settle the next one's."""
        if self.progress.step == self.saved:
            return
        start = time.monotonic()
        lease.guard()
        checkpoint.save(
            self.checkpoints,
            replace(self.progress, seconds=start - self.clock),
            self.training.model,
            self.training.optimizer,
            write=self.group.is_first,
        )
        self.saved, end = self.progress.step, time.monotonic()
        self.due = end + max(CHECKPOINT_SECONDS, (end - start) / CHECKPOINT_SHARE)

    def _step(self) -> Ending | None:
        """Do one optimiser step, unless the loss or its gradient is not finite."""
        training, step = self.training, self.progress.step
        for group in training.optimizer.param_groups:
            group["lr"] = training.learning_rate(step) * group.get("share", 1.0)
        loss = self._loss_with_gradients(step)
        if not math.isfinite(loss):
            return self._diverged(f"the loss of step {step} is not finite")
        weights = list(training.model.parameters())
        gradients = [p.grad for p in weights if p.grad is not None]
        norm = nn.utils.get_total_norm(gradients)
        length = float(checkpoint.whole(norm))
        if not math.isfinite(length):
            where = first_not_finite(training.model)
            return self._diverged(f"the gradient of step {step} is not finite{where}")
        if length > training.clip:  # else each gradient would be read and written
            nn.utils.clip_grads_with_norm_(weights, training.clip, norm)
        self.norms.append(length)
        training.optimizer.step()
        self.progress = replace(self.progress, step=step + 1, train_loss=loss)
        self.reporter.progress(step + 1, training.steps)
        return None

    def _loss_with_gradients(self, step: int) -> float:
        """Compute a step's loss and gradients, in smaller parts if memory is short."""
        while True:
            rows = self.progress.micro_batch or self.training.rows
            try:
                return self._sum_over_parts(step, rows)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                if self.group.size > 1:  # one process cannot go back alone
                    raise ShortOfMemoryError(rows) from error
            # here and not above, where the error still holds what filled the memory
            self.progress = replace(self.progress, micro_batch=self._halved(step, rows))

    def _sum_over_parts(self, step: int, rows: int) -> float:
        self.training.optimizer.zero_grad()
        total: float | Tensor = 0.0
        for number, part in enumerate(self.training.parts(step, rows)):
            if number:
                self.pause()
            loss = self.training.loss(part)
            # the gradients are averaged over the processes, and are to be summed
            (loss * self.group.size).backward()  # type: ignore[no-untyped-call]
            total = total + loss.detach()
        (total,) = self.group.sum(float(total))
        return total

    def _halved(self, step: int, rows: int) -> int:
        self.training.optimizer.zero_grad()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        half = halved(rows)
        self.reporter.say(
            f"out of memory at step {step} with {rows} rows at once; going on with "
            f"{half}, and the same batches"
        )
        return half

    def _evaluate(self) -> Ending | None:
        """Evaluate where that is to be done and is not; say whether the run ends."""
        step = self.progress.step
        if step not in self.training.evaluate_after:
            return None
        if step not in self.missing:  # an earlier launch did; its verdict stands
            return self._verdict()
        row = self.training.evaluate(self.progress, self.pause)
        if not all(math.isfinite(x) for x in row.values() if isinstance(x, float)):
            return self._diverged(f"the test loss after step {step} is not finite")
        row = {**row, "seconds": round(time.monotonic() - self.clock, 3)}
        lease.guard()
        self.group.first(lambda: self.log.append(row))
        self.missing.discard(step)
        return self._verdict()

    def _verdict(self) -> Ending | None:
        so_far = [row for row in self.log.rows if row["step"] <= self.progress.step]
        ending = self.group.first(lambda: self.training.verdict(so_far))
        if ending is not None and ending.status == "diverged":
            return self._diverged(ending.reason)
        return ending

    def _diverged(self, reason: str) -> Ending:
        training = self.training
        diagnosis = diagnose(training.model, training.optimizer, self.norms)
        diagnosis = {"step": self.progress.step, **diagnosis}
        return Ending(status="diverged", reason=reason, diagnosis=diagnosis)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory is short: a GPU's, or the machine's.

    >>> is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory"))
    True
    """
    known = ("can't allocate memory", "bad_alloc", "out of memory")
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error) for words in known)
    )


def halved(rows: int) -> int:
    """Halve the rows that are seen at once.

    Raises
    ------
    ScalingError
        If it is one row already.
    """
    if rows == 1:
        raise _no_room()
    return math.ceil(rows / 2)


def _no_room() -> ScalingError:
    return ScalingError(
        "out of memory where nothing can be cut smaller; expected room for the model, "
        "its gradients and the optimiser's state: take a smaller model, a device with "
        "more memory, or several (--parallel fsdp)"
    )


def _open_log(path: Path, say: Callable[[str], None]) -> MetricsLog:
    log = MetricsLog(path)
    if log.torn_line is not None:
        say(f"metrics.jsonl: line {log.torn_line} was cut short; kept those before it")
    return log


@contextmanager
def _sigterm(asked: threading.Event) -> Iterator[None]:
    def handle(signum: int, frame: FrameType | None) -> None:
        asked.set()

    previous = signal.signal(signal.SIGTERM, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
