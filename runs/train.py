"""The transformer job: one run of the grid, from its tokens to its record."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from scaling.errors import ScalingError
from scaling.models.flops import non_vocab_params
from scaling.models.transformer import (
    PrefixTransformer,
    TransformerConfig,
    vocabulary_split,
)
from scaling.record import Row
from scaling.runs import eager
from scaling.runs.checkpoint import CHECKPOINT, Progress
from scaling.runs.compiling import compile_blocks, is_compiled
from scaling.runs.course import Course
from scaling.runs.data import Part, Rows
from scaling.runs.endings import inherited_from
from scaling.runs.group import ALONE, Group
from scaling.runs.jobs import TransformerJob
from scaling.runs.loop import Pause, Reporter, Training, train
from scaling.runs.schedules import parameter_groups
from scaling.runs.sections import Transformers
from scaling.runs.unigram import Unigram

TO_COMPILE = 8
"""Rows that the compiler is shown."""


def build_model(job: TransformerJob, text_vocab_size: int | None) -> PrefixTransformer:
    """Build a run's transformer with the weights that its seed draws."""
    config = TransformerConfig(
        size=job.size,
        codebook_size=job.quantization.codebook_size,
        text_vocab_size=text_vocab_size,
        text_width=job.section.text_width,
        context=job.section.context,
    )
    model = PrefixTransformer(config)
    model.init_weights(torch.Generator().manual_seed(job.seed))
    return model


def record(job: TransformerJob, model: PrefixTransformer, device: str) -> Row:
    """Columns of the record that stay the same along the run."""
    non_vocabulary, vocabulary, total = vocabulary_split(model)
    assert non_vocabulary == non_vocab_params(job.architecture), "the plan miscounted"
    section = job.section
    return {
        "size": job.size.name,
        "corpus": job.corpus,
        "quantizer": job.quantization.method,
        "codebook_size": job.quantization.codebook_size,
        "nominal_codebook_size": job.quantization.nominal,
        "non_vocab_params": non_vocabulary,
        "vocab_params": vocabulary,
        "total_params": total,
        "d_model": job.size.d_model,
        "n_layers": job.size.n_layers,
        "n_heads": job.size.n_heads,
        "d_ff": job.size.d_ff,
        "flops_convention": section.flops_convention,
        "seed": job.seed,
        "schedule": section.schedule,
        "learning_rate": section.learning_rate_for(job.size.d_model),
        "batch_size": section.batch_size,
        "precision": section.precision,
        "device": device,
    }


def run(
    job: TransformerJob,
    model: PrefixTransformer,
    splits: dict[str, Rows],
    amount: Mapping[str, float],
    folder: Path,
    device: str,
    reporter: Reporter,
    group: Group = ALONE,
    micro_batch: int | None = None,
) -> Row:
    """Train one run to its end, evaluating along the way; return the result.

    Each process of a group trains on its share of every batch, and evaluates its share
    of the test split; the record is that of one process, to rounding. It sees
    `micro_batch` rows at once, if not all of its share.

    Raises
    ------
    ScalingError
        If the batches cannot be shared, or memory holds no row.
    """
    section = job.section
    require_shares(section.batch_size, group.size)
    inherited = inherited_from(folder.parent / job.trunk) if job.trunk else None
    if inherited is not None:
        return inherited.result(section.precision)
    course = Course.of(job, splits["train"])
    unigram = Unigram.of(splits["train"])
    loss_of = group.place(model, device)
    if group.size == 1 and is_compiled(job, device, torch.get_num_threads()):
        _compile(model, course, section.precision, device, reporter)

    def loss(part: Part) -> Tensor:
        batch = part.batch.to(torch.device(device))
        with _precision(section.precision, device):
            return loss_of(batch, part.last) / part.targets

    def evaluate(progress: Progress, pause: Pause) -> Row:
        test = splits["test"]
        with _precision(section.precision, device):
            scores = evaluate_split(
                model, test, unigram, amount=amount, group=group, pause=pause
            )
        return {
            **course.spent(progress.step),
            "train_loss": progress.train_loss,
            **scores,
        }

    training = Training(
        model=model,
        optimizer=_optimizer(model, section),
        learning_rate=course.learning_rate(),
        loss=loss,
        parts=partial(course.sampler.parts, rank=group.rank, size=group.size),
        rows=section.batch_size // group.size,
        micro_batch=micro_batch,
        steps=course.steps,
        clip=section.clip,
        evaluate_after=course.evaluations,
        evaluate=evaluate,
        origin=folder.parent / job.trunk / CHECKPOINT if job.trunk else None,
        verdict=course.verdict,
        group=group,
    )
    ending = train(training, folder, reporter)
    return {**ending.result(section.precision), **unigram.unseen(splits["test"])}


def _optimizer(model: PrefixTransformer, section: Transformers) -> torch.optim.AdamW:
    groups = parameter_groups(model, section.parametrization)
    return eager.AdamW(groups, weight_decay=section.weight_decay, fused=True)


def _compile(
    model: PrefixTransformer,
    course: Course,
    precision: str,
    device: str,
    reporter: Reporter,
) -> None:
    reporter.say("compiling the blocks, which takes up to a minute")
    few = next(course.sampler.parts(0, TO_COMPILE)).batch.to(torch.device(device))
    with _precision(precision, device):
        compile_blocks(model, few)


def require_shares(batch_size: int, processes: int) -> None:
    """Refuse batches whose rows do not fall to the processes evenly.

    Raises
    ------
    ScalingError
        Then.
    """
    if batch_size % processes:
        raise ScalingError(
            f"transformers.batch_size: {batch_size} sequences cannot be shared evenly "
            f"by {processes} processes; expected a multiple of {processes}: change it, "
            "or --processes-per-run"
        )


@torch.no_grad()
def evaluate_split(
    model: PrefixTransformer,
    rows: Rows,
    unigram: Unigram,
    *,
    amount: Mapping[str, float],
    group: Group = ALONE,
    pause: Pause = lambda: None,
) -> Row:
    """Evaluate on a whole split, every token with the same weight.

    The split's `amount` of data, by unit, gives losses that do not depend on how it is
    cut into tokens: `bits_per_second` of motion, `bits_per_byte` of text. The processes
    of a group take batches in turn.
    """
    device = next(model.parameters()).device
    total = targets = 0.0
    rounds, last = -(-rows.num_batches // group.size), rows.num_batches - 1
    for number in range(group.rank, rounds * group.size, group.size):
        pause()
        # a model that is shared runs on all processes or on none
        losses = model.losses(rows.evaluation_batch(min(number, last)).to(device))
        if number <= last:
            total += float(losses.double().sum())
            targets += len(losses)
    total, targets = group.sum(total, targets)
    loss, unigram_loss = total / targets, unigram.loss(rows)
    bits = loss / math.log(2) * targets
    return {
        "loss": loss,
        "unigram_loss": unigram_loss,
        "normalised_loss": loss - unigram_loss,
        **{f"bits_per_{unit}": bits / units for unit, units in amount.items()},
    }


def _precision(precision: str, device: str) -> AbstractContextManager[object]:
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(torch.device(device).type, torch.bfloat16)
