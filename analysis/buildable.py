"""The nearest model that can be built: from a law's optimum to layers, levels, tokens.

A law is optimal at real numbers N*, V*, D*; a run needs whole layers, a product of FSQ
levels and whole tokens, and pays the exact FLOPs of its convention:

    D = floor(C / (3 f)),    f = forward FLOPs per token (`scaling.models.flops`)

Of the configurations within a factor of two of what the law wants, `nearest` takes the
one with the lowest predicted loss. N is `total_params` as runs record it: blocks,
norms, text projection, the tables of codes and of text, and the head of V + 1 rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling.analysis.shapes import Codebook, codebook_of, codebooks, sizes
from scaling.errors import ScalingError, suggestion
from scaling.models.flops import (
    CONVENTIONS,
    PAPER_CONTEXT,
    Architecture,
    non_vocab_params,
    tokens_for,
    training_flops,
)
from scaling.models.sizes import Size

Array = NDArray[np.float64]
Counts = NDArray[np.int64]
Loss = Callable[[Mapping[str, Array]], Array]

AIMS = ("N", "N_nv", "N_v", "V")
"""Counts that a law may want; the first two make the model, the others the codebook."""

NEAR = 2.0
"""Factor, over all wanted counts together, within which configurations compete."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Counting:
    """The settings that counts depend on; the defaults are those of a grid."""

    convention: str = "openai"
    """FLOPs convention, `openai`, `matmul` or `6nd`, where C = 6 (N_nv + N_v) D."""
    n_ctx: int = PAPER_CONTEXT
    """Positions in a sequence, text included."""
    n_prefix: int = 64
    """Text positions among them (only `matmul` asks)."""
    text_width: int = 64
    """Width of the text states; the projection into the prefix is part of N_nv."""
    text_vocab_size: int = 512
    """Rows of the text table, a part of N (few captions may fill fewer); 0 where the
    text encoder is frozen."""

    def __post_init__(self) -> None:
        if self.convention not in CONVENTIONS:
            raise ScalingError(
                f"FLOPs convention {self.convention!r} is not known; "
                f"{suggestion(self.convention, CONVENTIONS)}"
            )

    def architecture(self, shape: Size, codes: int) -> Architecture:
        """Put a size and a codebook into these settings."""
        return Architecture(
            size=shape,
            codebook_size=codes,
            n_ctx=self.n_ctx,
            n_prefix=min(self.n_prefix, self.n_ctx - 1),
            text_width=self.text_width,
        )

    def forward(self, shape: Size, codebook: Codebook) -> int:
        """Forward FLOPs per token, f; `openai` counts nominal codes as grids do."""
        paper = self.convention == "openai"
        codes = codebook.nominal if paper else codebook.codes
        return CONVENTIONS[self.convention](self.architecture(shape, codes))


@dataclass(frozen=True, kw_only=True, slots=True)
class Configuration:
    """One run that can be built, and how far it is from what was asked for."""

    size: Size
    """Layers, heads, widths."""
    levels: tuple[int, ...] | None
    """FSQ levels; None where no level set has V codes."""
    codebook_size: int
    """V, real number of codes."""
    nominal: int
    """Power of two that the levels stand for; V where there are none."""
    non_vocab_params: int
    """N_nv: blocks, norms, text projection."""
    vocab_params: int
    """N_v = V d, one table."""
    total_params: int
    """N: N_nv, the table, the head of V + 1 rows, the text table."""
    tokens: int
    """D, tokens to train on."""
    steps: int | None
    """Optimiser steps; None where the tokens of a step are not known."""
    flops_per_token: int
    """f, forward FLOPs per token."""
    flops: int
    """C = 3 f D, training FLOPs of exactly D tokens."""
    counting: Counting
    """What the counts depend on, the FLOPs convention first."""
    loss: float
    """Loss that the law predicts, in the law's units."""
    compute: float
    """The budget in FLOPs."""
    of_wanted: Mapping[str, float]
    """Each count as a share of what the law wants, such as `{"N_nv": 1.04}`."""

    @property
    def convention(self) -> str:
        """FLOPs convention."""
        return self.counting.convention

    @property
    def of_budget(self) -> float:
        """FLOPs as a share of the budget; whole tokens leave some of it."""
        return self.flops / self.compute

    def to_dict(self) -> dict[str, Any]:
        """Give the configuration as JSON holds it."""
        derived = {"convention": self.convention, "of_budget": self.of_budget}
        return asdict(self) | {"levels": self.levels and list(self.levels)} | derived


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Candidates:
    """Configurations that compete for a budget, one per index."""

    pairs: tuple[tuple[Size, Codebook], ...]
    """Size and codebook."""
    forward: tuple[int, ...]
    """f, forward FLOPs per token."""
    tokens: tuple[int, ...]
    """D, the whole tokens that the budget pays for."""
    counts: Mapping[str, Counts]
    """N, N_nv, N_v and V."""
    distance: Array
    """Octaves from the wanted counts, the root of the sum of squares."""
    compute: float
    """C, the budget in FLOPs."""
    counting: Counting
    """What the counts depend on."""

    @property
    def columns(self) -> dict[str, Array]:
        """N, N_nv, N_v, V, D and the budget C as a law reads them, shape (n,)."""
        columns = {name: count.astype(float) for name, count in self.counts.items()}
        tokens = np.array(self.tokens, float)
        return columns | {"D": tokens, "C": np.full(len(tokens), self.compute)}


