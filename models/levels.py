"""The tokenizer's arithmetic: FSQ levels, codebook sizes, frames per token."""

from __future__ import annotations

import math
from collections.abc import Sequence

from scaling.errors import ScalingError

LEVELS: dict[int, tuple[int, ...]] = {
    2**4: (5, 3),
    2**6: (8, 8),
    2**8: (8, 6, 5),
    2**9: (8, 8, 8),
    2**10: (8, 5, 5, 5),
    2**11: (8, 8, 6, 5),
    2**12: (7, 5, 5, 5, 5),
    2**14: (8, 8, 8, 6, 5),
    2**16: (8, 8, 8, 5, 5, 5),
}
"""Levels by nominal codebook size (ScaMo, supplementary Table 6)."""


HALVINGS = 2
"""Times that the tokenizer's encoder halves the number of frames."""

DOWNSAMPLING: int = 2**HALVINGS
"""Frames per token."""

MOST_LEVELS = 1000
"""Levels of a channel above which the bound's margin reaches the next level."""


def levels_of(nominal_codebook_size: int) -> tuple[int, ...]:
    """Return the levels that stand for a nominal codebook size.

    Raises
    ------
    ScalingError
        If no level set of Table 6 stands for the size.

    Examples
    --------
    >>> levels_of(256), codebook_size(levels_of(256))
    ((8, 6, 5), 240)
    """
    if nominal_codebook_size not in LEVELS:
        known = ", ".join(map(str, LEVELS))
        raise ScalingError(
            f"codebook {nominal_codebook_size} is given by no level set; "
            f"known: {known}; choose one, or write its levels as a list"
        )
    return LEVELS[nominal_codebook_size]


def codebook_size(levels: Sequence[int]) -> int:
    """Count the codes: V = prod L_i."""
    return math.prod(levels)


def nominal_codebook_size(levels: Sequence[int]) -> int:
    """Return the power of two that a level set stands for.

    >>> nominal_codebook_size((7, 5, 5, 5, 5))  # 4375 codes
    4096
    >>> nominal_codebook_size((8, 5, 5))  # 200 codes, not of Table 6
    256
    """
    for nominal, known in LEVELS.items():
        if known == tuple(levels):
            return nominal
    return int(2 ** round(math.log2(codebook_size(levels))))


def check_levels(levels: Sequence[int]) -> None:
    """Refuse levels that quantise nothing, or more finely than the bound allows.

    Raises
    ------
    ScalingError
        If there are none, or a channel has fewer than 2 or more than 1000.
    """
    if not levels or min(levels) < 2:
        raise ScalingError(
            f"levels {list(levels)} must each be at least 2; "
            "a channel of one level carries no information: drop it"
        )
    if max(levels) > MOST_LEVELS:
        raise ScalingError(
            f"levels {list(levels)} must each be at most {MOST_LEVELS}; "
            "split a channel in two"
        )


def whole_tokens(frames: int) -> int:
    """Cut a number of frames to whole tokens.

    >>> whole_tokens(47)
    44
    """
    return frames - frames % DOWNSAMPLING
