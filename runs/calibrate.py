"""How long a plan takes: each kind of work is timed for a moment and scaled up."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterable, Mapping

import torch

from scaling.models.evaluator import EvaluatorConfig, TextMotionEvaluator
from scaling.models.flops import Architecture, matmul_step, non_vocab_params
from scaling.models.levels import DOWNSAMPLING
from scaling.models.motion import features
from scaling.models.sizes import size
from scaling.models.tokenizer import MotionTokenizer, TokenizerConfig
from scaling.models.transformer import Batch, PrefixTransformer, TransformerConfig
from scaling.runs import corpora, kinematic
from scaling.runs.corpora import TEST_SHARE
from scaling.runs.jobs import (
    CorpusJob,
    EvaluatorJob,
    Job,
    ScoreJob,
    TextJob,
    TokenizerJob,
    TransformerJob,
)
from scaling.runs.sections import CorpusSection, Evaluator, KinematicCorpus

STAGES = ("corpus", "evaluator", "text", "tokenizer", "scores", "trunk", "transformer")
"""Kinds of jobs, in the order in which a study does them."""

LARGEST_TIMED = 3_000_000
"""Parameters (N_nv) above which a step is not timed but scaled by its FLOPs."""

REFERENCE = Architecture(size=size("4x4x128"), codebook_size=1024)
"""Timed where a grid has no size that is small enough."""

ROWS, TEXT, MOTION = 32, 16, 28
"""The batch that is timed: rows, and the positions of each."""

FRAMES_PER_SEQUENCE = 110
"""Of the built-in corpus, about."""

ONE_PASS = 10.0
"""Seconds of one pass over a corpus: its captions encoded, or a test split scored; a
guess, and little beside the training."""


def estimate(
    jobs: Iterable[Job], frames: int, device: str, threads: int
) -> dict[str, float]:
    """Estimate the seconds that each job takes, by folder.

    Parameters
    ----------
    jobs : iterable of Job
        Those that are still to do.
    frames : int
        Of the corpus, about.
    device : str
        Where they will run.
    threads : int
        Processor threads of each.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        return _Clock(frames, device).seconds(jobs)
    finally:
        torch.set_num_threads(before)


def makespan(jobs: Iterable[Job], seconds: Mapping[str, float], slots: int) -> float:
    """Seconds until the last job ends, each stage packed on slots longest first.

    Jobs without an estimate are done already.
    """
    total = 0.0
    to_do = [job for job in jobs if job.folder in seconds]
    for kind in STAGES:
        free = [0.0] * slots
        stage = (seconds[job.folder] for job in to_do if job.kind == kind)
        for cost in sorted(stage, reverse=True):
            heapq.heappush(free, heapq.heappop(free) + cost)
        total += max(free)
    return total


