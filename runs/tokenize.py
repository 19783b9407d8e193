"""The tokenizer job: train a Motion FSQ-VAE, score it, and write the corpus in tokens.

Its folder gets `tokens.npz`: the code indices of all clips after one another, and each
clip's number of tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from scaling.errors import ScalingError
from scaling.files import write_aside
from scaling.models.levels import (
    DOWNSAMPLING,
    codebook_size,
    nominal_codebook_size,
    whole_tokens,
)
from scaling.models.motion import mpjpe, recover
from scaling.models.tokenizer import MotionTokenizer, TokenizerConfig
from scaling.record import METRICS, Row
from scaling.runs.corpora import Clip, Corpus
from scaling.runs.grid import Tokenizers
from scaling.runs.loop import Reporter, Training, train, warmup_milestone
from scaling.runs.plan import TokenizerJob
from scaling.runs.store import MetricsLog

ENCODED_AT_ONCE = 64
"""Clips of equal length that are encoded in one batch."""


@dataclass(frozen=True, slots=True)
class Windows:
    """Training windows, each a pure function of the step's number."""

    corpus: Corpus
    """Where the frames are."""
    section: Tokenizers
    """Window length and batch size."""
    starts: NDArray[np.int64]
    """First frame of every window that lies inside one training clip."""

    @classmethod
    def of(cls, corpus: Corpus, section: Tokenizers) -> Windows:
        """Find the windows of the training split."""
        spans = [
            np.arange(clip.start, clip.start + clip.frames - section.window + 1)
            for clip in corpus.split("train")
            if clip.frames >= section.window
        ]
        if not spans:
            raise ScalingError(
                f"tokenizers.window: {section.window} frames are more than any "
                "training clip has; choose a shorter window"
            )
        return cls(corpus, section, np.concatenate(spans))

    def batch(self, step: int) -> Tensor:
        """Draw the windows of a step, (batch, window, 263)."""
        rng = np.random.default_rng([self.section.seed, step])
        starts = rng.choice(self.starts, self.section.batch_size)
        frames = starts[:, None] + np.arange(self.section.window)
        return torch.from_numpy(self.corpus.features[frames])


def run(
    job: TokenizerJob, corpus: Corpus, folder: Path, device: str, reporter: Reporter
) -> Row:
    """Train, score and tokenize; return the result."""
    section = job.section
    torch.manual_seed(section.seed)
    config = TokenizerConfig(
        levels=job.levels, width=section.width, depth=section.depth
    )
    model = MotionTokenizer(config).to(device)
    windows = Windows.of(corpus, section)

    def loss(step: int) -> Tensor:
        motion = windows.batch(step).to(device)
        return F.mse_loss(model(motion)[0], motion)  # ScaMo Eq. 4

    def rate(step: int) -> float:
        return warmup_milestone(
            step,
            steps=section.steps,
            warmup=section.warmup,
            peak=section.learning_rate,
            milestone=section.milestone,
            decay=section.decay,
        )

    training = Training(
        model=model,
        optimizer=torch.optim.AdamW(
            model.parameters(), weight_decay=section.weight_decay
        ),
        learning_rate=rate,
        loss=loss,
        steps=section.steps,
        clip=1.0,
        evaluate_after=frozenset([section.steps]),
        evaluate=lambda step: {"step": step, **score(model, corpus)},
    )
    if train(training, folder, reporter) != "finished":
        raise ScalingError(
            "its loss is not finite, and no run can use it; "
            f"lower tokenizers.learning_rate from {section.learning_rate:g}"
        )
    _write_tokens(folder / "tokens.npz", encode(model, corpus, corpus.clips))
    scores = MetricsLog(folder / METRICS).rows[-1]
    metrics = {k: v for k, v in scores.items() if k not in ("step", "seconds")}
    return {"status": "finished", "metrics": metrics}


def record(job: TokenizerJob, device: str) -> Row:
    """Columns that stay the same along the run."""
    return {
        "codebook_size": codebook_size(job.levels),
        "nominal_codebook_size": nominal_codebook_size(job.levels),
        "levels": " ".join(map(str, job.levels)),
        "width": job.section.width,
        "steps": job.section.steps,
        "seed": job.section.seed,
        "device": device,
    }


