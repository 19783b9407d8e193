"""Finite scalar quantisation: each channel is rounded to one of a few levels.

A vector z of c channels is bounded to L_i levels per channel and rounded; the code is
the mixed-radix number of its levels, first channel least significant, so that the
codebook is implicit and has V = prod L_i codes (Mentzer et al. 2023, arXiv 2309.15505;
ScaMo Eq. 3, whose sigmoid is a tanh with a half-level shift in the code released).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from scaling.errors import ScalingError
from scaling.models.levels import check_levels, codebook_size

ROWS = 2**15
"""Vectors that go through all steps at once, so that they stay in the cache."""


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
        if self.codebook_size > 2**53:
            raise ScalingError(
                f"levels {list(levels)} have {self.codebook_size} codes; expected at "
                "most 2^53, which can be numbered without error: drop a channel"
            )
        # on the processor also where the model is built without memory (`meta`), whose
        # arithmetic imports torch's compiler
        L = torch.tensor(levels, dtype=torch.float32, device="cpu")
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
            rows = z.float().reshape(-1, z.shape[-1]).contiguous()
            codes, indices = _Rounding.apply(rows, self)  # type: ignore[no-untyped-call]
        return codes.view(z.shape).to(z.dtype), indices.view(z.shape[:-1])

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


class _Rounding(torch.autograd.Function):
    """round(bound(z)) / floor(L / 2) and its index, a cacheful of vectors at a time.

    The constants are laid side by side as often as there are vectors, since a loop
    over a handful of channels takes longer than its arithmetic.
    """

    @staticmethod
    def forward(ctx: Any, z: Tensor, fsq: FSQ) -> tuple[Tensor, Tensor]:
        n, channels = z.shape
        codes = torch.empty_like(z)
        squashed = torch.empty_like(z) if ctx.needs_input_grad[0] else codes
        indices = fsq.basis.new_empty(n)
        half = fsq.num_levels // 2
        # sums of whole numbers are exact in float32 up to 2^24, in float64 up to 2^53
        exact = torch.float32 if fsq.codebook_size <= 2**24 else torch.float64
        basis, middle = fsq.basis.to(exact), (half * fsq.basis).sum().to(exact)
        constants = torch.stack([fsq.shift, fsq.half_width, -fsq.offset, half])
        repeated = constants.repeat(1, min(n, ROWS))
        flat = (x.flatten() for x in (z, squashed, codes))
        pieces = (torch.split(x, ROWS * channels) for x in flat)
        for x, t, code, index in zip(*pieces, torch.split(indices, ROWS), strict=True):
            s, h, minus_o, scale = repeated[:, : len(x)]
            torch.add(x, s, out=t).tanh_()
            torch.addcmul(minus_o, t, h, out=code).round_()
            levels = code.view(-1, channels).to(exact)
            index.copy_(torch.addmv(middle, levels, basis))
            code.div_(scale).add_(0.0)  # no -0.0
        ctx.save_for_backward(squashed, fsq.half_width, half)
        ctx.mark_non_differentiable(indices)
        return codes, indices

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, _: Tensor) -> tuple[Tensor, None]:
        squashed, half_width, half = ctx.saved_tensors
        straight = gradient / half * half_width
        return torch.ops.aten.tanh_backward(straight, squashed), None
