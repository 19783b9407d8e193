"""How far a parabola puts the optimal size from where the law has it.

Along an isoFLOP line, where D is proportional to 1 / N, the law L = E + A/N^a + B/D^b
depends on u = ln(N / N*) only. At u = 0 it is lowest, which ties its two terms::

    L = E + p e^(-a u) + q e^(b u),    a p = b q

      = L* + a p [ (a + b) u^2 / 2  +  (b^2 - a^2) u^3 / 6  + ... ]

A parabola fitted to this on a grid symmetric about N* takes the slope of the cubic term
for its own, (b^2 - a^2)/6 <u^4>/<u^2>, and so has its vertex at, to third order::

    shift of ln N* = -(b - a)/6 <u^4>/<u^2> = -(b - a) w^2 / 10

the latter for a uniform grid of half-width w. A, B, E and C have no part in it: on
equal centred grids N* is off by one factor and the exponent of N*(C) is right. On grids
that widen or drift off centre the shift differs by budget and moves the exponent; there
only the fit itself, to the noiseless law on the actual sizes, tells. Compare Czech et
al. (arXiv 2603.22339). Over N_nv the law is an approximation, good where N_v << N_nv.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq

from scaling.analysis.isoflop import IsoFlop, Profile
from scaling.analysis.laws import fit
from scaling.errors import ScalingError

Array = NDArray[np.float64]

EQUAL = 0.005
"""Shift of ln N*, or of an exponent, that is not worth a warning."""
OFF_CENTRE = 0.1
"""Distance from N* to the middle of a grid, in half-widths, that is worth saying."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Bias:
    """What a law's two exponents do to the parabolas of a study."""

    alpha: float
    """Exponent of N in the law."""
    beta: float
    """Exponent of D in the law."""
    C: tuple[float, ...]
    """The budgets with a minimum, in FLOPs."""
    shifts: tuple[float, ...]
    """ln of the fitted over the true N*, by budget, exact on the actual sizes."""
    third_order: tuple[float, ...]
    """-(beta - alpha) w^2 / 10 by budget: as if each grid were uniform and centred."""
    off_centre: tuple[float, ...]
    """Middle of the grid less the true ln N*, in half-widths, by budget."""
    exponent: float
    """Fitted less true exponent of N*(C), of the unweighted law; NaN for one budget."""

    @property
    def factor(self) -> float:
        """Fitted over true N*, geometric mean over the budgets."""
        return math.exp(float(np.mean(self.shifts)))

    @property
    def warning(self) -> str:
        """The bias in a sentence; empty where it is not worth one."""
        found = []
        if abs(math.log(self.factor)) > EQUAL:
            side = "high" if self.factor > 1 else "low"
            found.append(f"N* {abs(self.factor - 1):.1%} {side} on these grids")
        if abs(self.exponent) > EQUAL:
            side = "high" if self.exponent > 0 else "low"
            found.append(f"the exponent {abs(self.exponent):.3f} {side}")
        if not found:
            return ""
        return f"the parabola puts {' and '.join(found)}, because {self._cause}"

    @property
    def _cause(self) -> str:
        causes = []
        if abs(self.beta - self.alpha) > EQUAL:
            causes.append(f"alpha = {self.alpha:.3g} and beta = {self.beta:.3g} differ")
        if max(map(abs, self.off_centre)) > OFF_CENTRE:
            causes.append("the grids are not centred on N*")
        return " and ".join(causes) or "the grids are wide"


def vertex_shift(alpha: float, beta: float, u: ArrayLike) -> float:
    """Fit a parabola to the noiseless law and say where its vertex lies.

    Parameters
    ----------
    alpha, beta : float
        The law's exponents of N and D.
    u : array_like, shape (n,)
        ln(N / N*) of three or more sizes on one isoFLOP line.

    Returns
    -------
    float
        ln of the fitted over the true N*.

    >>> half = np.log(2)
    >>> round(vertex_shift(0.34, 0.28, np.linspace(-half, half, 15)), 5)
    0.00327
    """
    u = np.asarray(u, float)
    loss = np.exp(-alpha * u) / alpha + np.exp(beta * u) / beta
    curvature, slope, _ = np.polyfit(u, loss, 2)
    return float(-slope / (2 * curvature))


def third_order_shift(alpha: float, beta: float, half_width: float) -> float:
    """Give the shift on a uniform grid centred on N*, to third order in its width.

    >>> round(third_order_shift(0.34, 0.28, math.log(2)), 5)
    0.00288
    """
    return -(beta - alpha) * half_width**2 / 10


def bias(result: IsoFlop, alpha: float, beta: float) -> Bias:
    """Say what the parabolas of a study did to N* and to its exponent.

    The true N* of a budget is the one whose noiseless law, on the sizes tried, gives a
    parabola with the vertex that was found.

    Parameters
    ----------
    result : IsoFlop
        Parabolas over N or N_nv.
    alpha, beta : float
        Exponents of N and D in L = E + A / N^alpha + B / D^beta, from a fit of that
        law to the same runs.

    Raises
    ------
    ScalingError
        If the study has no parabolas over N, or exponents are not positive, or no N*
        within twice the grid explains a vertex.
    """
    _refuse_unsuited(result, alpha, beta)
    used = result.used
    shifts = [_shift(profile, alpha, beta) for profile in used]
    centres = [_centre(profile) for profile in used]
    true = [math.log(profile.size) - s for profile, s in zip(used, shifts, strict=True)]
    C = tuple(profile.C for profile in used)
    return Bias(
        alpha=alpha,
        beta=beta,
        C=C,
        shifts=tuple(shifts),
        third_order=tuple(third_order_shift(alpha, beta, w) for _, w in centres),
        off_centre=tuple(
            (middle - x) / w for (middle, w), x in zip(centres, true, strict=True)
        ),
        exponent=fit("N(C)", "power", C, np.exp(shifts)).slope
        if len(C) > 1
        else math.nan,
    )


def _shift(profile: Profile, alpha: float, beta: float) -> float:
    x, found = np.log(profile.sizes), math.log(profile.size)

    def excess(true: float) -> float:
        return true + vertex_shift(alpha, beta, x - true) - found

    width = float(np.ptp(x))
    low, high = x[0] - width, x[-1] + width
    if excess(low) > 0 or excess(high) < 0:
        raise ScalingError(
            f"no N* within twice the sizes tried at C = {profile.C:.3g} gives a "
            f"parabola with its vertex at {profile.size:.4g} when alpha = {alpha:g} "
            f"and beta = {beta:g}; expected the law of these runs: fit it to them"
        )
    return found - float(brentq(excess, low, high, xtol=1e-13))


def _centre(profile: Profile) -> tuple[float, float]:
    """Give the middle of the grid and its half-width, in ln N."""
    low, high = np.log(profile.sizes[0]), np.log(profile.sizes[-1])
    return (low + high) / 2, (high - low) / 2


def _refuse_unsuited(result: IsoFlop, alpha: float, beta: float) -> None:
    if result.method != "parabola" or result.size not in ("N", "N_nv"):
        raise ScalingError(
            f"the curves are {result.method} over {result.size}; the bias is known of "
            "parabolas over N or N_nv, where L = E + A/N^alpha + B/D^beta: fit those"
        )
    if not (alpha > 0 and beta > 0):
        raise ScalingError(
            f"alpha = {alpha:g} and beta = {beta:g}; expected positive exponents of a "
            "loss that falls with N and D: check the fit they come from"
        )
    if not result.used:
        raise ScalingError(
            "no budget has a minimum, so there is no bias to speak of; expected at "
            "least one: see the reasons in `refused`"
        )
