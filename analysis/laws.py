"""Straight lines in log compute: the five laws of a study, with their errors.

Two forms, each linear in t = log10 x::

    log law      y = a t + b               loss against compute (ScaMo, Eq. 14)
    power law    y = 10^b x^a,  log10 y = a t + b                 (Eqs. 10 to 13)

Both are ordinary least squares of z = y, or log10 y, on t. With n points, their means
t' and z', and S = sum (t - t')^2::

    a = sum (t - t')(z - z') / S       b = z' - a t'       s^2 = sum r^2 / (n - 2)

    cov(a, b) = s^2 / S [[1, -t'], [-t', S / n + t'^2]]

so that the variance of the line at t is (t, 1) cov (t, 1)^T, and that of a new point is
larger by s^2. Intervals are Student's, with n - 2 degrees of freedom.

Points may have weights w, scaled to a mean of 1: then every sum and mean above is
weighted, and s belongs to a point of weight 1. A slope may also be fixed: then it has
no error, b alone is fitted, and n - 1 degrees of freedom are left.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit  # scipy.stats takes half a second to import

from scaling.analysis.pdg import plus_minus
from scaling.errors import ScalingError

Array = NDArray[np.float64]
Kind = Literal["log", "power"]

LOW_R2 = 0.8
NARROW_DECADES = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """A law's predictions with their uncertainty, in the units of y."""

    predicted: Array
    """The law itself."""
    mean_low: Array
    """Lower end of the interval of the law: where the line may lie."""
    mean_high: Array
    """Upper end of the interval of the law."""
    new_low: Array
    """Lower end of the interval of a new point: where one more run may lie."""
    new_high: Array
    """Upper end of the interval of a new point."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Law:
    """A fitted law that says itself what may be wrong with it."""

    name: str
    """What it gives as a function of what, such as `N_nv(C)`."""
    kind: Kind
    """`log`: y = a log10 x + b; `power`: y = 10^b x^a."""
    x: str
    """Symbol of the quantity it is a function of."""
    y: str
    """Symbol of the quantity it gives."""
    slope: float
    """a: change of y (power law: of log10 y) per decade of x."""
    slope_se: float
    """Standard error of a; NaN where two points leave nothing to estimate it from; 0
    where a was fixed."""
    intercept: float
    """b: y (power law: log10 y) at x = 1."""
    intercept_se: float
    """Standard error of b."""
    covariance: tuple[tuple[float, float], tuple[float, float]]
    """Of (a, b)."""
    r2: float
    """Share of the variance of y (power law: of log10 y) that the line explains."""
    residual_sd: float
    """s: standard deviation of the residuals, n - 2 degrees of freedom."""
    n: int
    """Number of points."""
    x_range: tuple[float, float]
    """Smallest and largest x it stands on."""
    design: tuple[str, ...] = ()
    """What the study's design may have made of it, in words."""

    def predict(self, x: ArrayLike) -> Array:
        """Evaluate the law at x.

        >>> law = fit("D(C)", "power", np.array([1e2, 1e4]), np.array([10.0, 100.0]))
        >>> law.predict([1e6]).round(6)
        array([1000.])
        """
        return self._from_line(self.slope * _log10(x) + self.intercept)

    def residuals(self, x: ArrayLike, y: ArrayLike) -> Array:
        """Measure points from the law, in y (log law) or in log10 y (power law)."""
        return self._to_line(y) - self._to_line(self.predict(x))

    def interval(self, x: ArrayLike, level: float = 0.95) -> Interval:
        """Give the law at x with its Student-t intervals.

        Parameters
        ----------
        x : array_like
            Where, in the units of x.
        level : float
            Coverage, 0.95 for 95 %.

        Returns
        -------
        Interval
            Arrays of the shape of x; the ends are NaN where n = 2.
        """
        t = _log10(x)
        line = self.slope * t + self.intercept
        (aa, ab), (_, bb) = self.covariance
        variance = aa * t**2 + 2 * ab * t + bb
        student = float(stdtrit(max(self._degrees, 1), (1 + level) / 2))
        mean = student * np.sqrt(variance)
        new = student * np.sqrt(variance + self.residual_sd**2)
        return Interval(
            predicted=self._from_line(line),
            mean_low=self._from_line(line - mean),
            mean_high=self._from_line(line + mean),
            new_low=self._from_line(line - new),
            new_high=self._from_line(line + new),
        )

    def slope_interval(self, level: float = 0.95) -> tuple[float, float]:
        """Give Student's interval of the slope; NaN where n = 2."""
        student = float(stdtrit(max(self.n - 2, 1), (1 + level) / 2))
        return (
            self.slope - student * self.slope_se,
            self.slope + student * self.slope_se,
        )

    @property
    def warnings(self) -> tuple[str, ...]:
        """What speaks against the law, in words; the bad state in capitals."""
        found = []
        decades = math.log10(self.x_range[1] / self.x_range[0])
        if self._degrees < 1:
            points = f"{self.n} point{'s' * (self.n != 1)}"
            found.append(f"NO STANDARD ERRORS: a line through {points} leaves none")
        elif abs(self.slope) < stdtrit(self._degrees, 0.975) * self.slope_se:
            found.append("SLOPE NOT DISTINGUISHABLE FROM ZERO at the 95 % level")
        if self.slope == 0 and not self.residual_sd > 0:
            found.append(f"NO VARIATION: all points have the same {self.y}")
        elif self.r2 < LOW_R2:
            found.append(f"LOW R2 {self.r2:.3f}: points scatter widely about the line")
        if decades < NARROW_DECADES:
            found.append(
                f"NARROW RANGE: {self.x} spans {decades:.1f} decades; "
                "do not extrapolate from less than one"
            )
        return (*found, *self.design)

    @property
    def status(self) -> Literal["good", "doubtful"]:
        """Whether any warning stands against the law."""
        return "doubtful" if self.warnings else "good"

    @property
    def message(self) -> str:
        """The status in a sentence."""
        return "; ".join(self.warnings) or "nothing speaks against this law"

    def formula(self, y: str | None = None) -> str:
        """Write the law with its errors, rounded together; `y` names what it gives.

        >>> x = np.array([1e14, 1e15, 1e16])
        >>> fit("L_u(C)", "log", x, np.array([-1.0, -2.1, -3.0])).formula()
        'L_u = (-1.00 ± 0.06) · log10 C + (13.0 ± 0.9)'
        """
        slope = plus_minus(self.slope, self.slope_se)
        intercept = plus_minus(self.intercept, self.intercept_se)
        y = y or self.y
        if self.kind == "log":
            return f"{y} = ({slope}) · log10 {self.x} + ({intercept})"
        return f"{y} = 10^({intercept}) · {self.x}^({slope})"

    def to_dict(self) -> dict[str, Any]:
        """Give the law as JSON holds it, with full precision; NaN as None."""
        derived = {
            "formula": self.formula(),
            "status": self.status,
            "message": self.message,
            "warnings": list(self.warnings),
        }
        return {name: _to_json(value) for name, value in asdict(self).items()} | derived

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Law:
        """Rebuild a law from `to_dict`."""
        names = cls.__dataclass_fields__
        return cls(**{name: _from_json(fields[name]) for name in names})

    @property
    def _degrees(self) -> int:
        """Degrees of freedom: a slope without any error was fixed, not fitted."""
        return self.n - (1 if self.slope_se == 0 else 2)

    def _to_line(self, y: ArrayLike) -> Array:
        return np.asarray(y, float) if self.kind == "log" else _log10(y)

    def _from_line(self, z: Array) -> Array:
        return np.asarray(z if self.kind == "log" else 10.0**z)


