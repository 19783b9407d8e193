"""The tokenizer job: learn a tokenizer, score it, and write the corpus in tokens.

Of motion it is trained; of text it is byte pairs, which are counted; tokens that are
given are checked. Its folder gets the code indices of all clips (`tokens.py`).
"""

from __future__ import annotations

from collections import Counter
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
from scaling.files import read_json, write_text
from scaling.models import bpe
from scaling.models.levels import DOWNSAMPLING, whole_tokens
from scaling.models.motion import mpjpe, recover
from scaling.models.quantization import MOTION, Quantization
from scaling.models.tokenizer import MotionTokenizer, Reconstruction, TokenizerConfig
from scaling.record import CONFIG, METRICS, Row
from scaling.runs import eager, tokens, tokens_corpus
from scaling.runs.captioned import Captioned, Item
from scaling.runs.checkpoint import read_model
from scaling.runs.corpora import Clip, Corpus, Float32
from scaling.runs.jobs import TokenizerJob
from scaling.runs.loop import Pause, Reporter, Training, train
from scaling.runs.schedules import warmup_milestone
from scaling.runs.sections import Tokenizers
from scaling.runs.store import MetricsLog
from scaling.runs.text_corpus import Texts
from scaling.runs.tokens import Tokens
from scaling.runs.tokens_corpus import TokenRows

COLLAPSED = 0.05
"""Share of the codes that a split could use, below which a codebook has collapsed."""

BYTE_PAIRS = "bpe.json"
"""Byte pairs of text."""

ENCODED_AT_ONCE = 1024
"""Pieces of text between two reports of progress."""

AT_ONCE = 64
"""Clips of equal length that are encoded, or drawn, in one batch."""


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
    job: TokenizerJob,
    corpus: Captioned[Item],
    folder: Path,
    device: str,
    reporter: Reporter,
) -> Row:
    """Learn, score and tokenize; return the result."""
    V = job.quantization.codebook_size
    match corpus:
        case Corpus():
            return _train(job, corpus, folder, device, reporter)
        case Texts():
            codes = _byte_pairs(corpus, V, folder, reporter)
        case TokenRows():
            assert job.given is not None, "the plan says where they are"
            codes = tokens_corpus.codes_of(job.given, corpus, V)
    tokens.write(folder, codes, V)
    tested, trained = (_of_split(corpus, codes, split) for split in ("test", "train"))
    lengths = {
        f"{unit}s_per_token": n / len(tested)
        for unit, n in corpus.amount("test").items()
    }
    metrics = {
        **_usage(np.bincount(tested, minlength=V)),
        "train_tokens": len(trained),
        **lengths,
    }
    return {"status": "finished", "metrics": metrics}


def _byte_pairs(
    corpus: Texts, codebook_size: int, folder: Path, reporter: Reporter
) -> list[NDArray[np.int32]]:
    """Learn byte pairs on the training split, and encode all of a corpus."""
    texts = (corpus.text(piece) for piece in corpus.split("train"))
    pairs = bpe.learn(texts, codebook_size)
    write_text(folder / BYTE_PAIRS, pairs.to_json())
    codes: list[NDArray[np.int32]] = []
    for first in range(0, len(corpus.clips), ENCODED_AT_ONCE):
        chosen = corpus.clips[first : first + ENCODED_AT_ONCE]
        codes += pairs.encode([corpus.text(piece) for piece in chosen])
        reporter.progress(len(codes), len(corpus.clips))
    return codes


def _of_split(
    corpus: Captioned[Item], codes: Sequence[NDArray[np.int32]], split: str
) -> NDArray[np.int32]:
    pairs = zip(corpus.clips, codes, strict=True)
    return np.concatenate([row for clip, row in pairs if clip.split == split])


def _train(
    job: TokenizerJob, corpus: Corpus, folder: Path, device: str, reporter: Reporter
) -> Row:
    """Train a tokenizer of motion."""
    section = job.section
    torch.manual_seed(section.seed)
    config = TokenizerConfig(
        quantization=job.quantization,
        width=section.width,
        depth=section.depth,
        ema=section.ema,
    )
    model = MotionTokenizer(config).to(device)
    _say_if_too_large(job.quantization, corpus, reporter)
    ending = train(training(section, model, corpus), folder, reporter)
    if ending.status != "finished":
        raise ScalingError(
            "its loss is not finite, and no run can use it; lower "
            f"tokenizers.learning_rate from {section.learning_rate:g} ({ending.reason})"
        )
    codes = encode(model, corpus, corpus.clips)
    tokens.write(folder, codes, job.quantization.codebook_size)
    scores = MetricsLog(folder / METRICS).rows[-1]
    metrics = {k: v for k, v in scores.items() if k not in ("step", "seconds")}
    _say_if_collapsed(metrics, job, reporter)
    return {"status": "finished", "metrics": metrics}


