"""How long a plan takes: each kind of work is timed for a moment and scaled up.

A run takes its start, its steps, its evaluations and its checkpoints; a step and an
evaluation are timed at the real shapes, among as many processes as will run
(`timing.py`). Of many shapes some are timed and the others lie between, by their FLOPs;
of a large model fewer rows are timed, and a very large one is scaled from a smaller.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import NamedTuple

import numpy as np

from scaling.models.evaluator import EvaluatorConfig
from scaling.models.flops import Architecture, matmul_step
from scaling.models.motion import NUM_FEATURES, features
from scaling.models.sizes import size
from scaling.models.text import train_caption_encoder
from scaling.models.transformer import TransformerConfig
from scaling.runs import kinematic
from scaling.runs.extent import Extent
from scaling.runs.jobs import (
    CorpusJob,
    EvaluatorJob,
    Job,
    ScoreJob,
    TokenizerJob,
    TransformerJob,
)
from scaling.runs.loop import CHECKPOINT_SECONDS, CHECKPOINT_SHARE
from scaling.runs.memory import parameters, tokenizer_config
from scaling.runs.sections import KinematicCorpus
from scaling.runs.slots import Slot
from scaling.runs.timing import MotionStep, Step, Timing, TransformerStep, timings
from scaling.runs.tokenizer_section import QUANTIZERS

AFFORDABLE = {"cpu": 1e9, "cuda": 1e13}
"""Forward FLOPs of the largest step that is timed, by kind of device."""

REFERENCE = Architecture(size=size("4x4x256"), codebook_size=1024)
"""Timed for transformers of which a single row is more than that."""

POINTS = {"transformer": 8, "tokenizer": 3, "evaluator": 1}
"""Shapes of each kind that are timed, where a plan has more; a tokenizer's codebook
hardly matters unless it is learnt."""

SAMPLE = 8
"""Motions that are made to find how long a corpus takes."""

START = 0.3
"""Seconds from a free slot to a job's first work, and from its end to a free slot."""

WRITE, WRITTEN_PER_SECOND = 0.006, 2e8
"""Seconds of any checkpoint, and bytes of one that are written, digested and synced
in a second."""

ONE_PASS = 10.0
"""Seconds of one pass over a corpus: its captions encoded, a test split scored, byte
pairs learnt; a guess, and little beside the training."""


class _Work(NamedTuple):
    """What a job repeats, and what is timed for it."""

    kind: str
    """Works of one kind lie on one curve."""
    x: float
    """Where on it."""
    timed: tuple[float, Step]
    """A point of the curve: where, and what to time; at x unless that is too much."""


def estimate(
    jobs: Iterable[Job], extent: Extent, slots: Sequence[Slot]
) -> dict[str, float]:
    """Estimate the seconds that each job takes, by folder.

    Parameters
    ----------
    jobs : iterable of Job
        Those that are still to do.
    extent : Extent
        Of their corpus.
    slots : sequence of Slot
        Where they will run; as many will at once, or as many as there are jobs.
    """
    jobs = list(jobs)
    if not jobs:
        return {}
    affordable = AFFORDABLE[slots[0].device.partition(":")[0]]
    works = {job.folder: _work(job, extent, affordable) for job in jobs}
    curves = _curves([work for work in works.values() if work], slots[: len(jobs)])
    places = {(work.kind, work.x) for work in works.values() if work}
    rows = {(kind, x): curves[kind].at(x) for kind, x in places}
    sample = _sample()

    def seconds(job: Job) -> float:
        work = works[job.folder]
        if work is None:
            return _untimed(job, extent, sample)
        return _training(job, extent, sample, rows[work.kind, work.x])

    return {job.folder: START + seconds(job) for job in jobs}


# --- What is timed ---


def _work(job: Job, extent: Extent, affordable: float) -> _Work | None:
    match job:
        case TransformerJob():
            return _of_transformer(job, extent, affordable)
        case TokenizerJob() if N := parameters(job):
            section = job.section
            step = MotionStep(
                config=tokenizer_config(job),
                rows=_rows(section.batch_size, affordable / (2 * N * section.window)),
                frames=section.window,
            )
            V = job.quantization.codebook_size
            return _Work("tokenizer", V, (V, step))
        case EvaluatorJob(section=section):
            step = MotionStep(
                config=EvaluatorConfig.of_width(section.width, section.text_vocab_size),
                rows=section.batch_size,
                frames=round(extent.frames_per_clip),
                pieces=extent.caption_pieces,
            )
            return _Work("evaluator", 1, (1, step))
        case _:
            return None


def _of_transformer(job: TransformerJob, extent: Extent, affordable: float) -> _Work:
    section, codes = job.section, extent.codes(job.quantization)
    pieces = min(extent.caption_pieces, section.text_length)

    def flops(architecture: Architecture) -> float:
        return matmul_step(
            architecture,
            positions=pieces + codes,
            pairs=(pieces + codes) ** 2,
            read=codes + 1,
            text=pieces,
            targets=codes + 1,
        )

    def point(architecture: Architecture) -> tuple[float, Step]:
        config = TransformerConfig(
            size=architecture.size,
            codebook_size=architecture.codebook_size,
            text_vocab_size=None if job.text else section.text_vocab_size,
            text_width=section.text_width,
            context=section.context,
        )
        x = flops(architecture)
        step = TransformerStep(
            config=config,
            rows=_rows(section.batch_size, affordable / x),
            codes=codes,
            pieces=pieces,
            precision=section.precision,
        )
        return x, step

    x = flops(job.architecture)
    timed = point(job.architecture if x <= affordable else REFERENCE)
    return _Work("transformer", x, timed)


