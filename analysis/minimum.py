"""Find where a curve through a few points is lowest, and how sure that is.

The curve L(x) is one of::

    parabola   c0 + c1 x + c2 x^2               least squares
    cubic      c0 + c1 x + c2 x^2 + c3 x^3      least squares
    akima      Akima's piecewise cubic through all points (J. ACM 17, 589, 1970)

and its minimum x* is exact: the lowest of the ends and of the roots of L'. It counts
only where the points bracket it. For the two polynomials L'(x*, c) = 0 gives the
standard error by the delta method, from the covariance s^2 (X^T X)^-1 of c::

    dx*/dc_k = -k x*^(k-1) / L''(x*)

Akima's curve leaves no residuals, hence no error.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scaling.errors import ScalingError, suggestion

if TYPE_CHECKING:
    from scipy.interpolate import PPoly

Array = NDArray[np.float64]
Method = Literal["parabola", "cubic", "akima"]

METHODS: tuple[Method, ...] = get_args(Method)
NEEDED: dict[Method, int] = {"parabola": 3, "cubic": 4, "akima": 5}
"""Distinct x below which a curve is no evidence of a minimum."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Minimum:
    """Where a fitted curve is lowest; all NaN where that was refused."""

    x: float = math.nan
    """x*, the place."""
    se: float = math.nan
    """Standard error of x*; NaN where the curve leaves no residuals."""
    y: float = math.nan
    """L(x*), the lowest value of the curve."""
    curvature: float = math.nan
    """L''(x*)."""
    low: float = math.nan
    """From here to `high` the curve is no more than the band above its minimum."""
    high: float = math.nan
    """Upper end of the band; both ends stay within the points."""
    n: int
    """Number of distinct x."""
    reason: str = ""
    """Why the minimum was refused; empty where it counts."""


def minimum(
    x: ArrayLike, y: ArrayLike, method: Method = "parabola", band: float = 0.01
) -> Minimum:
    """Fit a curve to points and find its minimum.

    Parameters
    ----------
    x, y : array_like, shape (n,)
        Points in any order; of points with equal x the lowest counts.
    method : {"parabola", "cubic", "akima"}
        The curve.
    band : float
        Height above the minimum, in the units of y, that still counts as near it.

    Raises
    ------
    ScalingError
        If there is no such method. A minimum that cannot be had is no error: it comes
        back with its `reason`.

    >>> minimum([0, 1, 2, 3], [5, 2, 1, 2]).x
    2.0
    >>> minimum([0, 1, 2], [3, 2, 1.5]).reason
    'the parabola is lowest at the largest size tried: add larger ones'
    """
    if method not in METHODS:
        raise ScalingError(
            f"there is no method {method!r}; {suggestion(method, METHODS)}"
        )
    x, y = lowest_per_x(np.asarray(x, float), np.asarray(y, float))
    n, needed = len(x), NEEDED[method]
    if n < needed:
        have = f"{n} distinct size{'s' * (n != 1)}"
        return Minimum(n=n, reason=f"{have}; {method} needs {needed} or more: add some")
    if np.ptp(y) == 0:
        return Minimum(n=n, reason="all sizes do equally well: none is best")
    u = x - x[0]  # where scipy's piecewise polynomials have their origin
    curve, covariance = _curve(method, u, y)
    best = _lowest(curve)
    if best in (0, u[-1]):
        return Minimum(n=n, reason=_edge(method, curve, at_start=best == 0))
    low, high = _band(curve, best, band)
    curvature = float(curve(best, 2))
    return Minimum(
        x=float(x[0] + best),
        se=_standard_error(best, curvature, covariance),
        y=float(curve(best)),
        curvature=curvature,
        low=float(x[0] + low),
        high=float(x[0] + high),
        n=n,
    )


def lowest_per_x(x: Array, y: Array) -> tuple[Array, Array]:
    """Sort points by x and keep the lowest of those that share one."""
    order = np.lexsort((y, x))
    x, first = np.unique(x[order], return_index=True)
    return x, y[order][first]


def _curve(method: Method, u: Array, y: Array) -> tuple[PPoly, Array | None]:
    """Fit the curve on u >= 0; give the covariance of c, highest power first."""
    # Slow to import: the laws of the envelope take no curve.
    from scipy.interpolate import Akima1DInterpolator, PPoly

    if method == "akima":
        return Akima1DInterpolator(u, y), None
    X = np.vander(u, 3 if method == "parabola" else 4)
    c, *_ = np.linalg.lstsq(X, y, rcond=None)
    residual, degrees = y - X @ c, len(u) - len(c)
    s2 = float(residual @ residual) / degrees if degrees else math.nan
    return PPoly(c[:, None], u[[0, -1]]), np.asarray(s2 * np.linalg.inv(X.T @ X))


def _lowest(curve: PPoly) -> float:
    places = np.concatenate([curve.x[[0, -1]], _turns(curve)])
    return float(places[np.argmin(curve(places))])


def _band(curve: PPoly, best: float, height: float) -> tuple[float, float]:
    """Follow the curve from its minimum to either side until it has risen so much."""
    crossings = _finite(curve.solve(float(curve(best)) + height, extrapolate=False))
    below, above = crossings[crossings < best], crossings[crossings > best]
    start, end = curve.x[[0, -1]]
    return max(below, default=start), min(above, default=end)


def _standard_error(best: float, curvature: float, covariance: Array | None) -> float:
    if covariance is None:
        return math.nan
    k = np.arange(len(covariance))[::-1]
    gradient = -k * best ** np.maximum(k - 1, 0) / curvature
    return math.sqrt(gradient @ covariance @ gradient)


def _edge(method: Method, curve: PPoly, *, at_start: bool) -> str:
    if method == "parabola" and curve.c[0, 0] <= 0:
        return "the parabola bends down: its curvature is not positive"
    here, more = ("smallest", "smaller") if at_start else ("largest", "larger")
    if (curve(_turns(curve), 2) > 0).any():
        return (
            f"the {method} has a minimum but is lower still at the {here} size tried: "
            f"add {more} ones, or fit another curve"
        )
    return f"the {method} is lowest at the {here} size tried: add {more} ones"


def _turns(curve: PPoly) -> Array:
    return _finite(curve.derivative().roots(extrapolate=False))


def _finite(places: Array) -> Array:
    return np.asarray(places[np.isfinite(places)])
