"""A run store as a table: what all rows of a run share is held once per run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic_core import from_json

from scaling.analysis.checks import places
from scaling.analysis.columns import BLOCK, Columns, columns_of
from scaling.errors import ScalingError
from scaling.record import COLUMNS, CONFIG, Evaluated, Row, evaluated


def read_store(folder: Path, name: str, notes: list[str]) -> pd.DataFrame:
    """Read a run store, or the one run whose folder it is.

    Parameters
    ----------
    folder : Path
        Of the store, or of the run.
    name : str
        Of the source, for the place of each row.
    notes : list of str
        Receives one sentence for each torn last line.

    Returns
    -------
    DataFrame
        The rows of `scaling.record.scan`, indexed by place, without empty columns.

    Raises
    ------
    ScalingError
        If no run has an evaluation, or a file is broken.
    """
    only = folder.name if (folder / CONFIG).exists() else None
    store = folder if only is None else folder.parent
    names: list[str] = []
    constants: list[Row] = []
    counts: list[int] = []

    def blocks() -> Iterator[list[Row]]:
        block: list[Row] = []
        for run in evaluated(store, notes, only=only, loads=from_json):
            constant, rows = _parted(run)
            names.append(str(run.constant["run"]))
            constants.append(constant)
            counts.append(len(rows))
            block += rows
            if len(block) >= BLOCK:
                yield block
                block = []
        if block:
            yield block

    own = columns_of(blocks())
    if not counts:
        raise ScalingError(
            f"{folder} holds no evaluated transformer run; expected "
            "RUN/config.json and RUN/metrics.jsonl as `scaling run --out` writes them"
        )
    runs = np.repeat(np.arange(len(counts)), counts)
    lines = np.concatenate([np.arange(1, count + 1) for count in counts])
    shared = pd.DataFrame(constants)
    found = {name: _column(own, shared, runs, name) for name in COLUMNS}
    whole = {name: cells for name, cells in found.items() if cells is not None}
    return pd.DataFrame(whole, copy=False).set_axis(places(name, lines, names, runs))


def _parted(run: Evaluated) -> tuple[Row, list[Row]]:
    """Give the columns that all rows of a run share, and the rows without them."""
    constant = {**run.constant, "status": run.status}
    if constant.keys().isdisjoint(set().union(*run.rows)):
        return constant, run.rows
    merged = [{**run.constant, **row, "status": run.status} for row in run.rows]
    return {}, merged


def _column(
    own: Columns, shared: pd.DataFrame, runs: NDArray[np.intp], name: str
) -> pd.Series[Any] | None:
    """Take a column from where it is; of one that is in both, what a row says.

    None stands for a column without a value.
    """
    cells = own.get(name)
    if name in shared and not shared[name].isna().all():
        of_run = shared[name].take(runs).reset_index(drop=True)
        if cells is None:
            return of_run
        mixed = cells.astype(object).where(cells.notna(), of_run.astype(object))
        return mixed.infer_objects()
    return None if cells is None or cells.isna().all() else cells
