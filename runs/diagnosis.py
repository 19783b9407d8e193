"""Why a run diverged: what its model looked like at the step that was not made."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from scaling.record import Row
from scaling.runs.checkpoint import whole


def diagnose(
    model: nn.Module, optimizer: torch.optim.Optimizer, norms: Iterable[float]
) -> Row:
    """Describe the weights, which are those of the last finite step.

    Parameters
    ----------
    model, optimizer
        As the run left them.
    norms : iterable of float
        Gradient norms before clipping of the last finite steps, oldest first.

    Returns
    -------
    dict
        `learning_rate`, `gradient_norms`, `largest_weight`, absolute and None where it
        is not finite, and `largest_weight_of`, its parameter.
    """
    largest = {name: _largest(weight) for name, weight in model.named_parameters()}
    name = max(largest, key=lambda name: _or_infinite(largest[name]))
    size = largest[name]
    return {
        "learning_rate": max(group["lr"] for group in optimizer.param_groups),
        "gradient_norms": list(norms),
        "largest_weight": size if math.isfinite(size) else None,
        "largest_weight_of": name,
    }


def first_not_finite(model: nn.Module) -> str:
    """Say which gradient was the first on the way back that is not finite.

    A loss's gradients are computed from the last module to the first; where all are
    finite, their norm is what overflowed.
    """
    bad = [
        name
        for name, weight in model.named_parameters()
        if weight.grad is not None and not _is_finite(whole(weight.grad))
    ]
    return f", that of {bad[-1]} first" if bad else ": its norm is too large"


@torch.no_grad()
def _largest(weight: Tensor) -> float:
    return float(whole(weight).abs().max())


def _or_infinite(size: float) -> float:
    return size if math.isfinite(size) else math.inf


def _is_finite(gradient: Tensor) -> bool:
    return bool(gradient.isfinite().all())
