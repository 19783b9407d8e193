"""Transformer sizes: the paper's six by name, any other as LAYERSxHEADSxWIDTH."""

from __future__ import annotations

import re
from dataclasses import dataclass

from scaling.errors import ScalingError


@dataclass(frozen=True, kw_only=True, slots=True)
class Size:
    """Shape of a transformer's blocks."""

    name: str
    """The paper's name, or LAYERSxHEADSxWIDTH."""
    n_layers: int
    """L, number of blocks."""
    n_heads: int
    """Attention heads; must divide the width into an even head width (for RoPE)."""
    d_model: int
    """d, width of the residual stream."""

    def __post_init__(self) -> None:
        for field in ("n_layers", "n_heads", "d_model"):
            if getattr(self, field) < 1:
                raise ScalingError(
                    f"size {self.name}: {field} {getattr(self, field)} "
                    "must be at least 1; set it higher"
                )
        if self.d_model % self.n_heads:
            raise ScalingError(
                f"size {self.name}: width {self.d_model} is not divisible by its "
                f"{self.n_heads} heads; choose a width that is a multiple of them"
            )
        if self.d_model // self.n_heads % 2:
            raise ScalingError(
                f"size {self.name}: head width {self.d_model // self.n_heads} is odd, "
                "rotary positions turn pairs of channels; choose an even head width"
            )

    @property
    def d_ff(self) -> int:
        """Hidden width of the SwiGLU feed-forward, about 8 d / 3.

        Rounded up to a multiple of 256 as the paper's code does, and of 16 below width
        512, where 256 would be a large part of the model.

        >>> size("44M").d_ff, size("2x2x64").d_ff
        (1536, 176)
        """
        multiple = 256 if self.d_model >= 512 else 16
        return -(-int(8 * self.d_model / 3) // multiple) * multiple


PAPER_SIZES = {
    name: Size(name=name, n_layers=n_layers, n_heads=n_heads, d_model=d_model)
    for name, n_layers, n_heads, d_model in (
        ("44M", 8, 8, 512),
        ("111M", 12, 12, 768),
        ("343M", 24, 16, 1024),
        ("775M", 36, 20, 1280),
        ("1B", 48, 24, 1536),
        ("3B", 24, 32, 3200),
    )
}
"""ScaMo Table 1, which prints 1B as 1.4B; the names are not exact counts."""


def size(text: str) -> Size:
    """Read a size: a name of the paper, or LAYERSxHEADSxWIDTH.

    Raises
    ------
    ScalingError
        If the text is neither, or the width is not divisible by the heads.

    Examples
    --------
    >>> size("111M").d_model
    768
    >>> size("4x4x128")
    Size(name='4x4x128', n_layers=4, n_heads=4, d_model=128)
    """
    if text in PAPER_SIZES:
        return PAPER_SIZES[text]
    match = re.fullmatch(r"(\d+)x(\d+)x(\d+)", text)
    if match is None:
        raise ScalingError(
            f"size {text!r} is neither a name ({', '.join(PAPER_SIZES)}) "
            "nor LAYERSxHEADSxWIDTH such as 4x4x128"
        )
    n_layers, n_heads, d_model = map(int, match.groups())
    return Size(name=text, n_layers=n_layers, n_heads=n_heads, d_model=d_model)
