"""What can be built: all sane transformer sizes and FSQ level sets."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from itertools import combinations_with_replacement

import numpy as np

from scaling.models.levels import LEVELS, codebook_size, nominal_codebook_size
from scaling.models.sizes import PAPER_SIZES, Size, size

SMALL_SIZES = tuple(map(size, ("1x1x16", "1x2x32", "2x4x64", "3x4x96", "4x4x128")))
"""Sizes that a laptop trains, those of the example grids."""

SLACK = math.sqrt(2)
"""Factor by which a size may be deeper or shallower than its width asks for."""

SAME_CODEBOOK = 9 / 8
"""Factor within which one codebook is as good as another."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Codebook:
    """V codes and what they are made of."""

    codes: int
    """V, real number of codes."""
    levels: tuple[int, ...] | None = None
    """FSQ levels; None for a vocabulary that no level set gives."""

    @property
    def nominal(self) -> int:
        """Power of two that the levels stand for; without levels V itself."""
        return nominal_codebook_size(self.levels) if self.levels else self.codes


@cache
def sizes() -> tuple[Size, ...]:
    """Give all sane sizes, from 1x1x16 to width 65536, by increasing width.

    Widths are multiples of 16, of 64 from 512 on and of 512 from 4096 on. The aspect
    d / L that a width asks for follows the paper's six sizes and `SMALL_SIZES`,
    straight in logarithms between neighbours and constant beyond the last; depths
    within a factor `SLACK` of it (or one layer) compete, in steps of 2^(1/8). Sizes
    of the paper and of the examples take the place of their like.

    >>> [shape.name for shape in sizes() if shape.d_model == 64]
    ['1x2x64', '2x4x64', '3x2x64']
    """
    widths = [*range(16, 512, 16), *range(512, 4096, 64), *range(4096, 65537, 512)]
    found = {
        (n_layers, width): size(f"{n_layers}x{width // head}x{width}")
        for width in widths
        if (head := _head_width(width))
        for n_layers in _depths(width)
    }
    known = (*SMALL_SIZES, *PAPER_SIZES.values())
    found |= {(shape.n_layers, shape.d_model): shape for shape in known}
    return tuple(sorted(found.values(), key=lambda s: (s.d_model, s.n_layers)))


def _head_width(width: int) -> int | None:
    """Choose heads of 32 channels, of 64 from 512 on (the paper's), then of 128."""
    wanted = 128 if width >= 4096 else 64 if width >= 512 else min(32, width)
    others = range(48, 129, 16)
    return next((head for head in (wanted, *others) if width % head == 0), None)


def _depths(width: int) -> list[int]:
    known = sorted((*SMALL_SIZES, *PAPER_SIZES.values()), key=lambda s: s.d_model)
    aspect = np.interp(
        math.log(width),
        [math.log(shape.d_model) for shape in known],
        [math.log(shape.d_model / shape.n_layers) for shape in known],
    )
    asked = width / math.exp(aspect)
    steps = round(8 * math.log2(SLACK))
    depths = {round(asked * 2 ** (k / 8)) for k in range(-steps, steps + 1)}
    depths |= {round(asked) - 1, round(asked) + 1}
    return sorted(depth for depth in depths if depth >= 1)


@cache
def codebooks() -> tuple[Codebook, ...]:
    """Give level sets for every codebook size from 9 to 262,144, by increasing V.

    Table 6 first; then sets of 2 to 6 channels of 8 to 3 levels, best first: levels
    of 5 and more where possible, as FSQ's authors advise (Mentzer et al. 2023, arXiv
    2309.15505), then few channels. A set has no place within a factor
    `SAME_CODEBOOK` of a better one.

    >>> [book.levels for book in codebooks() if 200 <= book.codes <= 320]
    [(8, 5, 5), (8, 6, 5), (8, 7, 5), (8, 8, 5)]
    """
    kept: list[Codebook] = []
    for book in _all_codebooks():
        far = (
            max(book.codes, other.codes) > SAME_CODEBOOK * min(book.codes, other.codes)
            for other in kept
        )
        if all(far):
            kept.append(book)
    return tuple(sorted(kept, key=lambda book: book.codes))


@cache
def _all_codebooks() -> tuple[Codebook, ...]:
    """All level sets, best first."""
    made = [
        levels
        for channels in range(2, 7)
        for levels in combinations_with_replacement((8, 7, 6, 5, 4, 3), channels)
    ]
    made.sort(key=lambda levels: (-min(5, min(levels)), len(levels), levels[::-1]))
    every = dict.fromkeys([*LEVELS.values(), *made])
    return tuple(Codebook(codes=codebook_size(x), levels=x) for x in every)


def codebook_of(codes: int) -> Codebook:
    """Find the best level set of exactly V codes; V without levels if none has.

    >>> codebook_of(1000).levels, codebook_of(50257).levels
    ((8, 5, 5, 5), None)
    """
    exact = (book for book in _all_codebooks() if book.codes == codes)
    return next(exact, Codebook(codes=codes))
