"""How a tokenizer's latents become codes: the method and the size of its codebook."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from scaling.errors import ScalingError
from scaling.models.levels import check_levels, codebook_size, nominal_codebook_size

Method = Literal["fsq", "vq", "rfsq"]
"""Finite scalar quantisation, vector quantisation, residual FSQ."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Quantization:
    """A codebook: implicit in levels (FSQ, residual FSQ), or learnt (VQ)."""

    method: Method = "fsq"
    """`fsq`, `vq` or `rfsq`."""
    levels: tuple[int, ...] = ()
    """L_i of FSQ and of each stage of residual FSQ; empty for VQ."""
    codes: int = 0
    """Codes of VQ; 0 where the levels say how many."""
    stages: int = 1
    """Codes that stand for one latent: 1, or the stages of residual FSQ."""

    def __post_init__(self) -> None:
        if self.method == "vq":
            rules = [
                ("codes", self.codes, self.codes >= 2, "at least 2"),
                ("levels", list(self.levels), not self.levels, "none, for VQ"),
            ]
        else:
            check_levels(self.levels)
            rules = [("codes", self.codes, not self.codes, "0, beside levels")]
        residual = self.method == "rfsq"
        one = self.stages == 1 or (residual and self.stages > 1)
        rules += [
            ("stages", self.stages, one, "1, or more for residual FSQ"),
            (
                "levels",
                list(self.levels),
                not residual or self.stages == 1 or min(self.levels) > 2,
                "at least 3 each in stages, since 2 leave no residual",
            ),
        ]
        for name, value, kept, rule in rules:
            if not kept:
                raise ScalingError(
                    f"{name} {value} of a {self.method} codebook; expected {rule}: "
                    "change it"
                )

    @property
    def codebook_size(self) -> int:
        """V, the number of codes that a token may be."""
        return self.codes or codebook_size(self.levels)

    @property
    def nominal(self) -> int:
        """Power of two that the levels stand for; VQ has as many codes as it says."""
        return self.codes or nominal_codebook_size(self.levels)

    @property
    def label(self) -> str:
        """Name for folders.

        >>> Quantization(levels=(8, 6, 5)).label
        'v256'
        >>> Quantization(method="rfsq", levels=(8, 6, 5), stages=2).label
        'rfsq2x256'
        """
        if self.method == "fsq":
            return f"v{self.nominal}"
        stages = f"{self.stages}x" if self.method == "rfsq" else ""
        return f"{self.method}{stages}{self.nominal}"
