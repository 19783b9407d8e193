"""Residual finite scalar quantisation: what one FSQ leaves over, the next one rounds.

All stages have the same levels L. The first is FSQ; rounding leaves at most half a
level, which (L - 1) magnifies to the whole width of the levels, and so on. A latent's
code is the sum of its stages', each (L - 1) times finer than the one before: S stages
of V codes stand for V^S, and the error shrinks as (L - 1)^-S. (Residual quantisation:
Zeghidour et al. 2021, arXiv 2107.03312; the scale of the stages is that of
vector-quantize-pytorch, which bounds each stage anew; here the latent is bounded once.)
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from scaling.errors import ScalingError
from scaling.models.fsq import FSQ


class ResidualFSQ(nn.Module):
    """Quantise each latent to several codes of one implicit codebook.

    Parameters
    ----------
    levels : sequence of int
        L_i, the number of levels of each channel, each at least 3: of 2, the second
        stage would be as coarse as the first.
    stages : int
        S, codes per latent; 1 is FSQ.
    """

    scales: Tensor

    def __init__(self, levels: Sequence[int], stages: int) -> None:
        super().__init__()
        if stages < 1:
            raise ScalingError(
                f"{stages} stages of quantisation; expected at least 1: set it higher"
            )
        self.fsq = FSQ(levels)
        if stages > 1 and min(levels) < 3:
            raise ScalingError(
                f"levels {list(levels)} cannot be refined by a second stage; expected "
                "at least 3 each: raise those that are 2"
            )
        self.codebook_size = self.fsq.codebook_size
        self.stages = stages
        magnified = torch.tensor(levels, dtype=torch.float32) - 1
        scales = torch.stack([magnified**-stage for stage in range(stages)])
        self.register_buffer("scales", scales, persistent=False)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Round in stages, with the gradient passed straight through.

        Parameters
        ----------
        z : Tensor, shape (..., latents, channels)

        Returns
        -------
        codes : Tensor, shape (..., latents, channels)
            The sum over stages.
        indices : Tensor of int64, shape (..., latents * stages)
            The stages of a latent after one another, coarse to fine.
        """
        with torch.autocast(z.device.type, enabled=False):
            bounded = self.fsq.bound(z.float())
            levels = self._levels(bounded.detach())
            rounded = (levels * self.scales).sum(-2)
            half = self.fsq.num_levels // 2
            codes = (bounded + (rounded - bounded).detach()) / half
            indices = self.fsq.codes_to_indices(levels / half)
        return codes.to(z.dtype), indices.flatten(-2)

    def indices_to_codes(self, indices: Tensor) -> Tensor:
        """Codes of whole latents, (..., tokens) to (..., tokens // stages, channels).

        A latent whose last stages are cut off is left out.
        """
        latents = indices.shape[-1] // self.stages
        whole = indices[..., : latents * self.stages]
        stages = whole.reshape(*indices.shape[:-1], latents, self.stages)
        return (self.fsq.indices_to_codes(stages) * self.scales).sum(-2)

    def _levels(self, rest: Tensor) -> Tensor:
        """Levels about zero, (..., channels) to (..., stages, channels)."""
        L = self.fsq.num_levels
        levels = []
        for _ in range(self.stages):
            level = rest.round().clamp(-(L // 2), (L - 1) // 2)
            levels.append(level)
            rest = (rest - level) * (L - 1)
        return torch.stack(levels, -2)
