"""Vector quantisation: the nearest of V learnt codes, kept by moving averages.

ScaMo's baseline (Eq. 2) is T2M-GPT's (arXiv 2301.06052): the codes start as latents of
the first batch, and each training step moves the counts n and sums m of the latents x
that chose a code k to

    n_k <- a n_k + (1 - a) |{x : k(x) = k}|        e_k = m_k / n_k   where n_k >= 1
    m_k <- a m_k + (1 - a) sum_{x : k(x) = k} x          a latent of the batch elsewhere

so that a code that is hardly used is dropped where the data are. No gradient reaches
the codes; a commitment loss draws the latents to them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from scaling.errors import ScalingError

BLOCK = 2**24
"""Distances held at once: 64 MiB in float32."""


class VQ(nn.Module):
    """Quantise the last dimension to the nearest code, by squared distance.

    Parameters
    ----------
    codes : int
        V, codes in the codebook.
    width : int
        Length of a code and of a latent.
    decay : float
        a, the share of the past in the moving averages.

    Notes
    -----
    In training mode every call is a step of the averages. What is drawn at random, the
    latents that become codes, depends on the number of steps done and on nothing else,
    so that a module restored from its `state_dict` goes on with the same bits.
    """

    codebook: Tensor
    counts: Tensor
    sums: Tensor
    updates: Tensor

    def __init__(self, codes: int, width: int, decay: float = 0.99) -> None:
        super().__init__()
        if codes < 2 or width < 1 or not 0 <= decay < 1:
            raise ScalingError(
                f"cannot make {codes} codes of width {width} with decay {decay}; "
                "expected at least 2 codes, width 1 and a decay from 0 to below 1"
            )
        self.codebook_size = codes
        self.decay = decay
        self.register_buffer("codebook", torch.zeros(codes, width))
        self.register_buffer("counts", torch.ones(codes))
        self.register_buffer("sums", torch.zeros(codes, width))
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Find the nearest codes, with the gradient passed straight through.

        Parameters
        ----------
        z : Tensor, shape (..., width)

        Returns
        -------
        codes : Tensor, shape (..., width)
        indices : Tensor of int64, shape (...,)
        """
        with torch.autocast(z.device.type, enabled=False):
            latents = z.detach().float().reshape(-1, z.shape[-1])
            if self.training and not self.updates:
                self.codebook.copy_(self._drawn(latents, self.codebook_size))
                self.sums.copy_(self.codebook)
            indices = self.nearest(latents)
            codes = self.codebook[indices].view(z.shape).to(z.dtype)
            if self.training:
                self._update(latents, indices)
        return z + (codes - z).detach(), indices.view(z.shape[:-1])

    def indices_to_codes(self, indices: Tensor) -> Tensor:
        """Code of each index, shape (...,) to (..., width)."""
        return self.codebook[indices]

    def nearest(self, latents: Tensor) -> Tensor:
        """Index of the nearest code, (n, width) to (n,).

        |x - e|^2 without |x|^2, which all codes share, as one matrix product for as
        many latents as keep the table of distances below `BLOCK` entries.
        """
        squares = self.codebook.square().sum(1)
        rows = max(1, BLOCK // self.codebook_size)
        found = [
            torch.addmm(squares, block, self.codebook.T, alpha=-2).argmin(1)
            for block in torch.split(latents, rows)
        ]
        return torch.cat(found)

    def _update(self, latents: Tensor, indices: Tensor) -> None:
        """Move the averages by one batch, and the codes with them."""
        counts = torch.bincount(indices, minlength=self.codebook_size)
        sums = torch.zeros_like(self.sums).index_add_(0, indices, latents)
        self.counts.lerp_(counts.to(self.counts), 1 - self.decay)
        self.sums.lerp_(sums, 1 - self.decay)
        self.updates += 1
        self.codebook.copy_(self.sums / self.counts[:, None])
        unused = self.counts < 1
        self.codebook[unused] = self._drawn(latents, int(unused.sum()))

    def _drawn(self, latents: Tensor, count: int) -> Tensor:
        """Draw so many latents; where there are too few, again with a little noise."""
        n, width = latents.shape
        chance = torch.Generator(latents.device).manual_seed(int(self.updates))
        order = torch.randperm(n, generator=chance, device=latents.device)
        drawn = latents[order.repeat(-(-count // n))[:count]]
        if count > n:
            noise = torch.empty_like(drawn).normal_(generator=chance)
            drawn += 0.01 / width**0.5 * noise
        return drawn
