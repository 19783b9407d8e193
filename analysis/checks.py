"""The values of a study's rows: what is refused, left out, or said.

Rows are indexed by place, that is by source, run and line (the run is empty but in a
run store), so that every sentence can name them.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scaling.analysis.table import OWN_RUN, Quantity, ask_each, blank
from scaling.errors import ScalingError
from scaling.record import MEASURES

POSITIVE = (
    "flops",
    "total_params",
    "non_vocab_params",
    "vocab_params",
    "tokens",
    "unique_tokens",
    "codebook_size",
)
LOSSES = ("normalised_loss", "loss")
NUMBERS = (*POSITIVE, *LOSSES, *MEASURES, "weight")
"""Columns that are read as numbers."""

NEEDED = ("C", "L_u", "weight")
"""Symbols whose column must be filled in every row, if it is held at all."""

MANY_REPEATED = 0.05
"""Share of the rows from which repeated ones are suspect."""
SHOWN_PAIRS = 3
"""Repeated rows that are named; more are counted."""

Mask = NDArray[np.bool_]


def drop_diverged(
    frame: pd.DataFrame, loss: str
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Leave out the evaluations in which a run had diverged, and count them."""
    if "status" not in frame:
        return frame, {}
    lost = _diverged(frame) & ~np.isfinite(frame[loss])
    if not lost.any():
        return frame, {}
    reason = f"{loss} not finite in a diverged run"
    if lost.all():
        raise ScalingError(
            f"no evaluation is left: {reason} in all {len(frame)} rows; expected at "
            "least one before a run diverged: add runs"
        )
    return frame[~lost], {reason: int(lost.sum())}


def _diverged(frame: pd.DataFrame) -> pd.Series[bool]:
    return ask_each(frame["status"], lambda s: s.str.contains("diverged", case=False))


def leave_out_broken(
    frame: pd.DataFrame, quantities: Mapping[str, Quantity], notes: list[str]
) -> dict[str, Quantity]:
    """Leave out the quantities that some row lacks, but for those in `NEEDED`."""
    whole = {}
    for symbol, quantity in quantities.items():
        empty = frame[quantity.column].isna().to_numpy()
        if symbol in NEEDED or not empty.any():
            whole[symbol] = quantity
        else:
            places = _first(map(place, frame.index[empty]))
            notes.append(
                f"{symbol} is left out: {quantity.column} is empty in {places}"
            )
    return whole


def refuse_unusable(frame: pd.DataFrame, columns: Iterable[str]) -> None:
    """Refuse values that no law can use; say which rows hold them."""
    for name in columns:
        values = frame[name].to_numpy()
        infinite = ~np.isfinite(values)
        if infinite.any():
            raise ScalingError(
                f"{name} is not finite in {_rows(frame, infinite, values)}; expected "
                "numbers: remove those rows, or mark them with status = diverged"
            )
        if name in POSITIVE and (values <= 0).any():
            raise ScalingError(
                f"{name} is not positive in {_rows(frame, values <= 0, values)}; "
                "laws are fitted in log10: correct those rows or remove them"
            )
        if name == "weight" and (values < 0).any():
            raise ScalingError(
                f"weight is negative in {_rows(frame, values < 0, values)}; expected "
                "0 or more: correct those rows, or give them weight 0 to leave them out"
            )


def _rows(frame: pd.DataFrame, bad: Mask, values: NDArray[np.float64]) -> str:
    """Name the first rows that are bad, with their values."""
    return _first(
        f"{place(row)} ({value:g})"
        for row, value in zip(frame.index[bad], values[bad], strict=True)
    )


def _first(places: Iterable[str], shown: int = 5) -> str:
    """List the first places, and count the others."""
    places = list(places)
    more = f" and {len(places) - shown} more" if len(places) > shown else ""
    return ", ".join(places[:shown]) + more