def _rows(batch: int, affordable: float) -> int:
    return max(1, min(batch, int(affordable)))


class _Curve(NamedTuple):
    """Seconds of a row as they were timed, at rising x."""

    x: list[float]
    timings: list[Timing]

    def at(self, x: float) -> Timing:
        """Seconds in between, along straight lines of logarithms; above, as x."""
        logs = np.log(self.x)

        def between(seconds: list[float]) -> float:
            inside = np.exp(np.interp(math.log(x), logs, np.log(seconds)))
            return float(inside * max(1.0, x / self.x[-1]))

        return Timing(
            step=between([timing.step for timing in self.timings]),
            forward=between([timing.forward for timing in self.timings]),
        )


def _curves(works: Sequence[_Work], slots: Sequence[Slot]) -> dict[str, _Curve]:
    """Time points of each kind's curve."""
    points: dict[str, dict[float, Step]] = {}
    for work in works:
        x, step = work.timed
        points.setdefault(work.kind, {})[x] = step
    chosen = {
        kind: _spread(sorted(points[kind]), most)
        for kind, most in POINTS.items()
        if kind in points
    }
    # both ends of each kind first, in case there is no time for all
    columns = [
        [points[kind][x] for x in _ends_first(xs)] for kind, xs in chosen.items()
    ]
    order = [step for row in zip_longest(*columns) for step in row if step]
    ends = sum(min(2, len(xs)) for xs in chosen.values())
    found = timings(order, slots, least=ends) if order else {}
    curves = {}
    for kind, xs in chosen.items():
        timed = [x for x in xs if points[kind][x] in found]
        curves[kind] = _Curve(timed, [found[points[kind][x]] for x in timed])
    return curves


def _spread(xs: Sequence[float], most: int) -> list[float]:
    places = np.linspace(0, len(xs) - 1, min(most, len(xs))).round()
    return [xs[int(place)] for place in places]


def _ends_first(xs: Sequence[float]) -> list[float]:
    return list(dict.fromkeys([xs[-1], xs[0], xs[len(xs) // 2], *xs]))


# --- What it stands for ---


def _training(job: Job, extent: Extent, sample: _Sample, row: Timing) -> float:
    """Seconds of a job that trains, of which a row takes so long."""
    match job:
        case TransformerJob():
            codes = extent.codes(job.quantization) + 1
            own = job.tokens - job.trunk_tokens
            evaluations = job.section.evaluations * own / job.tokens
            begin = 0.0 if job.text else extent.clips * sample.captions
            steps = own / codes * row.step
            evaluated = evaluations * extent.test_clips * row.forward
            return begin + _with_checkpoints(steps + evaluated, parameters(job))
        case TokenizerJob(section=section):
            steps = section.steps * section.batch_size * row.step
            rows = (extent.clips + extent.test_clips) * extent.frames_per_clip
            coded = rows / section.window * row.forward
            return _with_checkpoints(steps, parameters(job)) + coded
        case EvaluatorJob(section=section):
            steps = section.steps * section.batch_size * row.step
            return _with_checkpoints(steps, parameters(job))
        case _:
            raise AssertionError(f"{job.kind} trains nothing")


def _with_checkpoints(seconds: float, N: int) -> float:
    """Add the checkpoints of N parameters: weights and moments, 12 bytes each."""
    write = WRITE + 12 * N / WRITTEN_PER_SECOND
    share = min(CHECKPOINT_SHARE, write / CHECKPOINT_SECONDS)
    return seconds * (1 + share) + write


def _untimed(job: Job, extent: Extent, sample: _Sample) -> float:
    match job:
        case CorpusJob(section=section) if section.kind not in QUANTIZERS:
            made = sample.made if isinstance(section, KinematicCorpus) else 0.0
            # raw first, then as z-scores
            bytes_ = 2 * extent.frames * NUM_FEATURES * 4
            return extent.clips * (made + sample.read) + bytes_ / WRITTEN_PER_SECOND
        case ScoreJob() if not job.target.startswith("tokenizer-"):
            return ONE_PASS * job.section.repetitions
        case _:
            return ONE_PASS


class _Sample(NamedTuple):
    """Seconds of a motion of the built-in corpus."""

    made: float
    """To make it."""
    read: float
    """To turn it into features."""
    captions: float
    """To learn the pieces of its captions, and to cut them."""


def _sample() -> _Sample:
    train_caption_encoder(["a"], vocab_size=300, max_length=64)  # imports its library
    times = [time.perf_counter()]
    motions = [kinematic.sequence(index, 0) for index in range(SAMPLE)]
    times.append(time.perf_counter())
    for motion in motions:
        features(motion.joints)
    times.append(time.perf_counter())
    captions = [caption for motion in motions for caption in motion.captions]
    train_caption_encoder(captions, vocab_size=300, max_length=64).encode(captions)
    times.append(time.perf_counter())
    return _Sample(*(float(seconds) / SAMPLE for seconds in np.diff(times)))