class _Clock:
    """Times each shape once."""

    def __init__(self, frames: int, device: str) -> None:
        self.frames = frames
        self.device = device
        self.rates: dict[Architecture, float] = {}
        self.tokenizer_steps: dict[TokenizerConfig, float] = {}

    def seconds(self, jobs: Iterable[Job]) -> dict[str, float]:
        smallest_first = sorted(jobs, key=_cost)
        return {job.folder: self._job(job) for job in smallest_first}

    def _job(self, job: Job) -> float:
        match job:
            case CorpusJob():
                return _corpus_seconds(job.section, self.frames)
            case TokenizerJob():
                return self._tokenizer(job)
            case TransformerJob():
                test_tokens = TEST_SHARE * self.frames / DOWNSAMPLING
                evaluated = job.section.evaluations * test_tokens / 3  # no backward
                rate = self._seconds_per_token(job.architecture)
                return (job.tokens + evaluated) * rate
            case EvaluatorJob():
                return self._evaluator(job.section)
            case ScoreJob() if not job.target.startswith("tokenizer-"):
                return ONE_PASS * job.section.repetitions
            case ScoreJob() | TextJob():
                return ONE_PASS

    def _evaluator(self, section: Evaluator) -> float:
        """Time a step on clips of the usual length."""
        config = EvaluatorConfig.of_width(section.width, section.text_vocab_size)
        model = TextMotionEvaluator(config).to(self.device)
        rows = section.batch_size
        motion = torch.randn(rows, FRAMES_PER_SEQUENCE, 263, device=self.device)
        frames = torch.full((rows,), FRAMES_PER_SEQUENCE)
        pieces = torch.zeros((rows, TEXT), dtype=torch.int64, device=self.device)
        lengths = torch.full((rows,), TEXT)

        def loss() -> torch.Tensor:
            motions = model.embed_motion(motion, frames)
            return (motions - model.embed_text(pieces, lengths)).square().mean()

        return _timed(loss) * section.steps

    def _tokenizer(self, job: TokenizerJob) -> float:
        config = TokenizerConfig(
            quantization=job.quantization,
            width=job.section.width,
            depth=job.section.depth,
        )
        if config not in self.tokenizer_steps:
            model = MotionTokenizer(config).to(self.device)
            shape = (8, job.section.window, config.num_features)
            batch = torch.randn(shape, device=self.device)
            step = _timed(lambda: (model(batch)[0] - batch).square().mean())
            self.tokenizer_steps[config] = step / (8 * job.section.window)
        frames = job.section.steps * job.section.batch_size * job.section.window
        return self.tokenizer_steps[config] * (frames + self.frames)

    def _seconds_per_token(self, architecture: Architecture) -> float:
        if architecture not in self.rates:
            if non_vocab_params(architecture) > LARGEST_TIMED:
                # the largest that was timed is the nearest in shape
                known = list(self.rates)[-1] if self.rates else REFERENCE
                ratio = _step_flops(architecture) / _step_flops(known)
                return self._seconds_per_token(known) * ratio
            self.rates[architecture] = _time_transformer(architecture, self.device)
        return self.rates[architecture]


def _cost(job: Job) -> tuple[int, int]:
    stage = STAGES.index(job.kind)
    return stage, job.forward_flops if isinstance(job, TransformerJob) else 0


def frames_of(section: CorpusSection) -> int:
    """Count the frames of a corpus, about, before it is built."""
    if isinstance(section, KinematicCorpus):
        return section.sequences * FRAMES_PER_SEQUENCE
    return corpora.count_frames(section)


def _corpus_seconds(section: CorpusSection, frames: int) -> float:
    start = time.perf_counter()
    sample = [kinematic.sequence(index, 0).joints for index in range(4)]
    made = time.perf_counter()
    for joints in sample:
        features(joints)
    # a pack is read in no time, the built-in corpus is made first
    begin = start if isinstance(section, KinematicCorpus) else made
    return (time.perf_counter() - begin) * frames / sum(map(len, sample))


def _step_flops(architecture: Architecture) -> int:
    return matmul_step(
        architecture,
        sequences=ROWS,
        positions=TEXT + MOTION,
        text=ROWS * TEXT,
        targets=ROWS * (MOTION + 1),
    )


def _time_transformer(architecture: Architecture, device: str) -> float:
    config = TransformerConfig(
        size=architecture.size,
        codebook_size=architecture.codebook_size,
        text_vocab_size=300,
        text_width=architecture.text_width,
    )
    model = PrefixTransformer(config)
    model.init_weights(torch.Generator().manual_seed(0))
    shape = (ROWS, TEXT + MOTION)
    codes = torch.zeros(shape, dtype=torch.int64)
    targets = codes.clone()
    targets[:, : TEXT - 1] = -1
    is_text = torch.arange(shape[1]).expand(shape) < TEXT
    text = torch.zeros(ROWS * TEXT, dtype=torch.int64)
    batch = Batch(codes, is_text, targets, text).to(torch.device(device))
    model = model.to(device)
    return _timed(lambda: model.losses(batch).mean()) / batch.num_targets


def _timed(loss: Callable[[], torch.Tensor]) -> float:
    """Seconds of a forward and backward pass, the first one not counted."""
    for _ in range(2):
        start = time.perf_counter()
        value = loss()
        value.backward()  # type: ignore[no-untyped-call]
        value.item()  # waits for a GPU
    return time.perf_counter() - start
