"""Compute-optimal sizes from isoFLOP profiles: Approach 2 of Hoffmann et al.

Runs of equal compute C and different size N trace a profile of loss against ln N, whose
minimum N*(C) is the optimal size at that compute (arXiv 2203.15556, section 3.2). The
minima over several budgets make the power laws N*(C) and D*(C). A budget whose minimum
the sizes tried do not bracket is named with its reason and takes no part in the laws.

The profile is fitted by a parabola, a cubic, or Akima's curve as in Porian et al.
(arXiv 2406.19146): see `minimum`. The parabola is biased by construction: see
`parabola`. The loss may have any sign; nothing here takes its logarithm.

Near-optimal are the sizes whose fitted loss is at most 0.01 nats per token above the
minimum. The band is a difference and not a percentage, because a normalised loss has no
zero of its own: 0.5 % of it would depend on the unigram entropy of the data.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from scaling.analysis.laws import Law, fit
from scaling.analysis.minimum import Method, lowest_per_x, minimum
from scaling.errors import ScalingError

Array = NDArray[np.float64]

TOLERANCE = 0.1
"""Largest relative spread of compute within one budget."""
BAND = 0.01
"""Loss above the minimum, in nats per token, that counts as near-optimal."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Profile:
    """The profile of one compute budget: its minimum, or why it has none."""

    C: float
    """Compute in FLOPs: the median of the budget's rows."""
    size: float
    """N*, the size of lowest fitted loss; NaN, as all that follows, where refused."""
    size_se: float
    """Standard error of ln N*: near enough a relative error of N*. NaN for Akima's
    curve, and where there are as many sizes as coefficients."""
    D: float
    """Tokens of a run of size N* at this compute; NaN where the table has none."""
    loss: float
    """Fitted loss at N*, in nats per token."""
    curvature: float
    """Second derivative of the loss by ln N, at N*."""
    low: float
    """Smallest near-optimal size."""
    high: float
    """Largest near-optimal size; both are among the range of sizes tried."""
    n: int
    """Number of distinct sizes."""
    sizes: tuple[float, ...]
    """The sizes tried."""
    reason: str
    """Why there is no minimum; empty where there is."""


@dataclass(frozen=True, kw_only=True, slots=True)
class IsoFlop:
    """The profiles of all budgets, and the laws of their minima."""

    size: str
    """Symbol of the size that was optimised: N, N_nv, N_v or V."""
    method: Method
    """Curve that was fitted to each profile."""
    band: float
    """Loss above the minimum that counts as near-optimal, in nats per token."""
    profiles: tuple[Profile, ...]
    """One per budget, by increasing compute."""
    laws: Mapping[str, Law]
    """`N(C)`, with the symbol of the size, and `D(C)` where the table has D; empty
    where fewer than two budgets have a minimum."""

    @property
    def used(self) -> tuple[Profile, ...]:
        """The profiles with a minimum."""
        return tuple(profile for profile in self.profiles if not profile.reason)

    @property
    def refused(self) -> dict[float, str]:
        """Why the other budgets have no minimum, by compute."""
        return {each.C: each.reason for each in self.profiles if each.reason}

    def to_frame(self) -> pd.DataFrame:
        """Give the profiles as a table, one row per budget, the size by its symbol."""
        frame = pd.DataFrame([asdict(profile) for profile in self.profiles])
        names = {"size": self.size, "size_se": f"ln_{self.size}_se"}
        return frame.drop(columns="sizes").rename(columns=names)


def isoflop(
    table: pd.DataFrame,
    size: str = "N_nv",
    *,
    method: Method = "parabola",
    tolerance: float = TOLERANCE,
    band: float = BAND,
    weighted: bool = False,
) -> IsoFlop:
    """Find the optimal size at each compute budget, and its law.

    Parameters
    ----------
    table : DataFrame
        One row per run: `C` in FLOPs, the size, `L_u` in nats per token, and `D` in
        tokens if there. Rows without compute, size or loss are left out. Of rows with
        the same size and budget the lowest loss counts: the optimum over whatever
        else differs, such as the codebook. Average seeds before.
    size : str
        Column of the size: `N`, `N_nv`, `N_v` or `V`.
    method : {"parabola", "cubic", "akima"}
        Curve to fit.
    tolerance : float
        Largest relative spread of compute within a budget.
    band : float
        Loss above the minimum that counts as near-optimal, in nats per token.
    weighted : bool
        Whether a budget counts in the laws by 1 / se^2 of its ln N*.

    Raises
    ------
    ScalingError
        If a column is missing, compute or size is not positive, compute does not fall
        into groups, or weights are wanted of minima without standard errors.
    """
    rows = _checked(table, size)
    groups = rows.assign(C=budgets(rows["C"], tolerance)).groupby("C")
    profiles = tuple(_profile(group, size, method, band) for _, group in groups)
    used = [profile for profile in profiles if not profile.reason]
    return IsoFlop(
        size=size,
        method=method,
        band=band,
        profiles=profiles,
        laws=_laws(size, used, _weights(used, method) if weighted else None),
    )


