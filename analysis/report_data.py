"""What the report's script reads: the runs, and the outlook over compute.

All numbers are rounded to `DIGITS` significant digits; the file that the page offers
for download has them in full.
"""

from __future__ import annotations

import gzip
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.colors import to_hex

from scaling.analysis.material import Material
from scaling.analysis.outlook import fitted_range, symbols
from scaling.analysis.prediction import LEVEL, Prediction, with_compute
from scaling.analysis.report_figures import data_uri
from scaling.analysis.table import OWN_RUN, SYMBOLS, Quantity, Records
from scaling.analysis.verdict import meanings_of
from scaling.errors import ScalingError
from scaling.record import COLUMNS

DIGITS = 6
MOST_RUNS = 4000
"""Runs that a page lists; of more, some all along compute and the best."""
MOST_POINTS = 12_000
"""Evaluations that a page draws; with more, each run is one point."""
PLAIN_CSV, MOST_CSV = 120_000, 250_000
"""Bytes up to which the table is offered as it is; compressed; at all."""
SHOWN = ("L_u", "C", "size", "V", "N_nv", "N_v", "D", "epochs", "N")
"""Columns of the runs beside their names; those that there are."""


NAME = re.compile(r"\d+x\d+x\d+-v\d+-d\d+-s\d+\b")
NAMING = (
    "A name says how a run was made: 3x4x96-v256-d120000-s0 has 3 layers, 4 heads and "
    "width 96, a codebook of nominally V = 256 codes, 120,000 tokens to train on, and "
    "seed 0; what follows is a hash of all its settings."
)
"""How runs are named, where the toolkit named them."""


# --- Runs ---------------------------------------------------------------------------


def evaluations(material: Material) -> pd.DataFrame:
    """Give what the laws stand on, as `Records.points` does: one row an evaluation.

    A file of laws holds the best of each run, or the rows of its one law.
    """
    if material.loaded is None:
        return _with_epochs(material.records)
    if material.loaded.study is not None:
        return material.loaded.study.minima
    assert material.loaded.fit is not None
    rows = with_compute(material.loaded.fit)
    return rows.assign(run=rows["run"].astype(str)) if "run" in rows else rows


def _with_epochs(records: Records) -> pd.DataFrame:
    """Give the points, and how often each run had seen its data where that is known."""
    points, frame = records.points(), records.frame
    if "epochs" not in frame:
        return points
    epochs = pd.to_numeric(frame["epochs"], errors="coerce").to_numpy()
    return points.assign(epochs=epochs) if np.isfinite(epochs).any() else points


def loss_quantity(material: Material) -> Quantity:
    """Name the loss as the records at hand hold it."""
    if material.loaded is None:
        return material.records.quantities["L_u"]
    if material.loaded.study is not None:
        return material.loaded.study.quantities["L_u"]
    normalised = material.uncertain.fit.sample.loss_symbol == "L_u"
    return Quantity.of("L_u", "normalised_loss" if normalised else "loss")


def best_of_runs(points: pd.DataFrame) -> pd.DataFrame:
    """Give each run's best evaluation, in order of compute."""
    if "run" not in points:
        points = points.assign(run=[f"row {k + 1}" for k in range(len(points))])
    best = points.loc[points.groupby("run", sort=False)["L_u"].idxmin()]
    order = [name for name in ("C", "L_u") if name in best]
    return best.sort_values(order, kind="stable").reset_index(drop=True)


def thinned(best: pd.DataFrame, most: int = MOST_RUNS) -> pd.DataFrame:
    """Keep at most so many runs: those of the envelope, the others evenly in compute.

    Parameters
    ----------
    best : DataFrame
        In order of compute.
    most : int
        How many stay, about.
    """
    if len(best) <= most:
        return best
    on_envelope = best["L_u"] <= best["L_u"].cummin()
    even = np.linspace(0, len(best) - 1, most).round().astype(int)
    kept = np.union1d(even, np.flatnonzero(on_envelope))
    return best.iloc[kept].reset_index(drop=True)


def runs_json(material: Material) -> dict[str, Any]:
    """Give the runs as the script reads them."""
    points = evaluations(material)
    best = best_of_runs(points)
    shown = thinned(best)
    held = [name for name in SHOWN if name in shown]
    held = [name for name in held if name != "size" or (shown[name] != "").any()]
    names = ["run", *held]
    quantity = loss_quantity(material)
    return {
        "columns": names,
        "shown": {"L_u": quantity.shown},
        "labels": _labels(material, names),
        "rows": [list(map(_cell, row)) for row in zip(*(shown[n] for n in names))],  # noqa: B905
        "curves": _curves(points, shown),
        "naming": NAMING if shown["run"].str.match(NAME).any() else "",
        "runs": len(best),
        "evaluations": len(points),
        "palettes": {"size": _stops("crest", 0.32), "V": _stops("flare", 0.24)},
    }


