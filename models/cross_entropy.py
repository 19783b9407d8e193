"""Cross-entropy of a linear head, a slice of tokens at a time.

At V = 65,536 the logits of a batch outweigh the model: 4 V bytes for every token, three
times over in the plain way (logits, their log-softmax, its gradient). Here a slice's
logits become its losses and, at once, its part of the gradients, and are forgotten
(Hsu et al. 2024, Liger Kernel, arXiv 2410.10989, section 3.2).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

AT_ONCE = 2**23
"""Logits that exist at once: 32 MiB, which most last-level caches hold."""


def linear_cross_entropy(
    hidden: Tensor, weight: Tensor, targets: Tensor
) -> tuple[Tensor, Tensor]:
    """Cross-entropy in nats of softmax(hidden weight^T) at the targets.

    Parameters
    ----------
    hidden : Tensor
        (N, d).
    weight : Tensor
        (V, d).
    targets : Tensor
        (N,), int64.

    Returns
    -------
    total : Tensor
        Sum of the losses, with its gradient.
    losses : Tensor
        Each token's, (N,), float32, without.
    """
    total: Tensor
    losses: Tensor
    total, losses = _LinearCrossEntropy.apply(  # type: ignore[no-untyped-call]
        hidden, weight, targets, torch.is_grad_enabled()
    )
    return total, losses


class _LinearCrossEntropy(torch.autograd.Function):
    """With p = softmax(h W^T) - onehot(target): dh = p W and dW = p^T h."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, differentiate: bool
    ) -> tuple[Tensor, Tensor]:
        low = _product_dtype(hidden)
        W = weight.to(low)
        losses = hidden.new_empty(len(targets), dtype=torch.float32)
        at_once = min(len(targets), max(1, AT_ONCE // len(weight)))
        # allocated once: the kernel hands out pages of this size empty, at a cost
        # above that of the softmax
        logits = hidden.new_empty(at_once, len(weight), dtype=torch.float32)
        d_hidden = torch.empty_like(hidden) if differentiate else None
        d_weight = torch.zeros_like(weight) if differentiate else None
        for first in range(0, len(targets), at_once):
            here = slice(first, first + at_once)
            h, target = hidden[here].to(low), targets[here, None]
            p = logits[: len(h)]
            _product(h, W.T, p)
            top, chosen = p.amax(-1), p.gather(-1, target)[:, 0]
            torch.softmax(p, -1, out=p)
            # the likeliest has p = 1 / sum exp(z - top)
            losses[here] = top - p.amax(-1).log() - chosen
            if d_hidden is None or d_weight is None:
                continue
            p.scatter_add_(-1, target, p.new_full(target.shape, -1.0))
            low_p = p.to(low)
            _product(low_p, W, d_hidden[here])
            if low == weight.dtype:
                torch.addmm(d_weight, low_p.T, h, out=d_weight)
            else:
                d_weight += low_p.T @ h
        ctx.gradients = d_hidden, d_weight
        ctx.mark_non_differentiable(losses)
        return losses.sum(), losses

    @staticmethod
    def backward(
        ctx: Any, gradient: Tensor, _: Tensor
    ) -> tuple[Tensor, Tensor, None, None]:
        # in place, and so once: a copy would be as large as the head
        d_hidden, d_weight = ctx.gradients
        del ctx.gradients
        return d_hidden.mul_(gradient), d_weight.mul_(gradient), None, None


def _product_dtype(x: Tensor) -> torch.dtype:
    """Say what products are computed in: autocast's choice, or the tensor's own."""
    kind = x.device.type
    on = torch.is_autocast_enabled(kind)
    return torch.get_autocast_dtype(kind) if on else x.dtype


def _product(a: Tensor, b: Tensor, out: Tensor) -> None:
    """Out = a b, rounded to out's type."""
    if a.dtype == out.dtype:
        torch.mm(a, b, out=out)
    else:
        out.copy_(a @ b)
