"""The best codebook of each transformer size, from the compute that a loss takes.

Of the codebooks V tried with a transformer of N_nv parameters, each training curve
reaches a given loss at some compute C. Where ln C as a function of ln V is lowest, the
FLOPs for that loss are stationary. Tao et al. (arXiv 2407.13623, Approach 2) derive it
from the tokens per character alone; here it is measured. So it holds whether or not the
tokens per unit of data depend on V: for motion and other tokenizers of fixed rate too.

The minima over several sizes make the law N_v(N_nv).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from scaling.analysis.envelope import envelope
from scaling.analysis.isoflop import require
from scaling.analysis.laws import Law, fit
from scaling.analysis.minimum import Method, minimum

BAND = 0.01
"""Rise of ln C above its minimum that counts as near-optimal: 1 % more compute."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BestCodebook:
    """One transformer size: the codebook that reaches a loss with the least compute."""

    N_nv: float
    """Non-vocabulary parameters."""
    loss: float
    """Loss to be reached, in nats per token."""
    V: float
    """The best codebook size; NaN, as all that follows, where refused."""
    V_se: float
    """Standard error of ln V; NaN for Akima's curve."""
    N_v: float
    """Its vocabulary parameters, V d."""
    C: float
    """FLOPs at which it reaches the loss."""
    low: float
    """Smallest codebook within the band."""
    high: float
    """Largest codebook within the band."""
    n: int
    """Number of codebooks that reach the loss."""
    reason: str
    """Why there is no minimum; empty where there is."""


@dataclass(frozen=True, kw_only=True, slots=True)
class IsoLoss:
    """The best codebooks of all sizes, and their law."""

    best: tuple[BestCodebook, ...]
    """One per size, by increasing N_nv."""
    law: Law | None
    """`N_v(N_nv)`; None where fewer than two sizes have a minimum."""

    def to_frame(self) -> pd.DataFrame:
        """Give the best codebooks as a table, one row per size."""
        return pd.DataFrame([asdict(each) for each in self.best])


def isoloss(
    points: pd.DataFrame,
    *,
    loss: float | None = None,
    method: Method = "parabola",
    band: float = BAND,
) -> IsoLoss:
    """Find, for each transformer size, the V that needs the fewest FLOPs for a loss.

    Parameters
    ----------
    points : DataFrame
        One row per evaluation: `C` in FLOPs, `N_nv`, `V`, `N_v`, `L_u`. All evaluations
        of one size and codebook are one training curve; between two of them ln C is
        linear in the loss.
    loss : float, optional
        Loss to reach. By default, for each size, the lowest that all its codebooks
        reach, so that nothing is extrapolated.
    method : {"parabola", "cubic", "akima"}
        Curve of ln C against ln V.
    band : float
        Rise of ln C above the minimum that counts as near-optimal.

    Raises
    ------
    ScalingError
        If a column is missing. A size without a minimum is named with its reason.
    """
    require(points, ("C", "N_nv", "V", "N_v", "L_u"))
    best = tuple(
        _best(rows, loss, method, band)
        for _, rows in points.dropna(subset=["C", "L_u"]).groupby("N_nv")
    )
    used = [each for each in best if not each.reason]
    law = None
    if len(used) > 1:
        x, y = [each.N_nv for each in used], [each.N_v for each in used]
        law = fit("N_v(N_nv)", "power", x, y)
    return IsoLoss(best=best, law=law)


def _best(
    rows: pd.DataFrame, loss: float | None, method: Method, band: float
) -> BestCodebook:
    curves = [curve for _, curve in rows.groupby("V")]
    level = max(curve["L_u"].min() for curve in curves) if loss is None else loss
    log_C = np.array([_log_compute(curve, level) for curve in curves])
    t = np.log([curve["V"].iloc[0] for curve in curves])
    width = float((rows["N_v"] / rows["V"]).median())
    reached = np.isfinite(log_C)
    found = minimum(t[reached], log_C[reached], method, band)
    V = math.exp(found.x)
    return BestCodebook(
        N_nv=float(rows["N_nv"].iloc[0]),
        loss=float(level),
        V=V,
        V_se=found.se,
        N_v=V * width,
        C=math.exp(found.y),
        low=math.exp(found.low),
        high=math.exp(found.high),
        n=found.n,
        reason=found.reason,
    )


def _log_compute(curve: pd.DataFrame, level: float) -> float:
    """Give ln C at which a curve first reaches a loss; NaN if never, or from its start.

    What counts is the lowest loss so far, which falls from one record to the next.
    """
    records = envelope(curve.assign(run=""), same=0)
    fallen = -records["L_u"].to_numpy()
    t = np.log(records["C"].to_numpy(float))
    return float(np.interp(-level, fallen, t, left=math.nan, right=math.nan))