@torch.no_grad()
def encode(
    model: MotionTokenizer, corpus: Corpus, clips: Sequence[Clip]
) -> list[NDArray[np.int32]]:
    """Tokenize clips, cut to whole tokens; one array of code indices per clip."""
    device = next(model.parameters()).device
    # a clip of fewer frames than a token has keeps its place, and no tokens
    codes: dict[Clip, NDArray[np.int32]] = dict.fromkeys(clips, np.zeros(0, np.int32))
    for group in _of_equal_length(clips):
        motion = _stack(corpus, group).to(device)
        indices = model.encode(motion).cpu().numpy().astype(np.int32)
        codes |= dict(zip(group, indices, strict=True))
    return [codes[clip] for clip in clips]


@torch.no_grad()
def score(model: MotionTokenizer, corpus: Corpus) -> Row:
    """Score reconstructions of the test split (ScaMo supplementary Table 3).

    Returns
    -------
    dict
        `l1`, mean absolute error of normalised features; `mpjpe`, pelvis-aligned, in
        millimetres; `codebook_utilisation`, share of codes used at least once;
        `exponential_entropy` of the code frequencies; `test_tokens`, on which the last
        two stand: neither can exceed them.
    """
    device = next(model.parameters()).device
    counts = np.zeros(model.quantizer.codebook_size, np.int64)
    absolute, distance, frames = 0.0, 0.0, 0
    for group in _of_equal_length(corpus.split("test")):
        motion = _stack(corpus, group)
        drawn, indices = (x.cpu() for x in model(motion.to(device)))
        absolute += float((drawn - motion).abs().double().sum())
        bodies = [recover(corpus.unnormalised(x.numpy())) for x in (drawn, motion)]
        distance += mpjpe(*bodies) * motion.shape[0] * motion.shape[1]
        frames += motion.shape[0] * motion.shape[1]
        counts += np.bincount(indices.flatten().numpy(), minlength=len(counts))
    return {
        "l1": absolute / (frames * motion.shape[2]),
        "mpjpe": distance / frames,
        "codebook_utilisation": float((counts > 0).mean()),
        "exponential_entropy": exponential_entropy(counts),
        "test_tokens": int(counts.sum()),
    }


def exponential_entropy(counts: NDArray[np.int64]) -> float:
    """exp(-sum p ln p): how many equally frequent codes would be as uncertain.

    >>> round(exponential_entropy(np.array([5, 5, 5, 5, 0])), 6)
    4.0
    """
    p = counts[counts > 0] / counts.sum()
    return float(np.exp(-(p * np.log(p)).sum()))


def _of_equal_length(clips: Sequence[Clip]) -> Iterator[list[Clip]]:
    """Group clips that have the same number of tokens, in batches."""

    def tokens(clip: Clip) -> int:
        return clip.frames // DOWNSAMPLING

    for length, group in groupby(sorted(clips, key=tokens), tokens):
        chosen = list(group)
        if length:
            for first in range(0, len(chosen), ENCODED_AT_ONCE):
                yield chosen[first : first + ENCODED_AT_ONCE]


def _stack(corpus: Corpus, clips: Sequence[Clip]) -> Tensor:
    frames = whole_tokens(clips[0].frames)
    return torch.from_numpy(np.stack([corpus.motion(c)[:frames] for c in clips]))


def _write_tokens(path: Path, codes: Sequence[NDArray[np.int32]]) -> None:
    lengths = np.array([len(row) for row in codes])

    def write(aside: Path) -> None:
        with aside.open("wb") as file:
            np.savez(file, codes=np.concatenate(codes), lengths=lengths)

    write_aside(path, write)


def read_tokens(folder: Path) -> list[NDArray[np.int32]]:
    """Read the code indices of every clip of the corpus, in its order."""
    cache = np.load(folder / "tokens.npz")
    return np.split(cache["codes"], np.cumsum(cache["lengths"])[:-1])
