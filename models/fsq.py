"""Finite scalar quantisation: each channel is rounded to one of a few levels.

A vector z of c channels is bounded to L_i levels per channel and rounded; the code is
the mixed-radix number of its levels, first channel least significant, so that the
codebook is implicit and has V = prod L_i codes (Mentzer et al. 2023, arXiv 2309.15505;
ScaMo Eq. 3, whose sigmoid is a tanh with a half-level shift in the code released).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from scaling.models.levels import check_levels, codebook_size


class FSQ(nn.Module):
    """Quantise the last dimension to an implicit codebook.

    Parameters
    ----------
    levels : sequence of int
        L_i, the number of levels of each channel, each at least 2.
    """

    half_width: Tensor
    offset: Tensor
    shift: Tensor
    num_levels: Tensor
    basis: Tensor

    def __init__(self, levels: Sequence[int]) -> None:
        super().__init__()
        check_levels(levels)
        self.codebook_size = codebook_size(levels)
        L = torch.tensor(levels, dtype=torch.float32)
        even = (L % 2 == 0).float()
        # the bound reaches a little beyond the outermost levels (the 1e-3), so that
        # they keep a gradient; an even L has no level at zero, hence the shift
        half_width = (L - 1) * (1 + 1e-3) / 2
        offset = 0.5 * even
        basis = [math.prod(levels[:i]) for i in range(len(levels))]
        self.register_buffer("half_width", half_width, persistent=False)
        self.register_buffer("offset", offset, persistent=False)
        self.register_buffer(
            "shift", torch.atanh(offset / half_width), persistent=False
        )
        self.register_buffer("num_levels", torch.tensor(levels), persistent=False)
        self.register_buffer("basis", torch.tensor(basis), persistent=False)

    def bound(self, z: Tensor) -> Tensor:
        """Squash each channel into the range of its levels: tanh(z + s) h - o."""
        return torch.tanh(z + self.shift) * self.half_width - self.offset

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Round to the nearest code, with the gradient passed straight through.

        Parameters
        ----------
        z : Tensor, shape (..., channels)

        Returns
        -------
        codes : Tensor, shape (..., channels)
            Each channel a multiple of 1 / floor(L_i / 2) in [-1, 1].
        indices : Tensor of int64, shape (...,)
        """
        # below float32 the levels of large codebooks run into each other
        with torch.autocast(z.device.type, enabled=False):
            bounded = self.bound(z.float())
            rounded = bounded + (bounded.round() - bounded).detach()
            codes = rounded / (self.num_levels // 2)
        return codes.to(z.dtype), self.codes_to_indices(codes.detach())

    def codes_to_indices(self, codes: Tensor) -> Tensor:
        """Mixed-radix number of a code, shape (..., channels) to (...,)."""
        half = self.num_levels // 2
        level = (codes.float() * half).round().long() + half
        return (level * self.basis).sum(-1)

    def indices_to_codes(self, indices: Tensor) -> Tensor:
        """Code of each index, shape (...,) to (..., channels)."""
        half = self.num_levels // 2
        level = indices[..., None] // self.basis % self.num_levels
        return (level - half).float() / half