def nearest(
    loss: Loss,
    compute: float,
    *,
    wanted: Mapping[str, float],
    convention: str = "openai",
    n_ctx: int = PAPER_CONTEXT,
    n_prefix: int = 64,
    text_width: int = 64,
    text_vocab_size: int = 512,
    codebook: int | None = None,
    books: Sequence[Codebook] = (),
    tokens_per_step: float | None = None,
) -> Configuration:
    """Find the configuration near a law's optimum with the lowest predicted loss.

    Parameters
    ----------
    loss : callable
        From columns N, N_nv, N_v, V, D (counts) and C (the budget, FLOPs), float
        arrays of shape (n,), to n predicted losses. Of equal losses the one closest
        to the wanted counts wins, so that a law of C alone is well-defined too.
    compute : float
        Training budget C in FLOPs.
    wanted : mapping
        What the law wants: N_nv or N, and N_v or V unless `codebook` is given. A D is
        compared with, not aimed at: the budget decides on it.
    convention, n_ctx, n_prefix, text_width, text_vocab_size
        What the counts depend on, as in `Counting`.
    codebook : int, optional
        V, number of codes, for a law that says nothing on it.
    books : sequence of Codebook
        Those to choose among; by default all FSQ level sets.
    tokens_per_step : float, optional
        Mean tokens of a batch, to give the number of steps.

    Raises
    ------
    ScalingError
        If the wanted counts are not enough or not positive, the budget pays for no
        token of any size near them, or the law has no value there.

    Examples
    --------
    >>> def law(x):
    ...     return 400 * x["N_nv"] ** -0.34 + 410 * x["D"] ** -0.28
    >>> best = nearest(law, 1e18, wanted={"N_nv": 5e7}, codebook=1000)
    >>> best.size.n_layers, best.size.d_model, best.levels, best.tokens
    (13, 704, (8, 5, 5, 5), 2086516522)
    """
    counting = Counting(
        convention=convention,
        n_ctx=n_ctx,
        n_prefix=n_prefix,
        text_width=text_width,
        text_vocab_size=text_vocab_size,
    )
    near = candidates(
        compute, wanted=wanted, counting=counting, codebook=codebook, books=books
    )
    losses = np.asarray(loss(near.columns), float)
    best = int(np.lexsort((near.distance, losses))[0])  # a NaN comes last
    if not math.isfinite(losses[best]):
        raise ScalingError(
            f"the law gives a loss of {losses[best]} for {compute:g} FLOPs near "
            f"{_words(wanted)}; expected a number: check the law's parameters there"
        )
    return _configuration(near, best, losses[best], wanted, tokens_per_step)


def _configuration(
    near: Candidates,
    n: int,
    loss: float,
    wanted: Mapping[str, float],
    tokens_per_step: float | None,
) -> Configuration:
    """Describe the n-th candidate in exact integers."""
    (shape, book), f, D = near.pairs[n], near.forward[n], near.tokens[n]
    counts = {name: int(count[n]) for name, count in near.counts.items()}
    return Configuration(
        size=shape,
        levels=book.levels,
        codebook_size=book.codes,
        nominal=book.nominal,
        non_vocab_params=counts["N_nv"],
        vocab_params=counts["N_v"],
        total_params=counts["N"],
        tokens=D,
        steps=math.ceil(D / tokens_per_step) if tokens_per_step else None,
        flops_per_token=f,
        flops=training_flops(f, D),
        counting=near.counting,
        loss=float(loss),
        compute=near.compute,
        of_wanted={k: (counts | {"D": D})[k] / v for k, v in wanted.items()},
    )


