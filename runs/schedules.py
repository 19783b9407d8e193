"""Learning rates: how one changes along a run, and which share of it a weight gets.

Every schedule is a pure function of the step's number, so that a run which is resumed,
or which goes on from another run's state, has the rate that it would have had.
"""

from __future__ import annotations

import math
from typing import Any

from torch import nn

from scaling.models.transformer import PrefixTransformer

MUP_WIDTH = 64
"""Width at which `mup` and the standard parametrization have the same rates."""


def warmup_cosine(step: int, *, steps: int, warmup: float, peak: float) -> float:
    """Rise linearly over the first share of the steps, then fall to 0 as a cosine."""
    rising = math.ceil(warmup * steps)
    if step < rising:
        return peak * (step + 1) / rising
    done = (step - rising) / max(1, steps - rising)
    return peak * 0.5 * (1 + math.cos(math.pi * done))


def warmup_milestone(
    step: int, *, steps: int, warmup: float, peak: float, milestone: float, decay: float
) -> float:
    """Rise linearly, stay, and fall once by a factor (MultiStepLR, one milestone)."""
    rising = math.ceil(warmup * steps)
    if step < rising:
        return peak * (step + 1) / rising
    return peak * (decay if step >= milestone * steps else 1.0)


def warmup_stable_decay(
    step: int, *, rising: int, stable: int, steps: int, peak: float
) -> float:
    """Rise linearly, stay, and fall to 0 as 1 - sqrt (Haegele et al. 2024, Eq. 1).

    Parameters
    ----------
    step : int
        From 0.
    rising, stable, steps : int
        Steps after which the rate no longer rises, no longer stays, and the run ends; a
        trunk stays to its end.
    peak : float
        The rate between.

    Examples
    --------
    >>> [warmup_stable_decay(s, rising=2, stable=4, steps=8, peak=1.0)
    ...  for s in (0, 1, 3, 4, 5)]
    [0.5, 1.0, 1.0, 1.0, 0.5]
    """
    if step < rising:
        return peak * (step + 1) / rising
    if step < stable:
        return peak
    return peak * (1 - math.sqrt((step - stable) / (steps - stable)))


def parameter_groups(
    model: PrefixTransformer, parametrization: str
) -> list[dict[str, Any]]:
    """Group a transformer's parameters by their `share` of the learning rate.

    With `mup` a matrix whose fan-in is the width gets 64 / width of it, and all others
    the whole (Yang et al. 2022, arXiv 2203.03466, Table 3, Adam); the initial weights,
    N(0, 1 / fan-in) and a head of 0, serve both parametrizations. Attention is scaled
    by 1 / sqrt(d / H), as it stands: widths should come with heads of one width.
    """
    if parametrization == "standard":
        return [{"params": list(model.parameters()), "share": 1.0}]
    wide: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, weight in model.named_parameters():
        is_wide = name.startswith(("blocks.", "head.")) and weight.ndim == 2
        (wide if is_wide else others).append(weight)
    share = MUP_WIDTH / model.config.size.d_model
    return [{"params": wide, "share": share}, {"params": others, "share": 1.0}]