def training(section: Tokenizers, model: MotionTokenizer, corpus: Corpus) -> Training:
    """Describe the training of a tokenizer, scored at its end."""
    windows = Windows.of(corpus, section)
    device = next(model.parameters()).device

    def loss(step: int) -> Tensor:
        motion = windows.batch(step).to(device)
        drawn: Reconstruction = model.train()(motion)
        # ScaMo Eq. 4; with VQ, Eq. 2
        return F.mse_loss(drawn.motion, motion) + section.commitment * drawn.commitment

    def rate(step: int) -> float:
        return warmup_milestone(
            step,
            steps=section.steps,
            warmup=section.warmup,
            peak=section.learning_rate,
            milestone=section.milestone,
            decay=section.decay,
        )

    return Training(
        model=model,
        # one kernel for all: of the step of a small tokenizer, a twelfth
        optimizer=eager.AdamW(
            model.parameters(), weight_decay=section.weight_decay, fused=True
        ),
        learning_rate=rate,
        loss=loss,
        steps=section.steps,
        clip=1.0,
        evaluate_after=frozenset([section.steps]),
        evaluate=lambda progress, pause: {
            "step": progress.step,
            **score(model, corpus, pause),
        },
    )


def _say_if_collapsed(metrics: Row, job: TokenizerJob, reporter: Reporter) -> None:
    """Tell of a codebook whose codes were lost in training, not merely too many."""
    V = job.quantization.codebook_size
    used = round(metrics["codebook_utilisation"] * V)
    if used < COLLAPSED * min(V, metrics["test_tokens"]):
        reporter.say(
            f"THE CODEBOOK COLLAPSED: {used} of {V} codes are used in "
            f"{metrics['test_tokens']} test tokens; lower tokenizers.learning_rate "
            f"from {job.section.learning_rate:g}, or lengthen its warmup"
        )


def record(job: TokenizerJob, device: str) -> Row:
    """Columns that stay the same along the run."""
    quantization = job.quantization
    codebook = {
        "quantizer": quantization.method,
        "codebook_size": quantization.codebook_size,
        "nominal_codebook_size": quantization.nominal,
    }
    if quantization.method not in MOTION:
        return codebook
    stages = {"stages": quantization.stages} if quantization.stages > 1 else {}
    return {
        **codebook,
        "levels": " ".join(map(str, quantization.levels)),
        **stages,
        "width": job.section.width,
        "steps": job.section.steps,
        "seed": job.section.seed,
        "device": device,
    }


def load(folder: Path) -> MotionTokenizer:
    """Read the tokenizer of motion that a job trained, from its folder, to be used.

    Raises
    ------
    ScalingError
        If its codes are not of motion.
    """
    config = read_json(folder / CONFIG)
    # version 0.1 had FSQ alone, and wrote its levels into the record
    written = config.get("quantization") or {
        "levels": map(int, config["record"]["levels"].split())
    }
    quantization = Quantization(**{**written, "levels": tuple(written["levels"])})
    if quantization.method not in MOTION:
        raise ScalingError(
            f"{folder.name} is no tokenizer of motion; expected one, which alone can "
            "be drawn and scored: name a run of a motion corpus"
        )
    settings = config.get("settings", config)
    known = {field: settings[field] for field in ("width", "depth")}
    model = MotionTokenizer(TokenizerConfig(quantization=quantization, **known))
    model.load_state_dict(read_model(folder / "checkpoint"))
    return model.eval()


@torch.no_grad()
def encode(
    model: MotionTokenizer, corpus: Corpus, clips: Sequence[Clip]
) -> list[NDArray[np.int32]]:
    """Tokenize clips, cut to whole tokens; one array of code indices per clip."""
    # a clip of fewer frames than a token has keeps its place, and no tokens
    codes: dict[Clip, NDArray[np.int32]] = dict.fromkeys(clips, np.zeros(0, np.int32))
    model.eval()
    for group, motion in _batches(model, corpus, clips):
        indices = model.encode(motion).cpu().numpy().astype(np.int32)
        codes |= dict(zip(group, indices, strict=True))
    return [codes[clip] for clip in clips]


@torch.no_grad()
def reconstruct(
    model: MotionTokenizer, corpus: Corpus, clips: Sequence[Clip]
) -> list[Float32]:
    """Draw clips through their codes.

    Returns
    -------
    list of array, shape (frames, 263)
        Features as they were before the z-score, cut to whole tokens.
    """
    none = np.zeros((0, corpus.features.shape[1]), np.float32)
    motions: dict[Clip, Float32] = dict.fromkeys(clips, none)
    model.eval()
    for group, motion in _batches(model, corpus, clips):
        drawn = corpus.unnormalised(model(motion).motion.cpu().numpy())
        motions |= dict(zip(group, drawn, strict=True))
    return [motions[clip] for clip in clips]


