"""What runs cost: tokens per second by size, and seconds or dollars by compute."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes

from scaling.analysis.cost_drawing import draw
from scaling.analysis.figure import Figure
from scaling.analysis.fit_drawing import short, size_order
from scaling.analysis.histories import histories
from scaling.analysis.layout import count
from scaling.analysis.table import Quantity, Records
from scaling.errors import ScalingError

HOUR = 3600.0
ON = ("device", "precision")
"""What makes a machine, besides the program."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class CostFigure(Figure):
    """Tokens per second against size, and what each run cost against its compute.

    One row per run: `D` tokens and `C` FLOPs of its own, without its trunk's, the
    `seconds` they took, `tokens_per_second`, `flops_per_second`, the `machine`, and
    `dollars` where an hour has a price.
    """

    size: str
    """Symbol of the size."""
    quantities: Mapping[str, Quantity]
    """Axis labels."""
    sizes: tuple[str, ...]
    """All sizes, smallest first: a size's colour is its place here."""

    def _draw(self, ax: Axes | None) -> Axes:
        return draw(self.table, self.quantities[self.size], self.sizes, ax)


def cost_figure(
    records: Records, stores: Sequence[Path] = (), price: float | None = None
) -> CostFigure:
    """Lay out what the runs cost.

    Parameters
    ----------
    records : Records
        With `seconds` since the start of each run, N_nv or N, D and C.
    stores : sequence of Path
        The run stores that the records came from: they hold the trunks too.
    price : float, optional
        Dollars for an hour of the machine.

    Raises
    ------
    ScalingError
        If the records hold no seconds, or the price is not positive.
    """
    if price is not None and not price > 0:
        raise ScalingError(
            f"the price of an hour is {price:g}; expected dollars, more than 0: give "
            "what an hour of the machine costs"
        )
    points = histories(records, stores)
    size = next((name for name in ("N_nv", "N") if name in points), None)
    lacking = [name for name in ("seconds", "D", "C") if name not in points]
    if lacking or size is None:
        raise ScalingError(
            f"the records hold no {(lacking or ['size of the models'])[0]}; expected "
            "seconds, tokens, FLOPs and a size for every run: pass the run store, "
            "whose logs have them, in place of its runs.csv"
        )
    table = _costs(points, size)
    if price is not None:
        table = table.assign(dollars=table["seconds"] / HOUR * price)
    return CostFigure(
        name="cost",
        title="Throughput by size, and what each run cost",
        caption=" ".join(_sentences(table, price, shared=_branches(points))),
        table=table,
        size=size,
        quantities=records.quantities,
        sizes=size_order(points),
    )


# --- The table ----------------------------------------------------------------------


def _costs(points: pd.DataFrame, size: str) -> pd.DataFrame:
    """Give what each run did and took of its own: its end, less where it began."""
    ends = points.dropna(subset=["seconds", "D", "C"]).groupby("run").tail(1)
    ends = ends[ends["seconds"] > 0].set_index("run")
    if ends.empty:
        raise ScalingError(
            "no run has seconds; expected the time that each had trained: pass the "
            "run store, whose logs have it"
        )
    before = pd.DataFrame(0.0, index=ends.index, columns=["D", "C"])
    if "parent" in ends:
        last = ends[["D", "C"]]
        before = last.reindex(ends["parent"]).fillna(0.0).set_axis(ends.index)
    own = ends[["D", "C"]] - before
    held = [name for name in ("size", size, "V") if name in ends]
    table = ends[held].assign(D=own["D"], C=own["C"], seconds=ends["seconds"])
    table = table[table["D"] > 0]
    return table.assign(
        tokens_per_second=table["D"] / table["seconds"],
        flops_per_second=table["C"] / table["seconds"],
        machine=_machines(ends).loc[table.index],
    ).reset_index()


def _branches(points: pd.DataFrame) -> bool:
    return "parent" in points and bool(points["parent"].isin(points["run"]).any())


def _machines(ends: pd.DataFrame) -> pd.Series[str]:
    """Name what each run ran on, with its precision."""
    held = [name for name in ON if name in ends]
    rows = ends[held].fillna("").astype(str).to_numpy()
    names = [", ".join(filter(None, row)) for row in rows]
    return pd.Series(names, index=ends.index, dtype=object)


# --- The caption --------------------------------------------------------------------


def _sentences(
    table: pd.DataFrame, price: float | None, *, shared: bool
) -> Iterator[str]:
    machines = sorted(set(table["machine"]) - {""})
    hours = table["seconds"].sum() / HOUR
    total = f"{hours:,.1f} hours" if hours >= 1 else f"{60 * hours:.1f} minutes"
    yield (
        "How fast each size trained (left), and what each run cost against its compute "
        f"(right): {count(len(table), 'run')}"
        f"{' on ' + ' and '.join(machines) if machines else ''}, evaluations included, "
        f"{total} in all."
    )
    if shared:
        yield "Of a branch, only the part that it does not share with its trunk counts."
    if price is not None:
        yield (
            f"At ${price:g} an hour they cost ${table['dollars'].sum():,.2f} in all."
        )
    low, high = table["flops_per_second"].quantile([0.05, 0.95])
    yield (
        f"Dotted: FLOPs per second of the compute as it is counted; 90 % of the runs "
        f"lie between {short(low)} and {short(high)}."
    )
