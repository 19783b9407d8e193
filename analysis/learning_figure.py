"""Learning curves: test loss against tokens, trunks with the branches that leave them.

Where all runs come from stores, their configs tell the learning rate along each, and at
which point of its trunk a branch begins.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from scaling.analysis.figure import Figure
from scaling.analysis.fit_drawing import size_order
from scaling.analysis.histories import histories, told
from scaling.analysis.layout import count
from scaling.analysis.learning_drawing import MOST_COLUMNS, draw
from scaling.analysis.table import Quantity, Records
from scaling.errors import ScalingError
from scaling.record import TRUTHS, Row

Array = NDArray[np.float64]

MOST_RUNS = 60
"""Runs up to which all are drawn alike."""
KNOTS = 33
"""Points of a curve of learning rates."""
LEAST = 1e-3
"""Share of the largest D from which learning rates are drawn."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class LearningFigure(Figure):
    """Loss, and below it the learning rate, against D; a column per codebook.

    The table's `kind` is `loss`, whose `part` is `run`, `trunk` or `branch`, and whose
    `end` is `lost` where a run diverged, else `last` where it ended; or `rate`. A
    branch's first point is its trunk's. `thin` are runs that others outdo.
    """

    quantities: Mapping[str, Quantity]
    """Axis labels."""
    sizes: tuple[str, ...]
    """All sizes, smallest first: a size's colour is its place here."""

    def _draw(self, ax: Axes | None) -> Axes:
        return draw(self.table, self.quantities, self.sizes, ax)


def learning_figure(records: Records, stores: Sequence[Path] = ()) -> LearningFigure:
    """Lay out the learning curves of the runs.

    Parameters
    ----------
    records : Records
        With D.
    stores : sequence of Path
        The run stores that the records came from: they hold the trunks too.

    Raises
    ------
    ScalingError
        If the records hold no D, or every run has one evaluation and no trunk.
    """
    if "D" not in records.quantities:
        raise ScalingError(
            "needs D, which the records do not hold: name the column with --columns "
            "D=COLUMN"
        )
    known = told(records, stores)
    points = histories(records, stores).dropna(subset=["D", "L_u"])
    lines = pd.concat(list(_lines(points, known)), ignore_index=True)
    if lines.groupby("run").size().max() < 2:
        raise ScalingError(
            "every run has one evaluation, which makes no curve; expected several: "
            "name the column that tells runs apart with --columns run=COLUMN, or "
            "train with more evaluations"
        )
    lines = lines.assign(thin=_thin(lines))
    room = "V" not in lines or lines["V"].nunique() <= MOST_COLUMNS
    found = _rates(lines, known) if room else ()
    rates = [rate.assign(kind="rate") for rate in found]
    loss = records.quantities["L_u"]
    return LearningFigure(
        name="learning",
        title="Learning curves: test loss against tokens",
        caption=" ".join(_sentences(lines, known, loss, bool(rates))),
        table=pd.concat([lines.assign(kind="loss"), *rates], ignore_index=True),
        quantities=records.quantities,
        sizes=size_order(points),
    )


# --- The table ----------------------------------------------------------------------


def _lines(points: pd.DataFrame, known: Mapping[str, Row]) -> Iterator[pd.DataFrame]:
    """Give each run's points, after the point of its trunk that it leaves from."""
    held = [name for name in ("size", "V", "D", "L_u") if name in points]
    runs = {str(run): rows for run, rows in points.groupby("run", sort=True)}
    for run, rows in runs.items():
        lost = "status" in rows and "diverged" in str(rows["status"].iloc[-1]).lower()
        part = _part(rows, known.get(run))
        line = rows[held].assign(run=run, part=part, end="")
        if lost or part != "trunk":
            line.loc[line.index[-1], "end"] = "lost" if lost else "last"
        trunk = runs.get(str(rows["parent"].iloc[0])) if "parent" in rows else None
        if trunk is not None:
            left = trunk[held].iloc[-1:].assign(run=run, part=part, end="")
            line = pd.concat([left, line])
        yield line