@torch.no_grad()
def score(model: MotionTokenizer, corpus: Corpus, pause: Pause = lambda: None) -> Row:
    """Score reconstructions of the test split (ScaMo supplementary Table 3).

    Returns
    -------
    dict
        `l1`, mean absolute error of normalised features; over frames and joints, in
        millimetres, `mpjpe` with the pelvises aligned and `mpjpe_global` without, and
        `root_drift`, the distance of the pelvises; `codebook_utilisation`, share of
        codes used at least once; `exponential_entropy` of the code frequencies;
        `test_tokens`, on which the last two stand: neither can exceed them;
        `train_tokens`, from which the codes could be learnt.
    """
    counts = np.zeros(model.quantizer.codebook_size, np.int64)
    sums, frames = Counter[str](), 0
    model.eval()
    for _, motion in _batches(model, corpus, corpus.split("test")):
        pause()
        drawn, indices = (x.cpu() for x in model(motion)[:2])
        motion = motion.cpu()
        found = {
            "l1": float((drawn - motion).abs().double().mean()),
            **_distances(
                *(recover(corpus.unnormalised(x.numpy())) for x in (drawn, motion))
            ),
        }
        size = motion.shape[0] * motion.shape[1]
        sums.update({name: size * mean for name, mean in found.items()})
        frames += size
        counts += np.bincount(indices.flatten().numpy(), minlength=len(counts))
    return {
        **{name: total / frames for name, total in sums.items()},
        **_usage(counts),
        "train_tokens": count_tokens(model.config.quantization, corpus, "train"),
    }


def _usage(counts: NDArray[np.int64]) -> Row:
    """Say how a split uses the codes, from how often each occurs."""
    return {
        "codebook_utilisation": float((counts > 0).mean()),
        "exponential_entropy": exponential_entropy(counts),
        "test_tokens": int(counts.sum()),
    }


def _distances(a: NDArray[np.float64], b: NDArray[np.float64]) -> dict[str, float]:
    """Mean distances between joints of two motions (..., 22, 3), in millimetres."""
    apart = 1000 * np.linalg.norm(a - b, axis=-1)
    return {
        "mpjpe": mpjpe(a, b),
        "mpjpe_global": float(apart.mean()),
        "root_drift": float(apart[..., 0].mean()),
    }


def count_tokens(quantization: Quantization, corpus: Corpus, split: str) -> int:
    """Count the tokens of a split."""
    latents = sum(clip.frames // DOWNSAMPLING for clip in corpus.split(split))
    return latents * quantization.stages


def _say_if_too_large(
    quantization: Quantization, corpus: Corpus, reporter: Reporter
) -> None:
    V = quantization.codebook_size
    N, test = (count_tokens(quantization, corpus, split) for split in ("train", "test"))
    if V > N:
        reporter.say(
            f"the codebook of {V:,} codes is larger than the {N:,} tokens of the "
            f"training split; of them at most {N:,} can be learnt, and the exponential "
            f"entropy of the {test:,} test tokens cannot exceed {min(V, test):,}"
        )


def exponential_entropy(counts: NDArray[np.int64]) -> float:
    """exp(-sum p ln p): how many equally frequent codes would be as uncertain.

    >>> round(exponential_entropy(np.array([5, 5, 5, 5, 0])), 6)
    4.0
    """
    p = counts[counts > 0] / counts.sum()
    return float(np.exp(-(p * np.log(p)).sum()))


def of_equal_length(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Group the places of equal lengths, in batches; those of length 0 are left out.

    >>> list(of_equal_length([3, 2, 0, 3]))
    [[1], [0, 3]]
    """
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    for length, group in groupby(order, lengths.__getitem__):
        places = list(group)
        for first in range(0, len(places) if length else 0, AT_ONCE):
            yield places[first : first + AT_ONCE]


def _batches(
    model: MotionTokenizer, corpus: Corpus, clips: Sequence[Clip]
) -> Iterator[tuple[list[Clip], Tensor]]:
    """Yield clips of equal length, and their frames where the model is."""
    device = next(model.parameters()).device
    for places in of_equal_length([whole_tokens(clip.frames) for clip in clips]):
        group = [clips[place] for place in places]
        frames = whole_tokens(group[0].frames)
        motion = np.stack([corpus.motion(clip)[:frames] for clip in group])
        yield group, torch.from_numpy(motion).to(device)


def read_tokens(folder: Path) -> Tokens:
    """Map the code indices of every clip of the corpus, in its order."""
    return tokens.read(folder)
