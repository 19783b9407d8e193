"""What a study reads: one row per evaluation, and which column holds which quantity.

Files and the record spell quantities as column names (`flops`, `normalised_loss`);
laws and figures spell them as symbols (`C`, `L_u`). `Records.points` is the one place
where the first becomes the second.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from scaling.record import COLUMNS

SYMBOLS = ("C", "N_nv", "N_v", "D", "V", "L_u")


@dataclass(frozen=True, kw_only=True, slots=True)
class Quantity:
    """One quantity of the laws, as the records at hand hold it."""

    symbol: str
    """Spelling in formulas, one of `SYMBOLS`."""
    column: str
    """Column of the record's table that holds it."""
    label: str
    """Axis label with the unit."""

    @classmethod
    def of(cls, symbol: str, column: str) -> Quantity:
        """Name a quantity that the run record knows.

        >>> Quantity.of("C", "flops").label
        'Training compute C (FLOPs)'
        """
        return cls(symbol=symbol, column=column, label=COLUMNS[column].label)

    @property
    def shown(self) -> str:
        """The symbol in formulas: a loss that is not normalised is L, not L_u."""
        return "L" if self.column == "loss" else self.symbol


@dataclass(frozen=True, kw_only=True, slots=True)
class PublishedLaw:
    """A law as a paper prints it, to be laid beside our own fit."""

    equation: str
    """Where it is printed."""
    law: str
    """Name of our law for the same quantities, such as `N_nv(C)`."""
    slope: str
    """Slope or exponent, with exactly the printed digits."""
    intercept: str
    """Intercept (power law: the exponent of ten), with the printed digits."""
    note: str
    """How the paper came to it, as far as is known."""
    points: tuple[tuple[float, float], ...] = ()
    """The points (x, y) that it rests on, where they are not those of our own rule."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Records:
    """The evaluations of a study, checked, with everything done to them said."""

    frame: pd.DataFrame
    """One row per evaluation, columns spelled as in the run record."""
    quantities: Mapping[str, Quantity]
    """The quantities that `frame` holds, by symbol."""
    sources: tuple[str, ...]
    """Where the rows came from."""
    dropped: Mapping[str, int] = field(default_factory=dict)
    """Number of rows left out, by reason."""
    notes: tuple[str, ...] = ()
    """What a reader of the results must know about the rows, in sentences."""
    published: tuple[PublishedLaw, ...] = ()
    """Laws that a paper derived from these rows."""

    def points(self) -> pd.DataFrame:
        """Give the evaluations in the spelling of the formulas.

        Returns
        -------
        DataFrame
            Columns `run`, `size` (as named, or else made from `N_nv`, or else empty;
            absent where no row has any) and those of `SYMBOLS` that the records
            hold, the latter as float64.
        """
        points = self.frame[["run"]].astype(str)
        sizes = self._sizes()
        if sizes is not None:
            points["size"] = sizes
        for symbol in SYMBOLS:
            if symbol in self.quantities:
                column = self.quantities[symbol].column
                points[symbol] = self.frame[column].astype("float64")
        return points.reset_index(drop=True)

    def _sizes(self) -> pd.Series[str] | None:
        made = None
        if "N_nv" in self.quantities:
            counts = self.frame[self.quantities["N_nv"].column]
            made = counts.map(size_names(counts.unique()))
        if "size" not in self.frame:
            return made
        named = self.frame["size"]
        if blank(named).all():
            return made
        return named.astype(str).mask(blank(named), "" if made is None else made)

    @property
    def data_hash(self) -> str:
        """First 16 hex digits of the SHA-256 of the values used, in any row order."""
        points = self.points()
        points = points.sort_values(list(points.columns))
        digest = hashlib.sha256()
        for name, column in points.items():
            digest.update(f"{name}\n".encode())
            if column.dtype == "float64":
                digest.update(column.to_numpy("<f8").tobytes())
            else:
                digest.update("\n".join(column).encode())
        return digest.hexdigest()[:16]


def blank(cells: pd.Series[Any]) -> pd.Series[bool]:
    """Mark the cells that are missing, or nothing but blanks.

    >>> blank(pd.Series(["44M", None, " "])).tolist()
    [False, True, True]
    """
    return cells.isna() | (cells.astype(str).str.strip() == "")


def size_names(counts: Iterable[float]) -> dict[float, str]:
    """Name transformer sizes by their parameter counts, all different.

    >>> size_names([44e6, 1.1e9])
    {44000000.0: '44M', 1100000000.0: '1.1B'}
    >>> size_names([1_210_000, 1_240_000])
    {1210000: '1.21M', 1240000: '1.24M'}
    """
    counts = list(counts)
    for digits in range(2, 16):
        names = {count: _short(count, digits) for count in counts}
        if len(set(names.values())) == len(names):
            return names
    return {count: repr(count) for count in counts}


def _short(count: float, digits: int) -> str:
    for unit, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if count >= unit:
            scaled = float(f"{count / unit:.{digits}g}")
            return f"{scaled:.15g}{letter}"
    return f"{count:.{digits}g}"
