"""Timings: steps of training, done for a moment by as many processes as will run.

Processes share the memory's bandwidth, the cache and the clock, so a step is slower
among others than alone; it is timed among as many as there will be, in the launcher's
own kind of process, and the median process counts.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scaling.models.evaluator import EvaluatorConfig, TextMotionEvaluator
from scaling.models.text import Text
from scaling.models.tokenizer import MotionTokenizer, TokenizerConfig
from scaling.models.transformer import PrefixTransformer, TransformerConfig
from scaling.runs import eager
from scaling.runs.data import EVALUATED_AT_ONCE, POOL, Rows, Sampler
from scaling.runs.extent import SPREAD
from scaling.runs.forkserver import forkserver
from scaling.runs.slots import Slot

LEAST, MOST = 3, 30
"""Times that a step is done, after a first that is not counted; a forward pass, which
finds all warm, is done once or more."""

ENOUGH = 0.1
"""Seconds after which it is not done again."""

PATIENCE = 4.0
"""Seconds after which no further step is begun; what is left out is scaled."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TransformerStep:
    """A training step of a transformer."""

    config: TransformerConfig
    """The model."""
    rows: int
    """Rows of a batch."""
    codes: int
    """Codes of a typical row."""
    pieces: int
    """Pieces of a typical caption."""
    precision: str = "fp32"
    """As in the grid."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MotionStep:
    """A training step on motion, of a tokenizer or of an evaluator."""

    config: TokenizerConfig | EvaluatorConfig
    """The model."""
    rows: int
    """Motions of a batch."""
    frames: int
    """Frames of each."""
    pieces: int = 0
    """Pieces of a caption; evaluators only."""


Step = TransformerStep | MotionStep


@dataclass(frozen=True, kw_only=True, slots=True)
class Timing:
    """What a row of a batch takes."""

    step: float
    """Seconds of a training step over the rows of its batch."""
    forward: float
    """Seconds of a forward pass alone over the rows of an evaluation."""


def timings(
    steps: Sequence[Step], slots: Sequence[Slot], least: int = 1
) -> dict[Step, Timing]:
    """Time steps on all slots at once.

    Parameters
    ----------
    steps : sequence of Step
        In this order, until there is no more time.
    slots : sequence of Slot
        One process on each; a single slot is timed in this one.
    least : int
        Steps that are timed however long they take.

    Returns
    -------
    dict
        The median over the slots.
    """
    if len(slots) == 1:
        found = [_alone(steps, slots[0], least)]
    else:
        found = _together(steps, slots, least)
    return {
        step: Timing(
            step=statistics.median(each[number].step for each in found),
            forward=statistics.median(each[number].forward for each in found),
        )
        for number, step in enumerate(steps)
        if all(number < len(each) for each in found)
    }


def _alone(steps: Sequence[Step], slot: Slot, least: int) -> list[Timing]:
    before = torch.get_num_threads()
    try:
        return _time_all(steps, slot, least)
    finally:
        torch.set_num_threads(before)


def _together(
    steps: Sequence[Step], slots: Sequence[Slot], least: int
) -> list[list[Timing]]:
    context = forkserver(max(slot.threads for slot in slots))
    processes, ends = [], []
    for slot in slots:
        ours, theirs = context.Pipe()
        process = context.Process(target=_child, args=(steps, slot, least, theirs))
        process.start()
        theirs.close()
        processes.append(process)
        ends.append(ours)
    try:
        for end in ends:
            end.recv()
        for end in ends:  # all are there: begin
            end.send(None)
        return [end.recv() for end in ends]
    finally:
        for process in processes:
            process.kill()
            process.join()


def _child(steps: Sequence[Step], slot: Slot, least: int, parent: Connection) -> None:
    try:
        parent.send(None)
        parent.recv()
        parent.send(_time_all(steps, slot, least))
    except (EOFError, OSError):  # the parent is gone
        return


def _time_all(steps: Sequence[Step], slot: Slot, least: int) -> list[Timing]:
    torch.set_num_threads(slot.threads)
    start = time.perf_counter()
    found: list[Timing] = []
    for step in steps:
        if len(found) >= least and time.perf_counter() - start > PATIENCE:
            break
        if isinstance(step, TransformerStep):
            found.append(_transformer(step, slot.device))
        else:
            found.append(_motion(step, slot.device))
    return found


def _transformer(step: TransformerStep, device: str) -> Timing:
    model = PrefixTransformer(step.config)
    model.init_weights(torch.Generator().manual_seed(0))
    model = model.to(device)
    rows = rows_like(step)
    sampler = Sampler(rows, step.rows, seed=0)
    numbers = iter(range(1_000_000))

    def precision() -> Any:
        if step.precision == "fp32":
            return nullcontext()
        return torch.autocast(torch.device(device).type, torch.bfloat16)

    def loss() -> Tensor:
        batch = sampler.batch(next(numbers)).to(torch.device(device))
        with precision():
            return model.loss(batch) / batch.num_targets

    # the batches of an evaluation differ in length: one of the middle
    at_once = min(EVALUATED_AT_ONCE, len(rows.codes))
    middle = np.argsort(rows.lengths)[(len(rows.codes) - at_once) // 2 :][:at_once]

    def forward() -> None:
        batch = rows.batch(middle.tolist(), [0] * at_once)
        with torch.no_grad(), precision():
            float(model.losses(batch.to(torch.device(device))).double().sum())

    return Timing(
        step=_median(_training(model, loss)) / step.rows,
        forward=_median(forward, least=1) / at_once,
    )


def rows_like(step: TransformerStep) -> Rows:
    """Draw rows as a corpus may have them, enough for a pool or for an evaluation."""
    rng = np.random.default_rng(0)
    count = max(step.rows, min(EVALUATED_AT_ONCE, POOL * step.rows))

    def lengths(typical: int, most: int) -> list[int]:
        drawn = rng.normal(typical, SPREAD * typical, count).round().astype(int)
        return [int(length) for length in drawn.clip(1, most)]

    def text(length: int) -> Text:
        if step.config.text_vocab_size is None:
            return np.zeros((length, step.config.text_width), np.float32)
        return rng.integers(0, step.config.text_vocab_size, length)

    room = max(1, step.config.context - 2 * step.pieces)
    V = step.config.codebook_size
    return Rows(
        [rng.integers(0, V, n, np.int32) for n in lengths(step.codes, room)],
        [[text(n)] for n in lengths(step.pieces, 2 * step.pieces)],
        V,
    )


def _motion(step: MotionStep, device: str) -> Timing:
    shape = (step.rows, step.frames, 263)
    motion = torch.randn(shape, device=device)
    model: nn.Module
    if isinstance(step.config, TokenizerConfig):
        model = tokenizer = MotionTokenizer(step.config).to(device)

        def loss() -> Tensor:
            return F.mse_loss(tokenizer(motion)[0], motion)
    else:
        model = evaluator = TextMotionEvaluator(step.config).to(device)
        ids = torch.zeros((step.rows, step.pieces), dtype=torch.int64, device=device)
        lengths = torch.full((step.rows,), step.pieces)
        frames = torch.full((step.rows,), step.frames)

        def loss() -> Tensor:
            motions = evaluator.embed_motion(motion, frames)
            return F.mse_loss(motions, evaluator.embed_text(ids, lengths))

    def forward() -> None:
        with torch.no_grad():
            loss().item()

    return Timing(
        step=_median(_training(model, loss)) / step.rows,
        forward=_median(forward, least=1) / step.rows,
    )


def _training(model: nn.Module, loss: Callable[[], Tensor]) -> Callable[[], None]:
    """Make a whole step of a loss: backward, clip, update."""
    optimizer = eager.AdamW(model.parameters(), lr=0.0, fused=True)

    def step() -> None:
        optimizer.zero_grad()
        value = loss()
        value.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        value.item()  # waits for a GPU

    return step


def _median(work: Callable[[], None], least: int = LEAST) -> float:
    if least > 1:
        work()
    times: list[float] = []
    while len(times) < least or (sum(times) < ENOUGH and len(times) < MOST):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)
