"""Rows of text and motion tokens, and the batches that each step trains on."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from scaling.errors import ScalingError
from scaling.models.text import Text
from scaling.models.transformer import Batch
from scaling.runs.captioned import Item

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


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of one split: every clip with all its captions."""

    codes: list[NDArray[np.int32]]
    """Motion tokens of each clip."""
    texts: list[list[Text]]
    """Each caption of each clip, as the transformer takes it."""
    end: int
    """The end token, V."""

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Targets of each row: its motion tokens and one end token."""
        return np.array([len(codes) + 1 for codes in self.codes])

    @property
    def longest(self) -> int:
        """Positions of the longest row with its longest caption."""
        return max(
            len(codes) + max(map(len, texts)) + 1
            for codes, texts in zip(self.codes, self.texts, strict=True)
        )

    def batch(self, rows: Sequence[int], captions: Sequence[int]) -> Batch:
        """Lay out rows as text, motion, end, padded at the end.

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
        # the end token is a target only, so the last position's input is not needed
        spans = [
            len(text) + len(self.codes[row])
            for row, text in zip(rows, texts, strict=True)
        ]
        shape = (len(rows), max(spans))
        ids, targets = np.zeros(shape, np.int64), np.full(shape, -1, np.int64)
        is_text = np.zeros(shape, bool)
        for line, (row, text, span) in enumerate(zip(rows, texts, spans, strict=True)):
            start = len(text)
            ids[line, start:span] = self.codes[row]
            is_text[line, :start] = True
            targets[line, start - 1 : span - 1] = self.codes[row]
            targets[line, span - 1] = self.end
        arrays = (ids, is_text, targets, np.concatenate(texts))
        return Batch(*map(torch.from_numpy, arrays))

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


def rows_of(
    clips: Sequence[Item],
    codes: Sequence[NDArray[np.int32]],
    encode: Callable[[Sequence[str]], Sequence[Text]],
    end: int,
) -> Rows:
    """Pair clips' tokens with their captions; clips without a token drop out."""
    kept = [(c, row) for c, row in zip(clips, codes, strict=True) if len(row)]
    wordings = sorted({text for clip, _ in kept for text in clip.captions})
    encoded = dict(zip(wordings, encode(wordings), strict=True))
    return Rows(
        [row for _, row in kept],
        [[encoded[text] for text in clip.captions] for clip, _ in kept],
        end,
    )


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
