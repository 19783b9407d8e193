"""Many JSON objects as one table, column by column, with no copy of all the rows.

Python's objects for a million rows take gigabytes, and a table of them many seconds. So
rows are taken in blocks that fit a processor's cache; a block's columns become arrays,
and its objects are freed. The table is the one that `pd.DataFrame(rows)` gives.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scaling.record import Row

BLOCK = 1_000
"""Rows that are turned into columns at a time; ten times as many took 1.7 x as long."""

Array = NDArray[Any]
Columns = Mapping[str, "pd.Series[Any]"]


def columns_of(blocks: Iterable[Sequence[Row]]) -> Columns:
    """Take rows apart, of which any may lack columns that others have.

    >>> found = columns_of([[{"D": 1}, {"D": 2, "L": 0.5}], [{"L": 0.25}]])
    >>> {name: column.tolist() for name, column in found.items()}
    {'D': [1.0, 2.0, nan], 'L': [nan, 0.5, 0.25]}
    """
    parts: dict[str, list[Array]] = {}
    count = 0
    for rows in blocks:
        found = _columns(rows)
        for name in [name for name in found if name not in parts]:
            parts[name] = [_array([None] * count)] if count else []
        for name, arrays in parts.items():
            arrays.append(_array(found.get(name) or [None] * len(rows)))
        count += len(rows)
    return {name: _joined(arrays) for name, arrays in parts.items()}


def _columns(rows: Sequence[Row]) -> dict[str, list[Any]]:
    """Take one block apart; None stands where a row lacks a column."""
    if sum(map(len, rows)) == len(rows) * len(rows[0]):
        try:  # as logs are: all rows have the columns of the first
            return {name: [row[name] for row in rows] for name in rows[0]}
        except KeyError:
            pass
    names = dict.fromkeys(chain.from_iterable(rows))
    return {name: [row.get(name) for row in rows] for name in names}


def _array(cells: list[Any]) -> Array:
    """Pack numbers, or truths, that are nothing else; others stay objects."""
    kinds = set(map(type, cells))
    if kinds <= {int, float} or kinds == {bool}:
        return np.array(cells)
    found = np.empty(len(cells), dtype=object)
    found[:] = cells
    return found


def _joined(arrays: Sequence[Array]) -> pd.Series[Any]:
    """Join the blocks of a column; where they differ in kind, as one list would be."""
    kinds = {array.dtype.kind for array in arrays}
    if kinds <= {"i", "f"} or kinds == {"b"}:
        return pd.Series(np.concatenate(arrays), copy=False)
    return pd.Series([*chain.from_iterable(array.tolist() for array in arrays)])
