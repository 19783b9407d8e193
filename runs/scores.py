"""Scores of generated motion, as functions of the evaluator's embeddings.

The columns of ScaMo's supplementary Table 4, as Guo et al. (CVPR 2022) and T2M-GPT
compute them, and KID. `generated`, `real` and `texts` are embeddings (clips, E),
row by row of the same clip.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from scaling.errors import ScalingError
from scaling.record import Row

Embeddings = NDArray[np.float64]

POOL = 32
"""Motions among which a text is to find its own."""

TOP = 3
"""R-precision is taken at 1, 2, 3."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """One number over repetitions: other samples, pools and pairs of the same clips."""

    mean: float
    """Mean over the repetitions."""
    low: float
    """Lower end of the mean's 95 % interval; it does not speak of other clips."""
    high: float
    """Upper end."""
    repetitions: int
    """Values that it stands on."""

    @classmethod
    def of(cls, values: Sequence[float]) -> Score:
        """Summarise as the field does: mean ± 1.96 sd / sqrt(repetitions).

        >>> Score.of([1.0, 3.0, 1.0, 3.0])
        Score(mean=2.0, low=1.02, high=2.98, repetitions=4)
        """
        mean = float(np.mean(values))
        half = float(1.96 * np.std(values) / np.sqrt(len(values)))
        return cls(
            mean=mean, low=mean - half, high=mean + half, repetitions=len(values)
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Scores:
    """All scores of one set of motions, by the names of the record's columns."""

    fid: float
    """Fréchet distance to the real motions; lower is better."""
    kid: float
    """Kernel distance to them, unbiased in the number of clips."""
    r_precision_1: float
    """Share of texts whose own motion is the nearest of a pool."""
    r_precision_2: float
    """Share whose own is among the two nearest."""
    r_precision_3: float
    """Share whose own is among the three nearest."""
    matching_score: float
    """Mean distance of a text to its motion; lower is better."""
    diversity: float
    """Mean distance of random pairs of motions; the real ones' is best."""
    scored_clips: int
    """Clips that they stand on."""
    pool: int
    """Motions in a pool of R-precision: 32, or all of fewer clips."""
    multimodality: float | None = None
    """Mean distance of motions of one text, where it was taken."""

    def to_dict(self) -> Row:
        """Columns for the record, without what was not taken."""
        return {name: x for name, x in asdict(self).items() if x is not None}

    def caveats(self, width: int) -> list[str]:
        """Say in sentences what so few clips do, at a width of the embeddings."""
        found = []
        if self.scored_clips <= width:
            found.append(
                f"FID stands on {self.scored_clips} clips in {width} dimensions: it is "
                "biased upwards, so compare it on the same clips only, or use KID"
            )
        if self.pool < POOL:
            found.append(
                f"R-precision stands on one pool of {self.pool} where the field has "
                f"{POOL}: chance is 1 in {self.pool}"
            )
        return found


def scores(
    generated: Embeddings,
    real: Embeddings,
    texts: Embeddings,
    captions: Sequence[str],
    *,
    seed: int,
) -> Scores:
    """Score one repetition: all but multimodality, which takes more motions."""
    pool = min(POOL, len(texts))
    hits = r_precision(texts, generated, captions, pool=pool, seed=seed).tolist()
    return Scores(
        fid=fid(generated, real),
        kid=kid(generated, real),
        r_precision_1=hits[0],
        r_precision_2=hits[1],
        r_precision_3=hits[2],
        matching_score=matching_score(texts, generated),
        diversity=diversity(generated, seed=seed),
        scored_clips=len(generated),
        pool=pool,
    )


def fid(generated: Embeddings, real: Embeddings) -> float:
    """Fréchet distance of the Gaussians with the two samples' moments.

    ``|m1 - m2|^2 + Tr(S1 + S2 - 2 (S1 S2)^(1/2))``, covariances over n - 1 (Heusel et
    al. 2017, arXiv 1706.08500). Biased upwards, the more the fewer clips.
    """
    # it takes seconds to import, and most jobs score nothing
    from torchmetrics.image.fid import FrechetInceptionDistance

    metric = FrechetInceptionDistance(_Identity(real.shape[1])).set_dtype(torch.float64)
    centre = real.mean(0)  # the distance does not change, its rounding does
    metric.update(torch.from_numpy(real - centre), real=True)
    metric.update(torch.from_numpy(generated - centre), real=False)
    return max(0.0, float(metric.compute()))


class _Identity(nn.Module):
    """Features that are features already."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, x: Tensor) -> Tensor:
        return x


def kid(generated: Embeddings, real: Embeddings) -> float:
    """Kernel distance: squared MMD under ``k(x, y) = (x.y / E + 1)^3``.

    The mean of k(x_i, x_j) + k(y_i, y_j) - 2 k(x_i, y_j) over i != j: unbiased however
    few the clips (Bińkowski et al. 2018, arXiv 1801.01401), and, as no motion meets the
    one that was made from its own clip, also for reconstructions (Gretton et al. 2012,
    Lemma 6). Around 0, at times below it, for motions like the real ones.
    """

    def between(x: Embeddings, y: Embeddings) -> float:
        k = (x @ y.T / x.shape[1] + 1) ** 3
        return float((k.sum() - k.trace()) / (len(x) * (len(x) - 1)))

    return (
        between(real, real)
        + between(generated, generated)
        - 2 * between(generated, real)
    )


def r_precision(
    texts: Embeddings,
    motions: Embeddings,
    captions: Sequence[str],
    *,
    pool: int = POOL,
    seed: int,
) -> NDArray[np.float64]:
    """Share of texts with their motion among the k nearest of a pool, k = 1, 2, 3.

    The clips are shuffled and dealt into pools, those left over are not scored. A
    motion with the same caption counts as the text's own: which of two motions of "a
    person walks" is meant, no text can say.

    Raises
    ------
    ScalingError
        If there are fewer clips than a pool takes.
    """
    if len(texts) < pool:
        raise ScalingError(
            f"{len(texts)} clips do not fill one pool of {pool}; R-precision needs as "
            "many: score more clips, or choose a smaller pool and say so"
        )
    order = np.random.default_rng(seed).permutation(len(texts))
    pools = order[: len(order) // pool * pool].reshape(-1, pool)
    distances = torch.cdist(
        torch.from_numpy(texts[pools]),
        torch.from_numpy(motions[pools]),
        compute_mode="donot_use_mm_for_euclid_dist",
    ).numpy()
    wording = np.unique(captions, return_inverse=True)[1][pools]
    own = wording[:, :, None] == wording[:, None, :]
    nearest = distances.argsort(-1, kind="stable")[..., :TOP]
    found = np.take_along_axis(own, nearest, -1)
    return np.asarray(np.logical_or.accumulate(found, -1).mean((0, 1)))


def matching_score(texts: Embeddings, motions: Embeddings) -> float:
    """Mean distance of the texts to their motions."""
    return float(np.linalg.norm(texts - motions, axis=1).mean())


def diversity(motions: Embeddings, *, seed: int) -> float:
    """Mean distance of 300 random pairs, 100 of 300 motions or fewer.

    Two draws without replacement, as published: a motion may meet itself. Of fewer than
    100 motions every one is drawn.
    """
    pairs = min(len(motions), 300 if len(motions) > 300 else 100)
    rng = np.random.default_rng(seed)
    first, second = (rng.choice(len(motions), pairs, replace=False) for _ in range(2))
    return float(np.linalg.norm(motions[first] - motions[second], axis=1).mean())


def multimodality(motions: Embeddings, *, seed: int, pairs: int = 10) -> float:
    """Mean distance of random pairs of motions of one text, (texts, motions, E).

    Two draws without replacement, the same for all texts, as published.
    """
    rng = np.random.default_rng(seed)
    made = motions.shape[1]
    first, second = (
        rng.choice(made, min(pairs, made), replace=False) for _ in range(2)
    )
    return float(np.linalg.norm(motions[:, first] - motions[:, second], axis=2).mean())
