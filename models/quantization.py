"""How a tokenizer's latents become codes: the method and the size of its codebook."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from scaling.errors import ScalingError
from scaling.models.levels import check_levels, codebook_size, nominal_codebook_size

Method = Literal["fsq", "vq", "rfsq", "bpe", "given"]
"""Finite scalar quantisation, vector quantisation, residual FSQ; byte pairs of text;
tokens that are given."""

MOTION: tuple[Method, ...] = ("fsq", "vq", "rfsq")
"""Methods of motion, which a network is trained for."""

FEWEST = {"vq": 2, "bpe": 256, "given": 2}
"""Codes that a codebook without levels has at least; byte pairs begin with bytes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Quantization:
    """A codebook: implicit in levels (FSQ, residual FSQ), or of so many codes."""

    method: Method = "fsq"
    """`fsq`, `vq`, `rfsq`, `bpe` or `given`."""
    levels: tuple[int, ...] = ()
    """L_i of FSQ and of each stage of residual FSQ; empty for others."""
    codes: int = 0
    """Number of codes; 0 where the levels say how many."""
    stages: int = 1
    """Codes that stand for one latent: 1, or the stages of residual FSQ."""

    def __post_init__(self) -> None:
        if self.method in FEWEST:
            fewest = FEWEST[self.method]
            rules = [
                ("codes", self.codes, self.codes >= fewest, f"at least {fewest}"),
                ("levels", list(self.levels), not self.levels, "none"),
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
        """Power of two that the levels stand for; without levels, the codes."""
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
