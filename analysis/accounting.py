"""What C = 6 N D says of a table: the column that it lacks, a doubt about its units.

Training costs about 6 FLOPs per parameter and token, 2 in the forward and 4 in the
backward pass (Kaplan et al., arXiv 2001.08361, section 2.1). What that leaves out,
attention over long contexts, is far from the factor of a thousand of a wrong unit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from scaling.analysis.checks import refuse_unusable

PARTS = ["non_vocab_params", "vocab_params"]

SMALL = 1e5
"""An N or D wholly below this is in doubt where C / (6 N D) is off by a unit."""

TINY = 1e4
"""An N or D wholly below this is in doubt where it cannot be held against C."""

UNITS = {3: "thousands", 6: "millions", 9: "billions", 12: "trillions"}
PLAIN = "give parameters, tokens and FLOPs as plain counts"

Values = Mapping[str, "pd.Series[float]"]
"""Counts by symbol."""


# --- Columns that follow from others ------------------------------------------------


def add_compute_or_data(
    table: pd.DataFrame, name: str, notes: list[str]
) -> pd.DataFrame:
    """Add C = 6 N D or D = C / (6 N) to a table that lacks only this, and say so.

    Parameters
    ----------
    table : DataFrame
        Columns of the record; compute in FLOPs, data in tokens.
    name : str
        Name of the table.
    notes : list of str
        Receives a sentence on what is added.

    Raises
    ------
    ScalingError
        If some row holds no N or no D to take C from.
    """
    symbol, columns = _parameters(table)
    if not columns or ("flops" in table) == ("tokens" in table):
        return table
    N = table[columns].sum(axis=1, skipna=False)
    if "flops" in table:
        notes.append(f"D = C / (6 {symbol}) is taken, since {name} has no data column")
        return table.assign(tokens=table["flops"] / (6 * N))
    refuse_unusable(table, [*columns, "tokens"])
    notes.append(f"C = 6 {symbol} D is taken, since {name} has no compute column")
    return table.assign(flops=6 * N * table["tokens"])


def _parameters(table: pd.DataFrame) -> tuple[str, list[str]]:
    """Give N as a formula writes it, and its columns.

    Its parts go before `total_params`, which in the record counts the table of codes
    twice, and that of the captions.
    """
    if all(part in table for part in PARTS):
        return "(N_nv + N_v)", PARTS
    return ("N", ["total_params"]) if "total_params" in table else ("N", [])


def add_unique_tokens(table: pd.DataFrame, name: str, notes: list[str]) -> pd.DataFrame:
    """Add U = D / epochs to a table that holds these and not U, and say so."""
    if "unique_tokens" in table or not {"tokens", "epochs"} <= set(table):
        return table
    notes.append(
        f"U = D / epochs is taken, since {name} has no column of unique tokens"
    )
    epochs = pd.to_numeric(table["epochs"], errors="coerce").astype("float64")
    U = table["tokens"] / epochs.where(epochs > 0)
    # A count is whole; D / (D / U) may miss it by the last digit.
    whole = np.isclose(U, U.round(), rtol=1e-9, atol=0)
    return table.assign(unique_tokens=U.mask(whole, U.round()))


# --- Units --------------------------------------------------------------------------


def suspect_units(table: pd.DataFrame, name: str) -> list[str]:
    """Doubt that a table's N, D and C are plain counts; nothing is changed.

    Parameters
    ----------
    table : DataFrame
        Columns of the record as they were given, none taken from others.
    name : str
        Name of the table.

    Returns
    -------
    list of str
        Sentences that begin in capitals; none where nothing is odd.
    """
    counts = _counts(table)
    if "flops" in table and len(counts) == 2:
        return _against_compute(table["flops"], counts, name)
    usual = {"D": "billions"}
    return [
        f"UNITS? {_spans(symbol, values)} in {name}: {usual.get(symbol, 'millions')}? "
        f"If so, {PLAIN}"
        for symbol, values in counts.items()
        if values.max() < TINY
    ]


def _counts(table: pd.DataFrame) -> dict[str, pd.Series[float]]:
    """Give N, or the part of it that is held, and D."""
    symbol, columns = _parameters(table)
    if not columns and "non_vocab_params" in table:
        symbol, columns = "N_nv", ["non_vocab_params"]
    counts = {symbol: table[columns].sum(axis=1)} if columns else {}
    if "tokens" in table:
        counts["D"] = table["tokens"]
    return counts


def _against_compute(C: pd.Series[float], counts: Values, name: str) -> list[str]:
    """Doubt the units if C / (6 N D) is nearer to a power of 1000 than a factor 3."""
    (symbol, N), (_, D) = counts.items()
    ratio = float((C / (6 * N * D)).median())
    exponent = math.log10(ratio) if 0 < ratio < math.inf else 0.0
    power = 3 * round(exponent / 3)
    small = {key: values for key, values in counts.items() if values.max() < SMALL}
    if power == 0 or abs(exponent - power) > math.log10(3):
        return []
    if small:
        unit = UNITS.get(power, "") if len(small) == 1 else ""
        spans = " and ".join(_spans(key, values) for key, values in small.items())
        doubt = f"{spans} in {name}: {unit or 'millions or billions'}?"
    elif power < 0:
        doubt = f"{_spans('C', C)} in {name}: units of 1e{-power} FLOPs?"
    else:
        return []
    return [f"UNITS? {doubt} C / (6 {symbol} D) is about 1e{power}; {PLAIN}"]


def _spans(symbol: str, values: pd.Series[float]) -> str:
    return f"{symbol.strip('()')} spans {values.min():.4g} to {values.max():.4g}"