def places(
    source: str,
    lines: NDArray[np.int64],
    names: Sequence[str] = ("",),
    runs: NDArray[np.int64] | None = None,
) -> pd.MultiIndex:
    """Give the places of rows, for which no text is made until one is named.

    Parameters
    ----------
    source : str
        Where the rows are from.
    lines : array, shape (rows,)
        From 1 on.
    names : sequence of str
        Of the source's runs.
    runs : array, shape (rows,), optional
        Place of each row's run in `names`; by default the first.
    """
    runs = np.zeros(len(lines), int) if runs is None else runs
    of_name, distinct = pd.factorize(np.array(names, dtype=object))
    numbers = pd.RangeIndex(1, lines.max(initial=0) + 1)
    levels: list[Any] = [[source], distinct, numbers]
    codes: list[Any] = [np.zeros(len(lines), int), of_name[runs], lines - 1]
    return pd.MultiIndex(
        levels=levels,
        codes=codes,
        names=["source", None, None],  # no names that columns may have
    )


def place(index: Hashable) -> str:
    """Name a row by its place.

    >>> place(("losses.csv", "", 3))
    'row 3 of losses.csv'
    >>> place(("out", "44M-v256", 3))
    '44M-v256 line 3 of out'
    """
    assert isinstance(index, tuple)
    return f"{_row(index)} of {index[0]}"


def _row(index: Hashable) -> str:
    assert isinstance(index, tuple)
    _, run, line = index
    return f"{run} line {line}" if run else f"row {line}"


def note_repeated(
    frame: pd.DataFrame,
    quantities: Mapping[str, Quantity],
    notes: list[str],
    suspicions: list[str],
) -> None:
    """Count the rows that equal another in run and values; they are kept.

    Rows whose source names no runs are compared by their values alone. A few are worth
    a note; many look like a table that was read twice.
    """
    # Where no two losses are equal, no rows are.
    alike = frame[frame[quantities["L_u"].column].duplicated(keep=False)]
    if alike.empty:
        return
    rows = alike[[quantity.column for quantity in quantities.values()]]
    if not alike[OWN_RUN].all():
        rows = rows.assign(run=alike["run"].mask(alike[OWN_RUN], ""))
    # Comparing hashes first is ten times as fast, and leaves next to nothing to do.
    hashes = pd.util.hash_pandas_object(rows, index=False)
    rows = rows[hashes.duplicated(keep=False)]
    again = rows.duplicated().to_numpy()
    if not again.any():
        return
    name = place if len(frame.index.unique("source")) > 1 else _row
    pairs = [
        f"{name(index)} = {name((rows == row).all(axis=1).idxmax())}"
        for index, row in rows[again].head(SHOWN_PAIRS).iterrows()
    ]
    more = ", ..." if again.sum() > len(pairs) else ""
    said = f"{again.sum()} rows equal another exactly ({', '.join(pairs)}{more})"
    if again.sum() > MANY_REPEATED * len(frame):
        suspicions.append(
            f"REPEATED ROWS: {said}; if they are copies, intervals are too narrow"
        )
    else:
        notes.append(f"{said}; each counts like any other")


def note_status(everything: pd.DataFrame, kept: pd.DataFrame, notes: list[str]) -> None:
    """Count the runs that did not finish but of which evaluations are kept."""
    if "status" not in kept:
        return
    # Where rows differ in status, those that diverged may all have been dropped.
    ends = kept[["run", "status"]].drop_duplicates()
    lost = everything.loc[_diverged(everything), "run"].unique()
    diverged = set(lost) & set(ends["run"])
    others = ends[~ends["run"].isin(diverged) & ~blank(ends["status"])]
    runs_of = (
        others.groupby("status")["run"].nunique().drop("finished", errors="ignore")
    )
    if "unfinished" in runs_of:
        notes.append(
            "runs not finished, whose best evaluation so far counts: "
            f"{runs_of.pop('unfinished')}"
        )
    if diverged:
        notes.append(
            "runs that diverged, whose best evaluation before that counts: "
            f"{len(diverged)}"
        )
    for status, runs in runs_of.items():
        notes.append(f"runs of status {status!r}, whose best evaluation counts: {runs}")
