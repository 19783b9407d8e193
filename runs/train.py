"""The transformer job: one run of the grid, from its tokens to its record."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scaling.errors import ScalingError
from scaling.files import read_json, write_text
from scaling.models.flops import non_vocab_params, training_flops
from scaling.models.levels import DOWNSAMPLING
from scaling.models.skeleton import FPS
from scaling.models.text import CaptionEncoder, Text, train_caption_encoder
from scaling.models.transformer import (
    PrefixTransformer,
    TransformerConfig,
    vocabulary_split,
)
from scaling.record import RESULT, Row
from scaling.runs import text
from scaling.runs.checkpoint import CHECKPOINT
from scaling.runs.corpora import Corpus
from scaling.runs.data import Rows, Sampler, require_context, rows_of
from scaling.runs.jobs import TransformerJob
from scaling.runs.loop import Ending, Reporter, Training, evenly_spaced, train
from scaling.runs.schedules import (
    parameter_groups,
    warmup_cosine,
    warmup_stable_decay,
)
from scaling.runs.unigram import Unigram


def caption_encoder(job: TransformerJob, corpus: Corpus) -> CaptionEncoder:
    """Learn the caption vocabulary from the training split."""
    return train_caption_encoder(
        corpus.captions("train"),
        vocab_size=job.section.text_vocab_size,
        max_length=job.section.text_length,
    )


def caption_texts(
    job: TransformerJob, corpus: Corpus, out: Path
) -> tuple[Callable[[Sequence[str]], Sequence[Text]], int | None]:
    """Find how a run's captions become text, and the size of its table of pieces.

    A run that learns its text writes the vocabulary into its folder; one that reads a
    frozen encoder's states has no table.
    """
    if job.text is not None:
        return text.load(out / job.text), None
    encoder = caption_encoder(job, corpus)
    write_text(out / job.folder / text.VOCABULARY, encoder.to_json())
    return encoder.encode, encoder.vocab_size


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
    folder: Path,
    device: str,
    reporter: Reporter,
) -> Row:
    """Train one run to its end, evaluating along the way; return the result."""
    section = job.section
    inherited = _ending_of(folder.parent / job.trunk) if job.trunk else None
    if inherited is not None:
        return asdict(inherited)
    sampler = Sampler(splits["train"], section.batch_size, job.seed)
    tokens_after = sampler.tokens_after(job.tokens)
    steps = len(tokens_after)
    start = sampler.steps_to(job.trunk_tokens)
    if start == steps:
        raise ScalingError(
            f"transformers.tokens: {job.tokens} leave no batch to cool down after the "
            f"{job.trunk_tokens} of the trunk; raise the budget, or cooldown"
        )
    unigram = Unigram.of(splits["train"])
    epoch_tokens = int(splits["train"].lengths.sum())
    model = model.to(device)

    def loss(step: int) -> Tensor:
        batch = sampler.batch(step).to(torch.device(device))
        with _precision(section.precision, device):
            return model.losses(batch).mean()

    def evaluate(step: int) -> Row:
        trained = int(tokens_after[step - 1])
        with _precision(section.precision, device):
            scores = evaluate_split(
                model, splits["test"], unigram, stages=job.quantization.stages
            )
        return {
            "step": step,
            "tokens": trained,
            "unique_tokens": epoch_tokens,
            "epochs": trained / epoch_tokens,
            "flops": training_flops(job.forward_flops, trained),
            "cooled": job.kind == "transformer" and step == steps,
            **scores,
        }

    evaluated = evenly_spaced(steps, section.evaluations)
    training = Training(
        model=model,
        optimizer=torch.optim.AdamW(
            parameter_groups(model, section.parametrization),
            weight_decay=section.weight_decay,
        ),
        learning_rate=_learning_rate(job, sampler, start, steps),
        loss=loss,
        steps=steps,
        clip=section.clip,
        evaluate_after=frozenset(step for step in evaluated if step > start),
        evaluate=evaluate,
        origin=folder.parent / job.trunk / CHECKPOINT if job.trunk else None,
        verdict=partial(overfitted, patience=section.patience),
    )
    ending = train(training, folder, reporter)
    return {**asdict(ending), **unigram.unseen(splits["test"])}


def _ending_of(trunk: Path) -> Ending | None:
    """How a trunk ended early, which is how all that begins at its end does."""
    result = read_json(trunk / RESULT)
    if result["status"] == "finished":
        return None
    reason = f"its trunk did: {result.get('reason', '')}"
    return Ending(status=result["status"], reason=reason)


def _learning_rate(
    job: TransformerJob, sampler: Sampler, start: int, steps: int
) -> Callable[[int], float]:
    section = job.section
    peak = section.learning_rate_for(job.size.d_model)
    if section.schedule == "cosine":
        return partial(warmup_cosine, steps=steps, warmup=section.warmup, peak=peak)
    return partial(
        warmup_stable_decay,
        rising=sampler.steps_to(job.warmup_tokens),
        stable=steps if job.kind == "trunk" else start,
        steps=steps,
        peak=peak,
    )


def overfitted(rows: Sequence[Row], *, patience: int | None) -> Ending | None:
    """Say whether the test loss has not come down for so many evaluations.

    >>> rows = [{"loss": loss, "step": step} for step, loss in enumerate([3, 2, 2, 4])]
    >>> overfitted(rows[:3], patience=2)
    >>> overfitted(rows, patience=2).reason
    'the test loss of step 1, 2.0000, was the lowest for 2 evaluations'
    """
    best = min(range(len(rows)), key=lambda row: rows[row]["loss"])
    if patience is None or len(rows) - 1 - best < patience:
        return None
    step, loss = rows[best]["step"], rows[best]["loss"]
    reason = (
        f"the test loss of step {step}, {loss:.4f}, was the lowest for {patience} "
        "evaluations"
    )
    return Ending(status="overfitted", reason=reason)


def splits_of(
    job: TransformerJob,
    corpus: Corpus,
    codes: list[NDArray[np.int32]],
    encode: Callable[[Sequence[str]], Sequence[Text]],
) -> dict[str, Rows]:
    """Rows of the training and the test split."""
    splits = {}
    for name in ("train", "test"):
        chosen = [
            (clip, row)
            for clip, row in zip(corpus.clips, codes, strict=True)
            if clip.split == name
        ]
        clips, rows = zip(*chosen, strict=True)
        end = job.quantization.codebook_size
        splits[name] = rows_of(clips, rows, encode, end)
    require_context(job.section.context, *splits.values())
    return splits


@torch.no_grad()
def evaluate_split(
    model: PrefixTransformer, rows: Rows, unigram: Unigram, *, stages: int
) -> Row:
    """Evaluate on a whole split, every token with the same weight.

    So many `stages` of tokens stand for one latent, and so for `DOWNSAMPLING` frames.
    """
    device = next(model.parameters()).device
    total, targets = 0.0, 0
    for batch in rows.batches():
        losses = model.losses(batch.to(device))
        total += float(losses.double().sum())
        targets += len(losses)
    loss, unigram_loss = total / targets, unigram.loss(rows)
    seconds = sum(map(len, rows.codes)) / stages * DOWNSAMPLING / FPS
    return {
        "loss": loss,
        "unigram_loss": unigram_loss,
        "normalised_loss": loss - unigram_loss,
        "bits_per_second": loss / math.log(2) * targets / seconds,
    }


def _precision(precision: str, device: str) -> AbstractContextManager[object]:
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(torch.device(device).type, torch.bfloat16)
