"""What a claim of the audit is, and the fits that its numbers come from.

All numbers are made by the toolkit's own fits, of the paper's own points. Intervals are
at 95 %: Student's t for least squares, and the scatter of the points (`intervals`) for
robust fits and where points of one transformer size are taken to err together.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import stdtrit

from scaling.analysis.fitting import fit_law
from scaling.analysis.intervals import uncertainty
from scaling.analysis.laws import Law, fit
from scaling.analysis.objective import Name, Objective
from scaling.files import jsonable
from scaling.words import plain

Verdict = Literal["agrees", "disagrees", "cannot be told"]
Array = NDArray[np.float64]

LEVEL = 0.95
AUDIT = "scaling fit scamo --audit"


@dataclass(frozen=True, kw_only=True, slots=True)
class Number:
    """One number that the paper's points give."""

    quantity: str
    """What it is, with its unit where it has one."""
    how: str
    """Which points, and by which method."""
    value: float
    """The number."""
    low: float | None = None
    """Lower end of its 95 % interval; None for what is counted, not estimated."""
    high: float | None = None
    """Upper end."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """A statement of the paper beside what its own points give."""

    name: str
    """Short and unique, such as `eq14`."""
    topic: str
    """Heading that it stands under."""
    where: str
    """Where the paper says it."""
    says: str
    """What it says, in our words."""
    printed: tuple[str, ...] = ()
    """Its numbers, with exactly the printed digits."""
    found: tuple[Number, ...] = ()
    """What the points give; the first is what the verdict rests on."""
    finding: str
    """What that means, in a sentence or three."""
    verdict: Verdict
    """Whether the points bear the statement out."""
    command: str = AUDIT
    """What shows the number again."""

    def to_dict(self) -> dict[str, Any]:
        """Give the claim as JSON holds it."""
        return dict(jsonable(asdict(self)))


def plainly(quantity: str, how: str, value: float) -> Number:
    """Give a number that is counted or computed, not estimated."""
    return Number(quantity=quantity, how=how, value=float(value))


def judge(agrees: bool | np.bool_) -> Verdict:
    """Say it in a word."""
    return "agrees" if agrees else "disagrees"


def same_digits(value: float, printed: str) -> bool:
    """Whether a value rounds to what is printed.

    >>> same_digits(0.5752, "0.57"), same_digits(-1.06212, "-1.062")
    (False, True)
    """
    return Decimal(value).quantize(Decimal(printed)) == Decimal(printed)


def within(number: Number, value: float) -> bool:
    """Whether a value lies in the interval of a number."""
    assert number.low is not None
    assert number.high is not None
    return number.low <= value <= number.high


def written(number: Number) -> str:
    """Write a number with as many digits as its interval is worth.

    >>> written(Number(quantity="", how="", value=1.2356, low=0.995, high=1.476))
    '1.236 [0.995, 1.476]'
    """
    if number.low is None or number.high is None:
        return _counted(number.value)
    width = number.high - number.low
    if not math.isfinite(width):
        return f"{number.value:.3g} [{number.low:.3g}, {number.high:.3g}]"
    places = max(0, 2 - math.floor(math.log10(width))) if width > 0 else 4
    ends = f"[{number.low:,.{places}f}, {number.high:,.{places}f}]"
    return f"{number.value:,.{places}f} {ends}"


def _counted(value: float) -> str:
    if abs(value) >= 1e12:
        return plain(value, 4)
    whole = value == round(value) or abs(value) >= 1e4
    return f"{value:,.0f}" if whole else f"{value:.4g}"


# --- Fits -----------------------------------------------------------------------------


def slope_of(law: Law) -> str:
    """Name the first number of a law.

    >>> slope_of(fit("D(C)", "power", [1e3, 1e4], [2.0, 3.0]))
    'exponent'
    """
    return "exponent" if law.kind == "power" else f"{law.y} per decade"


def numbers(law: Law, how: str) -> tuple[Number, Number]:
    """Give slope and intercept of a line with Student's intervals."""
    low, high = law.slope_interval(LEVEL)
    half = float(stdtrit(max(law.n - 2, 1), (1 + LEVEL) / 2)) * law.intercept_se
    return (
        Number(quantity=slope_of(law), how=how, value=law.slope, low=low, high=high),
        Number(
            quantity="intercept",
            how=how,
            value=law.intercept,
            low=law.intercept - half,
            high=law.intercept + half,
        ),
    )


def refit(
    law: Law, x: ArrayLike, y: ArrayLike, how: str, by: Name, runs: ArrayLike = ()
) -> tuple[Number, Number]:
    """Fit a line by another objective, or with points that err together.

    Parameters
    ----------
    law : Law
        The line by least squares, which says of which form it is.
    x, y : array_like, shape (n,)
        The points.
    how : str
        Which points, and by which method.
    by : {"lsq", "huber", "lad"}
        The objective: Huber's has delta 1e-3, in ln y or in nats.
    runs : array_like, shape (n,), optional
        What the points belong to; those of one err together. By default to themselves.
    """
    n = len(np.asarray(x))
    owners = np.asarray(runs) if len(np.asarray(runs)) else np.arange(n)
    table = pd.DataFrame({"C": x, "L": y, "run": owners})
    objective = Objective(name=by, space="log" if law.kind == "power" else "linear")
    name = "power" if law.kind == "power" else "log"
    found = fit_law(table, name, objective=objective, rows="all")
    ends = uncertainty(found).parameters(LEVEL)
    if law.kind == "log":
        pairs = [(found.value(p), *ends[p]) for p in ("a", "b")]
    else:
        low, high = ends["alpha"]
        scale = (found.value("A"), *ends["A"])
        pairs = [(-found.value("alpha"), -high, -low), tuple(np.log10(scale).tolist())]
    return tuple(
        Number(quantity=quantity, how=how, value=value, low=low, high=high)
        for quantity, (value, low, high) in zip(
            (slope_of(law), "intercept"), pairs, strict=True
        )
    )  # type: ignore[return-value]


def quotient(x: ArrayLike, over: ArrayLike, under: ArrayLike, how: str) -> Number:
    """Divide the exponents of two power laws of the same x.

    The quotient g is where over / under^g has no trend in x, and its interval all g at
    which none can be shown: that of Fieller (J. R. Stat. Soc. B 16, 1954, 175).

    >>> x = np.geomspace(1, 1e4, 9)
    >>> round(quotient(x, x**0.75 * np.exp(np.sin(x) / 1e9), x**0.5, "x").value, 6)
    1.5
    """
    a, b = np.asarray(over, float), np.asarray(under, float)

    def trend(g: float, side: float) -> float:
        law = fit("y(x)", "power", x, a / b**g)
        student = float(stdtrit(law.n - 2, (1 + LEVEL) / 2))
        return law.slope + side * student * law.slope_se

    def root(side: float) -> float:
        return float(brentq(trend, -10, 10, args=(side,), xtol=1e-12))

    ends = {"value": root(0), "low": root(-1), "high": root(1)}
    return Number(quantity="exponent", how=f"quotient of exponents, {how}", **ends)


def per_doubling(law: Law, how: str, quantity: str) -> Number:
    """Say by what share a quantity changes when the codebook doubles."""
    ends = (law.slope, *law.slope_interval(LEVEL))
    value, low, high = (100 * (2**a - 1) for a in ends)
    return Number(quantity=quantity, how=how, value=value, low=low, high=high)