def _part(rows: pd.DataFrame, known: Row | None) -> str:
    if "schedule" not in rows or rows["schedule"].iloc[0] != "wsd":
        return "run"
    if known:
        return "branch" if known["cools"] else "trunk"
    says = rows["cooled"].astype(str).str.lower() if "cooled" in rows else "true"
    return "branch" if pd.Series(says).map(TRUTHS).eq(1).any() else "trunk"


def _thin(lines: pd.DataFrame) -> pd.Series[bool]:
    """Mark the runs that others of their size and codebook outdo, where many are."""
    ends = lines[lines["end"] != ""]
    if len(ends) <= MOST_RUNS:
        return pd.Series(False, index=lines.index)
    by = [name for name in ("size", "V") if name in lines]
    best = ends.sort_values("L_u", kind="stable").drop_duplicates(by)["run"]
    return ~lines["run"].isin(best) & (lines["part"] != "trunk")


def _rates(lines: pd.DataFrame, known: Mapping[str, Row]) -> Iterator[pd.DataFrame]:
    """Give the learning rate along each run, equal ones once."""
    least = LEAST * lines["D"].max()
    seen = set()
    for run, rows in lines.groupby("run", sort=True):
        about = known.get(str(run), {})
        if about.get("schedule") not in SCHEDULES or not about["peak"] > 0:
            continue
        budget = about["tokens"] if about["tokens"] > 0 else rows["D"].iloc[-1]
        head = {name: rows[name].iloc[0] for name in ("size", "V") if name in rows}
        alike = (*head.values(), about["schedule"], about["start"], about["cools"])
        if (*alike, round(budget, -2)) in seen:
            continue
        seen.add((*alike, round(budget, -2)))
        D = np.geomspace(max(about["start"], least), budget, KNOTS)
        rate = SCHEDULES[about["schedule"]](D, budget, about)
        part = rows["part"].iloc[0]
        yield pd.DataFrame({**head, "run": run, "part": part, "D": D, "rate": rate})


# --- Learning rates -----------------------------------------------------------------
# As `scaling.runs.schedules` has them by steps, which need torch: here by tokens.


def _cosine(D: Array, budget: float, about: Row) -> Array:
    warmup = about["warmup"] * (budget if about["warmup"] <= 1 else 1)
    done = np.clip((D - warmup) / (budget - warmup), 0, 1)
    falling = 0.5 * (1 + np.cos(np.pi * done))
    return np.asarray(
        about["peak"] * np.where(warmup > D, D / max(warmup, 1.0), falling)
    )


def _stable_decay(D: Array, budget: float, about: Row) -> Array:
    rising = np.minimum(D / max(about["warmup"], 1.0), 1)
    if not about["cools"]:
        return np.asarray(about["peak"] * rising)
    start = about["start"]
    done = np.clip((D - start) / (budget - start), 0, 1)
    return np.asarray(about["peak"] * rising * (1 - np.sqrt(done)))


SCHEDULES = {"cosine": _cosine, "wsd": _stable_decay}


# --- The caption --------------------------------------------------------------------


def _sentences(
    lines: pd.DataFrame, known: Mapping[str, Row], loss: Quantity, rates: bool
) -> Iterator[str]:
    ends = lines[lines["end"] != ""]
    parts = lines.groupby("part")["run"].nunique()
    yield (
        f"How the test loss {loss.shown} fell as {count(len(ends), 'run')} trained, "
        "against tokens D, coloured by transformer size; a curve that turns up is "
        "overfitting."
    )
    if "trunk" in parts:
        yield (
            "Solid: trunks, at a constant learning rate; dashed: branches, whose "
            "learning rate falls to zero, drawn from the point where each leaves its "
            "trunk."
        )
    if lines["thin"].any():
        yield "Thick: the best run of each size and codebook."
    lost = int((ends["end"] == "lost").sum())
    if lost:
        yield f"Crosses: {count(lost, 'run')} that diverged, at the last evaluation."
    unseen = [run for run in known if run not in set(lines["run"])]
    diverged = sum("diverged" in known[run]["status"] for run in unseen)
    if diverged:
        yield f"Not shown: {count(diverged, 'run')} that diverged before it was seen."
    if rates:
        yield "Below, the learning rate, as the runs' configurations say."