def budgets(C: ArrayLike, tolerance: float = TOLERANCE) -> Array:
    """Give each run the compute budget it belongs to, in FLOPs.

    A gap of more than the tolerance separates two budgets; a budget's compute is its
    median.

    Raises
    ------
    ScalingError
        If what lies between two gaps is wider than the tolerance, or if no budget has
        two runs: then the runs were not made at equal compute.

    >>> budgets([1.00e18, 3.0e18, 1.02e18, 1.01e18])
    array([1.01e+18, 3.00e+18, 1.01e+18, 1.01e+18])
    """
    C = np.asarray(C, float)
    ordered = np.sort(C)
    gap = ordered[1:] > (1 + tolerance) * ordered[:-1]
    group = np.searchsorted(ordered[1:][gap], C, side="right")
    by_group = pd.Series(C).groupby(group)
    spread = by_group.max() / by_group.min() - 1
    if len(C) == 0 or spread.max() > tolerance or by_group.size().max() < 2:
        raise ScalingError(
            f"the compute of {len(C)} runs does not fall into budgets (groups of 2 or "
            f"more runs within {tolerance:.0%} of each other, and gaps between the "
            "groups): pass isoFLOP runs, read training curves at fixed budgets with "
            "`slices`, or choose another tolerance"
        )
    return np.asarray(by_group.transform("median"))


def slices(points: pd.DataFrame, at: Sequence[float]) -> pd.DataFrame:
    """Read training curves at given compute budgets, between their evaluations.

    Loss is linear in ln C between two evaluations, and ln D too; nothing is
    extrapolated. A point along a curve has not had its learning rate lowered as a run
    of that budget would have, unless the schedule is one that can be cut.

    Parameters
    ----------
    points : DataFrame
        One row per evaluation: `run`, `C`, `L_u`, and `D` if there. Other columns are
        those of the run's first evaluation.
    at : sequence of float
        Budgets in FLOPs.

    Returns
    -------
    DataFrame
        One row per run and budget that its evaluations span.
    """
    require(points, ("run", "C", "L_u"))
    wanted = np.sort(np.asarray(at, float))
    parts = []
    for _, run in points.dropna(subset="C").sort_values("C").groupby("run"):
        C = run["C"].to_numpy(float)
        inside = wanted[(wanted >= C[0]) & (wanted <= C[-1])]
        t, known = np.log(inside), np.log(C)
        part = run.iloc[np.zeros(len(inside), int)].assign(
            C=inside, L_u=np.interp(t, known, run["L_u"])
        )
        if "D" in run:
            part["D"] = np.exp(np.interp(t, known, np.log(run["D"])))
        parts.append(part)
    found = pd.concat(parts) if parts else points.iloc[:0]
    return found.sort_values(["C", "run"], kind="stable").reset_index(drop=True)


def _profile(rows: pd.DataFrame, size: str, method: Method, band: float) -> Profile:
    x, loss = np.log(rows[size].to_numpy()), rows["L_u"].to_numpy()
    found = minimum(x, loss, method, band)
    return Profile(
        C=float(rows["C"].iloc[0]),
        size=math.exp(found.x),
        size_se=found.se,
        D=_tokens(rows, x, found.x),
        loss=found.y,
        curvature=found.curvature,
        low=math.exp(found.low),
        high=math.exp(found.high),
        n=found.n,
        sizes=tuple(np.unique(rows[size]).tolist()),
        reason=found.reason,
    )


def _tokens(rows: pd.DataFrame, x: Array, best: float) -> float:
    """Interpolate ln D in ln N: exact where C is a multiple of N D."""
    if "D" not in rows:
        return math.nan
    return math.exp(np.interp(best, *lowest_per_x(x, np.log(rows["D"].to_numpy()))))


def _laws(size: str, used: list[Profile], weights: Array | None) -> dict[str, Law]:
    if len(used) < 2:
        return {}
    C = [profile.C for profile in used]
    minima = {size: [each.size for each in used], "D": [each.D for each in used]}
    return {
        f"{symbol}(C)": fit(f"{symbol}(C)", "power", C, values, weights=weights)
        for symbol, values in minima.items()
        if not np.isnan(values).any()
    }


def _weights(used: list[Profile], method: Method) -> Array:
    se = np.array([profile.size_se for profile in used])
    if not (se > 0).all():
        raise ScalingError(
            f"{np.sum(~(se > 0))} of {len(se)} minima of the {method} have no standard "
            "error to weight them by; expected one each: fit a parabola or cubic to "
            "more sizes than it has coefficients, or do not weight"
        )
    return np.asarray(se**-2.0)


def _checked(table: pd.DataFrame, size: str) -> pd.DataFrame:
    columns = ["C", size, "L_u"] + ["D"] * ("D" in table)
    require(table, columns)
    rows = table[columns].astype(float).dropna(subset=["C", size, "L_u"])
    for column in (name for name in columns if name != "L_u"):
        wrong = rows[column][rows[column] <= 0]
        if len(wrong):
            raise ScalingError(
                f"{column} is {wrong.iloc[0]:g} in {len(wrong)} rows; expected "
                "positive numbers: correct or drop these rows"
            )
    return rows


def require(table: pd.DataFrame, columns: Sequence[str]) -> None:
    """Refuse a table that lacks a column."""
    missing = [column for column in columns if column not in table]
    if missing:
        raise ScalingError(
            f"the table has no column {missing[0]!r}; it has: "
            f"{', '.join(map(str, table.columns))}. Rename the column that holds it"
        )
