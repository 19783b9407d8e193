"""The best codebook for a transformer: Tao et al. (arXiv 2407.13623), for any table.

A unit of data (a character, a second of motion) becomes f(V) tokens of a codebook with
V codes, so that H units cost C = 6 (N_nv + V d) H f(V) FLOPs, d being the width.

Approach 1 (`approach1`). The evaluations with a lower normalised loss than every
cheaper one make a frontier; N_nv, N_v and the data on it are power laws of C.

Approach 2 (`cheapest_codebook`, `derivative_law`). Text compresses: f falls with V,
while the table V d grows. At fixed data H the FLOPs are stationary where

    dC/dV = 6 H [ d f(V) + (N_nv + V d) f'(V) ] = 0

Tao et al. take equal data for equal loss, and of these V only the growth, gamma in
N_v = N_v0 (N_nv / N_nv0)^gamma, through the best codebook measured at a small N_nv0.
The losses of other runs have no part in it. A tokenizer of fixed rate, as motion has,
has f(V) = 1: then C only grows with V, the equation has no root, and is refused.

Where runs of several codebooks per size are at hand, `isoloss` reads off them what the
derivative stands for, whatever f is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from scaling.analysis.envelope import envelope
from scaling.analysis.isoflop import require
from scaling.analysis.laws import Law, fit
from scaling.errors import ScalingError

Array = NDArray[np.float64]

LN10 = math.log(10)
STEPS = 10_000
"""Reweighted fits within which Huber's line is found."""


# --- Tokens per unit of data ----------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Rate:
    """Tokens per unit of data: f(V) = a ln^2 V + b ln V + c, up to a largest V."""

    a: float = 0.0
    """Of ln^2 V."""
    b: float = 0.0
    """Of ln V."""
    c: float = 1.0
    """Of 1."""
    largest: float = math.inf
    """Codebook size from which on f is constant."""

    def __call__(self, V: ArrayLike) -> Array:
        """Give f(V).

        >>> float(Rate.of_text()(16384).round(4))
        0.2723
        """
        t = np.log(np.minimum(np.asarray(V, float), self.largest))
        return np.asarray(self.a * t**2 + self.b * t + self.c)

    def derivative(self, V: float) -> float:
        """Give f'(V), tokens per unit of data and code."""
        varies = self.largest > V
        return (2 * self.a * math.log(V) + self.b) / V if varies else 0.0

    @classmethod
    def of_text(cls) -> Rate:
        """Give Tao et al.'s tokens per character of English text."""
        return cls(a=0.00639222, b=-0.15811069, c=1.20470122, largest=200_000)

    @classmethod
    def fit(cls, V: ArrayLike, tokens_per_unit: ArrayLike) -> Rate:
        """Fit f to measured rates by least squares; constant beyond the largest V.

        >>> V = np.array([256, 1024, 4096, 16384])
        >>> Rate.fit(V, 1.5 - 0.1 * np.log(V)).b.__round__(6)
        -0.1
        """
        V, rate = np.asarray(V, float), np.asarray(tokens_per_unit, float)
        if len(np.unique(V)) < 3:
            raise ScalingError(
                f"f(V) has {len(np.unique(V))} codebook sizes; its three coefficients "
                "need at least 3: measure more tokenizers, or give Rate(...) yourself"
            )
        a, b, c = np.polyfit(np.log(V), rate, 2)
        return cls(a=float(a), b=float(b), c=float(c), largest=float(V.max()))


# --- Approach 1 -----------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Frontier:
    """Approach 1: the frontier and its laws."""

    table: pd.DataFrame
    """The evaluations on the frontier, by increasing C."""
    laws: Mapping[str, Law]
    """`N_nv(C)`, `N_v(C)`, and `D(C)`, `H(C)` where the table has them."""

    def codebook(self, N_nv: float, d: float) -> float:
        """Give the best V for a transformer trained with its optimal compute.

        Parameters
        ----------
        N_nv : float
            Non-vocabulary parameters.
        d : float
            Width of the transformer.
        """
        size = self.laws["N_nv(C)"]
        C = 10 ** ((math.log10(N_nv) - size.intercept) / size.slope)
        return float(self.laws["N_v(C)"].predict(C)) / d


def approach1(
    points: pd.DataFrame,
    *,
    slopes: Mapping[str, float] | None = None,
    delta: float = math.inf,
) -> Frontier:
    """Fit the laws of the evaluations that no cheaper one equals.

    Parameters
    ----------
    points : DataFrame
        One row per evaluation: `C` in FLOPs, `N_nv`, `N_v`, `L_u` in nats per token,
        and the data as `D` in tokens or `H` in units, if there.
    slopes : mapping, optional
        Exponents to fix, by symbol; Tao et al. fix {"N_nv": 0.5, "H": 0.5}.
    delta : float
        Residual in ln from which Huber's loss grows linearly; Tao et al. take 1e-3.
        Infinite is least squares. A robust law has no standard errors.

    Raises
    ------
    ScalingError
        If a column is missing, or all rows have the same codebook.
    """
    require(points, ("C", "N_nv", "N_v", "L_u"))
    if points["N_v"].nunique() < 2:
        raise ScalingError(
            "all rows have the same N_v; the best codebook needs runs that differ in "
            "it: train more than one codebook"
        )
    table = envelope(points.assign(run=points.get("run", "")), same=0)
    symbols = [symbol for symbol in ("N_nv", "N_v", "D", "H") if symbol in table]
    laws = {
        f"{symbol}(C)": line(
            f"{symbol}(C)",
            table["C"],
            table[symbol],
            delta=delta,
            slope=(slopes or {}).get(symbol),
        )
        for symbol in symbols
    }
    return Frontier(table=table, laws=laws)