@dataclass(frozen=True, kw_only=True, slots=True)
class Form:
    """A law before it is fitted: which columns of which table."""

    name: str
    """Name of the law."""
    kind: Kind
    """Log or power law."""
    x: str
    """Symbol of the quantity it is a function of."""
    y: str
    """Symbol of the quantity it gives."""
    table: Literal["frontier", "best_codebooks"] = "frontier"
    """Table of the study that holds its points."""


FORMS = (
    Form(name="L_u(C)", kind="log", x="C", y="L_u"),
    Form(name="N_nv(C)", kind="power", x="C", y="N_nv"),
    Form(name="N_v(C)", kind="power", x="C", y="N_v"),
    Form(name="D(C)", kind="power", x="C", y="D"),
    Form(
        name="N_v(N_nv)",
        kind="power",
        x="N_nv",
        y="N_v",
        table="best_codebooks",
    ),
)

FORM_OF = {form.name: form for form in FORMS}
"""The forms by the names of their laws."""


def fit(
    name: str,
    kind: Kind,
    x: ArrayLike,
    y: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    slope: float | None = None,
) -> Law:
    """Fit a log or power law by least squares in log10.

    Parameters
    ----------
    name : str
        `y(x)` in symbols, such as `N_nv(C)`.
    kind : {"log", "power"}
        The form.
    x, y : array_like, shape (n,)
        The points; x positive, and y too for a power law.
    weights : array_like, shape (n,), optional
        Positive; only their ratios count, such as those of 1 / se^2 of log y.
    slope : float, optional
        Slope to keep fixed; then one point is enough.

    Raises
    ------
    ScalingError
        If there are fewer than two points, or all have the same x, and the slope is
        not fixed; or if the weights are not one positive number per point.
    """
    y_symbol, x_symbol = name.removesuffix(")").split("(")
    t = _log10(x)
    z = np.asarray(y, float) if kind == "log" else _log10(y)
    fixed = slope is not None
    _refuse_degenerate(name, x_symbol, t, fixed)
    n, w = len(t), _weights(name, weights, len(t))
    t_mean = float((w * t).mean())
    # The mean of equal numbers may differ from them in the last digit.
    z_mean = float((w * z).mean()) if np.ptp(z) > 0 else float(z[0])
    S = float(np.sum(w * (t - t_mean) ** 2))
    if slope is None:
        slope = float(np.sum(w * (t - t_mean) * (z - z_mean)) / S)
    residual = z - z_mean - slope * (t - t_mean)
    unexplained = float((w * residual) @ residual)
    total = float(np.sum(w * (z - z_mean) ** 2))
    degrees = n - (1 if fixed else 2)
    s2 = unexplained / degrees if degrees > 0 else math.nan
    covariance = _covariance(s2, n, t_mean, math.inf if fixed else S)
    return Law(
        name=name,
        kind=kind,
        x=x_symbol,
        y=y_symbol,
        slope=slope,
        slope_se=math.sqrt(covariance[0][0]),
        intercept=z_mean - slope * t_mean,
        intercept_se=math.sqrt(covariance[1][1]),
        covariance=covariance,
        r2=1 - unexplained / total if total > 0 else 0.0,
        residual_sd=math.sqrt(s2),
        n=n,
        x_range=(float(np.min(x)), float(np.max(x))),
    )


