"""Normalised test loss: how much better than the unigram frequencies a model predicts.

L_u = CE(model) - CE(unigram), in nats per token over all motion and end tokens of the
test split (Tao et al. 2024, arXiv 2407.13623; ScaMo Eq. 8). The plain loss cannot be
compared across codebooks: more codes, more to guess. L_u is 0 for a model that knows
the frequencies alone, negative below that, and bounded by -CE(unigram).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scaling.runs.data import Rows
from scaling.runs.tokens import Tokens


@dataclass(frozen=True, slots=True)
class Unigram:
    """Token frequencies of the training split."""

    counts: NDArray[np.int64]
    """Times each of the V codes and the end token occurs, (V + 1,)."""

    @classmethod
    def of(cls, rows: Rows) -> Unigram:
        """Count the codes of all rows, and one end token per row."""
        counts = np.bincount(Tokens.of(rows.codes).flat, minlength=rows.end + 1)
        counts[rows.end] = len(rows.codes)
        return cls(counts)

    @property
    def log_frequencies(self) -> NDArray[np.float64]:
        """Natural log of q; a code that training never shows counts once.

        >>> np.exp(Unigram(np.array([3, 0, 1])).log_frequencies)
        array([0.6, 0.2, 0.2])
        """
        seen_once = np.maximum(self.counts, 1)
        frequencies: NDArray[np.float64] = np.log(seen_once / seen_once.sum())
        return frequencies

    def loss(self, rows: Rows) -> float:
        """Cross-entropy of the frequencies on a split, in nats per token."""
        counts = Unigram.of(rows).counts
        return float(-(counts * self.log_frequencies).sum() / counts.sum())

    def unseen(self, rows: Rows) -> dict[str, int]:
        """Count codes that training never shows, and how often a split does."""
        never = self.counts == 0
        return {
            "unseen_codes": int(never.sum()),
            "unseen_test_tokens": int(Unigram.of(rows).counts[never].sum()),
        }