def line(
    name: str,
    x: ArrayLike,
    y: ArrayLike,
    *,
    delta: float = math.inf,
    slope: float | None = None,
) -> Law:
    """Fit a power law under Huber's loss of ln y, by iterated reweighting.

    Weights min(1, delta / |r|) make least squares stationary where Huber's loss is, and
    every step lowers it. r2 and the residuals' spread are of all points alike.

    Raises
    ------
    ScalingError
        As `laws.fit`.
    """
    law = fit(name, "power", x, y, slope=slope)
    if math.isinf(delta):
        return law
    for _ in range(STEPS):
        before = law.slope, law.intercept
        w = _huber_weights(LN10 * law.residuals(x, y), delta)
        law = fit(name, "power", x, y, weights=w, slope=slope)
        if math.dist(before, (law.slope, law.intercept)) < 1e-13:
            break
    r = law.residuals(x, y)
    unexplained, total = float(r @ r), law.n * float(np.var(np.log10(np.asarray(y))))
    return replace(
        law,
        slope_se=law.slope_se if slope is not None else math.nan,
        intercept_se=math.nan,
        covariance=((math.nan, math.nan), (math.nan, math.nan)),
        r2=1 - unexplained / total if total > 0 else 0.0,
        residual_sd=math.sqrt(unexplained / law.n),
    )


def _huber_weights(r: Array, delta: float) -> Array:
    return np.asarray(delta / np.maximum(np.abs(r), delta))


# --- Approach 2, closed ---------------------------------------------------------------


def cheapest_codebook(N_nv: float, d: float, rate: Rate) -> float:
    """Solve dC/dV = 0: the codebook with the fewest FLOPs for given data.

    Parameters
    ----------
    N_nv : float
        Non-vocabulary parameters.
    d : float
        Width of the transformer.
    rate : Rate
        Tokens per unit of data.

    Raises
    ------
    ScalingError
        If the FLOPs do not fall with V anywhere, or still fall at the largest V.

    >>> round(cheapest_codebook(33e6, 512, Rate.of_text()))
    10323
    """

    def slope(t: float) -> float:
        V = math.exp(t)
        return d * float(rate(V)) + (N_nv + V * d) * rate.derivative(V)

    # Just below the largest V: from there on f' is zero and C grows.
    low, high = math.log(2), math.log(min(rate.largest, 1e12)) - 1e-9
    if slope(low) >= 0:
        raise ScalingError(
            "tokens per unit of data do not fall as the codebook grows (f'(2) = "
            f"{rate.derivative(2):.3g}), so the FLOPs for given data only grow with it "
            "and have no minimum; expected a tokenizer that compresses more with more "
            "codes: use `isoloss` on runs of several codebooks"
        )
    if slope(high) <= 0:
        raise ScalingError(
            f"at N_nv = {N_nv:.3g} the FLOPs for given data still fall at the largest "
            f"codebook, {math.exp(high):.4g}; expected a minimum below it: measure "
            "tokens per unit of data for larger ones"
        )
    from scipy.optimize import brentq  # slow to import, and seldom wanted

    return math.exp(brentq(slope, low, high, xtol=1e-13))


def growth(N_nv: ArrayLike, N_v: ArrayLike, delta: float = math.inf) -> float:
    """Fit gamma in N_v = N_v0 (N_nv / N_nv0)^gamma, exactly through the first pair.

    Parameters
    ----------
    N_nv, N_v : array_like, shape (n,)
        Pairs; the first is the anchor.
    delta : float
        Residual of ln N_v from which Huber's loss grows linearly; infinite is least
        squares.

    >>> round(growth([1e6, 1e7, 1e8], [1e5, 5e5, 25e5]), 6)
    0.69897
    """
    x = np.log(np.asarray(N_nv, float)[1:] / np.asarray(N_nv, float)[0])
    y = np.log(np.asarray(N_v, float)[1:] / np.asarray(N_v, float)[0])
    if not np.any(x != 0):
        raise ScalingError(
            f"gamma has {len(x) + 1} sizes and all are equal; it needs at least two "
            "different N_nv: add sizes"
        )
    gamma = float(x @ y / (x @ x))
    for _ in range(STEPS if math.isfinite(delta) else 0):
        w, before = _huber_weights(y - gamma * x, delta), gamma
        gamma = float((w * x) @ y / ((w * x) @ x))
        if abs(gamma - before) < 1e-15:
            break
    return gamma


def derivative_law(
    N_nv: Sequence[float],
    d: Sequence[float],
    rate: Rate,
    *,
    anchor: tuple[float, float],
    delta: float = math.inf,
) -> Law:
    """Carry the best codebook of one size to others, by the growth of the cheapest.

    Parameters
    ----------
    N_nv, d : sequence of float
        Sizes and their widths; the growth is measured from the first.
    rate : Rate
        Tokens per unit of data.
    anchor : (float, float)
        N_nv0 and the N_v0 that is known to be best there.
    delta : float
        Huber's, in ln; Tao et al. take 1e-3, infinite is least squares.

    Returns
    -------
    Law
        `N_v(N_nv)`, through the anchor; its exponent follows from f alone and has no
        standard error.

    Raises
    ------
    ScalingError
        As `cheapest_codebook` and `growth`.
    """
    pairs = zip(N_nv, d, strict=True)
    N_v = [width * cheapest_codebook(size, width, rate) for size, width in pairs]
    gamma = growth(N_nv, N_v, delta)
    return fit("N_v(N_nv)", "power", [anchor[0]], [anchor[1]], slope=gamma)
