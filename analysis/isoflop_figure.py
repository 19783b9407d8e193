"""IsoFLOP profiles, loss against size at equal compute, and the laws of their minima.

Runs that were not made at equal compute are read at budgets between their evaluations.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from scipy.special import stdtrit

from scaling.analysis.approaches import profile_rows, size_profiled
from scaling.analysis.figure import Figure
from scaling.analysis.fit_drawing import short
from scaling.analysis.isoflop import IsoFlop, isoflop
from scaling.analysis.isoflop_drawing import draw
from scaling.analysis.laws import Law
from scaling.analysis.layout import count
from scaling.analysis.prediction import LEVEL
from scaling.analysis.table import Quantity, Records
from scaling.errors import ScalingError

COEFFICIENTS = 3
"""Of a parabola."""
PERCENT = f"{100 * LEVEL:g} %"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class IsoFlopFigure(Figure):
    """Profiles with their minima, and beside them the minima against compute.

    The table's `kind` is `run`; `minimum`, with its curvature, the interval of the size
    (`low`, `high`) and the near-optimal sizes (`near_low`, `near_high`); or `refused`,
    at the lowest run of a profile that has no minimum, with the `reason`.
    """

    size: str
    """Symbol of the size."""
    quantities: Mapping[str, Quantity]
    """Axis labels."""
    laws: Mapping[str, Law]
    """Laws of the minima, such as `N(C)`."""

    def _draw(self, ax: Axes | None) -> Axes:
        return draw(self.table, self.size, self.quantities, self.laws, ax)


def isoflop_figure(records: Records) -> IsoFlopFigure:
    """Profile the budgets of a study.

    Parameters
    ----------
    records : Records
        With compute, and N; or N_nv, which takes its place where codebooks differ.

    Raises
    ------
    ScalingError
        If there is no size, no two runs of equal compute, and no curves to read, or if
        no budget has three sizes.
    """
    points = records.points()
    size = _size(points)
    rows, how = profile_rows(points, size)
    found = isoflop(rows, size)
    if max(profile.n for profile in found.profiles) < COEFFICIENTS:
        most = max(profile.n for profile in found.profiles)
        raise ScalingError(
            f"no budget has runs of more than {count(most, 'size')}; expected "
            f"{COEFFICIENTS} or more, which a parabola needs: train other sizes there"
        )
    return IsoFlopFigure(
        name="isoflop",
        title="Loss against size at equal compute, and the best sizes",
        caption=" ".join(_sentences(found, how, records.quantities["L_u"])),
        table=_table(rows, found),
        size=size,
        quantities=records.quantities,
        laws=found.laws,
    )


# --- The table ----------------------------------------------------------------------


def _size(points: pd.DataFrame) -> str:
    size = size_profiled(points)
    if size is None or "C" not in points:
        raise ScalingError(
            "needs compute and the size of the models, which the records do not hold: "
            "name the column with --columns N=COLUMN"
        )
    return size


def _table(rows: pd.DataFrame, found: IsoFlop) -> pd.DataFrame:
    size = found.size
    lowest = rows.sort_values("L_u", kind="stable").drop_duplicates(["C", size])
    several = {profile.C for profile in found.profiles if profile.n > 1}
    held = [name for name in ("C", size, "L_u", "D", "V") if name in lowest]
    runs = lowest.loc[lowest["C"].isin(several), held].sort_values(["C", size])
    runs = runs.assign(kind="run")
    marks = [_mark(asdict(p), runs, size) for p in found.profiles if p.C in several]
    return pd.concat([runs, pd.DataFrame(marks)], ignore_index=True)


def _mark(profile: dict[str, Any], runs: pd.DataFrame, size: str) -> dict[str, Any]:
    if profile["reason"]:
        of = runs[runs["C"] == profile["C"]]
        best = of.loc[of["L_u"].idxmin()]
        at = {"C": profile["C"], size: best[size], "L_u": best["L_u"]}
        return {"kind": "refused", **at, "reason": profile["reason"]}
    degrees = profile["n"] - COEFFICIENTS
    reach = np.nan
    if degrees > 0:
        reach = float(stdtrit(degrees, (1 + LEVEL) / 2)) * profile["size_se"]
    return {
        "C": profile["C"],
        "kind": "minimum",
        size: profile["size"],
        "L_u": profile["loss"],
        "D": profile["D"],
        "low": profile["size"] * np.exp(-reach),
        "high": profile["size"] * np.exp(reach),
        "near_low": profile["low"],
        "near_high": profile["high"],
        "curvature": profile["curvature"],
    }


# --- The caption --------------------------------------------------------------------


def _sentences(found: IsoFlop, how: str, loss: Quantity) -> Iterator[str]:
    size, used = found.size, found.used
    drawn = sum(profile.n > 1 for profile in found.profiles)
    yield (
        f"Loss {loss.shown} against {size}, a curve for each of "
        f"{count(drawn, 'budget')} of compute: its lowest point is the best size."
    )
    if size == "N_nv":
        yield "Each size has the best of its codebooks with a run as long as that."
    if how:
        yield how[0].upper() + how[1:] + "."
    if len(found.profiles) > drawn:
        lone = count(len(found.profiles) - drawn, "budget")
        yield f"Not drawn: {lone} with runs of one size only."
    if used:
        which = "all of them" if len(used) == drawn else f"{len(used)} of them"
        yield (
            f"A parabola in ln {size} has a minimum inside the sizes tried at {which}: "
            f"filled diamonds, with the {PERCENT} interval of the best {size} "
            "(Student's t, delta method) where the runs leave one; thick: sizes at "
            f"most {found.band:g} nats above the minimum."
        )
    for reason, budgets in _refused(found).items():
        yield f"Hollow, no minimum at {', '.join(budgets)} FLOPs: {reason}."
    for law in found.laws.values():
        if law.n > 2:
            yield (
                f"Best {law.formula()}, least squares on n = {law.n} minima; shaded "
                f"its {PERCENT} interval."
            )
        else:
            yield f"Best {law.y} ~ C^{law.slope:.2f} joins two minima, without errors."
    if not found.laws:
        yield "Fewer than two budgets have a minimum, so that there is no law of them."


def _refused(found: IsoFlop) -> dict[str, list[str]]:
    """Give the budgets that have no minimum, by reason."""
    by_reason: dict[str, list[str]] = {}
    for profile in found.profiles:
        if profile.reason and profile.n > 1:
            by_reason.setdefault(profile.reason, []).append(short(profile.C))
    return by_reason