def fit_form(form: Form, table: pd.DataFrame) -> Law:
    """Fit a form to the columns of a table that its symbols name."""
    return fit(form.name, form.kind, table[form.x], table[form.y])


def _covariance(
    s2: float, n: int, t_mean: float, S: float
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Give cov(a, b); a fixed slope is one that infinitely wide data determine."""
    bb = s2 * (1 / n + t_mean**2 / S)
    if math.isinf(S):
        return (0.0, 0.0), (0.0, bb)
    return (s2 / S, -s2 * t_mean / S), (-s2 * t_mean / S, bb)


def _weights(name: str, weights: ArrayLike | None, n: int) -> Array:
    if weights is None:
        return np.ones(n)
    w = np.asarray(weights, float)
    if w.shape != (n,) or not (np.isfinite(w) & (w > 0)).all():
        raise ScalingError(
            f"the weights of {name} are {w.tolist()}; expected {n} positive numbers, "
            "one per point: leave out points that have none"
        )
    return np.asarray(w / w.mean())


def _refuse_degenerate(name: str, symbol: str, t: Array, fixed: bool) -> None:
    if fixed and not len(t):
        raise ScalingError(
            f"{name} has 0 points; a line of fixed slope needs at least 1: add runs"
        )
    if fixed:
        return
    if len(t) < 2:
        raise ScalingError(
            f"{name} has {len(t)} point{'s' * (len(t) != 1)}; a line needs at least 2, "
            "and 3 for standard errors: add runs, or hold fewer out"
        )
    if np.ptp(t) == 0:
        raise ScalingError(
            f"all {len(t)} points of {name} have {symbol} = {10 ** t[0]:.4g}; a slope "
            f"needs at least two values of {symbol}: add runs that differ in it"
        )


def _log10(values: ArrayLike) -> Array:
    return np.asarray(np.log10(np.asarray(values, float)))


def _to_json(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_to_json(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _from_json(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_from_json(item) for item in value)
    return math.nan if value is None else value
