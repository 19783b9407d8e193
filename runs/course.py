"""The course of a run: its steps, what they have spent, and at what rate it learns."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from scaling.errors import ScalingError
from scaling.models.flops import training_flops
from scaling.record import Row
from scaling.runs.data import Rows, Sampler
from scaling.runs.endings import Ending, verdict
from scaling.runs.jobs import TransformerJob
from scaling.runs.loop import evenly_spaced
from scaling.runs.schedules import warmup_cosine, warmup_stable_decay


@dataclass(frozen=True, kw_only=True, slots=True)
class Course:
    """A run in steps."""

    job: TransformerJob
    """The run."""
    sampler: Sampler
    """Its batches."""
    tokens_after: NDArray[np.int64]
    """Tokens trained on after each step."""
    start: int
    """Steps of its trunk."""

    @classmethod
    def of(cls, job: TransformerJob, rows: Rows) -> Course:
        """Lay out a run on the rows of the training split, or those that it may see.

        Raises
        ------
        ScalingError
            If its trunk leaves it no step.
        """
        (clips,) = job.section.train_clips
        sampler = Sampler(rows.some(clips), job.section.batch_size, job.seed)
        after = sampler.tokens_after(job.tokens)
        start = sampler.steps_to(job.trunk_tokens)
        # a segment of a trunk may end in the batch in which the one before it did
        if start == len(after) and job.kind == "transformer":
            raise ScalingError(
                f"transformers.tokens: {job.tokens} leave no batch to cool down after "
                f"the {job.trunk_tokens} of the trunk; raise the budget, or cooldown"
            )
        return cls(job=job, sampler=sampler, tokens_after=after, start=start)

    @property
    def steps(self) -> int:
        """Steps in all, those of its trunk among them."""
        return len(self.tokens_after)

    @property
    def rising(self) -> int:
        """Steps of the warm-up."""
        if self.job.section.schedule == "cosine":
            return math.ceil(self.job.section.warmup * self.steps)
        return self.sampler.steps_to(self.job.warmup_tokens)

    @property
    def evaluations(self) -> frozenset[int]:
        """Numbers of steps after which to evaluate."""
        spaced = evenly_spaced(self.steps, self.job.section.evaluations)
        return frozenset(step for step in spaced if step > self.start)

    def spent(self, step: int) -> Row:
        """Say what a run has spent after some steps, as the record does."""
        tokens = int(self.tokens_after[step - 1])
        unique = int(self.sampler.rows.lengths.sum())
        return {
            "step": step,
            "tokens": tokens,
            "unique_tokens": unique,
            "epochs": tokens / unique,
            "flops": training_flops(self.job.forward_flops, tokens),
            "cooled": self.job.kind == "transformer" and step == self.steps,
        }

    def learning_rate(self) -> Callable[[int], float]:
        """Give the learning rate of every step."""
        section, steps = self.job.section, self.steps
        peak = section.learning_rate_for(self.job.size.d_model)
        if section.schedule == "cosine":
            return partial(warmup_cosine, steps=steps, warmup=section.warmup, peak=peak)
        return partial(
            warmup_stable_decay,
            rising=self.rising,
            stable=steps if self.job.kind == "trunk" else self.start,
            steps=steps,
            peak=peak,
        )

    def verdict(self, rows: Sequence[Row]) -> Ending | None:
        """Say whether the evaluations so far end the run."""
        return verdict(
            rows,
            uniform=math.log(self.job.quantization.codebook_size + 1),
            rising=self.rising,
            patience=self.job.section.patience,
        )
