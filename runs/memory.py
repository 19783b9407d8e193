"""Memory of a job, by formula: what packing goes by, and what is refused beforehand.

A process that trains P parameters holds

==================  ===========================================================
imports             `BASE`, most of it shared by all jobs of a launch
weights and state   16 P bytes: weights, gradients, AdamW's two moments, float32
activations         of the longest batch, all that the backward pass needs
logits              of the tokens that are scored at once, as many as
                    `cross_entropy.AT_ONCE` allows
==================  ===========================================================

or, while it writes a checkpoint, 12 P bytes (weights and moments) in place of the
activations and the logits. A block of the transformer keeps 5 d + 4 d_ff floats of each
position: the residual stream twice (2 d), its norms (2 d), what attention gives (d);
gate, value, silu of the gate, and their product (4 d_ff). Of each place in the grid of
rows, padding among them, it keeps 4 d: queries, keys, values and what attention gives;
and a row of the mask. What flows back is 2 d + 4 d_ff more, in one block at a time. Not
counted: the corpus, its captions and tokens, which are mapped and can be dropped, and a
frozen text encoder.
"""

from __future__ import annotations

from functools import lru_cache

import torch

from scaling.models.cross_entropy import AT_ONCE
from scaling.models.evaluator import EvaluatorConfig, TextMotionEvaluator
from scaling.models.flops import non_vocab_params, vocab_params
from scaling.models.motion import NUM_FEATURES
from scaling.models.quantization import MOTION
from scaling.models.sizes import Size
from scaling.models.tokenizer import MotionTokenizer, TokenizerConfig
from scaling.runs.data import EVALUATED_AT_ONCE
from scaling.runs.extent import FRAMES_PER_CLIP, Extent
from scaling.runs.jobs import EvaluatorJob, Job, TokenizerJob, TransformerJob

FLOAT = 4
"""Bytes."""

BASE = 430_000_000
"""Bytes of a process that has imported torch and its first optimiser."""

SHARED = 250_000_000
"""Those of them that workers of one launch share."""

CONTEXT = 500_000_000
"""Bytes that a process takes of a GPU before it has a tensor there."""

LONGEST, LONGEST_MOTION = 1.8, 1.4
"""Positions of the longest row over those of a typical one, and its motion alone."""


def job_bytes(job: Job, extent: Extent) -> int:
    """Estimate the most memory that a job's process takes, in bytes."""
    return BASE + _own_bytes(job, extent)


def device_bytes(job: Job, extent: Extent) -> int:
    """Estimate the most memory that a job takes of a GPU, in bytes."""
    return CONTEXT + _own_bytes(job, extent)


def _own_bytes(job: Job, extent: Extent) -> int:
    match job:
        case TransformerJob():
            return _transformer(job, extent)
        case TokenizerJob():
            section = job.section
            frames = section.batch_size * section.window
            # what the convolutions' weight gradients need: 2 per residual block at each
            # of two resolutions there and back, and one for each other convolution
            floats = 3 * NUM_FEATURES + (7 + 3 * section.depth) * section.width
            return 16 * parameters(job) + FLOAT * frames * floats
        case EvaluatorJob():
            width = 2 * EvaluatorConfig.of_width(job.section.width, 1).motion_width
            # three gates and two states of each token, back and forth
            states = job.section.batch_size * FRAMES_PER_CLIP // 4 * 5 * width
            return 16 * parameters(job) + FLOAT * states
        case _:
            return 0


def _transformer(job: TransformerJob, extent: Extent) -> int:
    d, section = job.size.d_model, job.section
    codes = extent.codes(job.quantization)
    pieces = min(extent.caption_pieces, section.text_length)
    positions = min(section.context, round(LONGEST * (codes + pieces)))
    targets = min(section.context, round(LONGEST_MOTION * codes))
    back = 2 * d + 4 * job.size.d_ff
    block = kept(job.size, positions, positions, positions)
    trained = job.size.n_layers * block + positions * back
    test = min(EVALUATED_AT_ONCE, round(extent.test_clips))
    rows, codes = max(section.batch_size, test), job.quantization.codebook_size + 1
    logits = codes * min(rows * targets, max(1, AT_ONCE // codes))
    N = parameters(job)
    most = max(section.batch_size * trained + logits, test * block + logits, 3 * N)
    return 16 * N + FLOAT * most


def kept(shape: Size, positions: int, places: int, longest: int) -> int:
    """Count the floats that a block keeps for its backward pass.

    Parameters
    ----------
    shape : Size
    positions : int
        Positions of a batch.
    places : int
        Of the grid that holds its rows, padding among them.
    longest : int
        Positions of the longest row.
    """
    of_position = 5 * shape.d_model + 4 * shape.d_ff
    return positions * of_position + places * (4 * shape.d_model + longest)


def parameters(job: Job) -> int:
    """Count all that a job trains, tables and head included; 0 where it trains none."""
    match job:
        case TransformerJob():
            d, section = job.size.d_model, job.section
            head = vocab_params(job.architecture) + d
            table = 0 if job.text else section.text_vocab_size * section.text_width
            trained = non_vocab_params(job.architecture)
            return trained + vocab_params(job.architecture) + head + table
        case TokenizerJob() if job.quantization.method in MOTION:
            return _count(tokenizer_config(job))
        case EvaluatorJob(section=section):
            return _count(
                EvaluatorConfig.of_width(section.width, section.text_vocab_size)
            )
        case _:
            return 0


def tokenizer_config(job: TokenizerJob) -> TokenizerConfig:
    """Shape of a job's tokenizer of motion."""
    section = job.section
    return TokenizerConfig(
        quantization=job.quantization,
        width=section.width,
        depth=section.depth,
        ema=section.ema,
    )


@lru_cache(maxsize=256)
def _count(config: TokenizerConfig | EvaluatorConfig) -> int:
    with torch.device("meta"):
        if isinstance(config, TokenizerConfig):
            model: torch.nn.Module = MotionTokenizer(config)
        else:
            model = TextMotionEvaluator(config)
    return sum(weight.numel() for weight in model.parameters())