def candidates(
    compute: float,
    *,
    wanted: Mapping[str, float],
    counting: Counting,
    codebook: int | None = None,
    books: Sequence[Codebook] = (),
) -> Candidates:
    """List what competes: all that lies at most `NEAR` further off than the closest.

    Parameters and errors are those of `nearest`.
    """
    _check(compute, wanted, codebook)
    books = tuple(books) or codebooks()
    if codebook is not None:
        books = (codebook_of(codebook),)
    counts = _counts(counting, books)
    distance = _octaves(counts, wanted, AIMS if codebook is None else AIMS[:2])
    close = np.nonzero(distance <= distance.min() + math.log2(NEAR))
    pairs = [(sizes()[i], books[j]) for i, j in zip(*close, strict=True)]
    forward = [counting.forward(*pair) for pair in pairs]
    tokens = [tokens_for(compute, f) for f in forward]
    paid = [n for n, D in enumerate(tokens) if D]
    if not paid:
        raise ScalingError(
            f"{compute:g} FLOPs do not pay for one token of any size near "
            f"{_words(wanted)}; raise the budget, or want fewer parameters"
        )
    return Candidates(
        pairs=tuple(pairs[n] for n in paid),
        forward=tuple(forward[n] for n in paid),
        tokens=tuple(tokens[n] for n in paid),
        counts={name: count[close][paid] for name, count in counts.items()},
        distance=distance[close][paid],
        compute=float(compute),
        counting=counting,
    )


def _counts(counting: Counting, books: tuple[Codebook, ...]) -> dict[str, Counts]:
    """N, N_nv, N_v and V of all sizes with all codebooks, shape (sizes, codebooks)."""
    V = np.array([[book.codes for book in books]])
    d = np.array([[shape.d_model] for shape in sizes()])
    N_nv, N_v = _non_vocab_params(counting.text_width), V * d
    head, text = N_v + d, counting.text_vocab_size * counting.text_width
    N = N_nv + N_v + head + text
    return dict(zip(AIMS, np.broadcast_arrays(N, N_nv, N_v, V), strict=True))


@cache
def _non_vocab_params(text_width: int) -> Counts:
    """N_nv of all sizes, shape (sizes, 1)."""
    counting = Counting(text_width=text_width)
    return np.array([[non_vocab_params(counting.architecture(s, 1))] for s in sizes()])


def _octaves(
    counts: Mapping[str, Counts], wanted: Mapping[str, float], aims: tuple[str, ...]
) -> Array:
    """Distance from the wanted counts in log2, over those that are aimed at.

    What lies beyond all that can be built counts as the last that can.
    """
    squares = [
        np.log2(count / np.clip(wanted[name], count.min(), count.max())) ** 2
        for name, count in counts.items()
        if name in aims and name in wanted
    ]
    return np.asarray(np.sqrt(np.sum(squares, axis=0)))


def _check(compute: float, wanted: Mapping[str, float], codebook: int | None) -> None:
    if not (math.isfinite(compute) and compute > 0):
        raise ScalingError(
            f"compute is {compute!r}; expected FLOPs above 0: give a budget like 1e18"
        )
    for name, value in wanted.items():
        if name not in (*AIMS, "D"):
            raise ScalingError(
                f"a law cannot want {name!r} here; {suggestion(name, (*AIMS, 'D'))}"
            )
        if not (math.isfinite(value) and value > 0):
            raise ScalingError(
                f"the law wants {name} = {value:g}; expected a positive number: "
                "check where its optimum lies"
            )
    if not {"N", "N_nv"} & wanted.keys():
        raise ScalingError(
            f"{_words(wanted) or 'nothing'} does not say how large a model is wanted; "
            "expected N or N_nv: add one of them"
        )
    if codebook is None and not {"V", "N_v"} & wanted.keys():
        raise ScalingError(
            f"{_words(wanted)} does not say how many codes are wanted; expected V or "
            "N_v: add one of them, or give the codebook that the runs have"
        )


def _words(wanted: Mapping[str, float]) -> str:
    return ", ".join(f"{name} = {value:.4g}" for name, value in wanted.items())
