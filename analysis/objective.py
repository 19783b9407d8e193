"""What a fit minimises: a sum over rows of a function of the residual.

With the residual r = log law - log loss, or law - loss, and the row's weight w, every
objective is sum w rho(r), a sum and not a mean::

    lsq          rho = r^2 / 2
    huber        rho = r^2 / 2 where |r| <= delta, else delta (|r| - delta / 2)
    lad          rho = |r|
    asymmetric   huber, times 2 q above the law and 2 (1 - q) below it: a lower envelope

Huber's is that of Hoffmann et al. (arXiv 2203.15556, Eq. 3), with delta in log loss.
The number beside a law means nothing without the objective, so `str()` says all of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scaling.errors import ScalingError, suggestion

Array = NDArray[np.float64]
Name = Literal["huber", "lsq", "lad", "asymmetric"]
Space = Literal["log", "linear"]

NAMES: tuple[Name, ...] = get_args(Name)
FINEST = 1e-8
"""Least absolute deviation is the limit of Huber's; the solver goes to this delta."""


class Slopes(NamedTuple):
    """Derivatives of rho."""

    first: Array
    """rho'(r)."""
    second: Array
    """rho''(r)."""
    chord: Array
    """rho'(r) / r: the curvature of the parabola that touches rho and lies above it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Objective:
    """The function of the residuals that a fit minimises."""

    name: Name = "huber"
    """`huber`, `lsq` (squares), `lad` (absolute deviation) or `asymmetric`."""
    delta: float = 1e-3
    """Residual from which Huber's grows linearly, in the units of `space`."""
    space: Space = "log"
    """Whether residuals are of the natural logarithm of the loss, or of the loss."""
    quantile: float = 0.1
    """q, the share of rows that an asymmetric fit leaves below the law."""

    def __post_init__(self) -> None:
        if self.name not in NAMES:
            raise ScalingError(
                f"there is no objective {self.name!r}; {suggestion(self.name, NAMES)}"
            )
        if self.space not in get_args(Space):
            raise ScalingError(
                f"loss space is {self.space!r}; expected log or linear: choose one"
            )
        if not 0 < self.delta < np.inf:
            raise ScalingError(
                f"delta is {self.delta:g}; expected a positive residual such as 1e-3"
            )
        if not 0 < self.quantile < 1:
            raise ScalingError(
                f"quantile is {self.quantile:g}; expected a share between 0 and 1"
            )

    @classmethod
    def suited(cls, loss: ArrayLike, **given: Any) -> Objective:
        """Take residuals of log loss where all losses have one, unless told.

        >>> str(Objective.suited(np.array([-1.0, 2.0])))
        'Huber(delta 0.001) on loss'
        """
        space = "log" if np.all(np.asarray(loss) > 0) else "linear"
        return cls(**{"space": space, **given})

    def unit(self, loss: str = "nats per token") -> str:
        """Say what residuals are in, of losses in a unit."""
        return "log loss" if self.space == "log" else loss

    def __str__(self) -> str:
        words = {
            "lsq": "least squares",
            "lad": "least absolute deviation",
            "huber": f"Huber(delta {self.delta:g})",
            "asymmetric": f"lower envelope (Huber delta {self.delta:g}, "
            f"quantile {self.quantile:g})",
        }
        return f"{words[self.name]} on {'log loss' if self.space == 'log' else 'loss'}"

    @property
    def robust(self) -> bool:
        """Whether single rows far from the law have little say."""
        return self.name != "lsq"

    @property
    def final_delta(self) -> float:
        """Where rho turns from a parabola to a line: infinite for least squares."""
        return {"lsq": np.inf, "lad": FINEST}.get(self.name, self.delta)

    def rho(self, r: Array, delta: float | None = None) -> Array:
        """Evaluate rho at residuals; with a delta, smoothed to it on the way there."""
        size = np.abs(r)
        if delta is None and self.name == "lad":
            return size
        delta = self.final_delta if delta is None else delta
        inner = np.minimum(size, delta)
        value = inner * (size - 0.5 * inner)
        # Huber's grows with slope delta, the absolute deviation with slope 1.
        return self._sided(r, value / delta if self.name == "lad" else value)

    def slopes(self, r: Array, delta: float) -> Slopes:
        """Differentiate rho at residuals, smoothed to delta."""
        if self.name == "lsq":
            one = np.ones_like(r)
            return Slopes(first=r, second=one, chord=one)
        size = np.abs(r)
        first = np.clip(r, -delta, delta)
        second = (size <= delta).astype(float)
        chord = delta / np.maximum(size, delta)
        if self.name == "lad":
            first, second, chord = first / delta, second / delta, chord / delta
        return Slopes(
            first=self._sided(r, first),
            second=self._sided(r, second),
            chord=self._sided(r, chord),
        )

    def _sided(self, r: Array, values: Array) -> Array:
        if self.name != "asymmetric":
            return values
        below = 2 * (1 - self.quantile)
        return values * np.where(r > 0, below, 2 * self.quantile)