def _labels(material: Material, names: Iterable[str]) -> dict[str, str]:
    """Say in words what the columns are, as axis labels do."""
    by_symbol = {c.symbol: c.label for c in COLUMNS.values() if c.symbol}
    labels = {"run": "Run", "size": "Transformer size", **by_symbol}
    labels |= {"V": COLUMNS["codebook_size"].label, "epochs": COLUMNS["epochs"].label}
    if material.loaded is None:
        held = material.records.quantities
        labels |= {symbol: quantity.label for symbol, quantity in held.items()}
    labels["L_u"] = loss_quantity(material).label
    return {name: labels[name] for name in names}


def _curves(points: pd.DataFrame, shown: pd.DataFrame) -> list[Any] | None:
    """Give each run's evaluations, [C, loss] by compute, where there is room."""
    if "C" not in points or "run" not in points or len(points) == len(shown):
        return None
    if len(points) > MOST_POINTS:
        return None
    ordered = points.sort_values("C", kind="stable")
    by_run = {
        run: [list(map(_cell, pair)) for pair in zip(g["C"], g["L_u"], strict=True)]
        for run, g in ordered.groupby("run", sort=False)
    }
    return [by_run[run] for run in shown["run"]]


def _stops(palette: str, start: float) -> list[str]:
    """Sample the palettes of the figures, to be interpolated by the script."""
    colours = sns.color_palette(palette, as_cmap=True)
    return [to_hex(colours(place)) for place in np.linspace(start, 1, 9)]


def _cell(value: Any) -> Any:
    """Round a number; give null for what is not finite, text as it is.

    >>> [_cell(x) for x in (1234567.0, 2 / 3, float("nan"), "a")]
    [1234567, 0.666667, None, 'a']
    """
    if isinstance(value, str):
        return value
    value = float(value)
    if not math.isfinite(value):
        return None
    if value.is_integer() and abs(value) < 1e12:
        return int(value)
    return float(f"{value:.{DIGITS}g}")


# --- The slider ---------------------------------------------------------------------


def outlook_json(material: Material, next_run: Prediction | None) -> dict[str, Any]:
    """Give the outlook as the script reads it, and the envelope's runs beside it.

    Raises
    ------
    ScalingError
        If the laws know no compute.
    """
    table, meanings = material.outlook, meanings_of(material.laws)
    low, high = fitted_range(material.laws)
    start = next_run.compute if next_run is not None else None
    numbers = table.drop(columns="extrapolated")
    beside = _envelope(material)
    return {
        "table": {n: list(map(_cell, column)) for n, column in numbers.items()},
        "symbols": symbols(table),
        "meanings": {s: meanings[s] for s in symbols(table)},
        "shown": loss_quantity(material).shown,
        "label": loss_quantity(material).label,
        "fitted": [_cell(low), _cell(high)],
        "start": _cell(start if start is not None else high),
        "percent": f"{100 * LEVEL:g} %",
        "unique": _unique_tokens(material),
        "points": {
            n: list(map(_cell, beside[n]))
            for n in ("C", "L_u", *symbols(table))
            if n in beside and "C" in beside
        },
    }


def _unique_tokens(material: Material) -> int | None:
    """Count the different tokens that there are, if all runs say the same."""
    if material.loaded is not None or "unique_tokens" not in material.records.frame:
        return None
    held = pd.to_numeric(material.records.frame["unique_tokens"], errors="coerce")
    counts = held.dropna().unique()
    return int(counts[0]) if len(counts) == 1 and counts[0] > 0 else None


def _envelope(material: Material) -> pd.DataFrame:
    """Give the runs that none of less compute beats."""
    if material.laws.study is not None:
        return material.laws.study.frontier
    best = best_of_runs(evaluations(material))
    return best[best["L_u"] <= best["L_u"].cummin()]


# --- Download -----------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Download:
    """A file that the page carries."""

    name: str
    """Name of the file."""
    source: str
    """Its content, a data URI."""
    what: str
    """What it holds, in words."""


def table_download(material: Material) -> Download:
    """Offer the rows that the laws stand on, as `scaling fit` reads them.

    Raises
    ------
    ScalingError
        If they are too many for a page.
    """
    table = used_columns(material)
    text = table.to_csv(index=False, lineterminator="\n").encode()
    what = f"{len(table):,} rows"
    if len(text) <= PLAIN_CSV:
        return Download(name="runs.csv", source=data_uri("text/csv", text), what=what)
    packed = gzip.compress(text, 9, mtime=0)
    if len(packed) > MOST_CSV:
        raise ScalingError(
            f"its {len(table):,} rows take {len(packed) / 1e6:.1f} MB compressed, too "
            "much for a page; they are in the sources named above"
        )
    source = data_uri("application/gzip", packed)
    return Download(name="runs.csv.gz", source=source, what=f"{what}, gzip")


def used_columns(material: Material) -> pd.DataFrame:
    """Give runs, sizes and quantities in full, spelled as `scaling fit` expects."""
    if material.loaded is not None:
        points = evaluations(material)
        named = [n for n in ("run", "size", *SYMBOLS) if n in points]
        return points[named]
    frame = material.records.frame
    own = frame.get(OWN_RUN)
    named = [] if own is not None and own.all() else ["run"]
    named += ["size"] if "size" in frame else []
    held = [quantity.column for quantity in material.records.quantities.values()]
    return frame[[*named, *dict.fromkeys(held)]]
