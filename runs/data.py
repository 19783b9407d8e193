"""Rows of text and motion tokens, and the batches that each step trains on."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling.errors import ScalingError
from scaling.models.batch import Batch
from scaling.models.text import Text
from scaling.runs.captions import Captions
from scaling.runs.tokens import Tokens

POOL = 16
"""Batches whose rows are sorted by length together, so that little is padding."""

EVALUATED_AT_ONCE = 128
"""Rows per batch of an evaluation."""


@dataclass(frozen=True, slots=True)
class Part:
    """Rows of a step's batch that are seen at once.

    The losses of their tokens, summed and divided by `targets`, are their part of the
    batch's loss.
    """

    batch: Batch
    """The rows."""
    targets: int
    """Scored tokens of the whole batch."""
    last: bool
    """Whether no other part of this process follows."""


@dataclass(frozen=True)
class Rows:
    """The rows of one split: every clip with all its captions."""

    codes: Sequence[NDArray[Any]]
    """Motion tokens of each clip."""
    texts: Sequence[Sequence[Text]]
    """Each caption of each clip, as the transformer takes it."""
    end: int
    """The end token, V."""

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """Targets of each row: its motion tokens and one end token."""
        return Tokens.of(self.codes).lengths + 1

    def some(self, count: int | None) -> Rows:
        """Give so many rows, the first of a shuffle that is always the same.

        Fewer rows are among more of them; None gives all.

        Raises
        ------
        ScalingError
            If there are not so many.
        """
        if count is None:
            return self
        if count > len(self.codes):
            raise ScalingError(
                f"transformers.train_clips: {count} are more than the training split's "
                f"{len(self.codes)} rows; lower it, or write null for all"
            )
        chosen = np.sort(np.random.default_rng(0).permutation(len(self.codes))[:count])
        codes, texts = Tokens.of(self.codes), Captions.of(self.texts)
        return Rows(codes.select(chosen), texts.select(chosen), self.end)

    @property
    def longest(self) -> int:
        """Positions of the longest row with its longest caption."""
        return int((self.lengths + Captions.of(self.texts).longest).max())

    def batch(self, rows: Sequence[int], captions: Sequence[int]) -> Batch:
        """Lay out rows as text, motion, end, one after another.

        Parameters
        ----------
        rows : sequence of int
            Which rows.
        captions : sequence of int
            Which caption of each, modulo the number that it has.
        """
        texts = [
            self.texts[row][caption % len(self.texts[row])]
            for row, caption in zip(rows, captions, strict=True)
        ]
        return Batch.of(texts, [self.codes[row] for row in rows], self.end)

    @property
    def num_batches(self) -> int:
        """Batches of an evaluation."""
        return math.ceil(len(self.codes) / EVALUATED_AT_ONCE)

    def evaluation_batch(self, number: int) -> Batch:
        """Lay out rows of like length, each with its first caption."""
        order = np.argsort(self.lengths, kind="stable")
        rows = order[number * EVALUATED_AT_ONCE :][:EVALUATED_AT_ONCE].tolist()
        return self.batch(rows, [0] * len(rows))

    def batches(self) -> Iterator[Batch]:
        """Lay out the whole split once."""
        return map(self.evaluation_batch, range(self.num_batches))


class Sampler:
    """Batches of the training split, each a pure function of the step's number.

    Every epoch shuffles the rows, sorts pools of them by length, and shuffles the
    batches that result; captions are drawn anew for each batch.
    """

    def __init__(self, rows: Rows, batch_size: int, seed: int) -> None:
        self.rows = rows
        self.seed = seed
        if batch_size > len(rows.codes):
            raise ScalingError(
                f"transformers.batch_size: {batch_size} sequences are more than the "
                f"training split's {len(rows.codes)}; make it smaller"
            )
        self.batch_size = batch_size
        self.per_epoch = len(rows.codes) // self.batch_size
        self._order = lru_cache(maxsize=2)(self._shuffled)

    def batch(self, step: int) -> Batch:
        """Lay out the batch of a step."""
        (part,) = self.parts(step, self.batch_size)
        return part.batch

    def parts(
        self, step: int, at_once: int, rank: int = 0, size: int = 1
    ) -> Iterator[Part]:
        """Lay out the batch of a step in parts.

        Parameters
        ----------
        step : int
            From 0.
        at_once : int
            Rows of a part, at most.
        rank, size : int
            Only what falls to this process of so many: every so manieth row, so that
            all have rows of like length.
        """
        rng = np.random.default_rng([self.seed, step, 1])
        captions = rng.integers(0, 2**31, self.batch_size)[rank::size].tolist()
        rows = self._rows_of(step)
        targets = int(self.rows.lengths[rows].sum())
        rows = rows[rank::size].tolist()
        for first in range(0, len(rows), at_once):
            end = first + at_once
            batch = self.rows.batch(rows[first:end], captions[first:end])
            yield Part(batch, targets, last=end >= len(rows))

    def tokens_after(self, budget: int) -> NDArray[np.int64]:
        """Tokens trained on after each step, up to the step that reaches a budget."""
        lengths, trained = self.rows.lengths, 0
        after: list[int] = []
        while trained < budget:
            trained += int(lengths[self._rows_of(len(after))].sum())
            after.append(trained)
        return np.array(after)

    def steps_to(self, tokens: int) -> int:
        """Count the steps that reach a number of tokens."""
        return len(self.tokens_after(tokens))

    def _rows_of(self, step: int) -> NDArray[np.int64]:
        epoch, number = divmod(step, self.per_epoch)
        batch: NDArray[np.int64] = self._order(epoch)[number]
        return batch

    def _shuffled(self, epoch: int) -> NDArray[np.int64]:
        rng = np.random.default_rng([self.seed, epoch, 0])
        rows = rng.permutation(len(self.rows.codes))
        rows = rows[: self.per_epoch * self.batch_size]
        lengths, pool = self.rows.lengths[rows], POOL * self.batch_size
        pools = np.arange(len(rows)) // pool
        by_length = rows[np.lexsort((lengths, pools))]
        batches = by_length.reshape(self.per_epoch, self.batch_size)
        return batches[rng.permutation(self.per_epoch)]


def require_context(context: int, *splits: Rows) -> None:
    """Refuse a context that would cut a row.

    Raises
    ------
    ScalingError
        If the longest row has more positions.
    """
    longest = max(rows.longest for rows in splits)
    if longest > context:
        raise ScalingError(
            f"transformers.context: {context} positions are fewer than the longest "
            f"row's {longest}; set it to {longest} or more, or shorten text_length"
        )
